//! Contexts, streams and events. Kernels are null here: what runs on streams are host functions.

mod support;

use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use support::*;

const NULL_KERNELS: [(&str, &str); 1] = [("SOFTGPU_NULL_KERNELS", "1")];

static GATE: AtomicBool = AtomicBool::new(false);
static LOG: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Holds a stream until the gate opens.
unsafe extern "C" fn wait_at_gate(_: *mut c_void) {
    while !GATE.load(SeqCst) {
        std::thread::sleep(Duration::from_micros(100));
    }
}

unsafe extern "C" fn note(argument: *mut c_void) {
    LOG.lock().unwrap().push(argument as usize);
}

fn hold(stream: *mut c_void) {
    GATE.store(false, SeqCst);
    ok!(cuLaunchHostFunc(
        stream,
        wait_at_gate as unsafe extern "C" fn(*mut c_void),
        NULL
    ));
}

fn then_note(stream: *mut c_void, number: usize) {
    ok!(cuLaunchHostFunc(
        stream,
        note as unsafe extern "C" fn(*mut c_void),
        number as *mut c_void
    ));
}

fn noted() -> Vec<usize> {
    std::mem::take(&mut LOG.lock().unwrap())
}

fn stream(flags: u32) -> *mut c_void {
    let mut stream = NULL;
    ok!(cuStreamCreate(&raw mut stream, flags));
    stream
}

#[test]
fn contexts() {
    in_own_process("contexts", &NULL_KERNELS, child_contexts);
}

fn child_contexts() {
    ok!(cuInit(0u32));
    let (mut a, mut b, mut got, mut flags, mut active, mut device) =
        (NULL, NULL, NULL, 0u32, 0i32, 9i32);
    ok!(cuDevicePrimaryCtxGetState(
        0i32,
        &raw mut flags,
        &raw mut active
    ));
    assert_eq!(active, 0);
    ok!(cuCtxGetCurrent(&raw mut got));
    assert!(got.is_null());
    assert_eq!(cu!(cuCtxGetDevice(&raw mut device)), 201);
    ok!(cuDevicePrimaryCtxSetFlags_v2(0i32, 4u32));
    assert_eq!(cu!(cuDevicePrimaryCtxSetFlags_v2(0i32, 3u32)), 1);
    ok!(cuDevicePrimaryCtxRetain(&raw mut a, 0i32));
    ok!(cuDevicePrimaryCtxRetain(&raw mut got, 0i32));
    assert_eq!(a, got);
    ok!(cuDevicePrimaryCtxGetState(
        0i32,
        &raw mut flags,
        &raw mut active
    ));
    assert_eq!((flags & 7, active), (4, 1));
    assert_eq!(
        cu!(cuCtxDestroy_v2(a)),
        1,
        "a primary context is released, not destroyed"
    );
    ok!(cuCtxPushCurrent_v2(a));
    ok!(cuCtxCreate_v4(&raw mut b, NULL, 0u32, 0i32));
    ok!(cuCtxGetCurrent(&raw mut got));
    assert_eq!(got, b);
    ok!(cuCtxPopCurrent_v2(&raw mut got));
    assert_eq!(got, b);
    ok!(cuCtxGetDevice(&raw mut device));
    assert_eq!(device, 0);
    ok!(cuCtxSetCurrent(b));
    ok!(cuCtxDestroy_v2(b));
    assert_eq!(cu!(cuCtxDestroy_v2(b)), 201);
    assert_eq!(cu!(cuCtxSetCurrent(b)), 201);
    assert_eq!(
        cu!(cuCtxSetCurrent(std::ptr::without_provenance_mut::<c_void>(
            77
        ))),
        201
    );
    assert_eq!(cu!(cuCtxCreate_v2(&raw mut b, 0x1000u32, 0i32)), 1);
    assert_eq!(cu!(cuCtxCreate_v2(&raw mut b, 0u32, 5i32)), 101);
    ok!(cuCtxSetCurrent(a));
    let (mut limit, mut config, mut least, mut greatest) = (0usize, 9u32, 9i32, 9i32);
    ok!(cuCtxGetLimit(&raw mut limit, 0u32));
    assert_eq!(limit, 1024);
    ok!(cuCtxSetLimit(0u32, 4096usize));
    ok!(cuCtxGetLimit(&raw mut limit, 0u32));
    assert_eq!(limit, 4096);
    assert_eq!(cu!(cuCtxGetLimit(&raw mut limit, 99u32)), 215);
    ok!(cuCtxSetCacheConfig(2u32));
    ok!(cuCtxGetCacheConfig(&raw mut config));
    assert_eq!(config, 2);
    assert_eq!(cu!(cuCtxSetCacheConfig(4u32)), 1);
    ok!(cuCtxGetStreamPriorityRange(
        &raw mut least,
        &raw mut greatest
    ));
    assert_eq!((least, greatest), (0, -5));
    ok!(cuDevicePrimaryCtxRelease_v2(0i32));
    ok!(cuCtxSynchronize());
    ok!(cuDevicePrimaryCtxRelease_v2(0i32));
    assert_eq!(
        cu!(cuCtxSynchronize()),
        709,
        "the last release ends the context"
    );
    assert_eq!(cu!(cuDevicePrimaryCtxRelease_v2(0i32)), 201);
    // Another thread has no context of this one's.
    std::thread::spawn(|| {
        let mut got = std::ptr::without_provenance_mut::<c_void>(5);
        ok!(cuCtxGetCurrent(&raw mut got));
        assert!(got.is_null());
    })
    .join()
    .unwrap();
}

