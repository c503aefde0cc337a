//! A store of an older schema is copied before it is migrated; one whose migration fails is left as it was.
//!
//! The older one is this build's, since a build writes its own tables only; the newer one has migrations that a later
//! build might have.

use std::fs;
use std::path::{Path, PathBuf};

use kernel_storage::{CommitOutcome, Journal, Mailboxes, SqliteStore, StoreError, StoreErrorKind};
use kernel_types::Epoch;

use crate::sample::{Contents, contents, message, pid, step};
use crate::schema::{raw, run_sql};

const THIS: [&str; 4] = [
    include_str!("../../migrations/0001_initial.sql"),
    include_str!("../../migrations/0002_memory.sql"),
    include_str!("../../migrations/0003_versions.sql"),
    include_str!("../../migrations/0004_packed.sql"),
];
const NEXT: &str = "CREATE TABLE tag (pid BLOB NOT NULL, tag TEXT NOT NULL) STRICT; \
    INSERT INTO tag SELECT pid, 'old' FROM agent";
/// Fails after it did something.
const BROKEN: &str = "UPDATE agent SET image = x''; DROP TABLE mail; INSERT INTO nowhere VALUES (1)";

/// This build's migrations and further ones.
fn and(more: &[&'static str]) -> Vec<&'static str> {
    THIS.iter().chain(more).copied().collect()
}

/// A store of this build's version with something of everything.
async fn this_version(path: &Path) -> Contents {
    let store = SqliteStore::open_with_migrations(path, &THIS).await.unwrap();
    assert_eq!(store.report().backup, None, "nothing to copy");
    for n in 1..=20 {
        store.commit(vec![step(pid(n), Epoch(1), 1)]).await.unwrap();
    }
    store.post(vec![message(pid(1), 1, pid(2))]).await.unwrap();
    let contents = contents(&store).await;
    store.close().await.unwrap();
    contents
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The files of a folder, without those that an open database may have.
fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm")).collect();
    names.sort();
    names
}

async fn number(path: &Path, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut raw(path).await).await.unwrap()
}

async fn fails(path: &Path, migrations: &[&'static str]) -> StoreError {
    SqliteStore::open_with_migrations(path, migrations).await.unwrap_err()
}

#[tokio::test]
async fn an_older_store_is_copied_and_then_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let before = this_version(&path).await;
    let store = SqliteStore::open_with_migrations(&path, &and(&[NEXT])).await.unwrap();
    let backup = beside(&path, ".v4.backup");
    assert_eq!(store.report().backup.as_ref(), Some(&backup));
    assert!(!store.report().is_older(), "{}", store.report());
    assert_eq!(contents(&store).await, before);
    assert_eq!(store.commit(vec![step(pid(1), Epoch(1), 2)]).await.unwrap(), [CommitOutcome::Committed]);
    store.close().await.unwrap();
    assert_eq!(number(&path, "SELECT user_version FROM pragma_user_version").await, 5);
    assert_eq!(number(&path, "SELECT count(*) FROM tag").await, 20);

    // The copy is a store of its own, as the older build left it.
    assert_eq!(number(&backup, "SELECT user_version FROM pragma_user_version").await, 4);
    let copy = SqliteStore::open_with_migrations(&backup, &THIS).await.unwrap();
    assert_eq!(contents(&copy).await, before);
    assert_eq!(copy.commit(vec![step(pid(1), Epoch(1), 2)]).await.unwrap(), [CommitOutcome::Committed]);

    // Nothing is left to do at the next opening; the older build refuses.
    let store = SqliteStore::open_with_migrations(&path, &and(&[NEXT])).await.unwrap();
    assert_eq!(store.report().backup, None);
    store.close().await.unwrap();
    assert_eq!(fails(&path, &THIS).await.kind(), StoreErrorKind::Schema);
}

#[tokio::test]
async fn what_is_only_in_the_log_is_copied_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let before = this_version(&path).await;
    // A handle that stays open keeps what it posts in the log.
    let control = SqliteStore::attach(&path).await.unwrap();
    control.post(vec![message(pid(1), 2, pid(2))]).await.unwrap();
    assert!(fs::metadata(beside(&path, "-wal")).unwrap().len() > 0);
    let store = SqliteStore::open_with_migrations(&path, &and(&[NEXT])).await.unwrap();
    let copy = SqliteStore::open_with_migrations(beside(&path, ".v4.backup"), &THIS).await.unwrap();
    let copied = contents(&copy).await;
    assert_eq!(copied.mail.len(), before.mail.len() + 1);
    assert_eq!(copied, contents(&store).await);
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing_and_says_where_the_copy_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let before = this_version(&path).await;
    let bytes = fs::read(&path).unwrap();
    let error = fails(&path, &and(&[NEXT, BROKEN])).await;
    let backup = beside(&path, ".v4.backup");
    for words in ["store.db", "migrate", "nowhere", "unchanged", "schema version 4", backup.to_str().unwrap()]
    {
        assert!(error.to_string().contains(words), "{words:?} is not in: {error}");
    }
    println!("{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(files(folder.path()), ["store.db", "store.db.head", "store.db.lock", "store.db.v4.backup"]);
    let store = SqliteStore::open_with_migrations(&path, &THIS).await.unwrap();
    assert_eq!(contents(&store).await, before);
    store.close().await.unwrap();
    // A second copy does not take the place of the first.
    assert!(fails(&path, &and(&[BROKEN])).await.to_string().contains(".v4.backup.2"));
    for copy in [".v4.backup", ".v4.backup.2"] {
        let store = SqliteStore::open_with_migrations(beside(&path, copy), &THIS).await.unwrap();
        assert_eq!(contents(&store).await, before);
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_copied_is_not_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    this_version(&path).await;
    let bytes = fs::read(&path).unwrap();
    // Something stands where the copy shall be written.
    fs::create_dir(beside(&path, ".v4.backup.part")).unwrap();
    let error = fails(&path, &and(&[NEXT])).await;
    assert_eq!(error.kind(), StoreErrorKind::Permission, "{error}");
    assert!(
        error.to_string().contains("back up") && error.to_string().contains(".v4.backup.part"),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), bytes);
    // A file that a copy left behind when it was cut short is no obstacle.
    fs::remove_dir(beside(&path, ".v4.backup.part")).unwrap();
    fs::write(beside(&path, ".v4.backup.part"), "half a copy").unwrap();
    SqliteStore::open_with_migrations(&path, &and(&[NEXT])).await.unwrap().close().await.unwrap();
    assert_eq!(files(folder.path()), ["store.db", "store.db.head", "store.db.lock", "store.db.v4.backup"]);
}

#[tokio::test]
async fn a_damaged_store_is_not_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    this_version(&path).await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[2 * 4096..].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let error = fails(&path, &and(&[NEXT])).await;
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(files(folder.path()), ["store.db", "store.db.head", "store.db.lock"], "no half a copy");
}

#[tokio::test]
async fn a_new_store_is_made_by_all_migrations_without_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open_with_migrations(&path, &and(&[NEXT])).await.unwrap();
    assert_eq!(store.report().backup, None);
    run_sql(&path, "INSERT INTO tag VALUES (x'00', 'new')").await;
    store.close().await.unwrap();
    assert_eq!(files(folder.path()), ["store.db", "store.db.lock"]);
    // A first migration that fails leaves no half-made schema.
    let path = folder.path().join("other.db");
    let error = fails(&path, &and(&[BROKEN])).await;
    assert!(!error.to_string().contains("backup"), "{error}");
    assert_eq!(number(&path, "SELECT count(*) FROM sqlite_schema").await, 0);
    SqliteStore::open(&path).await.unwrap().claim().await.unwrap();
}
