//! Databases that are not, or not yet, this build's.

use std::fs;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use kernel_storage::{Journal, SqliteStore, StoreErrorKind};

/// A connection of someone who is not the store.
pub(crate) async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

/// Runs statements on the database at `path`, which need not be a store.
pub(crate) async fn run_sql(path: &Path, sql: &str) {
    let mut conn = raw(path).await;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// Opening and attaching answer `Schema` with these words, and the file is not changed.
async fn refused(path: &Path, words: &[&str]) {
    let before = fs::read(path).unwrap();
    let errors = [SqliteStore::open(path).await.unwrap_err(), SqliteStore::attach(path).await.unwrap_err()];
    for error in errors {
        assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
        }
    }
    assert_eq!(fs::read(path).unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_both_versions_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    run_sql(&path, "PRAGMA user_version = 77").await;
    refused(&path, &["store.db", "schema version 77", "1 to 4", "newer build"]).await;
    run_sql(&path, "PRAGMA user_version = 4").await;
    SqliteStore::open(&path).await.unwrap();
}

#[tokio::test]
async fn the_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("browser.db");
    run_sql(&path, "CREATE TABLE history (url TEXT); PRAGMA application_id = 12345").await;
    refused(&path, &["browser.db", "another program", "12345"]).await;
    let path = folder.path().join("plain.db");
    run_sql(&path, "CREATE TABLE notes (text TEXT)").await;
    refused(&path, &["plain.db", "another program"]).await;
}

#[tokio::test]
async fn a_store_is_marked_as_ours_and_durable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut conn = raw(&path).await;
    for (pragma, expected) in
        [("application_id", "1097289555"), ("user_version", "4"), ("journal_mode", "wal")]
    {
        let sql = format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}");
        let found: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut conn).await.unwrap();
        assert_eq!(found, expected, "{pragma}");
    }
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert_eq!(
        tables,
        [
            "agent",
            "blob",
            "blob_ref",
            "event",
            "kernel",
            "mail",
            "memory",
            "memory_model",
            "memory_namespace",
            "value",
            "value_past"
        ]
    );
    store.claim().await.unwrap();
}
