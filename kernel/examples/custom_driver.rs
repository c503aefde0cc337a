//! A kernel with a tool of its own. A driver is its tools' specs and one method that carries a call out.

#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use async_trait::async_trait;
use kernel::programs::Script;
use kernel::{Kernel, KernelBuilder, Until};
use kernel_tools::{CallContext, Driver, ToolError, ToolOutput};
use kernel_types::{Call, JsonText, Millis, Recovery, ToolCallArgs, ToolCallRequest, ToolSpec};

/// Counts words.
pub(crate) struct WordCount;

#[async_trait]
impl Driver for WordCount {
    fn tools(&self) -> Vec<ToolSpec> {
        let input = r#"{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}"#;
        vec![ToolSpec {
            name: "count_words".to_owned(),
            description: "Counts the words of a text.".to_owned(),
            input: JsonText::parse(input).expect("a JSON literal"),
            recovery: Recovery::Reread,
            timeout: Millis(1000),
            reads: Vec::new(),
            writes: Vec::new(),
        }]
    }

    async fn call(&self, request: &ToolCallRequest, _: &CallContext) -> Result<ToolOutput, ToolError> {
        let args = request.args.value();
        let words = args["text"].as_str().unwrap_or_default().split_whitespace().count();
        Ok(ToolOutput::ok(JsonText::from(serde_json::json!({ "words": words })), format!("{words} words")))
    }
}

/// The swap.
pub(crate) fn assemble(builder: KernelBuilder) -> KernelBuilder {
    builder.driver(WordCount)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kernel = assemble(Kernel::builder()).build().await?;
    let args = JsonText::parse(r#"{"text":"an agent is a process"}"#)?;
    let call = Call::ToolCall(ToolCallArgs { tool: "count_words".to_owned(), args, timeout: None });
    let pid = kernel.spawn(Script::once(vec![call]).spec("counter")?).await?;
    kernel.run_until(Until::Idle).await?;
    println!("{:?}", kernel.exit_status(pid).await?);
    Ok(())
}
