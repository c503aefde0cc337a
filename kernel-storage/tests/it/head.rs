//! A store that comes back older than it was is named when it is opened, by the head file beside it; and nothing that
//! happens to that file keeps a store from being opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use kernel_storage::{
    Arrival, CommitOutcome, Journal, Mailboxes, Older, OpenReport, Regression, SqliteStore,
};
use kernel_types::{Epoch, Hash};

use crate::sample::{message, pid, step};
use crate::schema::run_sql;

fn head_file(path: &Path) -> PathBuf {
    path.with_file_name("store.db.head")
}

/// Commits of processes `1..=5` up to these revisions.
async fn advance(store: &SqliteStore, revisions: std::ops::RangeInclusive<u64>, processes: u64) {
    for revision in revisions {
        for n in 1..=processes {
            let answers = store.commit(vec![step(pid(n), Epoch(1), revision)]).await.unwrap();
            assert_eq!(answers, [CommitOutcome::Committed]);
        }
    }
}

/// A store whose database was put back from a copy made before the last three revisions of three of five processes.
async fn put_back() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.claim().await.unwrap();
    advance(&store, 1..=3, 5).await;
    store.post(vec![message(pid(9), 1, pid(8))]).await.unwrap();
    store.close().await.unwrap();
    let copy = fs::read(&path).unwrap();

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(*store.report(), OpenReport::default(), "the control");
    store.claim().await.unwrap();
    advance(&store, 4..=6, 3).await;
    store.commit(vec![step(pid(7), Epoch(1), 1)]).await.unwrap();
    store.post(vec![message(pid(9), 2, pid(8)), message(pid(9), 3, pid(8))]).await.unwrap();
    store.close().await.unwrap();
    fs::write(&path, copy).unwrap();
    (folder, path)
}

/// Lines of warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line(&self.0));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line<'a>(&'a Mutex<Vec<String>>);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().push(format!("{value:?}"));
        }
    }
}

#[tokio::test]
async fn an_older_copy_put_back_over_a_store_is_named_at_open() {
    let (_folder, path) = put_back().await;
    let warnings = Warnings::default();
    let logging = tracing::subscriber::set_default(warnings.clone());
    let store = SqliteStore::open(&path).await.unwrap();
    drop(logging);
    let lost = |n, found, expected| Regression { pid: pid(n), revision: Older { found, expected } };
    let mut report = store.report().clone();
    report.regressions.sort_by_key(|regression| regression.pid);
    assert_eq!(report.regressions, [lost(1, 3, 6), lost(2, 3, 6), lost(3, 3, 6), lost(7, 0, 1)]);
    assert_eq!(report.epoch, Some(Older { found: Epoch(1), expected: Epoch(2) }));
    assert_eq!(report.arrival, Some(Older { found: Arrival(1), expected: Arrival(3) }));
    let lines = warnings.0.lock().clone();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let process = format!("process {} at revision 3 instead of 6", pid(2));
    for words in ["store.db", "older than it was", "epoch 1 instead of 2", "store.db.head", process.as_str()]
    {
        assert!(lines[0].contains(words) && !lines[0].contains('\n'), "{words:?} is not in: {}", lines[0]);
    }
    println!("{}", lines[0]);
}

#[tokio::test]
async fn an_older_store_is_named_until_it_goes_on_from_there() {
    let (_folder, path) = put_back().await;
    for _ in 0..2 {
        let store = SqliteStore::open(&path).await.unwrap();
        assert!(store.report().is_older(), "nothing was written since");
        store.close().await.unwrap();
    }
    let store = SqliteStore::open(&path).await.unwrap();
    advance(&store, 4..=4, 1).await;
    store.close().await.unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(*store.report(), OpenReport::default(), "{}", store.report());
}

