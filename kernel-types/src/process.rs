//! Processes as data: what to start, in what state, within which limits, how they end.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Capabilities, JsonText, MicroUsd, Millis, Pid, Priority, RateLimit, StepNo, Timestamp, Tokens};

/// What to spawn.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// For people; need not be unique.
    pub name: String,
    /// What to do, in words; handed to the program.
    pub task: String,
    /// The registered program.
    pub program: String,
    /// Further arguments for the program, an object.
    pub args: JsonText,
    /// Urgency.
    pub priority: Priority,
    /// Limits. A child's limits are taken out of what its parent has left.
    pub budget: Budget,
    /// How much in how much time the process and all below it may use together. What is too early waits.
    pub rates: Vec<RateLimit>,
    /// Whom it works for: tenants share the slots before their processes do, and may have limits of their own. A child works for
    /// its parent's.
    pub tenant: String,
    /// What the process may do; without, what its parent may do. More than the parent may is refused.
    pub capabilities: Option<Capabilities>,
    /// Instructions for the model, the first pinned page.
    pub system: String,
    /// The model; the kernel's default without.
    pub model: Option<String>,
    /// Tokens of the context window; the model's without.
    pub window: Option<Tokens>,
    /// What whoever spawned the process wants to find again (the folder it works in, say): kept in its first record,
    /// never interpreted by the kernel, never shown to the model.
    pub labels: BTreeMap<String, String>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            name: String::new(),
            task: String::new(),
            program: "react".to_owned(),
            args: JsonText::empty_object(),
            priority: Priority::default(),
            budget: Budget::default(),
            rates: Vec::new(),
            tenant: String::new(),
            capabilities: None,
            system: String::new(),
            model: None,
            window: None,
            labels: BTreeMap::new(),
        }
    }
}

/// Lifetime limits; `None` is unlimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Device calls (inferences and tool calls).
    pub calls: Option<u64>,
    /// Input and output tokens.
    pub tokens: Option<Tokens>,
    /// Money. With a limit, a model of unknown price is refused.
    pub cost: Option<MicroUsd>,
    /// Steps.
    pub steps: Option<u64>,
    /// Tool calls; they count as calls too.
    pub tool_calls: Option<u64>,
    /// Time in which a kernel runs the process and it is not suspended. Not taken out of a parent's: it passes for both.
    pub wall_time: Option<Millis>,
    /// Processes below it that are alive or not reaped yet. A child that is given none of them may have none.
    pub children: Option<u64>,
}

/// Which limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitName {
    /// [`Budget::calls`].
    Calls,
    /// [`Budget::tokens`].
    Tokens,
    /// [`Budget::cost`].
    Cost,
    /// [`Budget::steps`].
    Steps,
    /// [`Budget::tool_calls`].
    ToolCalls,
    /// [`Budget::wall_time`].
    WallTime,
    /// [`Budget::children`].
    Children,
    /// The calls of its tenant.
    TenantCalls,
    /// The tokens of its tenant.
    TenantTokens,
    /// The money of its tenant.
    TenantCost,
    /// The calls of all processes.
    SystemCalls,
    /// The tokens of all processes.
    SystemTokens,
    /// The money of all processes.
    SystemCost,
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calls => "calls",
            Self::Tokens => "tokens",
            Self::Cost => "cost",
            Self::Steps => "steps",
            Self::ToolCalls => "tool calls",
            Self::WallTime => "wall time",
            Self::Children => "children",
            Self::TenantCalls => "calls of the tenant",
            Self::TenantTokens => "tokens of the tenant",
            Self::TenantCost => "cost of the tenant",
            Self::SystemCalls => "calls of the system",
            Self::SystemTokens => "tokens of the system",
            Self::SystemCost => "cost of the system",
        })
    }
}

/// What a process used so far, settled; reservations of calls in flight are not in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Device calls.
    pub calls: u64,
    /// Input tokens.
    pub input_tokens: Tokens,
    /// Of these, read from a provider's prefix cache.
    pub cached_tokens: Tokens,
    /// Output tokens.
    pub output_tokens: Tokens,
    /// Money.
    pub cost: MicroUsd,
    /// Steps.
    pub steps: u64,
    /// Tool calls, which are among the device calls.
    pub tool_calls: u64,
    /// Time in which it ran, as of its last commit.
    pub wall_time: Millis,
}

impl Usage {
    /// Input and output tokens.
    #[must_use]
    pub const fn tokens(&self) -> Tokens {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// A signal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Please end: the program decides how. Calls in flight are cancelled.
    Term,
    /// End now; the program is not asked.
    Kill,
    /// Suspend; an inference in flight is cancelled.
    Stop,
    /// Go on after `Stop`.
    Cont,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
        })
    }
}

impl FromStr for Signal {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.to_ascii_uppercase().trim_start_matches("SIG") {
            "TERM" | "15" => Ok(Self::Term),
            "KILL" | "9" => Ok(Self::Kill),
            "STOP" | "19" => Ok(Self::Stop),
            "CONT" | "18" => Ok(Self::Cont),
            _ => Err(format!("unknown signal {s:?}: one of TERM, KILL, STOP, CONT")),
        }
    }
}

/// How a process ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// Done; the answer.
    Ok(String),
    /// The program gave up; why.
    Failed(String),
    /// Ended by a signal.
    Killed(Signal),
    /// The program broke its contract (a panic, a step that did not return); how.
    Faulted(String),
}

/// Why a process is suspended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspendReason {
    /// A `Stop` signal; `Cont` resumes.
    Stopped,
    /// A spent budget; a larger limit resumes.
    Limit(LimitName),
}

/// What a blocked process waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitReason {
    /// A model, or a slot of it.
    Llm,
    /// A tool.
    Tool,
    /// A message.
    Message,
    /// Time.
    Timer,
    /// A human.
    Approval,
    /// The end of a child.
    Child,
    /// A lock.
    Lock,
    /// The store: a commit is under way.
    Store,
}

/// Where a process is in its life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// Its next step may run.
    Ready,
    /// Its step runs.
    Running,
    /// Calls are outstanding.
    Blocked(WaitReason),
    /// Set aside.
    Suspended(SuspendReason),
    /// Over.
    Exited(ExitStatus),
}

impl fmt::Display for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Running => f.write_str("running"),
            Self::Blocked(reason) => write!(f, "blocked ({})", format!("{reason:?}").to_lowercase()),
            Self::Suspended(SuspendReason::Stopped) => f.write_str("suspended (stopped)"),
            Self::Suspended(SuspendReason::Limit(limit)) => write!(f, "suspended (limit of {limit})"),
            Self::Exited(ExitStatus::Ok(_)) => f.write_str("exited (ok)"),
            Self::Exited(ExitStatus::Failed(_)) => f.write_str("exited (failed)"),
            Self::Exited(ExitStatus::Killed(signal)) => write!(f, "exited (killed by {signal})"),
            Self::Exited(ExitStatus::Faulted(_)) => f.write_str("exited (faulted)"),
        }
    }
}

/// A process as `ps` shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its pid.
    pub pid: Pid,
    /// Its parent; [`Pid::INIT`] at the root.
    pub parent: Pid,
    /// Its name.
    pub name: String,
    /// Its program.
    pub program: String,
    /// Its urgency.
    pub priority: Priority,
    /// Where it is in its life.
    pub state: ProcessState,
    /// Its last step.
    pub step: StepNo,
    /// What it used.
    pub usage: Usage,
    /// Its limits.
    pub budget: Budget,
    /// When it was spawned.
    pub spawned_at: Timestamp,
    /// How long it waited for LLM slots so far.
    pub waited: Millis,
}
