//! The process tree: how processes begin and end.

use std::sync::Arc;

use kernel_types::{
    Budget, Call, Capabilities, Decision, ErrorKind, Event, ExitStatus, LimitName, MailBody, MicroUsd, Pid,
    Priority, RateLimit, Retry, Spec, SysError, Tokens, Usage,
};

use crate::core::{Core, Spent};
use crate::device::panic_text;
use crate::image::{Image, PageSource};
use crate::process::Process;
use crate::program::{Program, ProgramError, ProgramFactory};

/// Why a child is not started.
pub(crate) enum NoSpawn {
    /// Its parent has too little left for it.
    Limit(Decision),
    Error(SysError),
}

impl From<SysError> for NoSpawn {
    fn from(error: SysError) -> Self {
        Self::Error(error)
    }
}

/// What a process has of those above it.
pub(crate) struct Above {
    parent: Pid,
    family: Pid,
    share: Priority,
    rated: Vec<(Pid, Vec<RateLimit>)>,
}

impl Core {
    /// Makes a process in the table; its first commit makes it durable. `above` is its parent and what it has of it: what was an
    /// ancestor's share, or rate, stays one, also when the ancestor has ended.
    pub(crate) fn create(
        &mut self,
        pid: Pid,
        above: Option<Above>,
        spec: Spec,
        capabilities: Capabilities,
    ) -> Result<(), ProgramError> {
        let factory = self
            .parts
            .programs
            .get(&spec.program)
            .ok_or_else(|| ProgramError::Unknown(spec.program.clone()))?;
        sound(&spec)?;
        let program = start(&**factory, &spec)?;
        let above = above.unwrap_or_else(|| Above {
            parent: Pid::INIT,
            family: pid,
            share: spec.priority,
            rated: Vec::new(),
        });
        let Above { parent, family, share, mut rated } = above;
        if !spec.rates.is_empty() {
            rated.push((pid, spec.rates.clone()));
        }
        let image = Image {
            name: spec.name.clone(),
            program: spec.program.clone(),
            priority: spec.priority,
            family,
            share,
            budget: spec.budget,
            tenant: spec.tenant.clone(),
            rated,
            locks: Vec::new(),
            topics: Vec::new(),
            usage: Usage::default(),
            spawned_at: self.now(),
            waited_ms: 0,
            step: kernel_types::StepNo(0),
            saved: None,
            open: Vec::new(),
            signal: None,
            suspended: None,
            exited: None,
            pages: PageSource::default(),
            attachments: Vec::new(),
            mail_number: 0,
            pings: 0,
            ping: None,
            checkpoints: Vec::new(),
            origin: None,
        };
        let event = Event::Spawned { spec: spec.clone(), parent, capabilities: capabilities.clone() };
        let mut process =
            Process::new(pid, parent, image, Arc::new(spec), Arc::new(capabilities), Some(program));
        self.log(&mut process, None, event);
        process.account = self.ledger.join(&process.image.tenant, &process.image.rated);
        self.start_clock(&mut process);
        self.queue_commit(&mut process);
        self.enter(Box::new(process));
        Ok(())
    }

    /// Checks a `spawn`, fills in what it leaves open, takes the child's limits out of the parent's. Answers the child's pid.
    pub(crate) fn check_spawn(&mut self, parent: &mut Process, spec: &mut Spec) -> Result<Pid, NoSpawn> {
        let invalid = |message: String| SysError::new(ErrorKind::InvalidArgument, message);
        let factory = self.parts.programs.get(&spec.program);
        let factory =
            factory.ok_or_else(|| invalid(ProgramError::Unknown(spec.program.clone()).to_string()))?;
        sound(spec).and_then(|()| start(&**factory, spec)).map_err(|error| invalid(error.to_string()))?;
        // Nobody is more urgent than who started it.
        spec.priority = spec.priority.max(parent.image.priority);
        let capabilities = spec.capabilities.get_or_insert_with(|| (*parent.capabilities).clone());
        kernel_security::within(&parent.capabilities, capabilities).map_err(|excess| {
            SysError::new(
                ErrorKind::Denied,
                format!("spawn: the child may not have more than its parent: {excess}"),
            )
        })?;
        if spec.tenant.is_empty() {
            spec.tenant.clone_from(&parent.image.tenant);
        } else if spec.tenant != parent.image.tenant {
            let message = format!("spawn: a child works for its parent's tenant, {:?}", parent.image.tenant);
            return Err(SysError::new(ErrorKind::Denied, message).into());
        }
        spec.budget = self.set_aside("spawn", parent, &spec.budget)?;
        Ok(self.fresh_pid())
    }

