//! A kernel with a model of its own: an echo. Four methods make a `Cpu`; what streams to people goes through the sink.

#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use async_trait::async_trait;
use kernel::{Kernel, KernelBuilder, Until};
use kernel_llm::{Cpu, CpuError, CpuErrorKind, DeltaSink, InferRequest, model_info};
use kernel_types::{Inference, ModelInfo, Part, Prompt, Role, Spec, TokenUsage, Tokens};

/// Says what the user said last.
pub(crate) struct EchoCpu;

const MODEL: &str = "echo";

fn last_words(prompt: &Prompt) -> Option<&str> {
    let user = prompt.messages.iter().rev().filter(|message| message.role == Role::User);
    let mut texts = user.flat_map(|message| message.parts.iter().rev()).filter_map(|part| match part {
        Part::Text(text) => Some(&**text),
        _ => None,
    });
    texts.next()
}

#[async_trait]
impl Cpu for EchoCpu {
    fn models(&self) -> Vec<ModelInfo> {
        vec![model_info(MODEL)]
    }

    fn slots(&self) -> u32 {
        4
    }

    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        if request.model != MODEL {
            return Err(CpuError::new(
                CpuErrorKind::UnknownModel,
                MODEL,
                format!("no model {:?}", request.model),
            ));
        }
        let words = last_words(&request.prompt).unwrap_or("you said nothing");
        let most = usize::try_from(request.max_output.0).unwrap_or(usize::MAX);
        let said: String = words.split_inclusive(' ').take(most).collect();
        sink.delta(request.key, &said);
        let tokens = |text: &str| Tokens(text.split_whitespace().count() as u64);
        let usage = TokenUsage {
            input: tokens(words),
            output: tokens(&said),
            estimated: true,
            ..TokenUsage::default()
        };
        let finish = if said.len() < words.len() { "length" } else { "stop" };
        Ok(Inference {
            model: MODEL.to_owned(),
            parts: vec![Part::Text(said.into())],
            finish: finish.to_owned(),
            usage,
        })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

/// The swap.
pub(crate) fn assemble(builder: KernelBuilder) -> KernelBuilder {
    builder.cpu(EchoCpu)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kernel = assemble(Kernel::builder()).build().await?;
    let pid = kernel.spawn(Spec { task: "Is anybody there?".to_owned(), ..Spec::default() }).await?;
    kernel.run_until(Until::Idle).await?;
    println!("{:?}", kernel.exit_status(pid).await?);
    Ok(())
}
