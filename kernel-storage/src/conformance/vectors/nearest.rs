//! Laws of searching by vector.

use std::sync::Arc;

use rand::rngs::StdRng;

use super::Fixture;
use super::sample::{
    MODES, PLACE, at, by_vector, clustered, cosine, found, ids, item, ok, random, random_values, remember,
};
use crate::{MemoryItem, MemorySearch, SearchMode, Vector, Vectors};

const DIMENSION: usize = 24;

fn name(n: usize) -> String {
    format!("{n:05}")
}

fn items(vectors: &[Vec<f32>]) -> Vec<MemoryItem> {
    vectors.iter().enumerate().map(|(n, values)| at(item(&name(n), "x"), values)).collect()
}

/// The numbers of the nearest by brute force.
fn nearest(vectors: &[Vec<f32>], asked: &[f32], k: usize) -> Vec<usize> {
    let mut all: Vec<_> = vectors.iter().enumerate().map(|(n, values)| (n, cosine(values, asked))).collect();
    all.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    all.into_iter().take(k).map(|(n, _)| n).collect()
}

/// Exactly the nearest are found, the nearest first, with the cosine of the angle and their ranks.
pub async fn the_nearest_are_those_of_brute_force(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let (mut random, seed) = random();
    for dimension in [1, 3, 31, 32, 33, 200] {
        let model = format!("model {dimension}");
        let vectors: Vec<_> = (0..300).map(|_| random_values(&mut random, dimension)).collect();
        let of = |values: &[f32]| Some(Vector { model: model.clone(), values: values.to_vec() });
        let items = vectors.iter().enumerate().map(|(n, values)| MemoryItem {
            vector: of(values),
            ..item(&format!("{dimension} {}", name(n)), "x")
        });
        remember(&memory, items.collect()).await;
        for _ in 0..5 {
            let asked = random_values(&mut random, dimension);
            let search = MemorySearch { vector: of(&asked), k: 10, ..by_vector(&asked) };
            let hits = found(&memory, search).await;
            assert_eq!(hits.len(), 10, "{seed} {dimension}");
            let expected = nearest(&vectors, &asked, 10);
            for (rank, (hit, expected)) in hits.iter().zip(&expected).enumerate() {
                let similarity = f64::from(hit.similarity.expect("it was found by its vector"));
                // Two that are as near as makes no difference may change places.
                assert!(
                    (similarity - cosine(&vectors[*expected], &asked)).abs() < 1e-5,
                    "{seed} {dimension}: {hit:?} at {rank}"
                );
                assert_eq!(hit.score, similarity, "{seed}");
                assert_eq!((hit.by_words, hit.by_vector), (None, Some(rank as u32 + 1)), "{seed}");
            }
            assert!(hits.is_sorted_by(|one, other| one.score >= other.score), "{seed}");
        }
    }
}

/// The share of the ten nearest that is found, over many searches.
async fn recall(memory: &Arc<dyn Vectors>, vectors: &[(usize, Vec<f32>)], random: &mut StdRng) -> f64 {
    let values: Vec<_> = vectors.iter().map(|(_, values)| values.clone()).collect();
    let (mut hits, mut all) = (0, 0);
    for near in 0..40 {
        let noise = random_values(random, DIMENSION);
        let centre = &values[near * 7 % values.len()];
        let asked: Vec<f32> = centre.iter().zip(noise).map(|(value, noise)| value + noise * 0.3).collect();
        let expected: Vec<_> = nearest(&values, &asked, 10).into_iter().map(|n| name(vectors[n].0)).collect();
        let search = MemorySearch { mode: SearchMode::Approximate, ..by_vector(&asked) };
        let found = ids(memory, search).await;
        assert_eq!(found.len(), expected.len(), "as many as were asked for");
        hits += found.iter().filter(|id| expected.contains(id)).count();
        all += expected.len();
    }
    hits as f64 / all as f64
}

/// Of the ten nearest of clustered vectors an index finds 95 in 100, and always ten.
pub async fn most_of_the_nearest_are_found_by_an_index(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let (mut random, seed) = random();
    let vectors = clustered(&mut random, 20, 2000, DIMENSION);
    remember(&memory, items(&vectors)).await;
    fixture.settle(&memory, PLACE).await;
    let vectors: Vec<_> = vectors.into_iter().enumerate().collect();
    let recall = recall(&memory, &vectors, &mut random).await;
    assert!(recall >= 0.95, "{seed}: recall {recall}");
}

