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
//! than (write - read) / read in a row, so that a wait without end costs at most twice what forgetting costs.

use kernel_types::{CacheModel, Retention, Timestamp, Tokens};

use crate::space::Space;
use crate::victims;

/// A ping is sent so long before the cache forgets, at most, in milliseconds: for the way, and for a slot.
const MARGIN_MS: u64 = 30_000;
/// Or this part of the time to live.
const MARGIN_PART: u64 = 10;
/// Tokens that are written for each that a call adds: compactions write some again.
const REWRITTEN: f64 = 1.25;
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
    if !space.config.keep_warm || victims::is_cold(space, now) {
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
    let kept = space.window.load.all;
    let survival = |ms: u64| space.gaps.survival(ms);
    let price = |retention| {
        let cache = space.config.cache.kept(retention);
        let stake = Stake { cache, kept, sent: kept };
        let (pings, forgotten) = stake.wait(&survival, space.config.keep_warm);
        let ends = 1.0 / (f64::from(space.calls) + FEW_CALLS);
        let added = REWRITTEN * space.growth.per_call() as f64 * f64::from(cache.write);
        pings + (forgotten + ends) * stake.forgetting() + added
    };
    let long = space.config.cache.long.is_some() && price(Retention::Long) < price(Retention::Short);
    if long { Retention::Long } else { Retention::Short }
}
