//! Preparing a step: every call passes the gate and gets its intent; local calls are carried out at once.

use std::sync::Arc;

use kernel_context::{PagerError, SentPrompt, expected_cache};
use kernel_types::{
    Answer, BlobHash, Budget, Call, CallResult, Class, Decision, ErrorKind, Event, ExitStatus, Frame,
    InferArgs, PageView, PastMoment, Pid, Prompt, Recovery, Reservation, Seq, SysError, Timestamp, Tokens,
    ToolCallArgs, ToolMode, ToolSpec,
};

use crate::core::{Core, Spent};
use crate::gate::refusal;
use crate::image::{OpenCall, Pending};
use crate::process::{Preparing, Process, Ready};
use crate::program::{Input, Saved, Step};
use crate::tree::NoSpawn;
use crate::vectors::Text;

/// What must be at hand before a call can go on. The call had no effect yet.
pub(crate) enum Fault {
    /// Bodies to load.
    Bodies(Vec<BlobHash>),
    /// Texts to embed.
    Vectors(Vec<Text>),
}

/// What came of a call that is not local.
struct Prepared {
    decision: Decision,
    reserved: Reservation,
    recovery: Recovery,
    view: Option<PageView>,
    child: Option<Pid>,
    share: Option<Budget>,
    deadline: Option<Timestamp>,
    then: Then,
}

#[expect(clippy::large_enum_variant, reason = "lives on the stack for one call")]
enum Then {
    /// It ended already.
    Answer(CallResult),
    /// It starts when its intent is durable.
    Start,
    /// The process ends.
    Exit(ExitStatus),
}

impl Prepared {
    fn refused(call: &Call, decision: Decision) -> Self {
        let then = Then::Answer(Err(refusal(call.number(), &decision)));
        Self { decision, ..Self::allowed(call, then) }
    }

    fn allowed(call: &Call, then: Then) -> Self {
        Self {
            decision: Decision::Allow,
            reserved: Reservation::default(),
            recovery: call.number().recovery(),
            view: None,
            child: None,
            share: None,
            deadline: None,
            then,
        }
    }

    fn invalid(call: &Call, error: SysError) -> Self {
        Self {
            decision: Decision::Reject { reason: error.message.clone() },
            ..Self::allowed(call, Then::Answer(Err(error)))
        }
    }
}

/// What a step of a program came to.
pub(crate) enum Stepped {
    /// It returned.
    Done(Step, Saved),
    /// It panicked, its state does not save, or it did not return.
    Faulted(String),
}

impl Core {
    /// Takes a process off the ready queue: its program and what to resume it with. `None` if it cannot step after all.
    pub(crate) fn begin_step(&mut self, pid: Pid) -> Option<(Box<dyn crate::program::Program>, Input)> {
        self.with(pid, |core, process| {
            process.ready_queued = false;
            if !process.runnable() {
                return None;
            }
            // The step's own commit takes the record along.
            core.stop_ping(process, "the process goes on");
            let spent = process.left().steps == Some(0);
            if let Some(signal) = process.image.signal.filter(|_| spent) {
                // No step is left to ask the program in.
                core.end(process, ExitStatus::Killed(signal));
                return None;
            }
            let limit = process.quota_hit.take().or_else(|| spent.then_some(kernel_types::LimitName::Steps));
            // Who is asked to end is not held up by a limit that it hit before.
            if let Some(limit) = limit.filter(|_| process.image.signal.is_none()) {
                core.suspend(process, kernel_types::SuspendReason::Limit(limit));
                return None;
            }
            let input = if let Some(signal) = process.image.signal.take() {
                // Calls that were made while the signal was on its way.
                core.cancel_open(process, "ended by TERM");
                Input::Signal(signal)
            } else if process.image.saved.is_none() {
                Input::Start((*process.spec).clone())
            } else {
                let (step, pid) = (process.image.step, process.pid);
                let replies = process.image.open.iter().zip(&mut process.results).map(|(open, result)| {
                    kernel_types::Reply {
                        key: kernel_types::CallKey { pid, step, seq: open.seq },
                        result: result.take().expect("all calls are answered"),
                    }
                });
                Input::Replies(replies.collect())
            };
            process.stepping = true;
            process.inner += 1;
            let program = process.program.take().expect("a runnable process has a program");
            Some((program, input))
        })?
    }

