//! Laws of what is remembered and forgotten.

use super::Fixture;
use super::sample::{
    HARD_TEXT, MODES, PLACE, all, at, by_vector, by_words, found, ids, item, ok, pid, remember, vector, with,
};
use crate::{MemoryItem, MemorySearch, Scalar, Vector};

/// A memory that nobody used has nothing, finds nothing and forgets nothing.
pub async fn nothing_is_found_in_a_new_memory(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    assert_eq!(ok(memory.namespaces(None, 10).await), [""; 0]);
    assert_eq!(ok(memory.count(PLACE).await), 0);
    assert_eq!(all(&memory, PLACE).await, []);
    assert_eq!(ok(memory.forget(PLACE, &["id".to_owned()]).await), 0);
    for mode in MODES {
        assert_eq!(found(&memory, MemorySearch { mode, ..by_words("word") }).await, []);
        assert_eq!(found(&memory, MemorySearch { mode, ..by_vector(&[1.0]) }).await, []);
    }
    remember(&memory, vec![]).await;
    assert_eq!(ok(memory.forget(PLACE, &[]).await), 0);
}

/// Every item that is hard to keep.
fn hard_items() -> Vec<MemoryItem> {
    let numbers = [0.0, -1.5, 1e300, 5e-324, 9_007_199_254_740_991.0, 0.1];
    let metadata = numbers.iter().enumerate().map(|(n, number)| (format!("n{n}"), Scalar::Number(*number)));
    let texts = [("text", HARD_TEXT), (HARD_TEXT, ""), ("", "empty")];
    let texts = texts.map(|(name, text)| (format!("t{name}"), Scalar::from(text)));
    let flags = [("no".to_owned(), Scalar::from(false)), ("yes".to_owned(), Scalar::from(true))];
    let full = MemoryItem {
        namespace: HARD_TEXT.to_owned(),
        id: HARD_TEXT.to_owned(),
        owner: pid(7),
        text: HARD_TEXT.to_owned(),
        metadata: metadata.chain(texts).chain(flags).collect(),
        vector: Some(vector(&[f32::MAX, f32::MIN_POSITIVE, -f32::from_bits(1), 0.1, -0.0])),
    };
    let longest = "x".repeat(MemoryItem::MAX_NAME);
    vec![
        full,
        item("no text", ""),
        item("long text", &"word \0".repeat(MemoryItem::MAX_TEXT / 6)),
        MemoryItem { namespace: longest.clone(), ..at(item(&longest, "x"), &[1.0, 2.0, 3.0, 4.0, 5.0]) },
        MemoryItem {
            vector: Some(Vector { model: HARD_TEXT.to_owned(), values: vec![1.5; Vector::MAX_DIMENSION] }),
            ..item("long vector", "x")
        },
    ]
}

/// Every field of every item, every bit of a vector.
pub async fn items_come_back_exactly_as_remembered(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let items = hard_items();
    remember(&memory, items.clone()).await;
    for expected in &items {
        let stored = all(&memory, &expected.namespace).await;
        let stored = stored.iter().find(|stored| stored.id == expected.id).expect("it was remembered");
        assert_eq!(stored, expected);
        let bits = |item: &MemoryItem| {
            let values = item.vector.as_ref().map(|vector| &vector.values);
            values.map(|values| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>())
        };
        assert_eq!(bits(stored), bits(expected), "{:?}", expected.id);
    }
    // A hit says the same of its item.
    let full = &items[0];
    let search =
        MemorySearch { namespace: full.namespace.clone(), vector: full.vector.clone(), ..by_words("a") };
    let hits = found(&memory, search).await;
    assert_eq!(hits.len(), 1);
    assert_eq!(
        (&hits[0].id, hits[0].owner, &hits[0].text, &hits[0].metadata),
        (&full.id, full.owner, &full.text, &full.metadata)
    );
}