#[test]
fn order() {
    in_own_process("order", &NULL_KERNELS, child_order);
}

fn child_order() {
    start();
    let s = stream(1);
    hold(s);
    (0..100).for_each(|number| then_note(s, number));
    assert_eq!(cu!(cuStreamQuery(s)), 600);
    // Null kernels keep their place in a stream that is busy.
    let nothing = function(load(PTX), c"nothing");
    assert_eq!(launch(nothing, 1, 1, s, &mut []), 0);
    assert!(noted().is_empty());
    GATE.store(true, SeqCst);
    ok!(cuStreamSynchronize(s));
    assert_eq!(noted(), (0..100).collect::<Vec<_>>());
    ok!(cuStreamQuery(s));

    // A stream destroyed early still does what it was given; its handle is gone at once.
    hold(s);
    then_note(s, 7);
    ok!(cuStreamDestroy_v2(s));
    assert_eq!(cu!(cuStreamQuery(s)), 400);
    assert_eq!(cu!(cuStreamDestroy_v2(s)), 400);
    assert_eq!(launch(nothing, 1, 1, s, &mut []), 400);
    let other = stream(1);
    assert_ne!(other, s);
    ok!(cuStreamQuery(other));
    GATE.store(true, SeqCst);
    while noted() != [7] {
        std::thread::yield_now();
    }
    assert_eq!(
        cu!(cuStreamCreate(std::ptr::from_mut(&mut { NULL }), 2u32)),
        1
    );
    assert_eq!(
        cu!(cuStreamSynchronize(std::ptr::without_provenance_mut::<
            c_void,
        >(0xdead_beefusize))),
        400
    );
    let (mut flags, mut priority, mut context, mut current, mut id, mut other_id) =
        (9u32, 9i32, NULL, NULL, 0u64, 0u64);
    let mut high = NULL;
    ok!(cuStreamCreateWithPriority(&raw mut high, 1u32, -100i32));
    ok!(cuStreamGetFlags(high, &raw mut flags));
    ok!(cuStreamGetPriority(high, &raw mut priority));
    ok!(cuStreamGetCtx(high, &raw mut context));
    ok!(cuCtxGetCurrent(&raw mut current));
    assert_eq!((flags, priority, context), (1, -5, current));
    ok!(cuStreamGetId(high, &raw mut id));
    ok!(cuStreamGetId(other, &raw mut other_id));
    assert_ne!(id, other_id);

    // Copies that do not fit into the caller's time are staged: the source may change at once.
    let address = device_memory(8 << 20);
    let mut source = vec![1u8; 8 << 20];
    let mut back = vec![0u8; 8 << 20];
    hold(high);
    ok!(cuMemcpyHtoDAsync_v2(
        address,
        source.as_ptr(),
        8usize << 20,
        high
    ));
    source.fill(2);
    GATE.store(true, SeqCst);
    ok!(cuMemcpyDtoHAsync_v2(
        back.as_mut_ptr(),
        address,
        8usize << 20,
        high
    ));
    assert!(
        back.iter().all(|byte| *byte == 1),
        "a copy to pageable memory is over when the call returns"
    );
}

#[test]
fn legacy_stream() {
    in_own_process("legacy_stream", &NULL_KERNELS, child_legacy_stream);
}

