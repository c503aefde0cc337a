//! The scheduler of Agent OS Kernel: which process gets the next LLM slot.
//!
//! Steps of programs take microseconds and need no scheduler; calls of a model take seconds, and there are few slots for
//! them. A [`Scheduler`] is policy and nothing else: it owns no clock, awaits nothing, knows no model. So it can be run a
//! million grants at a time, tested against a model of itself and replayed.
//!
//! [`Fair`] is the policy to take: shares by weight, bounded unfairness, warm slots. Beside it, for comparison: [`Fifo`],
//! [`PriorityRoundRobin`] (priorities, time slices, aging), [`FeedbackQueue`], [`LeastAttained`], [`TokenCounter`]. Feature
//! `conformance` has the laws every policy must keep.
//!
//! What else processes share has structures of its own, as pure: [`Quotas`] (budgets and rates in a tree of accounts),
//! [`Locks`] (by name, with inherited urgency), [`Resources`] (countable things, all or nothing).
//!
//! ```
//! use kernel_sched::{Charge, Demand, Entry, Micros, PriorityRoundRobin, Scheduler, Slot};
//! use kernel_types::{Pid, Priority};
//!
//! let mut scheduler = PriorityRoundRobin::new();
//! let (clerk, boss) = (Pid::fresh(), Pid::fresh());
//!
//! // Add processes.
//! let urgent = Priority::new(10).expect("within 0 to 100");
//! scheduler.admit(Entry::new(clerk), Micros(0))?;
//! scheduler.admit(Entry::new(boss).urgent(urgent), Micros(0))?;
//!
//! // Both want the model, the clerk first.
//! scheduler.request(clerk, Demand::default(), Micros(1))?;
//! scheduler.request(boss, Demand::default(), Micros(2))?;
//!
//! // Schedule: a slot is free.
//! let grant = scheduler.next(&Slot::default(), Micros(5)).expect("two are waiting");
//! assert_eq!((grant.pid, grant.waited), (boss, Micros(3)));
//!
//! // The call is over, the next one gets the slot.
//! scheduler.settle(boss, Charge { held: Micros(1000), ..Charge::default() }, Micros(1005))?;
//! assert_eq!(scheduler.next(&Slot::default(), Micros(1005)).map(|grant| grant.pid), Some(clerk));
//! assert_eq!(scheduler.next(&Slot::default(), Micros(1005)), None);
//! # Ok::<(), kernel_sched::SchedError>(())
//! ```

mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod cost;
mod error;
mod fair;
mod fifo;
mod gcra;
mod governor;
mod las;
mod locks;
mod mlfq;
mod priority_rr;
mod quota;
mod ranked;
mod resources;
mod scheduler;
#[cfg(feature = "sim")]
pub mod sim;
mod vtc;
mod weight;

pub use cost::Cost;
pub use error::SchedError;
pub use fair::Fair;
pub use fifo::Fifo;
pub use gcra::{Bucket, Rate};
pub use governor::{Admission, CallEnd, CpuLimits, Governor, GovernorError, HeldBy, Started};
pub use las::LeastAttained;
pub use locks::{LockError, Locks, Taken};
pub use mlfq::FeedbackQueue;
pub use priority_rr::PriorityRoundRobin;
pub use quota::{Allowance, Counted, Hold, QuotaError, Quotas, Refused};
pub use resources::{Asked, ResourceError, Resources};
pub use scheduler::{Charge, Demand, Entry, Grant, Micros, Scheduler, Slot, Standing};
pub use vtc::TokenCounter;
pub use weight::Weight;
