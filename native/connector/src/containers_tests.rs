use std::process::{Child, Command, Stdio};

use super::*;

/// A directory that stands for /proc: what it says of cgroups is the test's to say.
struct Stage {
    proc: PathBuf,
    poller: Poller,
    containers: Containers,
    children: Vec<Child>,
}

impl Stage {
    fn new(name: &str) -> Self {
        let proc = std::env::temp_dir().join(format!("aquifer-ct-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&proc).unwrap();
        let stage = Self {
            containers: Containers::new(proc.clone()),
            poller: Poller::new().unwrap(),
            proc,
            children: Vec::new(),
        };
        stage.place(std::process::id(), "/system.slice/connector.service");
        stage
    }

    fn place(&self, pid: u32, cgroup: &str) {
        let directory = self.proc.join(pid.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        let text = format!("9:memory:/elsewhere\n0::{cgroup}\n");
        std::fs::write(directory.join("cgroup"), text).unwrap();
    }

    /// A process in a cgroup.
    fn process(&mut self, cgroup: &str) -> i32 {
        let child = Command::new("sleep")
            .arg("1000")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.place(child.id(), cgroup);
        let pid = child.id().cast_signed();
        self.children.push(child);
        pid
    }

    fn register(&mut self, id: &str, share: Option<&str>, pid: i32) -> Result<(), Refusal> {
        let share = share.map(str::to_owned);
        let token = 100 + u64::try_from(pid).unwrap();
        self.containers
            .register(id.into(), share, pid, token, &self.poller)
    }

    fn refused(&mut self, id: &str, share: Option<&str>, pid: i32) -> String {
        self.register(id, share, pid).unwrap_err().reason
    }

    fn seen_as(&self, pid: i32) -> Option<(String, Option<String>)> {
        let process = ProcessId::of(pid).unwrap();
        let peer = Peer {
            process,
            uid: 0,
            pidfd: process.open().unwrap(),
        };
        let nested = self.containers.container_of(&peer)?;
        Some((nested.id, nested.share))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.proc);
    }
}

#[test]
fn processes_are_told_apart_by_their_cgroups() {
    let mut stage = Stage::new("apart");
    let one = stage.process("/aquifer/one");
    let two = stage.process("/libpod_parent/libpod-two");
    stage.register("one", Some("small"), one).unwrap();
    stage.register("two", None, two).unwrap();
    let below = stage.process("/aquifer/one/init.scope");
    let sibling = stage.process("/aquifer/one-more");
    let guest_root = stage.process("/user.slice");
    assert_eq!(
        stage.seen_as(below),
        Some(("one".into(), Some("small".into())))
    );
    assert_eq!(stage.seen_as(two), Some(("two".into(), None)));
    assert_eq!(stage.seen_as(sibling), None);
    assert_eq!(stage.seen_as(guest_root), None);
}

#[test]
fn a_container_in_a_container_is_the_inner_one_where_it_is_registered() {
    let mut stage = Stage::new("inner");
    let (outer, inner) = (stage.process("/outer"), stage.process("/outer/inner"));
    stage.register("outer", None, outer).unwrap();
    assert_eq!(stage.seen_as(inner).unwrap().0, "outer");
    stage.register("inner", None, inner).unwrap();
    assert_eq!(stage.seen_as(inner).unwrap().0, "inner");
    assert_eq!(stage.seen_as(outer).unwrap().0, "outer");
}

#[test]
fn what_could_be_taken_for_another_is_refused() {
    let mut stage = Stage::new("refused");
    let one = stage.process("/aquifer/one");
    stage.register("one", Some("small"), one).unwrap();
    // The same again, as a hook that was repeated.
    stage.register("one", Some("small"), one).unwrap();
    assert_eq!(stage.refused("one", Some("large"), one), "ContainerExists");
    let another = stage.process("/aquifer/another");
    assert_eq!(stage.refused("one", None, another), "ContainerExists");
    let same = stage.process("/aquifer/one");
    assert_eq!(stage.refused("two", None, same), "CgroupShared");
    for (cgroup, why) in [
        ("/", "CgroupShared"),
        ("/aquifer", "CgroupShared"),
        ("/system.slice", "CgroupShared"),
        ("/system.slice/connector.service", "CgroupShared"),
    ] {
        let pid = stage.process(cgroup);
        assert_eq!(stage.refused("three", None, pid), why, "{cgroup}");
    }
    for id in ["", "../x", "a b", "-a", &"x".repeat(129)] {
        assert_eq!(stage.refused(id, None, another), "BadRequest", "{id}");
    }
    assert_eq!(stage.refused("gone", None, i32::MAX), "BadRequest");
    std::fs::write(stage.proc.join(format!("{another}/cgroup")), "1:cpu:/x\n").unwrap();
    assert_eq!(stage.refused("v1", None, another), "CgroupUnknown");
}

#[test]
fn a_container_goes_with_its_first_process_and_is_taken_up_only_while_it_lives() {
    let mut stage = Stage::new("ends");
    let one = stage.process("/aquifer/one");
    stage.register("one", None, one).unwrap();
    let [stored] = stage.containers.list().try_into().unwrap();
    let mut later = Containers::new(stage.proc.clone());
    later.adopt(stored.clone(), 1, &stage.poller).unwrap();
    let other = Registration {
        cgroup: "/elsewhere".into(),
        ..stored.clone()
    };
    let mut wary = Containers::new(stage.proc.clone());
    assert!(wary.adopt(other, 1, &stage.poller).is_err());

    let mut child = stage.children.remove(0);
    child.kill().unwrap();
    child.wait().unwrap();
    let again = stage.process("/aquifer/one");
    later
        .register("one".into(), None, again, 2, &stage.poller)
        .unwrap();
    let events = stage.poller.wait(None).unwrap();
    let ended = events
        .iter()
        .find_map(|event| stage.containers.ended(event.token));
    assert_eq!(ended.as_deref(), Some("one"));
    assert!(stage.containers.list().is_empty());
    let mut late = Containers::new(stage.proc.clone());
    assert!(late.adopt(stored, 1, &stage.poller).is_err());
}
