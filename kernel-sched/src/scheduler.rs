//! The `Scheduler` contract: which process gets the next LLM slot.

use kernel_types::{Pid, Priority, Tokens};

use crate::SchedError;

/// Time as the caller counts it: microseconds since any fixed start. A scheduler has no clock of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Micros(pub u64);

/// A process as the scheduler knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The process.
    pub pid: Pid,
    /// Its urgency.
    pub priority: Priority,
    /// The process at the root of its tree; itself if it is that. A fair policy gives the whole tree one share. Does not
    /// change.
    pub family: Pid,
    /// The urgency of its family among others: that of its root.
    pub share: Priority,
    /// Whom it works for; tenants share before their processes do. Does not change.
    pub tenant: u64,
}

impl Entry {
    /// A process of middling urgency, a family of its own, of tenant 0.
    #[must_use]
    pub fn new(pid: Pid) -> Self {
        Self { pid, priority: Priority::default(), family: pid, share: Priority::default(), tenant: 0 }
    }

    /// The same with this urgency, and its family with it.
    #[must_use]
    pub const fn urgent(self, priority: Priority) -> Self {
        Self { priority, share: priority, ..self }
    }

    /// The same as one of the family of this root, which is so urgent.
    #[must_use]
    pub const fn below(self, family: Pid, share: Priority) -> Self {
        Self { family, share, ..self }
    }

    /// The same for this tenant.
    #[must_use]
    pub const fn of_tenant(self, tenant: u64) -> Self {
        Self { tenant, ..self }
    }
}

/// A free slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot<'a> {
    /// Its number, from 0.
    pub number: u32,
    /// How many slots there are, free or not.
    pub of: u32,
    /// The processes whose context is in its cache.
    pub warm: &'a [Pid],
}

impl Default for Slot<'_> {
    fn default() -> Self {
        Self { number: 0, of: 1, warm: &[] }
    }
}

/// What a process wants a slot for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Demand {
    /// Input tokens, estimated.
    pub input: Tokens,
    /// Of these, expected to come from a prefix cache.
    pub cached: Tokens,
    /// Output tokens, at most.
    pub output: Tokens,
}

/// The slot goes to this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The process.
    pub pid: Pid,
    /// What it asked for.
    pub demand: Demand,
    /// How long it waited.
    pub waited: Micros,
}

/// What a granted call really used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Charge {
    /// Input tokens that no cache held.
    pub uncached: Tokens,
    /// Input tokens from a cache.
    pub cached: Tokens,
    /// Output tokens.
    pub output: Tokens,
    /// How long the slot was held.
    pub held: Micros,
}

/// Where an entry stands, for people and for the kernel's checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It wants nothing.
    Idle,
    /// It wants a slot since then.
    Waiting(Micros),
    /// It holds a slot since then.
    Holding(Micros),
}

/// Decides which process gets a free LLM slot.
///
/// # Contract
/// - Policy only: synchronous, no clock, no I/O, no randomness but a seed given at construction. The same calls give the
///   same answers.
/// - `next` MUST return only a process that was admitted, asked and holds no slot; each request is granted at most once.
///   The caller says by calling that a slot is free; `None` means that nobody waits (work conserving).
/// - One slot a process: a second `request` before `settle` or `withdraw` is an error.
/// - Nobody starves: a waiting process of any priority is granted a slot after a bounded number of grants, others that come, call
///   once and go included. Two policies break the second half by their nature and are there for comparison only:
///   [`crate::LeastAttained`] and [`crate::TokenCounter`].
/// - A time slice ends a turn at the next request, never in the middle of a call.
/// - An error MUST leave the state unchanged.
///
/// # Cancellation
/// There is nothing to cancel; `withdraw` takes a waiting request back, `settle` ends a held slot however the call ended.
///
/// # Errors
/// [`SchedError`] names the pid and what does not fit. The kernel checks every grant again and never trusts it blindly.
///
/// # Implementing
/// Implement the seven methods, expand `scheduler_conformance!` on a constructor, hand `Box<dyn Scheduler>` to the kernel.
/// If all you want is another weight, do not write a scheduler: set a priority.
pub trait Scheduler: Send {
    /// The policy's name.
    fn name(&self) -> &'static str;

    /// Takes a process on, or changes the urgency of one that is there, whatever it does. `now` never goes back from call
    /// to call.
    ///
    /// # Errors
    /// [`SchedError::TimeWentBack`], as from all methods that can fail; `next` and `take` go on at the latest time instead.
    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError>;

    /// The process wants a slot.
    ///
    /// # Errors
    /// [`SchedError::Unknown`], or [`SchedError::AlreadyAsked`] if it waits or holds a slot.
    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError>;

    /// A slot is free: who gets it?
    fn next(&mut self, slot: &Slot<'_>, now: Micros) -> Option<Grant>;

    /// The slot goes to this process, whoever would be next: for a slot that is kept for the urgent. `None` if it does not
    /// wait. A policy that leaves this out knows no exceptions: the kernel then keeps no slot for the urgent.
    fn take(&mut self, pid: Pid, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        let _ = (pid, slot, now);
        None
    }

    /// The process gives its slot back and is charged.
    ///
    /// # Errors
    /// [`SchedError::Unknown`], or [`SchedError::NoGrant`] if it holds no slot.
    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError>;

    /// The process gives its slot back without having used it: there was no call, so it MUST NOT owe more than before. Fails as
    /// [`Scheduler::settle`] does. By default a call of nothing, right for policies that keep no account.
    fn give_back(&mut self, pid: Pid, now: Micros) -> Result<(), SchedError> {
        self.settle(pid, Charge::default(), now)
    }

    /// Takes the request of a waiting process back, or with `leave` forgets the process altogether (one that holds a slot
    /// gives it back uncharged). Says whether it was waiting.
    ///
    /// # Errors
    /// [`SchedError::Unknown`].
    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError>;

    /// Where a process stands; `None` if it was never admitted or has left.
    fn standing(&self, pid: Pid) -> Option<Standing>;

    /// How far a process, or the family that shares with it, is behind what it is due, in tenths of tokens by what its weight
    /// counts for; below zero if it is ahead. `None` if it is not known here, and from policies that keep no account of it. For people: the kernel does not act
    /// on it.
    fn lag(&self, _: Pid) -> Option<i64> {
        None
    }
}

impl<T: Scheduler + ?Sized> Scheduler for Box<T> {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        (**self).admit(entry, now)
    }
    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        (**self).request(pid, demand, now)
    }
    fn next(&mut self, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        (**self).next(slot, now)
    }
    fn take(&mut self, pid: Pid, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        (**self).take(pid, slot, now)
    }
    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        (**self).settle(pid, charge, now)
    }
    fn give_back(&mut self, pid: Pid, now: Micros) -> Result<(), SchedError> {
        (**self).give_back(pid, now)
    }
    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        (**self).withdraw(pid, leave, now)
    }
    fn standing(&self, pid: Pid) -> Option<Standing> {
        (**self).standing(pid)
    }
    fn lag(&self, pid: Pid) -> Option<i64> {
        (**self).lag(pid)
    }
}
