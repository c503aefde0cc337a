//! How well the files that pages come from fit a query.

use super::search::{Clue, Kind, Weights, rarity};
use super::segment::Leaf;
use super::term::{Field, Term};
use super::view::View;

/// The evidence for each origin, by number.
pub(super) struct Files {
    lifts: Vec<f32>,
    file: Vec<bool>,
}

/// The live files whose path or title has `term`, by number.
pub(super) fn named(view: &View<'_>, term: Term) -> Vec<u32> {
    let mut named = Vec::new();
    for (_, part) in view.parts() {
        for origin in &part.segment.origins {
            if origin.path.binary_search(&term).is_ok() && part.has(origin.number) {
                named.push(origin.number);
            }
        }
    }
    let title = view.lists(term.within(Field::Title));
    view.each(&title, |_, leaf, _| named.push(leaf.origin));
    named.sort_unstable();
    named.dedup();
    named
}

impl Files {
    pub(super) fn new(view: &View<'_>, origins: u32, clues: &[Clue<'_>], w: &Weights) -> Self {
        let mut file = vec![false; origins as usize];
        let mut live = vec![false; origins as usize];
        for (_, part) in view.parts() {
            for origin in &part.segment.origins {
                file[origin.number as usize] = !origin.path.is_empty();
                live[origin.number as usize] |= part.has(origin.number);
            }
        }
        let count = live.iter().filter(|live| **live).count();
        let mut sums = vec![0.0_f32; origins as usize];
        let mut counts = vec![0_u32; origins as usize];
        let mut most = 0.0_f32;
        for clue in clues.iter().filter(|clue| clue.kind == Kind::Text) {
            let mut holders = clue.named.clone();
            view.each(&clue.lists, |_, leaf, count| {
                if let Some(sum) = counts.get_mut(leaf.origin as usize) {
                    if *sum == 0 { holders.push(leaf.origin); }
                    *sum += u32::from(count);
                }
            });
            holders.sort_unstable();
            holders.dedup();
            if holders.is_empty() { continue; }
            let rarity = rarity(holders.len(), count);
            most += rarity;
            for holder in holders {
                let count = std::mem::take(&mut counts[holder as usize]) as f32;
                let named = clue.named.binary_search(&holder).is_ok();
                sums[holder as usize] += rarity * if named { 1.0 } else { w.body_evidence * count / (count + 1.0) };
            }
        }
        let lifts = sums.iter().zip(&file).map(|(sum, file)| 1.0 + if *file { w.file_lift } else { w.session_lift } * sum / most.max(f32::MIN_POSITIVE)).collect();
        Self { lifts, file }
    }

    pub(super) fn lift(&self, origin: u32) -> f32 {
        self.lifts.get(origin as usize).copied().unwrap_or(1.0)
    }

    pub(super) fn is_file(&self, origin: u32) -> bool {
        origin != Leaf::ALONE && self.file.get(origin as usize).copied().unwrap_or_default()
    }
}
