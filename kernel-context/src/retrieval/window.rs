//! Pages with their neighbours: an answer does not repeat the words of what it answers, and does not end at a page's border.

use super::clue::{Clues, Kind};
use super::slots::Slots;
use super::view::View;

/// The worth of a word on a neighbour in a session, against one on the page itself, by distance.
const NEAR: &[f32] = &[0.4, 0.3, 0.2, 0.1];
/// Likewise in a file, whose pages are longer and say more by themselves.
const NEAR_IN_FILE: &[f32] = &[0.2, 0.1];

/// Pages to score and the pages around them.
pub(super) struct Windows {
    /// Slots of the pages to score.
    pub(super) centres: Slots,
    /// Slots of the pages of all windows.
    all: Slots,
    /// Where each centre's window ends in `members`.
    ends: Vec<usize>,
    /// The pages of all windows, as ranks in `all`, each with the worth of a word there. A window begins with its centre.
    members: Vec<(u32, f32)>,
}

impl Windows {
    /// Windows around `best` and around their neighbours: these may be where the answer is.
    pub(super) fn new(view: &View<'_>, best: &[usize]) -> Self {
        let near = |slots: &mut dyn Iterator<Item = usize>| {
            Slots::new(view.slots, slots.flat_map(|slot| around(view, slot)).map(|(slot, _)| slot))
        };
        let centres = near(&mut best.iter().copied());
        let all = near(&mut centres.iter());
        let (mut ends, mut members) = (Vec::new(), Vec::new());
        for centre in centres.iter() {
            let window = around(view, centre);
            members.extend(window.filter_map(|(slot, worth)| Some((all.rank(slot)?, worth))));
            ends.push(members.len());
        }
        Self { centres, all, ends, members }
    }

    /// The scores of the centres: each word counts where it is worth most, once in a window; names and dates count on the
    /// page itself.
    pub(super) fn scores(&self, view: &View<'_>, clues: &Clues<'_>) -> Vec<f32> {
        let mut scores = vec![0.0; self.ends.len()];
        let mut worths = vec![0.0_f32; self.all.len()];
        for clue in clues.followed() {
            worths.fill(0.0);
            view.each(&clue.lists, |slot, segment, place, count| {
                if let Some(rank) = self.all.rank(slot) {
                    worths[rank as usize] = clues.worth(clue, segment, place, count);
                }
            });
            self.add(clue.kind, &worths, &mut scores);
        }
        for clue in clues.common() {
            for (slot, worth) in self.all.iter().zip(&mut worths) {
                let (segment, place) = view.place(slot);
                *worth = clues.worth(clue, segment, place, view.count(&clue.lists, slot));
            }
            self.add(clue.kind, &worths, &mut scores);
        }
        scores
    }

    fn add(&self, kind: Kind, worths: &[f32], scores: &mut [f32]) {
        let starts = std::iter::once(&0).chain(&self.ends);
        for ((start, end), score) in starts.zip(&self.ends).zip(scores) {
            let end = if kind == Kind::Word { *end } else { start + 1 };
            let near = self.members[*start..end].iter().map(|(rank, near)| near * worths[*rank as usize]);
            *score += near.fold(0.0, f32::max);
        }
    }
}

/// A page and its neighbours, each with the worth of a word there.
fn around(view: &View<'_>, slot: usize) -> impl Iterator<Item = (usize, f32)> {
    let near = if view.is_file(view.leaf(slot).origin) { NEAR_IN_FILE } else { NEAR };
    let side = move |after| view.beside(slot, after).zip(near.iter().copied());
    std::iter::once((slot, 1.0)).chain(side(false)).chain(side(true))
}
