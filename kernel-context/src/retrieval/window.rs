//! Pages with their neighbours: an answer does not repeat the words of what it answers, and does not end at a page's border.

use super::clue::{Clues, Kind};
use super::view::View;

/// The worth of a word on a neighbour, against one on the page itself, by distance.
const NEAR: [f32; 4] = [0.4, 0.3, 0.2, 0.1];

/// Pages to score and the pages around them.
pub(super) struct Windows {
    /// Slots of the pages to score, ascending.
    pub(super) centres: Vec<usize>,
    /// Slots of all pages that count, ascending.
    slots: Vec<usize>,
    /// For each centre, places in `slots` of the pages of its window, each with the worth of a word there.
    windows: Vec<Vec<(u32, f32)>>,
}

impl Windows {
    /// Windows around `best` and around their neighbours: these may be where the answer is.
    pub(super) fn new(view: &View<'_>, best: &[usize]) -> Self {
        let mut centres: Vec<usize> = best.iter().flat_map(|slot| around(view, *slot)).map(|(slot, _)| slot).collect();
        centres.sort_unstable();
        centres.dedup();
        let windows: Vec<Vec<(usize, f32)>> = centres.iter().map(|slot| around(view, *slot).collect()).collect();
        let mut slots: Vec<usize> = windows.iter().flatten().map(|(slot, _)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let place = |slot: usize| slots.binary_search(&slot).expect("every window's pages are in the list") as u32;
        let windows = windows.iter().map(|window| window.iter().map(|(slot, worth)| (place(*slot), *worth)).collect());
        Self { windows: windows.collect(), slots, centres }
    }

    /// The scores of the centres: each word counts where it is worth most, once in a window; marks and names count on the
    /// page itself.
    pub(super) fn scores(&self, view: &View<'_>, clues: &Clues<'_>) -> Vec<f32> {
        let mut places = vec![0_u32; view.slots];
        for (slot, place) in self.slots.iter().zip(1..) {
            places[*slot] = place;
        }
        let mut scores = vec![0.0; self.centres.len()];
        let mut worths = vec![0.0_f32; self.slots.len()];
        for clue in clues.followed() {
            worths.fill(0.0);
            view.each(&clue.lists, |slot, leaf, count| {
                if let Some(place) = places[slot].checked_sub(1) {
                    worths[place as usize] = clues.worth(clue, leaf, count);
                }
            });
            self.add(clue.kind, &worths, &mut scores);
        }
        for clue in clues.common() {
            for (slot, worth) in self.slots.iter().zip(&mut worths) {
                *worth = clues.worth(clue, view.leaf(*slot), view.count(&clue.lists, *slot));
            }
            self.add(clue.kind, &worths, &mut scores);
        }
        scores
    }

    fn add(&self, kind: Kind, worths: &[f32], scores: &mut [f32]) {
        let reach = if kind == Kind::Word { usize::MAX } else { 1 };
        for (window, score) in self.windows.iter().zip(scores) {
            let worths = window.iter().take(reach).map(|(place, near)| near * worths[*place as usize]);
            *score += worths.fold(0.0, f32::max);
        }
    }
}

/// A page and its neighbours, each with the worth of a word there.
fn around(view: &View<'_>, slot: usize) -> impl Iterator<Item = (usize, f32)> {
    let before = view.before(slot).zip(NEAR);
    std::iter::once((slot, 1.0)).chain(before).chain(view.after(slot).zip(NEAR))
}
