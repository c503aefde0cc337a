//! Device calls: models and tools. Started after their intent is durable, each as a task of its own with a deadline,
//! cancellation and a panic guard; each ends exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kernel_context::{CacheMiss, Change, SentPrompt, cache_miss, expected_cache};
use kernel_llm::{CpuError, CpuErrorKind, DeltaSink, InferRequest};
use kernel_sched::{CallEnd, Charge, Micros};
use kernel_security::{ExecRequest, ExecStatus, Sandbox};
use kernel_storage::StoreError;
use kernel_tools::{CallContext, Host, HostExec, HostExit, ToolError, ToolErrorKind, ToolOutput};
use kernel_types::{
    Answer, Blame, Call, CallKey, CallResult, Capabilities, ErrorKind, Event, Inference, Millis, Reservation,
    Retry, Seq, StepNo, SysError, SyscallNo, TokenUsage, Tokens, ToolCallRequest, ToolResult,
};

use crate::core::{Core, Spent};
use crate::error::KernelError;
use crate::forking::Other;
use crate::parts::Parts;
use crate::process::{Process, Running};
use crate::retry::call_end;
use crate::spend::{Used, beyond};

/// Output bytes kept of a program that a tool runs.
const MAX_OUTPUT: usize = 1 << 20;

/// A device call that is to be started.
pub(crate) struct Start {
    pub(crate) key: CallKey,
    pub(crate) attempt: u32,
    pub(crate) future: BoxFuture<'static, End>,
}

/// How a device call ended.
pub(crate) enum End {
    Infer(Result<Inference, CpuError>),
    Tool(Result<ToolOutput, ToolError>),
    Memory(Result<Answer, StoreError>),
    /// The state that a `fork` or a `restore` is about.
    Other(Result<Box<Other>, KernelError>),
    Panicked(String),
    Deadline(Millis),
    /// It blocked the kernel's thread.
    Stuck(Millis),
}

impl Core {
    /// Starts what the last commit made durable.
    pub(crate) fn start_pending(&mut self, process: &mut Process) {
        for index in 0..process.image.open.len() {
            let open = &process.image.open[index];
            let (seq, no) = (open.seq, open.no);
            let Some(pending) = open.pending.as_ref().filter(|_| open.outcome.is_none()) else { continue };
            if process.running.contains_key(&seq) {
                continue;
            }
            let deadline = pending.deadline;
            let is_sent = matches!(
                no,
                SyscallNo::Infer | SyscallNo::ToolCall | SyscallNo::Remember | SyscallNo::Search
            );
            if is_sent && !self.may_send() {
                // It was not sent: the last commit of a shutdown says so.
                continue;
            }
            process.running.insert(seq, Running::new(self.micros()));
            match no {
                SyscallNo::Infer | SyscallNo::ToolCall => {
                    if self.has_budget(process, index) && self.has_resources(process, index) {
                        self.start_device(process, index);
                    }
                }
                SyscallNo::Remember | SyscallNo::Search => self.start_memory(process, index),
                SyscallNo::Fork | SyscallNo::Restore => self.start_other(process, index),
                SyscallNo::Spawn => self.start_spawn(process, index),
                _ => {
                    if let Some(at) = deadline {
                        self.set_timer(at, process.pid, process.image.step, seq);
                    }
                }
            }
        }
        self.serve_waiting(process);
        self.start_ping(process);
        self.expect_ping(process);
    }

    /// Starts a call that has what its device needs.
    pub(crate) fn start_device(&mut self, process: &mut Process, index: usize) {
        match process.image.open[index].no {
            SyscallNo::Infer => self.want_slot(process, index),
            _ => self.start_tool(process, index),
        }
    }

    fn start_tool(&mut self, process: &Process, index: usize) {
        let open = &process.image.open[index];
        let Some(pending) = &open.pending else { return };
        let Call::ToolCall(args) = &pending.call else { return };
        let key = CallKey { pid: process.pid, step: process.image.step, seq: open.seq };
        let parts = Arc::clone(&self.parts);
        let timeout = parts.tool_timeout(args);
        let request = ToolCallRequest { key, tool: args.tool.clone(), args: args.args.clone() };
        let host = Arc::new(AgentHost {
            key,
            capabilities: Arc::clone(&process.capabilities),
            parts: Arc::clone(&parts),
            timeout,
        });
        let context = CallContext { host, timeout: timeout.into() };
        let work = async move { End::Tool(parts.registry.call(&request, &context).await) };
        let attempt = pending.attempt;
        self.starts.push_back(Start { key, attempt, future: guarded(work, timeout) });
        self.expect_end(key, timeout);
    }

