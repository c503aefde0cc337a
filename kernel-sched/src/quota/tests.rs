//! Single cases of quotas; their laws are in the integration tests.

use kernel_types::{Budget, LimitName, MicroUsd, Millis, Reservation, Retry, Tokens};

use super::{Allowance, Counted, QuotaError, Quotas, Refused};
use crate::{Micros, Rate};

const SECOND: u64 = 1_000_000;

fn tokens(count: u64) -> Reservation {
    Reservation { tokens: Tokens(count), ..Reservation::default() }
}

/// So many tokens a span of so many seconds.
fn rate(amount: u64, seconds: u64, burst: u64) -> (Counted, Rate) {
    (Counted::Tokens, Rate { amount, per: Micros(seconds * SECOND), burst })
}

fn rates(rates: &[(Counted, Rate)]) -> Allowance {
    Allowance { rates: rates.to_vec(), ..Allowance::default() }
}

fn budget(count: u64) -> Allowance {
    Allowance { tokens: Some(Tokens(count)), ..Allowance::default() }
}

/// A chain of accounts 0, 1, ..: the first is the root.
fn chain(limits: impl IntoIterator<Item = Allowance>) -> Quotas<usize> {
    let mut quotas = Quotas::new();
    for (key, limits) in limits.into_iter().enumerate() {
        quotas.open(key, key.checked_sub(1), limits).expect("it is new");
    }
    quotas
}

