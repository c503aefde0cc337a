//! Laws of searching by words. Which item comes first is each memory's to say.

use std::collections::BTreeSet;

use rand::RngExt;

use super::Fixture;
use super::sample::{by_words, found, ids, item, random, remember, sorted_ids};
use crate::MemorySearch;

/// By words exactly those are found that have one of them, each once, ranked from 1, the best score first.
pub async fn an_item_is_found_by_each_of_its_words(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let (mut random, seed) = random();
    let mut text = |most: usize| -> Vec<String> {
        let count = random.random_range(1..=most);
        (0..count).map(|_| format!("word{}", random.random_range(0..60))).collect()
    };
    let texts: Vec<_> = (0..200).map(|_| text(12)).collect();
    let items = texts.iter().enumerate().map(|(n, words)| item(&format!("{n:03}"), &words.join(" ")));
    remember(&memory, items.collect()).await;
    for _ in 0..30 {
        let asked = text(4);
        let has_one = |words: &Vec<String>| words.iter().any(|word| asked.contains(word));
        let expected = texts.iter().enumerate().filter(|(_, words)| has_one(words));
        let expected: BTreeSet<String> = expected.map(|(n, _)| format!("{n:03}")).collect();
        let hits = found(&memory, MemorySearch { k: 1000, ..by_words(&asked.join(" ")) }).await;
        let hit_ids: Vec<String> = hits.iter().map(|hit| hit.id.clone()).collect();
        assert_eq!(hit_ids.len(), expected.len(), "{seed} {asked:?}");
        assert_eq!(hit_ids.iter().cloned().collect::<BTreeSet<_>>(), expected, "{seed} {asked:?}");
        assert!(hits.is_sorted_by(|one, other| one.score >= other.score), "{seed} {asked:?}");
        for (rank, hit) in (1..).zip(&hits) {
            assert_eq!((hit.by_words, hit.by_vector, hit.similarity), (Some(rank), None, None));
        }
        // Fewer of them are the first ones, every time.
        for k in [1, 5] {
            let few = ids(&memory, MemorySearch { k, ..by_words(&asked.join(" ")) }).await;
            assert_eq!(few, hit_ids[..k.min(hit_ids.len())], "{seed} {asked:?}");
        }
    }
}

/// Words are Unicode's, whatever their case and what stands around them.
pub async fn words_are_those_of_any_script(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let items = [
        ("greek", "ΑΘΗΝΑ, η πόλη"),
        ("german", "Die Größe\0des\0Hauses"),
        ("chinese", "中文 搜索"),
        ("code", "fn main() { println!(\"x_y 3.14\"); }"),
        ("quote", "don't \u{1f600} stop"),
        ("operators", "this OR that NEAR \"those\" * -"),
    ];
    remember(&memory, items.iter().map(|(id, text)| item(id, text)).collect()).await;
    let cases = [
        ("αθηνα", vec!["greek"]),
        ("GRÖßE", vec!["german"]),
        ("des", vec!["german"]),
        ("文", vec!["chinese"]),
        ("MAIN", vec!["code"]),
        ("3.14", vec!["code"]),
        ("x_y", vec!["code"]),
        ("don't", vec!["quote"]),
        ("\"those\" AND (", vec!["operators"]),
        ("or", vec!["operators"]),
        ("haus", vec![]),
        ("stop; main?", vec!["code", "quote"]),
    ];
    for (asked, expected) in cases {
        assert_eq!(sorted_ids(&memory, by_words(asked)).await, expected, "{asked:?}");
    }
}

/// A text of signs alone has no words: it finds nothing, and that is no error.
pub async fn a_text_without_words_finds_nothing_by_words(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    remember(&memory, vec![item("signs", "?! \0 \u{1f600}"), item("words", "word"), item("none", "")]).await;
    for asked in ["?!", "\0", "\u{1f600}", "--", "*"] {
        assert_eq!(ids(&memory, by_words(asked)).await, [""; 0], "{asked:?}");
    }
    assert_eq!(ids(&memory, by_words("? word")).await, ["words"]);
}
