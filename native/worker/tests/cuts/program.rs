//! A program that makes every kind of call, and checks what comes of it: it counts with kernels that add, so that one that ran
//! twice or not at all is seen.

use crate::driver::Driver;
use std::ffi::{CString, c_uint, c_void};

const PTX: &str = include_str!("add.ptx");
const DEVICE_UNAVAILABLE: c_uint = 46;
const LAUNCHES: u32 = 24;

/// Runs on the session that AQUIFER_SOCKET offers. Panics where anything is other than it would be over an uncut connection.
pub fn run() {
    let driver = Driver::open();
    driver.start();
    let module = load(&driver);
    let add = function(&driver, module, "add");
    let counter = driver.alloc(4096).unwrap();
    good(driver.get::<extern "C" fn(u64, u8, usize) -> c_uint>(
        "cuMemsetD8_v2",
    )(counter, 0, 4096));
    for _ in 0..LAUNCHES {
        good(driver.launch(add, counter, 3));
    }
    good(driver.synchronize());
    assert_eq!(count(driver, counter), 3 * LAUNCHES);

    let memory = driver.alloc(2 << 20).unwrap();
    for bytes in [100, 70 << 10, 300 << 10] {
        there_and_back(driver, memory, bytes);
        there_and_back_unattended(&driver, memory, bytes, (counter, add));
    }
    streams_and_events(&driver, counter, add);
    assert_eq!(count(driver, counter), 3 * LAUNCHES + 5 + 3 * 7);
    good(driver.free(memory));
    good(driver.free(counter));
    let unload: extern "C" fn(*mut c_void) -> c_uint = driver.get("cuModuleUnload");
    good(unload(module));
    assert_ne!(driver.alloc(1 << 40).err(), None);
    good(driver.synchronize());
}

/// Waits again and again until that fails, which must be for want of the device; then everything fails at once.
pub fn run_until_lost() {
    let driver = Driver::open();
    driver.start();
    let memory = driver.alloc(4096).unwrap();
    let result = std::iter::repeat_with(|| driver.synchronize()).find(|result| *result != 0);
    assert_eq!(result, Some(DEVICE_UNAVAILABLE));
    assert_eq!(driver.to_device(memory, &[1; 100]), DEVICE_UNAVAILABLE);
    let mut came = [0; 100];
    assert_eq!(driver.to_host(&mut came, memory), DEVICE_UNAVAILABLE);
}

#[track_caller]
fn good(result: c_uint) {
    assert_eq!(result, 0);
}

fn load(driver: &Driver) -> *mut c_void {
    let text = CString::new(PTX).unwrap();
    let mut module = std::ptr::null_mut();
    let load: extern "C" fn(*mut *mut c_void, *const i8) -> c_uint = driver.get("cuModuleLoadData");
    good(load(&mut module, text.as_ptr()));
    module
}

fn function(driver: &Driver, module: *mut c_void, name: &str) -> *mut c_void {
    let name = CString::new(name).unwrap();
    let mut function = std::ptr::null_mut();
    let get: extern "C" fn(*mut *mut c_void, *mut c_void, *const i8) -> c_uint =
        driver.get("cuModuleGetFunction");
    good(get(&mut function, module, name.as_ptr()));
    function
}

fn count(driver: Driver, counter: u64) -> u32 {
    let mut bytes = [0; 4];
    good(driver.to_host(&mut bytes, counter));
    u32::from_le_bytes(bytes)
}

fn pattern(bytes: usize, seed: usize) -> Vec<u8> {
    (0..bytes).map(|at| ((at * 31 + seed) >> 3) as u8).collect()
}

fn there_and_back(driver: Driver, memory: u64, bytes: usize) {
    let (sent, mut came) = (pattern(bytes, 7), vec![0; bytes]);
    good(driver.to_device(memory, &sent));
    good(driver.to_host(&mut came, memory));
    assert!(sent == came, "{bytes} bytes");
}

/// Copies that nobody waits for, each before something that changes what it read or was read from.
fn there_and_back_unattended(
    driver: &Driver,
    memory: u64,
    bytes: usize,
    (counter, add): (u64, *mut c_void),
) {
    type ToDevice = extern "C" fn(u64, *const u8, usize, *mut c_void) -> c_uint;
    type ToHost = extern "C" fn(*mut u8, u64, usize, *mut c_void) -> c_uint;
    let none = std::ptr::null_mut();
    let to_device: ToDevice = driver.get("cuMemcpyHtoDAsync_v2");
    let to_host: ToHost = driver.get("cuMemcpyDtoHAsync_v2");
    let sent = pattern(bytes, 9);
    let mut lent = sent.clone();
    good(to_device(memory, lent.as_ptr(), bytes, none));
    lent.fill(0xee);
    let mut came = vec![0; bytes];
    good(to_host(came.as_mut_ptr(), memory, bytes, none));
    good(driver.get::<extern "C" fn(u64, u8, usize) -> c_uint>(
        "cuMemsetD8_v2",
    )(memory, 1, bytes));
    good(driver.launch(add, counter, 7));
    good(driver.synchronize());
    assert!(sent == came, "{bytes} bytes");
}

fn streams_and_events(driver: &Driver, counter: u64, add: *mut c_void) {
    let mut stream = std::ptr::null_mut();
    let mut event = std::ptr::null_mut();
    type Make = extern "C" fn(*mut *mut c_void, c_uint) -> c_uint;
    type Pair = extern "C" fn(*mut c_void, *mut c_void) -> c_uint;
    type One = extern "C" fn(*mut c_void) -> c_uint;
    good(driver.get::<Make>("cuStreamCreate")(&mut stream, 0));
    good(driver.get::<Make>("cuEventCreate")(&mut event, 0));
    good(driver.launch(add, counter, 5));
    good(driver.get::<Pair>("cuEventRecord")(
        event,
        std::ptr::null_mut(),
    ));
    let wait: extern "C" fn(*mut c_void, *mut c_void, c_uint) -> c_uint =
        driver.get("cuStreamWaitEvent");
    good(wait(stream, event, 0));
    good(driver.get::<One>("cuEventSynchronize")(event));
    good(driver.get::<One>("cuStreamSynchronize")(stream));
    good(driver.get::<One>("cuEventDestroy_v2")(event));
    good(driver.get::<One>("cuStreamDestroy_v2")(stream));
}
