//! The kernels of the demonstration, from their committed PTX.

mod support;

use aquifer_ptx::{Launch, launch};
use std::sync::atomic::AtomicBool;
use support::{Arena, Params, Random, load};

#[test]
fn matmul_equals_the_product_computed_here() {
    let n = 100usize;
    let mut random = Random(1);
    let mut matrix = || -> Vec<f32> {
        (0..n * n)
            .map(|_| (random.next() % 64) as f32 - 32.0)
            .collect()
    };
    let (a, b) = (matrix(), matrix());
    let mut arena = Arena::new(1 << 20);
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
    let sizes = Launch {
        grid: [4, 4, 1],
        block: [32, 32, 1],
        dynamic_shared_bytes: 0,
        params: &params.0,
        deadline: None,
    };
    for threads in [1, 3] {
        launch(&module, 0, &sizes, &arena, &AtomicBool::new(false), threads).expect("runs");
        let c: Vec<f32> = arena.get(at_c, n * n);
        for row in 0..n {
            for column in 0..n {
                let wanted: f32 = (0..n).map(|k| a[row * n + k] * b[k * n + column]).sum();
                assert_eq!(c[row * n + column], wanted, "row {row}, column {column}");
            }
        }
    }
}

#[test]
fn histogram_counts_every_byte() {
    let mut random = Random(2);
    let data: Vec<u8> = (0..10_007).map(|_| (random.next() % 200) as u8).collect();
    let mut arena = Arena::new(1 << 20);
    let (at_data, at_bins) = (arena.put(&data), arena.put(&[0u32; 256]));
    let module = load(
        include_str!("../../../examples/kernels/histogram.ptx"),
        &mut arena,
    );
    let params = Params::default()
        .u64(at_data)
        .u64(at_bins)
        .u32(data.len() as u32);
    let sizes = Launch {
        grid: [5, 1, 1],
        block: [200, 1, 1],
        dynamic_shared_bytes: 0,
        params: &params.0,
        deadline: None,
    };
    launch(&module, 0, &sizes, &arena, &AtomicBool::new(false), 4).expect("runs");
    let mut wanted = vec![0u32; 256];
    data.iter().for_each(|&byte| wanted[usize::from(byte)] += 1);
    assert_eq!(arena.get::<u32>(at_bins, 256), wanted);
}
