//! A law over random histories: a memory answers as the model does.
//!
//! The model is [`MemoryStore`]. Its own suite is the other laws.

use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;

use super::Fixture;
use super::sample::{
    MODEL, all, by_vector, by_words, found, item, ok, random, random_values, remember, sorted_ids, with,
};
use crate::{MemoryItem, MemorySearch, MemoryStore, Vector, Vectors};

const ROUNDS: usize = 80;

fn place(random: &mut StdRng) -> String {
    format!("place {}", random.random_range(0..3))
}

fn random_item(random: &mut StdRng) -> MemoryItem {
    let words: Vec<_> =
        (0..random.random_range(0..6)).map(|_| format!("w{}", random.random_range(0..9))).collect();
    let id = format!("{}", random.random_range(0..40));
    let vector = match random.random_range(0..3) {
        0 => None,
        1 => Some(Vector { model: MODEL.to_owned(), values: random_values(random, 5) }),
        _ => Some(Vector { model: "other".to_owned(), values: random_values(random, 3) }),
    };
    let item = MemoryItem { namespace: place(random), vector, ..item(&id, &words.join(" ")) };
    with(item, "n", f64::from(random.random_range(0..5)))
}

/// Items come and go, the memory is closed and opened: the same items, the same nearest, the same found by words.
pub async fn random_memories_agree_with_the_model(fixture: &dyn Fixture) {
    let (mut random, seed) = random();
    let model: Arc<dyn Vectors> = Arc::new(MemoryStore::new());
    let mut memory = fixture.open().await;
    for round in 0..ROUNDS {
        let at = format!("{seed} round {round}");
        match random.random_range(0..12) {
            0 => memory = fixture.reopen(memory).await,
            1..4 => {
                let namespace = place(&mut random);
                let ids: Vec<_> = (0..5).map(|_| format!("{}", random.random_range(0..40))).collect();
                let expected = ok(model.forget(&namespace, &ids).await);
                assert_eq!(ok(memory.forget(&namespace, &ids).await), expected, "{at}");
            }
            _ => {
                let items: Vec<_> =
                    (0..random.random_range(1..8)).map(|_| random_item(&mut random)).collect();
                remember(&model, items.clone()).await;
                remember(&memory, items).await;
            }
        }
        let namespace = place(&mut random);
        assert_eq!(all(&memory, &namespace).await, all(&model, &namespace).await, "{at}");
        let words = MemorySearch { namespace: namespace.clone(), k: 99, ..by_words("w1 w2") };
        assert_eq!(sorted_ids(&memory, words.clone()).await, sorted_ids(&model, words).await, "{at}");
        let nearest = MemorySearch { namespace, k: 5, ..by_vector(&random_values(&mut random, 5)) };
        let (hits, expected) = (found(&memory, nearest.clone()).await, found(&model, nearest).await);
        assert_eq!(hits.len(), expected.len(), "{at}");
        for (hit, expected) in hits.iter().zip(&expected) {
            assert!((hit.score - expected.score).abs() < 1e-5, "{at}: {hit:?} instead of {expected:?}");
        }
    }
    assert_eq!(ok(memory.namespaces(None, 9).await), ok(model.namespaces(None, 9).await), "{seed}");
}
