//! The test binary as its own victim: a process that commits until it is killed, or until it kills itself.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;

use kernel_storage::{PostgresStore, SqliteStore, Store};

use crate::workload::{Acknowledged, acknowledged, run_for_ever};

const STORE: &str = "KERNEL_STORAGE_VICTIM";
/// What the crate `fail` reads.
const POINTS: &str = "FAILPOINTS";

/// Not a test of its own: the victim's part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the tests that kill it"]
async fn victim() {
    let scenario = fail::FailScenario::setup();
    let place = std::env::var_os(STORE).expect("run by the tests that kill it");
    let store: Arc<dyn Store> = match place.to_str().filter(|place| place.starts_with("postgres:")) {
        Some(url) => Arc::new(PostgresStore::open(url).await.unwrap()),
        None => Arc::new(SqliteStore::open(place).await.unwrap()),
    };
    run_for_ever(store).await;
    scenario.teardown();
}

/// A command that runs one ignored test of this binary, alone.
pub(crate) fn this_test(name: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the test binary itself, to be killed")]
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture"]).stdin(Stdio::null());
    command
}

pub(crate) struct Victim {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    acknowledged: Acknowledged,
}

impl Victim {
    /// One that commits until it is killed, to the store at this path or URL.
    pub(crate) fn start(place: impl AsRef<OsStr>) -> Self {
        Self::spawn(&mut this_test("victim::victim"), place.as_ref())
    }

    /// One with these fail points set.
    pub(crate) fn with_points(place: impl AsRef<OsStr>, points: &str) -> Self {
        Self::spawn(this_test("victim::victim").env(POINTS, points), place.as_ref())
    }

    fn spawn(command: &mut Command, place: &OsStr) -> Self {
        let mut child =
            command.env(STORE, place).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, acknowledged: Acknowledged::new() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads up to that many acknowledgements; fewer only if the victim is gone.
    pub(crate) fn read(&mut self, wanted: usize) -> usize {
        let mut count = 0;
        while count < wanted
            && let Some(Ok(line)) = self.lines.next()
        {
            if let Some((n, number)) = acknowledged(&line) {
                self.acknowledged.insert(n, number);
                count += 1;
            }
        }
        count
    }

    /// Kills it as `kill -9` does; what it had said until then counts.
    pub(crate) fn kill(mut self) -> Acknowledged {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.read(usize::MAX);
        std::mem::take(&mut self.acknowledged)
    }

    /// Waits for it to be killed by itself, before that many acknowledgements.
    pub(crate) fn dies(mut self, within: usize) -> Acknowledged {
        let read = self.read(within);
        assert!(read < within, "it lives after {read} acknowledgements");
        let status: ExitStatus = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it was not killed: {status}");
        std::mem::take(&mut self.acknowledged)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
