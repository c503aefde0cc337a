//! Laws of stores between which processes are copied, and of what may be removed: [`Archive`].
//!
//! [`crate::archive_conformance!`] expands them to one named test per law, on two stores: where processes come from, and
//! where they go.

use std::sync::Arc;

use kernel_types::{Epoch, Pid};

use super::sample::{HARD_TEXT, Process, blob, message, of, ok, pid};
use crate::{Archive, Arrival, Commit, CommitOutcome, StoreErrorKind, Vacuumed, copy_process, vacuum};

/// A store to copy from and one to copy to, both empty.
pub struct Pair {
    /// Where processes come from.
    pub from: Arc<dyn Archive>,
    /// Where they go.
    pub to: Arc<dyn Archive>,
    /// What has to be there for as long as they are: folders, schemas.
    pub kept: Box<dyn std::any::Any + Send>,
}

/// The names of all laws, once: handed to the macro named by the caller.
#[doc(hidden)]
#[macro_export]
macro_rules! __archive_laws {
    ($callback:path, $($argument:tt)*) => {
        $callback! {
            [
                all_of_a_process_comes_over
                a_copied_process_goes_on_where_it_was
                a_process_that_is_there_is_not_overwritten
                a_process_that_is_nowhere_cannot_be_copied
                a_damaged_copy_is_refused_and_leaves_nothing
                mail_is_delivered_once_however_often_it_is_copied
                processes_that_share_bodies_are_copied_one_by_one
                only_what_has_ended_and_nobody_needs_is_removed
                bodies_of_removed_processes_stay_for_those_who_share_them
                what_was_removed_may_be_put_in_again
            ]
            $($argument)*
        }
    };
}

/// Expands to a module with one test per law of [`Archive`](crate::Archive). The expression makes a
/// [`Pair`](crate::conformance::archive::Pair), in an async context, for each.
#[macro_export]
macro_rules! archive_conformance {
    ($name:ident, $pair:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $crate::__archive_laws!($crate::__archive_tests, $pair);
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __archive_tests {
    ([$($law:ident)*] $pair:expr) => {
        $(
            #[test]
            fn $law() {
                $crate::conformance::run(async {
                    let pair: $crate::conformance::archive::Pair = $pair;
                    $crate::conformance::archive::$law(&pair).await;
                });
            }
        )*
    };
}

async fn land(store: &Arc<dyn Archive>, commit: Commit) {
    assert_eq!(ok(store.commit(vec![commit]).await), [CommitOutcome::Committed]);
}

/// A process with something of everything: versions, values that changed, shared and packed bodies, mail in and out.
async fn full(store: &Arc<dyn Archive>, n: u64) -> Process {
    let mut process = Process::new(n, Epoch(5));
    ok(store.post((1..=4).map(|number| message(90, number, pid(n))).collect()).await);
    let text = "what was said, ".repeat(100);
    for round in 0..6u64 {
        let mut commit = process.step(round % 3);
        commit.values = vec![
            ("name".to_owned(), (round != 3).then(|| format!("{round}"))),
            (HARD_TEXT.to_owned(), Some(HARD_TEXT.to_owned())),
        ];
        commit.blobs = vec![blob("shared"), blob(&text), blob(&format!("{round} of {n}: {text}"))];
        commit.consumed = if round == 2 { vec![message(90, 2, pid(n)).id] } else { Vec::new() };
        commit.sent = vec![message(n, round + 1, pid(80)), message(n, round + 100, pid(n))];
        land(store, commit).await;
    }
    process
}

/// Rows, records, every version, values, bodies and mail are in the other store as they were, and still in the first.
pub async fn all_of_a_process_comes_over(pair: &Pair) {
    let Pair { from, to, .. } = pair;
    let process = full(from, 1).await;
    full(from, 2).await;
    let digest = ok(copy_process(&**from, &**to, pid(1)).await);
    let (here, there) = (ok(from.take_out(pid(1)).await), ok(to.take_out(pid(1)).await));
    let (here, there) = (here.expect("it stays"), there.expect("it came"));
    assert_eq!((here.digest(), there.digest()), (digest, digest));
    assert_eq!(here.row, process.row);
    assert_eq!((&there.row, &there.records, &there.versions), (&here.row, &here.records, &here.versions));
    assert_eq!((&there.values, &there.past), (&here.values, &here.past));
    assert_eq!((&there.inbox, &there.sent, &there.consumed), (&here.inbox, &here.sent, &here.consumed));
    assert_eq!((here.blobs.len(), here.inbox.len(), here.sent.len(), here.consumed.len()), (8, 9, 6, 1));
    for records in 0..=process.row.records + 1 {
        let (one, other) = (from.as_of(pid(1), records).await, to.as_of(pid(1), records).await);
        assert_eq!(ok(one), ok(other), "as of record {records}");
    }
    let hashes: Vec<_> = here.blobs.iter().map(|blob| blob.hash).collect();
    assert_eq!(ok(to.blobs(&hashes).await), ok(from.blobs(&hashes).await));
    assert_eq!(ok(to.inbox(pid(80)).await).len(), 6);
    assert_eq!(ok(to.agent(pid(2)).await), None, "nobody asked for it");
    assert_eq!(ok(to.sweep().await), 0);
}

/// A kernel of the other store takes it over with a higher epoch, and its versions go on.
pub async fn a_copied_process_goes_on_where_it_was(pair: &Pair) {
    let Pair { from, to, .. } = pair;
    let process = full(from, 1).await;
    ok(copy_process(&**from, &**to, pid(1)).await);
    let epoch = ok(to.claim().await);
    assert!(epoch > process.row.epoch, "{epoch} after {}", process.row.epoch);
    let mut next = process.under(epoch);
    let commit = next.step(1);
    land(to, commit.clone()).await;
    assert_eq!(ok(to.agent(pid(1)).await), Some(commit.row.clone()));
    assert_eq!(ok(to.as_of(pid(1), u64::MAX).await).map(|version| version.row), Some(commit.row));
    assert_eq!(ok(from.agent(pid(1)).await), Some(process.row), "the other one knows nothing of it");
}

/// The process of the other store stays as it is.
pub async fn a_process_that_is_there_is_not_overwritten(pair: &Pair) {
    let Pair { from, to, .. } = pair;
    full(from, 1).await;
    land(to, Process::new(1, Epoch(1)).step(1)).await;
    let before = ok(to.take_out(pid(1)).await);
    let error = copy_process(&**from, &**to, pid(1)).await.expect_err("it is there");
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("already"), "{error}");
    assert_eq!(ok(to.take_out(pid(1)).await), before);
    assert_eq!(ok(to.arrivals(Arrival(0), usize::MAX).await), []);
    // Twice the same is refused as well.
    full(from, 2).await;
    ok(copy_process(&**from, &**to, pid(2)).await);
    let error = copy_process(&**from, &**to, pid(2)).await.expect_err("it is there");
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
}

/// That is said, and nothing comes into being.
pub async fn a_process_that_is_nowhere_cannot_be_copied(pair: &Pair) {
    let error = copy_process(&*pair.from, &*pair.to, pid(1)).await.expect_err("it is nowhere");
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains(&pid(1).to_string()), "{error}");
    assert_eq!(ok(pair.to.agents(None, false, 10).await), []);
}