    /// Starts the inference for which a process was granted a slot. Says whether there is one.
    pub(crate) fn start_infer(&mut self, process: &mut Process, cpu: usize, slot: u32) -> bool {
        let (now, micros, parts) = (self.now(), self.micros(), Arc::clone(&self.parts));
        let found = process
            .running
            .iter_mut()
            .find(|(_, running)| running.cpu == Some(cpu) && running.slot.is_none());
        let Some((seq, running)) = found else { return false };
        let seq = *seq;
        let Some(ready) = process.prompts.get_mut(&seq) else { return false };
        // It may have waited for the slot: what the cache has is a matter of when the provider gets the request.
        ready.sent.at = now;
        if let Some(served) = parts.models.get(&ready.view.model) {
            let before = process.answered.as_ref();
            ready.expected = expected_cache(before, &ready.sent, ready.stable, &served.info.cache);
        }
        let streamed = Arc::clone(&running.streamed);
        let Some(pending) = process.image.open[seq.0 as usize].pending.as_ref() else { return false };
        let Call::Infer(args) = &pending.call else { return false };
        running.slot = Some(slot);
        running.sent.get_or_insert(micros);
        let needs = ready.view.tokens.saturating_add(ready.max_output);
        running.governed = Some(self.slots[cpu].governor.start(needs.0, micros));
        let latest = parts.limits.infer.saturating_add(parts.limits.step);
        running.ends_by = self.in_future(latest);
        let key = CallKey { pid: process.pid, step: process.image.step, seq };
        let request = InferRequest {
            key,
            model: ready.view.model.clone(),
            prompt: Arc::clone(&ready.prompt),
            max_output: ready.max_output,
            temperature: args.temperature,
        };
        let attempt = pending.attempt;
        let timeout = parts.limits.infer;
        let work = async move {
            let sink = CountingSink { inner: Arc::clone(&parts.sink), streamed };
            End::Infer(parts.cpus[cpu].infer(request, &sink).await)
        };
        self.starts.push_back(Start { key, attempt, future: guarded(work, timeout) });
        self.end_wait(process, seq);
        self.set_alarm(latest, key.pid, key.step, key.seq);
        true
    }

    /// Takes the end of a device call. One that was cancelled meanwhile has its outcome already.
    pub(crate) fn device_done(&mut self, key: CallKey, attempt: u32, end: End) {
        if key.seq.is_ping() {
            return self.ping_done(key, end);
        }
        self.with(key.pid, |core, process| {
            let Some(index) = process.pending_index(key.step, key.seq) else { return };
            let fits =
                process.image.open[index].pending.as_ref().is_some_and(|pending| pending.attempt == attempt);
            if !fits || process.image.exited.is_some() {
                return;
            }
            match process.image.open[index].no {
                SyscallNo::Infer => core.infer_done(process, index, end),
                SyscallNo::Remember | SyscallNo::Search => core.memory_done(process, index, end),
                SyscallNo::Fork | SyscallNo::Restore => core.other_done(process, index, end),
                _ => core.tool_done(process, index, end),
            }
            core.settle(process);
        });
    }

    fn tool_done(&mut self, process: &mut Process, index: usize, end: End) {
        let result = match end {
            End::Tool(Ok(output)) => Ok(Answer::Tool(self.keep_output(process, output))),
            End::Tool(Err(error)) => Err(tool_error(&error)),
            other => Err(broken(other)),
        };
        process.image.usage.calls += 1;
        process.image.usage.tool_calls += 1;
        let spent = tool_spent(self.took(process, index));
        self.finish(process, index, result, spent);
    }

    /// Stores a tool's attachments beside its result.
    fn keep_output(&mut self, process: &mut Process, output: ToolOutput) -> ToolResult {
        let mut attachments = Vec::with_capacity(output.attachments.len());
        for body in output.attachments {
            let blob = kernel_storage::Blob::of(body.as_bytes());
            attachments.push(blob.hash);
            process.image.attachments.push(blob.hash);
            process.stage(blob.hash, body);
            process.blobs.push(blob);
        }
        ToolResult { success: output.success, data: output.data, text: output.text, attachments }
    }

