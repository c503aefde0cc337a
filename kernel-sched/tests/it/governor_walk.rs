//! The limits of a Cpu under a random caller, beside a plain account of what was sent and what came back.

use kernel_sched::{Admission, CallEnd, CpuLimits, Governor, HeldBy, Micros, Rate, Started};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::soak::walks;

const SECOND: u64 = 1_000_000;
/// What a call may need at most.
const MOST_TOKENS: u64 = 4_000;

/// What a provider with this rate is owed, in units times the period.
#[derive(Clone, Copy)]
struct Debt {
    rate: Rate,
    owed: i128,
}

impl Debt {
    fn pass(&mut self, time: u64) {
        self.owed = (self.owed - i128::from(time) * i128::from(self.rate.amount)).max(0);
    }

    fn add(&mut self, units: i128) {
        self.owed = (self.owed + units * i128::from(self.rate.per.0)).max(0);
    }

    fn lets_through(&self, units: u64) -> bool {
        self.owed <= i128::from(self.rate.burst.saturating_sub(units)) * i128::from(self.rate.per.0)
    }
}

/// A dead Cpu, from the rules: five failures in a row, then one call after each pause.
#[derive(Clone, Copy, Default)]
struct Dead {
    failures: u32,
    /// Until when it is left alone, and for how long the next time.
    left_alone: Option<(u64, u64)>,
    probed: bool,
}

impl Dead {
    fn end(&mut self, probe: bool, worked: Option<bool>, now: u64) {
        match (worked, self.left_alone) {
            (Some(true), _) if probe => *self = Self::default(),
            (Some(true), None) => self.failures = 0,
            (Some(false), Some((_, pause))) if probe => {
                self.left_alone = Some((now + pause, (2 * pause).min(60 * SECOND)));
            }
            (Some(false), None) => {
                self.failures += 1;
                if self.failures == 5 {
                    self.left_alone = Some((now + SECOND, 2 * SECOND));
                }
            }
            (None, Some((_, pause))) if probe => self.left_alone = Some((now, pause)),
            _ => {}
        }
        self.probed &= !probe;
    }
}

/// A call in flight: tokens, whether it gives way, whether it is a probe.
struct Flying {
    call: Started,
    tokens: u64,
    aside: bool,
    probe: bool,
}

