//! Device, host and virtual memory, copies and sets.

mod support;

use std::ffi::c_void;
use support::*;

const MIB: usize = 1 << 20;

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Properties {
    kind: u32,
    handles: u32,
    place: u32,
    id: i32,
    rest: [u64; 2],
}

const ON_DEVICE: Properties = Properties {
    kind: 1,
    handles: 0,
    place: 1,
    id: 0,
    rest: [0; 2],
};
const READ_WRITE: [u32; 3] = [1, 0, 3];

fn free_memory() -> usize {
    let (mut free, mut total) = (0usize, 0usize);
    ok!(cuMemGetInfo_v2(&raw mut free, &raw mut total));
    assert_eq!(total, 8 << 30);
    free
}

#[test]
fn allocations() {
    in_own_process("allocations", &[], child_allocations);
}

fn child_allocations() {
    start();
    let before = free_memory();
    let mut address = 0u64;
    assert_eq!(cu!(cuMemAlloc_v2(&raw mut address, 0usize)), 1);
    assert_eq!(cu!(cuMemAlloc_v2(std::ptr::null_mut::<u64>(), 16usize)), 1);
    assert_eq!(cu!(cuMemAlloc_v2(&raw mut address, 9usize << 30)), 2);
    assert_eq!(cu!(cuMemAlloc_v2(&raw mut address, usize::MAX)), 2);
    let a = device_memory(1000);
    let b = device_memory(5 * MIB);
    assert!(a.is_multiple_of(256) && b.is_multiple_of(256));
    assert_eq!(before - free_memory(), 1024 + 5 * MIB);
    let (mut base, mut size) = (0u64, 0usize);
    ok!(cuMemGetAddressRange_v2(
        &raw mut base,
        &raw mut size,
        b + 77
    ));
    assert_eq!((base, size), (b, 5 * MIB));
    assert_eq!(
        cu!(cuMemGetAddressRange_v2(
            &raw mut base,
            &raw mut size,
            a + 1000
        )),
        500
    );
    assert_eq!(cu!(cuMemFree_v2(a + 1)), 1);
    ok!(cuMemFree_v2(a));
    assert_eq!(cu!(cuMemFree_v2(a)), 1);
    ok!(cuMemFree_v2(0u64));
    ok!(cuMemFree_v2(b));
    assert_eq!(free_memory(), before);

    let mut pitch = 0usize;
    ok!(cuMemAllocPitch_v2(
        &raw mut address,
        &raw mut pitch,
        100usize,
        10usize,
        4u32
    ));
    assert_eq!(pitch, 512);
    assert_eq!(
        cu!(cuMemAllocPitch_v2(
            &raw mut address,
            &raw mut pitch,
            100usize,
            10usize,
            3u32
        )),
        1
    );
    assert_eq!(
        cu!(cuMemAllocManaged(&raw mut address, 100usize, 1u32)),
        801
    );
    let mut kind = 0u32;
    ok!(cuPointerGetAttribute(
        (&raw mut kind).cast::<c_void>(),
        2i32,
        address + 5
    ));
    assert_eq!(kind, 2);
    assert_eq!(
        cu!(cuPointerGetAttribute(
            (&raw mut kind).cast::<c_void>(),
            2i32,
            4096u64
        )),
        1
    );

    // A context takes its memory with it.
    let (mut context, before) = (NULL, free_memory());
    ok!(cuCtxCreate_v2(&raw mut context, 0u32, 0i32));
    let lost = device_memory(MIB);
    ok!(cuCtxDestroy_v2(context));
    assert_eq!(free_memory(), before);
    assert_eq!(cu!(cuMemFree_v2(lost)), 1);

    // All of the device, in pieces, and again.
    for _ in 0..2 {
        let mut all = Vec::new();
        while cu!(cuMemAlloc_v2(&raw mut address, 256 * MIB)) == 0 {
            all.push(address);
        }
        assert_eq!(all.len(), 31);
        all.into_iter()
            .for_each(|address| ok!(cuMemFree_v2(address)));
    }
}

#[test]
fn virtual_memory() {
    in_own_process("virtual_memory", &[], child_virtual_memory);
}

