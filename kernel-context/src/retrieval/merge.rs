//! One segment of several: their pages in order, those that were removed left out.

use std::sync::Arc;

use super::segment::{Leaf, Origin, Postings, Segment};
use super::term::{TAGS, Term};
use super::vectors::{Late, Vectors};

/// The most segments that are merged at once.
pub(super) const MOST_SEGMENTS: usize = TAGS;

/// One segment of the pages of several, in order, those that `keep` refuses left out; it is asked with the number of the
/// segment and the place in it. `late` are the vectors of each segment that came after it.
pub(super) fn merge(
    segments: &[&Segment],
    late: &[Option<&Late>],
    level: u8,
    keep: impl Fn(usize, usize) -> bool,
) -> Segment {
    let moves = moves(segments, keep);
    let leaves = segments.iter().zip(&moves).flat_map(|(segment, moves)| {
        let kept = segment.leaves.iter().enumerate().filter(|(place, _)| moves.place(*place).is_some());
        kept.map(|(place, leaf)| (*leaf, segment.lengths[place]))
    });
    let (leaves, lengths): (Vec<Leaf>, Vec<u16>) = leaves.unzip();
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
        vectors: Vectors::merged(segments, late, &moves),
        leaves: leaves.into_boxed_slice(),
        lengths: lengths.into_boxed_slice(),
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

/// The terms of all segments, each with the number of its segment, sorted.
///
/// Terms are hashes and spread evenly, so their first bits nearly tell their places: a bucket sort, whose buckets hold a key
/// or two, and an insertion sort for those.
fn sorted_keys(segments: &[&Segment]) -> Vec<u64> {
    let tagged = segments
        .iter()
        .zip(0..)
        .flat_map(|(segment, tag)| segment.terms.iter().map(move |term| term.tagged(tag)));
    let count: usize = segments.iter().map(|segment| segment.terms.len()).sum();
    let bits = count.max(2).ilog2();
    let bucket = |key: u64| (key >> (u64::BITS - bits)) as usize;
    let mut starts = vec![0_usize; (1 << bits) + 1];
    tagged.clone().for_each(|key| starts[bucket(key) + 1] += 1);
    (1..starts.len()).for_each(|at| starts[at] += starts[at - 1]);
    let mut sorted = vec![0; count];
    for key in tagged {
        let place = &mut starts[bucket(key)];
        sorted[*place] = key;
        *place += 1;
    }
    for end in 1..sorted.len() {
        let mut at = end;
        while at > 0 && sorted[at - 1] > sorted[at] {
            sorted.swap(at - 1, at);
            at -= 1;
        }
    }
    sorted
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
