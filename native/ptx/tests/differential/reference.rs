//! A kernel made of one C source in two ways: PTX by clang, and a shared object for the CPU by cc.

use std::ffi::{CString, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;

/// As in `kernels/dual.h`.
pub const OUTPUTS: usize = 256;
pub const SPARE: usize = 4096;

const KERNELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels");

fn compile(program: &str, default: &str, arguments: &[&str], output: &Path) {
    let compiler = std::env::var(program).unwrap_or_else(|_| default.into());
    let status = Command::new(&compiler)
        .current_dir(KERNELS)
        .args(arguments)
        .arg("-o")
        .arg(output)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{compiler} {arguments:?}: {status}"),
        Err(error) => panic!("{compiler}: {error}; set {program} to a compiler"),
    }
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("aquifer-ptx-{}-{name}", std::process::id()))
}

/// What clang makes of `kernels/NAME.cu`. Nothing is contracted, so that both machines round as often.
pub fn ptx(name: &str) -> String {
    let output = scratch(&format!("{name}.ptx"));
    let source = format!("{name}.cu");
    #[rustfmt::skip]
    let arguments = [
        "-x", "cuda", "--cuda-device-only", "-nocudainc", "-nocudalib", "--cuda-gpu-arch=sm_80",
        "-Xclang", "-target-feature", "-Xclang", "+ptx70", "-O2", "-ffp-contract=off", "-Wall", "-S", &source,
    ];
    compile("CLANG", "clang", &arguments, &output);
    let text = std::fs::read_to_string(&output).expect("what clang wrote");
    let _ = std::fs::remove_file(&output);
    text
}

type Launch = unsafe extern "C" fn(*const u32, *mut u32, u32, u32, u32);

/// The same kernel for the CPU. Each is loaded once and never unloaded.
pub struct Reference {
    handle: *mut c_void,
}

impl Reference {
    pub fn compile(name: &str) -> Reference {
        let output = scratch(&format!("{name}.so"));
        let source = format!("{name}.cu");
        #[rustfmt::skip]
        let arguments = [
            "-x", "c", "-std=gnu11", "-O2", "-shared", "-fPIC", "-ffp-contract=off", "-frounding-math", "-Wall", "host.c", &source, "-lm",
        ];
        compile("CC", "cc", &arguments, &output);
        let path = CString::new(output.to_string_lossy().as_bytes()).expect("a path without NUL");
        // SAFETY: the object was just made and has no constructors.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        let _ = std::fs::remove_file(&output);
        assert!(!handle.is_null(), "{name}.so cannot be loaded");
        Reference { handle }
    }

    fn symbol<T>(&self, name: &str) -> *const T {
        let name = CString::new(name).expect("a name without NUL");
        // SAFETY: the handle is open.
        let symbol = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        assert!(!symbol.is_null());
        symbol.cast()
    }

    /// The words that `blocks` blocks of `size` threads put, and what they did together.
    pub fn run(&self, input: &[u32], blocks: u32, size: u32) -> Vec<u32> {
        let threads = (blocks * size) as usize;
        assert_eq!(input.len(), 3 * threads);
        let mut output = vec![0u32; threads * OUTPUTS + SPARE];
        // SAFETY: `launch` of host.c has this type; the buffers are as large as it needs.
        unsafe {
            let launch = std::mem::transmute::<*const c_void, Launch>(self.symbol("launch"));
            launch(
                input.as_ptr(),
                output.as_mut_ptr(),
                threads as u32,
                blocks,
                size,
            );
        }
        output
    }

    fn table<T: Copy>(&self, name: &str) -> [T; OUTPUTS] {
        // SAFETY: host.c has an array of this length and, by the caller's word, type; nothing runs.
        unsafe { *self.symbol::<[T; OUTPUTS]>(name) }
    }

    /// The source line of each word put.
    pub fn lines(&self) -> [u32; OUTPUTS] {
        self.table("put_line")
    }

    /// For the words that begin a double which need only be near: relative and absolute bound; else zeros.
    pub fn bounds(&self) -> ([f64; OUTPUTS], [f64; OUTPUTS]) {
        (self.table("put_relative"), self.table("put_absolute"))
    }
}
