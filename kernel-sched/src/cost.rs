//! What calls cost, in one unit: tenths of an input token that no cache holds.

use crate::{Charge, Demand};

/// The cost of a call. A token of input costs 10, one from a cache 1, one of output 20: about what they take of a slot's time
/// and of a provider's bill.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Cost(pub u64);

/// What a call costs at most, 13 million tokens of input: more says nothing but that somebody miscounted.
const MOST: u64 = 1 << 27;

impl Cost {
    /// Of tokens, at least that of one: a call that costs nothing still holds a slot.
    #[must_use]
    pub fn of_tokens(uncached: u64, cached: u64, output: u64) -> Self {
        let cost =
            uncached.saturating_mul(10).saturating_add(cached).saturating_add(output.saturating_mul(20));
        Self(cost.clamp(10, MOST))
    }
}

impl Demand {
    /// What the call is expected to cost.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let cached = self.cached.0.min(self.input.0);
        Cost::of_tokens(self.input.0 - cached, cached, self.output.0)
    }
}

impl Charge {
    /// What the call did cost.
    #[must_use]
    pub fn cost(&self) -> Cost {
        Cost::of_tokens(self.uncached.0, self.cached.0, self.output.0)
    }
}
