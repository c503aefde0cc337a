//! Inferences that failed for a passing reason: put back into the queue, holding no slot, until they are answered or the
//! patience is over.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kernel_llm::{CpuError, CpuErrorKind};
use kernel_sched::{Admission, CallEnd, Charge, HeldBy, Micros};
use kernel_types::{ErrorKind, Event, Reservation, Retry, SysError, Tokens, WaitCause};
use rand::RngExt;

use crate::core::{Core, Spent};
use crate::device::End;
use crate::process::Process;
use crate::spend::{Used, beyond};

/// The longest first pause after a failure; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause of all, unless the provider asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The longest first pause of a call that was refused for want of capacity, beside what its Cpu's limits say. A provider that names a
/// pause of nothing is not asked in a circle.
const FIRST_REFUSAL: Duration = Duration::from_millis(50);

/// A Cpu of which nothing is to be expected is looked at again no sooner than this.
const AGAIN: Duration = Duration::from_secs(1);

/// What the end of a call says about its Cpu, but for the tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    Works,
    Refuses(Option<Micros>),
    Fails(Option<Micros>),
}

impl Verdict {
    pub(crate) const fn with(self, tokens: u64) -> CallEnd {
        match self {
            Self::Works => CallEnd::Served { tokens },
            Self::Refuses(retry_after) => CallEnd::Refused { retry_after },
            Self::Fails(retry_after) => CallEnd::Failed { tokens, retry_after },
        }
    }
}

/// What the end of a call says about its Cpu.
pub(crate) fn call_end(end: &End) -> Verdict {
    match end {
        End::Infer(Ok(_)) => Verdict::Works,
        End::Infer(Err(error)) => verdict(error),
        _ => Verdict::Fails(None),
    }
}

/// The longest pause after so many failures or refusals of a call.
fn most_pause(failures: u32, refusals: u32, refused: bool) -> Duration {
    let (first, times) = if refused { (FIRST_REFUSAL, refusals) } else { (FIRST_PAUSE, failures) };
    first.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1))).min(LONGEST_PAUSE)
}

fn verdict(error: &CpuError) -> Verdict {
    let pause = match error.retry() {
        Retry::After(pause) => Some(Micros(pause.0.saturating_mul(1000))),
        _ => None,
    };
    match error.kind() {
        CpuErrorKind::Overloaded => Verdict::Refuses(pause),
        // It answers: what was asked was wrong.
        CpuErrorKind::Auth
        | CpuErrorKind::UnknownModel
        | CpuErrorKind::TooLong
        | CpuErrorKind::InvalidRequest => Verdict::Works,
        _ => Verdict::Fails(pause),
    }
}

impl Core {
    /// Puts a call that failed back into the queue, if it may be tried again: for a passing reason, before any text was shown, within
    /// the patience. Says whether it did.
    pub(crate) fn try_again(&mut self, process: &mut Process, index: usize, error: &CpuError) -> bool {
        let (limits, seq) = (self.parts.limits, process.image.open[index].seq);
        let refused = error.kind() == CpuErrorKind::Overloaded;
        let Some(running) = process.running.get_mut(&seq) else { return false };
        if let Some(cpu) = running.cpu {
            self.slots[cpu].last_error = Some(error.to_string());
        }
        let failures = running.failures + u32::from(!refused);
        let refusals = running.refusals + u32::from(refused);
        // Full jitter: calls that failed together do not come back together.
        let backoff = most_pause(failures, refusals, refused).mul_f64(self.rng.random::<f64>());
        let pause = match error.retry() {
            Retry::Never => return false,
            Retry::After(pause) if refused => Duration::from(pause).max(backoff),
            Retry::After(pause) => Duration::from(pause),
            Retry::Now => backoff,
        };
        let shown = running.streamed.load(Ordering::Relaxed) > 0;
        // What it waited before it was sent is nobody's failure.
        let tried = running.sent.map(|sent| self.since(sent)).unwrap_or_default();
        let patient = tried.saturating_add(pause) <= limits.retry;
        if shown || !patient || failures >= limits.attempts || !self.charge_attempt(process, index, error) {
            return false;
        }
        let micros = self.micros();
        let Some(running) = process.running.get_mut(&seq) else { return false };
        (running.failures, running.refusals) = (failures, refusals);
        running.abort = None;
        let asked =
            if let Retry::After(asked) = error.retry() { Duration::from(asked) } else { Duration::ZERO };
        // What the provider asked for holds all calls up: that is for its limits to say.
        if pause.is_zero() || (refused && asked >= pause) {
            self.want_slot(process, index);
        } else {
            running.waits.for_cause(WaitCause::Backoff, micros);
            running.again_at = Some(self.in_future(pause));
            self.set_alarm(pause, process.pid, process.image.step, seq);
        }
        true
    }

