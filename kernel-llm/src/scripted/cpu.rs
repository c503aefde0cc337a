//! The model that answers from a script.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use kernel_types::{Inference, ModelInfo};

use super::simulator::{Simulator, pause};
use super::{Script, ScriptedReply};
use crate::{Cpu, CpuError, CpuErrorKind, DeltaSink, InferRequest};

/// A [`Cpu`] that answers from a [`Script`], the same to the same prompt, also in another process.
///
/// ```
/// use kernel_llm::{Script, Scripted};
///
/// let cpu = Scripted::new(Script::parse(r#"
///     [[reply]]
///     text = "I look it up."
///     [[reply.tool]]
///     name = "recall"
///     args = { query = "twelve months" }
///
///     [[reply]]
///     text = "Twelve months."
/// "#)?);
/// # let _ = cpu;
/// # Ok::<(), kernel_llm::ScriptError>(())
/// ```
#[derive(Debug)]
pub struct Scripted {
    simulator: Simulator,
    script: Script,
    /// How often each reply's fault happened.
    faults: Vec<AtomicU32>,
}

impl Scripted {
    /// A model that plays `script`.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self {
            simulator: Simulator::new(script.model.clone(), script.chunk),
            faults: script.replies.iter().map(|_| AtomicU32::new(0)).collect(),
            script,
        }
    }

    /// A model that says these texts, one after the other, then fails.
    pub fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(Script::new(texts))
    }

    /// Whether the fault of reply `number` happens this time.
    fn is_faulty(&self, number: usize, reply: &ScriptedReply) -> bool {
        let happened = || self.faults[number].fetch_add(1, Ordering::Relaxed);
        reply.fault.is_some() && reply.times.is_none_or(|times| happened() < times)
    }
}

#[async_trait]
impl Cpu for Scripted {
    fn models(&self) -> Vec<ModelInfo> {
        vec![self.simulator.model.clone()]
    }

    fn slots(&self) -> u32 {
        self.script.slots
    }

    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let seen = self.simulator.read(&request)?;
        let provider = &self.simulator.model.name;
        let Some(number) = self.script.choose(&request.prompt) else {
            let message = format!("the script's {} replies are exhausted", self.script.replies.len());
            return Err(CpuError::new(CpuErrorKind::InvalidRequest, provider, message));
        };
        let reply = &self.script.replies[number];
        match &reply.fault {
            Some(fault) if self.is_faulty(number, reply) => {
                pause(reply.canned.delay).await;
                Err(fault.happen(provider).await)
            }
            _ => Ok(self.simulator.say(&request, seen, &reply.canned, sink).await),
        }
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}
