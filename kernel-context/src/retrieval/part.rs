//! A segment as one index sees it: without the pages that were removed from this index.

use std::sync::Arc;

use kernel_types::PageNo;

use super::segment::Segment;

/// A shared segment and the pages of it that are gone.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) segment: Arc<Segment>,
    /// Copied when it changes, if clones share it.
    gone: Option<Arc<Gone>>,
}

/// A set of places.
#[derive(Clone, Debug)]
struct Gone {
    bits: Box<[u64]>,
    count: usize,
}

impl Part {
    pub(super) fn new(segment: Segment) -> Self {
        Self { segment: Arc::new(segment), gone: None }
    }

    /// How many pages are not removed.
    pub(super) fn live(&self) -> usize {
        self.segment.leaves.len() - self.gone.as_ref().map_or(0, |gone| gone.count)
    }

    /// Whether no page was removed.
    pub(super) fn is_whole(&self) -> bool {
        self.gone.is_none()
    }

    pub(super) fn is_live(&self, place: usize) -> bool {
        self.gone.as_ref().is_none_or(|gone| gone.bits[place / 64] >> (place % 64) & 1 == 0)
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
        size_of::<Self>() + self.gone.as_ref().map_or(0, |gone| size_of::<Gone>() + size_of_val(&*gone.bits))
    }

    /// Removes the page at a place; it is live.
    pub(super) fn bury(&mut self, place: usize) {
        let words = self.segment.leaves.len().div_ceil(64);
        let gone = self.gone.get_or_insert_with(|| Arc::new(Gone { bits: vec![0; words].into(), count: 0 }));
        let gone = Arc::make_mut(gone);
        gone.bits[place / 64] |= 1 << (place % 64);
        gone.count += 1;
    }
}
