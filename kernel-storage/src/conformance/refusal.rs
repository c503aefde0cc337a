//! Laws of commits that are malformed, and of commits that do not apply.

use std::sync::Arc;

use kernel_types::{Epoch, Hash, MailId};

use super::Fixture;
use super::sample::{Process, blob, commit, contents, land, message, ok, pid, post, record};
use crate::{Blob, Commit, CommitOutcome, Store};

/// Whether an answer is the one expected.
type Expected = fn(&CommitOutcome) -> bool;

/// Everything that makes a commit malformed, each with a word for it, on a process of revision 1 with 2 records.
fn malformed(process: &Process) -> Vec<(&'static str, Commit)> {
    let good = process.clone().step(3);
    let break_it = |change: fn(&mut Commit)| {
        let mut commit = good.clone();
        change(&mut commit);
        commit
    };
    vec![
        ("a gap in the numbers", break_it(|commit| commit.records[2].number = 7)),
        ("the same number twice", break_it(|commit| commit.records[1].number = 3)),
        ("numbers that fall", break_it(|commit| commit.records.reverse())),
        (
            "a gap after what is stored",
            break_it(|commit| {
                commit.records.iter_mut().for_each(|record| record.number += 1);
                commit.row.records += 1;
            }),
        ),
        (
            "numbers that are stored already",
            break_it(|commit| {
                commit.records.iter_mut().for_each(|record| record.number -= 1);
                commit.row.records -= 1;
            }),
        ),
        ("more records than the row counts", break_it(|commit| commit.row.records -= 1)),
        ("fewer records than the row counts", break_it(|commit| commit.records.truncate(1))),
        ("no records where the row counts some", break_it(|commit| commit.records.clear())),
        ("a record of another process", break_it(|commit| commit.records[1].pid = pid(99))),
        ("the largest number", break_it(|commit| commit.records[2].number = u64::MAX)),
        (
            "a blob with the hash of another",
            break_it(|commit| commit.blobs.push(Blob { hash: Hash([1; 32]), bytes: Arc::from(*b"body") })),
        ),
    ]
}

/// A malformed commit is refused with a reason, and changes nothing.
pub async fn malformed_commits_are_refused(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(1));
    land(&store, process.step(2)).await;
    let before = contents(&store, &[pid(1), pid(99)]).await;
    for (what, bad) in malformed(&process) {
        let CommitOutcome::Refused { reason } = commit(&store, bad).await else {
            panic!("{what} was not refused");
        };
        assert!(!reason.is_empty(), "{what}: no reason");
        assert_eq!(contents(&store, &[pid(1), pid(99)]).await, before, "{what}");
    }
    let mut zero = Process::new(2, Epoch(1)).step(0);
    zero.row.revision = 0;
    assert!(matches!(commit(&store, zero).await, CommitOutcome::Refused { .. }), "revision 0");
    land(&store, process.step(3)).await;
}

/// The others of a batch land beside any number of malformed ones.
pub async fn a_refused_commit_harms_no_other(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut bad = Process::new(1, Epoch(1));
    land(&store, bad.step(2)).await;
    for (n, (what, commit)) in (10..).step_by(2).zip(malformed(&bad)) {
        let batch = vec![Process::new(n, Epoch(1)).step(2), commit, Process::new(n + 1, Epoch(1)).step(1)];
        let answers = ok(store.commit(batch).await);
        assert_eq!(answers[0], CommitOutcome::Committed, "before {what}");
        assert!(matches!(answers[1], CommitOutcome::Refused { .. }), "{what}: {:?}", answers[1]);
        assert_eq!(answers[2], CommitOutcome::Committed, "after {what}");
        assert_eq!(ok(store.records(pid(n), 1, 9).await).len(), 2, "before {what}");
        assert_eq!(ok(store.records(pid(n + 1), 1, 9).await).len(), 1, "after {what}");
    }
    land(&store, bad.step(1)).await;
}

/// Adds one of everything that a commit can carry.
fn laden(mut commit: Commit, waiting: MailId) -> Commit {
    commit.values = vec![("kept".to_owned(), None), ("new".to_owned(), Some("x".to_owned()))];
    commit.consumed = vec![waiting];
    commit.sent = vec![message(1, 50, pid(2)), message(1, 51, pid(1))];
    commit.blobs = vec![blob("a body of a commit that does not apply")];
    commit
}

/// A commit takes effect whole or not at all: whatever the answer but `Committed`, nothing of it is there.
pub async fn a_commit_that_does_not_apply_changes_nothing(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let waiting = message(3, 1, pid(1));
    post(&store, std::slice::from_ref(&waiting)).await;
    let mut process = Process::new(1, Epoch(5));
    let first = Commit { values: vec![("kept".to_owned(), Some("v".to_owned()))], ..process.step(2) };
    land(&store, first.clone()).await;

    let mut ahead = process.clone();
    ahead.step(0);
    let mut gap = process.clone().step(1);
    gap.records[0] = record(&gap.row, 9, "");
    let cases: [(&str, Commit, Expected); 4] = [
        ("fenced", process.under(Epoch(4)).step(1), |a| matches!(a, CommitOutcome::Fenced { .. })),
        ("conflict", ahead.step(1), |a| matches!(a, CommitOutcome::Conflict { .. })),
        ("refused", gap, |a| matches!(a, CommitOutcome::Refused { .. })),
        ("already", first, |a| matches!(a, CommitOutcome::Already)),
    ];
    for (what, case, expected) in cases {
        unchanged(&store, what, laden(case, waiting.id), expected).await;
    }
    // The control: the same load on a commit that applies.
    let good = laden(process.step(1), waiting.id);
    let addresses: Vec<_> = good.blobs.iter().map(|blob| blob.hash).collect();
    land(&store, good).await;
    assert_eq!(ok(store.values(pid(1)).await), [("new".to_owned(), "x".to_owned())]);
    assert_eq!(ok(store.inbox(pid(1)).await), [message(1, 51, pid(1))]);
    assert_eq!(ok(store.inbox(pid(2)).await), [message(1, 50, pid(2))]);
    assert_eq!(ok(store.list_blobs(None, 10).await), addresses);
}

async fn unchanged(store: &Arc<dyn Store>, what: &str, case: Commit, expected: fn(&CommitOutcome) -> bool) {
    let before = contents(store, &[pid(1), pid(2)]).await;
    let answer = commit(store, case).await;
    assert!(expected(&answer), "{what}: {answer:?}");
    assert_eq!(contents(store, &[pid(1), pid(2)]).await, before, "{what}");
}
