//! The sandbox that runs nothing: the safe default.

use async_trait::async_trait;

use crate::{Enforcement, ExecOutput, ExecRequest, Sandbox, SandboxError, SandboxErrorKind};

/// Refuses every program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DenyAll;

#[async_trait]
impl Sandbox for DenyAll {
    fn enforcement(&self) -> Enforcement {
        Enforcement {
            backend: "deny_all".to_owned(),
            runs: false,
            enforces: vec!["no program runs".to_owned()],
            missing: Vec::new(),
        }
    }

    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, SandboxError> {
        let message = format!("program {:?} refused: this kernel runs no programs", request.program);
        Err(SandboxError::new(SandboxErrorKind::Denied, message))
    }
}
