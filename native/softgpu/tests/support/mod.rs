//! Drives the built library as a C program would: loaded by path, every symbol looked up by name.

#![allow(dead_code)]

use std::ffi::{CStr, CString, c_void};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The library under test: cargo builds it beside the test's own executable.
pub fn library_path() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    let path = executable.parent().unwrap().join("libaquifer_softgpu.so");
    assert!(path.exists(), "{path:?} was not built");
    path
}

fn library() -> usize {
    static LIBRARY: OnceLock<usize> = OnceLock::new();
    *LIBRARY.get_or_init(|| {
        let path = CString::new(library_path().to_str().unwrap()).unwrap();
        // SAFETY: a path that ends in NUL.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{path:?} cannot be loaded");
        handle as usize
    })
}

/// The address of a symbol, if the library has it.
pub fn find_symbol(name: &str) -> Option<*mut c_void> {
    let name = CString::new(name).unwrap();
    // SAFETY: a loaded library and a name that ends in NUL.
    let address = unsafe { libc::dlsym(library() as *mut c_void, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

pub fn symbol(name: &str) -> *mut c_void {
    find_symbol(name).unwrap_or_else(|| panic!("{name} is not exported"))
}

/// `_`, for each argument of a call.
#[macro_export]
macro_rules! infer {
    ($argument:expr) => {
        _
    };
}

/// Calls an entry point by name; the arguments say its type, so numbers want suffixes.
#[macro_export]
macro_rules! cu {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        let address = $crate::support::symbol(stringify!($name));
        // SAFETY: the callers write the arguments that the C signature has.
        let function: extern "C" fn($($crate::infer!($argument)),*) -> u32 = unsafe { std::mem::transmute(address) };
        function($($argument),*)
    }};
}

/// As `cu`, and fails the test unless the call succeeds.
#[macro_export]
macro_rules! ok {
    ($name:ident($($argument:expr),* $(,)?)) => {
        assert_eq!($crate::cu!($name($($argument),*)), 0, stringify!($name))
    };
}

/// Which part of its test this process plays; unset in the process that cargo started.
const PART: &str = "SOFTGPU_TEST_PART";

/// Whether this process was started by its test to play `part`.
pub fn plays(part: &str) -> bool {
    std::env::var(PART).is_ok_and(|it| it == part)
}

/// This executable once more, with settings, to play a part of `test`.
pub fn child(test: &str, part: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    for name in [
        "DEVICES",
        "MODEL",
        "COMPUTE_CAPABILITY",
        "STATE_DIR",
        "NULL_KERNELS",
        "THREADS",
        "KERNEL_MS",
        "SEED",
    ] {
        command.env_remove(format!("SOFTGPU_{name}"));
    }
    command.envs(settings.iter().copied()).env(PART, part);
    command
}

/// Runs the body of `test`, which calls this, in a process of its own, with settings, and fails the test unless it passes there.
pub fn in_own_process(test: &str, settings: &[(&str, &str)], body: fn()) {
    const BODY: &str = "body";
    if plays(BODY) {
        return body();
    }
    let output = child(test, BODY, settings).output().unwrap();
    assert!(
        passed(&output),
        "{test} in its own process:\n{}",
        said(&output)
    );
}

/// Whether the one test that a child was to run was there and passed.
pub fn passed(output: &Output) -> bool {
    output.status.success() && said(output).contains("1 passed")
}

/// All that a child said.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A context on device 0 that is current in this thread.
pub fn start() -> *mut c_void {
    let mut context = std::ptr::null_mut::<c_void>();
    ok!(cuInit(0u32));
    ok!(cuDevicePrimaryCtxRetain(&raw mut context, 0i32));
    ok!(cuCtxSetCurrent(context));
    context
}

/// Device memory of a size.
pub fn device_memory(size: usize) -> u64 {
    let mut address = 0u64;
    ok!(cuMemAlloc_v2(&raw mut address, size));
    address
}

/// Loads PTX and finds its kernels.
pub fn load(ptx: &CStr) -> *mut c_void {
    let mut module = std::ptr::null_mut::<c_void>();
    ok!(cuModuleLoadData(&raw mut module, ptx.as_ptr()));
    module
}

pub fn function(module: *mut c_void, name: &CStr) -> *mut c_void {
    let mut function = std::ptr::null_mut::<c_void>();
    ok!(cuModuleGetFunction(
        &raw mut function,
        module,
        name.as_ptr()
    ));
    function
}

/// Launches one-dimensional blocks on a stream.
pub fn launch(
    function: *mut c_void,
    grid: u32,
    block: u32,
    stream: *mut c_void,
    params: &mut [*mut c_void],
) -> u32 {
    let none = std::ptr::null_mut::<*mut c_void>();
    cu!(cuLaunchKernel(
        function,
        grid,
        1u32,
        1u32,
        block,
        1u32,
        1u32,
        0u32,
        stream,
        params.as_mut_ptr(),
        none
    ))
}

/// A directory of this test's own, gone when the value is dropped.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("softgpu-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    pub fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub const NULL: *mut c_void = std::ptr::null_mut();

/// Kernels of the tests.
pub const PTX: &CStr = cr#"
.version 7.0
.target sm_52
.address_size 64

.global .align 4 .u32 counter = 7;

.visible .entry fill(.param .u64 target, .param .u32 value)
{
    .reg .b32 %r<6>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [target];
    ld.param.u32 %r1, [value];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    mul.wide.u32 %rd2, %r5, 4;
    add.s64 %rd3, %rd1, %rd2;
    add.s32 %r1, %r1, %r5;
    st.global.u32 [%rd3], %r1;
    ret;
}

.visible .entry spin(.param .u64 until)
{
    .reg .b64 %rd<4>;
    .reg .pred %p<2>;
    ld.param.u64 %rd1, [until];
    mov.u64 %rd2, 0;
$again:
    add.s64 %rd2, %rd2, 1;
    setp.lt.u64 %p1, %rd2, %rd1;
    @%p1 bra $again;
    ret;
}

.visible .entry nothing()
{
    ret;
}
"#;

/// A string that the library gave or ended.
pub fn text_at(start: *const std::ffi::c_char) -> &'static CStr {
    // SAFETY: ended by NUL, and used only while it is there.
    unsafe { CStr::from_ptr(start) }
}
