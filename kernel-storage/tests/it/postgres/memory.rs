//! What the memory of the PostgreSQL store does beyond the contract: the same answers as the reference, indexes that come
//! by themselves, handles beside each other, damage, older schemas, a server that crashes.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use kernel_storage::{
    Filter, Journal, MemoryItem, MemorySearch, PostgresOptions, PostgresStore, Scalar, SearchMode,
    StoreErrorKind, Vector, Vectors,
};
use kernel_types::Epoch;

use super::place::{Database, Place, User, run_sql};
use super::server::Server;
use crate::sample::{pid, step};
use crate::vectors_sqlite::{finds_what_the_reference_finds, ids, item, search};

/// The place of item `n`: the same in every run.
fn point(n: usize) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(n as u64);
    (0..16).map(|_| random.random_range(-1.0..1.0)).collect()
}

fn cloud(range: std::ops::Range<usize>) -> Vec<MemoryItem> {
    let one = |n: usize| MemoryItem {
        metadata: [("hundredth".to_owned(), Scalar::from((n % 100) as f64))].into(),
        vector: Some(Vector { model: "m".to_owned(), values: point(n) }),
        ..item("n", &format!("{n:06}"), "x")
    };
    range.map(one).collect()
}

fn near(n: usize, mode: SearchMode) -> MemorySearch {
    let vector = Some(Vector { model: "m".to_owned(), values: point(n) });
    MemorySearch { text: None, vector, mode, k: 10, ..search("n", "") }
}

/// The namespaces and models that have an index, and whether it is valid.
async fn indexes(place: &Place) -> String {
    place
        .text(
            "SELECT string_agg(relname || ' ' || indisvalid, ',') FROM pg_index JOIN pg_class ON oid = indexrelid \
             WHERE relnamespace = '{s}'::regnamespace AND relname LIKE 'memory_near_%'",
        )
        .await
}

