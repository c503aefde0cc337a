//! Laws of commits that meet, and of callers that give up.

use std::sync::Arc;

use kernel_types::Epoch;

use super::Fixture;
use super::sample::{Process, commit, contents, ok, pid, record};
use crate::CommitOutcome;

/// Batches committed at the same time all land, each with its own answers.
pub async fn concurrent_commits_all_land(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let tasks = (0..100).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let (mut one, mut two) = (Process::new(2 * n, Epoch(1)), Process::new(2 * n + 1, Epoch(1)));
            for _ in 0..5 {
                let batch = vec![one.step(2), two.step(1)];
                assert_eq!(ok(store.commit(batch).await), vec![CommitOutcome::Committed; 2]);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no commit failed");
    }
    let rows = ok(store.agents(None, false, 1000).await);
    assert_eq!(rows.len(), 200);
    for row in rows {
        assert_eq!(row.revision, 5);
        assert_eq!(ok(store.records(row.pid, 1, 100).await).len() as u64, row.records);
    }
}

/// Of commits for the same revision of one process exactly one lands, whole.
pub async fn of_racing_commits_one_lands(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let racers: Vec<_> = (0..20)
        .map(|n| {
            let mut racer = Process::new(1, Epoch(1)).step(1);
            racer.records[0] = record(&racer.row, 1, &format!("racer {n}"));
            racer.row.head = racer.records[0].hash;
            racer
        })
        .collect();
    let tasks: Vec<_> = racers
        .iter()
        .cloned()
        .map(|racer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { commit(&store, racer).await })
        })
        .collect();
    let mut winners = Vec::new();
    for (racer, task) in racers.iter().zip(tasks) {
        match task.await.expect("a race is no error") {
            CommitOutcome::Committed => winners.push(racer),
            other => assert_eq!(other, CommitOutcome::Conflict { revision: 1 }),
        }
    }
    assert_eq!(winners.len(), 1, "one commit wins");
    assert_eq!(ok(store.agent(pid(1)).await).as_ref(), Some(&winners[0].row));
    assert_eq!(ok(store.records(pid(1), 1, 10).await), winners[0].records);
}

/// A commit whose future was dropped may be committed again: it is there once.
pub async fn a_dropped_commit_may_be_repeated(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(1));
    for polls in 0..20 {
        let step = process.step(2);
        drop_after(polls, store.commit(vec![step.clone()])).await;
        let answer = commit(&store, step.clone()).await;
        assert!(
            matches!(answer, CommitOutcome::Committed | CommitOutcome::Already),
            "after {polls} polls: {answer:?}"
        );
        let again = contents(&store, &[pid(1)]).await;
        assert_eq!(commit(&store, step).await, CommitOutcome::Already);
        assert_eq!(contents(&store, &[pid(1)]).await, again);
    }
    assert_eq!(ok(store.records(pid(1), 1, 100).await).len(), 40);
}

/// Polls a future that many times, then drops it.
pub(super) async fn drop_after(polls: usize, future: impl Future) {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        let ready = std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context)));
        if ready.await.is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
