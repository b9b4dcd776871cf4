//! The library as a program sees it, with a worker on the other side of a real socket.

mod stage;

use stage::alone;
use stage::driver::Driver;
use stage::worker::{MEMORY_BYTES, Script, offer};
use std::ffi::{c_int, c_uint, c_void};
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const OUT_OF_MEMORY: u32 = 2;
const NOT_INITIALIZED: u32 = 3;
const DEVICE_UNAVAILABLE: u32 = 46;
const NO_DEVICE: u32 = 100;
const INVALID_VALUE: u32 = 1;
const INVALID_HANDLE: u32 = 400;
const NOT_FOUND: u32 = 500;
const ILLEGAL_ADDRESS: u32 = 700;
const NOT_SUPPORTED: u32 = 801;
const MISMATCH: u32 = 803;

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn computes(tls: bool) {
    let script = offer(Script {
        tls,
        ..Script::default()
    });
    let driver = Driver::open();
    driver.start();
    let kernel = driver.kernel("write");
    let address = driver.alloc(1 << 20).expect("memory");
    let sent: Vec<u8> = (0..1 << 20)
        .map(|index: u32| ((index * 31) >> 3) as u8)
        .collect();
    assert_eq!(driver.to_device(address, &sent), 0);
    assert_eq!(driver.launch(kernel, address + 400, 0xdead_beef), 0);
    assert_eq!(driver.synchronize(), 0);
    let mut received = vec![0; sent.len()];
    assert_eq!(driver.to_host(&mut received, address), 0);
    let mut wanted = sent;
    wanted[400..404].copy_from_slice(&0xdead_beefu32.to_le_bytes());
    assert!(received == wanted);
    assert_eq!(script.launches.load(SeqCst), 1);
    assert_eq!(script.image_bytes.load(SeqCst), ".version 7.0\0".len());
}

#[test]
fn computes_over_a_unix_socket() {
    alone("computes_over_a_unix_socket", || computes(false));
}

#[test]
fn computes_over_tls() {
    alone("computes_over_tls", || computes(true));
}

#[test]
fn launches_allocations_and_small_copies_wait_for_no_reply() {
    alone(
        "launches_allocations_and_small_copies_wait_for_no_reply",
        || {
            let script = offer(Script::default());
            let driver = Driver::open();
            driver.start();
            let kernel = driver.kernel("write");
            let first = driver.alloc(4096).expect("memory");
            let before = script.requests.load(SeqCst);
            for value in 0..5_000 {
                let address = driver.alloc(4096).expect("memory");
                assert_eq!(driver.to_device(address, &[1; 64]), 0);
                assert_eq!(driver.launch(kernel, first, value), 0);
                assert_eq!(driver.free(address), 0);
            }
            // Nobody waits, so that only the watchdog can have written the last of them.
            eventually("the last launch arrives", || {
                script.launches.load(SeqCst) == 5_000
            });
            assert_eq!(script.requests.load(SeqCst), before);
            assert_eq!(script.allocations.load(SeqCst), 5_001);
            let mut last = [0; 4];
            assert_eq!(driver.to_host(&mut last, first), 0);
            assert_eq!(u32::from_le_bytes(last), 4_999);
        },
    );
}

#[test]
fn memory_ends_where_the_limit_is_and_comes_back() {
    alone("memory_ends_where_the_limit_is_and_comes_back", || {
        offer(Script::default());
        let driver = Driver::open();
        driver.start();
        let info: extern "C" fn(*mut usize, *mut usize) -> c_uint = driver.get("cuMemGetInfo_v2");
        let free = || {
            let (mut free, mut total) = (0, 0);
            assert_eq!(info(&mut free, &mut total), 0);
            assert_eq!(total as u64, MEMORY_BYTES);
            free as u64
        };
        assert_eq!(free(), MEMORY_BYTES);
        let blocks: Vec<u64> = (0..32)
            .map(|_| driver.alloc(2 << 20).expect("memory"))
            .collect();
        assert_eq!(driver.alloc(256), Err(OUT_OF_MEMORY));
        assert_eq!(driver.alloc(usize::MAX), Err(OUT_OF_MEMORY));
        assert_eq!(free(), 0);
        assert_eq!(driver.free(blocks[3]), 0);
        assert_eq!(driver.alloc(2 << 20), Ok(blocks[3]));
        assert_eq!(driver.free(blocks[3] + 256), INVALID_VALUE);
        assert_eq!(driver.free(0), 0);
        assert_eq!(free(), 0);
    });
}

