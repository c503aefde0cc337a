//! Pages with their neighbours: an answer does not repeat the words of what it answers, and does not end at a page's border.

use super::clue::{Clues, Kind};
use super::view::View;

/// The worth of a word on a neighbour in a session, against one on the page itself, by distance.
const NEAR: &[f32] = &[0.4, 0.3, 0.2, 0.1];
/// Likewise in a file, whose pages are longer and say more by themselves.
const NEAR_IN_FILE: &[f32] = &[0.2, 0.1];

/// Pages to score and the pages around them.
pub(super) struct Windows {
    /// Slots of the pages to score, ascending.
    pub(super) centres: Vec<usize>,
    /// Where each centre's window ends in `members`.
    ends: Vec<usize>,
    /// The pages of all windows, as places in `slots`, each with the worth of a word there. A window begins with its centre.
    members: Vec<(u32, f32)>,
    /// The pages that count, each once.
    slots: Vec<usize>,
    /// By slot: one more than its place in `slots`, or zero.
    places: Vec<u32>,
}

impl Windows {
    /// Windows around `best` and around their neighbours: these may be where the answer is.
    pub(super) fn new(view: &View<'_>, best: &[usize]) -> Self {
        let all = best.iter().flat_map(|slot| around(view, *slot));
        let mut centres: Vec<usize> = all.map(|(slot, _)| slot).collect();
        centres.sort_unstable();
        centres.dedup();
        let mut windows =
            Self { ends: Vec::new(), members: Vec::new(), slots: Vec::new(), places: vec![0; view.slots], centres };
        for at in 0..windows.centres.len() {
            for (slot, worth) in around(view, windows.centres[at]) {
                let place = windows.place(slot);
                windows.members.push((place, worth));
            }
            windows.ends.push(windows.members.len());
        }
        windows
    }

    fn place(&mut self, slot: usize) -> u32 {
        if self.places[slot] == 0 {
            self.slots.push(slot);
            self.places[slot] = u32::try_from(self.slots.len()).expect("an index has fewer than 2^32 slots");
        }
        self.places[slot] - 1
    }

    /// The scores of the centres: each word counts where it is worth most, once in a window; marks and names count on the
    /// page itself.
    pub(super) fn scores(&self, view: &View<'_>, clues: &Clues<'_>) -> Vec<f32> {
        let mut scores = vec![0.0; self.centres.len()];
        let mut worths = vec![0.0_f32; self.slots.len()];
        for clue in clues.followed() {
            worths.fill(0.0);
            view.each(&clue.lists, |slot, leaf, count| {
                if let Some(place) = self.places[slot].checked_sub(1) {
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
        let starts = std::iter::once(&0).chain(&self.ends);
        for ((start, end), score) in starts.zip(&self.ends).zip(scores) {
            let end = if kind == Kind::Word { *end } else { start + 1 };
            let near = self.members[*start..end].iter().map(|(place, near)| near * worths[*place as usize]);
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
