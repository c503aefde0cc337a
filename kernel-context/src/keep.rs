//! Keeping the prefix warm while its agent waits: whether a ping pays, and for how long prefixes are to be kept.
//!
//! A cache forgets a prefix a while after its last use, and writing it anew costs `write` a token where reading costs `read`.
//! A ping reads it in time. Whether one pays is the ski rental problem with a known distribution (Karlin, Manasse, McGeoch,
//! Owicki: *Competitive randomized algorithms for nonuniform problems*, 1994), here the agent's gaps. With P tokens kept, S(t)
//! the probability that the wait goes on at t, and pings at t1, t2, ... tn, each in time before the cache forgets:
//!
//! > (write - read) P (S(ttl) - S(tn + ttl))  against  the sum over k of S(tk) (read P' + output)
//!
//! What returns before `ttl` finds the prefix warm anyway, so only what returns between `ttl` and `tn + ttl` gains. A ping
//! reads all that was sent, P', and answers one token. A ping is sent if some n makes the left side larger; and never more
//! than (write - read) / read in a row, so that a wait without end is expected to cost at most about twice what forgetting costs.

use kernel_types::{CacheModel, Retention, Timestamp, Tokens};

use crate::space::Space;
use crate::victims;

/// A ping is sent so long before the cache forgets, at most, in milliseconds: for the way, and for a slot.
const MARGIN_MS: u64 = 30_000;
/// Or this part of the time to live.
const MARGIN_PART: u64 = 10;
/// Tokens that are written for each that a call adds: compactions write some again.
const REWRITTEN: f64 = 1.5;
/// Keeping for longer has to cost less than this part of not doing so: what is written at its price is certain, the gain is not.
const CLEARLY: f64 = 0.9;
/// A conversation is expected to last as long as it did, and so many calls more.
const FEW_CALLS: f64 = 8.0;

/// When a waiting agent asks again, as far as its kernel knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Returns {
    /// When it will, nobody knows: what is expected is what it did before.
    #[default]
    Unknown,
    /// Then, at the latest.
    By(Timestamp),
    /// Then.
    At(Timestamp),
}

/// A ping that pays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepWarm {
    /// When to send it, if the agent still waits then.
    pub at: Timestamp,
    /// What it is expected to read from the cache.
    pub tokens: Tokens,
}

/// A wait from the request it follows on: how probable it is to last longer than so many milliseconds.
type Survival<'a> = dyn Fn(u64) -> f64 + 'a;

/// What is at stake, in counted tokens.
#[derive(Clone, Copy, Debug)]
struct Stake {
    cache: CacheModel,
    /// What a return reads if it is warm.
    kept: u64,
    /// What a ping reads.
    sent: u64,
}

/// When a ping of what was shown is to be sent, if one pays.
pub(crate) fn keep_warm(space: &Space, now: Timestamp, returns: Returns) -> Option<KeepWarm> {
    let (shown, began) = (space.window.shown?, space.gaps.last_ms()?);
    // A clock that went back says nothing of what the provider still has.
    if !space.config.keep_warm || now < shown_at(space) || victims::is_cold(space, now) {
        return None;
    }
    let stake = stake(space);
    let survival = |ms: u64| match returns {
        Returns::Unknown => space.gaps.survival(ms),
        Returns::By(by) if ms < by.0.saturating_sub(began) => space.gaps.survival(ms),
        Returns::At(at) if ms < at.0.saturating_sub(began) => 1.0,
        _ => 0.0,
    };
    let warm_ms = shown.at_ms.saturating_sub(began);
    let at = Timestamp(shown.at_ms.saturating_add(stake.interval()).max(now.0));
    let tokens = space.ratio.apply(stake.sent);
    stake.pays(&survival, warm_ms, space.pings).then_some(KeepWarm { at, tokens })
}

fn shown_at(space: &Space) -> Timestamp {
    Timestamp(space.window.shown.map_or(0, |shown| shown.at_ms))
}

fn stake(space: &Space) -> Stake {
    let kept = space.kept_tokens();
    // What changed since it was shown is sent again all the same.
    let whole = space.window.cut.is_none() && !space.window.head_cut;
    let sent = if whole { kept } else { space.window.load.all.max(kept) };
    Stake { cache: space.cache(), kept, sent }
}

