//! Laws of searches by words and vector at once, and of how many are found.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt;

use super::Fixture;
use super::sample::{
    MODES, PLACE, at, by_vector, by_words, found, ids, item, random, random_values, remember,
};
use crate::{MemorySearch, Vectors};

/// The ids of what is found alone, each with its rank.
async fn ranks(memory: &Arc<dyn Vectors>, search: MemorySearch) -> BTreeMap<String, u32> {
    ids(memory, search).await.into_iter().zip(1..).collect()
}

/// Searching by both gives what the two lists say, joined by the sum of 1 / (60 + rank).
pub async fn two_lists_are_fused_by_rank(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let (mut random, seed) = random();
    let mut items = Vec::new();
    for n in 0..400 {
        let count = random.random_range(1..20);
        let text: Vec<_> = (0..count).map(|_| format!("w{}", random.random_range(0..40))).collect();
        let item = item(&format!("{n:03}"), &text.join(" "));
        items.push(if n % 3 == 0 { item } else { at(item, &random_values(&mut random, 8)) });
    }
    remember(&memory, items).await;
    for k in [1, 10, 40] {
        let (text, values) = ("w1 w2 w3 w4", random_values(&mut random, 8));
        let depth = (4 * k).max(100);
        let words = ranks(&memory, MemorySearch { k: depth, ..by_words(text) }).await;
        let vector = ranks(&memory, MemorySearch { k: depth, ..by_vector(&values) }).await;
        let share = |ranks: &BTreeMap<String, u32>, id: &str| {
            ranks.get(id).map_or(0.0, |rank| 1.0 / (60.0 + f64::from(*rank)))
        };
        let mut expected: Vec<(f64, &String)> = words
            .keys()
            .chain(vector.keys().filter(|id| !words.contains_key(*id)))
            .map(|id| (share(&words, id) + share(&vector, id), id))
            .collect();
        expected.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(other.1)));
        expected.truncate(k);
        let both = MemorySearch { text: Some(text.to_owned()), k, ..by_vector(&values) };
        let hits = found(&memory, both).await;
        let hit_ids: Vec<_> = hits.iter().map(|hit| &hit.id).collect();
        assert_eq!(hit_ids, expected.iter().map(|(_, id)| *id).collect::<Vec<_>>(), "{seed} {k}");
        for (hit, (score, id)) in hits.iter().zip(expected) {
            assert!((hit.score - score).abs() < 1e-12, "{seed}: {hit:?}, expected {score}");
            assert_eq!(hit.by_words, words.get(id).copied(), "{seed}");
            assert_eq!(hit.by_vector, vector.get(id).copied(), "{seed}");
            assert_eq!(hit.similarity.is_some(), hit.by_vector.is_some(), "{seed}");
        }
    }
}

/// Where scores are equal, the lower id comes first, however late it was remembered.
pub async fn equal_scores_are_ordered_by_id(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let mut expected: Vec<String> = (0..60).map(|n| format!("{}", n * 7 % 60)).collect();
    for id in &expected {
        remember(&memory, vec![at(item(id, "same words"), &[1.0, 2.0])]).await;
    }
    expected.sort_unstable();
    fixture.settle(&memory, PLACE).await;
    for k in [3, 59, 60] {
        for mode in MODES {
            for text in [None, Some("words".to_owned())] {
                let search = MemorySearch { text, mode, k, ..by_vector(&[2.0, 1.0]) };
                // An index may find others of those that are equally near, but not in another order.
                let found = ids(&memory, search).await;
                assert!(found.is_sorted() && found.len() == k, "{mode:?} {found:?}");
                assert!(mode != crate::SearchMode::Exact || found == expected[..k], "{found:?}");
            }
        }
        assert_eq!(ids(&memory, MemorySearch { k, ..by_words("words") }).await, expected[..k]);
    }
}

/// None for none, all for more than there are.
pub async fn as_many_are_found_as_were_asked_for(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let items = (0..30).map(|n| at(item(&format!("{n}"), "word"), &[1.0, n as f32]));
    remember(&memory, items.collect()).await;
    fixture.settle(&memory, PLACE).await;
    for (k, expected) in [(0, 0), (1, 1), (29, 29), (30, 30), (31, 30), (usize::MAX, 30)] {
        for mode in MODES {
            let vector = MemorySearch { k, mode, ..by_vector(&[1.0, 1.0]) };
            let both = MemorySearch { text: Some("word".to_owned()), ..vector.clone() };
            for search in [vector, both, MemorySearch { k, mode, ..by_words("word") }] {
                assert_eq!(ids(&memory, search.clone()).await.len(), expected, "{search:?}");
            }
        }
    }
}