#[tokio::test]
async fn another_commit_in_the_place_of_the_last_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    advance(&store, 1..=2, 2).await;
    store.close().await.unwrap();
    run_sql(&path, &format!("UPDATE agent SET head = x'{}' WHERE rowid = 1", Hash([9; 32]))).await;
    let store = SqliteStore::open(&path).await.unwrap();
    let revision = Older { found: 2, expected: 2 };
    assert_eq!(store.report().regressions, [Regression { pid: pid(1), revision }]);
    assert!(store.report().to_string().contains("another revision 2"), "{}", store.report());
}

#[tokio::test]
async fn a_database_that_was_removed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    advance(&store, 1..=2, 1).await;
    store.close().await.unwrap();
    fs::remove_file(&path).unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    let revision = Older { found: 0, expected: 2 };
    assert_eq!(store.report().regressions, [Regression { pid: pid(1), revision }]);
}

/// Whether the head file tells the older store from the newer one while the newer one is open.
#[tokio::test]
async fn the_head_file_is_written_a_moment_after_the_commits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let older = tempfile::tempdir().unwrap();
    let copy = older.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    advance(&store, 1..=1, 1).await;
    run_sql(&path, &format!("VACUUM INTO '{}'", copy.display())).await;
    advance(&store, 2..=5, 1).await;
    let mut named = Vec::new();
    for _ in 0..200 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let Ok(bytes) = fs::read(head_file(&path)) else { continue };
        fs::write(head_file(&copy), bytes).unwrap();
        let opened = SqliteStore::open(&copy).await.unwrap();
        named = opened.report().regressions.clone();
        opened.close().await.unwrap();
        if named.iter().any(|regression| regression.revision.expected == 5) {
            break;
        }
    }
    let revision = Older { found: 1, expected: 5 };
    assert_eq!(named, [Regression { pid: pid(1), revision }]);
}

/// A head file that says nothing keeps nobody out, and the next one is whole.
#[tokio::test]
async fn a_head_file_that_is_missing_torn_or_foreign_keeps_nobody_out() {
    let (_folder, path) = put_back().await;
    let whole = fs::read(head_file(&path)).unwrap();
    let database = fs::read(&path).unwrap();
    let mut cases: Vec<Option<Vec<u8>>> =
        vec![None, Some(vec![]), Some(b"notes".to_vec()), Some(vec![0xff; 1 << 20])];
    cases.extend((0..whole.len()).step_by(1021).map(|length| Some(whole[..length].to_vec())));
    cases.extend((0..whole.len()).step_by(1021).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        Some(bytes)
    }));
    for (n, case) in cases.into_iter().enumerate() {
        fs::write(&path, &database).unwrap();
        match case {
            Some(bytes) => fs::write(head_file(&path), bytes).unwrap(),
            None => fs::remove_file(head_file(&path)).unwrap(),
        }
        let store = SqliteStore::open(&path).await.unwrap_or_else(|error| panic!("case {n}: {error}"));
        advance(&store, 4..=4, 1).await;
        store.close().await.unwrap();
        fs::write(&path, &database).unwrap();
        let store = SqliteStore::open(&path).await.unwrap();
        let named = store.report().regressions.iter().find(|regression| regression.pid == pid(1));
        assert_eq!(
            named.map(|regression| regression.revision),
            Some(Older { found: 3, expected: 4 }),
            "case {n}"
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_head_file_that_cannot_be_written_keeps_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::create_dir(head_file(&path)).unwrap();
    for revisions in [1..=2, 3..=4] {
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(*store.report(), OpenReport::default());
        advance(&store, revisions, 2).await;
        store.close().await.unwrap();
    }
}

/// A row that cannot be read hides nothing of the others.
#[tokio::test]
async fn a_damaged_row_does_not_hide_that_others_are_older() {
    let (_folder, path) = put_back().await;
    run_sql(&path, "UPDATE agent SET head = x'00' WHERE rowid = 1").await;
    let store = SqliteStore::open(&path).await.unwrap();
    let mut named: Vec<_> = store.report().regressions.iter().map(|regression| regression.pid).collect();
    named.sort();
    assert_eq!(named, [pid(2), pid(3), pid(7)]);
}