    /// Takes a step's outcome: sets its calls up and prepares them.
    pub(crate) fn end_step(&mut self, pid: Pid, program: Box<dyn crate::program::Program>, stepped: Stepped) {
        let limits = self.parts.limits;
        self.with(pid, |core, process| {
            process.stepping = false;
            if process.image.exited.is_some() {
                // It was killed while it stepped: what it wanted next does not happen.
                return;
            }
            process.program = Some(program);
            process.image.step = process.image.step.next();
            process.image.usage.steps += 1;
            process.image.open.clear();
            process.image.pings = 0;
            process.results.clear();
            core.steps += 1;
            match stepped {
                Stepped::Faulted(reason) => core.end(process, ExitStatus::Faulted(reason)),
                Stepped::Done(Step::Exit(status), saved) => {
                    process.image.saved = Some(saved);
                    core.end(process, status);
                }
                Stepped::Done(Step::Calls(calls), _) if calls.is_empty() => {
                    core.end(process, ExitStatus::Faulted("a step made no call and did not exit".to_owned()));
                }
                Stepped::Done(Step::Calls(calls), _) if calls.len() > limits.calls_per_step => {
                    let reason =
                        format!("a step made {} calls, the limit is {}", calls.len(), limits.calls_per_step);
                    core.end(process, ExitStatus::Faulted(reason));
                }
                Stepped::Done(Step::Calls(calls), saved) => {
                    process.image.saved = Some(saved);
                    let open = calls.iter().zip(0..).map(|(call, seq)| OpenCall {
                        seq: Seq(seq),
                        no: call.number(),
                        outcome: None,
                        pending: None,
                    });
                    process.image.open = open.collect();
                    process.results = vec![None; calls.len()];
                    let calls = calls.into_iter().map(Some).collect();
                    process.preparing =
                        Some(Preparing { calls, local_pass: true, next: 0, must_commit: false, exit: None });
                    core.prepare(process);
                }
            }
        });
    }

    /// Prepares the calls of the last step, from where it left off.
    pub(crate) fn prepare(&mut self, process: &mut Process) {
        while let Some(preparing) = &mut process.preparing {
            let index = preparing.next;
            if index == preparing.calls.len() {
                if preparing.local_pass {
                    (preparing.local_pass, preparing.next) = (false, 0);
                    continue;
                }
                let done = process.preparing.take().expect("just seen");
                return self.prepared(process, done);
            }
            let local_pass = preparing.local_pass;
            let wanted = |call: &Call| (call.number().class() == Class::Local) == local_pass;
            let Some(mut call) = preparing.calls[index].take_if(|call| wanted(call)) else {
                preparing.next += 1;
                continue;
            };
            let result = if local_pass {
                self.carry(process, index, &mut call)
            } else {
                self.arrange(process, index, &mut call)
            };
            let preparing = process.preparing.as_mut().expect("carrying a call does not end the preparation");
            match result {
                Ok(()) => preparing.next += 1,
                Err(fault) => {
                    preparing.calls[index] = Some(call);
                    process.loading = true;
                    self.loads.push((process.pid, fault));
                    return;
                }
            }
        }
    }

    /// All calls of the step are through the gate.
    fn prepared(&mut self, process: &mut Process, done: Preparing) {
        if let Some(status) = done.exit {
            return self.end(process, status);
        }
        if process.image.suspended.is_some() {
            // Suspended while it was prepared: no inference starts.
            self.stop_infers(process, "stopped");
        }
        let inner_limit = process.inner >= self.parts.limits.inner_steps;
        if done.must_commit || process.quota_hit.is_some() || inner_limit || !process.all_answered() {
            self.queue_commit(process);
        } else {
            self.settle(process);
        }
    }

    /// Ends a preparation: calls that were not through the gate yet are refused, on record like any other.
    pub(crate) fn abandon(&mut self, process: &mut Process, why: &str) {
        let Some(preparing) = process.preparing.take() else { return };
        process.loading = false;
        for (index, call) in preparing.calls.iter().enumerate() {
            let Some(call) = call else { continue };
            let error = SysError::new(ErrorKind::Cancelled, format!("{}: {why}", call.number()));
            let seq = process.image.open[index].seq;
            self.intend(process, seq, call, &Prepared::invalid(call, error.clone()));
            self.finish(process, index, Err(error), Spent::default());
        }
    }

