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

    /// A page and its neighbours.
    fn around(&self, slot: usize) -> impl Iterator<Item = usize> {
        let near = near(self.view, slot).len();
        let side = move |after| self.side(slot, after).take(near);
        std::iter::once(slot).chain(side(false)).chain(side(true))
    }
}

/// Pages to score and the pages around them.
pub(super) struct Windows {
    /// Slots of the pages to score.
    pub(super) centres: Slots,
    /// Slots of the pages of all windows.
    all: Slots,
    /// Each centre's rank in `all`.
    own: Vec<u32>,
    /// Where the centres that have a page in their windows end in `reached`, by the page's rank in `all`.
    ends: Vec<u32>,
    /// Centres, each with the worth of a word on the page.
    reached: Vec<(u32, f32)>,
    topics: Topics,
}

/// Pages sorted by their origin, so that neighbours are side by side.
struct Order {
    /// The rank of the page at each place.
    ranks: Vec<u32>,
    /// The place of each page, by rank.
    places: Vec<u32>,
    /// Whether the page at each place is a neighbour of the next one's.
    joined: Vec<bool>,
}

impl Order {
    fn new(links: &Links<'_>, pages: &Slots) -> Self {
        let mut order: Vec<(u32, u32, usize)> =
            (0..).zip(pages.iter()).map(|(rank, slot)| (links.view.leaf(slot).origin, rank, slot)).collect();
        order.sort_unstable();
        let mut places = vec![0; order.len()];
        for (place, (_, rank, _)) in (0..).zip(&order) {
            places[*rank as usize] = place;
        }
        let joins = |pair: &[(u32, u32, usize)]| {
            let [(origin, _, slot), (other, _, next)] = pair else { return false };
            origin == other && links.step(*slot, true) == Some(*next)
        };
        let joined = order.windows(2).map(joins).collect();
        Self { ranks: order.into_iter().map(|(_, rank, _)| rank).collect(), places, joined }
    }

    /// A page, by rank, and its neighbours, each with the worth of a word there.
    fn around(&self, rank: u32, near: &'static [f32]) -> impl Iterator<Item = (u32, f32)> {
        let place = self.places[rank as usize] as usize;
        let (before, after) = self.joined.split_at(place.min(self.joined.len()));
        let before = before.iter().rev().zip(near).take_while(|(joined, _)| **joined);
        let after = after.iter().zip(near).take_while(|(joined, _)| **joined);
        let before = (1..).zip(before).map(move |(by, (_, near))| (self.ranks[place - by], *near));
        let after = (1..).zip(after).map(move |(by, (_, near))| (self.ranks[place + by], *near));
        std::iter::once((rank, 1.0)).chain(before).chain(after)
    }
}

/// What lies around each centre in its session: ranges of the pages of all windows, sorted by their origin.
struct Topics {
    /// The place of each page in that order, by rank.
    places: Vec<u32>,
    /// First and last place around each centre; an empty range in a file.
    ranges: Vec<(u32, u32)>,
}

impl Topics {
    fn new(view: &View<'_>, order: Order, centres: &Slots, all: &Slots) -> Self {
        let range = |slot: usize| {
            let place =
                all.rank(slot).filter(|_| has_topic(view, slot)).map(|rank| order.places[rank as usize]);
            place.map_or((0, 0), |place| around_place(&order.joined, place))
        };
        let ranges = centres.iter().map(range).collect();
        Self { places: order.places, ranges }
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
        let near = best.iter().flat_map(|slot| links.around(*slot));
        let centres = Slots::new(view.slots, near);
        let all = Slots::new(view.slots, surroundings(&links, &centres));
        let order = Order::new(&links, &all);
        let own: Vec<u32> = centres.iter().filter_map(|centre| all.rank(centre)).collect();
        let mut members: Vec<(u32, (u32, f32))> = Vec::new();
        for (number, centre) in (0..).zip(centres.iter()) {
            let rank = own[number as usize];
            let window = order.around(rank, self::near(view, centre));
            members.extend(window.map(|(rank, worth)| (rank, (number, worth))));
        }
        let (ends, reached) = by_page(&members, all.len());
        let topics = Topics::new(view, order, &centres, &all);
        Self { centres, all, own, ends, reached, topics }
    }

