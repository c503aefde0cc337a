//! A segment as one index sees it: without the pages that were removed from this index, with the vectors that came later.

use std::sync::Arc;

use kernel_types::PageNo;

use super::embedding::Embedding;
use super::segment::Segment;
use super::vectors::Late;

/// A shared segment and what became of its pages since.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    /// Copied when it changes, if clones share it.
    since: Option<Arc<Since>>,
}

#[derive(Clone, Debug, Default)]
struct Since {
    /// The places of pages that are gone; empty if none is.
    gone: Box<[u64]>,
    /// How many those are.
    count: usize,
    late: Late,
}

impl Part {
    pub(super) fn new(segment: Segment) -> Self {
        Self { segment: Arc::new(segment), since: None }
    }

    /// How many pages are not removed.
    pub(super) fn live(&self) -> usize {
        self.segment.leaves.len() - self.since.as_ref().map_or(0, |since| since.count)
    }

    /// Whether no page was removed.
    pub(super) fn is_whole(&self) -> bool {
        self.since.as_ref().is_none_or(|since| since.count == 0)
    }

    pub(super) fn is_live(&self, place: usize) -> bool {
        let words = self.since.as_ref().map_or(&[][..], |since| &since.gone);
        words.get(place / 64).is_none_or(|word| word >> (place % 64) & 1 == 0)
    }

    /// The number of the last page, removed or not.
    pub(super) fn last(&self) -> PageNo {
        self.segment.leaves.last().map_or(PageNo(0), |leaf| leaf.page)
    }

    /// The place of a page that is not removed.
    pub(super) fn place(&self, page: PageNo) -> Option<usize> {
        self.segment.place(page).filter(|place| self.is_live(*place))
    }

    /// The numbers of the origins of pages that are not removed, ascending.
    pub(super) fn origins(&self) -> Vec<u32> {
        let live = self.segment.leaves.iter().enumerate().filter(|(place, _)| self.is_live(*place));
        let mut origins: Vec<u32> = live.map(|(_, leaf)| leaf.origin).collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    /// What it takes in memory beside the segment.
    pub(super) fn bytes(&self) -> usize {
        let late = |late: &Late| -> usize {
            late.values().map(|vector| size_of::<(u16, Embedding)>() + vector.values().len()).sum()
        };
        let since = |since: &Arc<Since>| size_of::<Since>() + size_of_val(&*since.gone) + late(&since.late);
        size_of::<Self>() + self.since.as_ref().map_or(0, since)
    }

    /// Vectors that came later, if any.
    pub(super) fn late(&self) -> Option<&Late> {
        self.since.as_ref().map(|since| &since.late)
    }

    /// Gives the page at a place a vector in place of what it has.
    pub(super) fn embed(&mut self, place: usize, embedding: Embedding) {
        let place = u16::try_from(place).expect("a place in a segment has 16 bits");
        Arc::make_mut(self.since.get_or_insert_default()).late.insert(place, embedding);
    }

    /// The cosine of each page's vector with `query`, removed pages left out.
    pub(super) fn cosines(&self, query: &Embedding) -> impl Iterator<Item = (usize, f32)> {
        let is_late = |place: usize| {
            self.late().is_some_and(|late| u16::try_from(place).is_ok_and(|place| late.contains_key(&place)))
        };
        let stored = self.segment.vectors.iter().flat_map(|vectors| vectors.cosines(query));
        let late = self.late().into_iter().flatten();
        let late = late.filter_map(|(place, own)| Some((usize::from(*place), own.cosine(query)?)));
        stored
            .filter(move |(place, _)| !is_late(*place))
            .chain(late)
            .filter(|(place, _)| self.is_live(*place))
    }

    /// Removes the page at a place; it is live.
    pub(super) fn bury(&mut self, place: usize) {
        let words = self.segment.leaves.len().div_ceil(64);
        let since = Arc::make_mut(self.since.get_or_insert_default());
        if since.gone.is_empty() {
            since.gone = vec![0; words].into();
        }
        since.gone[place / 64] |= 1 << (place % 64);
        since.count += 1;
    }
}
