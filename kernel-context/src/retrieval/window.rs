//! Pages with their neighbours: an answer does not repeat the words of what it answers, and does not end at a page's border.

use std::cell::RefCell;

use super::clue::{Clue, Clues, Kind};
use super::segment::Leaf;
use super::slots::Slots;
use super::view::View;
use crate::table::number_of;

/// The worth of a word on a neighbour in a session, against one on the page itself, by distance.
const NEAR: &[f32] = &[0.45, 0.35, 0.25, 0.2, 0.15];
/// Likewise in a file, whose pages are longer and say more by themselves.
const NEAR_IN_FILE: &[f32] = &[0.2, 0.1];
/// The worth of a word anywhere around in a session, against one on the page itself: what is talked about there.
const TOPIC: f32 = 0.12;
/// So far around, in pages.
const TOPIC_REACH: usize = 20;

/// The page after each and the one before it, found once.
struct Links<'a> {
    view: &'a View<'a>,
    /// By slot: the slot of the next page, counted from 1; 0 is not known yet.
    after: RefCell<Vec<u32>>,
    before: RefCell<Vec<u32>>,
}

/// There is none.
const END: u32 = u32::MAX;

impl<'a> Links<'a> {
    fn new(view: &'a View<'a>) -> Self {
        let none = || RefCell::new(vec![0; view.slots]);
        Self { view, after: none(), before: none() }
    }

    fn step(&self, slot: usize, after: bool) -> Option<usize> {
        let links = if after { &self.after } else { &self.before };
        let known = links.borrow()[slot];
        if known == 0 {
            let found = self.view.beside(slot, after).next();
            links.borrow_mut()[slot] = found.map_or(END, |found| number_of(found) + 1);
            return found;
        }
        (known != END).then(|| known as usize - 1)
    }

    /// The pages on one side, nearest first.
    fn side(&self, slot: usize, after: bool) -> impl Iterator<Item = usize> {
        std::iter::successors(self.step(slot, after), move |slot| self.step(*slot, after))
    }

    /// A page and its neighbours, each with the worth of a word there.
    fn around(&self, slot: usize) -> impl Iterator<Item = (usize, f32)> {
        let near = if self.view.is_file(self.view.leaf(slot).origin) { NEAR_IN_FILE } else { NEAR };
        let side = move |after| self.side(slot, after).zip(near.iter().copied());
        std::iter::once((slot, 1.0)).chain(side(false)).chain(side(true))
    }
}

/// Pages to score and the pages around them.
pub(super) struct Windows {
    /// Slots of the pages to score.
    pub(super) centres: Slots,
    /// Slots of the pages of all windows.
    all: Slots,
    /// Where each centre's window ends in `members`.
    ends: Vec<usize>,
    /// The pages of all windows, as ranks in `all`, each with the worth of a word there. A window begins with its centre.
    members: Vec<(u32, f32)>,
    topics: Topics,
}

/// What lies around each centre in its session: ranges of the pages of all windows, sorted by their origin.
struct Topics {
    /// The place of each page in that order, by rank.
    places: Vec<u32>,
    /// First and last place around each centre; an empty range in a file.
    ranges: Vec<(u32, u32)>,
}

impl Topics {
    fn new(links: &Links<'_>, centres: &Slots, all: &Slots) -> Self {
        let view = links.view;
        let mut order: Vec<(u32, u32, usize)> =
            (0..).zip(all.iter()).map(|(rank, slot)| (view.leaf(slot).origin, rank, slot)).collect();
        order.sort_unstable();
        let mut places = vec![0; order.len()];
        for (place, (_, rank, _)) in (0..).zip(&order) {
            places[*rank as usize] = place;
        }
        let joins = |pair: &[(u32, u32, usize)]| {
            let [(origin, _, slot), (other, _, next)] = pair else { return false };
            origin == other && links.step(*slot, true) == Some(*next)
        };
        let joined: Vec<bool> = order.windows(2).map(joins).collect();
        let range = |slot: usize| {
            let place = all.rank(slot).filter(|_| has_topic(view, slot)).map(|rank| places[rank as usize]);
            place.map_or((0, 0), |place| around_place(&joined, place))
        };
        let ranges = centres.iter().map(range).collect();
        Self { places, ranges }
    }

