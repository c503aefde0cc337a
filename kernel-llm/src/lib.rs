//! The CPU of Agent OS Kernel: any LLM behind one trait.
//!
//! [`Cpu`] runs an inference: a [`Prompt`](kernel_types::Prompt) in, an [`Inference`](kernel_types::Inference) out, text
//! streamed to a [`DeltaSink`] for people to watch on the way.
//!
//! | Cpu | what | feature |
//! | --- | --- | --- |
//! | `Anthropic` | the Messages API: Claude, and servers that speak it | `anthropic` |
//! | `OpenAi` | chat completions at any address: OpenAI, Ollama, vLLM, llama-server | `openai` |
//! | `Local` | a small model on this machine: a supervised llama-server, fetched once when asked for | `local` |
//! | [`Scripted`] | answers from a list or a TOML file, the same to the same prompt; its module tells the form | |
//! | [`FnCpu`] | answers computed by a function | |
//! | [`Retrying`] | any of these, tried again with backoff and jitter | |
//!
//! An [`Embedder`] says in a vector what a text is about: `StaticEmbedder` (feature `embed-static`) by a matrix of 16 MB,
//! `MiniLmEmbedder` (feature `embed-minilm`, heavy to compile) by a network of 91 MB.
//!
//! The crate says how to reach a model. It does not choose which prompt to send, schedule calls or count money, and it
//! reads no environment variable but those of the `from_env` constructors, [`ApiKey::from_env`] and `detect`.
//!
//! ```
//! use std::sync::Arc;
//!
//! use kernel_llm::{Cpu, InferRequest, NoDeltas, Scripted};
//! use kernel_types::{CallKey, Pid, Prompt, Seq, StepNo, Tokens};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kernel_llm::CpuError> {
//! let cpu = Scripted::texts(["Twelve months."]);
//! let request = InferRequest {
//!     key: CallKey { pid: Pid::fresh(), step: StepNo(1), seq: Seq(0) },
//!     model: cpu.models()[0].name.clone(),
//!     prompt: Arc::new(Prompt::user("For how long?")),
//!     max_output: Tokens(100),
//!     temperature: None,
//! };
//! let answer = cpu.infer(request, &NoDeltas).await?;
//! assert_eq!(answer.text(), "Twelve months.");
//! # Ok(())
//! # }
//! ```
//!
//! A Claude-backed Cpu that tries again what failed for a passing reason:
//! ```no_run
//! # #[cfg(feature = "anthropic")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kernel_llm::CpuError> {
//! use kernel_llm::{Anthropic, AnthropicConfig, ApiKey, Cpu, RetryPolicy, Retrying, model_info};
//!
//! let key = ApiKey::from_env("ANTHROPIC_API_KEY");
//! let claude = Anthropic::new(AnthropicConfig::new(key, model_info("claude-sonnet-4-5")))?;
//! let cpu = Retrying::new(claude, RetryPolicy::default());
//! cpu.health().await?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "anthropic"))]
//! # fn main() {}
//! ```

#[cfg(feature = "anthropic")]
mod anthropic;
#[cfg(feature = "conformance")]
pub mod conformance;
mod cpu;
#[cfg(feature = "http")]
pub mod detect;
mod embed;
mod error;
mod estimate;
#[cfg(feature = "http")]
mod http;
mod key;
#[cfg(feature = "local")]
mod local;
mod model;
#[cfg(feature = "openai")]
mod openai;
mod retrying;
pub mod scripted;

#[cfg(feature = "anthropic")]
pub use anthropic::{Anthropic, AnthropicConfig};
pub use cpu::{Cpu, DeltaSink, INVALID_ARGS, InferRequest, NoDeltas};
#[cfg(feature = "embed-minilm")]
pub use embed::MiniLmEmbedder;
#[cfg(feature = "embed-static")]
pub use embed::StaticEmbedder;
#[cfg(any(feature = "embed-minilm", feature = "embed-static"))]
pub use embed::open_embedder;
pub use embed::{EmbedError, Embedder, FnEmbedder};
pub use error::{CpuError, CpuErrorKind};
pub use estimate::{estimate_prompt, estimate_text};
#[cfg(feature = "http")]
pub use http::Limits;
pub use key::ApiKey;
#[cfg(feature = "local")]
pub use local::{
    EmbeddingFiles, EmbeddingModel, Install, InstallPlan, Local, LocalConfig, LocalModel, SetupEvent,
    SetupSink,
};
pub use model::model_info;
#[cfg(feature = "openai")]
pub use openai::{LimitField, OpenAi, OpenAiConfig};
pub use retrying::{RetryPolicy, Retrying};
pub use scripted::{Canned, Exhausted, Fault, FnCpu, Script, ScriptError, Scripted, ScriptedReply};
