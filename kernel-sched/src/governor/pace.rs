//! What a Cpu that refused is taken to bear: learnt from what it was given while it was in use, cut at each refusal, grown by
//! the clock.
//!
//! It is a guess and nothing more. So it is made of time in use only, has a floor, and never holds a call up for longer than
//! its bucket takes to give two bursts: twelve seconds.

use crate::{Bucket, Micros, Rate};

/// Less than this a minute no Cpu is taken to bear.
const FLOOR: u64 = 1_000;
/// Over less time in use, what was used says little.
const SHORTEST: u64 = 5_000_000;
/// Time in use after which what was used counts for half.
const MEMORY: u64 = 120_000_000;

/// What was used, and in how much time: only the time counts in which calls were in flight or held up. What somebody used who
/// was alone, or hours ago, says nothing about what the Cpu bears.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    tokens: u64,
    /// Microseconds in use.
    time: u64,
    until: Micros,
}

impl Usage {
    /// From the latest event until `busy`, or `now` if that is earlier, the Cpu was in use.
    pub(super) fn pass(&mut self, busy: Micros, now: Micros) {
        self.time = self.time.saturating_add(busy.min(now).since(self.until).0);
        self.until = self.until.max(now);
        while self.time > MEMORY {
            (self.time, self.tokens) = (self.time / 2, self.tokens / 2);
        }
    }

    pub(super) const fn until(&self) -> Micros {
        self.until
    }

    pub(super) fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// Starts anew: tokens a minute until now, calls in flight counted for what they may use. `None` if that says little.
    pub(super) fn renew(&mut self, in_flight: u64) -> Option<u64> {
        let Self { tokens, time, .. } = std::mem::replace(self, Self { tokens: 0, time: 0, ..*self });
        let given = u128::from(tokens) + u128::from(in_flight);
        let known = time >= SHORTEST && tokens > 0;
        known.then(|| u64::try_from(given * 60_000_000 / u128::from(time)).unwrap_or(u64::MAX))
    }
}

/// A bucket of tokens whose rate is not known but tried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    bucket: Bucket,
    /// Tokens a minute right after the last refusal.
    base: u64,
    since: Micros,
}

impl Pace {
    /// Seven eighths of what it was given are what it bears, the floor at least unless it was told to bear less. What is owed,
    /// of a bucket that was kept before, stays owed.
    pub(super) fn after_refusal(
        given: u64,
        told: Option<u64>,
        owed: Option<Bucket>,
        now: Micros,
    ) -> Option<Self> {
        let floor = told.unwrap_or(FLOOR).clamp(1, FLOOR);
        let base = (given / 8).saturating_mul(7).max(floor);
        let mut bucket = owed.or_else(|| Bucket::new(Rate::a_minute(base)))?;
        bucket.change(Rate::a_minute(base), now);
        let mut pace = Self { bucket, base, since: now };
        pace.forgive(now);
        Some(pace)
    }

    pub(super) const fn bucket(&self) -> Bucket {
        self.bucket
    }

    /// Tokens a minute that it is taken to bear by now.
    pub(super) fn amount(&self, now: Micros) -> u64 {
        // Slowly at first: by an eighth in a minute, twofold in three.
        let clean = u128::from(now.since(self.since).0 / 1_000_000);
        let more = (u128::from(self.base) * clean).saturating_mul(clean) / 32_768;
        u64::try_from(u128::from(self.base).saturating_add(more)).unwrap_or(u64::MAX)
    }

    /// As it is now: it grows by the clock, whether calls start and end or all are held up.
    fn grown(mut self, now: Micros) -> Self {
        let rate = Rate::a_minute(self.amount(now));
        if rate != self.bucket.rate() {
            self.bucket.change(rate, now);
        }
        self
    }

    pub(super) fn earliest(&self, tokens: u64, now: Micros) -> Micros {
        self.grown(now).bucket.earliest(tokens, now)
    }

    pub(super) fn take(&mut self, tokens: u64, now: Micros) {
        *self = self.grown(now);
        self.bucket.take(tokens, now);
        self.forgive(now);
    }

    pub(super) fn settle(&mut self, taken: u64, used: u64, now: Micros) {
        *self = self.grown(now);
        self.bucket.settle(taken, used, now);
        self.forgive(now);
    }

    /// No more than a burst is owed.
    fn forgive(&mut self, now: Micros) {
        self.bucket.owe_at_most(self.bucket.rate().burst, now);
    }
}