fn child_virtual_memory() {
    start();
    let before = free_memory();
    let (mut granularity, properties) = (0usize, ON_DEVICE);
    ok!(cuMemGetAllocationGranularity(
        &raw mut granularity,
        &raw const properties,
        0u32
    ));
    assert_eq!(granularity, 2 * MIB);
    let (mut base, mut handle) = (0u64, 0u64);
    let wanted = 0x4567_8000_0000u64;
    assert_eq!(
        cu!(cuMemAddressReserve(&raw mut base, MIB, 0usize, 0u64, 0u64)),
        1
    );
    assert_eq!(
        cu!(cuMemAddressReserve(
            &raw mut base,
            8 * MIB,
            3usize,
            0u64,
            0u64
        )),
        1
    );
    ok!(cuMemAddressReserve(
        &raw mut base,
        8 * MIB,
        0usize,
        wanted,
        0u64
    ));
    assert_eq!(base, wanted, "a free address is honoured");
    let mut other = 0u64;
    ok!(cuMemAddressReserve(
        &raw mut other,
        8 * MIB,
        0usize,
        wanted,
        0u64
    ));
    assert!(
        other != wanted && (0x4000_0000_0000..0x5000_0000_0000).contains(&other),
        "{other:#x}"
    );
    assert_eq!(cu!(cuMemAddressFree(other, 4 * MIB)), 1);
    ok!(cuMemAddressFree(other, 8 * MIB));

    assert_eq!(
        cu!(cuMemCreate(
            &raw mut handle,
            MIB,
            &raw const properties,
            0u64
        )),
        1
    );
    assert_eq!(
        cu!(cuMemCreate(
            &raw mut handle,
            10usize << 30,
            &raw const properties,
            0u64
        )),
        2
    );
    let shareable = Properties {
        handles: 1,
        ..ON_DEVICE
    };
    assert_eq!(
        cu!(cuMemCreate(
            &raw mut handle,
            4 * MIB,
            &raw const shareable,
            0u64
        )),
        801
    );
    let elsewhere = Properties { id: 9, ..ON_DEVICE };
    assert_eq!(
        cu!(cuMemCreate(
            &raw mut handle,
            4 * MIB,
            &raw const elsewhere,
            0u64
        )),
        101
    );
    ok!(cuMemCreate(
        &raw mut handle,
        4 * MIB,
        &raw const properties,
        0u64
    ));
    assert_eq!(before - free_memory(), 4 * MIB);

    assert_eq!(cu!(cuMemMap(base + 1, 4 * MIB, 0usize, handle, 0u64)), 1);
    assert_eq!(cu!(cuMemMap(base, 8 * MIB, 0usize, handle, 0u64)), 1);
    assert_eq!(
        cu!(cuMemMap(
            base + 8 * MIB as u64,
            4 * MIB,
            0usize,
            handle,
            0u64
        )),
        1
    );
    assert_eq!(cu!(cuMemMap(base, 4 * MIB, 0usize, 12345u64, 0u64)), 1);
    ok!(cuMemMap(base, 4 * MIB, 0usize, handle, 0u64));
    assert_eq!(cu!(cuMemMap(base, 4 * MIB, 0usize, handle, 0u64)), 1);
    assert_eq!(cu!(cuMemAddressFree(base, 8 * MIB)), 1);
    assert_eq!(cu!(cuMemsetD8_v2(base, 1u8, 16usize)), 1, "no access yet");
    assert_eq!(
        cu!(cuMemSetAccess(base, 8 * MIB, READ_WRITE.as_ptr(), 1usize)),
        1
    );
    ok!(cuMemSetAccess(base, 4 * MIB, READ_WRITE.as_ptr(), 1usize));
    let (mut access, place) = (0u64, [1u32, 0]);
    ok!(cuMemGetAccess(&raw mut access, place.as_ptr(), base));
    assert_eq!(access, 3);
    ok!(cuMemsetD8_v2(base, 7u8, 4 * MIB));

    // The same memory at a second address, with the handle already gone.
    let at_second = base + 4 * MIB as u64;
    ok!(cuMemMap(at_second, 4 * MIB, 0usize, handle, 0u64));
    ok!(cuMemSetAccess(
        at_second,
        4 * MIB,
        READ_WRITE.as_ptr(),
        1usize
    ));
    ok!(cuMemRelease(handle));
    assert_eq!(before - free_memory(), 4 * MIB, "mapped memory lives on");
    let mut byte = 0u8;
    ok!(cuMemcpyDtoH_v2(&raw mut byte, at_second + 100, 1usize));
    assert_eq!(byte, 7);
    let mut across = vec![0u8; 2 * MIB];
    ok!(cuMemcpyDtoH_v2(
        across.as_mut_ptr(),
        base + 3 * MIB as u64,
        2 * MIB
    ));
    assert!(
        across.iter().all(|byte| *byte == 7),
        "a copy may cross from mapping to mapping"
    );
    assert_eq!(cu!(cuMemUnmap(base, 2 * MIB)), 1);
    ok!(cuMemUnmap(base, 8 * MIB));
    assert_eq!(free_memory(), before);
    assert_eq!(cu!(cuMemcpyDtoH_v2(&raw mut byte, base, 1usize)), 1);

    // Whoever gets the memory next finds zeros.
    ok!(cuMemCreate(
        &raw mut handle,
        4 * MIB,
        &raw const properties,
        0u64
    ));
    ok!(cuMemMap(base, 4 * MIB, 0usize, handle, 0u64));
    ok!(cuMemSetAccess(base, 4 * MIB, READ_WRITE.as_ptr(), 1usize));
    ok!(cuMemcpyDtoH_v2(across.as_mut_ptr(), base, 2 * MIB));
    assert!(across.iter().all(|byte| *byte == 0));
    let mut retained = 0u64;
    ok!(cuMemRetainAllocationHandle(
        &raw mut retained,
        (base + 5) as *mut c_void
    ));
    assert_eq!(retained, handle);
    let mut told = Properties::default();
    ok!(cuMemGetAllocationPropertiesFromHandle(
        &raw mut told,
        handle
    ));
    assert_eq!((told.kind, told.place, told.id), (1, 1, 0));
    ok!(cuMemRelease(handle));
    ok!(cuMemRelease(handle));
    assert_eq!(cu!(cuMemRelease(handle)), 1);
    ok!(cuMemUnmap(base, 4 * MIB));
    ok!(cuMemAddressFree(base, 8 * MIB));
    assert_eq!(free_memory(), before);
}