    /// The scores of the centres: each word counts where it is worth most, once in a window; names and dates count on the
    /// page itself.
    pub(super) fn scores(&self, view: &View<'_>, clues: &Clues<'_>) -> Vec<f32> {
        let mut scores = vec![0.0; self.own.len()];
        let mut worths = vec![0.0_f32; self.all.len()];
        let mut best = scores.clone();
        for clue in clues.followed() {
            worths.fill(0.0);
            view.each(&clue.lists, |slot, segment, place, count| {
                if let Some(rank) = self.all.rank(slot) {
                    worths[rank as usize] = clues.worth(clue, segment, place, count);
                }
            });
            self.add(clue, &worths, &mut best, &mut scores);
        }
        for clue in clues.common() {
            for (slot, worth) in self.all.iter().zip(&mut worths) {
                let (segment, place) = view.place(slot);
                *worth = clues.worth(clue, segment, place, view.count(&clue.lists, slot));
            }
            self.add(clue, &worths, &mut best, &mut scores);
        }
        scores
    }

    /// Adds what a clue is worth to each centre. Few pages hold a word: they are gone through, not the windows.
    fn add(&self, clue: &Clue<'_>, worths: &[f32], best: &mut [f32], scores: &mut [f32]) {
        if clue.kind != Kind::Word {
            return self.own.iter().zip(scores).for_each(|(own, score)| *score += worths[*own as usize]);
        }
        best.fill(0.0);
        let mut start = 0;
        for (end, worth) in self.ends.iter().zip(worths) {
            if *worth > 0.0 {
                for (centre, near) in &self.reached[start..*end as usize] {
                    let best = &mut best[*centre as usize];
                    *best = best.max(near * worth);
                }
            }
            start = *end as usize;
        }
        let topic = TOPIC * clue.topic();
        let held = self.topics.held(worths);
        for ((best, (first, last)), score) in best.iter().zip(&self.topics.ranges).zip(scores) {
            let around = held[*first as usize] < held[*last as usize];
            *score += best.max(if around { topic } else { 0.0 });
        }
    }
}

/// Pairs of a page's rank and something, as the ends of each page's in one list.
fn by_page(pairs: &[(u32, (u32, f32))], pages: usize) -> (Vec<u32>, Vec<(u32, f32)>) {
    let mut ends = vec![0_u32; pages + 1];
    pairs.iter().for_each(|(rank, _)| ends[*rank as usize + 1] += 1);
    let mut sum = 0;
    for end in &mut ends {
        sum += *end;
        *end = sum;
    }
    let mut listed = vec![(0, 0.0); pairs.len()];
    for (rank, pair) in pairs {
        let next = &mut ends[*rank as usize];
        listed[*next as usize] = *pair;
        *next += 1;
    }
    ends.truncate(pages);
    (ends, listed)
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

/// The worth of a word on the neighbours of a page, by distance.
fn near(view: &View<'_>, slot: usize) -> &'static [f32] {
    if view.is_file(view.leaf(slot).origin) { NEAR_IN_FILE } else { NEAR }
}

/// The pages of the windows around centres: from each as far as it reaches, but no further than the next centre, which
/// reaches as far.
fn surroundings<'a>(links: &'a Links<'_>, centres: &'a Slots) -> impl Iterator<Item = usize> {
    centres.iter().flat_map(move |slot| {
        let reach = if has_topic(links.view, slot) { TOPIC_REACH } else { near(links.view, slot).len() };
        let side =
            move |after| links.side(slot, after).take(reach).take_while(|slot| centres.rank(*slot).is_none());
        std::iter::once(slot).chain(side(false)).chain(side(true))
    })
}
