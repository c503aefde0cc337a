//! The security of Agent OS Kernel: capabilities, policy, the audit chain and the sandbox.

mod error;
mod sandbox;

pub use error::{SandboxError, SandboxErrorKind};
pub use sandbox::{Enforcement, ExecOutput, ExecRequest, ExecStatus, Sandbox};
