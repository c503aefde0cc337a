//! One segment of several: their pages in order, those that were removed left out.

use std::sync::Arc;

use super::embedding::Vectors;
use super::segment::{Leaf, Origin, Postings, Segment};
use super::term::{Term, TAGS};

/// The most segments that are merged at once.
pub(super) const MOST_SEGMENTS: usize = TAGS;

/// One segment of the pages of several, in order, those that `keep` refuses left out; it is asked with the number of the
/// segment and the place in it.
pub(super) fn merge(segments: &[&Segment], level: u8, keep: impl Fn(usize, usize) -> bool) -> Segment {
    let moves = moves(segments, keep);
    let leaves = segments.iter().zip(&moves).flat_map(|(segment, moves)| {
        let kept = segment.leaves.iter().enumerate().filter(|(place, _)| moves.place(*place).is_some());
        kept.map(|(_, leaf)| *leaf)
    });
    let leaves: Box<[Leaf]> = leaves.collect();
    let mut merged = PostingLists::new(segments);
    let keys = sorted_keys(segments);
    let mut next = vec![0; segments.len()];
    for run in keys.chunk_by(|a, b| Term::untagged(*a).0 == Term::untagged(*b).0) {
        for key in run {
            let (_, number) = Term::untagged(*key);
            merged.append(segments[number].list(next[number]), &moves[number]);
            next[number] += 1;
        }
        merged.close(Term::untagged(run[0]).0);
    }
    Segment {
        level,
        origins: origins(segments, &leaves),
        vectors: Vectors::merged(segments, &moves),
        leaves,
        terms: merged.terms.into_boxed_slice(),
        ends: merged.ends.into_boxed_slice(),
        places: merged.places.into_boxed_slice(),
        counts: merged.counts.into_boxed_slice(),
    }
}

/// The postings of a segment that is being made.
struct PostingLists {
    terms: Vec<Term>,
    ends: Vec<u32>,
    places: Vec<u16>,
    counts: Vec<u8>,
}

impl PostingLists {
    fn new(segments: &[&Segment]) -> Self {
        let terms = segments.iter().map(|segment| segment.terms.len()).sum();
        let postings = segments.iter().map(|segment| segment.counts.len()).sum();
        Self {
            terms: Vec::with_capacity(terms),
            ends: Vec::with_capacity(terms),
            places: Vec::with_capacity(postings),
            counts: Vec::with_capacity(postings),
        }
    }

    fn append(&mut self, postings: Postings<'_>, moves: &Moves) {
        match moves {
            Moves::All(base) => {
                self.places.extend(postings.places.iter().map(|place| base + place));
                self.counts.extend_from_slice(postings.counts);
            }
            Moves::Some(_) => {
                for (place, count) in postings.iter() {
                    if let Some(place) = moves.place(place) {
                        self.places.push(place);
                        self.counts.push(count);
                    }
                }
            }
        }
    }

    /// Ends the list of a term, if it has any.
    fn close(&mut self, term: Term) {
        let end = u32::try_from(self.places.len()).expect("the words of 65,536 pages are fewer than 2^32");
        if self.ends.last().copied().unwrap_or_default() < end {
            self.terms.push(term);
            self.ends.push(end);
        }
    }
}

/// Where the pages of a merged segment go.
pub(super) enum Moves {
    /// All of them, in order, from a place on.
    All(u16),
    /// Some of them: by place, the new place.
    Some(Vec<Option<u16>>),
}

impl Moves {
    /// The new place of a page that stays.
    pub(super) fn place(&self, place: usize) -> Option<u16> {
        match self {
            Self::All(base) => Some(base + u16::try_from(place).expect("a place in a segment has 16 bits")),
            Self::Some(places) => places.get(place).copied().flatten(),
        }
    }
}

fn moves(segments: &[&Segment], keep: impl Fn(usize, usize) -> bool) -> Vec<Moves> {
    let mut next = 0_usize;
    let mut moved = |number: usize, segment: &&Segment| {
        let all = segment.leaves.len();
        let base = next;
        let places = (0..all).map(|place| {
            let kept = keep(number, place);
            next += usize::from(kept);
            kept.then(|| u16::try_from(next - 1).expect("merged pages fit in a segment"))
        });
        let places: Vec<Option<u16>> = places.collect();
        match u16::try_from(base) {
            Ok(base) if next - usize::from(base) == all => Moves::All(base),
            _ => Moves::Some(places),
        }
    };
    segments.iter().enumerate().map(|(number, segment)| moved(number, segment)).collect()
}

/// The terms of all segments, each with the number of its segment, sorted. They are sorted in each segment already: lists
/// are merged two by two.
fn sorted_keys(segments: &[&Segment]) -> Vec<u64> {
    let tagged = |(segment, tag): (&&Segment, u64)| segment.terms.iter().map(|term| term.tagged(tag)).collect();
    let mut lists: Vec<Vec<u64>> = segments.iter().zip(0..).map(tagged).collect();
    while lists.len() > 1 {
        let mut pairs = lists.into_iter();
        lists = Vec::new();
        while let Some(first) = pairs.next() {
            lists.push(match pairs.next() {
                Some(second) => zip_sorted(&first, &second),
                None => first,
            });
        }
    }
    lists.pop().unwrap_or_default()
}

fn zip_sorted(mut first: &[u64], mut second: &[u64]) -> Vec<u64> {
    let mut merged = Vec::with_capacity(first.len() + second.len());
    while let ([a, ..], [b, ..]) = (first, second) {
        let take = a < b;
        merged.push(if take { *a } else { *b });
        first = &first[usize::from(take)..];
        second = &second[usize::from(!take)..];
    }
    merged.extend_from_slice(first);
    merged.extend_from_slice(second);
    merged
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
