//! Lists of what was found, best first, and two of them made one.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;

/// The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, *Reciprocal Rank Fusion outperforms Condorcet
/// and individual Rank Learning Methods* (2009).
const RANK_CONSTANT: f64 = 60.0;
/// Lists that will be fused are at least this long.
const LEAST_DEPTH: usize = 100;

/// A candidate and its score.
pub(crate) type Scored<K> = (K, f64);

/// A hit before its item is looked up.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Fused<K> {
    pub(crate) key: K,
    pub(crate) score: f64,
    pub(crate) by_words: Option<u32>,
    pub(crate) by_vector: Option<u32>,
    pub(crate) similarity: Option<f32>,
}

/// How many candidates of each list are looked at for `k` hits: more than `k` if two lists are to be fused, since what
/// is in both of them may be at the head of neither.
pub(crate) fn depth(k: usize, lists: usize) -> usize {
    if lists < 2 || k == 0 { k } else { k.saturating_mul(4).max(LEAST_DEPTH) }
}

/// The best `count`, the highest score first and equal ones by id.
pub(crate) fn best<'a, K: Copy>(
    mut scored: Vec<Scored<K>>,
    count: usize,
    id: impl Fn(K) -> &'a str,
) -> Vec<Scored<K>> {
    let order = |one: &Scored<K>, other: &Scored<K>| -> Ordering {
        other.1.total_cmp(&one.1).then_with(|| id(one.0).cmp(id(other.0)))
    };
    if count < scored.len() {
        if count > 0 {
            scored.select_nth_unstable_by(count - 1, order);
        }
        scored.truncate(count);
    }
    scored.sort_unstable_by(order);
    scored
}

/// The best `k` of one list or of two, each best first as [`best`] gives them.
pub(crate) fn fuse<'a, K: Copy + Eq + Hash>(
    words: Option<Vec<Scored<K>>>,
    vector: Option<Vec<Scored<K>>>,
    k: usize,
    id: impl Fn(K) -> &'a str,
) -> Vec<Fused<K>> {
    let both = words.is_some() && vector.is_some();
    let mut found: HashMap<K, Fused<K>> = HashMap::new();
    let empty = |key| Fused { key, score: 0.0, by_words: None, by_vector: None, similarity: None };
    for (rank, (key, score)) in (1..).zip(words.into_iter().flatten()) {
        let hit = found.entry(key).or_insert_with(|| empty(key));
        hit.by_words = Some(rank);
        hit.score += if both { reciprocal(rank) } else { score };
    }
    for (rank, (key, score)) in (1..).zip(vector.into_iter().flatten()) {
        let hit = found.entry(key).or_insert_with(|| empty(key));
        hit.by_vector = Some(rank);
        #[expect(clippy::cast_possible_truncation, reason = "it was one of those before")]
        let similarity = score as f32;
        hit.similarity = Some(similarity);
        hit.score += if both { reciprocal(rank) } else { score };
    }
    let scored = found.values().map(|hit| (hit.key, hit.score)).collect();
    best(scored, k, id).into_iter().map(|(key, _)| found[&key]).collect()
}

fn reciprocal(rank: u32) -> f64 {
    1.0 / (RANK_CONSTANT + f64::from(rank))
}

#[cfg(test)]
mod tests {
    use super::{best, depth, fuse};

    const IDS: [&str; 5] = ["e", "d", "c", "b", "a"];

    fn id(key: usize) -> &'static str {
        IDS[key]
    }

    #[test]
    fn the_best_come_first_and_equal_ones_by_id() {
        let scored = vec![(0, 1.0), (1, 2.0), (2, 1.0), (3, 1.0), (4, 0.5)];
        let all = [(1, 2.0), (3, 1.0), (2, 1.0), (0, 1.0), (4, 0.5)];
        for count in 0..=6 {
            assert_eq!(best(scored.clone(), count, id), all[..count.min(5)], "{count}");
        }
    }

    #[test]
    fn two_lists_are_fused_by_their_ranks() {
        let words = vec![(0, 9.0), (1, 8.0)];
        let vector = vec![(1, 0.9), (2, 0.8)];
        let fused = fuse(Some(words), Some(vector), 9, id);
        let keys: Vec<_> = fused.iter().map(|hit| (hit.key, hit.by_words, hit.by_vector)).collect();
        assert_eq!(keys, [(1, Some(2), Some(1)), (0, Some(1), None), (2, None, Some(2))]);
        assert_eq!(fused[0].score, 1.0 / 62.0 + 1.0 / 61.0);
        assert_eq!(fused[0].similarity, Some(0.9));
        assert_eq!(fused[1].score, 1.0 / 61.0);
    }

    #[test]
    fn one_list_keeps_its_scores() {
        let fused = fuse(None, Some(vec![(1, 0.9), (2, 0.8)]), 1, id);
        assert_eq!(fused.len(), 1);
        assert_eq!((fused[0].key, fused[0].score, fused[0].by_words), (1, 0.9, None));
    }

    #[test]
    fn lists_to_be_fused_are_longer_than_the_answer() {
        assert_eq!([depth(0, 2), depth(7, 1), depth(7, 2), depth(50, 2)], [0, 7, 100, 200]);
        assert_eq!(depth(usize::MAX, 2), usize::MAX);
    }
}
