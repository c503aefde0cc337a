//! One ranking of two: by words and by vectors.

use std::collections::BTreeMap;

use kernel_types::PageNo;

use super::embedding::Embedding;
use super::query::Hit;
use super::search::sort;
use super::top::Top;
use super::view::View;

/// How much less the first places count than their order says (Cormack, Clarke and Büttcher, *Reciprocal Rank Fusion
/// outperforms Condorcet and individual Rank Learning Methods*, 2009).
const SMOOTHING: f32 = 60.0;
/// The worth of a place by vectors, against one by words.
const VECTOR_WORTH: f32 = 0.5;

/// The pages whose vectors are nearest to a query's, nearest first: every vector of its model is looked at,
/// and those that point away are left out.
pub(super) fn by_vector(view: &View<'_>, query: &Embedding, count: usize) -> Vec<Hit> {
    let mut top = Top::new(count);
    for (base, part) in view.parts() {
        let near = part.cosines(query).filter(|(_, cosine)| *cosine > 0.0);
        near.for_each(|(place, cosine)| top.offer(cosine, base + place));
    }
    let best = top.into_vec().into_iter();
    let mut hits: Vec<Hit> = best.map(|(score, slot)| Hit { page: view.leaf(slot).page, score }).collect();
    sort(&mut hits);
    hits
}

/// Both rankings in one, by reciprocal ranks.
pub(super) fn fuse(words: &[Hit], vectors: &[Hit]) -> Vec<Hit> {
    let mut fused: BTreeMap<PageNo, f32> = BTreeMap::new();
    for (hits, worth) in [(words, 1.0), (vectors, VECTOR_WORTH)] {
        for (place, hit) in hits.iter().enumerate() {
            let rank = u16::try_from(place + 1).unwrap_or(u16::MAX);
            *fused.entry(hit.page).or_default() += worth / (SMOOTHING + f32::from(rank));
        }
    }
    let mut hits: Vec<Hit> = fused.into_iter().map(|(page, score)| Hit { page, score }).collect();
    sort(&mut hits);
    hits
}
