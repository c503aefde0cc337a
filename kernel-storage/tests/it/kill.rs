//! A kernel that is killed at any moment loses nothing that was acknowledged and leaves nothing by halves.
//!
//! The test binary runs itself as the victim: it commits without end and says on its standard output what was
//! acknowledged. The parent kills it after a random number of lines, opens the store and compares.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};

use kernel_storage::{Blob, Commit, CommitOutcome, Journal, Mailboxes, SqliteStore, Store, StoreErrorKind};
use kernel_types::{Epoch, Pid};

use crate::sample::{message, pid, step};

const STORE: &str = "KERNEL_STORAGE_VICTIM";
pub(crate) const PROCESSES: u64 = 8;

/// Everything a commit can carry, made of its revision: a value that counts, a body, a message to a neighbour, and
/// the consumption of the one before.
pub(crate) fn laden(n: u64, epoch: Epoch, revision: u64) -> Commit {
    let (me, neighbour) = (pid(n), pid((n + 1) % PROCESSES));
    let before = pid((n + PROCESSES - 1) % PROCESSES);
    let mut commit = step(me, epoch, revision);
    commit.values = vec![("count".to_owned(), Some(revision.to_string()))];
    commit.blobs = vec![body(n, revision)];
    commit.sent = vec![message(me, revision, neighbour)];
    commit.consumed = vec![message(before, revision - 1, me).id];
    commit
}

fn body(n: u64, revision: u64) -> Blob {
    Blob::of(format!("body {revision} of {n} ").repeat(50).into_bytes())
}

/// Not a test of its own: the victim's part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the tests of this file"]
async fn victim() {
    let path = PathBuf::from(std::env::var_os(STORE).expect("run by the tests of this file"));
    let store = SqliteStore::open(path).await.unwrap();
    let epoch = store.claim().await.unwrap();
    let tasks: Vec<_> =
        (0..PROCESSES).map(|n| tokio::spawn(commit_for_ever(store.clone(), epoch, n))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn commit_for_ever(store: SqliteStore, epoch: Epoch, n: u64) {
    let mut revision = store.agent(pid(n)).await.unwrap().map_or(0, |row| row.revision);
    loop {
        revision += 1;
        let answers = store.commit(vec![laden(n, epoch, revision)]).await.unwrap();
        assert_eq!(answers, [CommitOutcome::Committed]);
        // One write a line: a kill cuts between lines or within the last.
        std::io::stdout().write_all(format!("\nACK {n} {revision} .\n").as_bytes()).unwrap();
    }
}

struct Victim {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    acknowledged: HashMap<u64, u64>,
}

impl Victim {
    fn start(path: &Path) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the test binary itself, to be killed")]
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "kill::victim", "--ignored", "--nocapture"]).env(STORE, path);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, acknowledged: HashMap::new() }
    }

    /// Reads up to that many acknowledgements; fewer only if the victim is gone.
    fn read(&mut self, mut count: usize) -> usize {
        let wanted = count;
        while count > 0
            && let Some(Ok(line)) = self.lines.next()
        {
            let Some(rest) = line.strip_prefix("ACK ").and_then(|rest| rest.strip_suffix(" .")) else {
                continue;
            };
            let (n, revision) = rest.split_once(' ').unwrap();
            self.acknowledged.insert(n.parse().unwrap(), revision.parse().unwrap());
            count -= 1;
        }
        wanted - count
    }

    /// Kills it as `kill -9` does; what it had said until then counts.
    fn kill(mut self) -> HashMap<u64, u64> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.read(usize::MAX);
        std::mem::take(&mut self.acknowledged)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each process is at one revision in every respect; the revisions.
pub(crate) async fn consistent(store: &impl Store) -> HashMap<u64, u64> {
    let rows = store.agents(None, false, 100).await.unwrap();
    let revisions: HashMap<Pid, u64> = rows.iter().map(|row| (row.pid, row.revision)).collect();
    let mut found = HashMap::new();
    for n in 0..PROCESSES {
        let me = pid(n);
        let Some(revision) = revisions.get(&me).copied() else { continue };
        let row = rows.iter().find(|row| row.pid == me).unwrap();
        let expected = |revision| step(me, row.epoch, revision);
        assert_eq!(row.image, expected(revision).row.image);
        let records = store.records(me, 1, usize::MAX).await.unwrap();
        assert!(records.iter().map(|record| record.number).eq(1..=revision), "records of {n}");
        assert_eq!(records.last().unwrap().hash, row.head);
        assert_eq!(store.values(me).await.unwrap(), [("count".to_owned(), revision.to_string())]);
        let hashes: Vec<_> = (1..=revision).map(|revision| body(n, revision).hash).collect();
        assert!(store.blobs(&hashes).await.unwrap().iter().all(Option::is_some), "bodies of {n}");
        // What the neighbour sent, without what was consumed: one less than the revision, and all before.
        let sent = revisions.get(&pid((n + PROCESSES - 1) % PROCESSES)).copied().unwrap_or(0);
        let inbox = store.inbox(me).await.unwrap();
        let numbers: Vec<_> = inbox.iter().map(|mail| mail.id.number).collect();
        assert_eq!(
            numbers,
            (1..=sent).filter(|number| *number >= revision).collect::<Vec<_>>(),
            "mail of {n}"
        );
        found.insert(n, revision);
    }
    found
}

#[tokio::test]
async fn acknowledged_commits_survive_kills_at_random_moments() {
    let rounds = if std::env::var_os("AGENTOS_SOAK").is_some() { 200 } else { 20 };
    let seed = std::env::var("AGENTOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| SysRng.try_next_u64().unwrap());
    println!("AGENTOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (mut before, mut total) = (HashMap::new(), 0);
    for round in 0..rounds {
        let mut victim = Victim::start(&path);
        let lines = random.random_range(0..120);
        let read = victim.read(lines);
        assert_eq!(read, lines, "AGENTOS_SEED={seed} round {round}: the victim died by itself");
        let acknowledged = victim.kill();
        let store = SqliteStore::open(&path).await.unwrap();
        let found = consistent(&store).await;
        for (n, revision) in acknowledged.iter().chain(&before) {
            let there = found.get(n).copied().unwrap_or(0);
            assert!(there >= *revision, "AGENTOS_SEED={seed} round {round}: {n} at {there}, not {revision}");
        }
        total += acknowledged.len();
        before = found;
        store.close().await.unwrap();
    }
    assert!(total > 0, "some commits were acknowledged");
    println!("{rounds} kills, at the end {before:?}");
}

#[tokio::test]
async fn the_lock_of_another_process_names_it_and_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut victim = Victim::start(&path);
    assert_eq!(victim.read(1), 1);
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
    assert!(error.to_string().contains(&format!("process {}", victim.child.id())), "{error}");
    // Looking and posting work beside it.
    let control = SqliteStore::attach(&path).await.unwrap();
    control.post(vec![message(pid(77), 1, pid(88))]).await.unwrap();
    assert!(!control.agents(None, true, 10).await.unwrap().is_empty());
    victim.kill();
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.inbox(pid(88)).await.unwrap().len(), 1);
}
