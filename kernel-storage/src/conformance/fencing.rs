//! Laws of epochs and revisions.

use kernel_types::{AgentRow, Epoch};

use super::Fixture;
use super::sample::{Process, claim, commit, contents, land, ok, pid, record};
use crate::CommitOutcome;

/// Each claim gives an epoch above all before, across restarts too.
pub async fn epochs_rise_with_every_claim(fixture: &dyn Fixture) {
    let mut store = fixture.open().await;
    let mut last = Epoch(0);
    for _ in 0..3 {
        for _ in 0..3 {
            let epoch = claim(&store).await;
            assert!(epoch > last, "epoch {epoch} after {last}");
            last = epoch;
        }
        store = fixture.reopen(store).await;
    }
}

/// A kernel of a higher epoch carries on where the one before stopped.
pub async fn a_higher_epoch_takes_over(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let old = claim(&store).await;
    let mut process = Process::new(1, old);
    land(&store, process.step(2)).await;
    let mut taken = process.under(claim(&store).await);
    land(&store, taken.step(2)).await;
    assert_eq!(ok(store.agent(pid(1)).await), Some(taken.row));
    assert_eq!(ok(store.records(pid(1), 1, 10).await).len(), 4);
}

/// A kernel of a lower epoch than the row's is told so, whatever its revision.
pub async fn a_lower_epoch_is_fenced(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(7));
    land(&store, process.step(1)).await;
    land(&store, process.step(1)).await;
    let before = contents(&store, &[pid(1)]).await;
    for revision in [0, 1, 2, 5] {
        let mut behind = process.under(Epoch(6));
        behind.row.revision = revision;
        let answer = commit(&store, behind.step(1)).await;
        assert_eq!(answer, CommitOutcome::Fenced { epoch: Epoch(7) }, "after revision {revision}");
    }
    assert_eq!(contents(&store, &[pid(1)]).await, before);
    land(&store, process.step(1)).await;
}

/// A row of a higher epoch is another kernel's, even if it looks the same.
pub async fn a_higher_epoch_fences_even_the_same_revision_and_head(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let landed = Process::new(1, Epoch(7)).step(1);
    land(&store, landed.clone()).await;
    let mut same = landed.clone();
    same.row.epoch = Epoch(6);
    assert_eq!(commit(&store, same).await, CommitOutcome::Fenced { epoch: Epoch(7) });
    assert_eq!(commit(&store, landed).await, CommitOutcome::Already);
}

/// A commit that landed answers `Already` from then on, and adds nothing a second time.
pub async fn the_same_commit_again_is_already_there(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(1));
    for records in [2, 0, 1] {
        let step = process.step(records);
        land(&store, step.clone()).await;
        let before = contents(&store, &[pid(1)]).await;
        for _ in 0..2 {
            assert_eq!(commit(&store, step.clone()).await, CommitOutcome::Already, "{records} records");
        }
        assert_eq!(contents(&store, &[pid(1)]).await, before);
    }
}

/// The revision that is there with another head is another commit.
pub async fn another_head_at_the_same_revision_conflicts(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let landed = Process::new(1, Epoch(1)).step(1);
    land(&store, landed.clone()).await;
    let mut other = landed;
    other.records[0] = record(&other.row, 1, "another body");
    other.row.head = other.records[0].hash;
    assert_eq!(commit(&store, other).await, CommitOutcome::Conflict { revision: 1 });
}

/// A commit without records has the head of the one before. If a kernel that was thought gone lands one, the same
/// revision of its successor did not land.
pub async fn a_revision_of_a_lower_epoch_is_not_already_there(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut old = Process::new(1, Epoch(1));
    land(&store, old.step(1)).await;
    let mut successor = old.under(Epoch(2));
    land(&store, old.step(0)).await;
    assert_eq!(commit(&store, successor.step(0)).await, CommitOutcome::Conflict { revision: 2 });
    assert_eq!(ok(store.agent(pid(1)).await), Some(old.row));
}

/// Any revision but the next one conflicts and is told which is there; 0 where there is no row.
pub async fn another_revision_conflicts(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(1));
    let first = process.step(1);
    let second = process.step(1);
    let third = process.step(1);
    assert_eq!(commit(&store, second.clone()).await, CommitOutcome::Conflict { revision: 0 });
    assert_eq!(ok(store.agent(pid(1)).await), None);
    land(&store, first.clone()).await;
    assert_eq!(commit(&store, third).await, CommitOutcome::Conflict { revision: 1 });
    land(&store, second).await;
    assert_eq!(commit(&store, first).await, CommitOutcome::Conflict { revision: 2 });
    let mut last = process.step(0);
    last.row = AgentRow { revision: u64::MAX, ..last.row };
    assert_eq!(commit(&store, last).await, CommitOutcome::Conflict { revision: 2 });
}
