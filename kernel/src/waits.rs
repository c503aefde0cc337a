//! What holds calls up: how long a Cpu started nothing, and why; how long each call waited, and for what.

use kernel_sched::{HeldBy, Micros};
use kernel_types::{Millis, WaitCause, Waited};

/// What may keep a Cpu from starting anything.
const CAUSES: [WaitCause; 6] = [
    WaitCause::Requests,
    WaitCause::Tokens,
    WaitCause::RetryAfter,
    WaitCause::Breaker,
    WaitCause::Congestion,
    WaitCause::Rate,
];

/// Microseconds for which a Cpu was held up by each of [`CAUSES`], as of some moment.
pub(crate) type Totals = [u64; CAUSES.len()];

/// Whether a Cpu starts calls, and for how long it did not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    held: Option<(WaitCause, Micros)>,
    totals: Totals,
    /// When to look again.
    pub(crate) until: Option<Micros>,
}

impl Gate {
    /// From now on, calls wait for this.
    pub(crate) fn hold(&mut self, cause: WaitCause, until: Option<Micros>, now: Micros) {
        self.until = until;
        if self.held.is_none_or(|(known, _)| known != cause) {
            self.totals = self.totals(now);
            self.held = Some((cause, now));
        }
    }

    /// From now on, calls wait for nothing but slots.
    pub(crate) fn open(&mut self, now: Micros) {
        self.totals = self.totals(now);
        (self.held, self.until) = (None, None);
    }

    /// What calls wait for, if not for slots.
    pub(crate) fn cause(&self) -> Option<WaitCause> {
        self.held.map(|(cause, _)| cause)
    }

    pub(crate) fn totals(&self, now: Micros) -> Totals {
        let mut totals = self.totals;
        if let Some((cause, since)) = self.held
            && let Some(at) = CAUSES.iter().position(|known| *known == cause)
        {
            totals[at] += now.0.saturating_sub(since.0);
        }
        totals
    }
}

/// What a call waited for so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits {
    since: Micros,
    before: Totals,
    causes: Vec<Waited>,
}

impl Waits {
    /// It waits for a Cpu from now on.
    pub(crate) fn begin(&mut self, gate: &Gate, now: Micros) {
        (self.since, self.before) = (now, gate.totals(now));
    }

    /// The Cpu takes it.
    pub(crate) fn end(&mut self, gate: &Gate, now: Micros) {
        let all = now.0.saturating_sub(self.since.0);
        let mut held = 0;
        for (at, cause) in CAUSES.iter().enumerate() {
            let span = gate.totals(now)[at].saturating_sub(self.before[at]).min(all - held);
            held += span;
            self.add(*cause, Micros(span));
        }
        self.add(WaitCause::Slot, Micros(all - held));
    }

    /// It waited so long for something else.
    pub(crate) fn add(&mut self, cause: WaitCause, span: Micros) {
        let ms = Millis(span.0 / 1000);
        match self.causes.iter_mut().find(|known| known.cause == cause) {
            _ if ms == Millis::ZERO => {}
            Some(known) => known.ms = known.ms.saturating_add(ms),
            None => self.causes.push(Waited { cause, ms }),
        }
    }

    pub(crate) fn total(&self) -> Millis {
        self.causes.iter().map(|waited| waited.ms).sum()
    }

    pub(crate) fn causes(&self) -> Vec<Waited> {
        self.causes.clone()
    }
}

/// The name of a Cpu's limit in the journal.
pub(crate) const fn cause_of(held: HeldBy) -> WaitCause {
    match held {
        HeldBy::Requests => WaitCause::Requests,
        HeldBy::Tokens => WaitCause::Tokens,
        HeldBy::RetryAfter => WaitCause::RetryAfter,
        HeldBy::Breaker => WaitCause::Breaker,
        HeldBy::Window | HeldBy::Pace => WaitCause::Congestion,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_apart_by_its_causes() {
        let (mut gate, mut waits) = (Gate::default(), Waits::default());
        gate.hold(WaitCause::Tokens, None, Micros(0));
        waits.begin(&gate, Micros(5_000));
        gate.hold(WaitCause::Tokens, None, Micros(7_000));
        gate.hold(WaitCause::RetryAfter, Some(Micros(30_000)), Micros(10_000));
        assert_eq!(gate.cause(), Some(WaitCause::RetryAfter));
        gate.open(Micros(30_000));
        waits.end(&gate, Micros(42_000));
        waits.add(WaitCause::Backoff, Micros(3_000));
        let waited = |cause, ms| Waited { cause, ms: Millis(ms) };
        let expected = [
            waited(WaitCause::Tokens, 5),
            waited(WaitCause::RetryAfter, 20),
            waited(WaitCause::Slot, 12),
            waited(WaitCause::Backoff, 3),
        ];
        assert_eq!(waits.causes(), expected);
        assert_eq!(waits.total(), Millis(40));
    }
}
