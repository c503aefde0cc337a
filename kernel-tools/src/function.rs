//! A tool from a function: the shortest way to give agents something of your own.

use std::fmt;
use std::future::Future;

use async_trait::async_trait;
use kernel_types::{ToolCallRequest, ToolSpec};

use crate::{CallContext, Driver, ToolError, ToolErrorKind, ToolOutput};

/// A [`Driver`] of one tool, carried out by an async closure.
///
/// The closure is bound by the same contract as a driver: a `keyed` tool does its work once for one key.
///
/// ```
/// use std::sync::Arc;
/// use kernel_tools::{FnTool, NullHost, Registry, ToolOutput};
/// use kernel_types::{CallKey, JsonText, Millis, Pid, Recovery, Seq, StepNo, ToolCallRequest, ToolSpec};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let spec = ToolSpec {
///     name: "shout".into(),
///     description: "Turns a text into capitals.".into(),
///     input: JsonText::parse(r#"{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}"#)?,
///     recovery: Recovery::Reread,
///     timeout: Millis(1_000),
///     reads: vec![],
///     writes: vec![],
/// };
/// let shout = FnTool::new(spec, |request, _context| async move {
///     let text = request.args.value()["text"].as_str().unwrap_or_default().to_uppercase();
///     Ok(ToolOutput::ok(request.args, text))
/// });
///
/// let mut registry = Registry::new();
/// registry.register(Arc::new(shout))?;
///
/// let request = ToolCallRequest {
///     key: CallKey { pid: Pid::INIT, step: StepNo(1), seq: Seq(0) },
///     tool: "shout".into(),
///     args: JsonText::parse(r#"{"text":"page fault"}"#)?,
/// };
/// assert_eq!(registry.call(&request, &NullHost::context()).await?.text, "PAGE FAULT");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FnTool<F> {
    spec: ToolSpec,
    run: F,
}

impl<F, R> FnTool<F>
where
    F: Fn(ToolCallRequest, CallContext) -> R + Send + Sync,
    R: Future<Output = Result<ToolOutput, ToolError>> + Send,
{
    /// A tool that is described by `spec` and carried out by `run`.
    #[must_use]
    pub const fn new(spec: ToolSpec, run: F) -> Self {
        Self { spec, run }
    }
}

#[async_trait]
impl<F, R> Driver for FnTool<F>
where
    F: Fn(ToolCallRequest, CallContext) -> R + Send + Sync,
    R: Future<Output = Result<ToolOutput, ToolError>> + Send,
{
    fn tools(&self) -> Vec<ToolSpec> {
        vec![self.spec.clone()]
    }

    async fn call(&self, request: &ToolCallRequest, context: &CallContext) -> Result<ToolOutput, ToolError> {
        if request.tool != self.spec.name {
            return Err(ToolError::new(
                ToolErrorKind::Unknown,
                &request.tool,
                "this driver has no such tool",
            ));
        }
        (self.run)(request.clone(), context.clone()).await
    }
}

impl<F> fmt::Debug for FnTool<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnTool").field("spec", &self.spec).finish_non_exhaustive()
    }
}