/// What is written after an index was built is found by it, and what is forgotten is not; nor is what was replaced
/// found where it was.
pub async fn an_index_follows_what_is_written(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let (mut random, seed) = random();
    let first = clustered(&mut random, 10, 600, DIMENSION);
    remember(&memory, items(&first)).await;
    fixture.settle(&memory, PLACE).await;
    let mut vectors: Vec<_> = first.into_iter().enumerate().collect();
    for round in 0..3 {
        let gone: Vec<String> = vectors.drain(..150).map(|(n, _)| name(n)).collect();
        assert_eq!(ok(memory.forget(PLACE, &gone).await), 150);
        let next = vectors.last().map_or(0, |(n, _)| n + 1);
        let fresh = clustered(&mut random, 3, 150, DIMENSION);
        vectors.extend((next..).zip(fresh));
        // Half of them move to another place.
        for (_, values) in vectors.iter_mut().take(300) {
            values.iter_mut().for_each(|value| *value = -*value);
        }
        let written = vectors.iter().map(|(n, values)| at(item(&name(*n), "x"), values));
        remember(&memory, written.collect()).await;
        if round == 1 {
            fixture.settle(&memory, PLACE).await;
        }
        let recall = recall(&memory, &vectors, &mut random).await;
        assert!(recall >= 0.95, "{seed} round {round}: recall {recall}");
    }
}

/// A search compares with vectors of its own model only, whatever their dimensions.
pub async fn models_do_not_mix(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let of = |model: &str, values: &[f32]| Some(Vector { model: model.to_owned(), values: values.to_vec() });
    let with = |id: &str, vector| MemoryItem { vector, ..item(id, "word") };
    let items = vec![
        with("a1", of("a", &[1.0, 0.0])),
        with("a2", of("a", &[0.0, 1.0])),
        with("b1", of("b", &[1.0, 0.0])),
        with("c1", of("A", &[1.0, 0.0, 0.0])),
        with("none", None),
    ];
    remember(&memory, items).await;
    fixture.settle(&memory, PLACE).await;
    for mode in MODES {
        let cases = [
            (of("a", &[1.0, 0.1]), vec!["a1", "a2"]),
            (of("b", &[0.1, 1.0]), vec!["b1"]),
            (of("A", &[1.0, 1.0, 1.0]), vec!["c1"]),
            (of("d", &[1.0, 1.0]), vec![]),
        ];
        for (vector, expected) in cases {
            let search = MemorySearch { vector, mode, ..by_vector(&[1.0]) };
            assert_eq!(ids(&memory, search).await, expected, "{mode:?}");
        }
    }
    // One that is found by words has no rank by a vector of another model.
    let search =
        MemorySearch { vector: of("b", &[1.0, 0.0]), text: Some("word".to_owned()), ..by_vector(&[1.0]) };
    let hits = found(&memory, search).await;
    assert_eq!(hits.len(), 5);
    assert_eq!(hits.iter().filter(|hit| hit.by_vector.is_some()).count(), 1);
    // An item that changes its model leaves the other.
    remember(&memory, vec![with("a1", of("b", &[1.0, 0.0]))]).await;
    let search = |model| MemorySearch { vector: of(model, &[1.0, 0.0]), ..by_vector(&[1.0]) };
    assert_eq!(ids(&memory, search("a")).await, ["a2"]);
    assert_eq!(ids(&memory, search("b")).await, ["a1", "b1"]);
}

/// A vector and its multiples are in the same place.
pub async fn only_directions_count(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let scales = [1e-30_f32, 1.0, 1e30];
    let items =
        scales.iter().enumerate().map(|(n, scale)| at(item(&name(n), "x"), &[3.0 * scale, 4.0 * scale]));
    remember(&memory, items.chain([at(item("opposite", "x"), &[-3.0, -4.0])]).collect()).await;
    for scale in scales {
        let hits = found(&memory, by_vector(&[6.0 * scale, 8.0 * scale])).await;
        let similarities: Vec<_> = hits.iter().map(|hit| hit.similarity.unwrap_or_default()).collect();
        assert_eq!(hits.len(), 4);
        assert!(
            similarities[..3].iter().all(|similarity| (similarity - 1.0).abs() < 1e-6),
            "{similarities:?}"
        );
        assert_eq!(hits[3].id, "opposite");
        assert!((similarities[3] + 1.0).abs() < 1e-6, "{similarities:?}");
    }
}
