//! Kernels that do what they must not: each ends its own context with the code that says why, and nothing else.

mod support;

use std::ffi::{CStr, c_void};
use support::*;

/// What is wrong, the kernel that does it, and what its context returns from then on.
const BAD: [(&str, &CStr, u32); 9] = [
    ("reads at address zero", c"read_zero", 700),
    ("writes behind what is allocated", c"write_behind", 700),
    (
        "reads shared memory beyond the block's",
        c"read_shared",
        700,
    ),
    ("reads local memory beyond its own", c"read_local", 700),
    ("reads at an odd address", c"read_odd", 716),
    ("traps", c"trap_all", 715),
    ("calls itself without end", c"recurse", 714),
    ("waits for threads that do not exist", c"wait_for_none", 719),
    ("never ends", c"spin", 702),
];

const SOURCE: &CStr = cr#"
.version 7.0
.target sm_52
.address_size 64

.func deeper(.param .b32 n)
{
    .local .align 4 .b8 own[64];
    .reg .b32 %r<4>;
    ld.param.b32 %r1, [n];
    st.local.b32 [own], %r1;
    add.s32 %r2, %r1, 1;
    { .param .b32 next; st.param.b32 [next], %r2; call.uni deeper, (next); }
    ret;
}

.visible .entry read_zero(.param .u64 target)
{
    .reg .b32 %r<2>; .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [target];
    mov.u64 %rd2, 0;
    ld.global.u32 %r1, [%rd2];
    st.global.u32 [%rd1], %r1;
    ret;
}
.visible .entry write_behind(.param .u64 target)
{
    .reg .b32 %r<2>; .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [target];
    mov.u32 %r1, 1;
    st.global.u32 [%rd1+1073741824], %r1;
    ret;
}
.visible .entry read_shared(.param .u64 target)
{
    .shared .align 4 .b8 tile[64];
    .reg .b32 %r<3>; .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [target];
    mov.u32 %r1, tile;
    ld.shared.u32 %r2, [%r1+1048576];
    st.global.u32 [%rd1], %r2;
    ret;
}
.visible .entry read_local(.param .u64 target)
{
    .local .align 4 .b8 own[64];
    .reg .b32 %r<3>; .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [target];
    mov.u64 %rd2, own;
    ld.local.u32 %r2, [%rd2+1048576];
    st.global.u32 [%rd1], %r2;
    ret;
}
.visible .entry read_odd(.param .u64 target)
{
    .reg .b32 %r<2>; .reg .b64 %rd<2>;
    ld.param.u64 %rd1, [target];
    ld.global.u32 %r1, [%rd1+1];
    st.global.u32 [%rd1], %r1;
    ret;
}
.visible .entry trap_all(.param .u64 target)
{
    trap;
}
.visible .entry recurse(.param .u64 target)
{
    .reg .b32 %r<2>;
    mov.u32 %r1, 0;
    { .param .b32 n; st.param.b32 [n], %r1; call.uni deeper, (n); }
    ret;
}
.visible .entry wait_for_none(.param .u64 target)
{
    bar.sync 1, 64;
    ret;
}
.visible .entry spin(.param .u64 target)
{
again:
    bra.uni again;
}
.visible .entry divide(.param .u64 target)
{
    .reg .b32 %r<6>; .reg .b64 %rd<3>;
    ld.param.u64 %rd1, [target];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, 0;
    div.u32 %r3, %r1, %r2;
    rem.u32 %r4, %r1, %r2;
    mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd1, %rd1, %rd2;
    st.global.u32 [%rd1], %r3;
    ret;
}
"#;

fn run(kernel: &CStr, target: u64) -> u32 {
    let mut target = target;
    let f = function(load(SOURCE), kernel);
    let parameter: *mut c_void = (&raw mut target).cast();
    assert_eq!(launch(f, 1, 32, NULL, &mut [parameter]), 0, "{kernel:?}");
    cu!(cuCtxSynchronize())
}

#[test]
fn a_bad_kernel_ends_its_context_with_the_reason() {
    in_own_process(
        "a_bad_kernel_ends_its_context_with_the_reason",
        &[("SOFTGPU_KERNEL_MS", "300")],
        child_bad_kernels,
    );
}

fn child_bad_kernels() {
    let primary = start();
    let mut limited = 0i32;
    ok!(cuDeviceGetAttribute(&raw mut limited, 17i32, 0i32));
    assert_eq!(limited, 1, "the device must say that kernels have a limit");
    for (what, kernel, code) in BAD {
        let (mut context, mut address) = (NULL, 0u64);
        ok!(cuCtxCreate_v2(&raw mut context, 0u32, 0i32));
        assert_eq!(
            run(kernel, device_memory(4096)),
            code,
            "a kernel that {what}"
        );
        // For good, and for all that this context is asked.
        assert_eq!(cu!(cuCtxSynchronize()), code, "{what}");
        assert_eq!(
            cu!(cuMemAlloc_v2(&raw mut address, 64usize)),
            code,
            "{what}"
        );
        ok!(cuCtxDestroy_v2(context));
        // Another context of the same process never noticed.
        ok!(cuCtxSetCurrent(primary));
        assert_eq!(
            run(c"divide", device_memory(4096)),
            0,
            "after a kernel that {what}"
        );
    }
}

#[test]
fn division_by_zero_sets_all_bits() {
    in_own_process("division_by_zero_sets_all_bits", &[], child_divide);
}

fn child_divide() {
    start();
    let target = device_memory(128);
    assert_eq!(run(c"divide", target), 0);
    let mut words = [0u32; 32];
    ok!(cuMemcpyDtoH_v2(words.as_mut_ptr(), target, 128usize));
    assert_eq!(words, [u32::MAX; 32]);
}
