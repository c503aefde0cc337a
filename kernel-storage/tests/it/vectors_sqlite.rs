//! What the memory of the SQLite store does beyond the contract: the same answers as the reference, attached handles,
//! damage, a full disk, many namespaces, older databases.

use std::path::PathBuf;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use kernel_storage::{
    Filter, Journal, MemoryItem, MemorySearch, MemoryStore, Scalar, SearchMode, SqliteStore, StoreErrorKind,
    Vector, Vectors,
};
use kernel_types::Epoch;

use crate::sample::{pid, step};
use crate::schema::run_sql;

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

pub(crate) fn item(namespace: &str, id: &str, text: &str) -> MemoryItem {
    MemoryItem {
        namespace: namespace.to_owned(),
        id: id.to_owned(),
        owner: pid(1),
        text: text.to_owned(),
        metadata: [("kind".to_owned(), Scalar::from("note"))].into(),
        vector: Some(Vector { model: "m".to_owned(), values: vec![1.0, id.len() as f32, 0.5] }),
    }
}

pub(crate) fn search(namespace: &str, text: &str) -> MemorySearch {
    MemorySearch {
        namespace: namespace.to_owned(),
        filter: None,
        text: Some(text.to_owned()),
        vector: None,
        k: 100,
        mode: SearchMode::Auto,
    }
}

pub(crate) async fn ids(store: &impl Vectors, search: MemorySearch) -> Vec<String> {
    store.search(search).await.unwrap().into_iter().map(|hit| hit.id).collect()
}

pub(crate) fn random_items(random: &mut StdRng, count: usize) -> Vec<MemoryItem> {
    let one = |n: usize| {
        let words = random.random_range(0..30);
        let words: Vec<_> = (0..words).map(|_| format!("w{}", random.random_range(0..50))).collect();
        let mut item = item("n", &format!("{n:04}"), &words.join(" "));
        item.metadata.insert("n".to_owned(), Scalar::from(f64::from(random.random_range(0..5))));
        item.vector = (!n.is_multiple_of(4)).then(|| Vector {
            model: "m".to_owned(),
            values: (0..20).map(|_| random.random_range(-1.0..1.0)).collect(),
        });
        item
    };
    (0..count).map(one).collect()
}

#[tokio::test]
async fn the_same_hits_as_the_reference_to_the_last_bit() {
    let (_place, store) = place().await;
    finds_what_the_reference_finds(&store).await;
}

/// A memory finds the same as that of [`MemoryStore`], and says the same of it to the last bit.
pub(crate) async fn finds_what_the_reference_finds(store: &dyn Vectors) {
    let reference = MemoryStore::new();
    let mut random = StdRng::seed_from_u64(20);
    let items = random_items(&mut random, 400);
    for memory in [store, &reference as &dyn Vectors] {
        memory.remember(items.clone()).await.unwrap();
        memory.search(search("n", "w1")).await.unwrap();
        let gone: Vec<_> = (0..400).step_by(7).map(|n| format!("{n:04}")).collect();
        memory.forget("n", &gone).await.unwrap();
        memory.remember(items[20..60].to_vec()).await.unwrap();
    }
    for n in 0..60 {
        let text = format!("w{} w{} w{}", n % 50, random.random_range(0..50), random.random_range(0..60));
        let values: Vec<f32> = (0..20).map(|_| random.random_range(-1.0..1.0)).collect();
        let range = Filter::Range { field: "n".to_owned(), min: Some(Scalar::from(2.0)), max: None };
        let asked = MemorySearch {
            filter: (n % 2 == 0).then_some(range),
            text: (n % 3 != 0).then_some(text),
            vector: (n % 3 != 1).then(|| Vector { model: "m".to_owned(), values }),
            k: 1 + n,
            ..search("n", "")
        };
        let expected = reference.search(asked.clone()).await.unwrap();
        assert_eq!(store.search(asked.clone()).await.unwrap(), expected, "{asked:?}");
        assert!(!expected.is_empty(), "{asked:?}");
    }
}

#[tokio::test]
async fn an_attached_handle_searches_what_the_kernel_remembers() {
    let (place, kernel) = place().await;
    kernel.remember(vec![item("n", "1", "first")]).await.unwrap();
    let control = SqliteStore::attach(&place.path).await.unwrap();
    assert_eq!(ids(&control, search("n", "first second")).await, ["1"]);
    kernel.remember(vec![item("n", "2", "second")]).await.unwrap();
    assert_eq!(ids(&control, search("n", "second")).await, ["2"]);
    kernel.forget("n", &["1".to_owned()]).await.unwrap();
    assert_eq!(ids(&control, search("n", "first second")).await, ["2"]);
    assert_eq!(control.items("n", None, 9).await.unwrap(), kernel.items("n", None, 9).await.unwrap());
    let denied = [
        control.remember(vec![item("n", "3", "third")]).await.unwrap_err(),
        control.forget("n", &["2".to_owned()]).await.map(drop).unwrap_err(),
    ];
    for error in denied {
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    }
    assert_eq!(kernel.count("n").await.unwrap(), 1);
}

