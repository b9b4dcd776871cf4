//! Several processes on one state directory; faults from outside; NVML.

mod support;

use std::ffi::{CStr, c_char, c_void};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Output, Stdio};
use std::time::{Duration, Instant};
use support::*;

/// A process that holds memory until it is told to end.
struct Holder {
    child: Child,
    input: Option<ChildStdin>,
    /// Kept open: the test harness of the child still writes its summary.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    fn start(directory: &Directory, bytes: usize) -> Holder {
        let mut child = child(
            "memory_is_the_sum_over_processes_and_comes_back_when_one_dies",
            "child_holds_memory",
            &settings(directory),
        )
        .env("HOLD_BYTES", bytes.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(
            output.any(|line| line.unwrap().contains("holding")),
            "the holder failed"
        );
        Holder {
            input: child.stdin.take(),
            _output: output,
            child,
        }
    }

    fn end(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn settings(directory: &Directory) -> [(&'static str, &str); 3] {
    [
        ("SOFTGPU_DEVICES", "1x1Gi"),
        ("SOFTGPU_STATE_DIR", directory.text()),
        ("SOFTGPU_NULL_KERNELS", "1"),
    ]
}

/// A field of the state file, as the README places it.
fn field(directory: &Directory, offset: usize) -> u64 {
    let bytes = std::fs::read(directory.0.join("gpu-0")).unwrap();
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
}

fn set_fault(directory: &Directory, word: &str) {
    let fresh = directory.0.join("new");
    std::fs::write(&fresh, word).unwrap();
    std::fs::rename(fresh, directory.0.join("fault-0")).unwrap();
    std::thread::sleep(Duration::from_millis(30));
}

fn clear_fault(directory: &Directory) {
    std::fs::remove_file(directory.0.join("fault-0")).unwrap();
    std::thread::sleep(Duration::from_millis(30));
}

fn child_holds_memory() {
    start();
    device_memory(std::env::var("HOLD_BYTES").unwrap().parse().unwrap());
    println!("holding");
    std::io::stdout().flush().unwrap();
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn memory_is_the_sum_over_processes_and_comes_back_when_one_dies() {
    if plays("child_sees_memory") {
        return child_sees_memory();
    }
    if plays("child_holds_memory") {
        return child_holds_memory();
    }
    let directory = Directory::new("sum");
    let (first, second) = (
        Holder::start(&directory, 400 << 20),
        Holder::start(&directory, 300 << 20),
    );
    assert_eq!(
        (field(&directory, 16), field(&directory, 24)),
        (1 << 30, 700 << 20)
    );
    assert_eq!(
        std::fs::metadata(directory.0.join("gpu-0")).unwrap().len(),
        4096 + 256 * 64
    );
    let run = |expected: &str| {
        let output = child(
            "memory_is_the_sum_over_processes_and_comes_back_when_one_dies",
            "child_sees_memory",
            &settings(&directory),
        )
        .env("EXPECT_FREE", expected)
        .output()
        .unwrap();
        assert!(passed(&output), "{}", said(&output));
    };
    run(&(324usize << 20).to_string());
    first.kill();
    run(&(724usize << 20).to_string());
    second.end();
    run(&(1024usize << 20).to_string());
}

fn child_sees_memory() {
    start();
    let expected: usize = std::env::var("EXPECT_FREE").unwrap().parse().unwrap();
    let (mut free, mut total, mut address) = (0usize, 0usize, 0u64);
    ok!(cuMemGetInfo_v2(&raw mut free, &raw mut total));
    assert_eq!((free, total), (expected, 1 << 30));
    assert_eq!(cu!(cuMemAlloc_v2(&raw mut address, expected + 1)), 2);
    ok!(cuMemAlloc_v2(&raw mut address, expected));
}

#[test]
fn another_memory_size_is_refused_while_the_device_is_used() {
    if plays("child_other_size") {
        return child_other_size();
    }
    let directory = Directory::new("size");
    let holder = Holder::start(&directory, 1 << 20);
    let other = [
        ("SOFTGPU_DEVICES", "1x2Gi"),
        ("SOFTGPU_STATE_DIR", directory.text()),
    ];
    let output = try_other_size(&other);
    let text = said(&output);
    assert!(
        text.contains("other processes use this device with 1073741824 bytes of memory"),
        "{text}"
    );
    holder.end();
    let output = try_other_size(&other);
    assert!(
        !passed(&output),
        "cuInit succeeds when nobody uses the device"
    );
    assert_eq!(field(&directory, 16), 2 << 30);
}

fn try_other_size(settings: &[(&str, &str)]) -> Output {
    let test = "another_memory_size_is_refused_while_the_device_is_used";
    child(test, "child_other_size", settings).output().unwrap()
}

fn child_other_size() {
    assert_eq!(cu!(cuInit(0u32)), 304);
}

#[test]
fn damaged_state_files_are_refused() {
    let directory = Directory::new("damaged");
    for bytes in [vec![], vec![0; 100], vec![0xff; 1 << 16]] {
        std::fs::write(directory.0.join("gpu-0"), bytes).unwrap();
        let output = try_other_size(&settings(&directory));
        assert!(passed(&output), "{}", said(&output));
    }
    let absent = [("SOFTGPU_STATE_DIR", "/nonexistent/directory")];
    assert!(
        child(
            "another_memory_size_is_refused_while_the_device_is_used",
            "child_other_size",
            &absent
        )
        .output()
        .unwrap()
        .status
        .success()
    );
}

#[test]
fn faults_from_outside() {
    let directory = Directory::new("faults");
    in_own_process("faults_from_outside", &settings(&directory), child_faults);
}

fn child_faults() {
    let directory = std::mem::ManuallyDrop::new(Directory(
        std::env::var("SOFTGPU_STATE_DIR").unwrap().into(),
    ));
    let context = start();
    ok!(nvmlInit_v2());
    let (mut device, mut index) = (NULL, 9u32);
    ok!(nvmlDeviceGetHandleByIndex_v2(0u32, &raw mut device));
    let nothing = function(load(PTX), c"nothing");
    let in_new_context = || {
        let mut made = NULL;
        let code = cu!(cuCtxCreate_v2(&raw mut made, 0u32, 0i32));
        if code == 0 {
            ok!(cuCtxDestroy_v2(made));
        }
        code
    };

    // A hang holds kernels until it is over.
    set_fault(&directory, "hang\n");
    assert_eq!(launch(nothing, 1, 1, NULL, &mut []), 0);
    assert_eq!(cu!(cuStreamQuery(NULL)), 600);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(cu!(cuStreamQuery(NULL)), 600);
    assert_ne!(
        field(&directory, 40),
        0,
        "the kernel that hangs has the device"
    );
    clear_fault(&directory);
    let began = Instant::now();
    ok!(cuStreamSynchronize(NULL));
    assert!(began.elapsed() < Duration::from_secs(2));

    // Nonsense is no fault.
    set_fault(&directory, "explode 3\n");
    ok!(cuCtxSynchronize());

    let (mut set, mut event, mut types) = (NULL, [0u64; 4], 0u64);
    ok!(nvmlDeviceGetSupportedEventTypes(device, &raw mut types));
    ok!(nvmlEventSetCreate(&raw mut set));
    ok!(nvmlDeviceRegisterEvents(device, 8u64, set));
    assert_eq!(cu!(nvmlEventSetWait_v2(set, event.as_mut_ptr(), 10u32)), 10);
    for (word, code, gone) in [
        ("xid 31", 700, false),
        ("xid 48", 214, false),
        ("xid 79", 999, true),
        ("lost", 46, true),
    ] {
        let mut other = NULL;
        ok!(cuCtxCreate_v2(&raw mut other, 0u32, 0i32));
        set_fault(&directory, word);
        assert_eq!(cu!(cuCtxSynchronize()), code, "{word}");
        assert_eq!(in_new_context(), code, "{word}");
        assert_eq!(
            cu!(nvmlDeviceGetIndex(device, &raw mut index)),
            if gone { 15 } else { 0 },
            "{word}"
        );
        if let Some(number) = word.strip_prefix("xid ") {
            ok!(nvmlEventSetWait_v2(set, event.as_mut_ptr(), 1000u32));
            assert_eq!(
                (event[0], event[1], event[2]),
                (device as u64, 8, number.parse().unwrap())
            );
            assert_eq!(
                cu!(nvmlEventSetWait_v2(set, event.as_mut_ptr(), 0u32)),
                10,
                "told once"
            );
        }
        clear_fault(&directory);
        assert_eq!(
            cu!(cuCtxSynchronize()),
            code,
            "a context that saw a fault stays unusable"
        );
        assert_eq!(in_new_context(), 0, "{word}");
        ok!(nvmlDeviceGetIndex(device, &raw mut index));
    }
    ok!(nvmlEventSetFree(set));
    assert_eq!(cu!(nvmlEventSetFree(set)), 2);
    ok!(cuCtxSetCurrent(context));
    ok!(cuCtxSynchronize());
}

#[test]
fn nvml_tells_the_same_as_cuda() {
    let directory = Directory::new("nvml");
    let holder = Holder::start(&directory, 100 << 20);
    in_own_process(
        "nvml_tells_the_same_as_cuda",
        &settings(&directory),
        child_nvml,
    );
    holder.end();
}

fn child_nvml() {
    let (mut device, mut count, mut text) = (NULL, 0u32, [0 as c_char; 96]);
    assert_eq!(cu!(nvmlDeviceGetCount_v2(&raw mut count)), 1);
    assert_eq!(cu!(nvmlShutdown()), 1);
    ok!(nvmlInitWithFlags(0u32));
    ok!(nvmlDeviceGetCount_v2(&raw mut count));
    assert_eq!(count, 1);
    assert_eq!(cu!(nvmlDeviceGetHandleByIndex_v2(1u32, &raw mut device)), 2);
    ok!(nvmlDeviceGetHandleByIndex_v2(0u32, &raw mut device));
    assert_eq!(cu!(nvmlDeviceGetName(NULL, text.as_mut_ptr(), 96u32)), 2);
    ok!(nvmlDeviceGetName(device, text.as_mut_ptr(), 96u32));
    assert_eq!(text_at(text.as_ptr()), c"Aquifer Software GPU");
    assert_eq!(cu!(nvmlDeviceGetName(device, text.as_mut_ptr(), 20u32)), 7);
    ok!(nvmlDeviceGetUUID(device, text.as_mut_ptr(), 96u32));
    let mut same = NULL;
    ok!(nvmlDeviceGetHandleByUUID(text.as_ptr(), &raw mut same));
    assert_eq!(device, same);
    assert_eq!(
        cu!(nvmlDeviceGetHandleByUUID(c"GPU-0".as_ptr(), &raw mut same)),
        6
    );
    ok!(nvmlDeviceGetHandleByPciBusId_v2(
        c"00000000:01:00.0".as_ptr(),
        &raw mut same
    ));
    // The CUDA side has the same UUID, as bytes.
    assert_eq!(
        cu!(cuDeviceGetUuid_v2(
            std::ptr::from_mut(&mut { [0u8; 16] }),
            0i32
        )),
        3,
        "nvmlInit is not cuInit"
    );
    start();
    let mut uuid = [0u8; 16];
    ok!(cuDeviceGetUuid_v2(&raw mut uuid, 0i32));
    let plain = text_at(text.as_ptr()).to_str().unwrap().replace('-', "");
    assert_eq!(
        plain,
        "GPU".to_owned()
            + &uuid
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
    );

    device_memory(10 << 20);
    let (mut memory, mut second) = ([0u64; 3], [0u64; 5]);
    ok!(nvmlDeviceGetMemoryInfo(device, &raw mut memory));
    assert_eq!(memory, [1 << 30, (1 << 30) - (110 << 20), 110 << 20]);
    assert_eq!(cu!(nvmlDeviceGetMemoryInfo_v2(device, &raw mut second)), 25);
    second[0] = 0x0200_0028;
    ok!(nvmlDeviceGetMemoryInfo_v2(device, &raw mut second));
    assert_eq!((second[1], second[4]), (1 << 30, 110 << 20));
    let mut processes = [[0u64; 3]; 4];
    count = 0;
    assert_eq!(
        cu!(nvmlDeviceGetComputeRunningProcesses_v3(
            device,
            &raw mut count,
            NULL
        )),
        7
    );
    assert_eq!(count, 2);
    count = 4;
    ok!(nvmlDeviceGetComputeRunningProcesses_v3(
        device,
        &raw mut count,
        processes.as_mut_ptr()
    ));
    assert_eq!(count, 2);
    let own = processes
        .iter()
        .find(|process| process[0] as u32 == std::process::id())
        .unwrap();
    assert_eq!(own[1], 10 << 20);
    let (mut rates, mut major, mut minor, mut version) = ([9u32; 2], 0i32, 0i32, 0i32);
    ok!(nvmlDeviceGetUtilizationRates(device, &raw mut rates));
    assert_eq!(rates, [0, 0]);
    ok!(nvmlDeviceGetCudaComputeCapability(
        device,
        &raw mut major,
        &raw mut minor
    ));
    ok!(nvmlSystemGetCudaDriverVersion_v2(&raw mut version));
    assert_eq!((major, minor, version), (8, 0, 13000));
    let mut pci = [0u32; 17];
    ok!(nvmlDeviceGetPciInfo_v3(device, &raw mut pci));
    assert_eq!((pci[4], pci[5]), (0, 1));
    assert_eq!(text_at((&raw const pci[9]).cast()), c"00000000:01:00.0");
    assert_eq!(
        cu!(nvmlDeviceGetTemperature(device, 0u32, &raw mut version)),
        3
    );
    let sentence = symbol("nvmlErrorString");
    // SAFETY: the C signature.
    let sentence: extern "C" fn(u32) -> *const c_char = unsafe { std::mem::transmute(sentence) };
    assert_eq!(text_at(sentence(15)), c"GPU is lost" as &CStr);
    ok!(nvmlShutdown());
    assert_eq!(cu!(nvmlDeviceGetName(device, text.as_mut_ptr(), 96u32)), 1);
    let _: *mut c_void = device;
}
