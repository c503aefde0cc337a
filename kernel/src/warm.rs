//! Keep-warm pings: the prompt that was answered last, sent again for one token while its process waits, so that the
//! provider does not forget its prefix.
//!
//! Whether and when is the pager's to say. A ping is an `infer` like any other: decided by the gate, held against the budget,
//! recorded before it is sent, charged after; but no program asked for it, so it is no call of its step, is never sent again
//! after a crash, holds no run up, and gives way: to the process's next step, and to whoever wants the slot.

use std::sync::Arc;
use std::time::Duration;

use kernel_context::{Change, Returns, SentPrompt, expected_cache};
use kernel_llm::{InferRequest, NoDeltas};
use kernel_sched::{Admission, Asked, CallEnd, Micros, Started};
use kernel_types::{
    Answer, Call, CallKey, CallResult, Decision, ErrorKind, Event, InferArgs, MicroUsd, ModelInfo, PageView,
    Pid, Prompt, Reservation, Seq, SysError, SyscallNo, Timestamp, TokenUsage, Tokens,
};
use tokio::task::AbortHandle;

use crate::core::Core;
use crate::device::{End, Start, broken, cpu_error, guarded, not_served};
use crate::gate::refusal;
use crate::image::{OpenCall, OpenPing};
use crate::process::Process;
use crate::retry::call_end;
use crate::spend::{ceiling, charge, most_input};

/// What a ping asks for.
const OUTPUT: Tokens = Tokens(1);
/// A ping that has no answer after this is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where no slot is free, one is looked for again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// What a process sent last: what a ping sends.
pub(crate) struct Kept {
    /// None once it is not to be sent again.
    prompt: Option<Arc<Prompt>>,
    view: PageView,
    args: InferArgs,
    /// What the call asked for that it was made for: the next may ask for as much.
    output: Tokens,
    cpu: usize,
    /// Something that a ping needs was not free: it is looked for again then.
    not_before: Timestamp,
}

/// A ping that was sent.
pub(crate) struct Pinging {
    key: CallKey,
    pub(crate) abort: Option<AbortHandle>,
    started: Micros,
    at: Timestamp,
    cpu: usize,
    governed: Option<Started>,
}

impl Process {
    /// Whether this ping is under way.
    pub(crate) fn is_pinging(&self, key: CallKey) -> bool {
        self.pinging.as_ref().is_some_and(|pinging| pinging.key == key)
    }

    /// It waits for calls that are no inference.
    fn waits(&self) -> bool {
        let waiting = |open: &OpenCall| open.outcome.is_none() && open.pending.is_some();
        self.preparing.is_none()
            && !self.stepping
            && self.image.exited.is_none()
            && self.image.suspended.is_none()
            && self.image.signal.is_none()
            && self.image.open.iter().any(waiting)
            && !self.image.open.iter().any(|open| waiting(open) && open.no == SyscallNo::Infer)
    }

    /// No more pings before the next call.
    pub(crate) fn give_up(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.prompt = None;
        }
    }

    /// Its ping is with the provider.
    fn ping_sent(&self) -> bool {
        self.pinging.as_ref().is_some_and(|pinging| pinging.abort.is_some())
    }
}

impl Core {
    /// What a ping would send from now on, after an inference was answered. Nothing where none can pay.
    pub(crate) fn keep(&self, process: &Process, seq: Seq) -> Option<Kept> {
        let ready = process.prompts.get(&seq)?;
        let served = self.parts.models.get(&ready.view.model)?;
        let cache = served.info.cache;
        let own = self.parts.model(None, process.spec.model.as_deref()) == Some(&ready.view.model);
        if !self.parts.keep_warm || !own || cache.ttl_s == 0 || cache.read == 0 {
            return None;
        }
        let open = process.image.open.get(seq.0 as usize)?;
        let Call::Infer(args) = &open.pending.as_ref()?.call else { return None };
        let args = InferArgs { max_output: OUTPUT, ..args.clone() };
        let (prompt, view) = (Some(Arc::clone(&ready.prompt)), ready.view.clone());
        let not_before = Timestamp(0);
        Some(Kept { prompt, view, args, output: ready.max_output, cpu: served.cpu, not_before })
    }