#[tokio::test]
async fn the_same_hits_as_the_reference_to_the_last_bit() {
    let place = Place::new();
    finds_what_the_reference_finds(&place.open().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_namespace_gets_an_index_by_itself_and_a_filter_finds_all_it_is_asked_for() {
    let place = Place::new();
    let store = place.open().await;
    for start in (0..SearchMode::EXACT_BELOW - 1).step_by(4000) {
        store.remember(cloud(start..(start + 4000).min(SearchMode::EXACT_BELOW - 1))).await.unwrap();
    }
    store.search(near(5000, SearchMode::Auto)).await.unwrap();
    store.search(near(5000, SearchMode::Approximate)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(indexes(&place).await, "", "one vector is missing for it");
    store.remember(cloud(SearchMode::EXACT_BELOW - 1..SearchMode::EXACT_BELOW)).await.unwrap();
    store.search(near(5000, SearchMode::Exact)).await.unwrap();
    assert_eq!(indexes(&place).await, "", "who wants no index does not have it built");
    let end = Instant::now() + Duration::from_secs(60);
    while indexes(&place).await != "memory_near_1_1 true" {
        // While it is built everything is compared.
        let found = ids(&store, near(5000, SearchMode::Auto)).await;
        assert_eq!(found[0], "005000");
        assert!(Instant::now() < end, "{}", indexes(&place).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut both = 0;
    for n in [0, 1234, 5000, 9999] {
        let truth = ids(&store, near(n, SearchMode::Exact)).await;
        let found = ids(&store, near(n, SearchMode::Auto)).await;
        assert_eq!((found.len(), truth[0].as_str()), (10, format!("{n:06}").as_str()));
        both += found.iter().filter(|id| truth.contains(id)).count();
        // One in a hundred, and one in ten thousand: what the index does not come to is compared.
        for (filter, expected) in [
            (Filter::Equals { field: "hundredth".to_owned(), value: Scalar::from(42.0) }, 10),
            (Filter::Equals { field: "none".to_owned(), value: Scalar::from(42.0) }, 0),
        ] {
            let narrow = MemorySearch { filter: Some(filter), ..near(n, SearchMode::Auto) };
            let hits = store.search(narrow.clone()).await.unwrap();
            assert_eq!(hits.len(), expected, "{narrow:?}");
            assert!(hits.iter().all(|hit| hit.metadata["hundredth"] == Scalar::from(42.0)));
        }
    }
    assert!(both >= 36, "{both} of 40 are found");
    // The server counts scans at its leisure.
    let scans = "SELECT idx_scan::text FROM pg_stat_user_indexes \
        WHERE schemaname = '{s}' AND indexrelname = 'memory_near_1_1'";
    while place.text(scans).await == "0" {
        assert!(Instant::now() < end, "the index was never used");
        store.search(near(5000, SearchMode::Auto)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_index_that_was_not_finished_is_built_anew() {
    let place = Place::new();
    let store = place.open().await;
    store.remember(cloud(0..500)).await.unwrap();
    store.index_memory("n").await.unwrap();
    store.index_memory("nobody's").await.unwrap();
    assert_eq!(indexes(&place).await, "memory_near_1_1 true");
    let spoil = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'memory_near_1_1'::regclass";
    place.sql(spoil).await;
    assert_eq!(ids(&store, near(7, SearchMode::Approximate)).await[0], "000007");
    let (one, other) = tokio::join!(store.index_memory("n"), store.index_memory("n"));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(indexes(&place).await, "memory_near_1_1 true");
    assert_eq!(ids(&store, near(7, SearchMode::Approximate)).await[0], "000007");
}

#[tokio::test]
async fn vectors_too_long_for_an_index_are_compared() {
    let place = Place::new();
    let store = place.open().await;
    let long = |n: usize| {
        let values = (0..4001).map(|at| if at == n { 2.0 } else { 1.0 }).collect();
        let vector = Some(Vector { model: "long".to_owned(), values });
        MemoryItem { vector, ..item("n", &format!("{n}"), "x") }
    };
    store.remember((0..20).map(long).collect()).await.unwrap();
    store.index_memory("n").await.unwrap();
    assert_eq!(indexes(&place).await, "");
    let asked = MemorySearch { vector: long(7).vector, ..near(0, SearchMode::Approximate) };
    assert_eq!(ids(&store, asked).await[0], "7");
}

#[tokio::test]
async fn every_word_of_the_longest_text_is_found() {
    let place = Place::new();
    let store = place.open().await;
    let words: Vec<String> = (0..)
        .map(|n| format!("{n:x}"))
        .scan(0, |bytes, word| {
            *bytes += word.len() + 1;
            (*bytes <= MemoryItem::MAX_TEXT).then_some(word)
        })
        .collect();
    let text = words.join(" ");
    store.remember(vec![item("n", "long", &text), item("n", "short", "0 z")]).await.unwrap();
    for word in [&words[0], &words[words.len() / 2], &words[words.len() - 1]] {
        assert!(ids(&store, search("n", word)).await.contains(&"long".to_owned()), "{word}");
    }
    // As many are asked for at once.
    let hits = store.search(search("n", &text)).await.unwrap();
    assert_eq!(hits.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(), ["long", "short"]);
    assert_eq!(store.forget("n", &["long".to_owned()]).await.unwrap(), 1);
    assert_eq!(place.text("SELECT count(*)::text FROM {s}.memory_words").await, "1");
}

#[tokio::test]
async fn kernels_on_one_database_search_what_the_others_remember() {
    let place = Place::new();
    let (one, other) = (place.open().await, place.open().await);
    one.remember(vec![item("n", "1", "first")]).await.unwrap();
    other.remember(vec![item("n", "2", "second")]).await.unwrap();
    let attached = place.attach().await;
    for store in [&one, &other, &attached] {
        let mut found = ids(store, search("n", "first second")).await;
        found.sort_unstable();
        assert_eq!(found, ["1", "2"]);
    }
    let denied = [
        attached.remember(vec![item("n", "3", "third")]).await.unwrap_err(),
        attached.forget("n", &["2".to_owned()]).await.map(drop).unwrap_err(),
        attached.index_memory("n").await.unwrap_err(),
    ];
    for error in denied {
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    }
    assert_eq!(one.count("n").await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kernels_that_write_the_same_ids_agree_with_what_is_counted() {
    let place = Place::new();
    let stores = [place.open().await, place.open().await];
    let tasks: Vec<_> = (0..8_usize)
        .map(|task| {
            let store = stores[task % 2].clone();
            tokio::spawn(async move {
                for round in 0..10 {
                    // Namespaces and models in opposite orders.
                    let one = |n: usize| {
                        let at = if task % 2 == 0 { n } else { 5 - n };
                        let vector =
                            Some(Vector { model: format!("m{at}"), values: vec![1.0, round as f32] });
                        MemoryItem { vector, ..item(&format!("n{at}"), &format!("{}", round % 3), "one two") }
                    };
                    store.remember((0..6).map(one).collect()).await.unwrap();
                    store.forget(&format!("n{}", task % 6), &["1".to_owned()]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counted = "SELECT string_agg(texts || ',' || words, ' ' ORDER BY space) FROM {s}.memory_space";
    let there = "SELECT string_agg(texts || ',' || words, ' ' ORDER BY space) FROM \
        (SELECT space, count(*) AS texts, sum(length) AS words FROM {s}.memory GROUP BY space) AS there";
    assert_eq!(place.text(counted).await, place.text(there).await);
    let counted = "SELECT sum(vectors)::text FROM {s}.memory_shelf";
    assert_eq!(place.text(counted).await, place.text("SELECT count(*)::text FROM {s}.memory").await);
    assert_eq!(stores[0].count("n5").await.unwrap(), 3);
}

#[tokio::test]
async fn damage_of_an_item_is_named_by_namespace_id_and_column() {
    let place = Place::new();
    let store = place.open().await;
    store.remember(vec![item("n", "one", "word")]).await.unwrap();
    let cases = [
        ("metadata", "'{\"a\": []}'", "field \"a\""),
        ("metadata", "'{\"a\": \"\\u0001\"}'", "U+0001"),
        ("metadata", "'[]'", "invalid type"),
        ("numbers", "'\\x0102'", "2 bytes"),
        ("numbers", "''", "0 bytes"),
        ("numbers", "NULL", "a model and numbers"),
        ("text", "'\\xff'", "utf-8"),
    ];
    for (column, value, words) in cases {
        place
            .sql(&format!("CREATE TABLE undo AS SELECT * FROM memory; UPDATE memory SET {column} = {value}"))
            .await;
        for error in [
            store.items("n", None, 9).await.map(drop).unwrap_err(),
            store.search(search("n", "word")).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
            for expected in ["memory", column, words, "\"n\"/\"one\""] {
                assert!(error.to_string().contains(expected), "{expected:?} is not in: {error}");
            }
        }
        place.sql("DELETE FROM memory; INSERT INTO memory SELECT * FROM undo; DROP TABLE undo").await;
    }
    assert_eq!(ids(&store, search("n", "word")).await, ["one"]);
}

#[tokio::test]
async fn a_database_of_version_1_is_migrated_and_keeps_what_it_has() {
    let place = Place::new();
    let first = include_str!("../../../migrations/postgres/0001_initial.sql");
    run_sql(
        &place.url,
        &format!(
            "CREATE SCHEMA {0}; SET search_path = {0}; {first}; \
             CREATE TABLE schema_version (application_id integer NOT NULL, version integer NOT NULL); \
             INSERT INTO schema_version VALUES ({1}, 1); UPDATE kernel SET epoch = 41",
            place.schema, 0x4167_4F53
        ),
    )
    .await;
    let error = PostgresStore::attach(place.options()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
    assert!(error.to_string().contains("start a kernel on it once"), "{error}");
    let store = place.open().await;
    assert_eq!(store.claim().await.unwrap(), Epoch(42));
    store.commit(vec![step(pid(1), Epoch(42), 1)]).await.unwrap();
    store.remember(vec![item("n", "id", "word")]).await.unwrap();
    assert_eq!(ids(&store, search("n", "word")).await, ["id"]);
    assert_eq!(place.text("SELECT version::text FROM {s}.schema_version").await, "3");
}

#[tokio::test]
async fn who_may_not_make_an_index_is_told_so_and_searches_without() {
    let database = Database::new().await;
    let user = User::new().await;
    PostgresStore::open(PostgresOptions::new(database.url()).schema("mine"))
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    let grant = format!(
        "GRANT USAGE ON SCHEMA mine TO {0}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA mine TO {0}",
        user.name
    );
    run_sql(&database.url(), &grant).await;
    let options = PostgresOptions::new(database.url_as(&user.name)).schema("mine");
    let store = PostgresStore::open(options).await.unwrap();
    store.remember(cloud(0..50)).await.unwrap();
    let error = store.index_memory("n").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Permission, "{error}");
    assert_eq!(ids(&store, near(7, SearchMode::Approximate)).await[0], "000007");
    store.close().await.unwrap();
    drop(database);
}

#[tokio::test]
async fn an_extension_in_another_schema_is_found() {
    let database = Database::new().await;
    run_sql(&database.url(), "CREATE SCHEMA \"Ours\"; CREATE EXTENSION vector SCHEMA \"Ours\"").await;
    let store = PostgresStore::open(PostgresOptions::new(database.url()).schema("mine")).await.unwrap();
    store.remember(cloud(0..50)).await.unwrap();
    store.index_memory("n").await.unwrap();
    assert_eq!(ids(&store, near(7, SearchMode::Approximate)).await[0], "000007");
    store.close().await.unwrap();
    drop(database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_remembered_survives_a_crash_of_the_server_and_calls_go_on_after_it() {
    let mut server = Server::new();
    let options = || PostgresOptions::new(server.url()).patience(Duration::from_secs(20));
    let store = PostgresStore::open(options()).await.unwrap();
    for n in 0..20 {
        store.remember(vec![item("n", &format!("{n:02}"), "word")]).await.unwrap();
    }
    server.crash();
    let writer = tokio::spawn({
        let store = store.clone();
        async move { store.remember(vec![item("n", "during", "word")]).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.start();
    writer.await.unwrap().unwrap();
    let found = ids(&store, search("n", "word")).await;
    assert_eq!(found.len(), 21, "{found:?}");
    assert_eq!(store.count("n").await.unwrap(), 21);
}

#[tokio::test]
async fn a_server_that_is_away_is_named_when_patience_ends() {
    let mut server = Server::new();
    let options = PostgresOptions::new(server.url()).patience(Duration::from_millis(100));
    let store = PostgresStore::open(options).await.unwrap();
    store.remember(vec![item("n", "id", "word")]).await.unwrap();
    server.crash();
    for error in [
        store.remember(vec![item("n", "id", "word")]).await.unwrap_err(),
        store.search(search("n", "word")).await.map(drop).unwrap_err(),
        store.count("n").await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    }
}
