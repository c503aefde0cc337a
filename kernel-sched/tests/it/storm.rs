//! The limits of a Cpu: a simulated provider that refuses what is too much, and callers that want as much as they can get.

use std::collections::{BTreeSet, HashMap};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use kernel_sched::{Admission, Bucket, CallEnd, CpuLimits, Governor, Micros, Rate, Started};

const SECOND: u64 = 1_000_000;

/// What a call in flight comes back with: tokens reserved at the provider, tokens used; or nothing if it was refused.
type Answer = Option<(u64, u64)>;

/// A provider with a bucket of its own and callers that want as much as they can get. Answers take 0.2 to 3 s; refusals 20 to
/// 300 ms, so that more calls are on their way when the first is known.
struct Storm {
    governor: Governor,
    provider: Bucket,
    random: StdRng,
    flying: HashMap<u64, (Started, Answer)>,
    ends: BTreeSet<(u64, u64)>,
    numbers: u64,
    calls: u64,
    refused: u64,
    used: u64,
    /// The most refusals that were on their way at once.
    together: usize,
}

impl Storm {
    fn new(limits: CpuLimits, provider: Rate, slots: u32) -> Self {
        Self {
            governor: Governor::new(limits, slots).unwrap(),
            provider: Bucket::new(provider).expect("sound"),
            random: StdRng::seed_from_u64(7),
            flying: HashMap::new(),
            ends: BTreeSet::new(),
            numbers: 0,
            calls: 0,
            refused: 0,
            used: 0,
            together: 0,
        }
    }

    /// Calls of 200 to 2,000 tokens reserved, of which about half are used, until `end`; from `from` on they are counted.
    fn run(&mut self, slots: usize, start: u64, end: u64, from: u64) {
        (self.calls, self.used, self.refused) = (0, 0, 0);
        let mut now = start;
        let mut wanted = self.random.random_range(200..2_000u64);
        while now < end {
            let mut next = end;
            while self.ends.len() < slots {
                match self.governor.admits(wanted, Micros(now)) {
                    Admission::Now => {}
                    Admission::At(at, _) => {
                        next = next.min(at.0);
                        break;
                    }
                    Admission::AfterAnother(_) => break,
                }
                self.send(wanted, now);
                self.calls += u64::from(now >= from);
                wanted = self.random.random_range(200..2_000);
            }
            now = match self.ends.first() {
                Some((at, _)) if *at <= next => *at,
                _ => next.max(now + 1),
            };
            while let Some((at, number)) = self.ends.first().copied().filter(|(at, _)| *at <= now) {
                self.ends.pop_first();
                self.answer(number, at, at >= from);
            }
        }
    }

    fn send(&mut self, wanted: u64, now: u64) {
        let call = self.governor.start(wanted, Micros(now));
        let refused = self.provider.earliest(wanted, Micros(now)).0 > now;
        let used = wanted * self.random.random_range(20..90) / 100;
        let (time, answer) = if refused {
            (self.random.random_range(SECOND / 50..3 * SECOND / 10), None)
        } else {
            self.provider.take(wanted, Micros(now));
            (self.random.random_range(SECOND / 5..3 * SECOND), Some((wanted, used)))
        };
        self.numbers += 1;
        self.ends.insert((now + time, self.numbers));
        self.flying.insert(self.numbers, (call, answer));
        let together = self.flying.values().filter(|(_, answer)| answer.is_none()).count();
        self.together = self.together.max(together);
    }

    fn answer(&mut self, number: u64, at: u64, counts: bool) {
        let (call, answer) = self.flying.remove(&number).expect("in flight");
        let end = match answer {
            None => {
                self.refused += u64::from(counts);
                CallEnd::Refused { retry_after: Some(Micros(SECOND)) }
            }
            Some((wanted, used)) => {
                self.provider.settle(wanted, used, Micros(at));
                self.used += if counts { used } else { 0 };
                CallEnd::Served { tokens: used }
            }
        };
        self.governor.end(call, end, Micros(at));
    }
}

#[test]
fn a_provider_whose_limit_is_known_refuses_nothing_and_is_used_up() {
    let provider = Rate { amount: 60_000, per: Micros(60 * SECOND), burst: 60_000 };
    let limits = CpuLimits { requests: None, tokens: Some(Rate { burst: 6_000, ..provider }) };
    let mut storm = Storm::new(limits, provider, 64);
    storm.run(64, 0, 1_800 * SECOND, 120 * SECOND);
    assert_eq!(storm.refused, 0, "of {}", storm.calls);
    let allowed = 60_000 * 28;
    assert!(storm.used * 100 >= allowed * 97, "{} of {allowed}", storm.used);
}

#[test]
fn a_storm_of_refusals_is_weathered_without_knowing_the_limit() {
    let provider = Rate { amount: 60_000, per: Micros(60 * SECOND), burst: 3_000 };
    let mut storm = Storm::new(CpuLimits::default(), provider, 64);
    storm.run(64, 0, 1_800 * SECOND, 120 * SECOND);
    assert!(storm.refused * 50 <= storm.calls, "{} of {} refused", storm.refused, storm.calls);
    let allowed = 60_000 * 28;
    assert!(storm.used * 100 >= allowed * 75, "{} of {allowed}", storm.used);
    assert!(storm.together > 10, "a storm: {} refused at once at most", storm.together);
}

#[test]
fn a_limit_that_is_cut_by_half_costs_a_few_refusals() {
    let provider = Rate { amount: 60_000, per: Micros(60 * SECOND), burst: 6_000 };
    let limits = CpuLimits { requests: None, tokens: Some(provider) };
    let mut storm = Storm::new(limits, provider, 64);
    storm.run(64, 0, 600 * SECOND, 0);
    assert_eq!(storm.refused, 0);
    // The provider halves its limit; who configured the old one still believes in it.
    storm.provider.change(Rate { amount: 30_000, ..provider }, Micros(600 * SECOND));
    storm.run(64, 600 * SECOND, 1_800 * SECOND, 660 * SECOND);
    assert!(storm.refused * 50 <= storm.calls, "{} of {} refused", storm.refused, storm.calls);
    let allowed = 30_000 * 19;
    assert!(storm.used * 100 >= allowed * 85, "{} of {allowed}", storm.used);
    storm
        .governor
        .change(
            CpuLimits { requests: None, tokens: Some(Rate { amount: 30_000, ..provider }) },
            Micros(1_800 * SECOND),
        )
        .unwrap();
    storm.run(64, 1_800 * SECOND, 2_400 * SECOND, 1_900 * SECOND);
    assert!(
        storm.refused * 1000 <= storm.calls,
        "told the new limit: {} of {} refused",
        storm.refused,
        storm.calls
    );
}