    fn infer_done(&mut self, process: &mut Process, index: usize, end: End) {
        let seq = process.image.open[index].seq;
        if let End::Infer(Err(error)) = &end
            && self.try_again(process, index, error)
        {
            return;
        }
        let failed = call_end(&end);
        // The kernel was patient for the program.
        let tried = process.running.get(&seq).is_some_and(|running| running.failures > 0);
        let (used, result) = match end {
            End::Infer(Ok(inference)) => (Used::reported(inference.usage), Ok(inference)),
            End::Infer(Err(error)) => (Used::failed(process, seq, error.kind()), Err(cpu_error(&error))),
            other => (Used::lost(process, seq), Err(broken(other))),
        };
        let result = result.map_err(|error| if tried { error.with_retry(Retry::Never) } else { error });
        if let (Ok(inference), Some(ready)) = (&result, process.prompts.get(&seq)) {
            let reported = inference.usage.input.saturating_sub(ready.tool_tokens);
            let shown = Change::Rendered { trace: ready.trace, at: ready.sent.at };
            self.learn(process, inference, reported, ready.raw_tokens, shown);
            self.compare_cache(process, seq, &inference.usage);
        }
        let end = failed.with(used.tokens().0);
        self.charge_infer(process, index, used, end, result.map(Answer::Inference));
    }

    /// Holds what the provider read from its cache against what was expected, and keeps the prompt to expect from next.
    fn compare_cache(&mut self, process: &mut Process, seq: Seq, usage: &TokenUsage) {
        let Some(ready) = process.prompts.get(&seq) else { return };
        let expected = ready.expected;
        let miss = cache_miss(&ready.sent, &expected, usage.cached);
        let reported = if usage.estimated { Tokens::ZERO } else { usage.input };
        process.answered = Some(SentPrompt { reported, answer: usage.output, ..ready.sent.clone() });
        process.kept = self.keep(process, seq);
        self.keep_slot_warm(process, seq);
        let Some(miss) = miss.filter(|_| !usage.estimated) else { return };
        let (segment, page) = match miss {
            CacheMiss::Changed { segment, page } => (Some(segment as u64), page),
            CacheMiss::Unused => (None, None),
        };
        let event = Event::CacheMissed { expected: expected.tokens, reported: usage.cached, segment, page };
        self.log(process, Some(seq), event);
    }

    /// What the pager learns from a call that was answered: what is cached now, and how its counts compare.
    fn learn(
        &mut self,
        process: &mut Process,
        inference: &Inference,
        reported: Tokens,
        raw: Tokens,
        shown: Change,
    ) {
        let mut changes = vec![shown];
        let said = said(inference);
        let used = self.ask_pager(process, |pager, _| Ok(pager.used_by(&said))).unwrap_or_default();
        if !used.is_empty() {
            changes.push(Change::Touch(used));
        }
        if !inference.usage.estimated && reported > Tokens::ZERO {
            changes.push(Change::Calibrate { estimated: raw, reported });
        }
        let applied = self.with_pager(process, |pager, swap, log| {
            for change in changes {
                match pager.apply(&change, swap) {
                    Ok(_) => log.push(change),
                    Err(error) => tracing::warn!(%error, "the pager did not take what a call taught"),
                }
            }
            Ok(())
        });
        if let Err(error) = applied {
            tracing::warn!(%error, "the pager did not take what a call taught");
        }
    }

