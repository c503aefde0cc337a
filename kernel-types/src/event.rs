//! What a journal says happened: the body of a [`crate::Record`], written as JSON.

use serde::{Deserialize, Serialize};

use crate::{
    BlobHash, Call, CallResult, Capabilities, ExitStatus, Hash, JsonText, LimitName, Mail, MicroUsd, Millis,
    PageNo, Pid, Recovery, Retention, Signal, Spec, StepNo, SuspendReason, SyscallNo, Tokens,
};

/// The kind of an event, a column of its record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[non_exhaustive]
pub enum EventKind {
    /// [`Event::Spawned`].
    Spawned = 1,
    /// [`Event::Intent`].
    Intent = 2,
    /// [`Event::Outcome`].
    Outcome = 3,
    /// [`Event::Step`].
    Step = 4,
    /// [`Event::Pages`].
    Pages = 5,
    /// [`Event::Attempt`].
    Attempt = 6,
    /// [`Event::Signalled`].
    Signalled = 7,
    /// [`Event::Suspended`].
    Suspended = 8,
    /// [`Event::Resumed`].
    Resumed = 9,
    /// [`Event::Recovered`].
    Recovered = 10,
    /// [`Event::Exited`].
    Exited = 11,
    /// [`Event::MailTaken`].
    MailTaken = 12,
    /// [`Event::CacheMissed`].
    CacheMissed = 13,
    /// [`Event::Forked`].
    Forked = 14,
    /// [`Event::Restored`].
    Restored = 15,
}

impl EventKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Spawned,
        Self::Intent,
        Self::Outcome,
        Self::Step,
        Self::Pages,
        Self::Attempt,
        Self::Signalled,
        Self::Suspended,
        Self::Resumed,
        Self::Recovered,
        Self::Exited,
        Self::MailTaken,
        Self::CacheMissed,
        Self::Forked,
        Self::Restored,
    ];

    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| *kind as u8 == number)
    }
}

/// What the gate decided about a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may go on.
    Allow,
    /// A human must approve first.
    Ask {
        /// The grant or rule that asks.
        rule: String,
    },
    /// It may not.
    Deny {
        /// The capability that is missing or the rule that denies.
        missing: String,
    },
    /// A budget would be exceeded.
    OverQuota {
        /// Which limit.
        limit: LimitName,
        /// What is left of it.
        left: u64,
        /// What the call would need.
        needed: u64,
    },
    /// The call is malformed or not built in this kernel.
    Reject {
        /// Why.
        reason: String,
    },
}

impl Decision {
    /// Whether the call goes on.
    #[must_use]
    pub const fn is_allow(&self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// What a call in flight holds of its process's budget.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reservation {
    /// Device calls.
    pub calls: u64,
    /// Tokens, at most.
    pub tokens: Tokens,
    /// Money, at most.
    pub cost: MicroUsd,
    /// Tool calls.
    #[serde(default)]
    pub tool_calls: u64,
}

impl Reservation {
    /// Both together, clamped at the largest values.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            tokens: self.tokens.saturating_add(other.tokens),
            cost: self.cost.saturating_add(other.cost),
            tool_calls: self.tool_calls.saturating_add(other.tool_calls),
        }
    }

    /// What is left of it without the other, clamped at nothing.
    #[must_use]
    pub const fn minus(&self, other: &Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            tokens: self.tokens.saturating_sub(other.tokens),
            cost: self.cost.saturating_sub(other.cost),
            tool_calls: self.tool_calls.saturating_sub(other.tool_calls),
        }
    }
}

/// What held a call up before it was started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitCause {
    /// All slots were held by others.
    Slot,
    /// The provider's limit of requests.
    Requests,
    /// The provider's limit of tokens.
    Tokens,
    /// A pause that the provider asked for.
    RetryAfter,
    /// The provider failed: its circuit breaker was open.
    Breaker,
    /// The provider refused: fewer calls at a time, or fewer tokens a minute, than there are slots for.
    Congestion,
    /// A pause before the call was tried again.
    Backoff,
    /// A rate of the process, its tenant or the system.
    Rate,
    /// Something countable that the device needs.
    Resource,
    /// A budget of its tenant or the system, which calls of others held.
    Budget,
}

/// How long a call was held up by one thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Waited {
    /// By what.
    pub cause: WaitCause,
    /// How long.
    pub ms: Millis,
}

/// What a model was shown by an `infer`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PageView {
    /// The hash of the rendered prompt.
    pub prompt: Hash,
    /// Its size, as estimated before the call.
    pub tokens: Tokens,
    /// Tokens of the prefix expected to be read from the provider's cache.
    pub expected_cached: Tokens,
    /// Segments of the prompt (parts of its messages) that are as in the process's call before, from the first on.
    #[serde(default)]
    pub unchanged: u64,
    /// The model asked for.
    pub model: String,
    /// How long its provider is asked to keep the prompt's prefixes.
    #[serde(default)]
    pub retention: Retention,
    /// The pages in the window, in order.
    pub resident: Vec<PageNo>,
}