impl Stake {
    /// From one use of the prefix to the ping that keeps it, in milliseconds.
    fn interval(&self) -> u64 {
        let ttl = self.ttl();
        ttl - (ttl / MARGIN_PART).min(MARGIN_MS)
    }

    fn ttl(&self) -> u64 {
        self.cache.ttl_s.saturating_mul(1000)
    }

    /// What writing all anew costs more than reading it.
    fn forgetting(&self) -> f64 {
        f64::from(self.cache.write.saturating_sub(self.cache.read)) * self.kept as f64
    }

    /// What a ping costs.
    fn ping(&self) -> f64 {
        f64::from(self.cache.read) * self.sent as f64 + f64::from(self.cache.output)
    }

    /// The most pings in a row. None where there is nothing to gain: a cache of one's own, prefixes too short to be cached.
    fn most(&self) -> u32 {
        let CacheModel { read, write, .. } = self.cache;
        let cached = self.cache.cacheable(Tokens(self.kept)) > Tokens::ZERO;
        if cached && read > 0 { write.saturating_sub(read) / read } else { 0 }
    }

    /// Whether the next ping pays, `warm` milliseconds into a wait being the last use and `sent` pings of it.
    fn pays(&self, survival: &Survival<'_>, warm: u64, sent: u32) -> bool {
        let (ttl, interval) = (self.ttl(), self.interval());
        let forgotten = survival(warm.saturating_add(ttl));
        let (mut at, mut price) = (warm, 0.0);
        for _ in sent..self.most() {
            at = at.saturating_add(interval);
            price += survival(at) * self.ping();
            let gain = self.forgetting() * (forgotten - survival(at.saturating_add(ttl)));
            if gain > price {
                return true;
            }
        }
        false
    }

    /// What pings and forgetting are expected to cost in a wait, and how probable forgetting is.
    fn wait(&self, survival: &Survival<'_>, pings: bool) -> (f64, f64) {
        let (mut warm, mut price, mut sent) = (0, 0.0, 0);
        while pings && self.pays(survival, warm, sent) {
            warm = u64::saturating_add(warm, self.interval());
            price += survival(warm) * self.ping();
            sent += 1;
        }
        (price, survival(warm.saturating_add(self.ttl())))
    }
}

/// How long the provider is to keep what the next request writes, nothing being warm now: the cheaper by what a call is
/// expected to cost. Prefixes are written at the beginning, and again once they are forgotten; what calls add is written once.
pub(crate) fn retention(space: &Space) -> Retention {
    // Instructions are often other agents' as well, who keep them warm.
    let kept = space.window.load.all.saturating_sub(space.head_cost());
    let survival = |ms: u64| space.gaps.survival(ms);
    let price = |retention| {
        let cache = space.config.cache.kept(retention);
        let stake = Stake { cache, kept, sent: kept };
        let (pings, forgotten) = stake.wait(&survival, space.config.keep_warm);
        let ends = 1.0 / (f64::from(space.calls) + FEW_CALLS);
        let added = REWRITTEN * space.growth.per_call() as f64 * f64::from(cache.write);
        pings + (forgotten + ends) * stake.forgetting() + added
    };
    let long =
        space.config.cache.long.is_some() && price(Retention::Long) < CLEARLY * price(Retention::Short);
    if long { Retention::Long } else { Retention::Short }
}

#[cfg(test)]
mod tests {
    use kernel_types::Catalogue;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::gaps::Gaps;

    fn stake(provider: &str, kept: u64) -> Stake {
        let cache = *Catalogue::built_in().cache(provider).expect("ships");
        Stake { cache, kept, sent: kept }
    }

    /// What a wait of that length costs with at most so many pings.
    fn cost(stake: &Stake, gap: u64, pings: u32) -> f64 {
        let (mut warm, mut price) = (0, 0.0);
        for _ in 0..pings {
            if warm + stake.interval() >= gap {
                break;
            }
            warm += stake.interval();
            price += stake.ping();
        }
        if gap < warm + stake.ttl() { price } else { price + stake.forgetting() }
    }