    /// Notes when a process that waits is to be pinged, if its pager wants that.
    pub(crate) fn expect_ping(&mut self, process: &mut Process) {
        if process.pinging.is_some() {
            // What is due is its end.
            return;
        }
        self.forget_ping(process);
        let able = process.kept.as_ref().is_some_and(|kept| kept.prompt.is_some());
        let idle = process.image.ping.is_none() && able;
        if !idle || !process.waits() {
            return;
        }
        if let Some(at) = self.wanted(process) {
            self.due(process, at);
        }
    }

    fn due(&mut self, process: &mut Process, at: Timestamp) {
        self.forget_ping(process);
        process.ping_due = Some(at);
        self.pings.insert((at, process.pid));
    }

    /// Something that a ping needs is not free now.
    fn later(&mut self, process: &mut Process, now: Timestamp) {
        let again = now.after(AGAIN.into());
        if let Some(kept) = &mut process.kept {
            kept.not_before = again;
        }
        self.due(process, again);
    }

    fn forget_ping(&mut self, process: &mut Process) {
        if let Some(at) = process.ping_due.take() {
            self.pings.remove(&(at, process.pid));
        }
    }

    /// When the pager wants the next ping.
    fn wanted(&mut self, process: &mut Process) -> Option<Timestamp> {
        let (now, returns) = (self.now(), self.returns(process));
        let wanted = self.ask_pager(process, |pager, _| Ok(pager.keep_warm(now, returns)));
        let earliest = process.kept.as_ref().map_or(Timestamp(0), |kept| kept.not_before);
        wanted.unwrap_or_default().map(|ping| ping.at.max(earliest))
    }

    /// What is known of the end of a wait: it is over when the last call has ended.
    fn returns(&self, process: &Process) -> Returns {
        let now = self.now();
        let mut latest = Timestamp(0);
        let mut certain = true;
        for open in process.image.open.iter().filter(|open| open.outcome.is_none()) {
            let Some(pending) = &open.pending else { continue };
            let end = match &pending.call {
                Call::ToolCall(args) => {
                    let since = process.running.get(&open.seq).map(|running| self.since(running.started));
                    let left = self.parts.tool_timeout(args).saturating_sub(since.unwrap_or_default());
                    Some(now.after(left.into()))
                }
                _ => pending.deadline,
            };
            let Some(end) = end else { return Returns::Unknown };
            certain &= open.no == SyscallNo::Sleep;
            latest = latest.max(end);
        }
        if certain { Returns::At(latest) } else { Returns::By(latest) }
    }

    /// When the next ping is due.
    pub(crate) fn next_ping(&self) -> Option<Timestamp> {
        self.pings.first().filter(|_| self.pinging && self.fatal.is_none()).map(|(at, _)| *at)
    }

    /// Pings are sent from now on, or no more; then those under way end.
    pub(crate) fn set_pinging(&mut self, on: bool) {
        self.pinging = on;
        if on {
            return;
        }
        let open = self.processes.values().filter(|process| process.image.ping.is_some());
        for pid in open.map(|process| process.pid).collect::<Vec<_>>() {
            self.with(pid, |core, process| {
                core.end_ping(process, "the kernel was paused");
                process.give_up();
                core.settle(process);
            });
        }
    }

    /// Begins the pings that are due.
    pub(crate) fn fire_pings(&mut self) {
        let now = self.now();
        while let Some((at, pid)) = self.pings.first().copied().filter(|_| self.next_ping().is_some()) {
            if at > now {
                return;
            }
            self.pings.remove(&(at, pid));
            self.with(pid, |core, process| {
                process.ping_due = None;
                core.ping(process, now);
            });
        }
    }

