//! Times the interpreter on one thread, beside the same work in C, and prints a line of JSON for each result, in the form of
//! `bench/result.ts`.
//!
//!     cargo run --release -p aquifer-ptx --example bench
//!
//! `cc` must be there: it compiles `reference.c` with -O2. `value` is what one lane's instruction costs; `ratio` is the
//! interpreter's median time divided by the reference's, measured in turns in this run.

#[path = "../tests/support/mod.rs"]
mod support;

use aquifer_ptx::{Launch, Module, launch};
use std::ffi::{CString, c_void};
use std::process::{Command, exit};
use std::sync::atomic::AtomicBool;
use support::{Arena, Params, Random, load};

const SAMPLES: usize = 15;

fn main() {
    let reference = Reference::compile();
    matmul(&reference);
    histogram(&reference);
    for (name, body) in LOOPS {
        lane_instruction(name, body);
    }
}

/// The C functions, in a shared object made for this run.
struct Reference(*mut c_void);

impl Reference {
    fn compile() -> Reference {
        let object =
            std::env::temp_dir().join(format!("aquifer-ptx-bench-{}.so", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/reference.c");
        let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let status = Command::new(&cc)
            .args(["-O2", "-shared", "-fPIC", source, "-o"])
            .arg(&object)
            .status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("bench: {cc} could not compile {source}");
            exit(1);
        }
        let path = CString::new(object.to_string_lossy().as_bytes()).expect("a path without NUL");
        // SAFETY: the object was just made and has no constructors.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        let _ = std::fs::remove_file(&object);
        assert!(!handle.is_null(), "the reference cannot be loaded");
        Reference(handle)
    }

    fn symbol(&self, name: &str) -> *mut c_void {
        let name = CString::new(name).expect("a name without NUL");
        // SAFETY: the handle is open.
        let symbol = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!symbol.is_null());
        symbol
    }
}

/// The p-th percentile by nearest rank.
fn percentile(times: &mut [f64], p: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let rank = (p / 100.0 * times.len() as f64).ceil() as usize;
    times[rank.max(1) - 1]
}

/// Nanoseconds that this thread has computed: what other programs do meanwhile does not count.
fn thread_ns() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid pointer; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn time(work: impl FnOnce()) -> f64 {
    let start = thread_ns();
    work();
    thread_ns() - start
}

/// Times of both, taken in turns.
fn in_turns(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (Vec<f64>, Vec<f64>) {
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        times.0.push(time(&mut ours));
        times.1.push(time(&mut theirs));
    }
    times
}

fn once(module: &Module, arena: &Arena, grid: [u32; 3], block: [u32; 3], params: &Params) -> u64 {
    let sizes = Launch {
        grid,
        block,
        dynamic_shared_bytes: 0,
        params: &params.0,
        deadline: None,
    };
    match launch(module, 0, &sizes, arena, &AtomicBool::new(false), 1) {
        Ok(stats) => stats.lane_instructions,
        Err(fault) => panic!("{fault}"),
    }
}

fn report(name: &str, (mut ours, mut theirs): (Vec<f64>, Vec<f64>), work: &str, instructions: u64) {
    let (p50, p99) = (percentile(&mut ours, 50.0), percentile(&mut ours, 99.0));
    println!(
        "{{\"name\":\"{name}\",\"unit\":\"ns\",\"p50\":{p50},\"p99\":{p99},\"value\":{},\"samples\":{SAMPLES},\
         \"reference\":\"{work}\",\"ratio\":{}}}",
        p50 / instructions as f64,
        p50 / percentile(&mut theirs, 50.0)
    );
}

fn matmul(reference: &Reference) {
    let n = 256usize;
    let mut random = Random(1);
    let mut matrix = || -> Vec<f32> {
        (0..n * n)
            .map(|_| (random.next() % 64) as f32 - 32.0)
            .collect()
    };
    let (a, b) = (matrix(), matrix());
    let mut arena = Arena::new(4 << 20);
    let (at_a, at_b, at_c) = (arena.put(&a), arena.put(&b), arena.put(&vec![0f32; n * n]));
    let module = load(
        include_str!("../../../examples/kernels/matmul.ptx"),
        &mut arena,
    );
    let params = Params::default()
        .u64(at_a)
        .u64(at_b)
        .u64(at_c)
        .u32(n as u32);
    let grid = [n as u32 / 32, n as u32 / 32, 1];
    let mut c = vec![0f32; n * n];
    // SAFETY: the C function has this signature.
    let theirs: extern "C" fn(*const f32, *const f32, *mut f32, u32) =
        unsafe { std::mem::transmute(reference.symbol("matmul")) };
    let mut instructions = 0;
    let times = in_turns(
        || instructions = once(&module, &arena, grid, [32, 32, 1], &params),
        || theirs(a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), n as u32),
    );
    assert_eq!(
        arena.get::<f32>(at_c, n * n),
        c,
        "both must have the same product"
    );
    report(
        "matmul",
        times,
        "the same tiles in C -O2 on one core",
        instructions,
    );
}

