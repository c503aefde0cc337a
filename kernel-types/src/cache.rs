//! How a provider caches prompt prefixes, and what its tokens cost relative to each other.
//!
//! One price list for all of it: a plain input token costs 1,000. So a planner compares reading, writing and not caching
//! without knowing dollars, and a model that nobody has priced can still be planned for.

use serde::{Deserialize, Serialize};

use crate::{Pricing, Retention, TokenUsage, Tokens};

/// What an input token costs that is neither read from nor written to a cache.
const PLAIN: u32 = 1000;

/// A provider's prefix cache. The default is none: nothing is cacheable, and reading or writing would cost what plain
/// input costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CacheModel {
    /// Prefixes shorter than this are not cached.
    pub min_prefix: Tokens,
    /// Cached lengths grow from `min_prefix` in steps of this; 0 counts as 1.
    pub step: Tokens,
    /// Seconds after the last use that a prefix stays cached; 0 if there is no cache.
    pub ttl_s: u64,
    /// How many explicit breakpoints a request may have; 0 if caching is implicit.
    pub breakpoints: u32,
    /// How many positions are searched for an earlier entry at an explicit breakpoint, the breakpoint itself included;
    /// without meaning for implicit caches.
    pub look_back: u32,
    /// The price of a token read from the cache, in thousandths of a plain input token's.
    pub read: u32,
    /// The price of a token written to the cache, in thousandths of a plain input token's.
    pub write: u32,
    /// The price of an output token, in thousandths of a plain input token's.
    pub output: u32,
    /// What the model answered is cached behind the prompt, as far as it was computed.
    #[serde(default)]
    pub answers: bool,
    /// It keeps what a request writes for longer, if the request asks for it ([`Retention::Long`]).
    #[serde(default)]
    pub long: Option<LongCache>,
}

/// What a cache offers to keep for longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LongCache {
    /// Seconds after the last use that a prefix stays cached then.
    pub ttl_s: u64,
    /// The price of a token written so, in thousandths of a plain input token's.
    pub write: u32,
}

impl Default for CacheModel {
    fn default() -> Self {
        Self {
            min_prefix: Tokens::ZERO,
            step: Tokens::ZERO,
            ttl_s: 0,
            breakpoints: 0,
            look_back: 0,
            read: PLAIN,
            write: PLAIN,
            output: 5 * PLAIN, // what most price lists ask
            answers: false,
            long: None,
        }
    }
}

impl CacheModel {
    /// The part of a prefix of that many tokens that can be cached: nothing below `min_prefix`, then whole steps.
    #[must_use]
    pub const fn cacheable(&self, prefix: Tokens) -> Tokens {
        if self.ttl_s == 0 || prefix.0 < self.min_prefix.0 {
            return Tokens::ZERO;
        }
        let step = if self.step.0 == 0 { 1 } else { self.step.0 };
        Tokens(prefix.0 - (prefix.0 - self.min_prefix.0) % step)
    }

    /// Whether only prefixes that end at a marked breakpoint are cached.
    #[must_use]
    pub const fn is_explicit(&self) -> bool {
        self.breakpoints > 0
    }

    /// The cache as a request of this retention meets it: its time to live, its price of writing. One that offers nothing longer
    /// is the same for both.
    #[must_use]
    pub fn kept(self, retention: Retention) -> Self {
        match self.long.filter(|_| retention == Retention::Long) {
            Some(LongCache { ttl_s, write }) => Self { ttl_s, write, ..self },
            None => self,
        }
    }

    /// What a call costs in thousandths of a plain input token. Tokens read or written count as input too, as
    /// providers report them; more of them than input are charged nevertheless.
    #[must_use]
    pub fn units(&self, usage: &TokenUsage) -> u64 {
        let plain = usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_written);
        let terms = [
            (plain, PLAIN),
            (usage.cached, self.read),
            (usage.cache_written.saturating_sub(usage.written_long), self.write),
            (usage.written_long, self.long.map_or(self.write, |long| long.write)),
            (usage.output, self.output),
        ];
        terms.iter().fold(0, |sum, (tokens, price)| {
            u64::saturating_add(sum, tokens.0.saturating_mul(u64::from(*price)))
        })
    }

    /// The same cache with the relative prices of one model's price list, to the nearest thousandth. A list whose input
    /// is free has no relative prices and changes nothing; one without a price for keeping longer offers none.
    #[must_use]
    pub fn priced(self, pricing: &Pricing) -> Self {
        if pricing.input == 0 {
            return self;
        }
        let relative = |price: u64| {
            let exact = u128::from(price) * u128::from(PLAIN) + u128::from(pricing.input / 2);
            u32::try_from(exact / u128::from(pricing.input)).unwrap_or(u32::MAX)
        };
        Self {
            read: relative(pricing.cache_read),
            write: relative(pricing.cache_write),
            output: relative(pricing.output),
            long: self
                .long
                .zip(pricing.cache_write_long)
                .map(|(long, write)| LongCache { write: relative(write), ..long }),
            ..self
        }
    }
}
