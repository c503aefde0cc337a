//! The limits of a Cpu: how much it takes, and what to do when it says no.
//!
//! A provider limits requests and tokens a minute, refuses what is too much (429), asks for a pause (Retry-After), or
//! fails. A [`Governor`] keeps calls from being sent that would be refused: a call that has to wait is not started, so it
//! holds no slot. It owns no clock and sends nothing; it is told what was started and how it ended.

mod breaker;
mod limits;
mod pace;

use crate::{Bucket, Micros, Rate};

pub use self::limits::{Admission, CallEnd, CpuLimits, GovernorError, HeldBy};

use self::breaker::Breaker;
use self::pace::{Pace, Usage};

/// How long a Cpu that refused without saying for how long is left alone.
const REFUSAL_PAUSE: Micros = Micros(1_000_000);

/// A call that was started; comes back with [`Governor::end`].
#[derive(Debug)]
#[must_use = "a call that never ends counts as in flight for ever"]
pub struct Started {
    tokens: u64,
    epoch: u64,
    probe: bool,
    aside: bool,
}

/// Keeps the calls of one Cpu within what it takes: buckets for its rates, its Retry-After, additive increase and
/// multiplicative decrease of the calls in flight, and of the tokens a minute, when it refuses ([Chiu and
/// Jain](https://doi.org/10.1016/0169-7552(89)90019-6)), a circuit breaker with a single probe when it fails.
///
/// ```
/// use kernel_sched::{Admission, CallEnd, CpuLimits, Governor, HeldBy, Micros, Rate};
///
/// let limits = CpuLimits { requests: Some(Rate::a_minute(60)), tokens: None };
/// let mut governor = Governor::new(limits, 8)?;
/// let call = governor.start(1_000, Micros(0));
/// governor.end(call, CallEnd::Refused { retry_after: Some(Micros(2_000_000)) }, Micros(10));
/// assert_eq!(governor.admits(1_000, Micros(20)), Admission::At(Micros(2_000_010), HeldBy::RetryAfter));
/// # Ok::<(), kernel_sched::GovernorError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Governor {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    slots: u32,
    in_flight: u32,
    /// Thousandths of calls that may be in flight.
    window: u64,
    /// Rises with each decrease: a refusal of a call that was started before says nothing new.
    epoch: u64,
    pace: Option<Pace>,
    /// Since the start, or the refusal before.
    usage: Usage,
    /// Tokens that the calls in flight may use.
    reserved: u64,
    not_before: Micros,
    breaker: Breaker,
    refused: u64,
}

impl Governor {
    /// A Cpu of so many slots, at least one.
    ///
    /// # Errors
    /// [`GovernorError::Unsound`] for a rate of nothing, of no time or without a burst.
    pub fn new(limits: CpuLimits, slots: u32) -> Result<Self, GovernorError> {
        limits.check()?;
        let slots = slots.max(1);
        Ok(Self {
            requests: limits.requests.and_then(Bucket::new),
            tokens: limits.tokens.and_then(Bucket::new),
            slots,
            in_flight: 0,
            window: u64::from(slots) * 1000,
            epoch: 0,
            pace: None,
            usage: Usage::default(),
            reserved: 0,
            not_before: Micros(0),
            breaker: Breaker::new(),
            refused: 0,
        })
    }

    /// Whether anything may start now, of whatever size.
    #[must_use]
    pub fn open(&self, now: Micros) -> Admission {
        let whole = self.breaker.admission(now);
        if whole != Admission::Now {
            return whole;
        }
        if self.not_before > now {
            return Admission::At(self.not_before, HeldBy::RetryAfter);
        }
        if u64::from(self.in_flight) * 1000 + 1000 > self.window.max(1000) {
            return Admission::AfterAnother(HeldBy::Window);
        }
        Admission::Now
    }

    /// Whether a call may start that needs so many tokens: its prompt and the output it may have.
    #[must_use]
    pub fn admits(&self, tokens: u64, now: Micros) -> Admission {
        let open = self.open(now);
        if open != Admission::Now {
            return open;
        }
        let requests = self.requests.map_or(now, |bucket| bucket.earliest(1, now));
        let by_tokens = self.tokens.map_or(now, |bucket| bucket.earliest(tokens, now));
        let by_pace = self.pace.map_or(now, |pace| pace.earliest(tokens, now));
        match requests.max(by_tokens).max(by_pace) {
            at if at <= now => Admission::Now,
            at if at == requests => Admission::At(at, HeldBy::Requests),
            at if at == by_tokens => Admission::At(at, HeldBy::Tokens),
            at => Admission::At(at, HeldBy::Pace),
        }
    }

    /// A call starts.
    pub fn start(&mut self, tokens: u64, now: Micros) -> Started {
        self.take(tokens, now);
        self.in_flight += 1;
        self.started(tokens, false)
    }

    /// A call starts that gives way to any other: it counts for the rates, and not among those in flight.
    pub fn start_aside(&mut self, tokens: u64, now: Micros) -> Started {
        self.take(tokens, now);
        self.started(tokens, true)
    }

    fn take(&mut self, tokens: u64, now: Micros) {
        self.pass(tokens, now);
        self.reserved = self.reserved.saturating_add(tokens);
        if let Some(bucket) = &mut self.requests {
            bucket.take(1, now);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(tokens, now);
        }
        if let Some(pace) = &mut self.pace {
            pace.take(tokens, now);
        }
    }

