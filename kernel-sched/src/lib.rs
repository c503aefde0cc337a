//! The scheduler of Agent OS Kernel: which process gets the next LLM slot.
//!
//! Steps of programs take microseconds and need no scheduler; calls of a model take seconds, and there are few slots for
//! them. A [`Scheduler`] is policy and nothing else: it owns no clock, awaits nothing, knows no model. So it can be run a
//! million grants at a time, tested against a model of itself and replayed.
//!
//! Two policies: [`Fifo`], and [`PriorityRoundRobin`] (priorities, time slices, aging so that nobody starves). Feature
//! `conformance` has the laws every policy must keep.
//!
//! ```
//! use kernel_sched::{Charge, Demand, Entry, Micros, PriorityRoundRobin, Scheduler};
//! use kernel_types::{Pid, Priority};
//!
//! let mut scheduler = PriorityRoundRobin::new();
//! let (clerk, boss) = (Pid::fresh(), Pid::fresh());
//!
//! // Add processes.
//! let urgent = Priority::new(10).expect("within 0 to 100");
//! scheduler.admit(Entry { pid: clerk, priority: Priority::default() }, Micros(0))?;
//! scheduler.admit(Entry { pid: boss, priority: urgent }, Micros(0))?;
//!
//! // Both want the model, the clerk first.
//! scheduler.request(clerk, Demand::default(), Micros(1))?;
//! scheduler.request(boss, Demand::default(), Micros(2))?;
//!
//! // Schedule: a slot is free.
//! let grant = scheduler.next(Micros(5)).expect("two are waiting");
//! assert_eq!((grant.pid, grant.waited), (boss, Micros(3)));
//!
//! // The call is over, the next one gets the slot.
//! scheduler.settle(boss, Charge { held: Micros(1000), ..Charge::default() }, Micros(1005))?;
//! assert_eq!(scheduler.next(Micros(1005)).map(|grant| grant.pid), Some(clerk));
//! assert_eq!(scheduler.next(Micros(1005)), None);
//! # Ok::<(), kernel_sched::SchedError>(())
//! ```

mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod fifo;
mod priority_rr;
mod scheduler;

pub use error::SchedError;
pub use fifo::Fifo;
pub use priority_rr::PriorityRoundRobin;
pub use scheduler::{Charge, Demand, Entry, Grant, Micros, Scheduler, Standing};
