//! Sweeping beside kernels that write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::AssertSqlSafe;

use kernel_storage::{Blob, Blobs, Commit, CommitOutcome, Journal};
use kernel_types::Epoch;

use super::place::{Place, raw};
use crate::sample::{pid, step};

fn body(text: &str) -> Blob {
    Blob::of(text.as_bytes())
}

/// Bodies that were written ahead of a commit which never came.
async fn orphans(place: &Place, count: usize) {
    place
        .sql(&format!(
            "INSERT INTO blob SELECT sha256(n::text::bytea), 'body' FROM generate_series(1, {count}) AS n"
        ))
        .await;
}

#[tokio::test]
async fn bodies_of_commits_that_never_came_go_and_all_others_stay() {
    let place = Place::new();
    let store = place.open().await;
    orphans(&place, 1234).await;
    let kept = body("kept");
    store.commit(vec![Commit { blobs: vec![kept.clone()], ..step(pid(1), Epoch(1), 1) }]).await.unwrap();
    // One of a commit that conflicted.
    let lost = body("lost");
    store.commit(vec![Commit { blobs: vec![lost.clone()], ..step(pid(1), Epoch(1), 9) }]).await.unwrap();
    assert_eq!(store.blobs(&[kept.hash, lost.hash]).await.unwrap(), [Some(kept.bytes), None]);
    assert_eq!(store.sweep().await.unwrap(), 1235);
    assert_eq!(store.list_blobs(None, 10).await.unwrap(), [kept.hash]);
    assert_eq!(store.sweep().await.unwrap(), 0);
}

#[tokio::test]
async fn a_body_that_is_just_being_referred_to_is_passed_over() {
    let place = Place::new();
    let store = place.open().await;
    orphans(&place, 2).await;
    let mut other = raw(&place.url).await;
    let refer = format!(
        "SET search_path = {}; BEGIN; \
         INSERT INTO blob_ref SELECT hash, gen_random_uuid() FROM blob ORDER BY hash LIMIT 1",
        place.schema
    );
    sqlx::raw_sql(AssertSqlSafe(refer)).execute(&mut other).await.unwrap();
    assert_eq!(store.sweep().await.unwrap(), 1);
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(store.sweep().await.unwrap(), 0);
    assert_eq!(place.text("SELECT count(*)::text FROM {s}.blob").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_commit_loses_its_body_to_a_sweep_of_another_kernel() {
    const PROCESSES: u64 = 8;
    const STEPS: u64 = 40;
    let place = Place::new();
    let (kernel, sweeper) = (place.open().await, place.open().await);
    let over = Arc::new(AtomicBool::new(false));
    let sweeps = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let (mut sweeps, mut removed) = (0_u64, 0);
            while !over.load(Ordering::Relaxed) {
                removed += sweeper.sweep().await.unwrap();
                sweeps += 1;
            }
            (sweeps, removed)
        }
    });
    let tasks: Vec<_> = (0..PROCESSES)
        .map(|n| {
            let kernel = kernel.clone();
            tokio::spawn(async move {
                for revision in 1..=STEPS {
                    let blobs =
                        vec![body(&format!("{n} at {revision}")), body(&format!("all at {revision}"))];
                    let commit = Commit { blobs, ..step(pid(n), Epoch(1), revision) };
                    // A body without a process, for the sweeper to remove.
                    let refused = Commit {
                        blobs: vec![body(&format!("orphan {n} {revision}"))],
                        ..step(pid(1000 + n), Epoch(1), 7)
                    };
                    let answers = kernel.commit(vec![refused, commit]).await.unwrap();
                    assert_eq!(answers[1], CommitOutcome::Committed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    let (sweeps, removed) = sweeps.await.unwrap();
    assert!(removed > 0, "{sweeps} sweeps found something");
    for n in 0..PROCESSES {
        for revision in 1..=STEPS {
            let hashes = [body(&format!("{n} at {revision}")).hash, body(&format!("all at {revision}")).hash];
            let found = kernel.blobs(&hashes).await.unwrap();
            assert!(found.iter().all(Option::is_some), "a body of {n} at {revision}");
        }
    }
    println!("{sweeps} sweeps removed {removed} bodies of {} commits", PROCESSES * STEPS);
}