    /// A local call: decided, carried out, recorded.
    fn carry(&mut self, process: &mut Process, index: usize, call: &mut Call) -> Result<(), Fault> {
        let decision = self.decide(process, call);
        let result = match &decision {
            Decision::Allow => self.local(process, call)?,
            refused => Err(refusal(call.number(), refused)),
        };
        let seq = process.image.open[index].seq;
        self.intend(process, seq, call, &Prepared { decision, ..Prepared::allowed(call, Then::Start) });
        self.finish(process, index, result, Spent::default());
        Ok(())
    }

    /// A store or device call: decided, budget held, intent recorded; started after the commit.
    fn arrange(&mut self, process: &mut Process, index: usize, call: &mut Call) -> Result<(), Fault> {
        let decision = self.decide(process, call);
        let prepared = if decision.is_allow() {
            match call {
                Call::Infer(args) => self.arrange_infer(process, index, args)?,
                Call::ToolCall(args) => self.arrange_tool(process, index, args),
                _ => self.arrange_store(process, call),
            }
        } else {
            Prepared::refused(call, decision)
        };
        if let Decision::OverQuota { limit, .. } = prepared.decision {
            process.quota_hit = Some(limit);
        }
        let seq = process.image.open[index].seq;
        self.intend(process, seq, call, &prepared);
        match prepared.then {
            Then::Answer(result) => self.finish(process, index, result, Spent::default()),
            Then::Exit(status) => {
                self.finish(process, index, Ok(Answer::Done), Spent::default());
                if let Some(preparing) = &mut process.preparing {
                    preparing.exit.get_or_insert(status);
                }
            }
            Then::Start => {
                process.reserve(&prepared.reserved);
                process.image.open[index].pending = Some(Pending {
                    call: call.clone(),
                    recovery: prepared.recovery,
                    reserved: prepared.reserved,
                    attempt: 1,
                    deadline: prepared.deadline,
                    child: prepared.child,
                    share: prepared.share,
                });
            }
        }
        Ok(())
    }

    fn intend(&mut self, process: &mut Process, seq: Seq, call: &Call, prepared: &Prepared) {
        let event = Event::Intent {
            call: call.clone(),
            no: call.number(),
            decision: prepared.decision.clone(),
            reserved: prepared.reserved,
            recovery: prepared.recovery,
            view: prepared.view.clone(),
            child: prepared.child,
        };
        self.log(process, Some(seq), event);
    }

    /// The intent of a ping, which is never issued again.
    pub(crate) fn intend_ping(
        &mut self,
        process: &mut Process,
        seq: Seq,
        call: &Call,
        view: PageView,
        (decision, reserved): (Decision, Reservation),
    ) {
        let recovery = Recovery::Unsafe;
        let prepared = Prepared {
            decision,
            reserved,
            recovery,
            view: Some(view),
            ..Prepared::allowed(call, Then::Start)
        };
        self.intend(process, seq, call, &prepared);
    }

    fn arrange_tool(&mut self, process: &mut Process, index: usize, args: &ToolCallArgs) -> Prepared {
        let call = Call::ToolCall(args.clone());
        let registry = &self.parts.registry;
        let malformed = args.args.value().get(kernel_llm::INVALID_ARGS).is_some();
        if malformed {
            let message = format!("the arguments of {} are not a JSON object", args.tool);
            return Prepared::invalid(&call, SysError::new(ErrorKind::InvalidArgument, message));
        }
        if let Err(error) = registry.check(&args.tool, &args.args) {
            return Prepared::invalid(&call, crate::device::tool_error(&error));
        }
        let recovery = registry.spec(&args.tool).map_or(Recovery::Unsafe, |spec| spec.recovery);
        let reserved = Reservation { calls: 1, tool_calls: 1, ..Reservation::default() };
        if let Some((limit, left, needed)) = process.exceeded(&reserved) {
            return Prepared::refused(&call, Decision::OverQuota { limit, left, needed });
        }
        let seq = process.image.open[index].seq;
        if let Err(decision) = self.hold_above(process, seq, reserved) {
            return Prepared::refused(&call, decision);
        }
        Prepared { reserved, recovery, ..Prepared::allowed(&call, Then::Start) }
    }

