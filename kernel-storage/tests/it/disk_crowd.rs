//! Many write at once when the disk runs full: each is told, and exactly what was acknowledged is there.

use std::fs;

use kernel_storage::{Blobs, CommitOutcome, Journal, Mailboxes, SqliteStore};
use kernel_types::Epoch;

use crate::disk::{SmallDisk, assert_full};
use crate::sample::{heavy, message, pid, step};

const PROCESSES: u64 = 8;

/// Processes and mail from outside, each at its own pace, until nothing goes any more; what was acknowledged.
async fn crowd_until_full(store: &SqliteStore) -> (Vec<u64>, u64) {
    let tasks: Vec<_> = (0..PROCESSES)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                for revision in 1.. {
                    let mut commit = step(pid(n), Epoch(1), revision);
                    commit.blobs = heavy(pid(1000 * revision + n), 8_000).blobs;
                    match store.commit(vec![commit]).await {
                        Ok(answers) => assert_eq!(answers, [CommitOutcome::Committed]),
                        Err(error) => {
                            assert_full(&error);
                            return revision - 1;
                        }
                    }
                }
                0
            })
        })
        .collect();
    let mut posted = 0;
    loop {
        match store.post(vec![message(pid(50), posted + 1, pid(51))]).await {
            Ok(()) => posted += 1,
            Err(error) => {
                assert_full(&error);
                break;
            }
        }
        tokio::task::yield_now().await;
        if tasks.iter().all(|task| task.is_finished()) {
            break;
        }
    }
    let mut landed = Vec::new();
    for task in tasks {
        landed.push(task.await.unwrap());
    }
    (landed, posted)
}

/// Exactly what was acknowledged is there: a write that found no room left nothing.
async fn exactly(store: &SqliteStore, landed: &[u64], posted: u64) {
    for (n, revision) in (0..).zip(landed) {
        let found = store.agent(pid(n)).await.unwrap().map_or(0, |row| row.revision);
        assert_eq!(found, *revision, "process {n}");
        assert_eq!(store.records(pid(n), 1, usize::MAX).await.unwrap().len() as u64, *revision);
    }
    let hashes = store.list_blobs(None, usize::MAX).await.unwrap();
    assert_eq!(hashes.len() as u64, landed.iter().sum::<u64>(), "a body each");
    let numbers = store.inbox(pid(51)).await.unwrap().into_iter().map(|mail| mail.id.number);
    assert!(numbers.eq(1..=posted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_on_a_full_disk_loses_nothing_and_goes_on_when_there_is_space() {
    let Some(disk) =
        SmallDisk::mount("disk_crowd::a_crowd_on_a_full_disk_loses_nothing_and_goes_on_when_there_is_space")
    else {
        return;
    };
    fs::write(disk.join("ballast"), vec![1; 1 << 20]).unwrap();
    let store = SqliteStore::open(disk.join("store.db")).await.unwrap();
    let (landed, posted) = crowd_until_full(&store).await;
    assert!(landed.iter().sum::<u64>() > PROCESSES, "{landed:?} landed");
    exactly(&store, &landed, posted).await;

    fs::remove_file(disk.join("ballast")).unwrap();
    let mut batch = Vec::new();
    for (n, revision) in (0..).zip(&landed) {
        batch.push(step(pid(n), Epoch(1), revision + 1));
    }
    assert_eq!(store.commit(batch).await.unwrap(), vec![CommitOutcome::Committed; landed.len()]);
    store.post(vec![message(pid(50), posted + 1, pid(51))]).await.unwrap();
    store.close().await.unwrap();
    let store = SqliteStore::open(disk.join("store.db")).await.unwrap();
    assert!(!store.report().is_older(), "{}", store.report());
    for (n, revision) in (0..).zip(&landed) {
        assert_eq!(store.agent(pid(n)).await.unwrap().unwrap().revision, revision + 1);
    }
    assert_eq!(store.inbox(pid(51)).await.unwrap().len() as u64, posted + 1);
}