#[test]
fn an_asynchronous_copy_is_there_when_the_wait_returns() {
    alone(
        "an_asynchronous_copy_is_there_when_the_wait_returns",
        || {
            offer(Script::default());
            let driver = Driver::open();
            driver.start();
            let address = driver.alloc(3_000_000).expect("memory");
            let data: Vec<u8> = (0..3_000_000u32).map(|index| (index % 251) as u8).collect();
            assert_eq!(driver.to_device(address, &data), 0);
            let copy: extern "C" fn(*mut u8, u64, usize, *mut c_void) -> c_uint =
                driver.get("cuMemcpyDtoHAsync_v2");
            let mut halves = [vec![0; 1_500_000], vec![0; 1_500_000]];
            let [first, second] = &mut halves;
            assert_eq!(
                copy(first.as_mut_ptr(), address, 1_500_000, std::ptr::null_mut()),
                0
            );
            assert_eq!(
                copy(
                    second.as_mut_ptr(),
                    address + 1_500_000,
                    1_500_000,
                    std::ptr::null_mut()
                ),
                0
            );
            assert_eq!(driver.synchronize(), 0);
            assert!(halves.concat() == data);
        },
    );
}

#[test]
fn rectangles_are_copied_row_by_row() {
    alone("rectangles_are_copied_row_by_row", || {
        offer(Script::default());
        let driver = Driver::open();
        driver.start();
        let address = driver.alloc(512 * 100).expect("memory");
        #[repr(C)]
        struct Copy2D([usize; 16]);
        let copy: extern "C" fn(*const Copy2D) -> c_uint = driver.get("cuMemcpy2D_v2");
        let (host, device) = (1, 2);
        let source: Vec<u8> = (0..300 * 100u32).map(|index| (index % 253) as u8).collect();
        // x, y, type, host, device, array, pitch of source and target; width and rows.
        let up = Copy2D([
            0,
            0,
            host,
            source.as_ptr() as usize,
            0,
            0,
            300,
            0,
            0,
            device,
            0,
            address as usize,
            0,
            512,
            200,
            100,
        ]);
        assert_eq!(copy(&up), 0);
        let mut target = vec![0u8; 250 * 100];
        let down = Copy2D([
            0,
            0,
            device,
            0,
            address as usize,
            0,
            512,
            50,
            0,
            host,
            target.as_mut_ptr() as usize,
            0,
            0,
            250,
            200,
            100,
        ]);
        assert_eq!(copy(&down), 0);
        for row in 0..100 {
            assert_eq!(target[row * 250..row * 250 + 50], [0; 50]);
            assert!(target[row * 250 + 50..(row + 1) * 250] == source[row * 300..row * 300 + 200]);
        }
    });
}

#[test]
fn a_fault_is_sticky_in_its_context() {
    alone("a_fault_is_sticky_in_its_context", || {
        offer(Script {
            fault: ILLEGAL_ADDRESS,
            ..Script::default()
        });
        let driver = Driver::open();
        driver.start();
        let kernel = driver.kernel("fail");
        assert_eq!(driver.launch(kernel, 0, 0), 0);
        assert_eq!(driver.synchronize(), ILLEGAL_ADDRESS);
        assert_eq!(driver.synchronize(), ILLEGAL_ADDRESS);
        assert_eq!(driver.launch(kernel, 0, 0), ILLEGAL_ADDRESS);
        assert_eq!(driver.alloc(16), Err(ILLEGAL_ADDRESS));
        let mut other = std::ptr::null_mut();
        let create: extern "C" fn(*mut *mut c_void, c_uint, c_int) -> c_uint =
            driver.get("cuCtxCreate_v2");
        assert_eq!(create(&mut other, 0, 0), 0);
        assert_eq!(driver.synchronize(), 0, "another context is not disturbed");
        assert!(driver.alloc(16).is_ok());
    });
}

#[test]
fn a_worker_that_dies_makes_every_call_fail_and_none_hang() {
    alone(
        "a_worker_that_dies_makes_every_call_fail_and_none_hang",
        || {
            offer(Script::default());
            let driver = Driver::open();
            let context = driver.start();
            let kernel = driver.kernel("die");
            let idle = driver.kernel("nothing");
            let waiters: Vec<_> = (0..4)
                .map(|_| {
                    let context = context as usize;
                    std::thread::spawn(move || {
                        driver.make_current(context as *mut c_void);
                        loop {
                            let result = driver.synchronize();
                            if result != 0 {
                                return result;
                            }
                        }
                    })
                })
                .collect();
            assert_eq!(driver.launch(kernel, 0, 0), 0);
            for waiter in waiters {
                assert_eq!(waiter.join().expect("no panic"), DEVICE_UNAVAILABLE);
            }
            assert_eq!(driver.synchronize(), DEVICE_UNAVAILABLE);
            assert_eq!(driver.launch(idle, 0, 0), DEVICE_UNAVAILABLE);
            assert_eq!(driver.alloc(16), Err(DEVICE_UNAVAILABLE));
        },
    );
}