    /// How many pages before each place hold a word.
    fn held(&self, worths: &[f32]) -> Vec<u32> {
        let mut held = vec![0; worths.len() + 1];
        for (place, worth) in self.places.iter().zip(worths) {
            held[*place as usize + 1] = u32::from(*worth > 0.0);
        }
        let mut sum = 0;
        for count in &mut held {
            sum += *count;
            *count = sum;
        }
        held
    }
}

impl Windows {
    /// Windows around `best` and around their neighbours: these may be where the answer is.
    pub(super) fn new(view: &View<'_>, best: &[usize]) -> Self {
        let links = Links::new(view);
        let near = best.iter().flat_map(|slot| links.around(*slot)).map(|(slot, _)| slot);
        let centres = Slots::new(view.slots, near);
        let all = Slots::new(view.slots, surroundings(&links, &centres));
        let (mut ends, mut members) = (Vec::new(), Vec::new());
        for centre in centres.iter() {
            let window = links.around(centre);
            members.extend(window.filter_map(|(slot, worth)| Some((all.rank(slot)?, worth))));
            ends.push(members.len());
        }
        let topics = Topics::new(&links, &centres, &all);
        Self { centres, all, ends, members, topics }
    }

    /// The scores of the centres: each word counts where it is worth most, once in a window; names and dates count on the
    /// page itself.
    pub(super) fn scores(&self, view: &View<'_>, clues: &Clues<'_>) -> Vec<f32> {
        let mut scores = vec![0.0; self.ends.len()];
        let mut worths = vec![0.0_f32; self.all.len()];
        for clue in clues.followed() {
            worths.fill(0.0);
            view.each(&clue.lists, |slot, segment, place, count| {
                if let Some(rank) = self.all.rank(slot) {
                    worths[rank as usize] = clues.worth(clue, segment, place, count);
                }
            });
            self.add(clue, &worths, &mut scores);
        }
        for clue in clues.common() {
            for (slot, worth) in self.all.iter().zip(&mut worths) {
                let (segment, place) = view.place(slot);
                *worth = clues.worth(clue, segment, place, view.count(&clue.lists, slot));
            }
            self.add(clue, &worths, &mut scores);
        }
        scores
    }

    fn add(&self, clue: &Clue<'_>, worths: &[f32], scores: &mut [f32]) {
        if clue.kind != Kind::Word {
            let own = |start: &usize| self.members[*start].0 as usize;
            let starts = std::iter::once(&0).chain(&self.ends);
            return starts.zip(scores).for_each(|(start, score)| *score += worths[own(start)]);
        }
        let topic = TOPIC * clue.topic();
        let held = self.topics.held(worths);
        let mut start = 0;
        for ((end, (first, last)), score) in self.ends.iter().zip(&self.topics.ranges).zip(scores) {
            let around = held[*first as usize] < held[*last as usize];
            let near = self.members[start..*end].iter().map(|(rank, near)| near * worths[*rank as usize]);
            *score += near.fold(if around { topic } else { 0.0 }, f32::max);
            start = *end;
        }
    }
}

/// The first place and the one after the last within reach of a place, as far as pages are neighbours.
fn around_place(joined: &[bool], place: u32) -> (u32, u32) {
    let (before, after) = joined.split_at(place as usize);
    let reach =
        |steps: &mut dyn Iterator<Item = &bool>| steps.take(TOPIC_REACH).take_while(|step| **step).count();
    let (before, after) = (reach(&mut before.iter().rev()), reach(&mut after.iter()));
    (place - number_of(before), place + number_of(after) + 1)
}

fn has_topic(view: &View<'_>, slot: usize) -> bool {
    let origin = view.leaf(slot).origin;
    origin != Leaf::ALONE && !view.is_file(origin)
}

/// The pages of the windows around centres: for each centre those next to it; those farther around only where no centre
/// is next to it, whose own they are else.
fn surroundings<'a>(links: &'a Links<'_>, centres: &'a Slots) -> impl Iterator<Item = usize> {
    let far = move |slot: usize, after: bool| {
        let next = links.step(slot, after).filter(|_| has_topic(links.view, slot));
        let ends = next.is_some_and(|next| centres.rank(next).is_none());
        links.side(slot, after).take(if ends { TOPIC_REACH } else { 0 })
    };
    centres.iter().flat_map(move |slot| {
        links.around(slot).map(|(slot, _)| slot).chain(far(slot, false)).chain(far(slot, true))
    })
}