fn histogram(reference: &Reference) {
    let mut random = Random(2);
    let data: Vec<u8> = (0..1 << 20).map(|_| random.next() as u8).collect();
    let mut arena = Arena::new(4 << 20);
    let at_data = arena.put(&data);
    let at_bins = arena.put(&[0u32; 256]);
    let module = load(
        include_str!("../../../examples/kernels/histogram.ptx"),
        &mut arena,
    );
    let params = Params::default()
        .u64(at_data)
        .u64(at_bins)
        .u32(data.len() as u32);
    let mut bins = vec![0u32; 256];
    // SAFETY: the C function has this signature.
    let theirs: extern "C" fn(*const u8, *mut u32, u32, u32, u32) =
        unsafe { std::mem::transmute(reference.symbol("histogram")) };
    let mut instructions = 0;
    let times = in_turns(
        || instructions = once(&module, &arena, [64, 1, 1], [256, 1, 1], &params),
        || theirs(data.as_ptr(), bins.as_mut_ptr(), data.len() as u32, 64, 256),
    );
    assert_eq!(
        arena.get::<u32>(at_bins, 256),
        bins,
        "both must have counted the same"
    );
    report(
        "histogram",
        times,
        "the same blocks in C -O2 on one core",
        instructions,
    );
}

/// Long loops over registers: what one instruction costs.
const LOOPS: [(&str, &str); 3] = [
    (
        "lane-instruction",
        "mad.lo.s32 %r4, %r4, %r5, %r1; xor.b32 %r6, %r4, %r2; shl.b32 %r7, %r6, 3; add.s32 %r8, %r7, %r4; \
         fma.rn.f32 %f1, %f1, %f2, %f3; mul.f32 %f4, %f1, %f2; add.f32 %f5, %f4, %f3; \
         setp.lt.s32 %p2, %r8, %r6; selp.b32 %r5, %r8, %r7, %p2; min.s32 %r9, %r5, %r8; \
         and.b32 %r10, %r9, 65535; sub.s32 %r4, %r10, %r6;",
    ),
    (
        "lane-instruction-f32",
        "fma.rn.f32 %f1, %f1, %f2, %f3; fma.rn.f32 %f4, %f4, %f2, %f3; fma.rn.f32 %f5, %f5, %f2, %f3; \
         fma.rn.f32 %f6, %f6, %f2, %f3; fma.rn.f32 %f7, %f7, %f2, %f3; fma.rn.f32 %f8, %f8, %f2, %f3;",
    ),
    (
        "lane-instruction-u64",
        "add.s64 %rd1, %rd1, %rd2; xor.b64 %rd3, %rd1, %rd2; shl.b64 %rd4, %rd3, 7; add.s64 %rd5, %rd4, %rd1; \
         cvt.u32.u64 %r4, %rd5; mul.wide.u32 %rd2, %r4, 12;",
    ),
];

fn lane_instruction(name: &str, body: &str) {
    let source = format!(
        ".version 7.0\n.target sm_52\n.address_size 64\n.visible .entry spin(.param .u32 n) {{\n\
         .reg .pred %p<4>; .reg .b32 %r<16>; .reg .f32 %f<10>; .reg .b64 %rd<8>;\n\
         ld.param.u32 %r3, [n];\nmov.u32 %r1, %tid.x;\nmov.u32 %r2, 0;\n\
         L: {body}\nadd.s32 %r2, %r2, 1;\nsetp.lt.u32 %p1, %r2, %r3;\n@%p1 bra L;\nret; }}\n"
    );
    let mut arena = Arena::new(4096);
    let module = load(&source, &mut arena);
    let params = Params::default().u32(20_000);
    let mut instructions = 0;
    let mut times: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let ns = time(|| instructions = once(&module, &arena, [1, 1, 1], [32, 1, 1], &params));
            ns / instructions as f64
        })
        .collect();
    println!(
        "{{\"name\":\"{name}\",\"unit\":\"ns\",\"p50\":{},\"p99\":{},\"samples\":{SAMPLES}}}",
        percentile(&mut times, 50.0),
        percentile(&mut times, 99.0)
    );
}