    /// Takes a ping through the gate, as far as its durable intent.
    fn ping(&mut self, process: &mut Process, now: Timestamp) {
        if process.pinging.is_some() {
            // Its task has a timeout; one that blocks its thread never sees it.
            self.end_ping(process, "no answer in time");
            process.give_up();
            return self.settle(process);
        }
        if process.image.ping.is_some() || !process.waits() || process.committing {
            // A commit under way asks anew when it is done.
            return;
        }
        let Some(at) = self.wanted(process) else { return };
        let Some(kept) = process.kept.as_ref().filter(|kept| kept.prompt.is_some()) else { return };
        if at > now {
            return self.due(process, at);
        }
        let needs = kept.view.tokens.saturating_add(OUTPUT);
        if self.slots[kept.cpu].free.is_empty() || !self.takes_ping(kept.cpu, needs) {
            return self.later(process, now);
        }
        let (call, view) = (Call::Infer(kept.args.clone()), kept.view.clone());
        let (mut decision, mut reserved) = self.admit_ping(process, &call, kept);
        if decision.is_allow() && !self.rates_take_now(process, reserved) {
            return self.later(process, now);
        }
        let seq = Seq::ping(process.image.pings);
        process.image.pings += 1;
        if decision.is_allow()
            && let Err(refused) = self.hold_above(process, seq, reserved)
        {
            (decision, reserved) = (refused, Reservation::default());
        }
        let refused = (!decision.is_allow()).then(|| refusal(SyscallNo::Infer, &decision));
        self.intend_ping(process, seq, &call, view, (decision, reserved));
        match refused {
            None => {
                process.reserve(&reserved);
                process.image.ping = Some(OpenPing { seq, reserved });
            }
            Some(error) => {
                process.give_up();
                self.ping_ended(process, seq, Err(error), MicroUsd::default(), None);
            }
        }
        self.queue_commit(process);
    }

    /// What the gate and the budgets say, its process's and those above, and what the ping holds. It is no device call of the
    /// program: none is counted. A budget that has no room for the next call beside it is not spent on it.
    fn admit_ping(&mut self, process: &Process, call: &Call, kept: &Kept) -> (Decision, Reservation) {
        let (decision, view) = (self.decide(process, call), &kept.view);
        let Some(model) = self.model_of(view).filter(|_| decision.is_allow()) else {
            return (decision, Reservation::default());
        };
        // The provider's count of it is known by now; that of the next prompt is not.
        let reported = process.answered.as_ref().map_or(Tokens::ZERO, |answered| answered.reported);
        let bound = kept.prompt.as_ref().filter(|_| self.limits_spending(process));
        let bound = bound.map_or(Tokens::ZERO, |prompt| most_input(prompt, view.tokens, model.window));
        let input = if reported > Tokens::ZERO { reported.max(view.tokens) } else { bound.max(view.tokens) };
        let most = ceiling(input, OUTPUT, view, model);
        if self.limits_cost(process) && most.is_none() {
            let missing = format!("price of {} (unknown, and there is a limit of cost)", model.name);
            return (Decision::Deny { missing }, Reservation::default());
        }
        let tokens = input.saturating_add(OUTPUT);
        let reserved = Reservation { calls: 0, tokens, cost: most.unwrap_or_default(), tool_calls: 0 };
        let input = bound.max(input);
        let next = ceiling(input, kept.output, view, model).unwrap_or_default();
        let both = Reservation {
            calls: 1,
            tokens: tokens.saturating_add(input).saturating_add(kept.output),
            cost: reserved.cost.saturating_add(next),
            tool_calls: 0,
        };
        match process.exceeded(&both) {
            Some((limit, left, needed)) => {
                (Decision::OverQuota { limit, left, needed }, Reservation::default())
            }
            None => match self.fits_above(process, both) {
                Ok(()) => (Decision::Allow, reserved),
                Err(refused) => (refused, Reservation::default()),
            },
        }
    }

    fn model_of(&self, view: &PageView) -> Option<&ModelInfo> {
        self.parts.models.get(&view.model).map(|served| &served.info)
    }

