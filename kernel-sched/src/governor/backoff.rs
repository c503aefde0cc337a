//! How long a Cpu that refused is left alone, whatever it asks for: longer with each refusal in a row, by chance.

use crate::Micros;

/// The longest pause after the first refusal.
const FIRST_PAUSE: u64 = 1_000_000;
/// The longest pause of all.
const LONGEST_PAUSE: u64 = 30_000_000;

/// Exponential backoff with equal jitter: half of each pause is certain, so that no answer makes a loop of it, half is chance, so
/// that those who were refused together do not come back together. Chance is a function of the seed and of how many refusals there
/// were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    seed: u64,
    /// Refusals in a row; those of calls that were sent together are one.
    row: u32,
    /// Of all rows.
    drawn: u64,
    until: Micros,
}

impl Backoff {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, row: 0, drawn: 0, until: Micros(0) }
    }

    pub(super) const fn until(self) -> Micros {
        self.until
    }

    /// A call was refused that was sent after the refusal before.
    pub(super) const fn refused(&mut self) {
        self.row = self.row.saturating_add(1);
        self.drawn = self.drawn.wrapping_add(1);
    }

    /// From now on it is left alone for as long as so many refusals in a row are worth.
    pub(super) fn pause(&mut self, now: Micros) {
        let doubled = self.row.saturating_sub(1).min(LONGEST_PAUSE.ilog2());
        let most = (FIRST_PAUSE << doubled).min(LONGEST_PAUSE);
        let pause = most / 2 + mixed(self.seed, self.drawn) % (most / 2 + 1);
        self.until = self.until.max(Micros(now.0.saturating_add(pause)));
    }

    /// A call was answered that was sent after the latest refusal.
    pub(super) const fn worked(&mut self) {
        self.row = 0;
    }

    /// Other limits hold from now on.
    pub(super) const fn forget(&mut self) {
        (self.row, self.until) = (0, Micros(0));
    }
}

/// A number that looks random, of two (SplitMix64: Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014).
const fn mixed(seed: u64, number: u64) -> u64 {
    let z = seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(seed: u64, refusals: usize) -> Vec<u64> {
        let mut backoff = Backoff::new(seed);
        let pause = |_| {
            let before = backoff.until();
            backoff.refused();
            backoff.pause(before);
            backoff.until().since(before).0
        };
        (0..refusals).map(pause).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_have_a_floor() {
        for seed in 0..1_000 {
            let mut most = FIRST_PAUSE;
            for pause in pauses(seed, 200) {
                assert!((most / 2..=most).contains(&pause), "seed {seed}: {pause} of {most}");
                most = (2 * most).min(LONGEST_PAUSE);
            }
        }
    }

    #[test]
    fn seeds_differ_and_one_seed_does_not() {
        let first: std::collections::BTreeSet<u64> = (0..1_000).map(|seed| pauses(seed, 1)[0]).collect();
        assert!(first.len() > 900, "{} different of 1,000", first.len());
        assert_eq!(pauses(7, 50), pauses(7, 50));
    }

    #[test]
    fn an_answer_starts_anew() {
        let mut backoff = Backoff::new(1);
        (0..10).for_each(|_| backoff.refused());
        backoff.worked();
        backoff.refused();
        backoff.pause(Micros(0));
        assert!(backoff.until() <= Micros(FIRST_PAUSE));
        // And from no refusal at all, or too many to count, no arithmetic fails.
        let mut backoff = Backoff { row: u32::MAX, ..Backoff::new(u64::MAX) };
        backoff.refused();
        backoff.pause(Micros(u64::MAX));
        assert_eq!(backoff.until(), Micros(u64::MAX));
    }
}
