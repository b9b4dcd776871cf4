//! PTX text, and its kernels on one warp without any device memory: neither may panic, and none may reach memory that
//! is not a kernel's own.
#![no_main]

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use aquifer_ptx::{Access, Launch, Memory, Module, launch};
use libfuzzer_sys::fuzz_target;

/// Nothing can be reached.
struct Nothing;

impl Memory for Nothing {
    fn translate(&self, _: u64, _: u32, _: Access) -> Option<*mut u8> {
        None
    }
    fn window(&self, _: u64) -> Option<(u64, u64, *mut u8)> {
        None
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(mut module) = Module::parse(data, 80) else {
        return;
    };
    if module.bind(|_| Some(0x1000)).is_err() {
        return;
    }
    let stop = AtomicBool::new(false);
    for (index, kernel) in module.kernels().iter().enumerate().take(4) {
        let ends = kernel
            .params
            .iter()
            .map(|it| it.size as usize + it.offset as usize);
        let params = vec![0; ends.max().unwrap_or(0)];
        let sizes = Launch {
            grid: [1, 1, 1],
            block: [8, 1, 1],
            dynamic_shared_bytes: 0,
            params: &params,
            // A kernel may loop for ever.
            deadline: Some(Instant::now() + Duration::from_millis(50)),
        };
        let _ = launch(&module, index, &sizes, &Nothing, &stop, 1);
    }
});
