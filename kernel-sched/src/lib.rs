//! The scheduler of Agent OS Kernel: which process gets the next LLM slot.

mod error;
mod scheduler;

pub use error::SchedError;
pub use scheduler::{Charge, Demand, Entry, Grant, Micros, Scheduler, Standing};
