//! The simulated prefix cache: each rule by hand, with the hit and the miss just outside.

use kernel_context::sim::{Bill, PrefixCache, Report, SegmentId};
use kernel_types::{CacheModel, Catalogue, Retention, Tokens};

const MINUTE: u64 = 60_000;

fn cache(name: &str) -> PrefixCache {
    PrefixCache::new(*Catalogue::built_in().cache(name).unwrap())
}

/// Segments `from..to`, each of `tokens` tokens.
fn segments(ids: std::ops::Range<u64>, tokens: u64) -> Vec<(SegmentId, u64)> {
    ids.map(|id| (SegmentId(id), tokens)).collect()
}

/// Sends the first `count` segments of 100 tokens with one breakpoint on the last.
fn turn(cache: &mut PrefixCache, at_ms: u64, count: u64) -> Bill {
    let segments = segments(0..count, 100);
    cache.request(at_ms, &segments, &[segments.len() - 1], 0)
}

fn check(bill: Bill, cached: u64, written: u64, plain: u64) {
    assert_eq!((bill.cached, bill.written, bill.plain), (cached, written, plain), "{bill:?}");
    assert_eq!(bill.input, cached + written + plain);
}

/// The example of the documentation, in blocks of 1,000 tokens: turns of 10, 15 and 35 blocks with a breakpoint at the
/// end; the third is one position too long, and a second breakpoint at block 15 mends it.
#[test]
fn twenty_positions_are_searched_and_not_one_more() {
    let turns = |marks: &[usize]| {
        let mut cache = cache("anthropic-5m");
        check(cache.request(1, &segments(0..10, 1000), &[9], 0), 0, 10_000, 0);
        check(cache.request(2, &segments(0..15, 1000), &[14], 0), 10_000, 5_000, 0);
        cache.request(3, &segments(0..35, 1000), marks, 0)
    };
    check(turns(&[34]), 0, 35_000, 0);
    check(turns(&[33]), 15_000, 19_000, 1_000);
    check(turns(&[14, 34]), 15_000, 20_000, 0);
}

#[test]
fn a_prefix_is_kept_from_the_shortest_length() {
    let mut cache = cache("anthropic-5m");
    check(cache.request(1, &segments(0..1, 1023), &[0], 0), 0, 0, 1023);
    check(cache.request(2, &segments(0..1, 1023), &[0], 0), 0, 0, 1023);
    check(cache.request(3, &segments(7..8, 1024), &[0], 0), 0, 1024, 0);
    check(cache.request(4, &segments(7..8, 1024), &[0], 0), 1024, 0, 0);
}

#[test]
fn entries_are_made_at_breakpoints_only() {
    let mut cache = cache("anthropic-5m");
    check(cache.request(1, &segments(0..20, 100), &[19], 0), 0, 2_000, 0);
    let mut other = segments(0..20, 100);
    other[19] = (SegmentId(99), 100);
    // 1,900 tokens are the same, but nobody wrote an entry there.
    check(cache.request(2, &other, &[19], 0), 0, 2_000, 0);
    check(cache.request(3, &other, &[18, 19], 0), 2_000, 0, 0);
    check(cache.request(4, &segments(0..20, 100), &[18], 0), 1_900, 0, 100);
}

#[test]
fn what_comes_after_the_last_breakpoint_is_plain() {
    let mut cache = cache("anthropic-5m");
    check(cache.request(1, &segments(0..20, 100), &[14], 10), 0, 1_500, 500);
    // 1,500 x 0.1 + 300 x 1.25 + 700 + 10 x 5 = 1,275 plain tokens.
    let bill = cache.request(2, &segments(0..25, 100), &[17], 10);
    check(bill, 1_500, 300, 700);
    assert_eq!((bill.output, bill.units), (10, 1_275_000));
}

#[test]
fn without_breakpoints_an_explicit_cache_does_nothing() {
    let mut cache = cache("anthropic-5m");
    for at_ms in 1..4 {
        check(cache.request(at_ms, &segments(0..20, 100), &[], 0), 0, 0, 2_000);
    }
}

#[test]
fn more_breakpoints_than_allowed_leave_the_last_ones() {
    let mut cache = cache("anthropic-5m");
    let first = cache.request(1, &segments(0..60, 100), &[11, 30, 40, 50, 59], 0);
    check(first, 0, 6_000, 0);
    let read = |cache: &mut PrefixCache, count: u64| {
        let mut other = segments(0..count, 100);
        other.push((SegmentId(1_000 + count), 100));
        cache.request(2, &other, &[other.len() - 2], 0).cached
    };
    assert_eq!([12, 31, 41, 51].map(|count| read(&mut cache, count)), [0, 3_100, 4_100, 5_100]);
}