/// One event of a process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "an event is made, written and dropped; none is kept")]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The process began.
    Spawned {
        /// What was spawned.
        spec: Spec,
        /// By whom.
        parent: Pid,
        /// What it may do.
        capabilities: Capabilities,
    },
    /// A call is about to be carried out, or was refused. Also a ping ([`Seq::is_ping`](crate::Seq::is_ping)), which no program
    /// asked for.
    Intent {
        /// The call; text of 1 kB and more is replaced by its hash.
        call: Call,
        /// Its number.
        no: SyscallNo,
        /// What the gate decided.
        decision: Decision,
        /// What it holds of the budget.
        reserved: Reservation,
        /// What becomes of it if the kernel stops.
        recovery: Recovery,
        /// For `infer`: what the model is shown.
        view: Option<PageView>,
        /// For `spawn`: the pid the child will have.
        child: Option<Pid>,
    },
    /// A call ended.
    Outcome {
        /// How; text of 1 kB and more may lie in a blob.
        result: CallResult,
        /// What it cost in money.
        cost: MicroUsd,
        /// How long it took, waiting for a slot included.
        took: Millis,
        /// How long of that it waited to be started.
        waited: Millis,
        /// What for.
        #[serde(default)]
        causes: Vec<Waited>,
        /// For `infer` that was answered: tokens expected to come from the provider's cache, beside those it reports.
        #[serde(default)]
        expected_cached: Option<Tokens>,
    },
    /// A step was committed.
    Step {
        /// The hash of the program's saved state.
        program: Hash,
        /// The hash of the process image in the agent row.
        image: Hash,
        /// The hash of the page table.
        pages: Hash,
        /// The epoch of the kernel that wrote it.
        epoch: u64,
    },
    /// The page table changed.
    Pages {
        /// The changes, in order, in the pager's own words.
        changes: JsonText,
    },
    /// A call whose outcome is not known is issued again.
    Attempt {
        /// The second attempt is 2.
        number: u32,
        /// What the lost attempt is charged.
        charged: Reservation,
        /// Why the attempt before came to nothing; not known after a crash.
        #[serde(default)]
        why: Option<String>,
    },
    /// A signal was acted on.
    Signalled {
        /// Which.
        signal: Signal,
        /// From whom.
        from: Pid,
    },
    /// The process was set aside.
    Suspended {
        /// Why.
        reason: SuspendReason,
    },
    /// The process goes on.
    Resumed {
        /// Why, in words.
        why: String,
    },
    /// A kernel took the process over from the store.
    Recovered {
        /// The epoch of that kernel.
        epoch: u64,
        /// Calls that had been in flight.
        open: u32,
    },
    /// The process ended.
    Exited {
        /// How.
        status: ExitStatus,
    },
    /// Mail was consumed.
    MailTaken {
        /// The mail.
        mail: Mail,
    },
    /// A warning: the provider read clearly less from its cache than was expected, and no compaction explains it.
    CacheMissed {
        /// Tokens expected.
        expected: Tokens,
        /// Tokens reported.
        reported: Tokens,
        /// The first segment of the prompt that is not as in the call before, though the pager said it would be; `None` if
        /// the prompt is as it should be, and the provider did not use its cache.
        segment: Option<u64>,
        /// The page there, if it is one.
        page: Option<PageNo>,
    },
    /// The process began as another was: it goes on from that one's step, with its pages and values.
    Forked {
        /// Which moment of which process.
        of: PastMoment,
        /// How the calls of that step had ended, in order; `None` for those that are made anew.
        results: Vec<Option<CallResult>>,
    },
    /// The process went back to an earlier step of itself, or of the one it is a fork of.
    Restored {
        /// To which moment.
        to: PastMoment,
        /// The step that was the last before.
        from: StepNo,
        /// As for [`Event::Forked`].
        results: Vec<Option<CallResult>>,
    },
}

/// A process as one of its commits left it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct PastMoment {
    /// Whose journal tells of it.
    pub pid: Pid,
    /// The last record of that commit.
    pub record: u64,
    /// The step.
    pub step: StepNo,
}

impl Event {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Spawned { .. } => EventKind::Spawned,
            Self::Intent { .. } => EventKind::Intent,
            Self::Outcome { .. } => EventKind::Outcome,
            Self::Step { .. } => EventKind::Step,
            Self::Pages { .. } => EventKind::Pages,
            Self::Attempt { .. } => EventKind::Attempt,
            Self::Signalled { .. } => EventKind::Signalled,
            Self::Suspended { .. } => EventKind::Suspended,
            Self::Resumed { .. } => EventKind::Resumed,
            Self::Recovered { .. } => EventKind::Recovered,
            Self::Exited { .. } => EventKind::Exited,
            Self::MailTaken { .. } => EventKind::MailTaken,
            Self::CacheMissed { .. } => EventKind::CacheMissed,
            Self::Forked { .. } => EventKind::Forked,
            Self::Restored { .. } => EventKind::Restored,
        }
    }

    /// The blobs this event names in its own fields.
    #[must_use]
    pub fn blobs(&self) -> Vec<BlobHash> {
        match self {
            Self::Outcome { result: Ok(crate::Answer::Tool(tool)), .. } => tool.attachments.clone(),
            _ => Vec::new(),
        }
    }
}
