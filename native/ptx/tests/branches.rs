//! Branches by index, which clang does not make: each lane goes where its number says, and all meet again.

mod support;

use support::{Arena, Params, load, run};

const SOURCE: &str = "\
.version 7.0
.target sm_52
.address_size 64
.visible .entry k(.param .u64 to, .param .u32 rounds)
{
    .reg .b32 %r<12>; .reg .b64 %rd<4>; .reg .pred %p<3>;
    ld.param.u64 %rd1, [to];
    ld.param.u32 %r1, [rounds];
    mov.u32 %r2, %tid.x;
    mov.u32 %r3, 0;
    mov.u32 %r4, 0;
again:
    add.s32 %r5, %r2, %r3;
    rem.u32 %r6, %r5, 5;
    ways: .branchtargets zero, one, two, zero, out;
    brx.idx %r6, ways;
zero:
    add.s32 %r4, %r4, 1;
    bra.uni next;
one:
    mul.lo.s32 %r4, %r4, 3;
two:
    xor.b32 %r4, %r4, 21;
next:
    add.s32 %r3, %r3, 1;
    setp.lt.u32 %p1, %r3, %r1;
    @%p1 bra again;
out:
    activemask.b32 %r7;
    mad.lo.s32 %r4, %r4, 256, %r3;
    mul.wide.u32 %rd2, %r2, 8;
    add.s64 %rd3, %rd1, %rd2;
    st.global.v2.u32 [%rd3], {%r4, %r7};
    ret;
}
";

fn expected(lane: u32, rounds: u32) -> u32 {
    let (mut round, mut sum) = (0u32, 0u32);
    loop {
        match (lane + round) % 5 {
            0 | 3 => sum += 1,
            1 => sum = sum.wrapping_mul(3) ^ 21,
            2 => sum ^= 21,
            _ => break,
        }
        round += 1;
        if round >= rounds {
            break;
        }
    }
    sum.wrapping_mul(256).wrapping_add(round)
}

#[test]
fn lanes_go_where_their_index_says_and_meet_again() {
    let mut arena = Arena::new(1 << 16);
    let module = load(SOURCE, &mut arena);
    let to = arena.put(&[0u32; 128]);
    for rounds in [1, 2, 9] {
        let params = Params::default().u64(to).u32(rounds);
        run(&module, &arena, 1, 50, &params).expect("runs");
        let pairs: Vec<[u32; 2]> = arena.get(to, 50);
        for (lane, [sum, active]) in pairs.iter().enumerate() {
            assert_eq!(
                *sum,
                expected(lane as u32, rounds),
                "lane {lane}, {rounds} rounds"
            );
            let whole = if lane < 32 { u32::MAX } else { (1 << 18) - 1 };
            assert_eq!(*active, whole, "lane {lane} is back with the others");
        }
    }
}
