//! Quotas beside a naive model that keeps a log of everything, and what they promise of any stretch of it.

use std::collections::BTreeMap;

use kernel_sched::{Allowance, Counted, Hold, Micros, QuotaError, Quotas, Rate, Refused};
use kernel_types::{Budget, LimitName, MicroUsd, Reservation, Tokens};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::soak::walks;

/// Operations after which the model starts anew, whose logs get ever longer; the quotas live on.
const OPERATIONS: u64 = 1_000;
const KEYS: u64 = 14;
const DEEPEST: usize = 5;

fn amounts(calls: u64, tokens: u64, cost: u64) -> Reservation {
    Reservation { calls, tokens: Tokens(tokens), cost: MicroUsd(cost), ..Reservation::default() }
}

fn sum(of: impl Iterator<Item = Reservation>) -> Reservation {
    of.fold(Reservation::default(), |sum, next| {
        amounts(sum.calls + next.calls, sum.tokens.0 + next.tokens.0, sum.cost.0 + next.cost.0)
    })
}

fn lifetime(limits: &Allowance, counted: Counted) -> Option<u64> {
    match counted {
        Counted::Calls => limits.calls,
        Counted::Tokens => limits.tokens.map(|tokens| tokens.0),
        Counted::Cost => limits.cost.map(|cost| cost.0),
    }
}

/// A line of an account's log.
#[derive(Clone, Debug)]
enum Line {
    Held { at: u64, most: Reservation, estimate: Reservation },
    Settled { at: u64, most: Reservation, estimate: Reservation, used: Reservation },
    Charged(Reservation),
    Changed { at: u64, before: Vec<(Counted, Rate)>, after: Vec<(Counted, Rate)> },
}

/// An account of the model: nothing but its limits and its log.
#[derive(Clone, Debug)]
struct Account {
    above: Option<u64>,
    limits: Allowance,
    first_rates: Vec<(Counted, Rate)>,
    log: Vec<Line>,
}

impl Account {
    fn spent(&self) -> Reservation {
        sum(self.log.iter().filter_map(|line| match line {
            Line::Settled { used, .. } | Line::Charged(used) => Some(*used),
            _ => None,
        }))
    }

    fn held(&self) -> Reservation {
        let held = sum(self.log.iter().filter_map(|line| match line {
            Line::Held { most, .. } => Some(*most),
            _ => None,
        }));
        let settled = sum(self.log.iter().filter_map(|line| match line {
            Line::Settled { most, .. } => Some(*most),
            _ => None,
        }));
        amounts(held.calls - settled.calls, held.tokens.0 - settled.tokens.0, held.cost.0 - settled.cost.0)
    }

    /// What is owed to each rate at this time, in units times the period.
    fn debts(&self, now: u64) -> Vec<(Counted, Rate, i128)> {
        let mut debts: Vec<_> = self.first_rates.iter().map(|(counted, rate)| (*counted, *rate, 0)).collect();
        let mut in_flight = [0_i128; 3];
        let mut clock = 0;
        let mut drain = |debts: &mut Vec<(Counted, Rate, i128)>, at: u64| {
            for (_, rate, debt) in debts {
                *debt = (*debt - i128::from(at - clock) * i128::from(rate.amount)).max(0);
            }
            clock = at;
        };
        for line in &self.log {
            match line {
                Line::Held { at, estimate, .. } => {
                    drain(&mut debts, *at);
                    for (counted, rate, debt) in &mut debts {
                        *debt += i128::from(counted.of(estimate)) * i128::from(rate.per.0);
                    }
                    for counted in Counted::ALL {
                        in_flight[counted as usize] += i128::from(counted.of(estimate));
                    }
                }
                Line::Settled { at, estimate, used, .. } => {
                    drain(&mut debts, *at);
                    for (counted, rate, debt) in &mut debts {
                        let error = i128::from(counted.of(used)) - i128::from(counted.of(estimate));
                        *debt = (*debt + error * i128::from(rate.per.0)).max(0);
                    }
                    for counted in Counted::ALL {
                        in_flight[counted as usize] -= i128::from(counted.of(estimate));
                    }
                }
                Line::Changed { at, before, after } => {
                    drain(&mut debts, *at);
                    debts = changed(&debts, before, after, &in_flight);
                }
                Line::Charged(_) => {}
            }
        }
        drain(&mut debts, now);
        debts
    }
}

