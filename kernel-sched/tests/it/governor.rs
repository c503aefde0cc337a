//! The limits of a Cpu, rule by rule.

use kernel_sched::{Admission, CallEnd, CpuLimits, Governor, HeldBy, Micros, Rate, Started};

const SECOND: u64 = 1_000_000;

fn unlimited(slots: u32) -> Governor {
    Governor::new(CpuLimits::default(), slots).unwrap()
}

fn fails(governor: &mut Governor, now: Micros) {
    let call = governor.start(1, now);
    governor.end(call, CallEnd::Failed { tokens: 0, retry_after: None }, now);
}

#[test]
fn a_call_that_would_be_refused_is_not_sent() {
    let rate = Rate::a_minute(10);
    let mut governor =
        Governor::new(CpuLimits { requests: Some(rate), tokens: Some(Rate::a_minute(1_000)) }, 4).unwrap();
    let first = governor.start(50, Micros(0));
    assert_eq!(governor.admits(50, Micros(0)), Admission::At(Micros(6 * SECOND), HeldBy::Requests));
    governor.end(first, CallEnd::Served { tokens: 50 }, Micros(0));
    let second = governor.start(150, Micros(6 * SECOND));
    governor.end(second, CallEnd::Served { tokens: 150 }, Micros(6 * SECOND));
    assert_eq!(governor.admits(100, Micros(12 * SECOND)), Admission::At(Micros(15 * SECOND), HeldBy::Tokens));
    assert_eq!(governor.admits(100, Micros(15 * SECOND)), Admission::Now);
}

#[test]
fn what_was_reserved_and_not_used_comes_back() {
    let limits = CpuLimits { requests: None, tokens: Some(Rate::a_minute(1_000)) };
    let mut governor = Governor::new(limits, 4).unwrap();
    let call = governor.start(100, Micros(0));
    assert_eq!(governor.tokens_left(Micros(0)), Some(0));
    governor.end(call, CallEnd::Served { tokens: 30 }, Micros(0));
    assert_eq!(governor.tokens_left(Micros(0)), Some(70));
}

#[test]
fn a_refusal_stops_all_calls_for_as_long_as_the_provider_asks() {
    let mut governor = unlimited(8);
    let call = governor.start(1, Micros(0));
    governor.end(call, CallEnd::Refused { retry_after: Some(Micros(5 * SECOND)) }, Micros(SECOND));
    assert_eq!(governor.open(Micros(SECOND)), Admission::At(Micros(6 * SECOND), HeldBy::RetryAfter));
    assert_eq!(governor.open(Micros(6 * SECOND)), Admission::Now);
    assert_eq!(governor.refused(), 1);
}

#[test]
fn calls_in_flight_fall_by_a_quarter_at_once_and_grow_one_by_one() {
    let mut governor = unlimited(16);
    let calls: Vec<Started> = (0..16).map(|_| governor.start(1, Micros(0))).collect();
    for call in calls {
        governor.end(call, CallEnd::Refused { retry_after: None }, Micros(1));
    }
    assert_eq!(governor.window(), 12, "one refusal of all that were sent together counts");
    for round in 2..20 {
        let now = Micros(round * 2 * SECOND);
        let call = governor.start(1, now);
        governor.end(call, CallEnd::Refused { retry_after: None }, now);
    }
    assert_eq!(governor.window(), 1, "never none");
    let held = governor.start(1, Micros(100 * SECOND));
    assert_eq!(governor.open(Micros(100 * SECOND)), Admission::AfterAnother(HeldBy::Window));
    governor.end(held, CallEnd::Cancelled { tokens: 0 }, Micros(100 * SECOND));
    let mut grown = Vec::new();
    for _ in 0..200 {
        let call = governor.start(1, Micros(101 * SECOND));
        governor.end(call, CallEnd::Served { tokens: 1 }, Micros(101 * SECOND));
        grown.push(governor.window());
    }
    assert!(grown.windows(2).all(|pair| pair[1] <= pair[0] + 1), "one by one: {grown:?}");
    // One more after as many calls as may be in flight: 1 + 2 + .. + 15 of them.
    assert!(grown[100] < 16, "slowly: {grown:?}");
    assert_eq!(grown.last(), Some(&16), "and all again");
}

#[test]
fn a_dead_cpu_is_probed_by_one_call_at_a_time() {
    let mut governor = unlimited(8);
    for _ in 0..4 {
        fails(&mut governor, Micros(0));
    }
    assert_eq!(governor.open(Micros(0)), Admission::Now, "four failures are not enough");
    fails(&mut governor, Micros(0));
    assert_eq!(governor.open(Micros(0)), Admission::At(Micros(SECOND), HeldBy::Breaker));
    // The pause doubles with each probe that fails, up to a minute.
    let mut now = SECOND;
    for pause in [2, 4, 8, 16, 32, 60, 60] {
        let probe = governor.start(1, Micros(now));
        assert_eq!(governor.open(Micros(now)), Admission::AfterAnother(HeldBy::Breaker));
        governor.end(probe, CallEnd::Failed { tokens: 0, retry_after: None }, Micros(now));
        assert_eq!(governor.open(Micros(now)), Admission::At(Micros(now + pause * SECOND), HeldBy::Breaker));
        now += pause * SECOND;
    }
    let cancelled = governor.start(1, Micros(now));
    governor.end(cancelled, CallEnd::Cancelled { tokens: 0 }, Micros(now));
    assert_eq!(governor.open(Micros(now)), Admission::Now, "the next one is the probe");
    let probe = governor.start(1, Micros(now));
    governor.end(probe, CallEnd::Served { tokens: 1 }, Micros(now));
    let calls: Vec<Started> = (0..8).map(|_| governor.start(1, Micros(now))).collect();
    assert_eq!(calls.len(), 8);
    assert_eq!(governor.in_flight(), 8);
}

#[test]
fn what_gives_way_holds_nobody_up_and_counts_for_the_rates() {
    let mut governor =
        Governor::new(CpuLimits { requests: Some(Rate::a_minute(20)), tokens: None }, 1).unwrap();
    let ping = governor.start_aside(10, Micros(0));
    assert_eq!((governor.in_flight(), governor.requests_left(Micros(0))), (0, Some(1)));
    let call = governor.start(10, Micros(0));
    governor.end(ping, CallEnd::Cancelled { tokens: 0 }, Micros(1));
    assert_eq!(governor.in_flight(), 1);
    governor.end(call, CallEnd::Served { tokens: 10 }, Micros(1));
}

#[test]
fn what_was_in_flight_when_it_broke_does_not_close_it_again() {
    let mut governor = unlimited(8);
    let early = governor.start(1, Micros(0));
    for _ in 0..5 {
        fails(&mut governor, Micros(0));
    }
    governor.end(early, CallEnd::Served { tokens: 1 }, Micros(1));
    assert_eq!(governor.open(Micros(1)), Admission::At(Micros(SECOND), HeldBy::Breaker));
}
