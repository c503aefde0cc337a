//! Laws of earlier versions: [`crate::Journal::as_of`].

use kernel_types::Epoch;

use super::fixture::Fixture;
use super::sample::{HARD_TEXT, Process, commit, land, ok, pid};
use crate::{Commit, CommitOutcome, Version};

/// Every commit that appended records is found by each of their numbers from its last on; nothing is before the first.
pub async fn a_process_is_seen_as_each_commit_left_it(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let (mut process, mut other) = (Process::new(1, Epoch(1)), Process::new(2, Epoch(1)));
    assert_eq!(ok(store.as_of(pid(1), u64::MAX).await), None, "nobody is there");
    let mut rows = Vec::new();
    for records in [2, 1, 3, 0, 1] {
        let next = process.step(records);
        if records > 0 {
            rows.push(next.row.clone());
        }
        land(&store, next).await;
        land(&store, other.step(1)).await;
    }
    let taken = process.under(Epoch(7)).step(2);
    rows.push(taken.row.clone());
    land(&store, taken).await;
    for number in 0..=rows.last().expect("rows").records + 2 {
        let expected = rows.iter().rev().find(|row| row.records <= number).cloned();
        let found = ok(store.as_of(pid(1), number).await).map(|version| version.row);
        assert_eq!(found, expected, "as of record {number}");
    }
    assert_eq!(ok(store.as_of(pid(1), u64::MAX).await).map(|version| version.row), rows.pop());
    assert_eq!(ok(store.as_of(pid(3), u64::MAX).await), None);
}

/// Values are those of the same moment, whatever became of them later.
pub async fn values_are_seen_as_each_commit_left_them(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(1));
    let steps: [&[(&str, Option<&str>)]; 5] = [
        &[("a", Some("1")), ("b", Some("x")), (HARD_TEXT, Some(HARD_TEXT))],
        &[("a", Some("2")), ("b", None), ("c", None)],
        &[],
        &[("b", Some("")), ("a", Some("3")), ("a", Some("4"))],
        &[("a", None), (HARD_TEXT, None), ("b", None)],
    ];
    for values in steps {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
        land(&store, Commit { values: values.collect(), ..process.step(2) }).await;
    }
    let expected: [&[(&str, &str)]; 5] = [
        &[(HARD_TEXT, HARD_TEXT), ("a", "1"), ("b", "x")],
        &[(HARD_TEXT, HARD_TEXT), ("a", "2")],
        &[(HARD_TEXT, HARD_TEXT), ("a", "2")],
        &[(HARD_TEXT, HARD_TEXT), ("a", "4"), ("b", "")],
        &[],
    ];
    for (at, expected) in (1..).zip(expected) {
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        for number in [2 * at, 2 * at + 1] {
            let found = ok(store.as_of(pid(1), number).await).map(|version| version.values);
            assert_eq!(found, Some(expected.clone()), "as of record {number}");
        }
    }
}

/// A commit that conflicts, is fenced or malformed leaves no trace among the versions.
pub async fn what_did_not_apply_is_no_version(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(5));
    let values = vec![("a".to_owned(), Some("1".to_owned()))];
    let first = Commit { values: values.clone(), ..process.step(1) };
    let row = first.row.clone();
    land(&store, first).await;
    let wrong = vec![("a".to_owned(), Some("wrong".to_owned()))];
    let fenced = Commit { values: wrong.clone(), ..process.under(Epoch(4)).step(1) };
    assert_eq!(commit(&store, fenced).await, CommitOutcome::Fenced { epoch: Epoch(5) });
    let mut ahead = process.clone();
    ahead.step(1);
    let conflict = Commit { values: wrong.clone(), ..ahead.step(1) };
    assert_eq!(commit(&store, conflict).await, CommitOutcome::Conflict { revision: 1 });
    let mut gap = Commit { values: wrong, ..process.clone().step(2) };
    gap.records[1].number += 1;
    assert!(matches!(commit(&store, gap).await, CommitOutcome::Refused { .. }));
    let values = vec![("a".to_owned(), "1".to_owned())];
    assert_eq!(ok(store.as_of(pid(1), u64::MAX).await), Some(Version { row, values }));
}

/// Versions are as durable as what they are versions of.
pub async fn versions_are_there_after_reopening(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(1));
    let mut expected = Vec::new();
    for number in 1..=20u64 {
        let next = Commit { values: vec![("n".to_owned(), Some(number.to_string()))], ..process.step(1) };
        let values = vec![("n".to_owned(), number.to_string())];
        expected.push(Version { row: next.row.clone(), values });
        land(&store, next).await;
    }
    let store = fixture.reopen(store).await;
    for (number, expected) in (1..).zip(expected) {
        assert_eq!(ok(store.as_of(pid(1), number).await), Some(expected));
    }
}
