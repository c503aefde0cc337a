//! The `Sandbox` contract: the only way to run a program on behalf of an agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use kernel_types::{CallKey, Millis};
use serde::{Deserialize, Serialize};

use crate::{SandboxError, SandboxErrorKind};

/// A program to run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExecRequest {
    /// On behalf of which call.
    pub key: CallKey,
    /// The program: a name looked up inside the sandbox, or an absolute path there.
    pub program: String,
    /// Its arguments, taken literally.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// Its standard input.
    pub stdin: Vec<u8>,
    /// Killed after.
    pub timeout: Millis,
    /// Bytes of output kept of each stream; the rest is read and dropped.
    pub max_output: usize,
}

impl ExecRequest {
    /// Checks what every sandbox must refuse: an empty program, NUL bytes anywhere, names of the environment that are empty
    /// or hold `=`.
    ///
    /// # Errors
    /// `Invalid`, with what does not fit.
    pub fn check(&self) -> Result<(), SandboxError> {
        let invalid = |message: &str| Err(SandboxError::new(SandboxErrorKind::Invalid, message));
        if self.program.is_empty() {
            return invalid("the program is empty");
        }
        let names = self.env.iter().flat_map(|(name, value)| [name, value]);
        if self.args.iter().chain(names).chain([&self.program]).any(|text| text.contains('\0')) {
            return invalid("program, arguments and environment may not hold NUL bytes");
        }
        if self.env.keys().any(|name| name.is_empty() || name.contains('=')) {
            return invalid("names of the environment may not be empty nor hold `=`");
        }
        Ok(())
    }
}

/// Why a program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExecStatus {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// Its deadline passed.
    Deadline,
    /// Out of its memory limit.
    Oom,
    /// Another limit was hit.
    Limit,
}

/// What a program left.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExecOutput {
    /// Why it ended.
    pub status: ExecStatus,
    /// Its output.
    pub stdout: Vec<u8>,
    /// Its error output.
    pub stderr: Vec<u8>,
    /// More was written than kept.
    pub truncated: bool,
}

/// What a sandbox can enforce on this machine.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Enforcement {
    /// Its name.
    pub backend: String,
    /// It can run programs at all.
    pub runs: bool,
    /// What it enforces, in words, for `doctor`.
    pub enforces: Vec<String>,
    /// What it cannot enforce here, in words.
    pub missing: Vec<String>,
}

/// Runs programs in isolation.
///
/// # Contract
/// - If the isolation cannot be set up whole, `exec` MUST refuse with an error and MUST NOT have run anything. There is no
///   fallback to the host.
/// - The program sees the environment of the request and nothing of the host's.
/// - When `exec` returns, or its future is dropped, nothing the program started is alive.
///
/// # Cancellation
/// Dropping the future kills the program and everything it started.
///
/// # Errors
/// [`SandboxError`]: the command never ran, unless its kind is `Lost`. A program that ran and failed is an output.
///
/// # Implementing
/// Two methods (start `exec` with [`ExecRequest::check`]) and one line for `sandbox_conformance!`. If nothing shall run, use [`crate::DenyAll`].
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// What can be enforced here.
    fn enforcement(&self) -> Enforcement;

    /// Runs a program.
    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, SandboxError>;
}

#[async_trait]
impl<T: Sandbox + ?Sized> Sandbox for Arc<T> {
    fn enforcement(&self) -> Enforcement {
        (**self).enforcement()
    }
    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, SandboxError> {
        (**self).exec(request).await
    }
}
