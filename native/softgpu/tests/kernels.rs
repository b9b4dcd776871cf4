//! Kernels that really run: their results, and what their faults do.

mod support;

use std::ffi::c_void;
use support::*;

fn parameter<T>(value: &mut T) -> *mut c_void {
    (value as *mut T).cast()
}

#[test]
fn kernels_compute() {
    in_own_process("kernels_compute", &[], child_compute);
}

fn child_compute() {
    start();
    let module = load(PTX);
    let fill = function(module, c"fill");
    let mut stream = NULL;
    ok!(cuStreamCreate(&raw mut stream, 1u32));
    let (mut target, mut value) = (device_memory(4096), 100u32);
    let mut back = [0u32; 1024];
    assert_eq!(
        launch(
            fill,
            4,
            256,
            stream,
            &mut [parameter(&mut target), parameter(&mut value)]
        ),
        0
    );
    value = 5; // the launch has its own copy
    ok!(cuMemcpyDtoHAsync_v2(
        back.as_mut_ptr(),
        target,
        4096usize,
        stream
    ));
    ok!(cuStreamSynchronize(stream));
    assert!(
        back.iter()
            .enumerate()
            .all(|(index, word)| *word == 100 + index as u32)
    );
    assert_eq!(value, 5);

    // The same, packed, on a kernel of a library.
    let (mut library, mut kernel) = (NULL, NULL);
    let none = std::ptr::null_mut::<u32>();
    let nothing = std::ptr::null_mut::<*mut c_void>();
    ok!(cuLibraryLoadData(
        &raw mut library,
        PTX.as_ptr(),
        none,
        nothing,
        0u32,
        none,
        nothing,
        0u32
    ));
    ok!(cuLibraryGetKernel(
        &raw mut kernel,
        library,
        c"fill".as_ptr()
    ));
    let mut packed = [0u8; 12];
    packed[..8].copy_from_slice(&target.to_le_bytes());
    packed[8..].copy_from_slice(&7u32.to_le_bytes());
    let mut size = 12usize;
    let mut extra = [
        std::ptr::without_provenance_mut::<c_void>(1),
        packed.as_mut_ptr().cast(),
        std::ptr::without_provenance_mut::<c_void>(2),
        parameter(&mut size),
        NULL,
    ];
    ok!(cuLaunchKernel(
        kernel,
        1u32,
        1u32,
        1u32,
        32u32,
        1u32,
        1u32,
        0u32,
        stream,
        nothing,
        extra.as_mut_ptr()
    ));
    ok!(cuStreamSynchronize(stream));
    ok!(cuMemcpyDtoH_v2(back.as_mut_ptr(), target, 128usize));
    assert_eq!(back[31], 38);

    // Globals are initialised, per module.
    let (mut address, mut bytes, mut word) = (0u64, 0usize, 0u32);
    ok!(cuModuleGetGlobal_v2(
        &raw mut address,
        &raw mut bytes,
        module,
        c"counter".as_ptr()
    ));
    assert_eq!(bytes, 4);
    ok!(cuMemcpyDtoH_v2(&raw mut word, address, 4usize));
    assert_eq!(word, 7);
    ok!(cuMemsetD32_v2(address, 9u32, 1usize));
    ok!(cuLibraryGetGlobal(
        &raw mut address,
        &raw mut bytes,
        library,
        c"counter".as_ptr()
    ));
    ok!(cuMemcpyDtoH_v2(&raw mut word, address, 4usize));
    assert_eq!(word, 7);
    ok!(cuLibraryUnload(library));
    assert_eq!(launch(kernel, 1, 1, stream, &mut []), 400);
}

#[test]
fn a_fault_ends_its_context_alone() {
    if plays("child_fault") {
        return child_fault();
    }
    let output = child("a_fault_ends_its_context_alone", "child_fault", &[])
        .output()
        .unwrap();
    let text = said(&output);
    assert!(passed(&output), "{text}");
    let source = PTX.to_str().unwrap();
    let line = 1 + source
        .lines()
        .position(|line| line.contains("st.global"))
        .unwrap();
    let sentence = format!("softgpu: device 0: fill, PTX line {line}: illegal address");
    assert!(text.contains(&sentence), "{text}");
}