/// What is owed stays owed, in whole units: to the rate of the same period, or to the only one that counts the same.
fn changed(
    debts: &[(Counted, Rate, i128)],
    before: &[(Counted, Rate)],
    after: &[(Counted, Rate)],
    in_flight: &[i128; 3],
) -> Vec<(Counted, Rate, i128)> {
    let place = |counted: Counted, rate: &Rate| {
        let same = before.iter().position(|(of, was)| *of == counted && was.per == rate.per);
        same.or_else(|| before.iter().position(|(of, _)| *of == counted))
    };
    let owed = |counted: Counted, rate: &Rate| {
        let per = i128::from(rate.per.0);
        match place(counted, rate) {
            Some(place) => {
                let (_, was, debt) = debts[place];
                (debt as u128).div_ceil(u128::from(was.per.0)) as i128 * per
            }
            None => in_flight[counted as usize] * per,
        }
    };
    after.iter().map(|(counted, rate)| (*counted, *rate, owed(*counted, rate))).collect()
}

/// Whether a rate to which so much is owed lets this through after another so many microseconds.
fn passes(debt: i128, rate: &Rate, units: u64, later: u64) -> bool {
    let debt = (debt - i128::from(later) * i128::from(rate.amount)).max(0);
    let (units, burst, per) = (i128::from(units), i128::from(rate.burst), i128::from(rate.per.0));
    units == 0 || debt + units * per <= burst * per || (units > burst && debt == 0)
}

#[derive(Default)]
struct Model {
    accounts: BTreeMap<u64, Account>,
}

impl Model {
    fn path(&self, key: u64) -> Vec<u64> {
        let mut path = vec![key];
        while let Some(above) = self.accounts[&path[path.len() - 1]].above {
            path.push(above);
        }
        path
    }

    fn note(&mut self, key: u64, line: &Line) {
        for key in self.path(key) {
            self.accounts.get_mut(&key).unwrap().log.push(line.clone());
        }
    }

    /// The budget that is short: whose, which, what is left, what is needed.
    fn short(&self, key: u64, most: &Reservation) -> Option<(u64, LimitName, u64, u64)> {
        self.path(key).into_iter().find_map(|key| {
            let account = &self.accounts[&key];
            let (spent, held) = (account.spent(), account.held());
            Counted::ALL.into_iter().find_map(|counted| {
                let left = lifetime(&account.limits, counted)?
                    .saturating_sub(counted.of(&spent))
                    .saturating_sub(counted.of(&held));
                let name = [LimitName::Calls, LimitName::Tokens, LimitName::Cost][counted as usize];
                (counted.of(most) > left).then(|| (key, name, left, counted.of(most)))
            })
        })
    }

    fn rates_pass(&self, key: u64, estimate: &Reservation, now: u64, later: u64) -> bool {
        self.path(key).into_iter().all(|key| {
            let debts = self.accounts[&key].debts(now);
            debts.iter().all(|(counted, rate, debt)| passes(*debt, rate, counted.of(estimate), later))
        })
    }
}

/// Both of them, and a random caller. An honest one uses at most what it said, cuts no limit and charges nothing.
struct Walk {
    quotas: Quotas<u64>,
    model: Model,
    random: StdRng,
    now: u64,
    honest: bool,
    flying: Vec<(Hold<u64>, Reservation, Reservation)>,
    granted: usize,
    late: usize,
    short: usize,
}