fn child_legacy_stream() {
    start();
    let (blocking, free) = (stream(0), stream(1));
    // The legacy stream waits for blocking streams, and they for it; the others do as they please.
    hold(blocking);
    then_note(NULL, 1);
    then_note(blocking, 2);
    then_note(free, 3);
    while LOG.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(noted(), [3]);
    GATE.store(true, SeqCst);
    ok!(cuCtxSynchronize());
    let order = noted();
    assert_eq!(order, [1, 2]);

    // A synchronous copy is in the legacy stream.
    let address = device_memory(4096);
    hold(blocking);
    let opener = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(50));
        GATE.store(true, SeqCst);
    });
    ok!(cuMemsetD8_v2(address, 1u8, 4096usize));
    assert!(GATE.load(SeqCst), "the set waited");
    opener.join().unwrap();

    // Per-thread default streams differ between threads, and block.
    hold(std::ptr::without_provenance_mut::<c_void>(2));
    assert_eq!(cu!(cuStreamQuery_ptsz(NULL)), 600);
    assert_eq!(
        cu!(cuStreamQuery(std::ptr::without_provenance_mut::<c_void>(2))),
        600
    );
    ok!(cuStreamQuery(std::ptr::without_provenance_mut::<c_void>(1)));
    let mut context = NULL;
    ok!(cuCtxGetCurrent(&raw mut context));
    let context = context as usize;
    std::thread::spawn(move || {
        ok!(cuCtxSetCurrent(context as *mut c_void));
        ok!(cuStreamQuery_ptsz(NULL));
    })
    .join()
    .unwrap();
    then_note(NULL, 4);
    assert_eq!(cu!(cuStreamQuery(NULL)), 600);
    GATE.store(true, SeqCst);
    ok!(cuStreamSynchronize(NULL));
    assert_eq!(noted(), [4]);
}

#[test]
fn events() {
    in_own_process("events", &NULL_KERNELS, child_events);
}

fn child_events() {
    start();
    let (a, b) = (stream(1), stream(1));
    let (mut first, mut second, mut untimed, mut elapsed) = (NULL, NULL, NULL, 0f32);
    ok!(cuEventCreate(&raw mut first, 0u32));
    ok!(cuEventCreate(&raw mut second, 1u32));
    ok!(cuEventCreate(&raw mut untimed, 2u32));
    assert_eq!(
        cu!(cuEventCreate(std::ptr::from_mut(&mut { NULL }), 8u32)),
        1
    );
    assert_eq!(
        cu!(cuEventCreate(std::ptr::from_mut(&mut { NULL }), 6u32)),
        801
    );
    ok!(cuEventQuery(first));
    assert_eq!(
        cu!(cuEventElapsedTime_v2(&raw mut elapsed, first, second)),
        400,
        "never recorded"
    );
    ok!(cuEventRecord(first, a));
    hold(a);
    ok!(cuEventRecord(second, a));
    ok!(cuEventRecord(untimed, a));
    assert_eq!(cu!(cuEventQuery(second)), 600);
    assert_eq!(
        cu!(cuEventElapsedTime_v2(&raw mut elapsed, first, second)),
        600
    );
    assert_eq!(
        cu!(cuEventElapsedTime_v2(&raw mut elapsed, first, untimed)),
        400
    );
    // What is before the event in one stream is before what waits for it in the other.
    then_note(a, 1);
    ok!(cuEventRecord(untimed, a));
    ok!(cuStreamWaitEvent(b, untimed, 0u32));
    then_note(b, 2);
    std::thread::sleep(Duration::from_millis(20));
    assert!(noted().is_empty());
    GATE.store(true, SeqCst);
    ok!(cuEventSynchronize(second));
    ok!(cuEventElapsedTime_v2(&raw mut elapsed, first, second));
    assert!((20.0..10_000.0).contains(&elapsed), "{elapsed} ms");
    ok!(cuStreamSynchronize(b));
    assert_eq!(noted(), [1, 2]);
    ok!(cuEventQuery(untimed));
    ok!(cuEventDestroy_v2(first));
    assert_eq!(cu!(cuEventDestroy_v2(first)), 400);
    assert_eq!(cu!(cuEventRecord(first, a)), 400);
    assert_eq!(cu!(cuStreamWaitEvent(b, second, 9u32)), 1);
    let mut other = NULL;
    ok!(cuCtxCreate_v2(&raw mut other, 0u32, 0i32));
    assert_eq!(
        cu!(cuEventRecord(second, NULL)),
        400,
        "an event of another context"
    );
}

#[test]
fn many_streams() {
    in_own_process("many_streams", &NULL_KERNELS, child_many_streams);
}

fn child_many_streams() {
    static DONE: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn count(_: *mut c_void) {
        DONE.fetch_add(1, SeqCst);
    }
    let context = start() as usize;
    let work = move || {
        ok!(cuCtxSetCurrent(context as *mut c_void));
        for _ in 0..50 {
            let streams: Vec<_> = (0..10).map(|index| stream(index % 2)).collect();
            for stream in &streams {
                ok!(cuLaunchHostFunc(
                    *stream,
                    count as unsafe extern "C" fn(*mut c_void),
                    NULL
                ));
            }
            ok!(cuLaunchHostFunc(
                NULL,
                count as unsafe extern "C" fn(*mut c_void),
                NULL
            ));
            streams
                .into_iter()
                .for_each(|stream| ok!(cuStreamDestroy_v2(stream)));
        }
    };
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(work)).collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    ok!(cuCtxSynchronize());
    // A destroyed stream is not waited for, but what it was given is done.
    for _ in 0..10_000 {
        if DONE.load(SeqCst) == 4 * 50 * 11 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{} of {} were done", DONE.load(SeqCst), 4 * 50 * 11);
}