    /// Charges what a lost attempt used and holds the budget for another. Says whether there is enough.
    fn charge_attempt(&mut self, process: &mut Process, index: usize, error: &CpuError) -> bool {
        let seq = process.image.open[index].seq;
        let used = Used::failed(process, seq, error.kind());
        let usage = used.paid;
        let free = usage.input == Tokens::ZERO;
        let (cost, seen) = (self.price(process, seq, &usage), self.price(process, seq, &used.seen));
        let tokens = usage.input.saturating_add(usage.output);
        let calls = u64::from(!free);
        let charged = Reservation { calls, tokens, cost, tool_calls: 0 };
        let Some(held) = process.image.open[index].pending.as_ref().map(|pending| pending.reserved) else {
            return false;
        };
        process.release(&held);
        let fits = process.exceeded(&held.plus(&charged)).is_none();
        process.reserve(&held);
        let beyond = beyond(&used, cost, seen);
        if !fits || !self.lose_above(process, seq, charged.minus(&beyond), beyond) {
            return false;
        }
        let total = &mut process.image.usage;
        total.calls += calls;
        total.input_tokens = total.input_tokens.saturating_add(usage.input);
        total.output_tokens = total.output_tokens.saturating_add(usage.output);
        total.cost = total.cost.saturating_add(cost);
        let held = Micros::default();
        let charge =
            Charge { uncached: used.seen.input, cached: Tokens::ZERO, output: used.seen.output, held };
        self.leave_slot(process, seq, charge, verdict(error).with(used.tokens().0));
        let Some(pending) = &mut process.image.open[index].pending else { return false };
        pending.attempt += 1;
        let event = Event::Attempt { number: pending.attempt, charged, why: Some(error.to_string()) };
        self.log(process, Some(seq), event);
        true
    }

    /// The time of an inference has come: to be tried again, to give up a Cpu that does not work, to leave it behind.
    pub(crate) fn infer_timer(&mut self, process: &mut Process, index: usize) {
        let (now, seq) = (self.micros(), process.image.open[index].seq);
        let Some(running) = process.running.get_mut(&seq) else { return };
        match running.again_at {
            Some(at) if at <= now => {
                running.again_at = None;
                self.end_wait(process, seq);
                self.want_slot(process, index);
                self.settle(process);
            }
            Some(_) => {}
            None if running.slot.is_none() && !self.may_send() => {}
            None if running.slot.is_none() => self.give_up_on_cpu(process, index),
            None if running.ends_by <= now => self.leave_behind(process, index),
            None => {}
        }
    }

    /// Ends a call that waits for a Cpu of which nothing is to be expected. One that only has much to do is waited for.
    fn give_up_on_cpu(&mut self, process: &mut Process, index: usize) {
        let seq = process.image.open[index].seq;
        let Some(cpu) = process.running.get(&seq).and_then(|running| running.cpu) else { return };
        let Some((message, retry)) = self.is_hopeless(cpu) else {
            return self.look_again(process, index, cpu);
        };
        let last = self.slots[cpu].last_error.clone().unwrap_or_else(|| "it does not answer".to_owned());
        let took = self.took(process, index);
        self.end_wait(process, seq);
        self.leave_slot(process, seq, Charge::default(), CallEnd::Cancelled { tokens: 0 });
        let error =
            SysError::new(ErrorKind::Unavailable, format!("infer: {message}: {last}")).with_retry(retry);
        self.finish(process, index, Err(error), Spent { took, ..Spent::default() });
        self.settle(process);
    }

    /// A Cpu that has failed for as long as one is patient, or that asked for a pause longer than that: why, and when to try again.
    fn is_hopeless(&self, cpu: usize) -> Option<(String, Retry)> {
        let (now, slots, patience) = (self.micros(), &self.slots[cpu], self.parts.limits.retry);
        if let Admission::At(until, HeldBy::RetryAfter) = slots.governor.open(now) {
            let pause = span(until.since(now));
            let seconds = pause.as_millis().div_ceil(1000);
            let message = format!("the model's Cpu takes no call for another {seconds} s");
            return (pause > patience).then_some((message, Retry::After(pause.into())));
        }
        let failing = span(now.since(slots.failing_since.filter(|_| slots.is_broken())?));
        let message = format!("the model's Cpu has failed for {patience:?}");
        (failing >= patience).then_some((message, Retry::Now))
    }

    /// Looks at a call that waits when the patience with its Cpu is over; at once, if nothing is to be expected of it.
    pub(crate) fn be_patient(&mut self, process: &Process, index: usize) {
        let seq = process.image.open[index].seq;
        let Some(cpu) = process.running.get(&seq).and_then(|running| running.cpu) else { return };
        let (now, patience) = (self.micros(), self.parts.limits.retry);
        let left = match self.slots[cpu].governor.open(now) {
            Admission::At(until, HeldBy::RetryAfter) if span(until.since(now)) > patience => Duration::ZERO,
            _ => patience.max(AGAIN),
        };
        self.set_alarm(left, process.pid, process.image.step, seq);
    }

    /// Looks at it again: when the Cpu has failed for long enough, if it fails.
    fn look_again(&mut self, process: &Process, index: usize, cpu: usize) {
        let (now, slots, patience) = (self.micros(), &self.slots[cpu], self.parts.limits.retry);
        let failing = slots.failing_since.filter(|_| slots.is_broken());
        let failing = failing.map(|since| span(now.since(since))).unwrap_or_default();
        let left = patience.saturating_sub(failing).max(AGAIN);
        self.set_alarm(left, process.pid, process.image.step, process.image.open[index].seq);
    }
}

fn span(micros: Micros) -> Duration {
    Duration::from_micros(micros.0)
}
