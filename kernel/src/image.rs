//! The process image: what a store keeps of a process, written with every commit. Small by rule.

use kernel_types::{
    AgentRow, BlobHash, Budget, Call, CodecError, ExitStatus, Hash, PastMoment, Pid, Priority, ProcessInfo,
    ProcessState, RateLimit, Recovery, Reservation, Seq, Signal, StepNo, SuspendReason, SyscallNo, Timestamp,
    Usage, WaitReason, hash_bytes,
};
use serde::{Deserialize, Serialize};

use crate::program::Saved;

const KIND: u8 = b'I';
const VERSION: u16 = 6;
/// Names of moments that a process has at most.
const MAX_CHECKPOINTS: usize = 64;

/// The durable part of a process. What never changes (spec, capabilities) is in its first record instead.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) program: String,
    pub(crate) priority: Priority,
    /// The process whose subtree it was spawned into: one share of the slots.
    pub(crate) family: Pid,
    /// How urgent that share is: as its root was when this one was spawned, or later.
    pub(crate) share: Priority,
    pub(crate) budget: Budget,
    /// Whom it works for.
    pub(crate) tenant: String,
    /// The rates of itself and of those above it that have some, the outermost first: also of those that have ended.
    pub(crate) rated: Vec<(Pid, Vec<RateLimit>)>,
    /// The locks it holds.
    pub(crate) locks: Vec<String>,
    /// The topics it subscribes to.
    pub(crate) topics: Vec<String>,
    pub(crate) usage: Usage,
    pub(crate) spawned_at: Timestamp,
    pub(crate) waited_ms: u64,
    pub(crate) step: StepNo,
    /// What its program saved at the end of its last step; nothing before its first.
    pub(crate) saved: Option<Saved>,
    /// The calls of the last step, in order.
    pub(crate) open: Vec<OpenCall>,
    pub(crate) signal: Option<Signal>,
    pub(crate) suspended: Option<SuspendReason>,
    pub(crate) exited: Option<ExitStatus>,
    /// What its page table is rebuilt from.
    pub(crate) pages: PageSource,
    /// Bodies a tool left for a following `page_alloc`.
    pub(crate) attachments: Vec<BlobHash>,
    /// The number of the last piece of mail sent.
    pub(crate) mail_number: u64,
    /// Pings of the last step.
    pub(crate) pings: u32,
    /// The one in flight.
    pub(crate) ping: Option<OpenPing>,
    /// Moments that have names.
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// What it is a fork of.
    pub(crate) origin: Option<PastMoment>,
}

impl Image {
    /// The hash of what its program saved, as the record of a step says it.
    pub(crate) fn program_hash(&self) -> Hash {
        hash_bytes(self.saved.as_ref().map_or(&[][..], |saved| &saved.bytes))
    }
}

/// What a page table is rebuilt from: a snapshot, if there is one, the changes of stretches of journals, then those of the
/// process's own records from some number on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct PageSource {
    pub(crate) snapshot: Option<BlobHash>,
    /// Of whom it was forked from, or of itself before it went back. A snapshot makes them superfluous.
    pub(crate) stretches: Vec<Stretch>,
    /// Changes of its own count from behind this record on.
    pub(crate) after: u64,
}

impl PageSource {
    /// The same table as of the record `upto` of `pid`, whose own this is, for one whose next record follows `after`.
    pub(crate) fn inherited(&self, pid: Pid, upto: u64, after: u64) -> Self {
        let mut stretches = self.stretches.clone();
        stretches.push(Stretch { pid, after: self.after, upto });
        Self { snapshot: self.snapshot, stretches, after }
    }
}

/// The page changes in records of a process behind number `after` and up to `upto`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Stretch {
    pub(crate) pid: Pid,
    pub(crate) after: u64,
    pub(crate) upto: u64,
}

/// A moment that has a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) name: String,
    /// The record is 0 until the commit that it means is built.
    pub(crate) at: PastMoment,
}

/// A ping that has no outcome yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct OpenPing {
    pub(crate) seq: Seq,
    pub(crate) reserved: Reservation,
}

/// A call of the last step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct OpenCall {
    pub(crate) seq: Seq,
    pub(crate) no: SyscallNo,
    /// The record of its outcome, once it has one.
    pub(crate) outcome: Option<u64>,
    /// What is needed to carry it out, until it has an outcome.
    pub(crate) pending: Option<Pending>,
}

