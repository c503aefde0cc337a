//! The process dies, or a write fails, at each fail point of a batch: what was acknowledged is there, what was under
//! way is whole or absent, and the store goes on.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use kernel_storage::{
    Blobs, Commit, CommitOutcome, Journal, Mailboxes, SQLITE_FAIL_POINTS, SqliteStore, StoreError,
    StoreErrorKind,
};
use kernel_types::{Epoch, Hash};

use crate::sample::{message, pid, step};
use crate::schema::run_sql;
use crate::victim::{Victim, this_test};
use crate::workload::{check, goes_on, laden};

/// A row is to blame: the group is written a second time, with savepoints.
const ROW_TO_BLAME: &str = "sqlite.records.after=1*return(1555)";
/// A victim that came this far does not pass the point. On a quick machine groups are large, and few come to some points.
const ACKNOWLEDGEMENTS: usize = 50_000;

fn only_with_savepoints(point: &str) -> bool {
    point.contains("savepoint") || point.contains("release")
}

/// The times at which a victim comes to a point before it dies there: the first, and some later one.
fn hits(point: &str, rounds: u32, random: &mut StdRng) -> Vec<u32> {
    if point.contains("claim") {
        return vec![0; rounds as usize];
    }
    let last = if only_with_savepoints(point) { 1 } else { 40 };
    std::iter::once(0).chain((1..rounds).map(|_| random.random_range(1..=last))).collect()
}

/// Every point is reached: a victim that does not come to it is not killed, and that fails the test.
#[tokio::test]
async fn a_kill_at_each_fail_point_loses_nothing_and_halves_nothing() {
    let rounds = if std::env::var_os("AGENTOS_SOAK").is_some() { 20 } else { 2 };
    let mut random = StdRng::seed_from_u64(5);
    assert!(SQLITE_FAIL_POINTS.len() >= 14);
    println!("{} fail points:", SQLITE_FAIL_POINTS.len());
    for point in SQLITE_FAIL_POINTS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let hits = hits(point, rounds, &mut random);
        for hit in &hits {
            let mut points = format!("{point}={hit}*off->return(kill)");
            if only_with_savepoints(point) {
                points = format!("{ROW_TO_BLAME};{points}");
            }
            let acknowledged = Victim::with_points(&path, &points).dies(ACKNOWLEDGEMENTS);
            let store = SqliteStore::open(&path).await.unwrap();
            assert!(!store.report().is_older(), "{points}: {}", store.report());
            assert_eq!(check(&store, &acknowledged).await, 0, "{points}: bodies that nobody refers to");
            goes_on(&store).await;
            store.close().await.unwrap();
        }
        println!("{point}: reached and killed {} times, after passing it {hits:?} times", hits.len());
    }
}

/// What the caller of a commit is told if its write fails at this point with this result code.
fn expected(point: &str, code: i32) -> Result<(), StoreErrorKind> {
    if point.contains("answer") {
        return Ok(());
    }
    // The first try failed for the row of the same commit: with another one it lands, if nothing else is wrong.
    let of_one_row = matches!(code, 18 | 1555);
    let kind = match code {
        13 => StoreErrorKind::Full,
        5 | 778 => StoreErrorKind::Unavailable,
        8 | 14 => StoreErrorKind::Permission,
        11 => StoreErrorKind::Corrupt,
        _ if of_one_row => return Ok(()),
        _ => panic!("no expectation of code {code}"),
    };
    if point.contains(".commit.") && !matches!(code, 5 | 13) {
        return Err(StoreErrorKind::CommitUnknown);
    }
    Err(kind)
}

/// Codes that a statement may fail with at this point.
fn codes(point: &str) -> &'static [i32] {
    match point {
        // SQLite does not say that nothing was written when it was; nor is a row to blame for a COMMIT.
        "sqlite.commit.after" => &[778, 11, 14],
        _ if point.contains(".commit.") => &[13, 5, 778, 11, 14],
        _ if only_with_savepoints(point) || point.contains("claim") || point.contains("sweep") => {
            &[13, 5, 778, 11, 14, 8]
        }
        _ => &[13, 5, 778, 11, 14, 8, 18, 1555],
    }
}

/// No transaction was left open: another writer gets its turn at once.
async fn another_writer_gets_in(path: &Path) {
    run_sql(path, "PRAGMA busy_timeout = 0; BEGIN IMMEDIATE; ROLLBACK").await;
}

