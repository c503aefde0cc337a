//! Rates: the generic cell rate algorithm.

use crate::Micros;

/// So much in so much time, at most so much at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Units a period, at least one.
    pub amount: u64,
    /// The period, more than nothing.
    pub per: Micros,
    /// Units that may come at once after a pause, at least one.
    pub burst: u64,
}

impl Rate {
    /// So many a minute; a tenth of that at once.
    #[must_use]
    pub const fn a_minute(amount: u64) -> Self {
        let tenth = amount / 10;
        Self { amount, per: Micros(60_000_000), burst: if tenth == 0 { 1 } else { tenth } }
    }

    /// Whether it is one that a bucket can keep.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.amount > 0 && self.per.0 > 0 && self.burst > 0
    }
}

/// A bucket that fills at a [`Rate`]: the [generic cell rate algorithm](https://www.itu.int/rec/T-REC-I.371) as a virtual
/// schedule, in whole numbers. In any span of time, at a window's edge or not, no more is let through than its burst and
/// what the rate gives in it, but for what single takes exceed the burst and what callers take in spite of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    rate: Rate,
    /// When it will be full again ("theoretical arrival time"): microseconds times `rate.amount`.
    full_at: u128,
}

impl Bucket {
    /// A full bucket; `None` for a rate of nothing, of no time or without a burst.
    #[must_use]
    pub const fn new(rate: Rate) -> Option<Self> {
        if rate.is_sound() { Some(Self { rate, full_at: 0 }) } else { None }
    }

    /// What it fills at.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// When so much may be taken: `now`, or later. What exceeds the burst has to wait until the bucket is full. `Micros(u64::MAX)`
    /// if that is beyond what microseconds count: never.
    #[must_use]
    pub fn earliest(&self, units: u64, now: Micros) -> Micros {
        let room = self.rate.burst.saturating_sub(units);
        let at = self.full_at.saturating_sub(self.span(room)).div_ceil(u128::from(self.rate.amount));
        Micros(u64::try_from(at).unwrap_or(u64::MAX)).max(now)
    }

    /// Takes so much, whether it is there or not: what is missing is owed.
    pub fn take(&mut self, units: u64, now: Micros) {
        self.full_at = self.full_at.max(self.at(now)).saturating_add(self.span(units));
    }

    /// What was taken turned out to be more or less.
    pub fn settle(&mut self, taken: u64, used: u64, now: Micros) {
        if used > taken {
            self.take(used - taken, now);
        } else {
            self.full_at = self.full_at.saturating_sub(self.span(taken - used));
        }
    }

    /// Units that may be taken now.
    #[must_use]
    pub fn available(&self, now: Micros) -> u64 {
        let owed = self.full_at.saturating_sub(self.at(now)).div_ceil(u128::from(self.rate.per.0));
        self.rate.burst.saturating_sub(u64::try_from(owed).unwrap_or(u64::MAX))
    }

    /// Fills at another rate from now on; what is missing stays missing. An unsound rate changes nothing.
    pub fn change(&mut self, rate: Rate, now: Micros) {
        if rate.is_sound() {
            let owed = self.full_at.saturating_sub(self.at(now)).div_ceil(u128::from(self.rate.per.0));
            self.rate = rate;
            self.full_at = self.at(now).saturating_add(owed.saturating_mul(u128::from(rate.per.0)));
        }
    }

    /// Forgives what is owed beyond so much.
    pub(crate) fn owe_at_most(&mut self, units: u64, now: Micros) {
        let most = self.span(self.rate.burst).saturating_add(self.span(units));
        self.full_at = self.full_at.min(self.at(now).saturating_add(most));
    }

    fn at(&self, now: Micros) -> u128 {
        u128::from(now.0) * u128::from(self.rate.amount)
    }

    fn span(&self, units: u64) -> u128 {
        u128::from(units) * u128::from(self.rate.per.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn bucket(amount: u64, seconds: u64, burst: u64) -> Bucket {
        Bucket::new(Rate { amount, per: Micros(seconds * SECOND), burst }).expect("sound")
    }

    /// Takes `units` as early as allowed from `now` on, until `end`; answers when each was taken.
    fn drain(bucket: &mut Bucket, units: u64, mut now: Micros, end: Micros) -> Vec<u64> {
        let mut taken = Vec::new();
        loop {
            now = bucket.earliest(units, now);
            if now >= end {
                return taken;
            }
            bucket.take(units, now);
            taken.push(now.0);
        }
    }

    #[test]
    fn no_window_lets_through_more_than_the_burst_and_the_rate() {
        for (amount, burst, units) in [(60, 6, 1), (7, 3, 2), (100_000, 10_000, 777), (1, 1, 1)] {
            let taken = drain(&mut bucket(amount, 60, burst), units, Micros(5), Micros(600 * SECOND));
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let through = (last - first + 1) as u64 * units;
                    let most = u128::from(burst) * 60_000_000 + u128::from(to - from) * u128::from(amount);
                    assert!(u128::from(through) * 60_000_000 <= most, "{amount}/{burst}/{units}");
                }
            }
            let all = taken.len() as u64 * units;
            assert!(all + units > amount * 10, "work conserving: {all} of {}", amount * 10);
        }
    }

    #[test]
    fn what_exceeds_the_burst_waits_for_a_full_bucket_and_is_owed_then() {
        let mut bucket = bucket(60, 60, 10);
        bucket.take(1, Micros(0));
        assert_eq!(bucket.earliest(30, Micros(0)), Micros(SECOND));
        bucket.take(30, Micros(SECOND));
        assert_eq!(bucket.available(Micros(SECOND)), 0);
        assert_eq!(bucket.earliest(1, Micros(SECOND)), Micros(22 * SECOND));
    }

    #[test]
    fn settling_makes_it_exact() {
        let mut bucket = bucket(60, 60, 10);
        bucket.take(10, Micros(0));
        bucket.settle(10, 4, Micros(0));
        assert_eq!(bucket.available(Micros(0)), 6);
        bucket.settle(4, 12, Micros(0));
        assert_eq!(bucket.earliest(1, Micros(0)), Micros(3 * SECOND));
        let before = bucket;
        bucket.settle(5, 0, Micros(100 * SECOND));
        assert_eq!(bucket.available(Micros(100 * SECOND)), 10, "never more than the burst: {before:?}");
    }

    #[test]
    fn a_rate_that_is_cut_by_half_keeps_what_is_owed() {
        let mut bucket = bucket(60, 60, 10);
        bucket.take(15, Micros(0));
        bucket.change(Rate { amount: 30, per: Micros(60 * SECOND), burst: 10 }, Micros(0));
        assert_eq!(bucket.earliest(1, Micros(0)), Micros(12 * SECOND));
        bucket.change(Rate { amount: 0, per: Micros(1), burst: 1 }, Micros(0));
        assert_eq!(bucket.rate().amount, 30, "an unsound rate changes nothing");
        assert_eq!(Bucket::new(Rate { amount: 1, per: Micros(0), burst: 1 }), None);
    }

    #[test]
    fn it_does_not_overflow() {
        let huge = Rate { amount: u64::MAX, per: Micros(u64::MAX), burst: u64::MAX };
        let mut bucket = Bucket::new(huge).expect("sound");
        for _ in 0..4 {
            bucket.take(u64::MAX, Micros(u64::MAX));
        }
        assert_eq!(bucket.available(Micros(0)), 0);
        bucket.settle(u64::MAX, 0, Micros(u64::MAX));
        bucket.change(Rate { amount: 1, per: Micros(1), burst: 1 }, Micros(u64::MAX));
    }
}