    /// Ends an inference: charges it, gives its slot back, records its outcome.
    pub(crate) fn charge_infer(
        &mut self,
        process: &mut Process,
        index: usize,
        used: Used,
        end: CallEnd,
        result: CallResult,
    ) {
        let seq = process.image.open[index].seq;
        // One that never had a slot was not sent.
        let calls = u64::from(process.running.get(&seq).is_some_and(|running| running.slot.is_some()));
        let usage = used.paid;
        let cost = self.price(process, seq, &usage);
        let total = &mut process.image.usage;
        total.calls += calls;
        total.input_tokens = total.input_tokens.saturating_add(usage.input);
        total.cached_tokens = total.cached_tokens.saturating_add(usage.cached);
        total.output_tokens = total.output_tokens.saturating_add(usage.output);
        total.cost = total.cost.saturating_add(cost);
        self.end_wait(process, seq);
        let took = self.took(process, index);
        let answered = result.is_ok().then(|| process.prompts.get(&seq)).flatten();
        let expected_cached = answered.map(|ready| ready.expected.tokens);
        let waited = process.running.get(&seq).map(|running| running.waits.total()).unwrap_or_default();
        let charge = Charge {
            uncached: used.seen.input.saturating_sub(used.seen.cached),
            cached: used.seen.cached,
            output: used.seen.output,
            held: Micros(took.0.saturating_sub(waited.0).saturating_mul(1000)),
        };
        let seen = self.price(process, seq, &used.seen);
        self.leave_slot(process, seq, charge, end);
        let beyond = beyond(&used, cost, seen);
        let used = Reservation { calls, tokens: used.tokens(), cost: seen, tool_calls: 0 };
        let spent = Spent { cost, used, beyond, took, expected_cached };
        self.finish(process, index, result, spent);
    }

    /// Cancels one call: it ends now, and what it used so far is charged.
    pub(crate) fn cancel(&mut self, process: &mut Process, index: usize, why: &str, retry: Retry) {
        let open = &process.image.open[index];
        if open.outcome.is_some() || process.results[index].is_some() {
            return;
        }
        let (seq, no) = (open.seq, open.no);
        if let Some(abort) = process.running.get_mut(&seq).and_then(|running| running.abort.take()) {
            abort.abort();
        }
        let error = SysError::new(ErrorKind::Cancelled, format!("{no}: {why}")).with_retry(retry);
        match no {
            SyscallNo::Infer => {
                let used = Used::cut(process, seq);
                let end = CallEnd::Cancelled { tokens: used.tokens().0 };
                self.charge_infer(process, index, used, end, Err(error));
            }
            SyscallNo::Spawn | SyscallNo::Fork => self.cancel_spawn(process, index, error),
            _ => {
                let started = process.running.get(&seq).is_some_and(|running| !running.waits.is_open());
                if no == SyscallNo::ToolCall && started {
                    process.image.usage.calls += 1;
                    process.image.usage.tool_calls += 1;
                    let spent = tool_spent(self.took(process, index));
                    return self.finish(process, index, Err(error), spent);
                }
                if no == SyscallNo::Lock {
                    self.stop_waiting_for_lock(process.pid);
                }
                let took = self.took(process, index);
                self.finish(process, index, Err(error), Spent { took, ..Spent::default() });
            }
        }
    }

    /// Stops all tasks of a process without recording anything.
    pub(crate) fn abort_all(&mut self, process: &mut Process) {
        self.drop_ping(process);
        for seq in process.running.keys().copied().collect::<Vec<_>>() {
            self.leave_slot(process, seq, Charge::default(), CallEnd::Cancelled { tokens: 0 });
            self.frees_line(process, seq);
            self.stops_being_short(process, seq);
            self.free_resources(process, seq);
            if let Some(abort) = process.running.remove(&seq).and_then(|running| running.abort) {
                abort.abort();
            }
        }
        // Also for calls whose intents were not durable yet, and for those that wait for a budget.
        let calls = process.image.open.iter().map(|open| open.seq);
        for seq in calls.chain(process.holds.keys().copied()).collect::<Vec<_>>() {
            self.settle_above(process, seq, Reservation::default());
        }
    }

    /// A call's time has come.
    pub(crate) fn fire_timers(&mut self) {
        if self.closed || self.fatal.is_some() {
            return;
        }
        let (wall, now) = (self.now(), self.micros());
        while let Some((pid, step, seq)) = self.timers.take_due(wall).or_else(|| self.alarms.take_due(now)) {
            self.with(pid, |core, process| core.timed_out(process, step, seq));
        }
    }

    /// A device call ends at its own deadline, unless it keeps the thread that its timer would run on: then the kernel
    /// ends it, when code of others has had its time on top.
    pub(crate) fn expect_end(&mut self, key: CallKey, timeout: Duration) {
        let latest = timeout.saturating_add(self.parts.limits.step);
        self.set_alarm(latest, key.pid, key.step, key.seq);
    }