struct Walk {
    governor: Governor,
    first: CpuLimits,
    slots: u32,
    random: StdRng,
    seed: u64,
    now: u64,
    requests: Option<Debt>,
    tokens: Option<Debt>,
    /// The end of the longest pause that the provider asked for.
    asked_until: u64,
    dead: Dead,
    /// Nearly all calls fail.
    ill: bool,
    flying: Vec<Flying>,
    admitted: u64,
    held: [u64; 6],
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let slots = [1, 2, 8, 64, 5_000][random.random_range(0..5)];
        let limits = limits(&mut random);
        let governor = Governor::new(limits, slots).unwrap().with_seed(seed);
        let debt = |rate: Option<Rate>| rate.map(|rate| Debt { rate, owed: 0 });
        let (requests, tokens) = (debt(limits.requests), debt(limits.tokens));
        let (now, asked_until, dead) = (0, 0, Dead::default());
        let (flying, admitted, held) = (Vec::new(), 0, [0; 6]);
        Self {
            governor,
            first: limits,
            slots,
            random,
            seed,
            now,
            requests,
            tokens,
            asked_until,
            dead,
            ill: false,
            flying,
            admitted,
            held,
        }
    }

    fn pass(&mut self, time: u64) {
        self.now += time;
        self.requests.iter_mut().chain(&mut self.tokens).for_each(|debt| debt.pass(time));
    }

    fn step(&mut self) {
        let time = [0, 0, 20, 30_000, SECOND, 20 * SECOND][self.random.random_range(0..6)];
        self.pass(time);
        match self.random.random_range(0..100) {
            0..55 => self.start(),
            55..98 if !self.flying.is_empty() => {
                let place = self.random.random_range(0..self.flying.len());
                self.end(place);
            }
            98 => self.change(),
            99 => self.ill = self.random.random_bool(0.3),
            _ => {}
        }
        self.check();
    }

    fn start(&mut self) {
        let tokens = self.random.random_range(0..=MOST_TOKENS);
        let admission = self.governor.admits(tokens, Micros(self.now));
        self.explain(admission, tokens);
        // Now and then in spite of what it says, as who was told to.
        if admission == Admission::Now || self.random.random_ratio(1, 50) {
            self.admitted += u64::from(admission == Admission::Now);
            let aside = self.random.random_ratio(1, 20);
            self.send(tokens, aside);
        }
    }

    fn send(&mut self, tokens: u64, aside: bool) {
        let now = Micros(self.now);
        let probe = self.dead.left_alone.is_some() && !self.dead.probed;
        self.dead.probed |= probe;
        let governor = &mut self.governor;
        let call = if aside { governor.start_aside(tokens, now) } else { governor.start(tokens, now) };
        self.requests.iter_mut().for_each(|debt| debt.add(1));
        self.tokens.iter_mut().for_each(|debt| debt.add(i128::from(tokens)));
        self.flying.push(Flying { call, tokens, aside, probe });
    }

    /// What it says is so.
    fn explain(&mut self, admission: Admission, tokens: u64) {
        let (seed, now) = (self.seed, self.now);
        let about = format!("seed {seed} at {now}: {admission:?} for {tokens} tokens");
        let pauses = self.asked_until > now;
        let dead = self.dead.left_alone;
        let alone = dead.is_some_and(|(until, _)| self.dead.probed || until > now);
        let later = |debt: Option<Debt>, units: u64, time: u64| {
            debt.is_none_or(|mut debt| {
                debt.pass(time);
                debt.lets_through(units)
            })
        };
        match admission {
            Admission::Now => {
                assert!(!pauses && !alone, "{about}: it is left alone");
                assert!(u64::from(self.governor.in_flight()) < self.governor.window(), "{about}: full");
                assert!(later(self.requests, 1, 0) && later(self.tokens, tokens, 0), "{about}: too early");
            }
            Admission::At(at, why) => {
                assert!(at.0 > now, "{about}: that is not later");
                self.held[why as usize] += 1;
                let time = at.0 - now;
                match why {
                    HeldBy::Requests => {
                        assert!(
                            later(self.requests, 1, time) && !later(self.requests, 1, time - 1),
                            "{about}"
                        );
                    }
                    HeldBy::Tokens => {
                        let exact = later(self.tokens, tokens, time) && !later(self.tokens, tokens, time - 1);
                        assert!(exact, "{about}");
                    }
                    HeldBy::RetryAfter => {
                        assert!(at.0 >= self.asked_until && time <= 100 * SECOND, "{about}");
                    }
                    HeldBy::Breaker => assert_eq!(dead.map(|(until, _)| until), Some(at.0), "{about}"),
                    HeldBy::Pace => assert!(time <= 12 * SECOND, "{about}: two bursts of a pace at most"),
                    HeldBy::Window => panic!("{about}: nobody knows when"),
                }
            }
            Admission::AfterAnother(why) => {
                self.held[why as usize] += 1;
                assert!(!self.flying.is_empty(), "{about}: there is no other");
                assert!(matches!(why, HeldBy::Window | HeldBy::Breaker), "{about}");
            }
        }
    }

    fn end(&mut self, place: usize) {
        let used = self.random.random_range(0..=MOST_TOKENS);
        let pauses = [None, Some(0), Some(1), Some(SECOND), None, Some(0), Some(90 * SECOND)];
        let pause = pauses[self.random.random_range(0..pauses.len())];
        let retry_after = pause.map(Micros);
        let kind =
            if self.ill && self.random.random_ratio(9, 10) { 15 } else { self.random.random_range(0..20) };
        let (end, used) = match kind {
            0..14 => (CallEnd::Served { tokens: used }, used),
            14 => (CallEnd::Refused { retry_after }, 0),
            15..18 => (CallEnd::Failed { tokens: used, retry_after }, used),
            _ => (CallEnd::Cancelled { tokens: used }, used),
        };
        if (14..18).contains(&kind) {
            self.asked_until = self.asked_until.max(self.now + pause.unwrap_or(0));
        }
        self.finish(place, end, used);
    }

    fn finish(&mut self, place: usize, end: CallEnd, used: u64) {
        let flying = self.flying.swap_remove(place);
        let worked = match end {
            CallEnd::Served { .. } | CallEnd::Refused { .. } => Some(true),
            CallEnd::Failed { .. } => Some(false),
            CallEnd::Cancelled { .. } => None,
        };
        self.dead.end(flying.probe, worked, self.now);
        self.tokens.iter_mut().for_each(|debt| debt.add(i128::from(used) - i128::from(flying.tokens)));
        self.governor.end(flying.call, end, Micros(self.now));
        if matches!(end, CallEnd::Refused { .. }) {
            // Whatever it asked for: not at once.
            let soon = Micros(self.now + SECOND / 2 - 1);
            assert_ne!(self.governor.open(soon), Admission::Now, "seed {}: a hot loop", self.seed);
        }
    }

    /// Other limits of the same kinds; then a day in which all that is owed is paid.
    fn change(&mut self) {
        let first = [self.first.requests, self.first.tokens].into_iter().flatten();
        for (debt, first) in self.requests.iter_mut().chain(&mut self.tokens).zip(first) {
            let half = self.random.random_bool(0.5);
            debt.rate.amount = if half { first.amount.div_ceil(2) } else { first.amount };
        }
        let rate = |debt: Option<Debt>| debt.map(|debt| debt.rate);
        let limits = CpuLimits { requests: rate(self.requests), tokens: rate(self.tokens) };
        self.governor.change(limits, Micros(self.now)).unwrap();
        assert_eq!(self.governor.limits(), limits);
        assert_eq!(self.governor.window(), u64::from(self.slots), "what refusals taught is forgotten");
        self.pass(86_400 * SECOND);
    }

    fn check(&self) {
        let in_flight = self.flying.iter().filter(|flying| !flying.aside).count();
        assert_eq!(self.governor.in_flight() as usize, in_flight, "seed {}", self.seed);
        assert!((1..=u64::from(self.slots)).contains(&self.governor.window()), "seed {}", self.seed);
    }

    /// All calls come back; then one that follows what it is told is let through.
    fn drain(&mut self) {
        while !self.flying.is_empty() {
            self.finish(0, CallEnd::Cancelled { tokens: 0 }, 0);
        }
        for _ in 0..8 {
            match self.governor.admits(MOST_TOKENS, Micros(self.now)) {
                Admission::Now => return,
                Admission::At(at, _) => self.pass(at.0 - self.now),
                Admission::AfterAnother(why) => panic!("seed {}: {why} with none in flight", self.seed),
            }
        }
        panic!("seed {}: told eight times to come later", self.seed);
    }
}