#[test]
fn host_memory() {
    in_own_process("host_memory", &[], child_host_memory);
}

fn child_host_memory() {
    start();
    let (mut pinned, mut device, mut flags) = (NULL, 0u64, 0u32);
    assert_eq!(cu!(cuMemHostAlloc(&raw mut pinned, 0usize, 0u32)), 1);
    assert_eq!(cu!(cuMemHostAlloc(&raw mut pinned, 100usize, 0x80u32)), 1);
    ok!(cuMemHostAlloc(&raw mut pinned, 10000usize, 3u32));
    ok!(cuMemHostGetDevicePointer_v2(&raw mut device, pinned, 0u32));
    assert_eq!(device, pinned as u64);
    ok!(cuMemHostGetFlags(&raw mut flags, pinned));
    assert_eq!(flags, 3);
    ok!(cuMemsetD8_v2(device, 9u8, 10000usize));
    // SAFETY: the library made the memory.
    assert_eq!(unsafe { *pinned.cast::<u8>().add(9999) }, 9);
    assert_eq!(cu!(cuMemFree_v2(device)), 1);
    assert_eq!(cu!(cuMemHostUnregister(pinned)), 713);
    ok!(cuMemFreeHost(pinned));
    assert_eq!(cu!(cuMemFreeHost(pinned)), 1);

    let mut own = vec![0u8; 4096];
    let start = own.as_mut_ptr().cast::<c_void>();
    assert_eq!(
        cu!(cuMemHostGetDevicePointer_v2(&raw mut device, start, 0u32)),
        1
    );
    ok!(cuMemHostRegister_v2(start, 4096usize, 0u32));
    assert_eq!(cu!(cuMemHostRegister_v2(start, 100usize, 0u32)), 712);
    ok!(cuMemHostGetDevicePointer_v2(&raw mut device, start, 0u32));
    ok!(cuMemsetD32_v2(device, 0x01020304u32, 1024usize));
    assert_eq!(own[4092..], [4, 3, 2, 1]);
    assert_eq!(cu!(cuMemFreeHost(start)), 1);
    ok!(cuMemHostUnregister(start));
    assert_eq!(cu!(cuMemHostUnregister(start)), 713);
}

#[test]
fn copies() {
    in_own_process("copies", &[], child_copies);
}

