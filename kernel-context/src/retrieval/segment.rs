//! An immutable part of the index: pages in order, and for each term the pages that hold it.
//!
//! Clones of an index share their segments. A segment holds at most 65,536 pages, so that a posting takes three bytes:
//! the page's place in the segment and how often the term is on it.

use std::sync::Arc;

use kernel_types::PageNo;

use super::term::Term;
use super::vectors::Vectors;

/// The most pages in a segment.
pub(super) const MOST_PAGES: usize = 1 << 16;

/// What a page belongs to: a file, or a session of a conversation.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Origin {
    /// What the caller calls it.
    pub(super) id: u64,
    /// What this index and its clones call it: small numbers, each once.
    pub(super) number: u32,
    /// It has a path.
    pub(super) is_file: bool,
    /// The terms of its path, sorted.
    pub(super) path: Box<[Term]>,
}

/// A page of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Leaf {
    pub(super) page: PageNo,
    /// [`Origin::number`], or [`Leaf::ALONE`].
    pub(super) origin: u32,
}

impl Leaf {
    /// The origin of pages that have none.
    pub(super) const ALONE: u32 = u32::MAX;
}

/// Pages and the terms on them.
#[derive(PartialEq, Debug)]
pub(super) struct Segment {
    /// How often its pages were merged.
    pub(super) level: u8,
    pub(super) leaves: Box<[Leaf]>,
    /// Of each page, in terms of its text.
    pub(super) lengths: Box<[u16]>,
    /// Origins of the pages, by id.
    pub(super) origins: Box<[Arc<Origin>]>,
    pub(super) vectors: Box<[Vectors]>,
    /// Sorted.
    pub(super) terms: Box<[Term]>,
    /// Where the postings of each term end. A segment of one page has neither ends nor places: each term has one posting.
    pub(super) ends: Box<[u32]>,
    pub(super) places: Box<[u16]>,
    pub(super) counts: Box<[u8]>,
}

/// The pages of a segment that hold a term.
#[derive(Clone, Copy, Debug)]
pub(super) struct Postings<'a> {
    /// Places of the pages in the segment, ascending.
    pub(super) places: &'a [u16],
    /// How often the term is on each, at most 255.
    pub(super) counts: &'a [u8],
}

impl Postings<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, u8)> {
        self.places.iter().map(|place| usize::from(*place)).zip(self.counts.iter().copied())
    }

    /// How often the term is on the page at `place`.
    pub(super) fn count(&self, place: usize) -> u8 {
        let found = self.places.binary_search_by(|at| usize::from(*at).cmp(&place));
        found.ok().and_then(|at| self.counts.get(at)).copied().unwrap_or_default()
    }
}

impl Segment {
    /// A segment of one page of `length` terms. Sorts `terms`.
    pub(super) fn of_page(
        leaf: Leaf,
        length: u16,
        terms: &mut [Term],
        origin: Option<Arc<Origin>>,
        vectors: Option<Vectors>,
    ) -> Self {
        terms.sort_unstable();
        let distinct =
            terms.windows(2).filter(|pair| pair[0] != pair[1]).count() + usize::from(!terms.is_empty());
        let (mut distinct, mut counts) = (Vec::with_capacity(distinct), Vec::with_capacity(distinct));
        for run in terms.chunk_by(|a, b| a == b) {
            distinct.push(run[0]);
            counts.push(saturate(run.len()));
        }
        Self {
            level: 0,
            leaves: Box::new([leaf]),
            lengths: Box::new([length]),
            origins: origin.into_iter().collect(),
            vectors: vectors.into_iter().collect(),
            terms: distinct.into_boxed_slice(),
            ends: Box::default(),
            places: Box::default(),
            counts: counts.into_boxed_slice(),
        }
    }

    /// The pages that hold `term`.
    pub(super) fn postings(&self, term: Term) -> Option<Postings<'_>> {
        self.terms.binary_search(&term).ok().map(|at| self.list(at))
    }

    /// The postings of the term at `at` among the terms.
    pub(super) fn list(&self, at: usize) -> Postings<'_> {
        if self.ends.is_empty() {
            return Postings { places: &[0], counts: &self.counts[at..=at] };
        }
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        let range = start..self.ends[at] as usize;
        Postings { places: &self.places[range.clone()], counts: &self.counts[range] }
    }

    /// The origin that the caller knows as `id`, if a page is of it.
    pub(super) fn origin(&self, id: u64) -> Option<&Arc<Origin>> {
        self.origins.binary_search_by_key(&id, |origin| origin.id).ok().and_then(|at| self.origins.get(at))
    }

    /// What it takes in memory, its origins left out.
    pub(super) fn bytes(&self) -> usize {
        let pages = size_of_val(&*self.leaves) + size_of_val(&*self.lengths) + size_of_val(&*self.origins);
        let lists = size_of_val(&*self.terms) + size_of_val(&*self.ends);
        let postings = size_of_val(&*self.places) + size_of_val(&*self.counts);
        let vectors: usize = self.vectors.iter().map(Vectors::bytes).sum();
        size_of::<Self>() + pages + lists + postings + vectors
    }

    /// The place of a page.
    pub(super) fn place(&self, page: PageNo) -> Option<usize> {
        self.leaves.binary_search_by_key(&page, |leaf| leaf.page).ok()
    }
}

fn saturate(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}
