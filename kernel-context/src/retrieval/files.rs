//! How well the files that pages come from fit a query: a title names the document once, at the top, and the answer stands
//! on a page that does not repeat it.

use super::clue::{Clue, Kind, rarity};
use super::segment::Segment;
use super::term::{Field, Term};
use super::view::View;

/// How far a file that holds every query term in its path or title lifts its pages.
const LIFT: f32 = 2.0;
/// The worth of a term somewhere in a file, against one in its path or title.
const BODY_EVIDENCE: f32 = 0.5;

/// By how much each file lifts its pages.
pub(super) struct Files {
    /// By number; empty if there is no file.
    lifts: Vec<f32>,
}

impl Files {
    /// The files whose path or title has `term`, by number.
    pub(super) fn named(view: &View<'_>, term: Term) -> Vec<u32> {
        let paths = view.files.iter().filter(|origin| origin.path.binary_search(&term).is_ok());
        let mut named: Vec<u32> = paths.map(|origin| origin.number).collect();
        let title = view.lists(term.within(Field::Title));
        view.each(&title, |_, segment, place, _| named.push(segment.leaves[place].origin));
        named.sort_unstable();
        named.dedup();
        named
    }

    /// Rare terms count more, those in the path or title most.
    #[expect(clippy::cast_precision_loss, reason = "only the leading digits of a count matter")]
    pub(super) fn new(view: &View<'_>, clues: &[Clue<'_>]) -> Self {
        let files = view.files.len();
        let end = view.files.iter().map(|origin| origin.number as usize + 1).max().unwrap_or_default();
        let (mut sums, mut counts, mut most) = (vec![0.0_f32; end], vec![None; end], 0.0_f32);
        view.files.iter().for_each(|origin| counts[origin.number as usize] = Some(0_u32));
        for clue in clues.iter().filter(|clue| files > 0 && clue.kind == Kind::Word) {
            let mut holders = clue.named.clone();
            view.each(&clue.lists, |_, segment, place, count| {
                let origin = segment.leaves[place].origin;
                if let Some(Some(sum)) = counts.get_mut(origin as usize) {
                    if *sum == 0 {
                        holders.push(origin);
                    }
                    *sum += u32::from(count);
                }
            });
            holders.sort_unstable();
            holders.dedup();
            let rarity = rarity(holders.len(), files);
            most += if holders.is_empty() { 0.0 } else { rarity };
            for holder in holders {
                let count = counts[holder as usize].replace(0).unwrap_or_default() as f32;
                let named = clue.named.binary_search(&holder).is_ok();
                let worth = if named { 1.0 } else { BODY_EVIDENCE * count / (count + 1.0) };
                sums[holder as usize] += rarity * worth;
            }
        }
        let most = most.max(f32::MIN_POSITIVE);
        Self { lifts: sums.into_iter().map(|sum| 1.0 + LIFT * sum / most).collect() }
    }

    /// By how much the origin of the page at `place` lifts it.
    pub(super) fn lift_at(&self, segment: &Segment, place: usize) -> f32 {
        if self.lifts.is_empty() { 1.0 } else { self.lift(segment.leaves[place].origin) }
    }

    /// By how much an origin lifts its pages.
    pub(super) fn lift(&self, origin: u32) -> f32 {
        self.lifts.get(origin as usize).copied().unwrap_or(1.0)
    }
}