    /// Sends the ping whose intent is durable now, if it is still wanted and a slot is free.
    pub(crate) fn start_ping(&mut self, process: &mut Process) {
        let Some(ping) = process.image.ping.filter(|_| process.pinging.is_none()) else { return };
        let Some(kept) = &process.kept else { return };
        let cpu = kept.cpu;
        // Who waits for a slot comes first.
        self.pump_slots();
        let prompt = kept.prompt.clone().filter(|_| process.waits() && self.pinging);
        let needs = kept.view.tokens.saturating_add(OUTPUT);
        let (model, temperature) = (kept.view.model.clone(), kept.args.temperature);
        let key = CallKey { pid: process.pid, step: process.image.step, seq: ping.seq };
        let Some(prompt) = prompt.filter(|_| self.may_ping(process, key, cpu, &model)) else {
            let now = self.now();
            self.later(process, now);
            return self.end_ping(process, "no longer needed, or something that it needs is not free");
        };
        let request = InferRequest { key, model, prompt, max_output: OUTPUT, temperature };
        let parts = Arc::clone(&self.parts);
        let timeout = parts.limits.infer.min(PATIENCE);
        let work = async move { End::Infer(parts.cpus[cpu].infer(request, &NoDeltas).await) };
        self.starts.push_back(Start { key, attempt: 1, future: guarded(work, timeout) });
        let (started, at) = (self.micros(), self.now());
        let now = self.micros();
        let governed = Some(self.slots[cpu].governor.start_aside(needs.0, now));
        process.pinging = Some(Pinging { key, abort: None, started, at, cpu, governed });
        self.due(process, at.after((timeout + AGAIN).into()));
    }

    /// Takes what a ping needs beside its budget: of the rates, of what its model needs, a slot. Who waits for any of these comes
    /// before it. What was taken goes back with its end.
    fn may_ping(&mut self, process: &mut Process, key: CallKey, cpu: usize, model: &str) -> bool {
        let (now, slots) = (self.micros(), &self.slots[cpu]);
        let Some(ping) = process.image.ping else { return false };
        let busy = slots.free.is_empty() || slots.waits_for_limits();
        let lined_up = self.ledger.is_lined_up_for(process.account);
        if busy || lined_up || !self.takes_ping(cpu, ping.reserved.tokens) {
            return false;
        }
        if let Some(hold) = process.holds.get_mut(&ping.seq)
            && self.ledger.quotas.start(hold, ping.reserved, now).is_err()
        {
            return false;
        }
        let needs = self.parts.model_needs.get(model);
        if needs.is_some_and(|needs| self.resources.ask(key, needs) != Ok(Asked::Granted)) {
            self.supplied.extend(self.resources.give_back(key));
            return false;
        }
        self.slots[cpu].lend(process.pid)
    }

    /// Calls wait for what pings may hold: those that hold any end.
    pub(crate) fn pings_give_way(&mut self) {
        if self.parts.model_needs.is_empty() {
            return;
        }
        let pids: Vec<Pid> = self.slots.iter().flat_map(|slots| slots.pinging.keys().copied()).collect();
        for pid in pids {
            self.with(pid, |core, process| {
                let needs = |kept: &Kept| core.parts.model_needs.contains_key(&kept.view.model);
                if process.kept.as_ref().is_some_and(needs) {
                    core.end_ping(process, "what it holds is needed");
                    process.give_up();
                    core.settle(process);
                }
            });
        }
    }

    /// Takes the answer to a ping. One that was ended meanwhile has its outcome already.
    pub(crate) fn ping_done(&mut self, key: CallKey, end: End) {
        self.with(key.pid, |core, process| {
            if !process.is_pinging(key) {
                return;
            }
            let verdict = call_end(&end);
            let (usage, result) = match end {
                End::Infer(Ok(inference)) => (inference.usage, Ok(inference)),
                End::Infer(Err(error)) if not_served(error.kind()) => {
                    (TokenUsage::default(), Err(cpu_error(&error)))
                }
                End::Infer(Err(error)) => (core.ping_spent(process), Err(cpu_error(&error))),
                other => (core.ping_spent(process), Err(broken(other))),
            };
            let used = usage.input.saturating_add(usage.output).0;
            core.ungovern(process, verdict.with(used));
            let mut expected = None;
            match &result {
                Ok(inference) => expected = core.warmed(process, &inference.usage),
                Err(_) => process.give_up(),
            }
            core.charge_ping(process, usage, result.map(Answer::Inference), expected);
            core.expect_ping(process);
            core.settle(process);
        });
    }