/// What is needed to carry a call out, again if need be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) call: Call,
    pub(crate) recovery: Recovery,
    /// What it holds of its process's budget; nothing if it was not sent when its kernel shut down.
    pub(crate) reserved: Reservation,
    /// The first is 1. 0: it goes through the gate once its process runs.
    pub(crate) attempt: u32,
    /// For calls that wait in the kernel: give up then.
    pub(crate) deadline: Option<Timestamp>,
    /// For `spawn` and `fork`: the child's pid.
    pub(crate) child: Option<Pid>,
    /// For `fork`: the limits that were taken out of its own for the child.
    pub(crate) share: Option<Budget>,
}

impl Image {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        kernel_types::encode(KIND, VERSION, self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        kernel_types::decode(KIND, VERSION, bytes)
    }

    /// What is left of its limits, whatever is in flight; `None` is unlimited.
    pub(crate) fn left(&self) -> Budget {
        let (limit, used) = (&self.budget, &self.usage);
        Budget {
            calls: limit.calls.map(|n| n.saturating_sub(used.calls)),
            tokens: limit.tokens.map(|n| n.saturating_sub(used.tokens())),
            cost: limit.cost.map(|n| n.saturating_sub(used.cost)),
            steps: limit.steps.map(|n| n.saturating_sub(used.steps)),
            tool_calls: limit.tool_calls.map(|n| n.saturating_sub(used.tool_calls)),
            wall_time: limit.wall_time.map(|n| n.saturating_sub(used.wall_time)),
            children: limit.children,
        }
    }

    /// Gives a moment a name; one that had the name before loses it, and the oldest loses its own where there are too many.
    pub(crate) fn name_moment(&mut self, name: &str, at: PastMoment) {
        self.checkpoints.retain(|known| known.name != name);
        if self.checkpoints.len() >= MAX_CHECKPOINTS {
            self.checkpoints.remove(0);
        }
        self.checkpoints.push(Checkpoint { name: name.to_owned(), at });
    }

    /// The most that what is in flight can cost: calls of devices that were sent, or are about to be, and a ping.
    pub(crate) fn in_flight(&self) -> Reservation {
        let calls = self.open.iter().filter_map(|open| open.pending.as_ref()).map(|pending| pending.reserved);
        let held = calls.chain(self.ping.map(|ping| ping.reserved));
        held.fold(Reservation::default(), |sum, held| sum.plus(&held))
    }

    /// Where the process is in its life, as far as the image tells.
    pub(crate) fn state(&self) -> ProcessState {
        if let Some(status) = &self.exited {
            return ProcessState::Exited(status.clone());
        }
        if let Some(reason) = self.suspended {
            return ProcessState::Suspended(reason);
        }
        match self.open.iter().find(|open| open.outcome.is_none()) {
            Some(open) => ProcessState::Blocked(wait_reason(open.no)),
            None => ProcessState::Ready,
        }
    }

    /// The process as `ps` shows it.
    pub(crate) fn info(&self, pid: Pid, parent: Pid) -> ProcessInfo {
        ProcessInfo {
            pid,
            parent,
            name: self.name.clone(),
            program: self.program.clone(),
            priority: self.priority,
            state: self.state(),
            step: self.step,
            usage: self.usage,
            budget: self.budget,
            spawned_at: self.spawned_at,
            waited: kernel_types::Millis(self.waited_ms),
        }
    }
}

/// What a stored process is waiting for while this call is open.
pub(crate) const fn wait_reason(no: SyscallNo) -> WaitReason {
    match no {
        SyscallNo::Infer => WaitReason::Llm,
        SyscallNo::ToolCall => WaitReason::Tool,
        SyscallNo::Receive => WaitReason::Message,
        SyscallNo::Sleep => WaitReason::Timer,
        SyscallNo::Wait => WaitReason::Child,
        SyscallNo::Ask => WaitReason::Approval,
        SyscallNo::Lock => WaitReason::Lock,
        _ => WaitReason::Store,
    }
}

/// Reads a stored row as `ps` shows it.
///
/// # Errors
/// If the image was written by another version or is damaged.
pub fn process_info(row: &AgentRow) -> Result<ProcessInfo, CodecError> {
    Image::decode(&row.image).map(|image| image.info(row.pid, row.parent))
}
