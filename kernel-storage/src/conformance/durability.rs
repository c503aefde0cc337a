//! Laws of what is there after a store was closed and opened again.

use kernel_types::{Epoch, Mail};

use super::Fixture;
use super::sample::{Process, blob, commit, contents, land, message, ok, pid, post};
use crate::{Arrival, Commit, CommitOutcome};

/// Rows, records, values, bodies and mail are there as they were, and a commit that landed is known.
pub async fn what_was_committed_is_there_after_reopening(fixture: &dyn Fixture) {
    let mut store = fixture.open().await;
    let mut process = Process::new(1, Epoch(1));
    for round in 1..=3 {
        let step = Commit {
            values: vec![(format!("value {round}"), Some("x\0y".to_owned()))],
            sent: vec![message(1, round, pid(2))],
            blobs: vec![blob(&format!("body {round}"))],
            ..process.step(round)
        };
        land(&store, step.clone()).await;
        post(&store, &[message(9, round, pid(1))]).await;
        let before = contents(&store, &[pid(1), pid(2)]).await;
        store = fixture.reopen(store).await;
        assert_eq!(contents(&store, &[pid(1), pid(2)]).await, before, "round {round}");
        assert_eq!(commit(&store, step).await, CommitOutcome::Already, "round {round}");
        assert_eq!(ok(store.sweep().await), 0, "round {round}");
    }
}

/// That mail was consumed is as durable as the commit that consumed it.
pub async fn consumed_mail_stays_gone_after_reopening(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mail = [message(2, 1, pid(1)), message(2, 2, pid(1))];
    post(&store, &mail).await;
    let mut process = Process::new(1, Epoch(1));
    land(&store, Commit { consumed: vec![mail[0].id], ..process.step(1) }).await;
    let store = fixture.reopen(store).await;
    post(&store, &mail).await;
    assert_eq!(ok(store.inbox(pid(1)).await), [mail[1].clone()]);
}

/// An arrival stands for one piece of mail for ever, even if that mail and all trace of it are gone.
pub async fn arrivals_are_not_reused_after_reopening(fixture: &dyn Fixture) {
    let mut store = fixture.open().await;
    let mut last = Arrival(0);
    for n in 1..=3 {
        let mail: Vec<Mail> = (1..=3).map(|number| message(50, number, pid(n))).collect();
        post(&store, &mail).await;
        let arrived = ok(store.arrivals(last, 10).await);
        assert_eq!(arrived.len(), 3, "all of it came after {last:?}");
        last = arrived.last().map_or(last, |(arrival, _)| *arrival);
        let mut process = Process::new(n, Epoch(1));
        process.row.exited = true;
        let consumed = mail.iter().map(|mail| mail.id).collect();
        land(&store, Commit { consumed, ..process.step(1) }).await;
        assert_eq!(ok(store.arrivals(Arrival(0), 10).await), []);
        store = fixture.reopen(store).await;
    }
}