    /// Ends a device call that does not give its thread back. Its future is dropped when it does.
    pub(crate) fn leave_behind(&mut self, process: &mut Process, index: usize) {
        let open = &process.image.open[index];
        let (seq, no) = (open.seq, open.no);
        let key = CallKey { pid: process.pid, step: process.image.step, seq };
        let Some(attempt) = open.pending.as_ref().map(|pending| pending.attempt) else { return };
        let Some(running) = process.running.get_mut(&seq) else { return };
        let Some(abort) = running.abort.take() else {
            // It is about to be polled for the first time: the watchdog looks after that.
            return self.expect_end(key, Duration::ZERO);
        };
        abort.abort();
        let started = running.started;
        let held = self.since(started);
        tracing::warn!(%key, ?held, "a device blocked a thread past its deadline");
        self.left_behind.insert((key, attempt));
        self.in_flight.devices -= 1;
        let end = End::Stuck(held.into());
        match no {
            SyscallNo::Infer => self.infer_done(process, index, end),
            SyscallNo::Remember | SyscallNo::Search => self.memory_done(process, index, end),
            SyscallNo::Fork | SyscallNo::Restore => self.other_done(process, index, end),
            _ => self.tool_done(process, index, end),
        }
        self.settle(process);
    }

    /// A device call's future is polled for the first time. Pings hold no run up and are not counted.
    pub(crate) fn device_started(&mut self, key: CallKey) {
        self.in_flight.devices += usize::from(!key.seq.is_ping());
    }

    /// A device call's future has ended or was dropped.
    pub(crate) fn device_returned(&mut self, key: CallKey, attempt: u32) {
        if !key.seq.is_ping() && !self.left_behind.remove(&(key, attempt)) {
            self.in_flight.devices -= 1;
        }
    }

    fn timed_out(&mut self, process: &mut Process, step: StepNo, seq: Seq) {
        let Some(index) = process.pending_index(step, seq) else { return };
        let no = process.image.open[index].no;
        let result = match no {
            SyscallNo::Infer => return self.infer_timer(process, index),
            SyscallNo::ToolCall
            | SyscallNo::Remember
            | SyscallNo::Search
            | SyscallNo::Fork
            | SyscallNo::Restore => {
                return self.leave_behind(process, index);
            }
            SyscallNo::Sleep => Ok(Answer::Done),
            _ => {
                if no == SyscallNo::Lock {
                    self.stop_waiting_for_lock(process.pid);
                }
                Err(SysError::new(ErrorKind::Deadline, format!("{no}: nothing came before the deadline")))
            }
        };
        let took = self.took(process, index);
        self.finish(process, index, result, Spent { took, ..Spent::default() });
        self.settle(process);
    }
}

/// Runs a device's future with a deadline and catches its panic.
pub(crate) fn guarded(
    work: impl Future<Output = End> + Send + 'static,
    timeout: Duration,
) -> BoxFuture<'static, End> {
    let caught = std::panic::AssertUnwindSafe(work).catch_unwind();
    async move {
        match tokio::time::timeout(timeout, caught).await {
            Ok(Ok(end)) => end,
            Ok(Err(panic)) => End::Panicked(panic_text(panic.as_ref())),
            Err(_) => End::Deadline(timeout.into()),
        }
    }
    .boxed()
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// What a tool call that was started is charged.
fn tool_spent(took: Millis) -> Spent {
    let used = Reservation { calls: 1, tool_calls: 1, ..Reservation::default() };
    Spent { used, took, ..Spent::default() }
}

impl Core {
    /// How long ago a call was started.
    pub(crate) fn took(&self, process: &Process, index: usize) -> Millis {
        let seq = process.image.open[index].seq;
        process.running.get(&seq).map(|running| self.since(running.started).into()).unwrap_or_default()
    }
}

/// The provider says that it did nothing for a call that failed like this, and charges nothing.
pub(crate) const fn not_served(kind: CpuErrorKind) -> bool {
    matches!(
        kind,
        CpuErrorKind::Unreachable
            | CpuErrorKind::Overloaded
            | CpuErrorKind::Failed
            | CpuErrorKind::Auth
            | CpuErrorKind::UnknownModel
            | CpuErrorKind::TooLong
            | CpuErrorKind::InvalidRequest
            | CpuErrorKind::Setup
    )
}

