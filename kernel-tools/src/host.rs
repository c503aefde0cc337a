//! A host that stands in for the kernel: every path may be touched, no program runs.

use std::sync::Arc;

use async_trait::async_trait;
use kernel_types::Millis;

use crate::{CallContext, Host, HostExec, HostExit, ToolError, ToolErrorKind};

/// A [`Host`] for tests and for tools used without a kernel: it permits every path and refuses every program.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullHost;

impl NullHost {
    /// A context with this host and a timeout of 30 seconds.
    #[must_use]
    pub fn context() -> CallContext {
        CallContext { host: Arc::new(Self), timeout: Millis(30_000) }
    }
}

#[async_trait]
impl Host for NullHost {
    fn may_read(&self, _path: &str) -> bool {
        true
    }

    fn may_write(&self, _path: &str) -> bool {
        true
    }

    async fn exec(&self, exec: HostExec) -> Result<HostExit, ToolError> {
        Err(ToolError::new(ToolErrorKind::Denied, exec.program, "there is no sandbox to run programs in"))
    }
}