    /// What was sent last is cached for another while. A provider that had forgotten it, or caches nothing, is not asked again.
    fn warmed(&mut self, process: &mut Process, usage: &TokenUsage) -> Option<Tokens> {
        let at = process.pinging.as_ref()?.at;
        let (now, expected) = self.ping_expected(process)?;
        process.answered = Some(now);
        if usage.cached.0 < expected.0 / 2 && !usage.estimated {
            process.give_up();
        }
        if let Some((cpu, ttl)) = process.kept.as_ref().and_then(|kept| {
            let model = self.model_of(&kept.view)?;
            Some((kept.cpu, model.cache.kept(kept.view.retention).ttl_s))
        }) {
            let until = Timestamp(at.0.saturating_add(ttl.saturating_mul(1000)));
            self.slots[cpu].answered(process.pid, until);
        }
        let change = Change::Warmed { at };
        let applied = self.with_pager(process, |pager, swap, log| {
            pager.apply(&change, swap)?;
            log.push(change);
            Ok(())
        });
        if let Err(error) = applied {
            tracing::warn!(%error, "the pager did not take that its window was kept warm");
        }
        Some(expected)
    }

    /// The prompt that a ping sends, and what of it is expected to be cached.
    fn ping_expected(&self, process: &Process) -> Option<(SentPrompt, Tokens)> {
        let (at, before) = (process.pinging.as_ref()?.at, process.answered.as_ref()?);
        let model = self.model_of(&process.kept.as_ref()?.view)?;
        let now = SentPrompt { at, ..before.clone() };
        let stable = now.segments.iter().map(|segment| segment.tokens).sum();
        let expected = expected_cache(Some(before), &now, stable, &model.cache).tokens;
        Some((now, expected))
    }

    /// What a ping without an answer is charged: its prompt; nothing if it was not sent.
    fn ping_spent(&self, process: &Process) -> TokenUsage {
        let sent = process.image.ping.filter(|_| process.ping_sent());
        let input = sent.map_or(Tokens::ZERO, |ping| ping.reserved.tokens.saturating_sub(OUTPUT));
        TokenUsage { input, estimated: true, ..TokenUsage::default() }
    }

    /// Ends a ping: what it used so far is charged.
    pub(crate) fn end_ping(&mut self, process: &mut Process, why: &str) {
        if self.stop_ping(process, why) {
            self.queue_commit(process);
        }
    }

    /// Likewise; the record goes with the commit that follows anyway. Says whether there was one.
    pub(crate) fn stop_ping(&mut self, process: &mut Process, why: &str) -> bool {
        self.forget_ping(process);
        if process.image.ping.is_none() {
            return false;
        }
        let usage = self.ping_spent(process);
        let error = SysError::new(ErrorKind::Cancelled, format!("keep warm: {why}"));
        self.charge_ping(process, usage, Err(error), None);
        true
    }

    fn charge_ping(
        &mut self,
        process: &mut Process,
        usage: TokenUsage,
        result: CallResult,
        expected: Option<Tokens>,
    ) {
        let Some(ping) = process.image.ping.take() else { return };
        process.release(&ping.reserved);
        let kept = process.kept.as_ref();
        let cost = kept.and_then(|kept| Some(charge(&usage, &kept.view, self.model_of(&kept.view)?)));
        let cost = cost.unwrap_or_default();
        let total = &mut process.image.usage;
        total.input_tokens = total.input_tokens.saturating_add(usage.input);
        total.cached_tokens = total.cached_tokens.saturating_add(usage.cached);
        total.output_tokens = total.output_tokens.saturating_add(usage.output);
        total.cost = total.cost.saturating_add(cost);
        let tokens = usage.input.saturating_add(usage.output);
        self.settle_above(process, ping.seq, Reservation { tokens, cost, ..Reservation::default() });
        self.ping_ended(process, ping.seq, result, cost, expected);
        self.ungovern(process, CallEnd::Cancelled { tokens: usage.input.saturating_add(usage.output).0 });
        self.drop_ping(process);
    }