/// Paging through a namespace shows each item once, in the order of the ids' code points.
pub async fn items_are_listed_in_pages_by_id(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let mut expected: Vec<String> = (0..150).map(|n| format!("{n}")).collect();
    expected.extend(["Z", "a", "é", "\u{ffff}", "\u{10000}", "\0", "a\0", "a b"].map(str::to_owned));
    remember(&memory, expected.iter().rev().map(|id| item(id, "x")).collect()).await;
    remember(&memory, vec![MemoryItem { namespace: "other".to_owned(), ..item("5", "x") }]).await;
    expected.sort_unstable();
    let mut seen: Vec<String> = Vec::new();
    while seen.len() <= expected.len() {
        let page = ok(memory.items(PLACE, seen.last().map(String::as_str), 40).await);
        assert!(page.len() <= 40, "a page of {}, at most 40 were asked for", page.len());
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|item| item.id));
    }
    assert_eq!(seen, expected);
    assert_eq!(ok(memory.items(PLACE, None, 0).await), []);
    assert_eq!(ok(memory.count(PLACE).await), expected.len() as u64);
}

/// A namespace is there as long as it has an item.
pub async fn namespaces_are_listed_in_pages(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let mut expected: Vec<String> = (0..25).map(|n| format!("place {n}")).collect();
    expected.extend(["\0", "é", "Z"].map(str::to_owned));
    let of = |namespace: &String| MemoryItem { namespace: namespace.clone(), ..item("id", "x") };
    remember(&memory, expected.iter().map(of).collect()).await;
    remember(&memory, expected.iter().map(|name| MemoryItem { id: "2".to_owned(), ..of(name) }).collect())
        .await;
    expected.sort_unstable();
    let first = ok(memory.namespaces(None, 10).await);
    assert_eq!(first, expected[..10]);
    assert_eq!(ok(memory.namespaces(Some(&first[9]), 100).await), expected[10..]);
    let gone = &expected[3];
    assert_eq!(ok(memory.forget(gone, &["id".to_owned()]).await), 1);
    assert!(ok(memory.namespaces(None, 100).await).contains(gone));
    assert_eq!(ok(memory.count(gone).await), 1);
    assert_eq!(ok(memory.forget(gone, &["2".to_owned()]).await), 1);
    assert!(!ok(memory.namespaces(None, 100).await).contains(gone));
    assert_eq!(ok(memory.count(gone).await), 0);
}

/// An id that is remembered again is one item, the new one: nothing of the old is found.
pub async fn remembering_again_replaces_the_whole_item(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let old = with(at(item("id", "old words"), &[1.0, 0.0]), "kind", "old");
    let other = at(item("other", "other words"), &[0.0, 1.0]);
    for _ in 0..3 {
        remember(&memory, vec![old.clone(), other.clone()]).await;
        assert_eq!(all(&memory, PLACE).await, [old.clone(), other.clone()]);
        assert_eq!(ids(&memory, by_words("old")).await, ["id"]);
        assert_eq!(ids(&memory, by_vector(&[1.0, 0.0])).await, ["id", "other"]);
    }
    let new = with(MemoryItem { owner: pid(2), ..item("id", "new words") }, "sort", 1.0);
    remember(&memory, vec![new.clone()]).await;
    assert_eq!(all(&memory, PLACE).await, [new, other.clone()]);
    assert_eq!(ids(&memory, by_words("old")).await, [""; 0]);
    assert_eq!(ids(&memory, by_words("new")).await, ["id"]);
    assert_eq!(ids(&memory, by_vector(&[1.0, 0.0])).await, ["other"]);
    remember(&memory, vec![old.clone()]).await;
    assert_eq!(all(&memory, PLACE).await, [old, other]);
    assert_eq!(ids(&memory, by_vector(&[1.0, 0.0])).await, ["id", "other"]);
}

/// Items of one call are remembered in their order.
pub async fn of_items_with_one_id_the_last_stays(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let items = (0..100).map(|n| at(item(&format!("{}", n % 3), &format!("text{n}")), &[1.0, n as f32]));
    let items: Vec<_> = items.collect();
    remember(&memory, items.clone()).await;
    assert_eq!(all(&memory, PLACE).await, [items[99].clone(), items[97].clone(), items[98].clone()]);
    assert_eq!(ids(&memory, by_words("text0 text96 text98")).await, ["2"]);
    assert_eq!(found(&memory, by_vector(&[1.0, 0.0])).await.len(), 3);
}

