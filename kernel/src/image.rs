//! The process image: what a store keeps of a process, written with every commit. Small by rule.

use kernel_types::{
    AgentRow, BlobHash, Budget, Call, CodecError, ExitStatus, Pid, Priority, ProcessInfo, ProcessState,
    RateLimit, Recovery, Reservation, Seq, Signal, StepNo, SuspendReason, SyscallNo, Timestamp, Usage,
    WaitReason,
};
use serde::{Deserialize, Serialize};

use crate::program::Saved;

const KIND: u8 = b'I';
const VERSION: u16 = 5;

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
    pub(crate) usage: Usage,
    pub(crate) spawned_at: Timestamp,
    pub(crate) waited_ms: u64,
    pub(crate) step: StepNo,
    pub(crate) saved: Saved,
    /// The calls of the last step, in order.
    pub(crate) open: Vec<OpenCall>,
    pub(crate) signal: Option<Signal>,
    pub(crate) suspended: Option<SuspendReason>,
    pub(crate) exited: Option<ExitStatus>,
    /// The page table: a snapshot and the record after which changes follow.
    pub(crate) snapshot: Option<PageSnapshot>,
    /// Bodies a tool left for a following `page_alloc`.
    pub(crate) attachments: Vec<BlobHash>,
    /// The number of the last piece of mail sent.
    pub(crate) mail_number: u64,
    /// Pings of the last step.
    pub(crate) pings: u32,
    /// The one in flight.
    pub(crate) ping: Option<OpenPing>,
}

/// Where a snapshot of the page table lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PageSnapshot {
    pub(crate) blob: BlobHash,
    /// The last record whose changes are in it.
    pub(crate) record: u64,
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
    pub(crate) attempt: u32,
    /// For calls that wait in the kernel: give up then.
    pub(crate) deadline: Option<Timestamp>,
    /// For `spawn`: the child's pid.
    pub(crate) child: Option<Pid>,
}

impl Image {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        kernel_types::encode(KIND, VERSION, self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        kernel_types::decode(KIND, VERSION, bytes)
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