fn limits(random: &mut StdRng) -> CpuLimits {
    let mut rate = |most: u64| {
        let amount = random.random_range(most / 10..=most);
        let burst = random.random_range(1..=amount);
        let per = Micros([SECOND, 60 * SECOND][random.random_range(0..2)]);
        random.random_bool(0.5).then_some(Rate { amount, per, burst })
    };
    CpuLimits { requests: rate(30), tokens: rate(20_000) }
}

/// A thousand walks of 1,000 decisions; with `AGENTOS_SOAK` 8 walks of a million each.
#[test]
fn a_governor_says_what_is_so_and_is_never_stuck() {
    let (seeds, decisions) = walks(1_000, 8);
    let (mut admitted, mut held) = (0, [0; 6]);
    for seed in 0..seeds {
        let mut walk = Walk::new(seed);
        for step in 1..=decisions {
            walk.step();
            if step % 500 == 0 {
                walk.drain();
            }
        }
        admitted += walk.admitted;
        held.iter_mut().zip(walk.held).for_each(|(all, of)| *all += of);
    }
    println!("{seeds} walks of {decisions} decisions: {admitted} admitted, held up by cause {held:?}");
    assert!(admitted * 20 > seeds * decisions, "most walks must admit: {admitted}");
    assert!(held.iter().all(|count| *count > seeds / 4), "each cause must occur: {held:?}");
}