    fn mean(gaps: &[u64], cost: impl Fn(u64) -> f64) -> f64 {
        gaps.iter().map(|gap| cost(*gap)).sum::<f64>() / gaps.len() as f64
    }

    /// How many pings an endless wait would see.
    fn patience(stake: &Stake, survival: &Survival<'_>) -> u32 {
        let warm = |sent: u32| u64::from(sent) * stake.interval();
        (0..).find(|sent| !stake.pays(survival, warm(*sent), *sent)).expect("pings are bounded")
    }

    /// Gaps of an agent: short ones, and longer ones of one of several kinds.
    fn sample(random: &mut StdRng) -> Vec<u64> {
        let (share, from) = (random.random_range(0.0..0.6), random.random_range(100_000..900_000u64));
        let width = random.random_range(1..3_000_000u64);
        let gap = |_| match random.random_bool(share) {
            true => from + random.random_range(0..width),
            false => random.random_range(1_000..60_000),
        };
        (0..200).map(gap).collect()
    }

    #[test]
    fn no_number_of_pings_is_cheaper_than_the_one_that_is_chosen() {
        let mut some = 0;
        for seed in 0..300 {
            let mut random = StdRng::seed_from_u64(seed);
            let gaps = sample(&mut random);
            let provider = ["anthropic-5m", "openai-gpt5", "openai-gpt5.6"][random.random_range(0..3)];
            let stake = stake(provider, random.random_range(2_000..100_000));
            let survival = |ms: u64| gaps.iter().filter(|gap| **gap > ms).count() as f64 / gaps.len() as f64;
            let chosen = patience(&stake, &survival);
            let costs = |pings: u32| mean(&gaps, |gap| cost(&stake, gap, pings));
            let best = (0..=stake.most()).map(costs).fold(f64::INFINITY, f64::min);
            assert!(costs(chosen) <= best * 1.000_001, "seed {seed}: {chosen} pings, {best}");
            some += u32::from((1..stake.most()).contains(&chosen));
        }
        assert!(some > 30, "few of the samples make a difference: {some}");
    }

    #[test]
    fn what_was_learned_is_nearly_as_good_as_what_is_so() {
        let (mut learned, mut best, mut never) = (0.0, 0.0, 0.0);
        for seed in 0..100 {
            let gaps = sample(&mut StdRng::seed_from_u64(seed));
            let stake = stake("anthropic-5m", 20_000);
            let (mut known, mut at) = (Gaps::default(), 1);
            for gap in &gaps {
                at += gap;
                known.request(at);
            }
            let chosen = patience(&stake, &|ms| known.survival(ms));
            let costs = |pings: u32| mean(&gaps, |gap| cost(&stake, gap, pings));
            learned += costs(chosen);
            best += (0..=stake.most()).map(costs).fold(f64::INFINITY, f64::min);
            never += costs(0);
        }
        assert!(learned < best * 1.05 && best < never * 0.8, "{learned:.0} {best:.0} {never:.0}");
    }

    #[test]
    fn an_endless_wait_costs_at_most_twice_what_forgetting_does() {
        let stake = stake("anthropic-5m", 50_000);
        assert_eq!(stake.most(), 11);
        // Always about to return.
        let pings = patience(&stake, &|ms| (-(ms as f64) / 300_000.0).exp());
        assert_eq!(pings, 11);
        assert!(cost(&stake, u64::MAX, pings) <= 2.01 * stake.forgetting());
    }

    #[test]
    fn nothing_is_pinged_that_nobody_comes_back_to_or_that_costs_nothing() {
        let for_ever = |_| 1.0;
        let soon = |ms: u64| if ms < 400_000 { 1.0 } else { 0.0 };
        assert_eq!(patience(&stake("anthropic-5m", 20_000), &for_ever), 0);
        assert_eq!(patience(&stake("anthropic-5m", 20_000), &soon), 1);
        assert_eq!(patience(&stake("anthropic-5m", 1_000), &soon), 0, "too short to be cached");
        assert_eq!(patience(&stake("llamacpp", 20_000), &|ms| if ms < 90_000_000 { 1.0 } else { 0.0 }), 0);
        assert_eq!(patience(&Stake { cache: CacheModel::default(), kept: 9_000, sent: 9_000 }, &soon), 0);
    }
}
