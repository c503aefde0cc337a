//! Laws of bodies.

use kernel_types::{Epoch, Hash, hash_bytes};

use super::Fixture;
use super::sample::{Process, blob, land, ok};
use crate::{Blob, Commit};

/// Bodies come back byte for byte in the order asked, a body asked twice twice, a missing one as `None`.
pub async fn bodies_come_back_byte_for_byte_in_the_order_asked(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies = [Vec::new(), vec![0], every_byte.clone(), every_byte.repeat(4096), b"text\0text".to_vec()];
    let blobs: Vec<_> = bodies.iter().map(|bytes| Blob::of(bytes.as_slice())).collect();
    land(&store, Commit { blobs: blobs.clone(), ..Process::new(1, Epoch(1)).step(1) }).await;

    let missing = hash_bytes(b"nobody committed this");
    let mut asked: Vec<Hash> = blobs.iter().rev().map(|blob| blob.hash).collect();
    asked.insert(2, missing);
    asked.push(asked[0]);
    let found = ok(store.blobs(&asked).await);
    assert_eq!(found.len(), asked.len());
    for (hash, body) in asked.iter().zip(found) {
        let expected = blobs.iter().find(|blob| blob.hash == *hash).map(|blob| &blob.bytes);
        assert_eq!(body.as_ref(), expected, "the body at {hash}");
    }
}

/// A body that several processes commit, or one process several times, is there once.
pub async fn a_body_is_shared_by_all_who_commit_it(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let shared = blob("shared");
    let mut processes = [Process::new(1, Epoch(1)), Process::new(2, Epoch(1))];
    let with = |commit| Commit { blobs: vec![shared.clone(), shared.clone()], ..commit };
    ok(store.commit(processes.iter_mut().map(|process| with(process.step(1))).collect()).await);
    land(&store, with(processes[0].step(1))).await;
    assert_eq!(ok(store.list_blobs(None, 10).await), [shared.hash]);
    assert_eq!(ok(store.blobs(&[shared.hash]).await), [Some(shared.bytes)]);
}

/// Paging through all addresses shows each once, in order.
pub async fn addresses_are_listed_in_pages(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let blobs: Vec<_> = (0..150).map(|n| blob(&format!("body {n}"))).collect();
    let mut expected: Vec<_> = blobs.iter().map(|blob| blob.hash).collect();
    expected.sort_unstable();
    land(&store, Commit { blobs, ..Process::new(1, Epoch(1)).step(0) }).await;
    let mut after = None;
    let mut seen = Vec::new();
    while seen.len() <= expected.len() {
        let page = ok(store.list_blobs(after, 40).await);
        assert!(page.len() <= 40, "a page of {}, at most 40 were asked for", page.len());
        let Some(last) = page.last() else { break };
        after = Some(*last);
        seen.extend(page);
    }
    assert_eq!(seen, expected);
    let bodies = ok(store.blobs(&expected).await);
    for (hash, body) in expected.iter().zip(bodies) {
        assert_eq!(body.map(|bytes| hash_bytes(&bytes)), Some(*hash));
    }
}

/// What a process committed stays, after its exit too: journals name it.
pub async fn sweep_keeps_what_a_process_committed(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(1));
    let (first, second) = (blob("first"), blob("second"));
    land(&store, Commit { blobs: vec![first.clone()], ..process.step(1) }).await;
    process.row.exited = true;
    land(&store, Commit { blobs: vec![second.clone()], ..process.step(1) }).await;
    assert_eq!(ok(store.sweep().await), 0);
    let kept = ok(store.blobs(&[first.hash, second.hash]).await);
    assert_eq!(kept, [Some(first.bytes), Some(second.bytes)]);
}
