//! The planner: which compaction costs least, given how the provider prices its prefix cache. A pure function.
//!
//! Evicting a group changes the prompt from there on, so everything behind it is written to the cache once more. A
//! compaction is worth the more calls it lasts. So a choice is a *cut* (nothing before it changes) and a set of victims behind
//! it, and its price is a rate, in tokens of plain input a call until the next compaction:
//!
//! > (rewritten tokens x (write - read) + expected price of missing the victims) / calls + mean window x read
//!
//! with the mean window at least the floor. That is the renewal-reward view of a cache that is emptied in batches; where the cut
//! falls by itself gives generations: what survived one compaction is rarely worth rewriting at the next.
//!
//! Missing a victim costs its tokens, written anew, and the call that asks for it. With its probability (of what
//! [`Habits`](crate::habits::Habits) says, importance and relevance) that is GreedyDual-Size with frequency (Cherkasova, 1998):
//! expected misses for the counter, the price of a fetch for the cost, a share of the tokens for the size.

use kernel_types::CacheModel;

use crate::page::Number;

/// What a miss is worth beside the page, in tokens of output: the call that asks for it, the wait, and the risk that nobody
/// asks.
const MISS: f64 = 1_500.0;
/// At most so many cuts are tried.
const CUTS: usize = 64;

/// A group that may leave.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Candidate {
    pub(crate) group: Number,
    /// Its place in the order.
    pub(crate) at: u32,
    pub(crate) cost: u64,
    /// Tokens from the last cached prefix before it to the end: what would be written again but for what leaves.
    pub(crate) rewritten: u64,
    /// Calls since it was last used.
    pub(crate) age: u32,
    /// In thousandths.
    pub(crate) importance: u16,
    /// How probable it is that it would be missed before the compaction after this one.
    pub(crate) missed: f64,
}

/// What the planner looks at. Tokens are as counted.
pub(crate) struct Situation<'a> {
    pub(crate) cache: CacheModel,
    /// In the order of the window.
    pub(crate) groups: &'a [Candidate],
    pub(crate) window: u64,
    /// Tokens in the window, stubs included.
    pub(crate) load: u64,
    /// Tokens a call adds.
    pub(crate) growth: u64,
    /// What the stub of a compaction takes.
    pub(crate) stub: u64,
    /// The part of the window in use on average, at least.
    pub(crate) floor: f64,
    /// The provider has forgotten the prefix.
    pub(crate) cold: bool,
}

/// The victims of the compaction with the best rate; none if the window fits and no compaction is better.
pub(crate) fn choose(situation: &Situation<'_>) -> Vec<Candidate> {
    let scale = Scale::of(situation);
    let mut ranked: Vec<(f64, usize)> = situation
        .groups
        .iter()
        .enumerate()
        .map(|(at, group)| (scale.loss(group) / weight(group), at))
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut best = (f64::INFINITY, 0, 0);
    if situation.load <= situation.window {
        best.0 = scale.rate(situation.load, 0.0, 0.0);
    }
    for cut in cuts(situation.groups.len()) {
        let (mut freed, mut loss, mut count) = (0, 0.0, 0);
        let mut behind = 0;
        for (_, at) in ranked.iter().filter(|(_, at)| *at >= cut) {
            let group = &situation.groups[*at];
            freed += group.cost;
            loss += scale.loss(group);
            count += 1;
            behind = behind.max(group.rewritten);
            let after = situation.load + situation.stub - freed.min(situation.load);
            if after > situation.window {
                continue;
            }
            let rate = scale.rate(after, behind.saturating_sub(freed) as f64, loss);
            if rate < best.0 {
                best = (rate, cut, count);
            }
        }
    }
    let (_, cut, count) = best;
    let victims = ranked.iter().filter(|(_, at)| *at >= cut).take(count);
    let mut victims: Vec<Candidate> = victims.map(|(_, at)| situation.groups[*at]).collect();
    if victims.is_empty() && situation.load > situation.window {
        victims = situation.groups.to_vec();
    }
    victims
}

/// Calls that a usual compaction lasts: how far ahead misses count.
pub(crate) fn horizon(window: u64, movable: u64, growth: u64, floor: f64) -> f64 {
    let window = window as f64;
    let low = (2.0 * floor - 1.0).max(1.0 - movable as f64 / window).clamp(0.0, 0.99);
    ((1.0 - low) * window / growth as f64).max(1.0)
}

/// Indices at which a cut may lie, at most [`CUTS`] of them, spread evenly.
fn cuts(groups: usize) -> impl Iterator<Item = usize> {
    let step = groups.div_ceil(CUTS).max(1);
    (0..groups).step_by(step)
}

fn weight(group: &Candidate) -> f64 {
    group.cost.max(1) as f64
}

/// Prices of a situation, in tokens of plain input.
struct Scale {
    read: f64,
    write: f64,
    rewrite: f64,
    fault: f64,
    window: f64,
    floor: f64,
    growth: f64,
}

impl Scale {
    fn of(situation: &Situation<'_>) -> Self {
        let price = |thousandths: u32| f64::from(thousandths) / 1000.0;
        let cache = &situation.cache;
        let (read, write) = (price(cache.read), price(cache.write));
        let window = situation.window as f64;
        let growth = situation.growth as f64;
        Self {
            read,
            write,
            rewrite: if situation.cold { 0.0 } else { (write - read).max(0.0) },
            fault: read * situation.load as f64 + price(cache.output) * MISS,
            window,
            floor: situation.floor * window,
            growth,
        }
    }

    /// The expected price of not having the group.
    fn loss(&self, group: &Candidate) -> f64 {
        group.missed * (self.fault + self.write * group.cost as f64)
    }

    /// Tokens a call until the window is full again, if it now holds `after`, `rewritten` are written anew, and misses of
    /// `loss` are expected.
    fn rate(&self, after: u64, rewritten: f64, loss: f64) -> f64 {
        let after = after as f64;
        let calls = ((self.window - after) / self.growth).max(0.5);
        let mean = (after + self.window) / 2.0;
        let short = (self.floor - mean).max(0.0);
        (rewritten * self.rewrite + loss) / calls + mean * self.read + short * 10.0
    }
}
