//! An immutable part of the index: pages in order, and for each term the pages that hold it.
//!
//! Clones of an index share their segments. A segment holds at most 65,536 pages, so that a posting takes three bytes:
//! the page's place in the segment and how often the term is on it.

use std::sync::Arc;

use kernel_types::PageNo;

use super::embedding::Vectors;
use super::term::Term;

/// The most pages in a segment.
pub(super) const MOST_PAGES: usize = 1 << 16;

/// What a page belongs to: a file, or a session of a conversation.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Origin {
    /// What the caller calls it.
    pub(super) id: u64,
    /// What this index and its clones call it: small numbers, each once.
    pub(super) number: u32,
    /// The terms of its path, sorted.
    pub(super) path: Box<[Term]>,
}

/// A page of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Leaf {
    pub(super) page: PageNo,
    /// In terms of its text.
    pub(super) length: u32,
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
    /// Origins of the pages, by id.
    pub(super) origins: Box<[Arc<Origin>]>,
    pub(super) vectors: Box<[Vectors]>,
    /// Sorted.
    terms: Box<[Term]>,
    /// Where the postings of each term end. A segment of one page has neither ends nor places: each term has one posting.
    ends: Box<[u32]>,
    places: Box<[u16]>,
    counts: Box<[u8]>,
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
    /// A segment of one page. Sorts `terms`.
    pub(super) fn of_page(
        leaf: Leaf,
        terms: &mut [Term],
        origin: Option<Arc<Origin>>,
        vectors: Option<Vectors>,
    ) -> Self {
        terms.sort_unstable();
        let distinct = terms.windows(2).filter(|pair| pair[0] != pair[1]).count() + usize::from(!terms.is_empty());
        let (mut distinct, mut counts) = (Vec::with_capacity(distinct), Vec::with_capacity(distinct));
        for run in terms.chunk_by(|a, b| a == b) {
            distinct.push(run[0]);
            counts.push(saturate(run.len()));
        }
        Self {
            level: 0,
            leaves: Box::new([leaf]),
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

    /// The postings of the term at `at`.
    fn list(&self, at: usize) -> Postings<'_> {
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

    /// The place of a page.
    pub(super) fn place(&self, page: PageNo) -> Option<usize> {
        self.leaves.binary_search_by_key(&page, |leaf| leaf.page).ok()
    }

    /// One segment of the pages of several, in order, those that `keep` refuses left out; it is asked with the number of
    /// the segment and the place in it.
    pub(super) fn merged(segments: &[&Self], keep: impl Fn(usize, usize) -> bool) -> Self {
        let level = segments.iter().map(|segment| segment.level).max().unwrap_or_default();
        let moves = Moves::new(segments, keep);
        let leaves = segments.iter().enumerate().flat_map(|(number, segment)| {
            let kept = segment.leaves.iter().zip(&moves.places[number]);
            kept.filter(|(_, place)| place.is_some()).map(|(leaf, _)| *leaf)
        });
        let leaves: Box<[Leaf]> = leaves.collect();
        let mut merged = Self { level, origins: origins(segments, &leaves), leaves, ..Self::empty() };
        merged.vectors = Vectors::merged(segments, &moves.places);
        merged.fill(segments, &moves);
        merged
    }

    fn empty() -> Self {
        Self {
            level: 0,
            leaves: Box::default(),
            origins: Box::default(),
            vectors: Box::default(),
            terms: Box::default(),
            ends: Box::default(),
            places: Box::default(),
            counts: Box::default(),
        }
    }

    /// Takes over the postings of `segments`.
    fn fill(&mut self, segments: &[&Self], moves: &Moves) {
        let lists = sorted_lists(segments);
        let postings = segments.iter().map(|segment| segment.counts.len()).sum();
        let (mut terms, mut ends) = (Vec::with_capacity(lists.len()), Vec::with_capacity(lists.len()));
        let (mut places, mut counts) = (Vec::with_capacity(postings), Vec::with_capacity(postings));
        for run in lists.chunk_by(|a, b| a.0 == b.0) {
            let before = places.len();
            for (_, number, at) in run {
                let number = usize::from(*number);
                for (place, count) in segments[number].list(*at as usize).iter() {
                    if let Some(place) = moves.places[number][place] {
                        places.push(place);
                        counts.push(count);
                    }
                }
            }
            if places.len() > before {
                terms.push(run[0].0);
                ends.push(u32::try_from(places.len()).expect("65,536 pages of words fit in memory"));
            }
        }
        self.terms = terms.into_boxed_slice();
        self.ends = ends.into_boxed_slice();
        self.places = places.into_boxed_slice();
        self.counts = counts.into_boxed_slice();
    }

    /// A segment of one level above.
    pub(super) fn raised(self) -> Self {
        Self { level: self.level + 1, ..self }
    }
}

/// A term, the number of a segment, and the place of the term in it.
type List = (Term, u16, u32);

/// The lists of all segments, by term and then by segment.
/// Merges the lists two by two, as they are sorted already.
fn sorted_lists(segments: &[&Segment]) -> Vec<List> {
    let numbered = |(segment, number): (&&Segment, u16)| {
        segment.terms.iter().zip(0..).map(|(term, at)| (*term, number, at)).collect::<Vec<_>>()
    };
    let mut runs: Vec<Vec<List>> = segments.iter().zip(0..).map(numbered).collect();
    while runs.len() > 1 {
        let pairs = runs.chunks(2);
        runs = pairs.map(|pair| pair.iter().skip(1).fold(pair[0].clone(), |first, second| zip_sorted(&first, second))).collect();
    }
    runs.pop().unwrap_or_default()
}

fn zip_sorted(first: &[List], second: &[List]) -> Vec<List> {
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut a, mut b) = (0, 0);
    while a < first.len() && b < second.len() {
        let take_first = first[a].0 <= second[b].0;
        merged.push(if take_first { first[a] } else { second[b] });
        a += usize::from(take_first);
        b += usize::from(!take_first);
    }
    merged.extend_from_slice(&first[a..]);
    merged.extend_from_slice(&second[b..]);
    merged
}

/// Where the pages of merged segments go: by segment and place, the new place of those that stay.
struct Moves {
    places: Vec<Vec<Option<u16>>>,
}

impl Moves {
    fn new(segments: &[&Segment], keep: impl Fn(usize, usize) -> bool) -> Self {
        let mut next = 0_u32;
        let mut place = |kept: bool| {
            let place = kept.then(|| u16::try_from(next).expect("merged pages fit in a segment"));
            next += u32::from(kept);
            place
        };
        let numbered = segments.iter().enumerate();
        let places = numbered.map(|(number, segment)| {
            (0..segment.leaves.len()).map(|at| place(keep(number, at))).collect::<Vec<_>>()
        });
        Self { places: places.collect() }
    }
}

/// The origins of `leaves`, by id.
fn origins(segments: &[&Segment], leaves: &[Leaf]) -> Box<[Arc<Origin>]> {
    let mut used: Vec<u32> = leaves.iter().map(|leaf| leaf.origin).collect();
    used.sort_unstable();
    used.dedup();
    let known = segments.iter().flat_map(|segment| segment.origins.iter());
    let mut origins: Vec<Arc<Origin>> =
        known.filter(|origin| used.binary_search(&origin.number).is_ok()).cloned().collect();
    origins.sort_by_key(|origin| origin.id);
    origins.dedup_by_key(|origin| origin.id);
    origins.into_boxed_slice()
}

fn saturate(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}