    /// Takes the limits of a child out of its parent's: those it asks for, or its part of what is left.
    pub(crate) fn set_aside(
        &mut self,
        call: &str,
        parent: &mut Process,
        asked: &Budget,
    ) -> Result<Budget, NoSpawn> {
        parent.count_time(self.micros());
        let left = parent.left();
        let wanted = asked.children.unwrap_or(0).saturating_add(1);
        if let Some(left) = left.children.filter(|left| *left < wanted) {
            // One that ends makes room: not a matter for a grant.
            let message = format!("{call}: needs {wanted} of children, {left} left: wait for one to end");
            return Err(SysError::new(ErrorKind::Busy, message).with_retry(Retry::Now).into());
        }
        let share = share(&left, asked)
            .map_err(|(limit, left, needed)| NoSpawn::Limit(Decision::OverQuota { limit, left, needed }))?;
        take_out(&mut parent.image.budget, &handed(&share));
        Ok(share)
    }

    /// Carries out a `spawn` whose intent is durable.
    pub(crate) fn start_spawn(&mut self, parent: &mut Process, index: usize) {
        let Some(pending) = &parent.image.open[index].pending else { return };
        let (Some(child), Call::Spawn(spec)) = (pending.child, &pending.call) else { return };
        let spec = (**spec).clone();
        if self.processes.contains_key(&child) {
            return;
        }
        let capabilities = spec.capabilities.clone().unwrap_or_default();
        let budget = spec.budget;
        let above = Above {
            parent: parent.pid,
            family: parent.image.family,
            share: parent.image.share,
            rated: parent.image.rated.clone(),
        };
        match self.create(child, Some(above), spec, capabilities) {
            Ok(()) => {
                parent.children.insert(child);
            }
            Err(error) => {
                give_back(&mut parent.image.budget, &handed(&budget));
                let error = SysError::new(ErrorKind::InvalidArgument, error.to_string());
                self.finish(parent, index, Err(error), Spent::default());
            }
        }
    }

    /// Cancels a `spawn` or a `fork`: a child that exists is answered all the same, so that its parent knows of it.
    pub(crate) fn cancel_spawn(&mut self, parent: &mut Process, index: usize, error: SysError) {
        let pending = parent.image.open[index].pending.as_ref();
        let found = pending.and_then(|pending| match &pending.call {
            Call::Spawn(spec) => Some((pending.child, spec.budget)),
            _ => pending.share.map(|share| (pending.child, share)),
        });
        let Some((child, budget)) = found else {
            return self.finish(parent, index, Err(error), Spent::default());
        };
        match child.filter(|child| parent.children.contains(child)) {
            Some(child) => self.finish(parent, index, Ok(kernel_types::Answer::Pid(child)), Spent::default()),
            None => {
                give_back(&mut parent.image.budget, &handed(&budget));
                self.finish(parent, index, Err(error), Spent::default());
            }
        }
    }

    /// A child is durable: its parent's `spawn` is answered.
    pub(crate) fn spawned(&mut self, child: Pid, parent: Pid) {
        self.with(parent, |core, process| {
            let found = process.image.open.iter().position(|open| {
                open.outcome.is_none()
                    && open.pending.as_ref().is_some_and(|pending| pending.child == Some(child))
            });
            if let Some(index) = found {
                core.finish(process, index, Ok(kernel_types::Answer::Pid(child)), Spent::default());
                core.settle(process);
            }
        });
    }

    /// Ends a process: what is in flight is cancelled, its children go to init, its parent is told.
    pub(crate) fn end(&mut self, process: &mut Process, status: ExitStatus) {
        if process.image.exited.is_some() {
            return;
        }
        self.abandon(process, "the process ended");
        self.end_ping(process, "the process ended");
        for index in 0..process.image.open.len() {
            if process.image.open[index].pending.is_some() {
                self.cancel(process, index, "the process ended", Retry::Never);
            }
        }
        process.image.signal = None;
        process.image.suspended = None;
        process.image.exited = Some(status.clone());
        self.log(process, None, Event::Exited { status: status.clone() });
        for child in std::mem::take(&mut process.children) {
            self.with(child, |core, orphan| {
                orphan.parent = Pid::INIT;
                orphan.moved = true;
                core.queue_commit(orphan);
            });
        }
        // A parent that this kernel does not run, or is about to load again, is told by the store.
        let over = self.processes.get(&process.parent).is_some_and(|parent| parent.image.exited.is_some());
        if process.parent != Pid::INIT && !over {
            let refund = handed(&process.left());
            let body = MailBody::ChildExit { pid: process.pid, status, refund };
            self.mail_to(process, process.parent, body);
        }
        self.forget_slots(process.pid);
        self.forget_subscriptions(process);
        self.stop_clock(process);
        self.ledger.leave(process.account, &process.image.rated);
        process.program = None;
        process.pager = None;
        process.inbox.clear();
        self.queue_commit(process);
    }
}