fn child_fault() {
    let primary = start();
    let mut other = NULL;
    ok!(cuCtxCreate_v2(&raw mut other, 0u32, 0i32));
    let fill = function(load(PTX), c"fill");
    let (mut target, mut value) = (device_memory(1024), 1u32);
    assert_eq!(
        launch(
            fill,
            2,
            256,
            NULL,
            &mut [parameter(&mut target), parameter(&mut value)]
        ),
        0
    );
    let mut address = 0u64;
    assert_eq!(cu!(cuCtxSynchronize()), 700);
    assert_eq!(cu!(cuMemAlloc_v2(&raw mut address, 16usize)), 700);
    assert_eq!(cu!(cuMemFree_v2(target)), 700);
    assert_eq!(cu!(cuStreamSynchronize(NULL)), 700);
    assert_eq!(
        launch(
            fill,
            1,
            1,
            NULL,
            &mut [parameter(&mut target), parameter(&mut value)]
        ),
        700
    );
    ok!(cuCtxSetCurrent(primary));
    let fill = function(load(PTX), c"fill");
    let mut target = device_memory(1024);
    assert_eq!(
        launch(
            fill,
            1,
            256,
            NULL,
            &mut [parameter(&mut target), parameter(&mut value)]
        ),
        0
    );
    ok!(cuCtxSynchronize());
    // A misaligned address.
    target += 2;
    assert_eq!(
        launch(
            fill,
            1,
            1,
            NULL,
            &mut [parameter(&mut target), parameter(&mut value)]
        ),
        0
    );
    assert_eq!(cu!(cuCtxSynchronize()), 716);
}

#[test]
fn an_endless_kernel_ends_with_its_context() {
    in_own_process(
        "an_endless_kernel_ends_with_its_context",
        &[],
        child_endless,
    );
}

fn child_endless() {
    start();
    let mut context = NULL;
    ok!(cuCtxCreate_v2(&raw mut context, 0u32, 0i32));
    let spin = function(load(PTX), c"spin");
    let (mut stream, mut event, mut until) = (NULL, NULL, u64::MAX);
    ok!(cuStreamCreate(&raw mut stream, 0u32));
    ok!(cuEventCreate(&raw mut event, 0u32));
    assert_eq!(launch(spin, 1, 1, stream, &mut [parameter(&mut until)]), 0);
    ok!(cuEventRecord(event, stream));
    assert_eq!(cu!(cuStreamQuery(stream)), 600);
    assert_eq!(cu!(cuEventQuery(event)), 600);
    let began = std::time::Instant::now();
    ok!(cuCtxDestroy_v2(context));
    assert!(began.elapsed().as_secs() < 5);
    assert_eq!(cu!(cuStreamQuery(stream)), 709);
}

#[test]
fn time_is_one_resource_and_is_measured() {
    in_own_process("time_is_one_resource_and_is_measured", &[], child_time);
}

fn child_time() {
    start();
    let spin = function(load(PTX), c"spin");
    let (mut events, mut streams, mut until) = ([NULL; 4], [NULL; 2], 3_000_000u64);
    events
        .iter_mut()
        .for_each(|event| ok!(cuEventCreate(event as *mut _, 0u32)));
    streams
        .iter_mut()
        .for_each(|stream| ok!(cuStreamCreate(stream as *mut _, 1u32)));
    let began = std::time::Instant::now();
    for (stream, pair) in streams.iter().zip(events.chunks(2)) {
        ok!(cuEventRecord(pair[0], *stream));
        assert_eq!(launch(spin, 1, 1, *stream, &mut [parameter(&mut until)]), 0);
        ok!(cuEventRecord(pair[1], *stream));
    }
    let mut elapsed = 0f32;
    assert_eq!(
        cu!(cuEventElapsedTime_v2(
            &raw mut elapsed,
            events[0],
            events[1]
        )),
        600
    );
    ok!(cuCtxSynchronize());
    let all = began.elapsed().as_secs_f32() * 1e3;
    ok!(cuEventElapsedTime_v2(
        &raw mut elapsed,
        events[0],
        events[1]
    ));
    let first = elapsed;
    ok!(cuEventElapsedTime(&raw mut elapsed, events[2], events[3]));
    assert!(first > 1.0 && elapsed > 1.0, "{first} and {elapsed} ms");
    // Either the second waited for the first, or the first for the second.
    assert!(
        first.max(elapsed) > 1.5 * first.min(elapsed),
        "{first} and {elapsed} ms ran side by side"
    );
    assert!(
        first.max(elapsed) <= all,
        "{first} and {elapsed} of {all} ms"
    );
}
