//! An index as one query sees it: every page by its slot, whatever segment it is in.

use super::index::Index;
use super::part::Part;
use super::segment::{Leaf, Origin, Postings, Segment};
use super::term::Term;

/// How many pages to look at for a neighbour: others may stand in between.
const REACH: usize = 64;

/// All pages in their order. A page's slot is its place in it, removed pages counted.
pub(super) struct View<'a> {
    parts: &'a [Part],
    /// The slot of each part's first page.
    bases: Vec<usize>,
    pub(super) slots: usize,
    /// Files that have a page, each once.
    pub(super) files: Vec<&'a Origin>,
}

/// The pages that hold a term.
pub(super) struct Lists<'a> {
    /// By part, ascending.
    lists: Vec<(usize, Postings<'a>)>,
    /// How many pages, removed ones left out.
    pub(super) live: usize,
}

impl<'a> Lists<'a> {
    /// The pages of one part.
    pub(super) fn of_part(&self, part: usize) -> Option<Postings<'a>> {
        let found = self.lists.binary_search_by_key(&part, |(at, _)| *at).ok();
        found.and_then(|at| self.lists.get(at)).map(|(_, postings)| *postings)
    }
}

impl<'a> View<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        let mut slots = 0;
        let base = |part: &Part| {
            let base = slots;
            slots += part.segment.leaves.len();
            base
        };
        let bases = index.parts.iter().map(base).collect();
        Self { parts: &index.parts, bases, slots, files: files(&index.parts) }
    }

    /// The pages that hold `term`.
    pub(super) fn lists(&self, term: Term) -> Lists<'a> {
        let parts = self.parts.iter().enumerate();
        let lists: Vec<(usize, Postings<'a>)> =
            parts.filter_map(|(at, part)| Some((at, part.segment.postings(term)?))).collect();
        let live = |(at, postings): &(usize, Postings<'_>)| {
            let part = &self.parts[*at];
            if part.is_whole() {
                return postings.places.len();
            }
            postings.places.iter().filter(|place| part.is_live(usize::from(**place))).count()
        };
        Lists { live: lists.iter().map(live).sum(), lists }
    }

    /// Calls `sink` with the slot of each page that holds the term, its segment, its place there, and how often the term is
    /// on it.
    pub(super) fn each(&self, lists: &Lists<'_>, mut sink: impl FnMut(usize, &Segment, usize, u8)) {
        for (at, postings) in &lists.lists {
            let (part, base) = (&self.parts[*at], self.bases[*at]);
            let whole = part.is_whole();
            for (place, count) in postings.iter() {
                if whole || part.is_live(place) {
                    sink(base + place, &part.segment, place, count);
                }
            }
        }
    }

    /// How often the term is on a page.
    pub(super) fn count(&self, lists: &Lists<'_>, slot: usize) -> u8 {
        let (part, place) = self.locate(slot);
        lists.of_part(part).map_or(0, |postings| postings.count(place))
    }

    /// Whether an origin is a file.
    pub(super) fn is_file(&self, origin: u32) -> bool {
        self.files.binary_search_by_key(&origin, |file| file.number).is_ok()
    }

    pub(super) fn leaf(&self, slot: usize) -> &'a Leaf {
        let (part, place) = self.locate(slot);
        &self.parts[part].segment.leaves[place]
    }

    /// The parts, each with the slot of its first page.
    pub(super) fn parts(&self) -> impl Iterator<Item = (usize, &'a Part)> {
        self.bases.iter().copied().zip(self.parts)
    }

    /// The segment of a page and its place there.
    pub(super) fn place(&self, slot: usize) -> (&'a Segment, usize) {
        let (part, place) = self.locate(slot);
        (&self.parts[part].segment, place)
    }

    fn locate(&self, slot: usize) -> (usize, usize) {
        let part = self.bases.partition_point(|base| *base <= slot) - 1;
        (part, slot - self.bases[part])
    }

    /// The slots of the pages of the same origin after a page or before it, nearest first.
    pub(super) fn beside(&self, slot: usize, after: bool) -> impl Iterator<Item = usize> {
        let mut at = self.locate(slot);
        let origin = self.parts[at.0].segment.leaves[at.1].origin;
        let mut reach = if origin == Leaf::ALONE { 0 } else { REACH };
        std::iter::from_fn(move || {
            while reach > 0 {
                at = if after { self.next(at) } else { self.previous(at) }?;
                let part = &self.parts[at.0];
                if part.is_live(at.1) {
                    reach -= 1;
                    if part.segment.leaves[at.1].origin == origin {
                        return Some(self.bases[at.0] + at.1);
                    }
                }
            }
            None
        })
    }

    fn next(&self, (part, place): (usize, usize)) -> Option<(usize, usize)> {
        if place + 1 < self.parts[part].segment.leaves.len() {
            return Some((part, place + 1));
        }
        (part + 1 < self.parts.len()).then_some((part + 1, 0))
    }

    fn previous(&self, (part, place): (usize, usize)) -> Option<(usize, usize)> {
        if let Some(place) = place.checked_sub(1) {
            return Some((part, place));
        }
        let part = part.checked_sub(1)?;
        Some((part, self.parts[part].segment.leaves.len() - 1))
    }
}

/// The files that have a page.
fn files(parts: &[Part]) -> Vec<&Origin> {
    let mut files: Vec<&Origin> = Vec::new();
    for part in parts {
        let known = part.segment.origins.iter().map(|origin| &**origin).filter(|origin| origin.is_file);
        if part.is_whole() {
            files.extend(known);
        } else {
            let live = part.origins();
            files.extend(known.filter(|origin| live.binary_search(&origin.number).is_ok()));
        }
    }
    files.sort_unstable_by_key(|origin| origin.number);
    files.dedup_by_key(|origin| origin.number);
    files
}