#[test]
fn breakpoints_in_any_order_twice_or_outside_are_the_same_ones() {
    let sent = |marks: &[usize]| {
        let mut cache = cache("anthropic-5m");
        cache.request(1, &segments(0..30, 100), &[12, 25], 0);
        cache.request(2, &segments(0..40, 100), marks, 0)
    };
    assert_eq!(sent(&[12, 39]), sent(&[39, 12, 12, 400, 39]));
}

#[test]
fn a_read_refreshes_the_entry_for_as_long_again() {
    let mut cache = cache("anthropic-5m");
    check(turn(&mut cache, 0, 20), 0, 2_000, 0);
    check(turn(&mut cache, 5 * MINUTE - 1, 20), 2_000, 0, 0);
    check(turn(&mut cache, 10 * MINUTE - 2, 20), 2_000, 0, 0);
    check(turn(&mut cache, 15 * MINUTE - 2, 20), 0, 2_000, 0);
}

#[test]
fn the_entry_read_is_refreshed_too_when_the_prompt_has_grown() {
    let mut cache = cache("anthropic-5m");
    turn(&mut cache, 0, 20);
    check(turn(&mut cache, 4 * MINUTE, 25), 2_000, 500, 0);
    check(turn(&mut cache, 8 * MINUTE, 20), 2_000, 0, 0);
}

#[test]
fn an_hour_costs_twice_and_lasts_an_hour() {
    let mut cache = cache("anthropic-1h");
    assert_eq!(turn(&mut cache, 0, 20).units, 4_000_000);
    check(turn(&mut cache, 60 * MINUTE - 1, 20), 2_000, 0, 0);
    check(turn(&mut cache, 120 * MINUTE, 20), 0, 2_000, 0);
}

#[test]
fn an_entry_is_there_after_the_request_not_during_it() {
    for name in ["anthropic-5m", "openai-gpt5"] {
        let mut cache = cache(name);
        assert_eq!(
            [7, 7, 8].map(|at_ms| turn(&mut cache, at_ms, 20).cached > 0),
            [false, false, true],
            "{name}"
        );
    }
}

#[test]
fn implicit_caches_read_any_earlier_prefix_in_steps() {
    let mut cache = cache("openai-gpt5");
    // 1,024 + 7 x 128 = 1,920 of 2,000 can be cached.
    check(turn(&mut cache, 1, 20), 0, 1_920, 80);
    // The first 1,500 tokens are the same: 1,024 + 3 x 128 = 1,408 of them, and 1,024 + 6 x 128 = 1,792 of 1,800.
    let mut other = segments(0..15, 100);
    other.extend(segments(50..53, 100));
    let bill = cache.request(2, &other, &[], 100);
    check(bill, 1_408, 384, 8);
    // 1,408 x 0.1 + 384 + 8 + 100 x 8 = 1,332.8 plain tokens: writing costs what plain input costs.
    assert_eq!(bill.units, 1_332_800);
    check(turn(&mut cache, 3, 11), 1_024, 0, 76);
    check(turn(&mut cache, 4, 10), 0, 0, 1_000);
}

#[test]
fn implicit_prefixes_expire_and_are_refreshed_by_reads() {
    let mut cache = cache("openai-gpt5");
    turn(&mut cache, 0, 30);
    assert_eq!(turn(&mut cache, 5 * MINUTE - 1, 20).cached, 1_920);
    // What the second request sent is as old as that; what only the first one sent is gone.
    assert_eq!(turn(&mut cache, 6 * MINUTE, 30).cached, 1_920);
    assert_eq!(turn(&mut cache, 11 * MINUTE, 30).cached, 0);
}

#[test]
fn each_provider_has_its_own_steps() {
    let second = |name: &str, tokens: u64| {
        let mut cache = cache(name);
        let segments = [(SegmentId(1), tokens)];
        cache.request(1, &segments, &[], 0);
        cache.request(2, &segments, &[], 0).cached
    };
    assert_eq!(["deepseek", "vllm", "llamacpp"].map(|name| second(name, 1_000)), [960, 992, 1_000]);
    assert_eq!([2_047, 2_048, 2_049].map(|tokens| second("gemini-implicit", tokens)), [0, 2_048, 2_049]);
    assert_eq!(["deepseek", "vllm"].map(|name| second(name, 15)), [0, 0]);
}