fn kind<T: std::fmt::Debug>(result: Result<T, StoreError>, what: &str) -> Result<(), StoreErrorKind> {
    if let Err(error) = &result {
        let message = error.to_string();
        assert!(message.contains("made to fail"), "{what}: the cause is not in: {message}");
        assert_eq!(error.commit_unknown(), error.kind() == StoreErrorKind::CommitUnknown);
    }
    result.map(drop).map_err(|error| error.kind())
}

/// Not a test of its own: what is set here is set for a whole process.
#[tokio::test]
#[ignore = "run by the test of this file"]
async fn each_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut n = 100;
    for point in SQLITE_FAIL_POINTS {
        for code in codes(point) {
            n += 1;
            let what = format!("{point} fails with {code}");
            let first = laden(n, Epoch(1), 1, Hash::ZERO);
            let second = laden(n, Epoch(1), 2, first.row.head);
            store.commit(vec![first.clone()]).await.unwrap();
            if only_with_savepoints(point) {
                fail::cfg("sqlite.records.after", "1*return(1555)").unwrap();
            }
            fail::cfg(*point, &format!("1*return({code})")).unwrap();
            let told = match *point {
                "sqlite.claim.before" | "sqlite.claim.after" => kind(store.claim().await, &what),
                "sqlite.sweep.before" | "sqlite.sweep.after" => kind(store.sweep().await, &what),
                _ => kind(store.commit(vec![second.clone()]).await, &what),
            };
            assert_eq!(told, expected(point, *code), "{what}");
            fail::remove(point);
            another_writer_gets_in(&path).await;

            let landed = match told {
                Ok(()) => true,
                Err(StoreErrorKind::CommitUnknown) => *point == "sqlite.commit.after",
                Err(_) => false,
            };
            let there = if landed { &second } else { &first };
            assert_eq!(store.agent(pid(n)).await.unwrap().as_ref(), Some(&there.row), "{what}");
            assert_eq!(store.records(pid(n), 1, 9).await.unwrap().last(), there.records.last(), "{what}");
            let again = if landed { CommitOutcome::Already } else { CommitOutcome::Committed };
            assert_eq!(store.commit(vec![second]).await.unwrap(), [again], "{what}");
            println!("{what}: {told:?}");
        }
    }
}

#[test]
fn a_failure_at_each_fail_point_is_told_and_the_next_commit_lands() {
    let output = this_test("points::each_failure").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for point in SQLITE_FAIL_POINTS {
        assert!(text.contains(&format!("{point} fails with")), "{point} did not fail");
    }
}

/// Commits of eight processes, queued before the writer runs, and mail from outside; what each is told.
async fn a_group(store: &SqliteStore, revision: u64) -> Vec<Result<Vec<CommitOutcome>, StoreError>> {
    let commits: Vec<Commit> = (1..=8).map(|n| step(pid(n), Epoch(1), revision)).collect();
    let tasks: Vec<_> = commits
        .into_iter()
        .map(|commit| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(vec![commit]).await })
        })
        .collect();
    let posting = {
        let store = store.clone();
        let mail = vec![message(pid(50), revision, pid(51))];
        tokio::spawn(async move { store.post(mail).await.map(|()| vec![]) })
    };
    let mut told = Vec::new();
    for task in tasks.into_iter().chain([posting]) {
        told.push(task.await.unwrap());
    }
    told
}

/// Not a test of its own, as above.
#[tokio::test]
#[ignore = "run by the test of this file"]
async fn failures_of_groups() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).await.unwrap();
    // Space for one at a time: each tries for itself.
    fail::cfg("sqlite.sent.after", "1*return(13)").unwrap();
    for told in a_group(&store, 1).await {
        told.unwrap();
    }
    // A disk that fails hits all of them, and all may come again.
    fail::cfg("sqlite.sent.after", "1*return(778)").unwrap();
    for told in a_group(&store, 2).await {
        assert_eq!(told.unwrap_err().kind(), StoreErrorKind::Unavailable);
    }
    assert_eq!(store.inbox(pid(51)).await.unwrap().len(), 1);
    // The answer of a whole group is lost after its COMMIT.
    fail::cfg("sqlite.commit.after", "1*return(778)").unwrap();
    for told in a_group(&store, 2).await {
        assert!(told.unwrap_err().commit_unknown());
    }
    for told in a_group(&store, 2).await {
        assert!(told.unwrap().iter().all(|answer| *answer == CommitOutcome::Already));
    }
    let numbers: Vec<_> = store.inbox(pid(51)).await.unwrap().iter().map(|mail| mail.id.number).collect();
    assert_eq!(numbers, [1, 2]);
    println!("all groups as expected");
}

#[test]
fn a_failure_in_a_group_is_told_to_those_it_hit() {
    let output = this_test("points::failures_of_groups").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("all groups as expected"));
}
