//! How this agent comes back to its pages, learned from what it did.
//!
//! A page is used again with a chance that is counted (apart for pages that were used again before: references), after a
//! number of calls whose tail is a power law: reuse distances of programs and agents are heavy-tailed (Fonseca and others,
//! *Web cache locality*, 2003, exponents about 1; here 1). A page unused for long is thus less and less likely to be used at all. How
//! often evicted pages came back, against how often that was expected, corrects the rest: where an agent thrashes, refaults
//! at short distance (the refault distance of Linux's working sets) make all pages dearer to lose.

use serde::{Deserialize, Serialize};

/// Pages are told apart by how often they were used again: never, once, more often.
const LEVELS: usize = 3;
/// After so many pages of a level, older ones count half.
const MEMORY: u32 = 512;
/// Before anything is known: of so many pages one is used (again), at each level.
const PRIOR: [f64; LEVELS] = [4.0, 3.0, 2.0];
/// How much importance slows ageing.
const AGEING: f64 = 1.6;
/// Expected refaults are kept in thousandths.
const UNIT: f64 = 1000.0;
/// After so many expected refaults, older ones count half.
const REFAULTS: u32 = 64;
/// Refaults correct what was expected by no more than this, and its inverse.
const MOST_CORRECTION: f64 = 8.0;

/// Counts of pages, of those that were used again, and of those that left and came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Habits {
    pages: [u32; LEVELS],
    again: [u32; LEVELS],
    /// Refaults expected, in thousandths.
    expected: u32,
    /// Refaults seen.
    seen: u32,
}

impl Habits {
    /// A new page.
    pub(crate) fn entered(&mut self) {
        self.count(0);
    }

    /// A page that had been used again `before` times was once more.
    pub(crate) fn used_again(&mut self, before: u16) {
        let level = level(before);
        self.again[level] = self.again[level].saturating_add(1).min(self.pages[level]);
        self.count(self::level(before.saturating_add(1)));
    }

    fn count(&mut self, level: usize) {
        self.pages[level] += 1;
        if self.pages[level] >= 2 * MEMORY {
            (self.pages[level], self.again[level]) = (self.pages[level] / 2, self.again[level] / 2);
        }
    }

    /// How probable it is that a page, used again `uses` times and not in the last `age` calls, is used within the next
    /// `horizon`. What is important ages slowly: from 1.8 times as fast to 0.2. The arithmetic is exact on
    /// all machines (no powers): replay must come to the same.
    pub(crate) fn within(&self, uses: u16, age: u32, importance: f64, horizon: f64) -> f64 {
        let chance = self.chance(level(uses));
        let survival = |calls: f64| 1.0 / (1.0 + calls);
        let age = f64::from(age) * (1.0 + AGEING * (0.5 - importance));
        let unused = 1.0 - chance * (1.0 - survival(age));
        chance * (survival(age) - survival(age + horizon)) / unused
    }

    /// Whether saved counts can be ours.
    pub(crate) fn is_sane(&self) -> bool {
        let mut counts = self.pages.iter().zip(&self.again);
        let sane = counts.all(|(pages, again)| again <= pages && *pages < 2 * MEMORY);
        sane && f64::from(self.expected) < f64::from(2 * REFAULTS) * UNIT
    }

    fn chance(&self, level: usize) -> f64 {
        (f64::from(self.again[level]) + 1.0) / (f64::from(self.pages[level]) + PRIOR[level])
    }

    /// How probable it is that a page is ever used (again) that was used again never, once, more often.
    pub(crate) fn chances(&self) -> [f64; LEVELS] {
        std::array::from_fn(|level| self.chance(level))
    }

    /// Refaults seen, and expected, older ones counted less.
    pub(crate) fn refaults(&self) -> (u32, f64) {
        (self.seen, f64::from(self.expected) / UNIT)
    }

    /// A page left that was expected back with this probability.
    pub(crate) fn left(&mut self, within: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a probability")]
        let expected = (within.clamp(0.0, 1.0) * UNIT) as u32;
        self.expected = self.expected.saturating_add(expected);
        if f64::from(self.expected) >= f64::from(2 * REFAULTS) * UNIT {
            (self.expected, self.seen) = (self.expected / 2, self.seen / 2);
        }
    }

    /// A page came back soon after it left.
    pub(crate) fn refault(&mut self) {
        self.seen = self.seen.saturating_add(1);
    }

    /// By what the expectation of refaults is off, above 1 where there are more: thrashing.
    pub(crate) fn correction(&self) -> f64 {
        // As if four had been expected and come back before: few say little.
        let expected = f64::from(self.expected) / UNIT + 4.0;
        ((f64::from(self.seen) + 4.0) / expected).clamp(1.0 / MOST_CORRECTION, MOST_CORRECTION)
    }
}

fn level(uses: u16) -> usize {
    usize::from(uses).min(LEVELS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_unused_is_used_less_and_what_was_used_more() {
        let mut habits = Habits::default();
        for page in 0..100 {
            habits.entered();
            if page % 10 == 0 {
                habits.used_again(0);
            }
            if page % 20 == 0 {
                habits.used_again(1);
            }
        }
        assert!(habits.within(0, 1, 0.5, 10.0) > 4.0 * habits.within(0, 10, 0.5, 10.0));
        assert!(habits.within(1, 5, 0.5, 10.0) > 3.0 * habits.within(0, 5, 0.5, 10.0));
        assert!(habits.within(0, 5, 0.5, 20.0) > habits.within(0, 5, 0.5, 10.0));
        assert!(habits.within(0, 5, 0.9, 10.0) > habits.within(0, 5, 0.5, 10.0));
        assert!((0.09..0.11).contains(&habits.within(0, 0, 0.5, 1e9)), "one page of ten is used again");
    }

    #[test]
    fn more_refaults_than_expected_are_thrashing() {
        let mut calm = Habits::default();
        (0..100).for_each(|_| calm.left(0.1));
        assert!(calm.correction() < 0.5);
        let mut thrashing = calm;
        (0..40).for_each(|_| thrashing.refault());
        assert!(thrashing.correction() > 3.0);
        (0..2_000).for_each(|_| thrashing.left(0.5));
        assert!(thrashing.correction() < 0.5, "and that fades");
    }
}
