//! The prompt a model receives and the tokens it reports, free of any provider's wire form.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Digest, Frame, Hash, JsonText, Tokens, ToolSpec};

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions; only at the start of a prompt.
    System,
    /// The user, documents and recalled pages.
    User,
    /// The model.
    Assistant,
    /// Results of the tool calls of the assistant message before.
    Tool,
}

/// A piece of a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text(Arc<str>),
    /// The model asks for a tool.
    ToolCall {
        /// The provider's id of the call, echoed by its result.
        id: String,
        /// The tool.
        name: String,
        /// The arguments, an object.
        args: JsonText,
    },
    /// The result of a tool call.
    ToolResult {
        /// The id of the call answered.
        id: String,
        /// What the model is shown.
        text: Arc<str>,
        /// The tool failed.
        is_error: bool,
    },
}

/// One message of a prompt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// In order.
    pub parts: Vec<Part>,
    /// A cache breakpoint lies after this message: everything up to here is expected to come again unchanged.
    pub breakpoint: bool,
}

/// How long a provider is asked to keep what a request writes to its prefix cache.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// As long as it usually does: [`CacheModel::ttl_s`](crate::CacheModel::ttl_s).
    #[default]
    Short,
    /// For longer, where that is offered: [`CacheModel::long`](crate::CacheModel::long). Others take it as `Short`.
    Long,
}

/// A whole prompt. Two prompts with the same messages have the same [`Prompt::hash`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Prompt {
    /// System messages first, then alternating.
    pub messages: Vec<Message>,
    /// The tools the model may call, in a fixed order.
    pub tools: Vec<ToolSpec>,
    /// How long its prefixes are to be kept.
    #[serde(default)]
    pub retention: Retention,
}

impl Prompt {
    /// A prompt of one user message.
    #[must_use]
    pub fn user(text: impl Into<Arc<str>>) -> Self {
        let message = Message { role: Role::User, parts: vec![Part::Text(text.into())], breakpoint: false };
        Self { messages: vec![message], ..Self::default() }
    }

    /// The hash of everything the model sees. Breakpoints and retention are hints to the provider and are not part of it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Frame::new("prompt").value(self).finish()
    }
}

impl Digest for Prompt {
    fn digest(&self, frame: &mut Frame) {
        frame.number(self.tools.len() as u64);
        for tool in &self.tools {
            frame.text(&tool.name).text(&tool.description).text(tool.input.as_str());
        }
        frame.number(self.messages.len() as u64);
        for message in &self.messages {
            frame.number(message.role as u64).number(message.parts.len() as u64);
            for part in &message.parts {
                match part {
                    Part::Text(text) => frame.number(0).text(text),
                    Part::ToolCall { id, name, args } => {
                        frame.number(1).text(id).text(name).text(args.as_str())
                    }
                    Part::ToolResult { id, text, is_error } => {
                        frame.number(2).text(id).text(text).number(u64::from(*is_error))
                    }
                };
            }
        }
    }
}

/// Tokens of one inference, as the provider reported them (or as estimated, if it did not).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Input tokens in all, cached ones included.
    pub input: Tokens,
    /// Of these, read from the provider's prefix cache.
    pub cached: Tokens,
    /// Of the input, written to the provider's prefix cache at a premium.
    pub cache_written: Tokens,
    /// Of these, written to be kept for longer.
    #[serde(default)]
    pub written_long: Tokens,
    /// Output tokens.
    pub output: Tokens,
    /// The figures are the kernel's own, because the provider gave none (a cancelled or lost attempt).
    pub estimated: bool,
}
