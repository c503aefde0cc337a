//! The circuit breaker: a Cpu that fails time and again is left alone, then probed by one call at a time.

use crate::{Admission, HeldBy, Micros};

/// Failures in a row after which a Cpu is left alone.
const FAILURES: u32 = 5;
/// How long it is left alone first, and at most.
const FIRST_PAUSE: Micros = Micros(1_000_000);
const LONGEST_PAUSE: Micros = Micros(60_000_000);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Breaker {
    /// So many failures in a row.
    Closed(u32),
    /// Left alone until then; the next pause is so long.
    Open { until: Micros, next: Micros },
    /// One call is under way to see whether it works again.
    Probing { next: Micros },
}

impl Breaker {
    pub(super) const fn new() -> Self {
        Self::Closed(0)
    }

    pub(super) fn admission(self, now: Micros) -> Admission {
        match self {
            Self::Open { until, .. } if until > now => Admission::At(until, HeldBy::Breaker),
            Self::Probing { .. } => Admission::AfterAnother(HeldBy::Breaker),
            Self::Open { .. } | Self::Closed(_) => Admission::Now,
        }
    }

    /// A call starts: whether it is the probe.
    pub(super) fn start(&mut self) -> bool {
        let Self::Open { next, .. } = *self else { return false };
        *self = Self::Probing { next };
        true
    }

    /// A call was answered. Any that was started before the breaker opened does not close it.
    pub(super) fn worked(&mut self, probe: bool) {
        if probe || matches!(self, Self::Closed(_)) {
            *self = Self::Closed(0);
        }
    }

    pub(super) fn failed(&mut self, probe: bool, now: Micros) {
        let open = |pause: Micros| Self::Open {
            until: Micros(now.0.saturating_add(pause.0)),
            next: Micros(pause.0.saturating_mul(2)).min(LONGEST_PAUSE),
        };
        *self = match *self {
            Self::Probing { next } if probe => open(next),
            Self::Closed(failures) if failures + 1 >= FAILURES => open(FIRST_PAUSE),
            Self::Closed(failures) => Self::Closed(failures + 1),
            // Started before it was opened.
            as_it_is => as_it_is,
        };
    }

    /// A call was taken back, which says nothing: the next one is the probe.
    pub(super) fn cancelled(&mut self, probe: bool, now: Micros) {
        if let Self::Probing { next } = *self
            && probe
        {
            *self = Self::Open { until: now, next };
        }
    }
}