impl Walk {
    fn new(seed: u64) -> Self {
        Self {
            quotas: Quotas::default(),
            model: Model::default(),
            random: StdRng::seed_from_u64(seed),
            now: 0,
            honest: seed.is_multiple_of(2),
            flying: Vec::new(),
            granted: 0,
            late: 0,
            short: 0,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn key(&mut self) -> u64 {
        self.random.random_range(0..KEYS)
    }

    fn rate(&mut self, counted: Counted) -> (Counted, Rate) {
        let scale = if counted == Counted::Calls { 1 } else { 300 };
        let amount = self.random.random_range(1..=60) * scale;
        let per = Micros([1_000, 60_000, 1_000_000][self.random.random_range(0..3)]);
        (counted, Rate { amount, per, burst: self.random.random_range(1..=amount) })
    }

    fn allowance(&mut self) -> Allowance {
        let mut rates = Vec::new();
        for counted in Counted::ALL {
            if self.chance(25) {
                rates.push(self.rate(counted));
            }
        }
        let mut limit = |most: u64| self.random.random_bool(0.12).then(|| self.random.random_range(0..most));
        let (calls, tokens, cost) = (limit(300), limit(400_000), limit(200_000));
        Allowance { calls, tokens: tokens.map(Tokens), cost: cost.map(MicroUsd), rates }
    }

    fn step(&mut self) {
        self.now += [0, 1, 50, 3_000, 200_000][self.random.random_range(0..5)];
        match self.random.random_range(0..100) {
            0..50 => self.reserve(),
            50..80 => self.settle(),
            80..88 => self.open(),
            88..91 => self.close(),
            91..96 => self.change(),
            96..98 => self.grant(),
            _ => self.charge(),
        }
    }

    fn open(&mut self) {
        let (key, limits) = (self.key(), self.allowance());
        let above = if self.chance(20) { None } else { Some(self.key()) };
        let parent = above.and_then(|above| self.model.accounts.get(&above).map(|_| above));
        if parent.is_some_and(|above| self.model.path(above).len() >= DEEPEST) {
            return;
        }
        let expected = match above {
            _ if self.model.accounts.contains_key(&key) => Err(QuotaError::Exists(key)),
            Some(above) if parent.is_none() => Err(QuotaError::Unknown(above)),
            _ => Ok(()),
        };
        assert_eq!(self.quotas.open(key, above, limits.clone()), expected);
        if expected.is_ok() {
            let first_rates = limits.rates.clone();
            self.model.accounts.insert(key, Account { above, limits, first_rates, log: Vec::new() });
        }
    }

    fn close(&mut self) {
        let key = self.key();
        let below = self.model.accounts.values().filter(|account| account.above == Some(key)).count();
        let holds = self.flying.iter().filter(|(hold, ..)| hold.key() == key).count();
        let expected = match self.model.accounts.get(&key) {
            None => Err(QuotaError::Unknown(key)),
            Some(_) if below + holds > 0 => Err(QuotaError::InUse { key, below, holds }),
            Some(_) => Ok(()),
        };
        assert_eq!(self.quotas.close(key), expected);
        if expected.is_ok() {
            self.model.accounts.remove(&key);
        }
    }

    /// Cut by half, raised, other periods, rates gone or new.
    fn change(&mut self) {
        let key = self.key();
        let Some(account) = self.model.accounts.get(&key) else { return };
        let before = account.limits.clone();
        let mut after = before.clone();
        match self.random.random_range(0..4) {
            0 => {
                for (_, rate) in &mut after.rates {
                    (rate.amount, rate.burst) = (rate.amount.div_ceil(2), rate.burst.div_ceil(2));
                }
            }
            1 => after.rates.clone_from(&self.allowance().rates),
            2 if !self.honest => {
                after.calls = after.calls.map(|calls| calls / 2);
                after.tokens = after.tokens.map(|tokens| Tokens(tokens.0 / 2));
                after.cost = after.cost.map(|cost| MicroUsd(cost.0 / 2));
            }
            _ => after.rates.reverse(),
        }
        self.quotas.change(key, after.clone(), Micros(self.now)).unwrap();
        let account = self.model.accounts.get_mut(&key).unwrap();
        account.limits = after.clone();
        account.log.push(Line::Changed { at: self.now, before: before.rates, after: after.rates });
    }

    fn grant(&mut self) {
        let (key, more) = (self.key(), self.random.random_range(0..1_000));
        let Some(account) = self.model.accounts.get_mut(&key) else { return };
        let limits = &mut account.limits;
        limits.tokens = limits.tokens.map(|tokens| Tokens(tokens.0 + more));
        let more = Budget { tokens: Some(Tokens(more)), ..Budget::default() };
        self.quotas.grant(key, &more).unwrap();
    }

    fn charge(&mut self) {
        let (key, used) = (self.key(), amounts(1, self.random.random_range(0..500), 3));
        if self.honest {
            return;
        }
        let known = self.model.accounts.contains_key(&key);
        let expected = if known { Ok(()) } else { Err(QuotaError::Unknown(key)) };
        assert_eq!(self.quotas.charge(key, used), expected);
        if known {
            self.model.note(key, &Line::Charged(used));
        }
    }

    /// What a call holds at most, what it is expected to use, what it will use: the estimate is right or off by ten.
    fn call(&mut self) -> (Reservation, Reservation, Reservation) {
        let mut number = |most: u64| {
            let estimate = self.random.random_range(0..=most);
            let used = [estimate / 10, estimate, estimate * 10][self.random.random_range(0..3)];
            let more = self.random.random_range(0..=most);
            let most = if self.honest { used + more } else { more };
            (most, estimate, used)
        };
        let (tokens, cost) = (number(2_000), number(1_000));
        let most = amounts(1, tokens.0, cost.0);
        (most, amounts(1, tokens.1, cost.1), amounts(1, tokens.2, cost.2))
    }

    fn reserve(&mut self) {
        let (key, now) = (self.key(), self.now);
        let (most, estimate, used) = self.call();
        let before = self.chance(2).then(|| self.quotas.clone());
        let answer = self.quotas.reserve(key, most, estimate, Micros(now));
        if let (Some(before), true) = (before, answer.is_err()) {
            assert_eq!(self.quotas, before, "what is refused changes nothing");
        }
        if !self.model.accounts.contains_key(&key) {
            return assert_eq!(answer, Err(Refused::Unknown(key)));
        }
        let short = self.model.short(key, &most);
        match answer {
            Err(Refused::Unknown(key)) => panic!("{key} is there"),
            Err(Refused::Budget { key, limit, left, needed }) => {
                assert_eq!(short, Some((key, limit, left, needed)));
                self.short += 1;
            }
            Err(Refused::Rate { at, .. }) => {
                assert_eq!(short, None);
                assert!(at.0 > now);
                assert!(
                    self.model.rates_pass(key, &estimate, now, at.0 - now),
                    "it may pass when it was told"
                );
                assert!(!self.model.rates_pass(key, &estimate, now, at.0 - now - 1), "and no sooner");
                self.late += 1;
                if self.chance(30) {
                    self.now = at.0;
                }
            }
            Ok(hold) => {
                assert_eq!(short, None);
                assert!(self.model.rates_pass(key, &estimate, now, 0), "rates let it through");
                self.model.note(key, &Line::Held { at: now, most, estimate });
                self.flying.push((hold, estimate, used));
                self.granted += 1;
            }
        }
    }

    fn settle(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let place = self.random.random_range(0..self.flying.len());
        let (hold, estimate, used) = self.flying.swap_remove(place);
        let (key, most) = (hold.key(), hold.most());
        let used = if self.chance(10) { Reservation::default() } else { used };
        self.model.note(key, &Line::Settled { at: self.now, most, estimate, used });
        if used == Reservation::default() {
            self.quotas.refund(hold, Micros(self.now));
        } else {
            self.quotas.settle(hold, used, Micros(self.now));
        }
    }

    /// All calls come back, all accounts are closed.
    fn start_anew(&mut self) {
        while !self.flying.is_empty() {
            self.settle();
        }
        self.check();
        let accounts = std::mem::take(&mut self.model.accounts);
        let mut keys: Vec<u64> = accounts.keys().copied().collect();
        assert!(
            keys.iter().all(|key| self.quotas.held(*key) == Some(Reservation::default())),
            "held for ever"
        );
        // Each before those above it.
        while !keys.is_empty() {
            keys.retain(|key| self.quotas.close(*key).is_err());
        }
        assert_eq!(self.quotas.keys().count(), 0);
    }

    fn check(&self) {
        for (key, account) in &self.model.accounts {
            let (spent, held) = (self.quotas.spent(*key).unwrap(), self.quotas.held(*key).unwrap());
            assert_eq!((spent, held), (account.spent(), account.held()), "account {key}");
            assert_eq!(self.quotas.limits(*key), Some(&account.limits));
            if self.honest {
                for counted in Counted::ALL {
                    let limit = lifetime(&account.limits, counted).unwrap_or(u64::MAX);
                    assert!(counted.of(&spent) + counted.of(&held) <= limit, "{counted} of {key} overspent");
                }
            }
            let path = self.model.path(*key);
            let limited = path.iter().any(|key| !self.model.accounts[key].limits.is_unlimited());
            assert_eq!(self.quotas.is_limited(*key), limited);
        }
    }
}

/// A thousand walks of 1,000 operations; with `AGENTOS_SOAK` 20 walks of a million each.
#[test]
fn quotas_are_as_their_log_says() {
    let (seeds, operations) = walks(1_000, 20);
    let (mut granted, mut late, mut short) = (0, 0, 0);
    for seed in 0..seeds {
        let mut walk = Walk::new(seed);
        println!("seed {seed}");
        for operation in 1..=operations {
            walk.step();
            if operation % 20 == 0 {
                walk.check();
            }
            if operation % OPERATIONS == 0 {
                walk.start_anew();
            }
        }
        (granted, late, short) = (granted + walk.granted, late + walk.late, short + walk.short);
    }
    println!(
        "{seeds} walks of {operations} operations: {granted} granted, {late} too early, {short} over budget"
    );
    let walked = (seeds * operations) as usize;
    assert!(granted > walked / 20 && late > walked / 100 && short > walked / 100);
}

/// A call as one account of its path saw it: units estimated and used, the numbers of the events when it was let through
/// and when it was settled.
#[derive(Clone, Copy, Debug)]
struct Call {
    at: u64,
    estimate: u64,
    used: u64,
    begun: usize,
    over: usize,
}

impl Call {
    fn error(&self) -> u64 {
        self.estimate.abs_diff(self.used)
    }

    fn is_in_flight(&self, event: usize) -> bool {
        self.begun <= event && event < self.over
    }
}

/// Every stretch from one call that was let through to another.
fn check_windows(rate: &Rate, calls: &[Call]) {
    for (first, from) in calls.iter().enumerate() {
        let mut used = 0;
        for to in &calls[first..] {
            used += to.used;
            let most = u128::from(rate.burst) * u128::from(rate.per.0)
                + u128::from(rate.amount) * u128::from(to.at - from.at);
            if u128::from(used) * u128::from(rate.per.0) <= most {
                continue;
            }
            // More than the rate gives: only by the errors of what was in flight at either end, and an estimate that
            // exceeds the burst.
            let ends = |call: &&Call| {
                (call.begun < from.begun && call.is_in_flight(from.begun)) || call.is_in_flight(to.begun)
            };
            let errors: u64 = calls.iter().filter(ends).map(Call::error).sum();
            let spare = u128::from(errors + to.estimate.saturating_sub(rate.burst)) * u128::from(rate.per.0);
            assert!(
                u128::from(used) * u128::from(rate.per.0) <= most + spare,
                "{used} from {} to {} at {rate:?}, errors {errors}",
                from.at,
                to.at
            );
        }
    }
}

/// A thousand trees with 1,000 events each; with `AGENTOS_SOAK` eight thousand.
#[test]
fn no_window_lets_through_more_than_burst_rate_and_the_errors_in_flight() {
    let (seeds, events) = walks(1_000, 8);
    for seed in 0..seeds * events / OPERATIONS {
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut quotas = Quotas::default();
        let depth = random.random_range(1..=DEEPEST as u64);
        let mut rates = Vec::new();
        for level in 0..depth {
            let amount = random.random_range(1..=100_000);
            let rate = Rate { amount, per: Micros(1_000_000), burst: random.random_range(1..=amount) };
            let limits = Allowance { rates: vec![(Counted::Tokens, rate)], ..Allowance::default() };
            quotas.open(level, level.checked_sub(1), limits).unwrap();
            rates.push((rate, Vec::new()));
        }
        let most_in_flight = random.random_range(1..=8);
        let (mut now, mut flying, mut calls) = (0, Vec::new(), Vec::<(u64, Call)>::new());
        for event in 0..OPERATIONS as usize {
            now += [0, 0, 1, 1_000, 30_000][random.random_range(0..5)];
            let full = flying.len() >= most_in_flight;
            if full || (!flying.is_empty() && random.random_bool(0.4)) {
                let (hold, call): (Hold<u64>, usize) =
                    flying.swap_remove(random.random_range(0..flying.len()));
                let call = &mut calls[call].1;
                call.over = event;
                quotas.settle(hold, amounts(1, call.used, 0), Micros(now));
                continue;
            }
            let (key, estimate) = (random.random_range(0..depth), random.random_range(1..=5_000));
            let used = [estimate / 10, estimate, estimate * 10][random.random_range(0..3)];
            match quotas.reserve(key, amounts(1, 0, 0), amounts(1, estimate, 0), Micros(now)) {
                Ok(hold) => {
                    flying.push((hold, calls.len()));
                    calls.push((key, Call { at: now, estimate, used, begun: event, over: usize::MAX }));
                }
                Err(Refused::Rate { at, .. }) if random.random_bool(0.5) => now = at.0,
                Err(Refused::Rate { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        for (level, (rate, seen)) in (0..).zip(&mut rates) {
            seen.extend(calls.iter().filter(|(key, _)| *key >= level).map(|(_, call)| *call));
            check_windows(rate, seen);
        }
    }
}

#[test]
fn there_is_no_second_burst_at_a_minutes_edge() {
    let rate = Rate { amount: 100, per: Micros(60_000_000), burst: 100 };
    let limits = Allowance { rates: vec![(Counted::Calls, rate)], ..Allowance::default() };
    let mut quotas = Quotas::default();
    quotas.open(0, None, limits).unwrap();
    let mut calls = |second: u64| {
        let mut reserve =
            || quotas.reserve(0, amounts(1, 0, 0), amounts(1, 0, 0), Micros(second * 1_000_000));
        std::iter::from_fn(|| reserve().ok()).count()
    };
    // A counter that starts again every minute would let 200 through in two seconds.
    assert_eq!((calls(59), calls(60), calls(61)), (100, 1, 2));
}