    fn ping_ended(
        &mut self,
        process: &mut Process,
        seq: Seq,
        result: CallResult,
        cost: MicroUsd,
        expected_cached: Option<Tokens>,
    ) {
        let took = process.pinging.as_ref().map(|pinging| self.since(pinging.started).into());
        let (took, waited) = (took.unwrap_or_default(), kernel_types::Millis::ZERO);
        let causes = Vec::new();
        self.log(process, Some(seq), Event::Outcome { result, cost, took, waited, causes, expected_cached });
    }

    /// Lets go of a ping's task and slot, recording nothing.
    pub(crate) fn drop_ping(&mut self, process: &mut Process) {
        self.forget_ping(process);
        let Some(pinging) = process.pinging.take() else { return };
        if let Some(abort) = pinging.abort {
            abort.abort();
        }
        if let Some(started) = pinging.governed {
            let now = self.micros();
            self.slots[pinging.cpu].ended(started, CallEnd::Cancelled { tokens: 0 }, now);
        }
        if !self.parts.model_needs.is_empty() {
            self.supplied.extend(self.resources.give_back(pinging.key));
        }
        self.slots[pinging.cpu].take_back(process.pid);
    }

    /// The Cpu works, and takes a call that needs so many tokens at once. Whether one that failed works again is for a call to find
    /// out that somebody waits for.
    fn takes_ping(&self, cpu: usize, needs: Tokens) -> bool {
        let slots = &self.slots[cpu];
        slots.failing_since.is_none() && slots.governor.admits(needs.0, self.micros()) == Admission::Now
    }

    /// A ping ended: its Cpu's limits know it no more.
    fn ungovern(&mut self, process: &mut Process, end: CallEnd) {
        let now = self.micros();
        if let Some(pinging) = &mut process.pinging
            && let Some(started) = pinging.governed.take()
        {
            self.slots[pinging.cpu].ended(started, end, now);
        }
    }

    /// Where somebody waits for a slot and none is free, a ping gives its own. Says whether one did.
    pub(crate) fn make_way(&mut self, cpu: usize) -> bool {
        let slots = &self.slots[cpu];
        let lent = slots.pinging.first_key_value().map(|(pid, _)| *pid);
        let Some(pid) = lent.filter(|_| !slots.wanting.is_empty()) else { return false };
        let ended = self.with(pid, |core, process| {
            core.end_ping(process, "the slot is needed");
            process.give_up();
            core.settle(process);
        });
        ended.is_some() && !self.slots[cpu].free.is_empty()
    }

    /// A ping that was in flight when the kernel stopped: it was charged at the most it can have cost, and is never sent again.
    pub(crate) fn ping_lost(&mut self, process: &mut Process) {
        let Some(ping) = process.image.ping.take() else { return };
        let message = "the kernel stopped while the prompt was being kept warm";
        let error = SysError::new(ErrorKind::Interrupted, message);
        self.ping_ended(process, ping.seq, Err(error), ping.reserved.cost, None);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it panics")]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use kernel_llm::{Canned, FnCpu, model_info};
    use kernel_storage::MemoryStore;
    use kernel_types::{CacheModel, Capabilities, Millis, NewPage, PageKind};

    use super::*;
    use crate::programs::{Script, ScriptStep};
    use crate::{Clock, Kernel, ManualClock, Until, event_of};

    /// Time that passes only once it may.
    struct Held(ManualClock, Arc<AtomicBool>);

    impl Clock for Held {
        fn wall(&self) -> Timestamp {
            self.0.wall()
        }
        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }
        fn wait(&self, wait: Duration, idle: &dyn Fn() -> bool) -> Duration {
            self.0.wait(wait, &|| self.1.load(Ordering::Relaxed) && idle())
        }
    }

