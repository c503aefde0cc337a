//! What holds calls up: how long a Cpu started nothing, and why; how long each call waited, and for what.

use kernel_sched::{HeldBy, Micros};
use kernel_types::{Millis, ProcessInfo, Seq, WaitCause, Waited};

use crate::core::Core;
use crate::process::Process;

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

/// What a call waits for.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// A Cpu: as of then, so long was it held up before.
    Cpu { cpu: usize, since: Micros, before: Totals },
    /// One thing.
    For { cause: WaitCause, since: Micros },
}

/// What a call waited for so far, and waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits {
    open: Option<Open>,
    causes: Vec<(WaitCause, Micros)>,
}

impl Waits {
    /// It waits for a Cpu from now on.
    pub(crate) fn for_cpu(&mut self, cpu: usize, gate: &Gate, now: Micros) {
        self.open = Some(Open::Cpu { cpu, since: now, before: gate.totals(now) });
    }

    /// It waits for this from now on, or still does.
    pub(crate) fn for_cause(&mut self, cause: WaitCause, now: Micros) {
        if !matches!(self.open, Some(Open::For { cause: known, .. }) if known == cause) {
            self.open = Some(Open::For { cause, since: now });
        }
    }

    /// Whether it waits.
    pub(crate) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The Cpu that it waits for.
    pub(crate) const fn cpu(&self) -> Option<usize> {
        match self.open {
            Some(Open::Cpu { cpu, .. }) => Some(cpu),
            _ => None,
        }
    }

    /// Since when it waits.
    pub(crate) const fn since(&self) -> Option<Micros> {
        match self.open {
            Some(Open::Cpu { since, .. } | Open::For { since, .. }) => Some(since),
            None => None,
        }
    }

    /// The one thing that it waits for, if it is no Cpu.
    pub(crate) const fn cause(&self) -> Option<WaitCause> {
        match self.open {
            Some(Open::For { cause, .. }) => Some(cause),
            _ => None,
        }
    }

    /// It has what it waited for, or gives up. `gate` is that of the Cpu, if it waited for one.
    pub(crate) fn end(&mut self, gate: Option<&Gate>, now: Micros) {
        match self.open.take() {
            Some(Open::Cpu { since, before, .. }) => {
                let all = now.since(since).0;
                let totals = gate.map_or(before, |gate| gate.totals(now));
                let mut held = 0;
                for (at, cause) in CAUSES.iter().enumerate() {
                    let span = totals[at].saturating_sub(before[at]).min(all - held);
                    held += span;
                    self.add(*cause, Micros(span));
                }
                self.add(WaitCause::Slot, Micros(all - held));
            }
            Some(Open::For { cause, since }) => self.add(cause, now.since(since)),
            None => {}
        }
    }

    fn add(&mut self, cause: WaitCause, span: Micros) {
        match self.causes.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, known)) => known.0 = known.0.saturating_add(span.0),
            None => self.causes.push((cause, span)),
        }
    }

    /// How long it waited, up to the last wait that is over.
    pub(crate) fn total(&self) -> Millis {
        Millis(self.causes.iter().map(|(_, span)| span.0).sum::<u64>() / 1000)
    }

    /// What it waited for, a millisecond at least.
    pub(crate) fn causes(&self) -> Vec<Waited> {
        let waited =
            self.causes.iter().map(|(cause, span)| Waited { cause: *cause, ms: Millis(span.0 / 1000) });
        waited.filter(|waited| waited.ms > Millis::ZERO).collect()
    }
}

impl Core {
    /// A call waits for this from now on.
    pub(crate) fn wait_for(&self, process: &mut Process, seq: Seq, cause: WaitCause) {
        let now = self.micros();
        if let Some(running) = process.running.get_mut(&seq) {
            running.waits.for_cause(cause, now);
        }
    }

    /// A call waits no more, whatever it waited for.
    pub(crate) fn end_wait(&self, process: &mut Process, seq: Seq) {
        let now = self.micros();
        let Some(running) = process.running.get_mut(&seq) else { return };
        let before = running.waits.total();
        let gate = running.waits.cpu().map(|cpu| &self.slots[cpu].gate);
        running.waits.end(gate, now);
        process.image.waited_ms += running.waits.total().saturating_sub(before).0;
    }

    /// A process as its image says, and what its calls wait at the moment.
    pub(crate) fn info(&self, process: &Process) -> ProcessInfo {
        let mut info = process.image.info(process.pid, process.parent);
        let now = self.micros();
        let waits = process.running.values().filter_map(|running| running.waits.since());
        let longest = waits.map(|since| now.since(since).0 / 1000).max().unwrap_or(0);
        info.waited = info.waited.saturating_add(Millis(longest));
        info
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
        waits.for_cpu(0, &gate, Micros(5_000));
        gate.hold(WaitCause::Tokens, None, Micros(7_000));
        gate.hold(WaitCause::RetryAfter, Some(Micros(30_000)), Micros(10_000));
        assert_eq!(gate.cause(), Some(WaitCause::RetryAfter));
        gate.open(Micros(30_000));
        waits.end(Some(&gate), Micros(42_000));
        waits.for_cause(WaitCause::Backoff, Micros(42_000));
        waits.end(None, Micros(45_000));
        let waited = |cause, ms| Waited { cause, ms: Millis(ms) };
        let expected = [
            waited(WaitCause::Tokens, 5),
            waited(WaitCause::RetryAfter, 20),
            waited(WaitCause::Slot, 12),
            waited(WaitCause::Backoff, 3),
        ];
        let causes: Vec<Waited> = waits.causes();
        assert_eq!(causes, expected);
        assert_eq!(waits.total(), Millis(40));
    }

    #[test]
    fn many_short_waits_add_up_and_one_that_goes_on_is_one() {
        let mut waits = Waits::default();
        for at in 0..10 {
            waits.for_cause(WaitCause::Budget, Micros(at * 1_000));
            waits.end(None, Micros(at * 1_000 + 400));
        }
        assert_eq!(waits.causes(), [Waited { cause: WaitCause::Budget, ms: Millis(4) }]);
        for at in [20_000, 21_000, 22_000] {
            waits.for_cause(WaitCause::Budget, Micros(at));
        }
        assert_eq!(waits.since(), Some(Micros(20_000)), "it waits since it began to");
        waits.end(None, Micros(26_000));
        assert_eq!(waits.total(), Millis(10));
    }
}
