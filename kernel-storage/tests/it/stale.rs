//! A kernel that was thought gone and is not: whatever it writes, nothing of it lands.

use kernel_storage::{Commit, CommitOutcome, SqliteStore, Store};
use kernel_types::{Epoch, Hash};

use crate::postgres::place::Place;
use crate::sample::{message, pid, step};

const PROCESSES: u64 = 1000;
const WRITES: u64 = 100_000;

/// What the stale kernel tries in its `round`th batch: the right revision, one behind, one ahead, or the very commit
/// that landed; each with something of everything.
fn stale(n: u64, round: u64, found: u64) -> Commit {
    let revision = match round % 4 {
        0 => found + 1,
        1 => found,
        2 => found + 2,
        _ => 1,
    };
    let mut commit = step(pid(n), Epoch(1), revision);
    commit.values = vec![("stale".to_owned(), Some("yes".to_owned()))];
    commit.sent = vec![message(pid(n), revision, pid(n + 1))];
    if round % 8 == 7 {
        commit.row.head = Hash::ZERO;
    }
    commit
}

/// Commits `WRITES` times under an epoch that is over, and once in between under the one that is not.
async fn refused_every_time(store: &impl Store) {
    let first = (0..PROCESSES).map(|n| step(pid(n), Epoch(1), 1)).collect();
    let taken_over = (0..PROCESSES).map(|n| step(pid(n), Epoch(2), 2)).collect();
    for batch in [first, taken_over] {
        let answers: Vec<_> = store.commit(batch).await.unwrap();
        assert!(answers.iter().all(|answer| *answer == CommitOutcome::Committed));
    }
    let mut refused = 0;
    for round in 0..WRITES / PROCESSES {
        let batch = (0..PROCESSES).map(|n| stale(n, round, 2)).collect();
        let answers = store.commit(batch).await.unwrap();
        refused += answers.iter().filter(|a| **a == CommitOutcome::Fenced { epoch: Epoch(2) }).count() as u64;
    }
    assert_eq!(refused, WRITES);
    let rows = store.agents(None, false, usize::MAX).await.unwrap();
    assert_eq!(rows.len() as u64, PROCESSES);
    for (n, row) in (0..).zip(rows) {
        assert_eq!(row, step(pid(n), Epoch(2), 2).row);
        assert_eq!(store.records(row.pid, 1, 10).await.unwrap().len(), 2);
    }
    assert_eq!(store.values(pid(1)).await.unwrap(), []);
    assert_eq!(store.inbox(pid(1)).await.unwrap(), []);
    // The control: the kernel that has them goes on.
    let next = (0..PROCESSES).map(|n| step(pid(n), Epoch(2), 3)).collect();
    let answers = store.commit(next).await.unwrap();
    assert!(answers.iter().all(|answer| *answer == CommitOutcome::Committed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_epoch_never_writes_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).await.unwrap();
    refused_every_time(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_epoch_never_writes_on_postgres() {
    let place = Place::new();
    refused_every_time(&place.open().await).await;
}