    fn arrange_infer(
        &mut self,
        process: &mut Process,
        index: usize,
        args: &InferArgs,
    ) -> Result<Prepared, Fault> {
        let call = Call::Infer(args.clone());
        let invalid = |kind, message: String| Ok(Prepared::invalid(&call, SysError::new(kind, message)));
        let parts = Arc::clone(&self.parts);
        let spec = Arc::clone(&process.spec);
        let Some(name) = parts.model(args.model.as_deref(), spec.model.as_deref()) else {
            return invalid(ErrorKind::Unavailable, "this kernel has no model".to_owned());
        };
        let Some(served) = parts.models.get(name) else {
            let known: Vec<&str> = parts.models.keys().map(String::as_str).collect();
            return invalid(
                ErrorKind::NotFound,
                format!("unknown model {name:?}; this kernel has {}", known.join(", ")),
            );
        };
        if !process.prompts.is_empty() {
            return invalid(ErrorKind::InvalidArgument, "one infer a step".to_owned());
        }
        let mut ready = match self.render(process, args, &served.info) {
            Ok(ready) => ready,
            Err(PagerError::Fault(missing)) => return Err(Fault::Bodies(missing)),
            Err(error) => return Ok(Prepared::invalid(&call, crate::local::pager_error(&error))),
        };
        let reserved = match self.most(process, &mut ready) {
            Ok(reserved) => reserved,
            Err(decision) => return Ok(Prepared::refused(&call, decision)),
        };
        if let Some((limit, left, needed)) = process.exceeded(&reserved) {
            return Ok(Prepared::refused(&call, Decision::OverQuota { limit, left, needed }));
        }
        let seq = process.image.open[index].seq;
        if let Err(decision) = self.hold_above(process, seq, reserved) {
            return Ok(Prepared::refused(&call, decision));
        }
        let view = Some(ready.view.clone());
        process.prompts.insert(seq, ready);
        Ok(Prepared { reserved, view, ..Prepared::allowed(&call, Then::Start) })
    }

    /// Makes room in the window and renders it.
    pub(crate) fn render(
        &mut self,
        process: &mut Process,
        args: &InferArgs,
        model: &kernel_types::ModelInfo,
    ) -> Result<Ready, PagerError> {
        let now = self.now();
        let plan = self.ask_pager(process, |pager, _| pager.plan(now))?;
        self.apply_all(process, plan.changes)?;
        let rendered = self.ask_pager(process, |pager, swap| pager.render(swap))?;
        let tools = match args.tools {
            ToolMode::Native if model.native_tools => self.offered_tools(process, &args.without),
            _ => Vec::new(),
        };
        let tool_text: usize = tools
            .iter()
            .map(|tool| tool.name.len() + tool.description.len() + tool.input.as_str().len())
            .sum();
        let tool_tokens = Tokens(tool_text.div_ceil(3) as u64);
        let tokens = rendered.tokens.saturating_add(tool_tokens);
        let room = model.window.saturating_sub(tokens);
        let max_output = args.max_output.min(model.max_output).min(room);
        if max_output == Tokens::ZERO {
            return Err(PagerError::Overfull { tokens, window: model.window });
        }
        let sent = SentPrompt::new(&rendered, lead(&model.name, &tools), tool_tokens, now);
        let expected = expected_cache(process.answered.as_ref(), &sent, rendered.stable, &model.cache);
        let prompt = Prompt { messages: rendered.messages, tools, retention: rendered.retention };
        let view = PageView {
            prompt: prompt.hash(),
            tokens,
            expected_cached: expected.tokens,
            unchanged: expected.unchanged as u64,
            model: model.name.clone(),
            retention: rendered.retention,
            resident: rendered.resident,
        };
        Ok(Ready {
            prompt: Arc::new(prompt),
            most_input: view.tokens,
            view,
            raw_tokens: rendered.raw_tokens,
            tool_tokens,
            trace: rendered.trace,
            stable: rendered.stable,
            max_output,
            sent,
            expected,
        })
    }