/// When so many tokens may be had, without having them.
fn earliest(quotas: &Quotas<usize>, key: usize, count: u64, now: u64) -> u64 {
    match quotas.clone().reserve(key, tokens(0), tokens(count), Micros(now)) {
        Ok(_hold) => now,
        Err(Refused::Rate { at, .. }) => at.0,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_nearest_budget_that_is_short_is_named() {
    let mut quotas = chain([budget(100), budget(50), budget(70)]);
    let refused = |key, left, needed| Refused::Budget { key, limit: LimitName::Tokens, left, needed };
    assert_eq!(quotas.reserve(2, tokens(80), tokens(0), Micros(0)), Err(refused(2, 70, 80)));
    assert_eq!(quotas.reserve(2, tokens(60), tokens(0), Micros(0)), Err(refused(1, 50, 60)));
    let hold = quotas.reserve(2, tokens(50), tokens(0), Micros(0)).expect("it fits everywhere");
    assert_eq!(quotas.reserve(1, tokens(1), tokens(0), Micros(0)), Err(refused(1, 0, 1)));
    assert_eq!(quotas.reserve(0, tokens(51), tokens(0), Micros(0)), Err(refused(0, 50, 51)));
    quotas.refund(hold, Micros(0));
    let said = refused(1, 50, 60).to_string();
    assert_eq!(said, "60 tokens needed, 50 left of the budget of 1");
}

#[test]
fn a_budget_is_refused_before_a_rate() {
    let mut quotas = chain([rates(&[rate(1, 1, 1)]), budget(5)]);
    quotas.settle(
        quotas.clone().reserve(1, tokens(1), tokens(1), Micros(0)).expect("the first"),
        tokens(1),
        Micros(0),
    );
    let refused = quotas.reserve(1, tokens(9), tokens(1), Micros(0)).expect_err("both are short");
    assert!(matches!(refused, Refused::Budget { .. }), "{refused}");
    assert_eq!(refused.retry(Micros(0)), Retry::Never);
}

#[test]
fn the_latest_of_the_rates_is_named() {
    let mut quotas = chain([rates(&[rate(10, 1, 10)]), rates(&[rate(60, 60, 10), rate(100, 1, 10)])]);
    let _hold = quotas.reserve(1, tokens(0), tokens(10), Micros(0)).expect("full buckets");
    let refused = quotas.reserve(1, tokens(0), tokens(10), Micros(0)).expect_err("empty buckets");
    assert_eq!(refused, Refused::Rate { key: 1, counted: Counted::Tokens, at: Micros(10 * SECOND) });
    assert_eq!(refused.retry(Micros(SECOND / 2)), Retry::After(Millis(9_500)));
    assert_eq!(earliest(&quotas, 0, 10, 0), SECOND);
}

#[test]
fn an_estimate_above_the_burst_waits_for_a_full_bucket_and_is_owed() {
    let mut quotas = chain([rates(&[rate(10, 1, 10)])]);
    let _small = quotas.reserve(0, tokens(0), tokens(5), Micros(0)).expect("within the burst");
    assert_eq!(earliest(&quotas, 0, 30, 0), SECOND / 2);
    let _large = quotas.reserve(0, tokens(0), tokens(30), Micros(SECOND / 2)).expect("the bucket is full");
    assert_eq!(earliest(&quotas, 0, 1, SECOND / 2), 2 * SECOND + 600_000);
    assert_eq!(earliest(&quotas, 0, 0, SECOND / 2), SECOND / 2, "who needs none does not wait");
}

#[test]
fn a_cut_rate_keeps_what_is_owed_to_it_wherever_it_stands() {
    let mut quotas = chain([rates(&[rate(60, 60, 60), rate(1_000, 3_600, 1_000)])]);
    let _hold = quotas.reserve(0, tokens(0), tokens(60), Micros(0)).expect("full buckets");
    // Cut by half and in another order: 60 are owed to the one of a minute.
    quotas.change(0, rates(&[rate(1_000, 3_600, 1_000), rate(30, 60, 60)]), Micros(0)).expect("sound");
    assert_eq!(earliest(&quotas, 0, 1, 0), 2 * SECOND);
    // Another period: it takes the place of the only one that is left over.
    quotas.change(0, rates(&[rate(1_000, 3_600, 1_000), rate(1, 1, 60)]), Micros(0)).expect("sound");
    assert_eq!(earliest(&quotas, 0, 1, 0), SECOND);
}

#[test]
fn a_rate_set_while_calls_are_in_flight_counts_them() {
    let mut quotas = chain([Allowance::default()]);
    let first = quotas.reserve(0, tokens(0), tokens(6), Micros(0)).expect("no limit");
    let second = quotas.reserve(0, tokens(0), tokens(4), Micros(0)).expect("no limit");
    quotas.change(0, rates(&[rate(1, 1, 10)]), Micros(0)).expect("sound");
    assert_eq!(earliest(&quotas, 0, 1, 0), SECOND, "ten are in flight");
    quotas.settle(first, tokens(1), Micros(0));
    quotas.refund(second, Micros(0));
    assert_eq!(earliest(&quotas, 0, 9, 0), 0, "one was used");
    assert_eq!(earliest(&quotas, 0, 10, 0), SECOND);
}

#[test]
fn what_exceeds_the_most_is_charged_and_stops_the_next() {
    let mut quotas = chain([budget(100)]);
    let hold = quotas.reserve(0, tokens(90), tokens(0), Micros(0)).expect("it fits");
    quotas.settle(hold, tokens(130), Micros(0));
    assert_eq!((quotas.spent(0), quotas.held(0)), (Some(tokens(130)), Some(tokens(0))));
    let refused = quotas.reserve(0, tokens(1), tokens(0), Micros(0)).expect_err("overspent");
    assert_eq!(refused, Refused::Budget { key: 0, limit: LimitName::Tokens, left: 0, needed: 1 });
    quotas.refund(
        quotas.clone().reserve(0, tokens(0), tokens(0), Micros(0)).expect("it needs none"),
        Micros(0),
    );
    let more = Budget { tokens: Some(Tokens(31)), cost: Some(MicroUsd(5)), ..Budget::default() };
    quotas.grant(0, &more).expect("it is there");
    assert_eq!(quotas.limits(0), Some(&budget(131)), "what is unlimited stays so");
    let _hold = quotas.reserve(0, tokens(1), tokens(0), Micros(0)).expect("one is left");
}

#[test]
fn what_a_closed_account_spent_stays_spent_above() {
    let mut quotas = chain([budget(100), Allowance::default(), Allowance::default()]);
    quotas.charge(2, tokens(30)).expect("it is there");
    let hold = quotas.reserve(2, tokens(9), tokens(0), Micros(0)).expect("it fits");
    assert_eq!(quotas.close(1), Err(QuotaError::InUse { key: 1, below: 1, holds: 0 }));
    assert_eq!(quotas.close(2), Err(QuotaError::InUse { key: 2, below: 0, holds: 1 }));
    quotas.settle(hold, tokens(5), Micros(0));
    quotas.close(2).expect("nothing is held");
    quotas.close(1).expect("nothing is below");
    assert_eq!(quotas.spent(0), Some(tokens(35)));
    assert_eq!((quotas.spent(1), quotas.contains(1), quotas.is_limited(1)), (None, false, false));
    assert_eq!(quotas.close(1), Err(QuotaError::Unknown(1)));
    assert_eq!(quotas.charge(1, tokens(1)), Err(QuotaError::Unknown(1)));
    assert_eq!(quotas.reserve(1, tokens(1), tokens(1), Micros(0)), Err(Refused::Unknown(1)));
    quotas.open(1, Some(0), Allowance::default()).expect("it is new again");
    assert_eq!((quotas.spent(1), quotas.is_limited(1)), (Some(tokens(0)), true));
}

#[test]
fn an_unsound_rate_changes_nothing() {
    let (good, bad) = (rates(&[rate(1, 1, 1)]), rate(0, 1, 1));
    let mut quotas = chain([good.clone()]);
    let unsound = |key| QuotaError::Unsound { key, counted: Counted::Tokens, rate: bad.1 };
    assert_eq!(quotas.change(0, rates(&[rate(5, 1, 5), bad]), Micros(0)), Err(unsound(0)));
    assert_eq!(quotas.open(1, Some(0), rates(&[bad])), Err(unsound(1)));
    assert_eq!((quotas.limits(0), quotas.contains(1)), (Some(&good), false));
    quotas.close(0).expect("nothing was opened below it");
}

#[test]
fn sums_stay_exact_beyond_the_largest_number() {
    let mut quotas = chain([Allowance::default()]);
    let mut hold = || quotas.reserve(0, tokens(u64::MAX), tokens(u64::MAX), Micros(0)).expect("no limit");
    let (first, second, small) = (hold(), hold(), hold());
    assert_eq!(quotas.held(0), Some(tokens(u64::MAX)), "clamped");
    quotas.refund(first, Micros(0));
    quotas.refund(second, Micros(0));
    quotas.settle(small, tokens(3), Micros(0));
    assert_eq!((quotas.held(0), quotas.spent(0)), (Some(tokens(0)), Some(tokens(3))));
}

#[test]
fn a_call_that_waits_holds_budgets_and_no_rate() {
    let limits =
        Allowance { tokens: Some(Tokens(1_000)), rates: vec![rate(60, 60, 100)], ..Allowance::default() };
    let mut quotas = chain([limits, Allowance::default()]);
    let mut hold = quotas.reserve(1, tokens(400), tokens(0), Micros(0)).expect("it fits");
    assert_eq!(quotas.available(0, Micros(0)), [100]);
    quotas.start(&mut hold, tokens(80), Micros(0)).expect("the bucket is full");
    assert_eq!((quotas.held(0), quotas.available(0, Micros(0))), (Some(tokens(400)), vec![20]));
    // The attempt used a little; the rate has the rest back, the budget stays held.
    quotas.lose(&mut hold, tokens(10), Micros(0));
    assert_eq!((quotas.held(0), quotas.spent(0)), (Some(tokens(400)), Some(tokens(10))));
    assert_eq!(quotas.available(0, Micros(0)), [90]);
    let early = Refused::Rate { key: 0, counted: Counted::Tokens, at: Micros(5 * SECOND) };
    assert_eq!(quotas.start(&mut hold, tokens(95), Micros(0)), Err(early));
    quotas.start(&mut hold, tokens(90), Micros(0)).expect("so much is there");
    quotas.settle(hold, tokens(70), Micros(0));
    assert_eq!((quotas.held(0), quotas.spent(0)), (Some(tokens(0)), Some(tokens(80))));
    assert_eq!(quotas.available(0, Micros(0)), [20]);
    assert_eq!(quotas.close(1), Ok(()), "nothing is held any more");
}
