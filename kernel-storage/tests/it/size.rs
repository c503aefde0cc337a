//! How many bytes of a database a growing conversation takes for each byte that is said.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel_storage::{Blob, Commit, CommitOutcome, SqliteStore, Store};
use kernel_types::{AgentRow, Epoch, Hash, Pid, Record, StepNo, Timestamp};

use crate::postgres::place::{Place, run_sql};
use crate::sample::pid;

/// What a message has, in bytes.
const LENGTH: usize = 2000;

/// Text with words of some hundred kinds: zstd halves it by itself, as it does with what people write.
fn said(n: usize) -> String {
    let mut state = n as u64 + 1;
    let mut text = String::new();
    while text.len() < LENGTH {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bytes = (state >> 33) % 2000;
        text.push_str(&format!("{}{} ", ["ta", "no", "re", "mi", "lo"][(bytes % 5) as usize], bytes));
    }
    text.truncate(LENGTH);
    text
}

/// A message: its body as a page, and the record of the call that brought it.
fn message(pid: Pid, n: u64) -> Commit {
    let text = said(n as usize);
    let record = format!(
        "{{\"reply\":{{\"call\":{n},\"ok\":{{\"message\":{}}}}}}}",
        serde_json::to_string(&text).unwrap()
    );
    let blobs = vec![Blob::of(text.into_bytes()), Blob::of(record.into_bytes())];
    let record = Record {
        pid,
        number: n,
        step: StepNo(n),
        call: None,
        kind: 1,
        at: Timestamp(n),
        salt: kernel_types::hash_bytes(&n.to_le_bytes()).0[..16].try_into().unwrap(),
        body: None,
        blob: Some(blobs[1].hash),
        body_hash: blobs[1].hash,
        hash: kernel_types::hash_bytes(&n.to_be_bytes()),
    };
    let row = AgentRow {
        pid,
        parent: Pid::INIT,
        epoch: Epoch(1),
        revision: n,
        records: n,
        head: record.hash,
        exited: false,
        image: format!("a small state, {n}").repeat(10).into_bytes(),
        seal: Hash::ZERO,
    };
    Commit { row, records: vec![record], values: vec![], consumed: vec![], sent: vec![], blobs }
}

/// Has a conversation of so many messages, and reads it back.
async fn talk(store: &Arc<dyn Store>, messages: std::ops::RangeInclusive<u64>) {
    for n in messages {
        let commit = message(pid(1), n);
        assert_eq!(store.commit(vec![commit.clone()]).await.unwrap(), [CommitOutcome::Committed]);
        let hashes: Vec<_> = commit.blobs.iter().map(|blob| blob.hash).collect();
        let bodies = store.blobs(&hashes).await.unwrap();
        let expected: Vec<_> = commit.blobs.into_iter().map(|blob| Some(blob.bytes)).collect();
        assert_eq!(bodies, expected);
    }
}

#[track_caller]
fn check(sizes: [u64; 3]) {
    let raw = 400 * LENGTH as u64;
    let ratios = [sizes[1] - sizes[0], sizes[2] - sizes[1]].map(|bytes| bytes as f64 / raw as f64);
    assert!(ratios.iter().all(|ratio| *ratio < 1.2), "{ratios:?}");
    // Twice as much takes twice as much.
    assert!(ratios[1] < 1.15 * ratios[0], "{ratios:?}");
}

#[tokio::test]
async fn a_growing_conversation_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut sizes = Vec::new();
    for part in [1..=1, 2..=401, 402..=801] {
        let store = SqliteStore::open(&path).await.unwrap();
        talk(&(Arc::new(store.clone()) as Arc<dyn Store>), part).await;
        store.close().await.unwrap();
        sizes.push(std::fs::metadata(&path).unwrap().len());
    }
    check(sizes.try_into().unwrap());
}

/// What updates of the one row left behind is not of the conversation. As long as another test's transaction might still read
/// those, they are kept.
async fn one_row_left(place: &Place) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        run_sql(&place.url, &format!("VACUUM (FULL) {}.agent", place.schema)).await;
        let size: u64 = place.text("SELECT pg_relation_size('{s}.agent')::text").await.parse().unwrap();
        if size <= 16 << 10 {
            return;
        }
        assert!(Instant::now() < end, "{size} bytes for one row");
    }
}

#[tokio::test]
async fn a_growing_conversation_on_postgres() {
    let place = Place::new();
    let store: Arc<dyn Store> = Arc::new(place.open().await);
    let mut sizes = Vec::new();
    for part in [1..=1, 2..=401, 402..=801] {
        talk(&store, part).await;
        one_row_left(&place).await;
        let size = "SELECT sum(pg_total_relation_size(oid))::text FROM pg_class \
                    WHERE relnamespace = '{s}'::regnamespace AND relkind = 'r'";
        sizes.push(place.text(size).await.parse().unwrap());
    }
    check(sizes.try_into().unwrap());
}

/// Each commit has a text like the one before it, which is stored packed with the one before that.
#[tokio::test]
async fn a_text_is_read_however_many_others_it_is_packed_with() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path().join("store.db")).await.unwrap());
    let text = |n: u64| Blob::of(format!("{} {n}", said(7)).into_bytes());
    for n in 1..=200 {
        let commit = Commit { blobs: vec![text(n), text(n + 1)], ..message(pid(1), n) };
        let record = Record { blob: Some(commit.blobs[1].hash), ..commit.records[0].clone() };
        let commit = Commit { records: vec![record], ..commit };
        assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
    }
    let last = text(201);
    assert_eq!(store.blobs(&[last.hash]).await.unwrap(), [Some(last.bytes)]);
}