    fn started(&mut self, tokens: u64, aside: bool) -> Started {
        Started { tokens, epoch: self.epoch, probe: self.breaker.start(), aside }
    }

    /// Time went by with calls in flight, or as long as one of so many tokens was held up.
    fn pass(&mut self, tokens: u64, now: Micros) {
        let busy = match self.admits(tokens, self.usage.until()) {
            _ if self.in_flight > 0 => now,
            Admission::At(at, _) => at,
            Admission::Now | Admission::AfterAnother(_) => self.usage.until(),
        };
        self.usage.pass(busy, now);
    }

    /// A call ended.
    pub fn end(&mut self, call: Started, end: CallEnd, now: Micros) {
        self.pass(call.tokens, now);
        self.in_flight = self.in_flight.saturating_sub(u32::from(!call.aside));
        self.reserved = self.reserved.saturating_sub(call.tokens);
        let used = end.used();
        if let Some(bucket) = &mut self.tokens {
            bucket.settle(call.tokens, used, now);
        }
        if let Some(pace) = &mut self.pace {
            pace.settle(call.tokens, used, now);
        }
        self.usage.add(used);
        match end {
            CallEnd::Served { .. } => {
                // One more after as many as are allowed now.
                let step = 1_000_000 / self.window.max(1000);
                self.window = (self.window + step).min(u64::from(self.slots) * 1000);
                self.breaker.worked(call.probe);
            }
            CallEnd::Refused { retry_after } => self.refuse(&call, retry_after, now),
            CallEnd::Failed { retry_after, .. } => {
                if let Some(pause) = retry_after {
                    self.pause(pause, now);
                }
                self.breaker.failed(call.probe, now);
            }
            CallEnd::Cancelled { .. } => self.breaker.cancelled(call.probe, now),
        }
    }

    fn refuse(&mut self, call: &Started, retry_after: Option<Micros>, now: Micros) {
        self.refused += 1;
        if call.epoch == self.epoch {
            self.epoch += 1;
            self.window = (self.window * 3 / 4).max(1000);
            self.slow_down(now);
        }
        self.pause(retry_after.unwrap_or(REFUSAL_PAUSE), now);
        // It answers: what it says no to is the amount.
        self.breaker.worked(call.probe);
    }

    /// It refused: it bears less than it was given since the refusal before, than it was told to, than it was thought to.
    fn slow_down(&mut self, now: Micros) {
        let seen = self.usage.renew(self.reserved);
        let told = self.tokens.map(|bucket| a_minute(bucket.rate()));
        let paced = self.pace.map(|pace| pace.amount(now));
        if let Some(given) = [seen, told, paced].into_iter().flatten().min() {
            let owed = self.pace.map(|pace| pace.bucket()).or(self.tokens);
            self.pace = Pace::after_refusal(given, told, owed, now);
        }
    }

    fn pause(&mut self, pause: Micros, now: Micros) {
        self.not_before = self.not_before.max(Micros(now.0.saturating_add(pause.0)));
    }

    /// The Cpu takes more or less from now on; what was learnt from its refusals is forgotten. For embedders whose provider
    /// says so: the kernel keeps the limits it was built with.
    ///
    /// # Errors
    /// [`GovernorError::Unsound`] for a rate of nothing, of no time or without a burst; the old limits stay.
    pub fn change(&mut self, limits: CpuLimits, now: Micros) -> Result<(), GovernorError> {
        limits.check()?;
        let learnt = self.pace.take().map(|pace| pace.bucket());
        for (bucket, rate) in [(&mut self.requests, limits.requests), (&mut self.tokens, limits.tokens)] {
            match (bucket.as_mut(), rate) {
                (Some(bucket), Some(rate)) => bucket.change(rate, now),
                (_, rate) => *bucket = rate.and_then(Bucket::new),
            }
        }
        // What is owed by the pace is owed to the provider.
        if let (Some(bucket), Some(mut learnt)) = (&mut self.tokens, learnt) {
            learnt.change(bucket.rate(), now);
            if learnt.available(now) < bucket.available(now) {
                *bucket = learnt;
            }
        }
        Ok(())
    }

    /// What it goes by now.
    #[must_use]
    pub fn limits(&self) -> CpuLimits {
        CpuLimits {
            requests: self.requests.map(|bucket| bucket.rate()),
            tokens: self.tokens.map(|bucket| bucket.rate()),
        }
    }

    /// Requests that may start now; `None` without a limit.
    #[must_use]
    pub fn requests_left(&self, now: Micros) -> Option<u64> {
        self.requests.map(|bucket| bucket.available(now))
    }

    /// Tokens that calls that start now may need; `None` without a limit.
    #[must_use]
    pub fn tokens_left(&self, now: Micros) -> Option<u64> {
        self.tokens.map(|bucket| bucket.available(now))
    }

    /// Calls that may be in flight.
    #[must_use]
    pub const fn window(&self) -> u64 {
        self.window / 1000
    }

    /// Calls in flight.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Calls that were refused so far.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

fn a_minute(rate: Rate) -> u64 {
    let amount = u128::from(rate.amount) * 60_000_000 / u128::from(rate.per.0);
    u64::try_from(amount).unwrap_or(u64::MAX)
}
