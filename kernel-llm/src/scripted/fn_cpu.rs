//! A model that is a function.

use std::fmt;

use async_trait::async_trait;
use kernel_types::{Inference, ModelInfo};

use super::{Canned, simulator::Simulator};
use crate::{Cpu, CpuError, DeltaSink, InferRequest};

type Answer = dyn Fn(&InferRequest) -> Result<Canned, CpuError> + Send + Sync;

/// A [`Cpu`] whose answers a function computes from the request, with simulated token counts and prefix cache.
///
/// ```
/// use kernel_llm::{Canned, FnCpu, model_info};
///
/// let cpu = FnCpu::new(model_info("echo"), |request| {
///     Ok(Canned::text(format!("{} messages", request.prompt.messages.len())))
/// });
/// # let _ = cpu;
/// ```
pub struct FnCpu {
    simulator: Simulator,
    answer: Box<Answer>,
    slots: u32,
}

impl FnCpu {
    /// A model answered by `answer`, with four slots. A panic of `answer` is one of `infer`.
    pub fn new(
        model: ModelInfo,
        answer: impl Fn(&InferRequest) -> Result<Canned, CpuError> + Send + Sync + 'static,
    ) -> Self {
        Self { simulator: Simulator::new(model, 0), answer: Box::new(answer), slots: 4 }
    }

    /// The same with so many slots.
    #[must_use]
    pub fn with_slots(self, slots: u32) -> Self {
        Self { slots: slots.max(1), ..self }
    }

    /// The same, streaming so many characters a delta; 0 sends a text in one.
    #[must_use]
    pub fn with_chunk(mut self, chars: usize) -> Self {
        self.simulator.chunk = chars;
        self
    }
}

impl fmt::Debug for FnCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnCpu").field("model", &self.simulator.model.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Cpu for FnCpu {
    fn models(&self) -> Vec<ModelInfo> {
        vec![self.simulator.model.clone()]
    }

    fn slots(&self) -> u32 {
        self.slots
    }

    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let seen = self.simulator.read(&request)?;
        let canned = (self.answer)(&request)?;
        Ok(self.simulator.say(&request, seen, &canned, sink).await)
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}
