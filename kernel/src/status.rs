//! How a running kernel is: its processes, what each waits for, and the slots of its Cpus. For people and their tools.
//!
//! Nothing is computed unless asked. Then it costs one pass over the processes between two turns of the engine.

use std::collections::HashMap;

use kernel_sched::Micros;
use kernel_types::{Call, ExitStatus, Pid, ProcessInfo, ProcessState, Timestamp, WaitCause};
use serde::{Deserialize, Serialize};

use crate::core::Core;
use crate::error::KernelError;
use crate::image::OpenCall;
use crate::kernel::Kernel;
use crate::process::Process;

/// Characters of a name or an end that a status has.
const SHOWN: usize = 200;

/// A kernel at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KernelStatus {
    /// When.
    pub at: Timestamp,
    /// The processes that it runs and the latest of those that it ran, by pid.
    pub processes: Vec<ProcessStatus>,
    /// Its Cpus, in the order they were given to the builder.
    pub cpus: Vec<CpuStatus>,
    /// Limits of the system and of tenants.
    #[serde(default)]
    pub limits: Vec<LimitStatus>,
}

/// A process and where it stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// The process. Its name and what it said at its end are cut to 200 characters.
    #[serde(flatten)]
    pub info: ProcessInfo,
    /// How far its family is behind what it is due of the slots, in tenths of tokens; below zero if it is ahead. `None` if the
    /// scheduler does not know the process or keeps no account of that.
    #[serde(default)]
    pub lag: Option<i64>,
    /// Since when a call of it waits to be started, for a slot or for what it may use.
    #[serde(default)]
    pub waiting_since: Option<Timestamp>,
    /// What it waits for, in words.
    #[serde(default)]
    pub wait: Option<String>,
    /// The slot that it holds, if it does.
    #[serde(default)]
    pub slot: Option<u32>,
}

impl From<ProcessInfo> for ProcessStatus {
    /// A process that no kernel runs.
    fn from(info: ProcessInfo) -> Self {
        Self { info, lag: None, waiting_since: None, wait: None, slot: None }
    }
}

/// A Cpu and its slots.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CpuStatus {
    /// The models it runs.
    pub models: Vec<String>,
    /// Its slots in all.
    pub slots: u32,
    /// Of these, held by calls.
    pub held: u32,
    /// Of these, lent to pings.
    pub pinging: u32,
    /// Processes that wait for one.
    pub waiting: u32,
    /// The name of the scheduler that gives them out.
    pub scheduler: String,
    /// Limits that hold for all its calls together.
    #[serde(default)]
    pub limits: Vec<LimitStatus>,
}

/// A limit over time, such as requests a minute.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LimitStatus {
    /// What is limited, in words.
    pub name: String,
    /// So much was used of it.
    pub used: u64,
    /// So much is left.
    pub left: u64,
    /// So much it is in all.
    pub of: u64,
    /// When there will be more.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

impl Kernel {
    /// The kernel as it is now: what `agentos top` shows.
    ///
    /// # Errors
    /// [`KernelError::Busy`], [`KernelError::Stopped`].
    pub async fn snapshot(&self) -> Result<KernelStatus, KernelError> {
        self.ask(|core| core.kernel_status()).await
    }
}

impl Core {
    /// The kernel as it is now.
    pub(crate) fn kernel_status(&self) -> KernelStatus {
        let names: HashMap<Pid, &str> =
            self.processes.iter().map(|(pid, process)| (*pid, process.image.name.as_str())).collect();
        let running = self.processes.values().map(|process| self.process_status(process, &names));
        let ended = self.exited.values().map(|info| ProcessStatus::from(cut(info.clone())));
        let mut processes: Vec<ProcessStatus> = running.chain(ended).collect();
        processes.sort_by_key(|process| process.info.pid);
        let cpus = (0..self.slots.len()).map(|cpu| self.cpu_status(cpu)).collect();
        KernelStatus { at: self.now(), processes, cpus, limits: self.limits_above() }
    }

    fn process_status(&self, process: &Process, names: &HashMap<Pid, &str>) -> ProcessStatus {
        // The wait at hand is told by its beginning.
        let mut info = process.image.info(process.pid, process.parent);
        if process.stepping && info.state == ProcessState::Ready {
            info.state = ProcessState::Running;
        }
        let schedulers = || self.slots.iter().map(|slots| &slots.scheduler);
        let waiting = process.running.values().filter_map(|running| running.waits.since()).min();
        let waiting = waiting.map(|since| self.wall(since));
        let pings = self.slots.iter().find_map(|slots| slots.pinging.get(&process.pid).copied());
        let slot = process.running.values().find_map(|running| running.slot).or(pings);
        let is_over = process.image.exited.is_some() || process.image.suspended.is_some();
        ProcessStatus {
            lag: schedulers().find_map(|scheduler| scheduler.lag(process.pid)),
            waiting_since: waiting,
            wait: if is_over { None } else { self.wait(process, names) },
            slot,
            info: cut(info),
        }
    }