/// A rate of nothing is a mistake. It is not taken for no rate.
fn sound(spec: &Spec) -> Result<(), ProgramError> {
    match spec.rates.iter().find(|rate| rate.amount == 0 || rate.per.0 == 0 || rate.burst == 0) {
        Some(rate) => Err(ProgramError::Arguments(format!("a rate that lets nothing through: {rate:?}"))),
        None => Ok(()),
    }
}

/// Starts a program; a factory that panics takes nobody with it.
fn start(factory: &dyn ProgramFactory, spec: &Spec) -> Result<Box<dyn Program>, ProgramError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| factory.start(spec))).unwrap_or_else(|panic| {
        Err(ProgramError::Arguments(format!("the program panicked: {}", panic_text(panic.as_ref()))))
    })
}

/// A child's limits: what it asks for, or, where its parent is limited and it asks for nothing, half of what is left.
fn share(left: &Budget, asked: &Budget) -> Result<Budget, (LimitName, u64, u64)> {
    let part = |name: LimitName, left: Option<u64>, asked: Option<u64>| match (left, asked) {
        (None, asked) => Ok(asked),
        (Some(left), None) => Ok(Some(left / 2)),
        (Some(left), Some(asked)) if asked <= left => Ok(Some(asked)),
        (Some(left), Some(asked)) => Err((name, left, asked)),
    };
    Ok(Budget {
        calls: part(LimitName::Calls, left.calls, asked.calls)?,
        tokens: part(LimitName::Tokens, left.tokens.map(|n| n.0), asked.tokens.map(|n| n.0))?.map(Tokens),
        cost: part(LimitName::Cost, left.cost.map(|n| n.0), asked.cost.map(|n| n.0))?.map(MicroUsd),
        steps: part(LimitName::Steps, left.steps, asked.steps)?,
        tool_calls: part(LimitName::ToolCalls, left.tool_calls, asked.tool_calls)?,
        wall_time: match (left.wall_time, asked.wall_time) {
            (Some(left), Some(asked)) if asked > left => return Err((LimitName::WallTime, left.0, asked.0)),
            (left, asked) => asked.or(left),
        },
        children: match left.children {
            None => asked.children,
            Some(_) => Some(asked.children.unwrap_or(0)),
        },
    })
}

/// What a parent hands over with a child of these limits: the child itself too, but no time.
fn handed(limits: &Budget) -> Budget {
    Budget { children: limits.children.map(|n| n.saturating_add(1)), wall_time: None, ..*limits }
}

/// Raises the limits there are.
pub(crate) fn give_back(limits: &mut Budget, more: &Budget) {
    limits.calls = limits.calls.map(|n| n.saturating_add(more.calls.unwrap_or(0)));
    limits.steps = limits.steps.map(|n| n.saturating_add(more.steps.unwrap_or(0)));
    limits.tokens = limits.tokens.map(|n| n.saturating_add(more.tokens.unwrap_or_default()));
    limits.cost = limits.cost.map(|n| n.saturating_add(more.cost.unwrap_or_default()));
    limits.tool_calls = limits.tool_calls.map(|n| n.saturating_add(more.tool_calls.unwrap_or(0)));
    limits.wall_time = limits.wall_time.map(|n| n.saturating_add(more.wall_time.unwrap_or_default()));
    limits.children = limits.children.map(|n| n.saturating_add(more.children.unwrap_or(0)));
}

fn take_out(limits: &mut Budget, share: &Budget) {
    limits.calls = limits.calls.map(|n| n.saturating_sub(share.calls.unwrap_or(0)));
    limits.steps = limits.steps.map(|n| n.saturating_sub(share.steps.unwrap_or(0)));
    limits.tokens = limits.tokens.map(|n| n.saturating_sub(share.tokens.unwrap_or_default()));
    limits.cost = limits.cost.map(|n| n.saturating_sub(share.cost.unwrap_or_default()));
    limits.tool_calls = limits.tool_calls.map(|n| n.saturating_sub(share.tool_calls.unwrap_or(0)));
    limits.children = limits.children.map(|n| n.saturating_sub(share.children.unwrap_or(0)));
}