    /// What became of the ping of a process, after something happened between its call and the ping.
    async fn pinged(happens: impl FnOnce(&mut Core, Pid)) -> (u32, Vec<Event>) {
        let cache = CacheModel { min_prefix: Tokens(1), ttl_s: 1, read: 100, ..CacheModel::default() };
        let model = ModelInfo { cache, pricing: None, ..model_info("warm") };
        let called = Arc::new(AtomicU32::new(0));
        let calls = Arc::clone(&called);
        let cpu = FnCpu::new(model, move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            Ok(Canned::text("Yes."))
        });
        let store = MemoryStore::new();
        let may_pass = Arc::new(AtomicBool::new(false));
        let clock = Held(ManualClock::new(Timestamp(1_700_000_000_000)), Arc::clone(&may_pass));
        let kernel = Kernel::builder().store(store.clone()).cpu(cpu).clock(clock).build().await.unwrap();
        let page = NewPage::text(PageKind::User, "The quick brown fox jumps over the lazy dog. ".repeat(9));
        let thinks = vec![Call::PageAlloc { pages: vec![page] }, Call::Infer(InferArgs::default())];
        let steps = [thinks, vec![Call::Sleep { ms: Millis(1_300) }]];
        let step = steps.map(|calls| ScriptStep { repeat: 1, calls }).to_vec();
        let pid = kernel.spawn(Script { step, ..Script::default() }.spec("test").unwrap()).await.unwrap();
        let meanwhile = async {
            while called.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            happens(&mut kernel.shared.core.lock(), pid);
            may_pass.store(true, Ordering::Relaxed);
        };
        let (run, ()) = tokio::join!(kernel.run_until(Until::Idle), meanwhile);
        run.unwrap();
        let store = kernel.store();
        let mut events = Vec::new();
        for record in store.records(pid, 1, 1024).await.unwrap() {
            if record.call.is_some_and(Seq::is_ping) {
                events.extend(event_of(&*store, Some(&record)).await.unwrap());
            }
        }
        (called.load(Ordering::Relaxed), events)
    }

    #[tokio::test]
    async fn a_ping_that_the_gate_denies_is_on_record_and_not_sent() {
        let denied = |core: &mut Core, pid| {
            let none = Capabilities { calls: vec!["sleep".to_owned()], ..Capabilities::default() };
            core.processes.get_mut(&pid).unwrap().capabilities = Arc::new(none);
        };
        let (called, events) = pinged(denied).await;
        let [
            Event::Intent { decision: Decision::Deny { .. }, reserved, .. },
            Event::Outcome { result: Err(error), cost, .. },
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!((called, error.kind), (1, ErrorKind::Denied));
        assert_eq!((*reserved, *cost), (Reservation::default(), MicroUsd(0)));
        let (called, events) = pinged(|_, _| {}).await;
        assert!(matches!(events[..], [_, Event::Outcome { result: Ok(_), .. }]), "{events:?}");
        assert_eq!(called, 2);
    }

    /// Five failures, and the pause of the breaker is over: the next call would be the probe, and that is no ping's to be.
    #[tokio::test]
    async fn a_ping_is_never_the_probe_of_a_cpu_that_failed() {
        let fails = |core: &mut Core, _: Pid| {
            for _ in 0..5 {
                let call = core.slots[0].governor.start(1, Micros(0));
                core.slots[0].ended(call, CallEnd::Failed { tokens: 0, retry_after: None }, Micros(0));
            }
            assert_eq!(core.slots[0].governor.open(Micros(1_100_000)), Admission::Now, "a call may probe");
        };
        let (called, events) = pinged(fails).await;
        assert_eq!((called, events.len()), (1, 0), "{events:?}");
    }
}
