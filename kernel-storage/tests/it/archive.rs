//! Copying processes between stores of every kind, and removing them.

use std::sync::Arc;

use kernel_storage::conformance::archive::Pair;
use kernel_storage::{Archive, Journal, MemoryStore, SqliteStore, StoreErrorKind, archive_conformance};
use kernel_types::Epoch;

use crate::postgres::place::Place;
use crate::sample::{pid, step};

type Kept = Box<dyn std::any::Any + Send>;

async fn memory() -> (Arc<dyn Archive>, Kept) {
    (Arc::new(MemoryStore::new()), Box::new(()))
}

async fn sqlite() -> (Arc<dyn Archive>, Kept) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).await.unwrap();
    (Arc::new(store), Box::new(folder))
}

async fn postgres() -> (Arc<dyn Archive>, Kept) {
    let place = Place::new();
    let store = place.open().await;
    (Arc::new(store), Box::new(place))
}

fn pair((from, one): (Arc<dyn Archive>, Kept), (to, other): (Arc<dyn Archive>, Kept)) -> Pair {
    Pair { from, to, kept: Box::new((one, other)) }
}

archive_conformance!(memory_to_memory, pair(memory().await, memory().await));
archive_conformance!(sqlite_to_memory, pair(sqlite().await, memory().await));
archive_conformance!(memory_to_sqlite, pair(memory().await, sqlite().await));
archive_conformance!(postgres_to_sqlite, pair(postgres().await, sqlite().await));
archive_conformance!(sqlite_to_postgres, pair(sqlite().await, postgres().await));

#[tokio::test]
async fn who_is_attached_beside_a_kernel_copies_out_and_not_in() {
    let place = Place::new();
    let kernel = place.open().await;
    kernel.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let file = SqliteStore::open(&path).await.unwrap();
    kernel_storage::copy_process(&place.attach().await, &file, pid(1)).await.unwrap();
    let beside = SqliteStore::attach(&path).await.unwrap();
    let copy = beside.take_out(pid(1)).await.unwrap().unwrap();
    for error in [
        place.attach().await.put_in(copy.clone()).await.unwrap_err(),
        place.attach().await.remove_ended(&[pid(1)]).await.map(drop).unwrap_err(),
        beside.put_in(copy).await.unwrap_err(),
        beside.remove_ended(&[pid(1)]).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("attached beside a kernel"), "{error}");
    }
}

#[tokio::test]
async fn a_store_that_lost_processes_to_a_vacuum_is_not_called_older() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut last = step(pid(1), Epoch(1), 1);
    last.row.exited = true;
    store.commit(vec![last, step(pid(2), Epoch(1), 1)]).await.unwrap();
    let done = kernel_storage::vacuum(&store, &|_| false).await.unwrap();
    assert_eq!(done.processes, 1);
    store.close().await.unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    assert!(!store.report().is_older(), "{}", store.report());
    assert_eq!(store.agents(None, false, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_of_a_copy() {
    let from = MemoryStore::new();
    let mut commit = step(pid(1), Epoch(1), 1);
    let noise = (0..4000_u32).flat_map(|n| kernel_types::hash_bytes(&n.to_le_bytes()).0).collect::<Vec<u8>>();
    commit.blobs = vec![kernel_storage::Blob::of(noise)];
    from.commit(vec![commit]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = SqliteStore::open(folder.path().join("store.db")).await.unwrap();
    to.limit_size(Some(1)).await.unwrap();
    let error = kernel_storage::copy_process(&from, &to, pid(1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert_eq!(to.agents(None, false, 10).await.unwrap(), []);
    to.limit_size(None).await.unwrap();
    kernel_storage::copy_process(&from, &to, pid(1)).await.unwrap();
}
