//! The `Driver` contract: the devices of the kernel, that is, tools.

use std::sync::Arc;

use async_trait::async_trait;
use kernel_types::{JsonText, Millis, ToolCallRequest, ToolSpec};

use crate::ToolError;

/// What a tool answered, before the kernel stores its attachments.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ToolOutput {
    /// Whether the tool did what was asked.
    pub success: bool,
    /// The result, for programs.
    pub data: JsonText,
    /// What to show the model.
    pub text: String,
    /// Bodies (UTF-8 text) to store beside the result, for a following `page_alloc`.
    pub attachments: Vec<Arc<str>>,
}

impl ToolOutput {
    /// Success, with the same text for model and program.
    #[must_use]
    pub fn ok(data: JsonText, text: impl Into<String>) -> Self {
        Self { success: true, data, text: text.into(), attachments: Vec::new() }
    }

    /// The tool ran and could not do what was asked; `text` tells the model why.
    #[must_use]
    pub fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// A program that a tool wants to run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostExec {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its standard input.
    pub stdin: Vec<u8>,
}

/// How that program ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostExit {
    /// The exit code; `None` if it did not exit by itself.
    pub code: Option<i32>,
    /// Why it did not, if so.
    pub reason: String,
    /// Its output.
    pub stdout: Vec<u8>,
    /// Its error output.
    pub stderr: Vec<u8>,
}

/// What a tool may ask of the kernel on behalf of the calling process. The only way for a driver to run a program.
#[async_trait]
pub trait Host: Send + Sync {
    /// The process may read this path (relative to the workspace, `/` between parts, no `..`).
    fn may_read(&self, path: &str) -> bool;

    /// The process may write this path.
    fn may_write(&self, path: &str) -> bool;

    /// Runs a program in the sandbox, or refuses.
    async fn exec(&self, exec: HostExec) -> Result<HostExit, ToolError>;
}

/// What surrounds a call.
#[derive(Clone)]
pub struct CallContext {
    /// What the calling process may do.
    pub host: Arc<dyn Host>,
    /// How long the call may take; the kernel drops the future then.
    pub timeout: Millis,
}

/// A device that offers tools.
///
/// # Contract
/// - `tools` MUST be the same from call to call; names are unique in a registry.
/// - `call` receives arguments that are valid against the tool's schema and permitted by the caller's capabilities. It MUST
///   still ask [`Host::may_read`] and [`Host::may_write`] for paths it meets on the way (a walk), and MUST NOT start
///   programs but through [`Host::exec`].
/// - A tool whose recovery is `keyed` MUST do its work at most once for one [`ToolCallRequest::key`]; a `reread` tool
///   MUST have no effect outside; an `unsafe` tool is never called twice for one key.
/// - What the model may see goes into the output; a failure of the tool's task is `success: false`, not an error.
///
/// # Cancellation
/// The future may be dropped at any await point: at a deadline, a signal, a kill. A driver must not leave locks or
/// temporary files behind then.
///
/// # Errors
/// [`ToolError`] says whose fault it is and whether to try again. A panic is caught by the kernel and is `Faulted`.
///
/// # Implementing
/// Two methods and one line for `driver_conformance!`. If the tool is a command line, do not write a driver: wrap it.
#[async_trait]
pub trait Driver: Send + Sync {
    /// The tools offered.
    fn tools(&self) -> Vec<ToolSpec>;

    /// Carries a call out.
    async fn call(&self, request: &ToolCallRequest, context: &CallContext) -> Result<ToolOutput, ToolError>;
}

#[async_trait]
impl<T: Driver + ?Sized> Driver for Arc<T> {
    fn tools(&self) -> Vec<ToolSpec> {
        (**self).tools()
    }
    async fn call(&self, request: &ToolCallRequest, context: &CallContext) -> Result<ToolOutput, ToolError> {
        (**self).call(request, context).await
    }
}