#[test]
fn threads_launch_and_wait_at_once() {
    alone("threads_launch_and_wait_at_once", || {
        let script = offer(Script::default());
        let driver = Driver::open();
        let context = driver.start() as usize;
        let kernel = driver.kernel("write") as usize;
        let memory = driver.alloc(8 * 4096).expect("memory");
        let threads: Vec<_> = (0..8u64)
            .map(|thread| {
                std::thread::spawn(move || {
                    assert_eq!(driver.make_current(context as *mut c_void), 0);
                    let address = memory + thread * 4096;
                    for round in 0..200u32 {
                        let value = thread as u32 * 1_000 + round;
                        for _ in 0..10 {
                            assert_eq!(driver.launch(kernel as *mut c_void, address, value), 0);
                        }
                        if round % 3 == 0 {
                            assert_eq!(driver.synchronize(), 0);
                        }
                        let mut read = [0; 4];
                        assert_eq!(driver.to_host(&mut read, address), 0);
                        assert_eq!(u32::from_le_bytes(read), value);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(script.launches.load(SeqCst), 8 * 200 * 10);
    });
}

#[test]
fn a_forked_child_has_no_session_and_does_not_disturb_the_parent() {
    alone(
        "a_forked_child_has_no_session_and_does_not_disturb_the_parent",
        || {
            let script = offer(Script::default());
            let driver = Driver::open();
            driver.start();
            let address = driver.alloc(4096).expect("memory");
            // SAFETY: the child calls only the library and leaves by _exit.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let mut count = 0;
                let get_count: extern "C" fn(*mut c_int) -> c_uint = driver.get("cuDeviceGetCount");
                let results = [
                    get_count(&mut count),
                    driver.synchronize(),
                    driver.free(address),
                    driver.init(),
                ];
                let as_wanted = results.iter().all(|result| *result == NOT_INITIALIZED);
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(if as_wanted { 0 } else { 1 }) };
            }
            let mut status = 0;
            // SAFETY: waits for the child that was made above.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0);
            assert_eq!(driver.synchronize(), 0);
            assert_eq!(driver.to_device(address, &[7; 4096]), 0);
            assert_eq!(driver.synchronize(), 0);
            assert_eq!(script.ended.load(SeqCst), 0);
        },
    );
}

#[test]
fn errors_at_start_say_what_is_wrong() {
    alone("errors_at_start_say_what_is_wrong", || {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("AQUIFER_SOCKET", "/nonexistent/aquifer.sock") };
        let driver = Driver::open();
        assert_eq!(driver.synchronize(), NOT_INITIALIZED);
        assert_eq!(driver.init(), NO_DEVICE);
        offer(Script {
            newer: 1,
            ..Script::default()
        });
        assert_eq!(driver.init(), MISMATCH);
        // Where an address range is taken in this process, the next one is used.
        let taken = Box::leak(vec![0u8; 1 << 20].into_boxed_slice()).as_ptr() as u64 & !0xfff;
        offer(Script {
            taken_ranges: Mutex::new(vec![0x7200_0000_0000, taken, taken]),
            ..Script::default()
        });
        assert_eq!(driver.init(), 0);
        driver.start();
        assert_eq!(driver.alloc(1), Ok(0x7200_0000_0000));
    });
}

#[test]
fn what_is_wrong_with_a_call_is_said_without_asking() {
    alone("what_is_wrong_with_a_call_is_said_without_asking", || {
        let script = offer(Script::default());
        let driver = Driver::open();
        driver.start();
        let kernel = driver.kernel("write");
        let address = driver.alloc(1024).expect("memory");
        let before = (script.requests.load(SeqCst), script.launches.load(SeqCst));
        let launch = driver.launcher();
        let (first, second) = (address, 1u32);
        let mut parameters = [
            (&raw const first).cast::<c_void>(),
            (&raw const second).cast(),
        ];
        let each = parameters.as_mut_ptr();
        assert_eq!(launch(kernel, [0, 1, 1], [1; 3], each), INVALID_VALUE);
        assert_eq!(launch(kernel, [1; 3], [1025, 1, 1], each), INVALID_VALUE);
        assert_eq!(
            launch(kernel, [1; 3], [257, 1, 1], each),
            701,
            "more threads than the function can have"
        );
        assert_eq!(
            launch(kernel, [1; 3], [1; 3], std::ptr::null_mut()),
            INVALID_VALUE
        );
        assert_eq!(
            launch(std::ptr::dangling_mut(), [1; 3], [1; 3], each),
            INVALID_HANDLE
        );
        assert_eq!(driver.to_device(address, &[0; 1025]), INVALID_VALUE);
        assert_eq!(driver.to_device(address + 1024, &[0]), INVALID_VALUE);
        assert_eq!(driver.to_host(&mut [0; 8], 64), INVALID_VALUE);
        assert_eq!(
            (script.requests.load(SeqCst), script.launches.load(SeqCst)),
            before
        );
    });
}

#[test]
fn calls_that_are_not_supported_say_so_and_are_counted() {
    alone(
        "calls_that_are_not_supported_say_so_and_are_counted",
        || {
            let script = offer(Script::default());
            let driver = Driver::open();
            driver.start();
            for name in ["cuGraphCreate", "cuMemAllocAsync", "cuArrayCreate_v2"] {
                assert_eq!(
                    driver.get::<extern "C" fn() -> c_uint>(name)(),
                    NOT_SUPPORTED,
                    "{name}"
                );
            }
            assert!(
                driver.alloc(16).is_ok(),
                "asks the worker, which takes the counts along"
            );
            assert_eq!(script.not_supported.load(SeqCst), 3);
        },
    );
}

#[test]
fn handles_of_an_ended_context_are_dead() {
    alone("handles_of_an_ended_context_are_dead", || {
        let script = offer(Script::default());
        let driver = Driver::open();
        let context = driver.start();
        let kernel = driver.kernel("write");
        let mut stream = std::ptr::null_mut();
        let create: extern "C" fn(*mut *mut c_void, c_uint) -> c_uint =
            driver.get("cuStreamCreate");
        assert_eq!(create(&mut stream, 0), 0);
        let wait: extern "C" fn(*mut c_void) -> c_uint = driver.get("cuStreamSynchronize");
        assert_eq!(wait(stream), 0);
        let release: extern "C" fn(c_int) -> c_uint = driver.get("cuDevicePrimaryCtxRelease_v2");
        assert_eq!(release(0), 0);
        assert_eq!(
            driver.synchronize(),
            709,
            "the thread's context is destroyed"
        );
        let again = driver.start();
        assert_ne!(again, context);
        assert_eq!(wait(stream), INVALID_HANDLE);
        assert_eq!(driver.launch(kernel, 0, 0), INVALID_HANDLE);
        assert_eq!(driver.synchronize(), 0);
        assert_eq!(script.contexts_destroyed.load(SeqCst), 1);
    });
}

#[test]
fn entry_points_are_found_by_version() {
    alone("entry_points_are_found_by_version", || {
        offer(Script::default());
        let driver = Driver::open();
        type Find = extern "C" fn(*const i8, *mut *mut c_void, c_int, u64, *mut c_uint) -> c_uint;
        let find: Find = driver.get("cuGetProcAddress_v2");
        let look_up = |name: &std::ffi::CStr, version, flags| {
            let (mut address, mut status) = (std::ptr::null_mut(), 9);
            let result = find(name.as_ptr(), &mut address, version, flags, &mut status);
            (result, address, status)
        };
        let symbol = |name: &str| driver.address(name);
        assert_eq!(
            look_up(c"cuMemAlloc", 12000, 0),
            (0, symbol("cuMemAlloc_v2"), 0)
        );
        assert_eq!(
            look_up(c"cuCtxGetDevice", 12080, 0),
            (0, symbol("cuCtxGetDevice"), 0)
        );
        assert_eq!(
            look_up(c"cuCtxGetDevice", 13000, 0),
            (0, symbol("cuCtxGetDevice_v2"), 0)
        );
        assert_eq!(
            look_up(c"cuLaunchKernel", 13000, 2),
            (0, symbol("cuLaunchKernel_ptsz"), 0)
        );
        assert_eq!(look_up(c"", 0, 0), (0, std::ptr::null_mut(), 1));
        assert_eq!(
            look_up(c"cuNoSuchThing", 13000, 0),
            (NOT_FOUND, std::ptr::null_mut(), 1)
        );
        assert_eq!(
            look_up(c"cuLibraryLoadData", 11000, 0),
            (NOT_FOUND, std::ptr::null_mut(), 2)
        );
        assert_eq!(look_up(c"cuInit", 13000, 3).0, INVALID_VALUE);
    });
}
