//! What the SQLite store does beyond the contract: who is blamed for damage, attached handles, group commit.

use std::path::PathBuf;

use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use kernel_storage::{
    Arrival, Blobs, Commit, CommitOutcome, Journal, Mailboxes, SqliteStore, StoreErrorKind,
};
use kernel_types::{Epoch, hash_bytes};

use crate::sample::{heavy, message, pid, step};
use crate::schema::{raw, run_sql};

struct Place {
    _folder: TempDir,
    path: PathBuf,
}

async fn place() -> (Place, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    (Place { _folder: folder, path }, store)
}

#[tokio::test]
async fn a_damaged_row_harms_its_process_only() {
    let (place, store) = place().await;
    for n in 1..=2 {
        store.commit(vec![step(pid(n), Epoch(1), 1)]).await.unwrap();
    }
    let damage = "UPDATE agent SET head = x'00' WHERE rowid = 1";
    run_sql(&place.path, damage).await;
    let batch = vec![step(pid(1), Epoch(1), 2), step(pid(2), Epoch(1), 2)];
    let answers = store.commit(batch.clone()).await.unwrap();
    let CommitOutcome::Refused { reason } = &answers[0] else { panic!("{answers:?}") };
    assert!(reason.contains("table agent") && reason.contains("column head"), "{reason}");
    assert_eq!(answers[1], CommitOutcome::Committed);
    // Alone it gets the same answer, and the store goes on.
    let alone = store.commit(batch[..1].to_vec()).await.unwrap();
    assert!(matches!(alone[0], CommitOutcome::Refused { .. }), "{alone:?}");
    assert_eq!(store.commit(batch[1..].to_vec()).await.unwrap(), [CommitOutcome::Already]);
}

#[tokio::test]
async fn a_record_that_is_there_against_all_accounts_harms_its_process_only() {
    let (place, store) = place().await;
    store.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap();
    let forged = "INSERT INTO event SELECT pid, 2, step, call, kind, at, salt, body, blob, body_hash, hash, state FROM event";
    run_sql(&place.path, forged).await;
    let mut bad = step(pid(1), Epoch(1), 2);
    bad.values.push(("name".to_owned(), Some("value".to_owned())));
    bad.sent.push(message(pid(1), 1, pid(2)));
    let batch = vec![step(pid(2), Epoch(1), 1), bad, step(pid(3), Epoch(1), 1)];
    let answers = store.commit(batch).await.unwrap();
    assert_eq!(answers[0], CommitOutcome::Committed);
    assert!(matches!(&answers[1], CommitOutcome::Refused { .. }), "{answers:?}");
    assert_eq!(answers[2], CommitOutcome::Committed);
    assert_eq!(store.agent(pid(1)).await.unwrap().unwrap().revision, 1);
    assert_eq!(store.values(pid(1)).await.unwrap(), []);
    assert_eq!(store.inbox(pid(2)).await.unwrap(), []);
}

#[tokio::test]
async fn a_value_too_large_for_sqlite_is_refused() {
    let (_place, store) = place().await;
    let mut bad = step(pid(1), Epoch(1), 1);
    bad.row.image = vec![0; (512 << 20) + 1];
    let answers = store.commit(vec![bad, step(pid(2), Epoch(1), 1)]).await.unwrap();
    let CommitOutcome::Refused { reason } = &answers[0] else { panic!("{answers:?}") };
    assert!(reason.contains("536870913") && reason.contains("536870912"), "{reason}");
    assert_eq!(answers[1], CommitOutcome::Committed);
}

