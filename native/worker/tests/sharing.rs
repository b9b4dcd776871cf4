//! Several workers on one claim and on one GPU: the sum of their memory, and turns that survive deaths.

mod rig;

use aquifer_cuda::*;
use aquifer_protocol::generated::*;
use rig::*;
use serde_json::json;
use std::time::{Duration, Instant};

const PTX: &str =
    ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry nothing()\n{\n    ret;\n}\n";

fn session(host: &Host, claim: &str, memory: u64) -> (Worker, Client) {
    session_of(&host.config(claim, memory, 100))
}

fn session_of(config: &serde_json::Value) -> (Worker, Client) {
    let mut worker = Worker::start(config);
    let mut client = worker.client();
    client.context();
    client.module(0, PTX);
    client.good(
        &ModuleGetFunction {
            module: 0,
            function: 0,
        },
        b"nothing",
    );
    (worker, client)
}

/// Takes all the memory there is, two MiB at a time; returns how much was granted.
fn fill(client: &mut Client) -> u64 {
    let mut granted = 0;
    loop {
        let (result, ..) = client.call(
            &MemReserve {
                bytes: 2 * MIB,
                vgpu: 0,
            },
            &[],
        );
        while let Some(credit) = client.came::<Credit>() {
            granted += credit.bytes;
        }
        if result != 0 {
            assert_eq!(result, CUDA_ERROR_OUT_OF_MEMORY);
            return granted;
        }
    }
}

fn share_a_claim(workers: usize) {
    let host = Host::new("1x512Mi", true);
    let limit = 100 * MIB;
    let mut sessions: Vec<(Worker, Client)> = (0..workers)
        .map(|_| session(&host, "shared", limit))
        .collect();
    let total: u64 = std::thread::scope(|scope| {
        let fills: Vec<_> = sessions
            .iter_mut()
            .map(|it| scope.spawn(|| fill(&mut it.1)))
            .collect();
        fills.into_iter().map(|it| it.join().unwrap()).sum()
    });
    let modules = workers as u64 * PTX.len() as u64;
    assert!(total <= limit, "{total}");
    assert!(
        limit - total < 2 * MIB + modules,
        "all but a part of a granule is used: {total}"
    );
    assert_eq!(host.account("shared", 32), total + modules);
    // One dies without a word; what it had is there for the others.
    let (mut worker, client) = sessions.pop().unwrap();
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    drop(client);
    let left = total
        - host
            .account("shared", 256 + (workers - 1) * 128 + 32)
            .min(total);
    let more: u64 = sessions.iter_mut().map(|it| fill(&mut it.1)).sum();
    assert!(left + more <= limit && more > 0, "{left} {more}");
    for (worker, client) in sessions {
        drop(client);
        assert_eq!(worker.end().0, Some(0));
    }
    assert_eq!(host.account("shared", 32), 0, "all is given back");
}

#[test]
fn two_workers_share_a_claim() {
    share_a_claim(2);
}

#[test]
fn eight_workers_share_a_claim() {
    share_a_claim(8);
}

#[test]
fn a_killed_worker_leaves_the_turn_to_others() {
    let host = Host::new("1x512Mi", true);
    let (_worker, mut client) = session(&host, "survivor", 32 * MIB);
    for _ in 0..20 {
        let (mut other, mut noisy) = session(&host, "victim", 32 * MIB);
        for _ in 0..500 {
            noisy.launch(0, 0, &[]);
        }
        other.child.kill().unwrap();
        for _ in 0..100 {
            client.launch(0, 0, &[]);
        }
        client.good(&ContextSynchronize { context: 0 }, &[]);
        other.child.wait().unwrap();
    }
    assert!(client.came::<Fault>().is_none());
}

#[test]
fn a_hung_kernel_ends_its_own_session_when_others_wait() {
    let host = Host::new("1x512Mi", false);
    let mut config = host.config("hung", 32 * MIB, 50);
    // Longer than a turn lasts: the other gets the turn and is behind the hung kernel on the GPU.
    config["kernelSeconds"] = json!(3);
    let (worker, mut hung) = session_of(&config);
    let (_other, mut client) = session(&host, "waiting", 32 * MIB);
    std::fs::write(host.directory.join("state/fault-0"), "hang").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    hung.launch(0, 0, &[]);
    hung.post(&ContextSynchronize { context: 0 }, &[]);
    std::thread::sleep(Duration::from_millis(200));
    client.launch(0, 0, &[]);
    let waited = client.post(&ContextSynchronize { context: 0 }, &[]);
    let (closed, reason) = hung.take::<Closed>();
    assert_eq!(closed.result, CUDA_ERROR_LAUNCH_TIMEOUT);
    assert!(String::from_utf8_lossy(&reason).contains("3 s"));
    assert_eq!(worker.end().0, Some(3));
    std::fs::remove_file(host.directory.join("state/fault-0")).unwrap();
    assert_eq!(client.reply::<ContextSynchronize>(waited).0, 0);
}

#[test]
fn a_lost_gpu_is_told_and_the_session_goes_on_refusing() {
    let host = Host::new("1x512Mi", false);
    let (_worker, mut client) = session(&host, "lost", 32 * MIB);
    std::fs::write(host.directory.join("state/fault-0"), "lost").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    client.launch(0, 0, &[]);
    let (fault, _) = client.take::<Fault>();
    assert_eq!(
        (fault.result, fault.sticky),
        (CUDA_ERROR_DEVICE_UNAVAILABLE, 1)
    );
    for _ in 0..3 {
        let (result, ..) = client.call(&ContextSynchronize { context: 0 }, &[]);
        assert_eq!(result, CUDA_ERROR_DEVICE_UNAVAILABLE);
    }
    let deadline = Instant::now() + PATIENCE;
    while host.account("lost", 256 + 80) == 0 {
        assert!(Instant::now() < deadline, "the fault is not counted");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_gpu_with_a_fatal_xid_is_listed_as_unhealthy() {
    let host = Host::new("2x64Mi", true);
    assert_eq!(host.inventory()[0]["healthy"], true);
    std::fs::write(host.directory.join("state/fault-0"), "xid 48").unwrap();
    let inventory = host.inventory();
    assert_eq!(
        (&inventory[0]["healthy"], &inventory[0]["reason"]),
        (&json!(false), &json!("XID 48"))
    );
    assert_eq!(inventory[1]["healthy"], true);
}