pub(crate) fn broken(end: End) -> SysError {
    match end {
        End::Deadline(after) => SysError::new(ErrorKind::Deadline, format!("no answer within {after}")),
        End::Stuck(after) => SysError::new(
            ErrorKind::Deadline,
            format!("blocked a thread of the kernel for {after} and was left behind"),
        ),
        End::Panicked(text) => SysError::new(ErrorKind::Faulted, format!("panicked: {text}")),
        _ => SysError::new(ErrorKind::Faulted, "answered another kind of call"),
    }
}

/// The error a program gets for a tool's.
pub(crate) fn tool_error(error: &ToolError) -> SysError {
    let kind = match error.kind() {
        ToolErrorKind::Unknown | ToolErrorKind::NotFound => ErrorKind::NotFound,
        ToolErrorKind::InvalidArguments => ErrorKind::InvalidArgument,
        ToolErrorKind::Denied => ErrorKind::Denied,
        ToolErrorKind::TooLarge => ErrorKind::TooLarge,
        ToolErrorKind::Unavailable => ErrorKind::Unavailable,
        _ => ErrorKind::Failed,
    };
    SysError::new(kind, error.to_string()).with_retry(error.retry()).with_blame(error.blame())
}

pub(crate) fn cpu_error(error: &CpuError) -> SysError {
    let kind = match error.kind() {
        CpuErrorKind::Unreachable | CpuErrorKind::Overloaded | CpuErrorKind::Auth | CpuErrorKind::Setup => {
            ErrorKind::Unavailable
        }
        CpuErrorKind::UnknownModel => ErrorKind::NotFound,
        CpuErrorKind::TooLong => ErrorKind::TooLarge,
        CpuErrorKind::InvalidRequest => ErrorKind::InvalidArgument,
        CpuErrorKind::Timeout => ErrorKind::Deadline,
        _ => ErrorKind::Failed,
    };
    SysError::new(kind, error.to_string()).with_retry(error.retry()).with_blame(Blame::Plugin)
}

/// Counts what streams by, so that a cancelled call can be charged.
struct CountingSink {
    inner: Arc<dyn DeltaSink>,
    streamed: Arc<AtomicU64>,
}

impl DeltaSink for CountingSink {
    fn delta(&self, key: CallKey, text: &str) {
        self.streamed.fetch_add(text.len() as u64, Ordering::Relaxed);
        self.inner.delta(key, text);
    }
}

/// What a tool may ask on behalf of the process that called it.
struct AgentHost {
    key: CallKey,
    capabilities: Arc<Capabilities>,
    parts: Arc<Parts>,
    timeout: Duration,
}

#[async_trait]
impl Host for AgentHost {
    fn may_read(&self, path: &str) -> bool {
        self.capabilities.read.iter().any(|granted| kernel_security::path_within(granted, path))
    }

    fn may_write(&self, path: &str) -> bool {
        self.capabilities.write.iter().any(|granted| kernel_security::path_within(granted, path))
    }

    async fn exec(&self, exec: HostExec) -> Result<HostExit, ToolError> {
        let program = exec.program.clone();
        let request = ExecRequest {
            key: self.key,
            program: exec.program,
            args: exec.args,
            env: std::collections::BTreeMap::new(),
            stdin: exec.stdin,
            timeout: self.timeout.into(),
            max_output: MAX_OUTPUT,
        };
        let output = self
            .parts
            .sandbox
            .exec(request)
            .await
            .map_err(|error| ToolError::new(ToolErrorKind::Denied, program, error.to_string()))?;
        let (code, reason) = match output.status {
            ExecStatus::Exited(code) => (Some(code), String::new()),
            other => (None, format!("{other:?}").to_lowercase()),
        };
        Ok(HostExit { code, reason, stdout: output.stdout, stderr: output.stderr })
    }
}

/// What the model said and what it asked of tools.
fn said(inference: &Inference) -> String {
    let mut said = inference.text();
    for part in &inference.parts {
        if let kernel_types::Part::ToolCall { args, .. } = part {
            said.push(' ');
            said.push_str(args.as_str());
        }
    }
    said
}
