//! How long this agent is away between two requests, learned from what it did.
//!
//! A gap lasts from the start of one request to the start of the next, since that is what a cache's time to live is held
//! against. Gaps are counted in buckets, four to an octave, so that seconds and hours are told apart equally well; older
//! ones count less. Within a bucket they are spread evenly. The arithmetic is exact on all machines: replay must come to the
//! same.

use serde::{Deserialize, Serialize};

/// Gaps below 2^6 ms share the first bucket.
const FIRST: u32 = 6;
/// Gaps of 2^27 ms (37 hours) and more share the last.
const LAST: u32 = 27;
/// Buckets of an octave.
const PARTS: usize = 4;
/// All buckets.
const BUCKETS: usize = 2 + (LAST - FIRST) as usize * PARTS;
/// What one gap counts.
const UNIT: u16 = 16;
/// After so many gaps, older ones count half.
const MEMORY: u32 = 256;
/// Before anything is known: as if so many short gaps had been seen.
const PRIOR: f64 = 4.0;

/// Counts of gaps by their length.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Gaps {
    /// When the last request was sent, in milliseconds since 1970.
    last_ms: Option<u64>,
    /// What the gaps of each bucket count; empty ones at the end left out.
    counts: Vec<u16>,
}

impl Gaps {
    /// A request was sent.
    pub(crate) fn request(&mut self, at_ms: u64) {
        let gap = self.last_ms.and_then(|last| at_ms.checked_sub(last));
        self.last_ms = Some(at_ms);
        let Some(gap) = gap else { return };
        let bucket = bucket(gap);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += UNIT;
        if self.total() >= 2 * MEMORY * u32::from(UNIT) {
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// When the last request was sent.
    pub(crate) const fn last_ms(&self) -> Option<u64> {
        self.last_ms
    }

    /// How probable it is that the next request comes later than so long after the last.
    pub(crate) fn survival(&self, ms: u64) -> f64 {
        let at = bucket(ms);
        let longer: u32 = self.counts.iter().skip(at + 1).map(|count| u32::from(*count)).sum();
        let here = self.counts.get(at).copied().map_or(0.0, f64::from);
        let (from, to) = (lower(at), lower(at + 1));
        let rest = to.saturating_sub(ms) as f64 / (to - from) as f64;
        let seen = f64::from(longer) + here * rest;
        seen / (f64::from(self.total()) + PRIOR * f64::from(UNIT))
    }

    fn total(&self) -> u32 {
        self.counts.iter().map(|count| u32::from(*count)).sum()
    }

    /// Whether saved counts can be ours.
    pub(crate) fn is_sane(&self) -> bool {
        self.counts.len() <= BUCKETS && self.total() < 2 * MEMORY * u32::from(UNIT)
    }
}

/// The bucket of a gap of so many milliseconds.
fn bucket(ms: u64) -> usize {
    let octave = ms.checked_ilog2().unwrap_or(0);
    if octave < FIRST {
        return 0;
    }
    if octave >= LAST {
        return BUCKETS - 1;
    }
    let part = (ms >> (octave - 2)) as usize % PARTS;
    1 + (octave - FIRST) as usize * PARTS + part
}

/// The shortest gap of a bucket. The last ends where another octave would.
fn lower(bucket: usize) -> u64 {
    match bucket.checked_sub(1) {
        None => 0,
        Some(_) if bucket >= BUCKETS => 1 << (LAST + 1),
        Some(above) => ((PARTS + above % PARTS) as u64) << (above / PARTS + FIRST as usize - 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(gaps: &[u64]) -> Gaps {
        let mut seen = Gaps::default();
        let mut at = 1_000;
        seen.request(at);
        for gap in gaps {
            at += gap;
            seen.request(at);
        }
        seen
    }

    #[test]
    fn buckets_are_in_order_and_have_no_gaps() {
        for at in 0..BUCKETS {
            assert!(lower(at) < lower(at + 1), "{at}");
            assert_eq!((bucket(lower(at)), bucket(lower(at + 1) - 1)), (at, at));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn survival_falls_from_what_is_known_to_nothing() {
        let gaps = seen(&[1_000, 2_000, 400_000, 400_000, 90_000_000_000]);
        let at = [0, 500, 1_500, 3_000, 300_000, 500_000, 100_000_000, u64::MAX].map(|ms| gaps.survival(ms));
        assert!(at.is_sorted_by(|a, b| a >= b), "{at:?}");
        assert!((at[1] - 5.0 / 9.0).abs() < 1e-9 && (at[4] - 3.0 / 9.0).abs() < 1e-9, "{at:?}");
        assert!((at[6] - 1.0 / 9.0).abs() < 1e-9 && at[7] == 0.0, "{at:?}");
        assert_eq!(Gaps::default().survival(0), 0.0, "of what nobody saw nothing is expected");
    }

    #[test]
    fn older_gaps_fade_and_a_clock_that_goes_back_is_no_gap() {
        let mut gaps = seen(&[400_000; 50]);
        let before = gaps.survival(300_000);
        let mut at = gaps.last_ms().unwrap();
        for _ in 0..2_000 {
            at += 5_000;
            gaps.request(at);
            assert!(gaps.is_sane());
        }
        assert!(before > 0.9 && gaps.survival(300_000) < 0.01);
        let known = gaps.survival(1);
        gaps.request(5);
        assert_eq!((gaps.survival(1), gaps.last_ms()), (known, Some(5)));
    }
}
