//! Loading code, what is known of kernels, and what a launch checks. Kernels are null here.

mod support;

use std::ffi::{CStr, c_char, c_void};
use support::*;

/// A fat binary with one entry.
fn fat_binary(kind: u16, flags: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0u8; 96];
    bytes[..4].copy_from_slice(&0xba55_ed50u32.to_le_bytes());
    bytes[4..6].copy_from_slice(&1u16.to_le_bytes());
    bytes[6..8].copy_from_slice(&16u16.to_le_bytes());
    bytes[8..16].copy_from_slice(&(80 + body.len() as u64).to_le_bytes());
    bytes[16..18].copy_from_slice(&kind.to_le_bytes());
    bytes[20..24].copy_from_slice(&80u32.to_le_bytes());
    bytes[24..32].copy_from_slice(&(body.len() as u64).to_le_bytes());
    bytes[44..48].copy_from_slice(&52u32.to_le_bytes());
    bytes[56..64].copy_from_slice(&flags.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn loading() {
    in_own_process("loading", &[("SOFTGPU_NULL_KERNELS", "1")], child_loading);
}

fn child_loading() {
    let mut module = NULL;
    ok!(cuInit(0u32));
    assert_eq!(cu!(cuModuleLoadData(&raw mut module, PTX.as_ptr())), 201);
    start();
    assert_eq!(cu!(cuModuleLoadData(&raw mut module, NULL)), 1);
    assert_eq!(cu!(cuModuleLoadData(&raw mut module, c"".as_ptr())), 200);
    assert_eq!(
        cu!(cuModuleLoadData(
            &raw mut module,
            c"\x7fELF and so on".as_ptr()
        )),
        209
    );
    let whole = fat_binary(1, 0, PTX.to_bytes());
    ok!(cuModuleLoadFatBinary(&raw mut module, whole.as_ptr()));
    function(module, c"fill");
    let wrapper = [0x1_4662_43b1u64, whole.as_ptr() as u64, 0];
    ok!(cuModuleLoadData(&raw mut module, wrapper.as_ptr()));
    assert_eq!(
        cu!(cuModuleLoadData(
            &raw mut module,
            fat_binary(1, 0x8000, b"zstd").as_ptr()
        )),
        209
    );

    // The error log says where; sizes tell how much was written.
    let mut log = [1u8; 200];
    let run = |image: &CStr, log: &mut [u8]| {
        let mut module = NULL;
        let mut options = [5u32, 6, 4];
        let mut values = [
            log.as_mut_ptr().cast::<c_void>(),
            log.len() as *mut c_void,
            std::ptr::without_provenance_mut::<c_void>(99),
        ];
        let code = cu!(cuModuleLoadDataEx(
            &raw mut module,
            image.as_ptr(),
            3u32,
            options.as_mut_ptr(),
            values.as_mut_ptr()
        ));
        (code, values[1] as usize, values[2] as usize)
    };
    let wrong = c".version 7.0\n.target sm_52\n.address_size 64\n.visible .entry k()\n{\n    frobnicate.u32 %r1;\n}\n";
    let (code, written, info) = run(wrong, &mut log);
    let text = CStr::from_bytes_until_nul(&log).unwrap().to_str().unwrap();
    assert_eq!((code, info), (218, 0), "{text}");
    assert!(
        text.starts_with("ptx error: line 6, column 5:") && written == text.len(),
        "{text}"
    );
    let (code, written, _) = run(wrong, &mut log[..10]);
    assert_eq!(
        (code, written, log[9]),
        (218, 9, 0),
        "a log is cut where there is no room"
    );
    assert_eq!(run(PTX, &mut log).0, 0);
    assert_eq!(log[0], 0);

    let directory = Directory::new("modules");
    let path =
        |name: &str| std::ffi::CString::new(directory.0.join(name).to_str().unwrap()).unwrap();
    std::fs::write(directory.0.join("kernels.ptx"), PTX.to_bytes()).unwrap();
    std::fs::write(directory.0.join("kernels.fatbin"), &whole).unwrap();
    std::fs::write(directory.0.join("cut.fatbin"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(directory.0.join("empty"), b"").unwrap();
    ok!(cuModuleLoad(&raw mut module, path("kernels.ptx").as_ptr()));
    ok!(cuModuleLoad(
        &raw mut module,
        path("kernels.fatbin").as_ptr()
    ));
    assert_eq!(
        cu!(cuModuleLoad(&raw mut module, path("cut.fatbin").as_ptr())),
        200
    );
    assert_eq!(
        cu!(cuModuleLoad(&raw mut module, path("empty").as_ptr())),
        200
    );
    assert_eq!(
        cu!(cuModuleLoad(&raw mut module, path("absent").as_ptr())),
        301
    );

    let module = load(PTX);
    let (mut found, mut count, mut all, mut mode) = (NULL, 0u32, [NULL; 8], 0u32);
    assert_eq!(
        cu!(cuModuleGetFunction(
            &raw mut found,
            module,
            c"absent".as_ptr()
        )),
        500
    );
    let fill = function(module, c"fill");
    ok!(cuModuleGetFunctionCount(&raw mut count, module));
    assert_eq!(count, 3);
    ok!(cuModuleEnumerateFunctions(all.as_mut_ptr(), 2u32, module));
    assert_eq!((all[0], all[2]), (fill, NULL));
    ok!(cuModuleGetLoadingMode(&raw mut mode));
    assert_eq!(mode, 1);
    let mut of = NULL;
    ok!(cuFuncGetModule(&raw mut of, fill));
    assert_eq!(of, module);
    ok!(cuModuleUnload(module));
    assert_eq!(cu!(cuModuleUnload(module)), 400);
    assert_eq!(
        cu!(cuModuleGetFunction(
            &raw mut found,
            module,
            c"fill".as_ptr()
        )),
        400
    );
    assert_eq!(launch(fill, 1, 1, NULL, &mut [NULL, NULL]), 400);
}

#[test]
fn libraries() {
    in_own_process(
        "libraries",
        &[("SOFTGPU_NULL_KERNELS", "1")],
        child_libraries,
    );
}

fn child_libraries() {
    start();
    let (mut library, mut kernel, mut count, mut name) =
        (NULL, NULL, 0u32, std::ptr::null::<c_char>());
    let (none, nothing) = (
        std::ptr::null_mut::<u32>(),
        std::ptr::null_mut::<*mut c_void>(),
    );
    assert_eq!(
        cu!(cuLibraryLoadData(
            &raw mut library,
            c"no".as_ptr(),
            none,
            nothing,
            1u32,
            none,
            nothing,
            0u32
        )),
        1
    );
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
    ok!(cuLibraryGetKernelCount(&raw mut count, library));
    assert_eq!(count, 3);
    assert_eq!(
        cu!(cuLibraryGetKernel(
            &raw mut kernel,
            library,
            c"absent".as_ptr()
        )),
        500
    );
    ok!(cuLibraryGetKernel(
        &raw mut kernel,
        library,
        c"nothing".as_ptr()
    ));
    ok!(cuKernelGetName(&raw mut name, kernel));
    assert_eq!(text_at(name), c"nothing");
    let (mut f, mut again, mut module, mut of) = (NULL, NULL, NULL, NULL);
    ok!(cuKernelGetFunction(&raw mut f, kernel));
    ok!(cuLibraryGetModule(&raw mut module, library));
    ok!(cuModuleGetFunction(
        &raw mut again,
        module,
        c"nothing".as_ptr()
    ));
    assert_eq!(f, again);
    ok!(cuKernelGetLibrary(&raw mut of, kernel));
    assert_eq!(of, library);
    assert_eq!(launch(kernel, 1, 1, NULL, &mut []), 0);
    assert_eq!(launch(f, 1, 1, NULL, &mut []), 0);

    // What is set on the kernel holds for its function in every context.
    let (mut value, mut other) = (0i32, NULL);
    ok!(cuKernelSetAttribute(8i32, 100_000i32, kernel, 0i32));
    ok!(cuFuncGetAttribute(&raw mut value, 8i32, f));
    assert_eq!(value, 100_000);
    assert_eq!(
        cu!(cuKernelSetAttribute(8i32, 1_000_000i32, kernel, 0i32)),
        1
    );
    ok!(cuCtxCreate_v2(&raw mut other, 0u32, 0i32));
    assert_eq!(launch(kernel, 1, 1, NULL, &mut []), 0);
    ok!(cuKernelGetFunction(&raw mut again, kernel));
    assert_ne!(f, again);
    ok!(cuFuncGetAttribute(&raw mut value, 8i32, again));
    assert_eq!(value, 100_000);
    ok!(cuLibraryUnload(library));
    assert_eq!(cu!(cuLibraryUnload(library)), 400);
    assert_eq!(cu!(cuKernelGetFunction(&raw mut f, kernel)), 400);
    assert_eq!(launch(kernel, 1, 1, NULL, &mut []), 400);
}

#[test]
fn launch_checks() {
    in_own_process(
        "launch_checks",
        &[("SOFTGPU_NULL_KERNELS", "1")],
        child_launch_checks,
    );
}

fn child_launch_checks() {
    start();
    let module = load(PTX);
    let (fill, nothing) = (function(module, c"fill"), function(module, c"nothing"));
    let none = std::ptr::null_mut::<*mut c_void>();
    let shape = |grid: [u32; 3], block: [u32; 3], shared: u32| {
        cu!(cuLaunchKernel(
            nothing, grid[0], grid[1], grid[2], block[0], block[1], block[2], shared, NULL, none,
            none
        ))
    };
    let one = [1u32; 3];
    assert_eq!(shape(one, one, 0), 0);
    assert_eq!(shape([0, 1, 1], one, 0), 1);
    assert_eq!(shape([1, 65536, 1], one, 0), 1);
    assert_eq!(shape([i32::MAX as u32, 65535, 65535], [1024, 1, 1], 0), 0);
    assert_eq!(shape([1 << 31, 1, 1], one, 0), 1);
    assert_eq!(shape(one, [1, 0, 1], 0), 1);
    assert_eq!(shape(one, [1025, 1, 1], 0), 1);
    assert_eq!(shape(one, [1, 1, 65], 0), 1);
    assert_eq!(shape(one, [32, 32, 2], 0), 1);
    assert_eq!(shape(one, one, 48 << 10), 0);
    assert_eq!(shape(one, one, (48 << 10) + 1), 1);
    ok!(cuFuncSetAttribute(nothing, 8i32, 64 << 10i32));
    assert_eq!(shape(one, one, 64 << 10), 0);

    let (mut address, mut value) = (device_memory(4096), 1u32);
    let mut each = [
        (&raw mut address).cast::<c_void>(),
        (&raw mut value).cast::<c_void>(),
    ];
    assert_eq!(launch(fill, 1, 32, NULL, &mut each), 0);
    assert_eq!(launch(fill, 1, 32, NULL, &mut [each[0], NULL]), 1);
    let params = |each: *mut *mut c_void, extra: *mut *mut c_void| {
        cu!(cuLaunchKernel(
            fill, 1u32, 1u32, 1u32, 1u32, 1u32, 1u32, 0u32, NULL, each, extra
        ))
    };
    assert_eq!(params(none, none), 1);
    let mut packed = [0u64; 2];
    let (mut size, mut less) = (12usize, 11usize);
    let buffer = (&raw mut packed).cast::<c_void>();
    let mut extra = [
        std::ptr::without_provenance_mut::<c_void>(1),
        buffer,
        std::ptr::without_provenance_mut::<c_void>(2),
        (&raw mut size).cast(),
        NULL,
    ];
    assert_eq!(params(none, extra.as_mut_ptr()), 0);
    assert_eq!(params(each.as_mut_ptr(), extra.as_mut_ptr()), 1);
    extra[3] = (&raw mut less).cast();
    assert_eq!(params(none, extra.as_mut_ptr()), 1);
    extra[3] = (&raw mut size).cast();
    extra[0] = std::ptr::without_provenance_mut::<c_void>(5);
    assert_eq!(params(none, extra.as_mut_ptr()), 1);
    extra[0] = NULL;
    assert_eq!(params(none, extra.as_mut_ptr()), 1);

    let no_function = std::ptr::without_provenance_mut::<c_void>(0x1234usize);
    assert_eq!(launch(no_function, 1, 1, NULL, &mut []), 400);
    assert_eq!(launch(NULL, 1, 1, NULL, &mut []), 400);
    assert_eq!(
        cu!(cuLaunchCooperativeKernel(
            nothing, 1u32, 1u32, 1u32, 1u32, 1u32, 1u32, 0u32, NULL, none
        )),
        0
    );
    assert_eq!(
        cu!(cuLaunchCooperativeKernel(
            nothing, 2u32, 1u32, 1u32, 1u32, 1u32, 1u32, 0u32, NULL, none
        )),
        720
    );
    // cuLaunchKernelEx: 7 numbers, stream, attributes, their count; an attribute has 72 bytes.
    let mut attribute = [0u64; 9];
    let mut config = [
        1u64 << 32 | 1,
        1 << 32 | 1,
        1 << 32 | 1,
        0,
        0,
        (&raw mut attribute) as u64,
        1,
    ];
    assert_eq!(
        cu!(cuLaunchKernelEx(config.as_mut_ptr(), nothing, none, none)),
        0
    );
    (attribute[0], attribute[1]) = (4, 2 | 1 << 32);
    assert_eq!(
        cu!(cuLaunchKernelEx(config.as_mut_ptr(), nothing, none, none)),
        801,
        "clusters"
    );
    attribute[0] = 99;
    std::hint::black_box(&mut attribute);
    assert_eq!(
        cu!(cuLaunchKernelEx(config.as_mut_ptr(), nothing, none, none)),
        1
    );
    let mut other = NULL;
    ok!(cuCtxCreate_v2(&raw mut other, 0u32, 0i32));
    assert_eq!(
        launch(nothing, 1, 1, NULL, &mut []),
        400,
        "a function of another context"
    );
}

#[test]
fn attributes() {
    in_own_process(
        "attributes",
        &[("SOFTGPU_NULL_KERNELS", "1")],
        child_attributes,
    );
}

fn child_attributes() {
    start();
    let fill = function(load(PTX), c"fill");
    let (mut value, mut offset, mut size, mut blocks, mut block, mut bytes) =
        (0i32, 0usize, 0usize, 0i32, 0i32, 0usize);
    for (attribute, expected) in [
        (0i32, 1024),
        (1, 0),
        (3, 0),
        (5, 80),
        (6, 80),
        (8, 48 << 10),
        (9, -1),
    ] {
        ok!(cuFuncGetAttribute(&raw mut value, attribute, fill));
        assert_eq!(value, expected, "attribute {attribute}");
    }
    ok!(cuFuncGetAttribute(&raw mut value, 4i32, fill));
    assert!((1..=255).contains(&value), "{value} registers");
    assert_eq!(cu!(cuFuncGetAttribute(&raw mut value, 77i32, fill)), 1);
    assert_eq!(cu!(cuFuncSetAttribute(fill, 4i32, 1i32)), 1);
    ok!(cuFuncSetAttribute(fill, 9i32, 50i32));
    assert_eq!(cu!(cuFuncSetAttribute(fill, 9i32, 101i32)), 1);
    ok!(cuFuncSetCacheConfig(fill, 1u32));
    assert_eq!(cu!(cuFuncSetCacheConfig(fill, 4u32)), 1);
    ok!(cuFuncGetParamInfo(
        fill,
        0usize,
        &raw mut offset,
        &raw mut size
    ));
    assert_eq!((offset, size), (0, 8));
    ok!(cuFuncGetParamInfo(
        fill,
        1usize,
        &raw mut offset,
        &raw mut size
    ));
    assert_eq!((offset, size), (8, 4));
    assert_eq!(
        cu!(cuFuncGetParamInfo(
            fill,
            2usize,
            &raw mut offset,
            &raw mut size
        )),
        1
    );
    ok!(cuOccupancyMaxActiveBlocksPerMultiprocessor(
        &raw mut blocks,
        fill,
        256i32,
        0usize
    ));
    assert_eq!(blocks, 8);
    assert_eq!(
        cu!(cuOccupancyMaxActiveBlocksPerMultiprocessor(
            &raw mut blocks,
            fill,
            0i32,
            0usize
        )),
        1
    );
    let grid = &raw mut blocks;
    ok!(cuOccupancyMaxPotentialBlockSize(
        grid,
        &raw mut block,
        fill,
        NULL,
        0usize,
        128i32
    ));
    assert_eq!((blocks, block), (16 * 16, 128));
    ok!(cuOccupancyAvailableDynamicSMemPerBlock(
        &raw mut bytes,
        fill,
        2i32,
        128i32
    ));
    assert_eq!(bytes, 81 << 10);
}
