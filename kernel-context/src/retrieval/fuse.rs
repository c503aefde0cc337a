//! One ranking of two: by words and by vectors.

use std::collections::BTreeMap;

use kernel_types::PageNo;

use super::embedding::Embedding;
use super::query::Hit;
use super::search::WEIGHTS;

use super::view::View;

pub(super) fn fuse(view: &View<'_>, words: Vec<Hit>, query: &Embedding, limit: usize) -> Vec<Hit> {
    let w = WEIGHTS.get();
    let mut cosines: Vec<(f32, usize)> = Vec::new();
    for (base, part) in view.parts() {
        for vectors in &part.segment.vectors {
            let live = vectors.cosines(query).filter(|(place, _)| part.is_live(*place));
            cosines.extend(live.map(|(place, cosine)| (cosine, base + place)));
        }
    }
    let by_slot: BTreeMap<usize, f32> = cosines.iter().map(|(c, s)| (*s, *c)).collect();
    let mut near: Vec<(f32, usize)> = cosines.iter().map(|(c, slot)| {
        let side = |slots: &mut dyn Iterator<Item = usize>| slots.zip([w.near, w.far]).map(|(s, f)| f * by_slot.get(&s).copied().unwrap_or(0.0)).sum::<f32>();
        (c + w.prf * (side(&mut view.before(*slot)) + side(&mut view.after(*slot))), *slot)
    }).collect();
    let _ = limit;
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut fused: BTreeMap<PageNo, f32> = BTreeMap::new();
    for (rank, hit) in (1_u16..).zip(&words) {
        *fused.entry(hit.page).or_default() += 1.0 / (w.rrf + f32::from(rank));
    }
    for (rank, (_, slot)) in (1_u16..).zip(&near) {
        *fused.entry(view.leaf(*slot).page).or_default() += w.vector / (w.rrf + f32::from(rank));
    }
    let mut hits: Vec<Hit> = fused.into_iter().map(|(page, score)| Hit { page, score }).collect();
    hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.page.cmp(&b.page)));
    hits
}
