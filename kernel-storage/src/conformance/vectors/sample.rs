//! Items, vectors and searches for the laws.

use std::sync::Arc;

use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};

pub(super) use crate::conformance::sample::{HARD_TEXT, ok, pid};
use crate::{
    MemoryHit, MemoryItem, MemorySearch, Metadata, Scalar, SearchMode, StoreErrorKind, Vector, Vectors,
};

/// Where most laws keep their items.
pub(super) const PLACE: &str = "place";
pub(super) const MODEL: &str = "model";
pub(super) const MODES: [SearchMode; 3] = [SearchMode::Exact, SearchMode::Approximate, SearchMode::Auto];

/// An item without metadata and vector.
pub(super) fn item(id: &str, text: &str) -> MemoryItem {
    MemoryItem {
        namespace: PLACE.to_owned(),
        id: id.to_owned(),
        owner: pid(1),
        text: text.to_owned(),
        metadata: Metadata::new(),
        vector: None,
    }
}

/// The same item with a vector of [`MODEL`].
pub(super) fn at(item: MemoryItem, values: &[f32]) -> MemoryItem {
    MemoryItem { vector: Some(vector(values)), ..item }
}

/// The same item with one more field.
pub(super) fn with(mut item: MemoryItem, field: &str, value: impl Into<Scalar>) -> MemoryItem {
    item.metadata.insert(field.to_owned(), value.into());
    item
}

pub(super) fn vector(values: &[f32]) -> Vector {
    Vector { model: MODEL.to_owned(), values: values.to_vec() }
}

/// A search for nothing in particular, of ten items, exact.
fn nothing() -> MemorySearch {
    MemorySearch {
        namespace: PLACE.to_owned(),
        filter: None,
        text: None,
        vector: None,
        k: 10,
        mode: SearchMode::Exact,
    }
}

pub(super) fn by_words(text: &str) -> MemorySearch {
    MemorySearch { text: Some(text.to_owned()), ..nothing() }
}

pub(super) fn by_vector(values: &[f32]) -> MemorySearch {
    MemorySearch { vector: Some(vector(values)), ..nothing() }
}

pub(super) async fn remember(memory: &Arc<dyn Vectors>, items: Vec<MemoryItem>) {
    ok(memory.remember(items).await);
}

pub(super) async fn found(memory: &Arc<dyn Vectors>, search: MemorySearch) -> Vec<MemoryHit> {
    ok(memory.search(search).await)
}

/// The ids of what is found, the best first.
pub(super) async fn ids(memory: &Arc<dyn Vectors>, search: MemorySearch) -> Vec<String> {
    found(memory, search).await.into_iter().map(|hit| hit.id).collect()
}

/// The ids of what is found, in their own order.
pub(super) async fn sorted_ids(memory: &Arc<dyn Vectors>, search: MemorySearch) -> Vec<String> {
    let mut ids = ids(memory, search).await;
    ids.sort_unstable();
    ids
}

pub(super) async fn all(memory: &Arc<dyn Vectors>, namespace: &str) -> Vec<MemoryItem> {
    ok(memory.items(namespace, None, usize::MAX).await)
}

/// A call that must be refused as impossible.
pub(super) fn invalid<T: std::fmt::Debug>(result: Result<T, crate::StoreError>, what: &str) {
    let error = result.expect_err(what);
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{what}: {error}");
}

/// Randomness whose seed is in the message of a failure; `AGENTOS_SEED` repeats it.
pub(super) fn random() -> (StdRng, String) {
    let seed = std::env::var("AGENTOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed =
        seed.unwrap_or_else(|| SysRng.try_next_u64().expect("a machine that runs tests has randomness"));
    (StdRng::seed_from_u64(seed), format!("AGENTOS_SEED={seed}"))
}

pub(super) fn random_values(random: &mut StdRng, dimension: usize) -> Vec<f32> {
    (0..dimension).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// Vectors in clusters, as embeddings of texts on a few subjects are.
pub(super) fn clustered(
    random: &mut StdRng,
    clusters: usize,
    count: usize,
    dimension: usize,
) -> Vec<Vec<f32>> {
    let centres: Vec<_> = (0..clusters).map(|_| random_values(random, dimension)).collect();
    let near = |_| {
        let centre = &centres[random.random_range(0..clusters)];
        centre.iter().map(|value| value + random.random_range(-0.5..0.5)).collect()
    };
    (0..count).map(near).collect()
}

/// The cosine of the angle between two vectors, counted with twice the digits.
pub(super) fn cosine(one: &[f32], other: &[f32]) -> f64 {
    let dot = |one: &[f32], other: &[f32]| -> f64 {
        one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
    };
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}
