//! Looking up entry points, and the tables that are not in CUDA's manual.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

use aquifer_cuda::symbols::{Lookup, look_up};
use aquifer_cuda::*;

use super::calls::{In, Out, Text, calls};
use crate::outcome::{Outcome, require};

const FLAGS: u64 =
    (CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) as u64;

/// The address for a name as of a version, or why there is none.
fn find(
    name: &str,
    version: c_int,
    flags: u64,
) -> Outcome<Result<*mut c_void, CUdriverProcAddressQueryResult>> {
    require(flags & !FLAGS == 0 && flags != FLAGS && (0..=CUDA_VERSION).contains(&version))?;
    let per_thread = flags == u64::from(CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM);
    Ok(match look_up(name, version as u32, per_thread) {
        Lookup::Found(symbol) => {
            exported(symbol.symbol).ok_or(CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND)
        }
        Lookup::VersionNotSufficient => Err(CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT),
        Lookup::NotFound => Err(CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND),
    })
}

/// The address of an exported symbol.
fn exported(symbol: &str) -> Option<*mut c_void> {
    static ALL: OnceLock<HashMap<&'static str, usize>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        super::entries()
            .map(|entry| (entry.name, entry.address.expose_provenance()))
            .collect()
    });
    all.get(symbol)
        .map(|address| std::ptr::with_exposed_provenance_mut(*address))
}

calls! { TABLE;
    fn cuGetProcAddress = (symbol: Text, function: Out<*mut c_void>, version: c_int, flags: u64) {
        function.give(std::ptr::null_mut())?;
        match find(symbol.utf8()?, version, flags)? {
            Ok(address) => function.give(address),
            Err(_) => Err(CUDA_ERROR_NOT_FOUND),
        }
    }

    fn cuGetProcAddress_v2 = (
        symbol: Text,
        function: Out<*mut c_void>,
        version: c_int,
        flags: u64,
        status: Out<CUdriverProcAddressQueryResult>,
    ) {
        function.give(std::ptr::null_mut())?;
        match find(symbol.utf8()?, version, flags)? {
            Ok(address) => {
                status.offer(CU_GET_PROC_ADDRESS_SUCCESS);
                function.give(address)
            }
            Err(why) => {
                status.offer(why);
                Ok(())
            }
        }
    }

    fn cuGetExportTable = (table: Out<*const c_void>, id: In<CUuuid>) {
        table.give(std::ptr::null())?;
        id.get()?;
        Err(CUDA_ERROR_NOT_FOUND)
    }
}
