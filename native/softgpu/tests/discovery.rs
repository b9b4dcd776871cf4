//! Initialisation, devices, errors and look-up.

mod support;

use std::ffi::{CStr, c_char, c_void};
use support::*;

#[test]
fn calls_before_cuinit_say_so() {
    in_own_process("calls_before_cuinit_say_so", &[], child_before_init);
}

fn child_before_init() {
    let (mut count, mut context, mut address) = (0i32, NULL, 0u64);
    assert_eq!(cu!(cuDeviceGetCount(&raw mut count)), 3);
    assert_eq!(cu!(cuCtxGetCurrent(&raw mut context)), 3);
    assert_eq!(cu!(cuMemAlloc_v2(&raw mut address, 16usize)), 3);
    assert_eq!(cu!(cuStreamSynchronize(NULL)), 3);
    assert_eq!(cu!(cuInit(1u32)), 1);
    ok!(cuInit(0u32));
    ok!(cuInit(0u32));
    assert_eq!(cu!(cuMemAlloc_v2(&raw mut address, 16usize)), 201);
    assert_eq!(cu!(cuStreamSynchronize(NULL)), 201);
}

#[test]
fn wrong_settings_fail_cuinit_with_a_sentence() {
    if plays("child_wrong_settings") {
        return child_wrong_settings();
    }
    let output = child(
        "wrong_settings_fail_cuinit_with_a_sentence",
        "child_wrong_settings",
        &[("SOFTGPU_DEVICES", "two")],
    )
    .output()
    .unwrap();
    let text = said(&output);
    assert!(passed(&output), "{text}");
    assert!(
        text.contains("softgpu: SOFTGPU_DEVICES: \"two\" is not COUNTxMEMORY"),
        "{text}"
    );
}

fn child_wrong_settings() {
    assert_eq!(cu!(cuInit(0u32)), 1);
}

#[test]
fn devices_are_as_set() {
    let settings = [
        ("SOFTGPU_DEVICES", "2x3Gi"),
        ("SOFTGPU_MODEL", "Test GPU"),
        ("SOFTGPU_COMPUTE_CAPABILITY", "7.5"),
    ];
    in_own_process("devices_are_as_set", &settings, child_devices);
}

fn child_devices() {
    ok!(cuInit(0u32));
    let (mut count, mut device, mut bytes, mut value, mut version) =
        (0i32, 0i32, 0usize, 0i32, 0i32);
    ok!(cuDriverGetVersion(&raw mut version));
    ok!(cuDeviceGetCount(&raw mut count));
    assert_eq!((version, count), (13000, 2));
    ok!(cuDeviceGet(&raw mut device, 1i32));
    assert_eq!(cu!(cuDeviceGet(&raw mut device, 2i32)), 101);
    assert_eq!(cu!(cuDeviceGet(&raw mut device, -1i32)), 101);
    ok!(cuDeviceTotalMem_v2(&raw mut bytes, 1i32));
    assert_eq!(bytes, 3 << 30);
    let mut name = [1 as c_char; 32];
    ok!(cuDeviceGetName(name.as_mut_ptr(), 32i32, 0i32));
    assert_eq!(text(&name), "Test GPU");
    ok!(cuDeviceGetName(name.as_mut_ptr(), 5i32, 0i32));
    assert_eq!(text(&name), "Test");
    assert_eq!(cu!(cuDeviceGetName(name.as_mut_ptr(), 0i32, 0i32)), 1);
    for (attribute, expected) in [
        (75i32, 7),
        (76, 5),
        (10, 32),
        (1, 1024),
        (102, 1),
        (83, 0),
        (41, 1),
    ] {
        ok!(cuDeviceGetAttribute(&raw mut value, attribute, 0i32));
        assert_eq!(value, expected, "attribute {attribute}");
    }
    for attribute in 1..=148i32 {
        ok!(cuDeviceGetAttribute(&raw mut value, attribute, 0i32));
    }
    assert_eq!(cu!(cuDeviceGetAttribute(&raw mut value, 0i32, 0i32)), 1);
    assert_eq!(cu!(cuDeviceGetAttribute(&raw mut value, 4711i32, 0i32)), 1);
    let mut uuids = [[0u8; 16]; 2];
    ok!(cuDeviceGetUuid_v2(&raw mut uuids[0], 0i32));
    ok!(cuDeviceGetUuid_v2(&raw mut uuids[1], 1i32));
    assert_ne!(uuids[0], uuids[1]);
    ok!(cuDeviceGetPCIBusId(name.as_mut_ptr(), 32i32, 1i32));
    assert_eq!(text(&name), "0000:02:00.0");
    ok!(cuDeviceGetByPCIBusId(
        &raw mut device,
        c"0000:02:00.0".as_ptr()
    ));
    assert_eq!(device, 1);
    assert_eq!(
        cu!(cuDeviceGetLuid(name.as_mut_ptr(), &raw mut value, 0i32)),
        801
    );
    assert_eq!(cu!(cuDeviceGetCount(std::ptr::null_mut::<i32>())), 1);
}

