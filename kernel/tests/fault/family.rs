//! The parent's side: start the child, kill it, read what it left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kernel_security::verify;
use kernel_storage::{Journal, SqliteStore};
use kernel_types::{AgentRow, Event, Pid, Record};

use crate::child::{FOLDER, SCENARIO};

/// How often to kill: `ci` times, or `soak` times with `AGENTOS_SOAK` set.
pub(crate) fn kills(ci: u64, soak: u64) -> u64 {
    if std::env::var_os("AGENTOS_SOAK").is_some() { soak } else { ci }
}

/// The seed of this run, printed so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("AGENTOS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_123);
    println!("AGENTOS_SEED={seed}");
    seed
}

/// A small generator (splitmix64): the moments are chosen by it.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// A child that is killed when it is dropped.
pub(crate) struct Started {
    child: Child,
    folder: PathBuf,
}

impl Started {
    #[expect(clippy::disallowed_methods, reason = "the test starts itself as the process to be killed")]
    pub(crate) fn start(folder: &Path, scenario: &str) -> Self {
        let _ = std::fs::remove_file(folder.join("ready"));
        let log =
            std::fs::OpenOptions::new().append(true).create(true).open(folder.join("log")).expect("opens");
        let child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "child::child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .env(SCENARIO, scenario)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("clones"))
            .stderr(log)
            .spawn()
            .expect("the child starts");
        Self { child, folder: folder.to_owned() }
    }

    /// Waits until the child runs; `false` if it ended before.
    pub(crate) fn wait_ready(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.folder.join("ready").exists() {
            if self.ended() {
                return false;
            }
            assert!(Instant::now() < deadline, "the child is not ready: {}", self.log());
            std::thread::yield_now();
        }
        true
    }

    pub(crate) fn ended(&mut self) -> bool {
        self.child.try_wait().expect("can wait").is_some()
    }

    /// Waits for the child's own end, which must be a success.
    pub(crate) fn finish(&mut self) {
        let status = self.child.wait().expect("can wait");
        assert!(status.success() && self.folder.join("done").exists(), "the child failed: {}", self.log());
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("can kill");
        self.child.wait().expect("can wait");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything a store holds of its processes.
pub(crate) struct Left {
    pub(crate) rows: Vec<AgentRow>,
    pub(crate) records: BTreeMap<Pid, Vec<(Record, Event)>>,
}

/// Reads the store that children left, and verifies its chains.
pub(crate) async fn left(folder: &Path) -> Left {
    let store = SqliteStore::open(folder.join("kernel.db")).await.expect("the store opens");
    let report = verify(&kernel::StoreAudit(&store), &|_| {}).await.expect("the audit reads");
    assert!(report.findings.is_empty(), "the chains do not verify: {:?}", report.findings);
    let mut rows: Vec<AgentRow> = Vec::new();
    loop {
        let page = store.agents(rows.last().map(|row| row.pid), false, 1000).await.expect("reads");
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    let mut records = BTreeMap::new();
    for row in &rows {
        let mut list: Vec<(Record, Event)> = Vec::new();
        loop {
            let next = list.last().map_or(1, |(record, _)| record.number + 1);
            let page = store.records(row.pid, next, 1000).await.expect("reads");
            if page.is_empty() {
                break;
            }
            for record in page {
                let event =
                    kernel::event_of(&store, Some(&record)).await.expect("reads").expect("a body is there");
                list.push((record, event));
            }
        }
        records.insert(row.pid, list);
    }
    check_acknowledged(folder, &rows, &records);
    Left { rows, records }
}

/// Every commit that a child saw acknowledged is in the store: the row is at least there, and its head is in the chain.
fn check_acknowledged(folder: &Path, rows: &[AgentRow], records: &BTreeMap<Pid, Vec<(Record, Event)>>) {
    let text = std::fs::read_to_string(folder.join("acknowledged")).expect("reads");
    let mut seen = 0;
    for line in text.lines() {
        let mut parts = line.split(' ');
        let (Some(pid), Some(revision), Some(head)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let pid: Pid = pid.parse().expect("a pid");
        let row = rows.iter().find(|row| row.pid == pid).expect("an acknowledged process is there");
        assert!(
            row.revision >= revision.parse().expect("a number"),
            "{line}: lost, the row is at {}",
            row.revision
        );
        let found = records[&pid].iter().any(|(record, _)| record.hash.to_string() == head);
        assert!(found, "{line}: the record of that head is lost");
        seen += 1;
    }
    assert!(seen > 0, "nothing was acknowledged");
}
