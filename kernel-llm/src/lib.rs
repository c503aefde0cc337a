//! The CPU of Agent OS Kernel: any LLM behind one trait.

mod cpu;
mod error;

pub use cpu::{Cpu, DeltaSink, InferRequest, NoDeltas};
pub use error::{CpuError, CpuErrorKind};
