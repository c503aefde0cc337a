//! Stores as released builds made them: each of their schema versions is opened, and holds what was put into it.
//!
//! `tests/golden/sqlite-v<n>.db` is made once, by the build that has version `n` as its newest, and never changed once
//! that is released:
//!
//! ```text
//! cargo test -p kernel-storage --all-features --test it -- --ignored --exact golden::make
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use kernel_storage::{
    Arrival, Blob, Commit, CommitOutcome, Journal, MemoryItem, MemoryStore, Metadata, Scalar, SqliteStore,
    Store, Vector, Vectors,
};
use kernel_types::{
    AgentRow, Budget, Epoch, Hash, Mail, MailBody, Pid, Priority, Record, Seq, Signal, Timestamp, hash_bytes,
};

use crate::sample::{Contents, contents, message, pid, step};

/// Schema versions there are golden stores of: those that a released build had as its newest, and this build's. A
/// version between them that only a build under way had is in no user's store: its migration is run on the way.
const VERSIONS: [u32; 3] = [1, 3, 4];

fn golden(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/sqlite-v{version}.db"))
}

/// What the stores hold: each column of each table, at its ends, and text that is easily damaged.
async fn fill(store: &dyn Store) {
    assert_eq!(store.claim().await.unwrap(), Epoch(1));
    let epoch = store.claim().await.unwrap();
    let text = "a\0b'\"\\\u{1}\r\n\u{feff}\u{e9}\u{4e2d}\u{1f600}\u{10ffff} ";
    let mail = [
        MailBody::Message(text.to_owned()),
        MailBody::Signal(Signal::Term),
        MailBody::Grant(Budget { steps: Some(7), ..Budget::default() }),
        MailBody::Priority(Priority::new(20).unwrap()),
    ];
    let mail = (1..).zip(mail).map(|(number, body)| Mail { body, ..message(pid(1), number, pid(2)) });
    store.post(mail.collect()).await.unwrap();

    let mut first = step(pid(1), epoch, 1);
    first.values = vec![("".to_owned(), Some(text.to_owned())), (text.to_owned(), Some(String::new()))];
    first.blobs = vec![Blob::of(*b""), Blob::of((0..=255).collect::<Vec<u8>>())];
    first.sent = vec![Mail { sent_at: Timestamp(u64::MAX), ..message(Pid::INIT, u64::MAX, pid(1)) }];
    let odd = Record {
        number: 1,
        call: None,
        kind: u8::MAX,
        at: Timestamp(u64::MAX),
        salt: [0; 16],
        body: None,
        blob: Some(first.blobs[1].hash),
        body_hash: Hash([0xff; 32]),
        ..first.records[0].clone()
    };
    let second = Record {
        number: 2,
        call: Some(Seq(u32::MAX)),
        body: Some(text.to_owned()),
        hash: hash_bytes(b"second"),
        ..odd.clone()
    };
    first.row =
        AgentRow { records: 2, head: second.hash, image: text.into(), seal: Hash([1; 32]), ..first.row };
    first.records = vec![odd, second];

    let mut exited = step(pid(2), epoch, 1);
    exited.row = AgentRow { parent: pid(1), exited: true, ..exited.row };
    exited.consumed = vec![message(pid(1), 2, pid(2)).id];
    // Consumed before it comes: the process lives, so the id is kept.
    let mut waiting = step(pid(3), epoch, 1);
    waiting.consumed = vec![message(pid(1), 9, pid(3)).id];
    let batch: Vec<Commit> = vec![first, exited, waiting];
    assert_eq!(store.commit(batch).await.unwrap(), vec![CommitOutcome::Committed; 3]);
}

/// What they remember, from the first version with a memory on.
fn memories() -> Vec<MemoryItem> {
    let bare = MemoryItem {
        namespace: "n".to_owned(),
        id: "1".to_owned(),
        owner: pid(1),
        text: "a\0b\u{10ffff}".to_owned(),
        metadata: Metadata::new(),
        vector: None,
    };
    let metadata = [("flag", true.into()), ("number", (-0.5).into()), ("text", "\u{4e2d}".into())];
    let full = MemoryItem {
        id: "2".to_owned(),
        metadata: metadata.map(|(name, value): (_, Scalar)| (name.to_owned(), value)).into(),
        vector: Some(Vector { model: "m".to_owned(), values: vec![-0.0, f32::MIN_POSITIVE, f32::MAX] }),
        ..bare.clone()
    };
    vec![bare, full]
}

#[tokio::test]
async fn stores_of_all_versions_hold_what_was_put_into_them() {
    let filled = MemoryStore::new();
    fill(&filled).await;
    let expected_contents = ranked(contents(&filled).await);
    assert_eq!(
        (expected_contents.rows.len(), expected_contents.mail.len()),
        (3, 4),
        "there is something to compare"
    );
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        fs::copy(golden(version), &path).unwrap();
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(ranked(contents(&store).await), expected_contents, "version {version}");
        let (then, items) =
            (store.as_of(pid(1), 2).await.unwrap(), store.items("n", None, 10).await.unwrap());
        if version < 3 {
            assert_eq!((then, items), (None, vec![]), "versions and memories begin with version 3");
        } else {
            assert_eq!((then, items), (filled.as_of(pid(1), 2).await.unwrap(), memories()));
        }
        let expected = MemoryStore::new();
        fill(&expected).await;
        // It goes on as the other does: epochs, known mail, the next revision.
        for store in [&store as &dyn Store, &expected] {
            assert_eq!(store.claim().await.unwrap(), Epoch(3), "version {version}");
            store.post(vec![message(pid(1), 9, pid(3)), message(pid(1), 10, pid(3))]).await.unwrap();
            let mut next = step(pid(3), Epoch(3), 2);
            next.consumed = vec![message(pid(1), 10, pid(3)).id];
            assert_eq!(store.commit(vec![next]).await.unwrap(), [CommitOutcome::Committed]);
        }
        let (found, expected) = (ranked(contents(&store).await), ranked(contents(&expected).await));
        assert_eq!(found, expected, "version {version}");
    }
}

/// Stores may leave out numbers of arrivals, each its own: the order is what counts.
fn ranked(mut contents: Contents) -> Contents {
    for (rank, (arrival, _)) in (1..).zip(&mut contents.mail) {
        *arrival = Arrival(rank);
    }
    contents
}

/// Whoever adds a migration adds a golden store.
#[tokio::test]
async fn there_is_a_golden_store_of_the_newest_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    let sql = "SELECT user_version FROM pragma_user_version";
    let newest: i64 = sqlx::query_scalar(sql).fetch_one(&mut crate::schema::raw(&path).await).await.unwrap();
    assert_eq!(i64::from(VERSIONS[VERSIONS.len() - 1]), newest);
    assert!(golden(VERSIONS[VERSIONS.len() - 1]).is_file());
}

/// Makes the golden store of this build's newest version. Not a test.
#[tokio::test]
#[ignore = "makes a file of the repository"]
async fn make() {
    let path = golden(VERSIONS[VERSIONS.len() - 1]);
    assert!(!path.exists(), "{} is there: golden stores are never changed", path.display());
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("store.db");
    let store = SqliteStore::open(&made).await.unwrap();
    fill(&store).await;
    store.remember(memories()).await.unwrap();
    store.close().await.unwrap();
    fs::copy(made, path).unwrap();
}