/// Forgotten items are neither found nor listed; their ids may be used again.
pub async fn what_is_forgotten_is_gone(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let items: Vec<_> =
        (0..200).map(|n| at(item(&format!("{n:03}"), &format!("word text{n}")), &[1.0, n as f32])).collect();
    remember(&memory, items.clone()).await;
    assert_eq!(found(&memory, MemorySearch { k: 500, ..by_words("word") }).await.len(), 200);
    let odd = items.iter().skip(1).step_by(2).map(|item| item.id.clone());
    let odd: Vec<String> = odd.chain(["missing".to_owned()]).collect();
    assert_eq!(ok(memory.forget(PLACE, &odd).await), 100);
    assert_eq!(ok(memory.forget(PLACE, &odd).await), 0);
    let even: Vec<_> = items.iter().step_by(2).cloned().collect();
    assert_eq!(all(&memory, PLACE).await, even);
    assert_eq!(found(&memory, MemorySearch { k: 500, ..by_words("word") }).await.len(), 100);
    let nearest = ids(&memory, MemorySearch { k: 500, ..by_vector(&[1.0, 0.0]) }).await;
    assert_eq!(nearest, even.iter().map(|item| item.id.clone()).collect::<Vec<_>>());
    remember(&memory, vec![items[1].clone()]).await;
    assert_eq!(ids(&memory, by_words("text1")).await, ["001"]);
    assert_eq!(ok(memory.count(PLACE).await), 101);
}

/// The same ids, words and vectors in two namespaces are two items.
pub async fn namespaces_do_not_mix(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let here = at(item("id", "word here"), &[1.0, 0.0]);
    let there = MemoryItem { namespace: "there".to_owned(), text: "word there".to_owned(), ..here.clone() };
    remember(&memory, vec![here.clone(), there.clone()]).await;
    for (namespace, expected) in [(PLACE, &here), ("there", &there)] {
        for search in [by_words("word"), by_vector(&[1.0, 0.0]), by_words("here there")] {
            let hits = found(&memory, MemorySearch { namespace: namespace.to_owned(), ..search }).await;
            assert_eq!(hits.iter().map(|hit| &hit.text).collect::<Vec<_>>(), [&expected.text]);
        }
        assert_eq!(all(&memory, namespace).await, std::slice::from_ref(expected));
    }
    assert_eq!(ok(memory.forget(PLACE, &["id".to_owned()]).await), 1);
    assert_eq!(all(&memory, "there").await, [there]);
    assert_eq!(ids(&memory, by_words("word")).await, [""; 0]);
}

/// Items, what is forgotten and the dimensions of models are there after a restart, and are found.
pub async fn what_was_remembered_is_there_after_reopening(fixture: &dyn Fixture) {
    let mut memory = fixture.open().await;
    let mut expected = Vec::new();
    for round in 0..3 {
        let items: Vec<_> = (0..50)
            .map(|n| {
                with(
                    at(item(&format!("{round} {n:02}"), &format!("round{round}")), &[1.0, n as f32]),
                    "n",
                    n as f64,
                )
            })
            .collect();
        remember(&memory, items.clone()).await;
        expected.extend(items);
        let gone = expected.remove(round * 10);
        assert_eq!(ok(memory.forget(PLACE, std::slice::from_ref(&gone.id)).await), 1);
        memory = fixture.reopen(memory).await;
        assert_eq!(all(&memory, PLACE).await, expected, "round {round}");
        assert_eq!(ids(&memory, by_words(&format!("round{round}"))).await.len(), 10);
        let nearest = found(&memory, MemorySearch { k: 500, ..by_vector(&[1.0, 0.0]) }).await;
        assert_eq!(nearest.len(), expected.len(), "round {round}");
        assert!(!nearest.iter().any(|hit| hit.id == gone.id), "round {round}");
        super::sample::invalid(memory.search(by_vector(&[1.0])).await, "another dimension");
    }
}
