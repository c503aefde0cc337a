//! The `Cpu` contract: any LLM.

use std::sync::Arc;

use async_trait::async_trait;
use kernel_types::{CallKey, Inference, ModelInfo, Prompt, Tokens};

use crate::CpuError;

/// The name of the field that holds what a model sent as the arguments of a tool call, where that was not a JSON object.
///
/// The call is kept, with `{"_invalid": "what it sent"}` as arguments, so that the model is told by the schema check what
/// was wrong and can try again; whoever runs tools without a schema must refuse arguments that have this field.
pub const INVALID_ARGS: &str = "_invalid";

/// One inference to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InferRequest {
    /// The call on whose behalf.
    pub key: CallKey,
    /// A model of [`Cpu::models`].
    pub model: String,
    /// What the model sees.
    pub prompt: Arc<Prompt>,
    /// At most this many output tokens.
    pub max_output: Tokens,
    /// Sampling temperature in thousandths; the provider's default without.
    pub temperature: Option<u32>,
}

/// Receives streamed text for people to watch. Lossy: nothing of it reaches a program or the journal.
pub trait DeltaSink: Send + Sync {
    /// More text of a call. Must not block.
    fn delta(&self, key: CallKey, text: &str);
}

/// Drops all text.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDeltas;

impl DeltaSink for NoDeltas {
    fn delta(&self, _: CallKey, _: &str) {}
}

/// Runs inferences.
///
/// # Contract
/// - `infer` MUST send the prompt as it is: no message added, dropped or reordered, and the same bytes for the same
///   prompt, so that prefix caches hit.
/// - The text sent to the sink, in order, MUST be the text of the answer, unless the call fails on the way.
/// - The usage MUST be the provider's own; without one it is estimated and says so.
/// - Tool calls MUST come back with an id that is unique in the answer and arguments that are a JSON object.
/// - A key or token MUST NOT appear in an error, a log or an answer.
///
/// # Cancellation
/// Dropping the future closes the connection, so that the provider stops generating. What was used until then is the
/// kernel's to estimate.
///
/// # Errors
/// [`CpuError`] with `kind()` and `retry()`; a provider's Retry-After is in the latter.
///
/// # Implementing
/// Four methods and one line for `cpu_conformance!`. If the server speaks the OpenAI or Anthropic protocol, do not write
/// a Cpu: give its address to the one that is there.
#[async_trait]
pub trait Cpu: Send + Sync {
    /// The models this Cpu runs; the first is its default. Never empty.
    fn models(&self) -> Vec<ModelInfo>;

    /// How many inferences may run at a time.
    fn slots(&self) -> u32;

    /// Runs one inference.
    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError>;

    /// Whether an inference would be taken now; an error says what is wrong, in words for a person.
    async fn health(&self) -> Result<(), CpuError>;
}

#[async_trait]
impl<T: Cpu + ?Sized> Cpu for Arc<T> {
    fn models(&self) -> Vec<ModelInfo> {
        (**self).models()
    }
    fn slots(&self) -> u32 {
        (**self).slots()
    }
    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        (**self).infer(request, sink).await
    }
    async fn health(&self) -> Result<(), CpuError> {
        (**self).health().await
    }
}