#[tokio::test]
async fn damage_of_an_item_is_named_by_namespace_id_and_column() {
    let (place, store) = place().await;
    store.remember(vec![item("n", "one", "word")]).await.unwrap();
    let cases = [
        ("owner", "x'00'", "1 bytes instead of 16"),
        ("metadata", "'{\"a\":[]}'", "field \"a\""),
        ("metadata", "'{'", "EOF"),
        ("vector", "x'0102'", "2 bytes"),
        ("vector", "x''", "0 bytes"),
        ("text", "CAST(x'ff' AS TEXT)", "utf-8"),
    ];
    for (column, value, words) in cases {
        run_sql(&place.path, "CREATE TABLE undo AS SELECT * FROM memory").await;
        run_sql(&place.path, &format!("UPDATE memory SET {column} = {value}")).await;
        // Another handle has nothing in memory yet.
        let fresh = SqliteStore::attach(&place.path).await.unwrap();
        for error in [
            fresh.items("n", None, 9).await.map(drop).unwrap_err(),
            fresh.search(search("n", "word")).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
            for expected in ["memory", column, words, "\"n\"/\"one\""] {
                assert!(error.to_string().contains(expected), "{expected:?} is not in: {error}");
            }
        }
        run_sql(&place.path, "DELETE FROM memory; INSERT INTO memory SELECT * FROM undo; DROP TABLE undo")
            .await;
    }
    assert_eq!(ids(&store, search("n", "word")).await, ["one"]);
}

#[tokio::test]
async fn a_full_disk_refuses_and_the_index_does_not_run_ahead() {
    let (_place, store) = place().await;
    store.remember(vec![item("n", "small", "word")]).await.unwrap();
    assert_eq!(ids(&store, search("n", "word")).await, ["small"]);
    store.limit_size(Some(1)).await.unwrap();
    let large = |n: usize| item("n", &format!("large {n}"), &"word ".repeat(100_000));
    let error = store.remember((0..8).map(large).collect()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert_eq!(ids(&store, search("n", "word")).await, ["small"]);
    store.limit_size(None).await.unwrap();
    store.remember(vec![large(1)]).await.unwrap();
    assert_eq!(ids(&store, search("n", "word")).await.len(), 2);
}

#[tokio::test]
async fn a_refused_call_does_not_harm_those_it_queues_with() {
    let (_place, store) = place().await;
    store.remember(vec![item("n", "first", "word")]).await.unwrap();
    // One thread: all are queued before the writer runs.
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            let mut item = item("n", &format!("{n:02}"), "word");
            if n % 5 == 0 {
                item.vector = Some(Vector { model: "m".to_owned(), values: vec![1.0] });
            }
            tokio::spawn(async move { store.remember(vec![item]).await })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        let answer = task.await.unwrap();
        assert_eq!(answer.is_err(), n % 5 == 0, "{n}: {answer:?}");
    }
    assert_eq!(store.count("n").await.unwrap(), 17);
    assert_eq!(ids(&store, search("n", "word")).await.len(), 17);
}

#[tokio::test]
async fn more_is_remembered_without_a_search_than_is_noted() {
    let (_place, store) = place().await;
    assert_eq!(ids(&store, search("n", "word")).await, [""; 0]);
    for batch in 0..5 {
        let items = (0..600).map(|n| item("n", &format!("{batch} {n}"), &format!("word{batch}")));
        store.remember(items.collect()).await.unwrap();
    }
    for batch in 0..5 {
        let asked = MemorySearch { k: 1000, ..search("n", &format!("word{batch}")) };
        assert_eq!(ids(&store, asked).await.len(), 600);
    }
}

#[tokio::test]
async fn more_namespaces_are_searched_than_are_kept_in_memory() {
    let (_place, store) = place().await;
    let items = (0..300).map(|n| item(&format!("n{n}"), "id", "word"));
    store.remember(items.collect()).await.unwrap();
    for round in 0..2 {
        for n in 0..300 {
            let found = ids(&store, search(&format!("n{n}"), "word")).await;
            assert_eq!(found.len(), 1 + round, "n{n}");
            store.remember(vec![item(&format!("n{n}"), "other", "word")]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_database_of_version_1_is_migrated_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap();
    store.close().await.unwrap();
    let first = "DROP TABLE memory; DROP TABLE memory_model; DROP TABLE memory_namespace; \
        DROP TABLE value_past; ALTER TABLE event DROP COLUMN state; \
        ALTER TABLE blob DROP COLUMN form; ALTER TABLE blob DROP COLUMN base; PRAGMA user_version = 1";
    run_sql(&path, first).await;
    let error = SqliteStore::attach(&path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.agent(pid(1)).await.unwrap().unwrap().revision, 1);
    store.remember(vec![item("n", "id", "word")]).await.unwrap();
    assert_eq!(ids(&store, search("n", "word")).await, ["id"]);
}