/// A body with another hash, a gap, another head: nothing of it is taken.
pub async fn a_damaged_copy_is_refused_and_leaves_nothing(pair: &Pair) {
    let Pair { from, to, .. } = pair;
    full(from, 1).await;
    let whole = ok(from.take_out(pid(1)).await).expect("it is there");
    let mut bad = vec![whole.clone(), whole.clone(), whole.clone(), whole.clone()];
    bad[0].blobs[1].bytes = b"something else".as_slice().into();
    bad[1].records.remove(1);
    bad[2].row.head = whole.records[0].hash;
    bad[3].records.pop();
    for copy in bad {
        let error = to.put_in(copy).await.expect_err("it is damaged");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
        assert_eq!(ok(to.agents(None, false, 10).await), []);
        assert_eq!(ok(to.arrivals(Arrival(0), usize::MAX).await), []);
        assert_eq!(ok(to.list_blobs(None, 10).await), []);
    }
    // The control.
    ok(to.put_in(whole).await);
}

/// Mail between two processes that are copied one after the other is there once, and what was consumed does not come
/// again.
pub async fn mail_is_delivered_once_however_often_it_is_copied(pair: &Pair) {
    let Pair { from, to, .. } = pair;
    let mut one = Process::new(1, Epoch(1));
    let mut other = Process::new(2, Epoch(1));
    let sent: Vec<_> = (1..=3).map(|number| message(1, number, pid(2))).collect();
    land(from, Commit { sent: sent.clone(), ..one.step(1) }).await;
    land(from, Commit { consumed: vec![sent[0].id], ..other.step(1) }).await;
    for n in [1, 2] {
        ok(copy_process(&**from, &**to, pid(n)).await);
    }
    assert_eq!(ok(to.inbox(pid(2)).await), sent[1..]);
    ok(to.post(sent.clone()).await);
    assert_eq!(ok(to.inbox(pid(2)).await), sent[1..]);
}

