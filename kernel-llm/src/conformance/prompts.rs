//! The requests that the laws make.

use std::sync::Arc;

use kernel_types::{
    CallKey, JsonText, Message, Millis, Part, Pid, Prompt, Recovery, Role, Seq, StepNo, Tokens, ToolSpec,
};

use crate::{Cpu, InferRequest};

/// The tool that a subject with `calls_tools` calls.
pub const TOOL_NAME: &str = "add_numbers";

/// What the last message says when the tool is to be called.
pub const TOOL_WORDS: &str = "Call the tool add_numbers with 2 and 3.";

/// A message of one text.
pub(super) fn says(role: Role, text: &str) -> Message {
    Message { role, parts: vec![Part::Text(text.into())], breakpoint: false }
}

/// A short question.
pub(super) fn question() -> Prompt {
    Prompt {
        messages: vec![
            says(Role::System, "You answer in plain words."),
            says(Role::User, "Say a few words about rivers and the sea."),
        ],
        ..Prompt::default()
    }
}

/// A tool that adds.
pub(super) fn tool() -> ToolSpec {
    let schema = r#"{"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"]}"#;
    ToolSpec {
        name: TOOL_NAME.to_owned(),
        description: "Adds two numbers.".to_owned(),
        input: JsonText::parse(schema).expect("a JSON text"),
        recovery: Recovery::Reread,
        timeout: Millis(1000),
        reads: Vec::new(),
        writes: Vec::new(),
    }
}

/// A request to the default model, with a key told apart by `seq`.
pub(super) fn request<C: Cpu>(cpu: &C, prompt: Prompt, max_output: u64, seq: u32) -> InferRequest {
    InferRequest {
        key: CallKey { pid: Pid::from_parts(1, 1), step: StepNo(1), seq: Seq(seq) },
        model: cpu.models().first().map(|model| model.name.clone()).unwrap_or_default(),
        prompt: Arc::new(prompt),
        max_output: Tokens(max_output),
        temperature: Some(0),
    }
}
