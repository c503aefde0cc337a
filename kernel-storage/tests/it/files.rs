//! What a path can hold other than a store, and who else can hold a store.

use std::fs;
use std::path::Path;

use kernel_storage::{CommitOutcome, Journal, SqliteStore, StoreError, StoreErrorKind};
use kernel_types::Epoch;

use crate::sample::{pid, step};

/// The error of opening and of attaching, which must have this kind and these words.
async fn refused(path: &Path, kind: StoreErrorKind, words: &[&str]) {
    for error in [open_error(path).await, SqliteStore::attach(path).await.unwrap_err()] {
        assert_eq!(error.kind(), kind, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
        }
    }
}

async fn open_error(path: &Path) -> StoreError {
    SqliteStore::open(path).await.unwrap_err()
}

#[tokio::test]
async fn missing_folders_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/c/store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let answers = store.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap();
    assert_eq!(answers, [CommitOutcome::Committed]);
    assert!(path.is_file());
}

#[tokio::test]
async fn names_that_sqlite_would_read_as_options_are_names() {
    let folder = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:x?mode=memory", "a b#c%20d", "\u{e9}\u{4e2d}.db", "'quoted'"] {
        let path = folder.path().join(name);
        let store = SqliteStore::open(&path).await.unwrap();
        store.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap();
        store.close().await.unwrap();
        assert!(path.is_file(), "{name}");
        let store = SqliteStore::open(&path).await.unwrap();
        assert!(store.agent(pid(1)).await.unwrap().is_some(), "{name}");
    }
}

#[tokio::test]
async fn a_path_under_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "text").unwrap();
    for path in [file.join("store.db"), file.join("deeper/store.db")] {
        let error = open_error(&path).await;
        assert_eq!(error.kind(), StoreErrorKind::Permission, "{error}");
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"text");
}

#[tokio::test]
async fn a_folder_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("folder");
    fs::create_dir(&path).unwrap();
    refused(&path, StoreErrorKind::Permission, &["cannot be opened", "folder"]).await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "these are notes, not a database\n".repeat(500);
    fs::write(&path, &text).unwrap();
    refused(&path, StoreErrorKind::Corrupt, &["notes.txt", "not a SQLite database"]).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::write(&path, "").unwrap();
    SqliteStore::open(&path).await.unwrap().claim().await.unwrap();
}

#[tokio::test]
async fn a_damaged_database_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    for n in 1..200 {
        store.commit(vec![step(pid(n), Epoch(1), 1)]).await.unwrap();
    }
    store.close().await.unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let intact = bytes.clone();
    // All but the first page, which says that it is a store.
    bytes[4096..].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let damaged = match SqliteStore::open(&path).await {
        Ok(store) => {
            let read = store.agents(None, false, 1000).await.unwrap_err();
            let write = store.commit(vec![step(pid(1), Epoch(1), 2)]).await.unwrap_err();
            assert_eq!(write.kind(), StoreErrorKind::Corrupt, "{write}");
            store.close().await.ok();
            read
        }
        Err(error) => error,
    };
    assert_eq!(damaged.kind(), StoreErrorKind::Corrupt, "{damaged}");
    assert!(damaged.to_string().contains("damaged"), "{damaged}");
    // The control.
    fs::write(&path, &intact).unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.agents(None, false, 1000).await.unwrap().len(), 199);
}

#[tokio::test]
async fn attaching_does_not_make_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let error = SqliteStore::attach(&path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid);
    assert!(error.to_string().contains("store.db"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_second_kernel_is_refused_and_told_who_holds_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let first = SqliteStore::open(&path).await.unwrap();
    let error = open_error(&path).await;
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    let process = format!("process {}", std::process::id());
    for words in [process.as_str(), "store.db.lock", "--data-dir"] {
        assert!(error.to_string().contains(words), "{words:?} is not in: {error}");
    }
    // The first is not disturbed, and the next comes in when it is gone: closed, or dropped.
    first.claim().await.unwrap();
    first.close().await.unwrap();
    let second = SqliteStore::open(&path).await.unwrap();
    drop(second);
    SqliteStore::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_lock_file_that_was_left_behind_locks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.db.lock"), "1234567890").unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).await.unwrap();
    let holder = fs::read_to_string(folder.path().join("store.db.lock")).unwrap();
    assert_eq!(holder, std::process::id().to_string());
    drop(store);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).await.unwrap();
    let clone = store.clone();
    store.close().await.unwrap();
    let error = clone.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("closed"), "{error}");
    assert_eq!(clone.agent(pid(1)).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
}