#[test]
fn agents_share_what_they_begin_with() {
    let mut cache = cache("anthropic-5m");
    let prompt = |agent: u64| {
        let mut prompt = segments(0..1, 3_500);
        prompt.extend(segments(100 * agent..100 * agent + 5, 100));
        prompt
    };
    check(cache.request(1, &prompt(1), &[0, 5], 0), 0, 4_000, 0);
    check(cache.request(2, &prompt(2), &[0, 5], 0), 3_500, 500, 0);
}

#[test]
fn equal_text_of_another_length_or_place_is_another_prefix() {
    let mut cache = cache("llamacpp");
    cache.request(1, &[(SegmentId(1), 50), (SegmentId(2), 50)], &[], 0);
    assert_eq!(cache.request(2, &[(SegmentId(2), 50), (SegmentId(1), 50)], &[], 0).cached, 0);
    assert_eq!(cache.request(3, &[(SegmentId(1), 51)], &[], 0).cached, 0);
    assert_eq!(cache.request(4, &[(SegmentId(1), 50)], &[], 0).cached, 50);
}

#[test]
fn without_a_cache_all_is_plain() {
    let mut cache = PrefixCache::new(CacheModel::default());
    for at_ms in 1..4 {
        let bill = turn(&mut cache, at_ms, 50);
        check(bill, 0, 0, 5_000);
        assert_eq!(bill.units, 5_000_000);
    }
    assert_eq!(cache.request(9, &[], &[0], 0), Bill::default());
}

#[test]
fn old_entries_are_dropped_and_young_ones_are_not() {
    let mut cache = cache("openai-gpt5");
    for round in 0..100 {
        let own: Vec<_> = segments(round * 100..round * 100 + 100, 100);
        check(cache.request(round * 10_000, &own, &[], 0), 0, 9_984, 16);
        let again = cache.request(round * 10_000 + 1, &own, &[], 0);
        assert_eq!(again.cached, 9_984, "round {round}");
    }
}

#[test]
fn a_report_sums_bills() {
    let bill = Bill { input: 1_000, cached: 600, written: 300, plain: 100, output: 20, units: 635_000 };
    let mut report = Report::new(4_000);
    assert_eq!((report.window_use(), report.cached_share(), report.faults_per_100()), (0.0, 0.0, 0.0));
    report.add(&bill);
    report.add(&Bill { cached: 0, plain: 700, ..bill });
    report.fault(3);
    let same = |left: f64, right: f64| assert!((left - right).abs() < 1e-9, "{left} is not {right}");
    same(report.window_use(), 0.25);
    same(report.cached_share(), 0.3);
    same(report.faults_per_100(), 150.0);
    same(report.ratio(635_000), 2.0);
    let mut twice = report;
    twice.merge(&report);
    assert_eq!((twice.calls, twice.faults, twice.units()), (4, 6, 2 * report.units()));
    same(twice.cached_share(), 0.3);
}

#[test]
fn a_longer_prefix_is_never_read_than_was_sent_before() {
    let model = CacheModel { step: Tokens(100), ..*cache("anthropic-5m").model() };
    let mut cache = PrefixCache::new(model);
    for at_ms in 0..200 {
        let count = at_ms * 37 % 60 + 1;
        let bill = turn(&mut cache, at_ms, count);
        assert_eq!(bill.input, 100 * count);
        assert!(bill.cached + bill.written <= bill.input, "{bill:?}");
    }
}

#[test]
fn what_is_written_to_be_kept_for_longer_costs_more_and_lives_longer() {
    let mut cache = cache("anthropic-5m");
    let segments = segments(0..20, 100);
    let mut kept = |at_s: u64, retention| cache.request_kept(at_s * 1000, &segments, &[19], 0, retention);
    let written = kept(1, Retention::Long);
    assert_eq!((written.written, written.units), (2_000, 4_000_000));
    // Refreshed by a request that asks for no more than the usual: an entry lives as it was written.
    assert_eq!(kept(3_600, Retention::Short).cached, 2_000);
    assert_eq!(kept(7_199, Retention::Short).cached, 2_000);
    let written = kept(10_799, Retention::Short);
    assert_eq!((written.cached, written.units), (0, 2_500_000));
    assert_eq!(kept(11_099, Retention::Long).cached, 0);
}
