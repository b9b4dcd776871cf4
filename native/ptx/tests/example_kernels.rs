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

const SAMPLES: usize = 128;
const INPUTS: usize = 4;
const HIDDEN: usize = 16;
const ROW: usize = INPUTS + 1;
const OUTPUT: usize = HIDDEN * ROW;

/// What one step of the training makes of the parameters, in double precision, and the loss before it.
fn descended(inputs: &[f32], targets: &[f32], parameters: &mut [f64], rate: f64) -> f64 {
    let mut gradient = vec![0f64; parameters.len()];
    let mut loss = 0.0;
    for (input, &target) in inputs.chunks(INPUTS).zip(targets) {
        let input: Vec<f64> = input.iter().map(|&x| f64::from(x)).chain([1.0]).collect();
        let sums = parameters[..OUTPUT].chunks(ROW);
        let active: Vec<f64> = sums
            .map(|row| {
                row.iter()
                    .zip(&input)
                    .map(|(w, x)| w * x)
                    .sum::<f64>()
                    .max(0.0)
            })
            .chain([1.0])
            .collect();
        let output: f64 = active
            .iter()
            .zip(&parameters[OUTPUT..])
            .map(|(a, w)| a * w)
            .sum();
        let error = output - f64::from(target);
        loss += error * error / SAMPLES as f64;
        for (unit, a) in active.iter().enumerate() {
            gradient[OUTPUT + unit] += error * a;
            if unit == HIDDEN || *a <= 0.0 {
                continue;
            }
            for (i, x) in input.iter().enumerate() {
                gradient[unit * ROW + i] += error * parameters[OUTPUT + unit] * x;
            }
        }
    }
    for (parameter, slope) in parameters.iter_mut().zip(gradient) {
        *parameter -= rate * slope / SAMPLES as f64;
    }
    loss
}

#[test]
fn training_descends_as_the_same_network_does_here() {
    let mut random = Random(3);
    let mut numbers = |count: usize| -> Vec<f32> {
        (0..count)
            .map(|_| (random.next() % 2001) as f32 / 1000.0 - 1.0)
            .collect()
    };
    let (inputs, targets) = (numbers(SAMPLES * INPUTS), numbers(SAMPLES));
    let parameters = numbers(OUTPUT + HIDDEN + 1);
    let mut wanted: Vec<f64> = parameters.iter().map(|&value| f64::from(value)).collect();
    let rate = 0.125f32;
    let mut arena = Arena::new(1 << 20);
    let (at_inputs, at_targets) = (arena.put(&inputs), arena.put(&targets));
    let (at_parameters, at_loss) = (arena.put(&parameters), arena.put(&[0f32]));
    let module = load(
        include_str!("../../../examples/kernels/training.ptx"),
        &mut arena,
    );
    let params = Params::default()
        .u64(at_inputs)
        .u64(at_targets)
        .u64(at_parameters)
        .u64(at_loss)
        .u32(rate.to_bits());
    let sizes = Launch {
        grid: [1, 1, 1],
        block: [SAMPLES as u32, 1, 1],
        dynamic_shared_bytes: 0,
        params: &params.0,
        deadline: None,
    };
    for step in 0..20 {
        let loss = descended(&inputs, &targets, &mut wanted, f64::from(rate));
        launch(&module, 0, &sizes, &arena, &AtomicBool::new(false), 2).expect("runs");
        let said = f64::from(arena.get::<f32>(at_loss, 1)[0]);
        assert!(
            (said - loss).abs() < 1e-4,
            "step {step}: loss {said}, here {loss}"
        );
        for (at, &value) in arena
            .get::<f32>(at_parameters, wanted.len())
            .iter()
            .enumerate()
        {
            let difference = (f64::from(value) - wanted[at]).abs();
            assert!(
                difference < 1e-4,
                "step {step}: parameter {at} is {value}, here {}",
                wanted[at]
            );
        }
    }
}
