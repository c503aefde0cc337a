//! The CPU of Agent OS Kernel: any LLM behind one trait.

#[cfg(feature = "anthropic")]
mod anthropic;
#[cfg(feature = "conformance")]
pub mod conformance;
mod cpu;
#[cfg(feature = "http")]
pub mod detect;
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
mod scripted;

#[cfg(feature = "anthropic")]
pub use anthropic::{Anthropic, AnthropicConfig};
pub use cpu::{Cpu, DeltaSink, InferRequest, NoDeltas};
pub use error::{CpuError, CpuErrorKind};
pub use estimate::{estimate_prompt, estimate_text};
#[cfg(feature = "http")]
pub use http::{INVALID_ARGS, Limits};
pub use key::ApiKey;
#[cfg(feature = "local")]
pub use local::{Install, InstallPlan, Local, LocalConfig, LocalModel, SetupEvent, SetupSink};
pub use model::model_info;
#[cfg(feature = "openai")]
pub use openai::{LimitField, OpenAi, OpenAiConfig};
pub use retrying::{RetryPolicy, Retrying};
pub use scripted::{Canned, Exhausted, Fault, FnCpu, Script, ScriptError, Scripted, ScriptedReply};