fn text(bytes: &[c_char]) -> &str {
    text_at(bytes.as_ptr()).to_str().unwrap()
}

#[test]
fn errors_have_names_and_sentences() {
    let mut words = std::ptr::null::<c_char>();
    ok!(cuGetErrorName(700u32, &raw mut words));
    assert_eq!(text_at(words), c"CUDA_ERROR_ILLEGAL_ADDRESS");
    ok!(cuGetErrorString(2u32, &raw mut words));
    assert_eq!(text_at(words), c"out of memory");
    assert_eq!(cu!(cuGetErrorName(12345u32, &raw mut words)), 1);
    assert!(words.is_null());
}

#[test]
fn look_up_is_versioned_and_finds_what_is_exported() {
    let look = |name: &CStr, version: i32, flags: u64| {
        let (mut address, mut status) = (NULL, 9u32);
        let code = cu!(cuGetProcAddress_v2(
            name.as_ptr(),
            &raw mut address,
            version,
            flags,
            &raw mut status
        ));
        (code, address, status)
    };
    let found = |name: &str| (0, symbol(name), 0);
    assert_eq!(look(c"cuMemAlloc", 13000, 0), found("cuMemAlloc_v2"));
    assert_eq!(look(c"cuCtxGetDevice", 12000, 0), found("cuCtxGetDevice"));
    assert_eq!(
        look(c"cuCtxGetDevice", 13000, 0),
        found("cuCtxGetDevice_v2")
    );
    assert_eq!(
        look(c"cuLaunchKernel", 13000, 2),
        found("cuLaunchKernel_ptsz")
    );
    assert_eq!(
        look(c"cuMemcpyHtoD", 13000, 2),
        found("cuMemcpyHtoD_v2_ptds")
    );
    assert_eq!(
        look(c"cuGetProcAddress", 12000, 0),
        found("cuGetProcAddress_v2")
    );
    assert_eq!(look(c"cuLibraryLoadData", 11000, 0), (0, NULL, 2));
    assert_eq!(look(c"cuNoSuchThing", 13000, 0), (0, NULL, 1));
    assert_eq!(look(c"", 0, 0), (0, NULL, 1));
    assert_eq!(look(c"cuGraphCreate", 13000, 0), (0, NULL, 1));
    assert_eq!(look(c"cuInit", 13010, 0).0, 1);
    assert_eq!(look(c"cuInit", 13000, 3).0, 1);
    let mut address = NULL;
    ok!(cuGetProcAddress(
        c"cuInit".as_ptr(),
        &raw mut address,
        12000i32,
        0u64
    ));
    assert_eq!(address, symbol("cuInit"));
    assert_eq!(
        cu!(cuGetProcAddress(
            c"cuGraphCreate".as_ptr(),
            &raw mut address,
            12000i32,
            0u64
        )),
        500
    );
    assert!(address.is_null());
}

#[test]
fn export_tables_are_refused() {
    let (mut table, id) = (std::ptr::null::<c_void>(), [0x6bu8; 16]);
    assert_eq!(cu!(cuGetExportTable(&raw mut table, id.as_ptr())), 500);
}