    fn arrange_store(&mut self, process: &mut Process, call: &mut Call) -> Prepared {
        let now = self.now();
        let answered = |call: &Call, result: CallResult| match result {
            Ok(answer) => Prepared::allowed(call, Then::Answer(Ok(answer))),
            Err(error) => Prepared::invalid(call, error),
        };
        let deadline = match call {
            Call::Sleep { ms } => Some(now.after(*ms)),
            Call::Wait(args) => args.timeout.map(|ms| now.after(ms)),
            Call::Receive(args) => args.timeout.map(|ms| now.after(ms)),
            Call::Lock { timeout, .. } => Some(now.after(*timeout)),
            _ => None,
        };
        let waits = Prepared { deadline, ..Prepared::allowed(call, Then::Start) };
        match call {
            Call::Sleep { .. } => waits,
            Call::Exit(status) => Prepared::allowed(&Call::Exit(status.clone()), Then::Exit(status.clone())),
            Call::Wait(args) => match self.try_wait(process, args) {
                Some(result) => answered(call, result),
                None => waits,
            },
            Call::Receive(args) => match self.try_receive(process, args) {
                Some(result) => answered(call, result),
                None => waits,
            },
            Call::Lock { name, .. } => match self.try_lock(process, name) {
                Some(result) => answered(call, result),
                None => waits,
            },
            Call::Unlock { name } => {
                let result = self.give_up_lock(process, name);
                answered(call, result)
            }
            Call::Send(args) => {
                let result = self.send(process, args);
                answered(call, result)
            }
            Call::Remember(_) | Call::Search(_) => match self.check_memory(call) {
                Ok(()) => waits,
                Err(error) => Prepared::invalid(call, error),
            },
            Call::Publish { topic, body } => {
                let result = self.publish(process, topic, body);
                answered(call, result)
            }
            Call::Subscribe { topic } => {
                let result = self.subscribe(process, topic);
                answered(call, result)
            }
            Call::Signal { pid, signal } => {
                let result = self.send_signal(process, *pid, *signal);
                answered(call, result)
            }
            Call::SetPriority { pid, priority } => {
                let result = self.send_priority(process, *pid, *priority);
                answered(call, result)
            }
            Call::Checkpoint { name } => {
                let result = checkpoint(process, name);
                answered(call, result)
            }
            Call::Spawn(spec) => match self.check_spawn(process, spec) {
                Ok(child) => Prepared { child: Some(child), ..waits },
                Err(NoSpawn::Limit(decision)) => Prepared::refused(call, decision),
                Err(NoSpawn::Error(error)) => Prepared::invalid(call, error),
            },
            Call::Fork => match self.check_fork(process) {
                Ok((child, share)) => Prepared { child: Some(child), share: Some(share), ..waits },
                Err(NoSpawn::Limit(decision)) => Prepared::refused(call, decision),
                Err(NoSpawn::Error(error)) => Prepared::invalid(call, error),
            },
            Call::Restore { name } => match Self::check_restore(process, name) {
                Ok(()) => waits,
                Err(error) => Prepared::invalid(call, error),
            },
            _ => Prepared::refused(
                call,
                Decision::Reject { reason: format!("{} is not built in this kernel", call.number()) },
            ),
        }
    }
}

/// Names the commit of this step, which must follow.
fn checkpoint(process: &mut Process, name: &str) -> CallResult {
    crate::past::check_name(name)?;
    let at = PastMoment { pid: process.pid, record: 0, step: process.image.step };
    process.image.name_moment(name, at);
    if let Some(preparing) = &mut process.preparing {
        preparing.must_commit = true;
    }
    Ok(Answer::Done)
}

/// Identifies what a provider sees before the messages.
fn lead(model: &str, tools: &[ToolSpec]) -> u64 {
    let mut frame = Frame::new("lead");
    frame.text(model);
    for tool in tools {
        frame.text(&tool.name).text(&tool.description).text(tool.input.as_str());
    }
    let [a, b, c, d, e, f, g, h, ..] = frame.finish().0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
