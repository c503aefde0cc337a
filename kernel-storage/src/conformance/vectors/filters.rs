//! Laws of filters.

use rand::RngExt;
use rand::rngs::StdRng;

use super::Fixture;
use super::sample::{
    MODES, PLACE, at, by_vector, by_words, ids, item, random, random_values, remember, sorted_ids, with,
};
use crate::{Filter, MemoryItem, MemorySearch, Scalar};

/// A value of any kind, out of few.
fn value(random: &mut StdRng) -> Scalar {
    match random.random_range(0..3) {
        0 => Scalar::Number(f64::from(random.random_range(-3..4)) / 2.0),
        1 => Scalar::Text(["", "a", "b", "é", "a\0b", "1"][random.random_range(0..6)].to_owned()),
        _ => Scalar::Flag(random.random_range(0..2) == 0),
    }
}

fn field(random: &mut StdRng) -> String {
    ["a", "b", "c", "d\"'\0.$", "missing"][random.random_range(0..5)].to_owned()
}

/// A condition of any kind, with at most so many others in each other.
fn filter(random: &mut StdRng, depth: usize) -> Filter {
    let kinds = if depth == 0 { 3 } else { 6 };
    let inner = |random: &mut StdRng| {
        let count = random.random_range(0..4);
        (0..count).map(|_| filter(random, depth - 1)).collect()
    };
    let end = |random: &mut StdRng| (random.random_range(0..3) > 0).then(|| value(random));
    match random.random_range(0..kinds) {
        0 => Filter::Equals { field: field(random), value: value(random) },
        1 => {
            let count = random.random_range(0..4);
            Filter::OneOf { field: field(random), values: (0..count).map(|_| value(random)).collect() }
        }
        2 => Filter::Range { field: field(random), min: end(random), max: end(random) },
        3 => Filter::All(inner(random)),
        4 => Filter::Any(inner(random)),
        _ => Filter::Not(Box::new(filter(random, depth - 1))),
    }
}

/// Exactly what fits by [`Filter::fits`] is found, by words, by vector and by both, in every mode.
pub async fn filters_agree_with_the_oracle(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let (mut random, seed) = random();
    let mut items = Vec::new();
    for n in 0..150 {
        let mut item = at(item(&format!("{n:03}"), "word"), &random_values(&mut random, 4));
        for _ in 0..random.random_range(0..4) {
            item = with(item, &field(&mut random), value(&mut random));
        }
        item.metadata.remove("missing");
        items.push(item);
    }
    remember(&memory, items.clone()).await;
    fixture.settle(&memory, PLACE).await;
    for _ in 0..150 {
        let filter = filter(&mut random, 3);
        let fits = |item: &&MemoryItem| filter.fits(&|field| item.metadata.get(field));
        let expected: Vec<_> = items.iter().filter(fits).map(|item| item.id.clone()).collect();
        for search in [
            by_words("word"),
            MemorySearch { mode: MODES[random.random_range(0..3)], ..by_vector(&[1.0, 2.0, 3.0, 4.0]) },
            MemorySearch { text: Some("word".to_owned()), ..by_vector(&[1.0, 2.0, 3.0, 4.0]) },
        ] {
            let search = MemorySearch { filter: Some(filter.clone()), k: 200, ..search };
            assert_eq!(sorted_ids(&memory, search).await, expected, "{seed} {filter:?}");
        }
    }
}

/// When one in a hundred fits, all of those are found that were asked for, the nearest ones, in every mode.
pub async fn a_narrow_filter_finds_all_there_is(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let (mut random, seed) = random();
    let vectors = super::sample::clustered(&mut random, 10, 1000, 16);
    let items = vectors
        .iter()
        .enumerate()
        .map(|(n, values)| with(at(item(&format!("{n:04}"), "word"), values), "hundredth", (n % 100) as f64));
    remember(&memory, items.collect()).await;
    fixture.settle(&memory, PLACE).await;
    let filter = Filter::Equals { field: "hundredth".to_owned(), value: Scalar::Number(42.0) };
    // The vector asked for is far from what fits: an index finds none of that nearby.
    for asked in [&vectors[0], &vectors[42]] {
        let mut expected: Vec<usize> = (42..1000).step_by(100).collect();
        let near = |n: &usize| super::sample::cosine(&vectors[*n], asked);
        expected.sort_by(|one, other| near(other).total_cmp(&near(one)));
        let expected: Vec<String> = expected.iter().map(|n| format!("{n:04}")).collect();
        for mode in MODES {
            for k in [1, 7, 10, 11] {
                let search = MemorySearch { filter: Some(filter.clone()), mode, k, ..by_vector(asked) };
                let found = ids(&memory, search).await;
                assert_eq!(found, expected[..k.min(10)], "{seed} {mode:?} {k}");
            }
        }
    }
}