#[tokio::test]
async fn damage_is_named_by_table_row_and_column() {
    let (place, store) = place().await;
    let mut commit = step(pid(1), Epoch(1), 1);
    commit.values.push(("name".to_owned(), Some("value".to_owned())));
    store.commit(vec![commit]).await.unwrap();
    store.post(vec![message(pid(2), 5, pid(1))]).await.unwrap();
    let row = pid(1).to_string();
    let cases = [
        ("event", "salt", "x'00'", "1 bytes instead of 16"),
        ("event", "hash", "zeroblob(31)", "31 bytes instead of 32"),
        ("event", "body_hash", "x''", "0 bytes instead of 32"),
        ("event", "blob", "x'01'", "1 bytes instead of 32"),
        ("event", "kind", "256", "256 is out of range"),
        ("event", "call", "-1", "-1 is out of range"),
        ("event", "body", "CAST(x'fffe' AS TEXT)", "utf-8"),
        ("event", "state", "x'0001'", "state"),
        ("agent", "exited", "2", "neither 0 nor 1"),
        ("agent", "parent", "x'00'", "1 bytes instead of 16"),
        ("agent", "seal", "x'00'", "1 bytes instead of 32"),
        ("value", "value", "CAST(x'ff' AS TEXT)", "utf-8"),
        ("mail", "body", "'{}'", "body"),
        ("mail", "sender", "x'00'", "1 bytes instead of 16"),
    ];
    for (table, column, value, words) in cases {
        run_sql(&place.path, &format!("CREATE TABLE undo AS SELECT * FROM {table}")).await;
        run_sql(&place.path, &format!("UPDATE {table} SET {column} = {value}")).await;
        let error = match table {
            "event" if column == "state" => store.as_of(pid(1), 1).await.unwrap_err(),
            "event" => store.records(pid(1), 1, 10).await.unwrap_err(),
            "agent" => store.agent(pid(1)).await.unwrap_err(),
            "value" => store.values(pid(1)).await.unwrap_err(),
            _ => store.inbox(pid(1)).await.unwrap_err(),
        };
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
        for expected in [table, column, words, row.as_str()] {
            assert!(error.to_string().contains(expected), "{expected:?} is not in: {error}");
        }
        let undo = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM undo; DROP TABLE undo");
        run_sql(&place.path, &undo).await;
    }
    // The control: all is well again.
    assert_eq!(store.records(pid(1), 1, 10).await.unwrap().len(), 1);
    assert!(store.agent(pid(1)).await.unwrap().is_some());
    assert_eq!(store.inbox(pid(1)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn bodies_that_no_process_committed_are_swept() {
    let (place, store) = place().await;
    let kept = heavy(pid(1), 100);
    let hash = kept.blobs[0].hash;
    store.commit(vec![kept]).await.unwrap();
    let orphans = [hash_bytes(b"a"), hash_bytes(b"b")];
    for orphan in orphans {
        run_sql(&place.path, &format!("INSERT INTO blob (hash, bytes) VALUES (x'{orphan}', x'00')")).await;
    }
    assert_eq!(store.list_blobs(None, 10).await.unwrap().len(), 3);
    assert_eq!(store.sweep().await.unwrap(), 2);
    assert_eq!(store.list_blobs(None, 10).await.unwrap(), [hash]);
}

#[tokio::test]
async fn ids_of_consumed_mail_are_forgotten_when_the_process_exits() {
    let (place, store) = place().await;
    let mail: Vec<_> = (1..=3).map(|number| message(pid(2), number, pid(1))).collect();
    store.post(mail.clone()).await.unwrap();
    let mut first = step(pid(1), Epoch(1), 1);
    first.consumed = mail[..2].iter().map(|mail| mail.id).collect();
    store.commit(vec![first]).await.unwrap();
    assert_eq!(count(&place, "mail").await, 3);
    let mut last = step(pid(1), Epoch(1), 2);
    last.row.exited = true;
    store.commit(vec![last]).await.unwrap();
    assert_eq!(count(&place, "mail").await, 1);
    assert_eq!(store.inbox(pid(1)).await.unwrap(), mail[2..]);
}

async fn count(place: &Place, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut raw(&place.path).await).await.unwrap()
}

#[tokio::test]
async fn an_attached_handle_reads_and_posts_and_no_more() {
    let (place, kernel) = place().await;
    let control = SqliteStore::attach(&place.path).await.unwrap();
    kernel.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap();
    assert_eq!(control.agent(pid(1)).await.unwrap(), kernel.agent(pid(1)).await.unwrap());
    assert_eq!(control.records(pid(1), 1, 9).await.unwrap().len(), 1);

    let mail = message(pid(7), 1, pid(1));
    control.post(vec![mail.clone()]).await.unwrap();
    assert_eq!(kernel.arrivals(Arrival(0), 9).await.unwrap(), [(Arrival(1), mail)]);

    let denied = [
        control.commit(vec![step(pid(1), Epoch(2), 2)]).await.map(drop).unwrap_err(),
        control.claim().await.map(drop).unwrap_err(),
        control.sweep().await.map(drop).unwrap_err(),
    ];
    for error in denied {
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    }
    // It holds no lock, and outlives the kernel.
    kernel.close().await.unwrap();
    let next = SqliteStore::open(&place.path).await.unwrap();
    assert_eq!(next.commit(vec![step(pid(1), Epoch(1), 2)]).await.unwrap(), [CommitOutcome::Committed]);
    assert_eq!(control.agent(pid(1)).await.unwrap().unwrap().revision, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_write_at_once_and_lose_nothing() {
    let (place, kernel) = place().await;
    let control = SqliteStore::attach(&place.path).await.unwrap();
    let posting = tokio::spawn(async move {
        for number in 1..=200 {
            control.post(vec![message(pid(7), number, pid(1))]).await.unwrap();
        }
    });
    for revision in 1..=200 {
        let answers = kernel.commit(vec![step(pid(1), Epoch(1), revision)]).await.unwrap();
        assert_eq!(answers, [CommitOutcome::Committed]);
    }
    posting.await.unwrap();
    let numbers = kernel.inbox(pid(1)).await.unwrap().into_iter().map(|mail| mail.id.number);
    assert!(numbers.eq(1..=200));
    assert_eq!(kernel.records(pid(1), 1, 1000).await.unwrap().len(), 200);
}

/// Bytes that the write-ahead log grew to.
fn log_bytes(place: &Place) -> u64 {
    let mut log = place.path.clone().into_os_string();
    log.push("-wal");
    std::fs::metadata(log).unwrap().len()
}

#[tokio::test]
async fn commits_that_queue_up_share_a_transaction() {
    let steps = || (1..=64).map(|n| step(pid(n), Epoch(1), 1));
    let (one_by_one, store) = place().await;
    for step in steps() {
        store.commit(vec![step]).await.unwrap();
    }
    let (together, store) = place().await;
    // One thread: all are queued before the writer runs.
    let tasks: Vec<_> = steps()
        .map(|step| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(vec![step]).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), [CommitOutcome::Committed]);
    }
    let (apart, shared) = (log_bytes(&one_by_one), log_bytes(&together));
    assert!(shared * 3 < apart, "a log of {shared} bytes together, {apart} one by one");
}

#[tokio::test]
async fn more_commits_than_a_group_holds_land_in_one_batch() {
    let (_place, store) = place().await;
    let batch: Vec<Commit> = (1..=300).map(|n| step(pid(n), Epoch(1), 1)).collect();
    assert_eq!(store.commit(batch).await.unwrap(), vec![CommitOutcome::Committed; 300]);
    assert_eq!(store.agents(None, true, 1000).await.unwrap().len(), 300);
}