/// A body that several processes committed is there once, whole, for each of them.
pub async fn processes_that_share_bodies_are_copied_one_by_one(pair: &Pair) {
    let Pair { from, to, .. } = pair;
    for n in 1..=3 {
        full(from, n).await;
    }
    for n in [3, 1, 2] {
        ok(copy_process(&**from, &**to, pid(n)).await);
    }
    let hashes = ok(from.list_blobs(None, usize::MAX).await);
    assert_eq!(ok(to.list_blobs(None, usize::MAX).await), hashes);
    assert_eq!(ok(to.blobs(&hashes).await), ok(from.blobs(&hashes).await));
}

/// Ends a process.
async fn end(store: &Arc<dyn Archive>, process: &mut Process) {
    let mut last = process.step(1);
    last.row.exited = true;
    process.row = last.row.clone();
    land(store, last).await;
}

/// Live processes stay, and ended ones that are wanted.
pub async fn only_what_has_ended_and_nobody_needs_is_removed(pair: &Pair) {
    let store = &pair.from;
    let mut processes = Vec::new();
    for n in 1..=4 {
        processes.push(full(store, n).await);
    }
    for process in &mut processes[1..] {
        end(store, process).await;
    }
    // Told to remove all of them, a store removes what has ended only.
    assert_eq!(ok(store.remove_ended(&[pid(1), pid(4), pid(77)]).await), 1);
    let ancestor = pid(2);
    let done = ok(vacuum(&**store, &|row| row.pid == ancestor).await);
    assert_eq!(done, Vacuumed { processes: 1, bodies: 12 });
    let rows = ok(store.agents(None, false, 10).await);
    assert_eq!(rows.iter().map(|row| row.pid).collect::<Vec<Pid>>(), [pid(1), pid(2)]);
    for gone in [pid(3), pid(4)] {
        assert_eq!(ok(store.take_out(gone).await), None);
        assert_eq!(ok(store.records(gone, 1, 10).await), []);
        assert_eq!(ok(store.values(gone).await), []);
        assert_eq!(ok(store.as_of(gone, u64::MAX).await), None);
        assert_eq!(ok(store.inbox(gone).await), []);
    }
    for (n, process) in [(1, &processes[0]), (2, &processes[1])] {
        let copy = ok(store.take_out(pid(n)).await).expect("it is needed");
        assert_eq!((&copy.row, copy.blobs.len()), (&process.row, 8));
        ok(copy.check());
    }
    let nothing = ok(vacuum(&**store, &|row| row.pid == ancestor).await);
    assert_eq!(nothing, Vacuumed::default());
}

/// A body that was packed with that of a removed process is read as before.
pub async fn bodies_of_removed_processes_stay_for_those_who_share_them(pair: &Pair) {
    let store = &pair.from;
    let base = blob(&"a text of some length that others quote. ".repeat(40));
    let quoting = blob(&format!("quoted: {}", "a text of some length that others quote. ".repeat(40)));
    let mut first = Process::new(1, Epoch(1));
    land(store, Commit { blobs: vec![base.clone(), quoting.clone()], ..first.step(1) }).await;
    let mut second = Process::new(2, Epoch(1));
    land(store, Commit { blobs: vec![quoting.clone()], ..second.step(1) }).await;
    end(store, &mut first).await;
    assert_eq!(ok(vacuum(&**store, &|_| false).await).processes, 1);
    let found = ok(store.blobs(&[quoting.hash]).await);
    assert_eq!(found, [Some(quoting.bytes.clone())]);
    let copy = ok(store.take_out(pid(2)).await).expect("it lives");
    ok(copy.check());
    ok(copy_process(&**store, &*pair.to, pid(2)).await);
    end(store, &mut second).await;
    ok(vacuum(&**store, &|_| false).await);
    assert_eq!(ok(store.list_blobs(None, 10).await), []);
    assert_eq!(ok(store.blobs(&[base.hash, quoting.hash]).await), [None, None]);
}

/// A copy of a removed process brings it back.
pub async fn what_was_removed_may_be_put_in_again(pair: &Pair) {
    let store = &pair.from;
    let mut process = full(store, 1).await;
    end(store, &mut process).await;
    let copy = ok(store.take_out(pid(1)).await).expect("it is there");
    assert_eq!(ok(vacuum(&**store, &|_| false).await).processes, 1);
    assert_eq!(ok(store.agent(pid(1)).await), None);
    let digest = copy.digest();
    ok(store.put_in(copy).await);
    let back = ok(store.take_out(pid(1)).await).expect("it is back");
    assert_eq!(back.digest(), digest);
    let again = store.commit(vec![of(process.row.clone())]).await;
    assert_eq!(ok(again), [CommitOutcome::Already]);
}