    /// What a process waits for: that of the first call without an outcome; one that was not started goes before.
    fn wait(&self, process: &Process, names: &HashMap<Pid, &str>) -> Option<String> {
        let open = || process.image.open.iter().filter(|open| open.outcome.is_none());
        let held =
            |open: &&OpenCall| process.running.get(&open.seq).is_some_and(|running| running.waits.is_open());
        match open().find(held).or_else(|| open().next()) {
            Some(call) => Some(clip(&self.words(process, call, names))),
            None if process.loading => Some("its pages".to_owned()),
            None if process.committing || process.commit_queued => Some("its commit".to_owned()),
            None => None,
        }
    }

    fn words(&self, process: &Process, open: &OpenCall, names: &HashMap<Pid, &str>) -> String {
        let who = |pid: &Option<Pid>| match pid {
            Some(pid) => format!("{} {pid}", names.get(pid).copied().unwrap_or("process")),
            None => "any".to_owned(),
        };
        let pending = open.pending.as_ref();
        let by = pending.and_then(|pending| pending.deadline).map_or_else(String::new, |deadline| {
            let seconds = deadline.0.saturating_sub(self.now().0).div_ceil(1000);
            format!(", {seconds} s at most")
        });
        match pending.map(|pending| &pending.call) {
            Some(Call::Infer(args)) => {
                let own = process.spec.model.as_deref();
                let model = self.parts.model(args.model.as_deref(), own).unwrap_or("a model");
                self.before(process, open, model)
            }
            Some(Call::ToolCall(args)) => self.before(process, open, &format!("tool {}", args.tool)),
            Some(Call::Receive(args)) if args.from.is_some() => format!("mail from {}{by}", who(&args.from)),
            Some(Call::Receive(_)) => format!("mail{by}"),
            Some(Call::Sleep { .. }) => format!("time{by}"),
            Some(Call::Wait(args)) if args.pid.is_some() => format!("the end of {}{by}", who(&args.pid)),
            Some(Call::Wait(_)) => format!("the end of a child{by}"),
            Some(Call::Lock { name, .. }) => format!("lock {name}{by}"),
            Some(Call::Ask { question, .. }) => format!("an answer: {question}"),
            _ => format!("{:?}", open.no).to_lowercase(),
        }
    }

    /// What keeps a call of a device from being started, and the device.
    fn before(&self, process: &Process, open: &OpenCall, device: &str) -> String {
        let Some(waits) = process.running.get(&open.seq).map(|running| &running.waits) else {
            return device.to_owned();
        };
        if let Some(cpu) = waits.cpu() {
            return match self.slots[cpu].gate.cause() {
                Some(cause) => format!("{}: {device}", in_words(cause)),
                None => format!("a slot of {device}"),
            };
        }
        waits.cause().map_or_else(|| device.to_owned(), |cause| format!("{}: {device}", in_words(cause)))
    }

    fn cpu_status(&self, cpu: usize) -> CpuStatus {
        let slots = &self.slots[cpu];
        let count = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
        let pinging = count(slots.pinging.len());
        let held = slots.of.saturating_sub(count(slots.free.len())).saturating_sub(pinging);
        let models = self.parts.models.iter().filter(|(_, served)| served.cpu == cpu);
        CpuStatus {
            models: models.map(|(name, _)| name.clone()).collect(),
            slots: slots.of,
            held,
            pinging,
            waiting: count(slots.wanting.len()),
            scheduler: slots.scheduler.name().to_owned(),
            limits: self.cpu_limits(cpu),
        }
    }

    /// A scheduler's time as wall time.
    fn wall(&self, at: Micros) -> Timestamp {
        let ago = self.micros().0.saturating_sub(at.0) / 1000;
        Timestamp(self.now().0.saturating_sub(ago))
    }
}

const fn in_words(cause: WaitCause) -> &'static str {
    match cause {
        WaitCause::Requests => "the provider's limit of requests",
        WaitCause::Tokens => "the provider's limit of tokens",
        WaitCause::RetryAfter => "the pause the provider asked for",
        WaitCause::Breaker => "a provider that failed",
        WaitCause::Congestion => "a provider that refused some",
        WaitCause::Rate => "its rate",
        WaitCause::Backoff => "another try",
        WaitCause::Budget => "a budget that others hold",
        WaitCause::Resource => "what it needs beside it",
        _ => "a slot",
    }
}

/// A process without long texts: a status is asked for often.
fn cut(mut info: ProcessInfo) -> ProcessInfo {
    info.name = clip(&info.name);
    if let ProcessState::Exited(ExitStatus::Ok(text) | ExitStatus::Failed(text) | ExitStatus::Faulted(text)) =
        &mut info.state
    {
        *text = clip(text);
    }
    info
}

fn clip(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
