//! The keeper with real processes.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

struct Kept {
    keeper: Child,
    folder: PathBuf,
}

impl Kept {
    /// Keeps a shell that runs `script`; `$LINES` is a file for what it has to say.
    fn new(name: &str, script: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("aq-keeper-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let keeper = Command::new(env!("CARGO_BIN_EXE_keeper"))
            .args(["sh", "-c", script])
            .env("LINES", folder.join("lines"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { keeper, folder }
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("lines")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn until(&self, what: impl Fn(&[String]) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let lines = self.lines();
            if what(&lines) {
                return lines;
            }
            assert!(begun.elapsed() < LONG, "still {lines:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.keeper.id()).unwrap();
        // SAFETY: our own child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    fn code(&mut self) -> Option<i32> {
        self.keeper.wait().unwrap().code()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

#[test]
fn what_was_killed_or_has_failed_is_started_again_until_it_ends_well() {
    let script = "echo x >> $LINES; case $(wc -l < $LINES) in 1) kill -9 $$;; 2) exit 1;; esac";
    let mut kept = Kept::new("again", script);
    assert_eq!(kept.code(), Some(0));
    assert_eq!(kept.lines().len(), 3);
}

#[test]
fn settings_that_do_not_fit_are_not_tried_again() {
    let mut kept = Kept::new("usage", "echo x >> $LINES; exit 2");
    assert_eq!(kept.code(), Some(2));
    assert_eq!(kept.lines().len(), 1);
}

#[test]
fn a_signal_is_passed_on_and_its_end_is_ours() {
    let script = "trap 'exit 7' TERM; echo ready >> $LINES; while :; do sleep 0.01; done";
    let mut kept = Kept::new("signal", script);
    kept.until(|lines| lines == ["ready"]);
    kept.signal(libc::SIGTERM);
    assert_eq!(kept.code(), Some(7));
    assert_eq!(kept.lines().len(), 1);
}

#[test]
fn it_ends_with_its_keeper() {
    let mut kept = Kept::new("ends", "echo $$ >> $LINES; while :; do sleep 0.01; done");
    let lines = kept.until(|lines| !lines.is_empty());
    kept.signal(libc::SIGKILL);
    kept.code();
    let process = PathBuf::from("/proc").join(&lines[0]).join("cmdline");
    // One that has ended and is waited for by nobody has no command line left.
    let begun = Instant::now();
    while fs::read(&process).is_ok_and(|line| !line.is_empty()) {
        assert!(begun.elapsed() < LONG, "it lives");
        std::thread::sleep(Duration::from_millis(10));
    }
}