fn child_copies() {
    start();
    let source: Vec<u8> = (0..3 * MIB).map(|n| (n * 7 + n / 255) as u8).collect();
    let mut back = vec![0u8; 3 * MIB];
    let (a, b) = (device_memory(3 * MIB), device_memory(3 * MIB));
    let mut stream = NULL;
    ok!(cuStreamCreate(&raw mut stream, 1u32));
    for size in [0usize, 1, 4096, 3 * MIB] {
        ok!(cuMemsetD8_v2(b, 0u8, 3 * MIB));
        back.fill(0);
        ok!(cuMemcpyHtoD_v2(a, source.as_ptr(), size));
        ok!(cuMemcpyDtoD_v2(b, a, size));
        ok!(cuMemcpyDtoH_v2(back.as_mut_ptr(), b, size));
        assert_eq!(back[..size], source[..size]);
        back.fill(0);
        ok!(cuMemcpyHtoDAsync_v2(a, source.as_ptr(), size, stream));
        ok!(cuMemcpyDtoDAsync_v2(b, a, size, stream));
        ok!(cuMemcpyDtoHAsync_v2(back.as_mut_ptr(), b, size, stream));
        ok!(cuStreamSynchronize(stream));
        assert_eq!(back[..size], source[..size]);
        back.fill(0);
        ok!(cuMemcpy(b, source.as_ptr() as u64, size));
        ok!(cuMemcpy(back.as_mut_ptr() as u64, b, size));
        assert_eq!(back[..size], source[..size]);
    }
    assert_eq!(cu!(cuMemcpyHtoD_v2(a, source.as_ptr(), 3 * MIB + 1)), 1);
    assert_eq!(cu!(cuMemcpyHtoD_v2(a - 1, source.as_ptr(), 1usize)), 1);
    assert_eq!(cu!(cuMemcpyHtoD_v2(0u64, source.as_ptr(), 1usize)), 1);
    assert_eq!(cu!(cuMemcpyHtoD_v2(a, NULL, 1usize)), 1);
    assert_eq!(
        cu!(cuMemcpyDtoH_v2(back.as_mut_ptr(), 0x1234u64, 1usize)),
        1
    );
    assert_eq!(
        cu!(cuMemcpyHtoD_v2(u64::MAX - 1, source.as_ptr(), 4usize)),
        1
    );

    // A rectangle of 3 rows of 5 bytes out of rows of 16, into rows of 8.
    let mut copy = [0u64; 16];
    copy[0] = 2; // x and y of the source
    copy[1] = 1;
    copy[2] = 1; // host
    copy[3] = source.as_ptr() as u64;
    copy[6] = 16;
    copy[9] = 2; // device
    copy[11] = b;
    copy[13] = 8;
    copy[14] = 5;
    copy[15] = 3;
    ok!(cuMemsetD8_v2(b, 0u8, 64usize));
    ok!(cuMemcpy2D_v2(copy.as_ptr()));
    ok!(cuMemcpyDtoH_v2(back.as_mut_ptr(), b, 24usize));
    for row in 0..3 {
        assert_eq!(
            back[row * 8..row * 8 + 5],
            source[(row + 1) * 16 + 2..][..5],
            "row {row}"
        );
        assert_eq!(back[row * 8 + 5..row * 8 + 8], [0; 3]);
    }
    copy[13] = 4;
    assert_eq!(
        cu!(cuMemcpy2D_v2(copy.as_ptr())),
        1,
        "a pitch below the width"
    );
    copy[13] = 8;
    copy[9] = 3;
    assert_eq!(cu!(cuMemcpy2D_v2(copy.as_ptr())), 801, "arrays");
}

#[test]
fn sets() {
    in_own_process("sets", &[], child_sets);
}

fn child_sets() {
    start();
    let a = device_memory(4096);
    let mut back = [0u8; 4096];
    ok!(cuMemsetD8_v2(a, 0xaau8, 4096usize));
    ok!(cuMemsetD16_v2(a + 2, 0x0102u16, 3usize));
    ok!(cuMemsetD32Async(a + 16, 0x01020304u32, 2usize, NULL));
    ok!(cuMemsetD2D8_v2(a + 32, 8usize, 0x55u8, 3usize, 2usize));
    ok!(cuMemsetD2D32Async(
        a + 64,
        16usize,
        7u32,
        1usize,
        2usize,
        NULL
    ));
    ok!(cuMemcpyDtoH_v2(back.as_mut_ptr(), a, 4096usize));
    assert_eq!(back[..10], [0xaa, 0xaa, 2, 1, 2, 1, 2, 1, 0xaa, 0xaa]);
    assert_eq!(back[16..25], [4, 3, 2, 1, 4, 3, 2, 1, 0xaa]);
    assert_eq!(
        back[32..44],
        [
            0x55, 0x55, 0x55, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0x55, 0x55, 0x55, 0xaa
        ]
    );
    assert_eq!((back[64], back[68], back[80], back[84]), (7, 0xaa, 7, 0xaa));
    assert_eq!(cu!(cuMemsetD16_v2(a + 1, 1u16, 1usize)), 1);
    assert_eq!(cu!(cuMemsetD32_v2(a + 2, 1u32, 1usize)), 1);
    assert_eq!(cu!(cuMemsetD8_v2(a, 1u8, 4097usize)), 1);
    assert_eq!(cu!(cuMemsetD32_v2(a, 1u32, usize::MAX)), 1);
    ok!(cuMemsetD8_v2(a, 1u8, 0usize));
}
