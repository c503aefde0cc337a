//! The body of a Messages request: the same bytes for the same prompt.

use std::collections::BTreeSet;

use kernel_types::{JsonText, Message, ModelInfo, Part, Prompt, Retention, Role};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::InferRequest;

/// The longer time to live, as the API names it.
const LONG: &str = "1h";
/// The most breakpoints that the API takes.
const MAX_BREAKPOINTS: u32 = 4;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Turn<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: Box<RawValue>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

#[derive(Serialize)]
struct Block<'a> {
    #[serde(flatten)]
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Text {
        text: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Box<RawValue>,
    },
    ToolResult {
        tool_use_id: &'a str,
        content: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum CacheControl {
    Ephemeral {
        /// Five minutes without.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl: Option<&'static str>,
    },
}

/// The body for `request` to `model`.
pub(super) fn body(request: &InferRequest, model: &ModelInfo) -> Result<Vec<u8>, String> {
    let prompt = &*request.prompt;
    let marked = breakpoints(prompt, model.cache.breakpoints.min(MAX_BREAKPOINTS) as usize);
    let long = prompt.retention == Retention::Long && model.cache.long.is_some();
    let mark = CacheControl::Ephemeral { ttl: long.then_some(LONG) };
    let mut system = Vec::new();
    let mut messages = Vec::new();
    for (n, message) in prompt.messages.iter().enumerate() {
        let blocks = blocks(message, marked.contains(&n).then_some(mark));
        let role = match message.role {
            Role::System if messages.is_empty() => {
                system.extend(blocks);
                continue;
            }
            Role::System => return Err(format!("message {n} is a system message behind other ones")),
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        messages.push(Turn { role, content: blocks });
    }
    let tools = prompt.tools.iter().map(|tool| Tool {
        name: &tool.name,
        description: &tool.description,
        input_schema: raw(&tool.input),
    });
    let body = Body {
        model: &request.model,
        max_tokens: request.max_output.min(model.max_output).0,
        stream: true,
        temperature: request.temperature.map(|thousandths| f64::from(thousandths) / 1000.0),
        tools: tools.collect(),
        system,
        messages,
    };
    serde_json::to_vec(&body).map_err(|error| error.to_string())
}

/// The messages after which a breakpoint is sent. If more are wished for than the API takes, the first and the last
/// ones: the first covers what all calls share, the last ones what the next call shares.
fn breakpoints(prompt: &Prompt, limit: usize) -> BTreeSet<usize> {
    let wished: Vec<usize> = prompt
        .messages
        .iter()
        .enumerate()
        .filter(|(_, message)| message.breakpoint)
        .map(|(n, _)| n)
        .collect();
    if wished.len() <= limit {
        return wished.into_iter().collect();
    }
    let Some(rest) = limit.checked_sub(1) else { return BTreeSet::new() };
    wished.iter().take(1).chain(&wished[wished.len() - rest..]).copied().collect()
}

/// A message's blocks. The API refuses empty texts, which say nothing, so they are left out beside others.
fn blocks(message: &Message, mark: Option<CacheControl>) -> Vec<Block<'_>> {
    let is_empty = |part: &Part| matches!(part, Part::Text(text) if text.is_empty());
    let all_empty = message.parts.iter().all(is_empty);
    let parts = message.parts.iter().filter(|part| all_empty || !is_empty(part));
    let mut blocks: Vec<_> =
        parts.map(|part| Block { content: content(part), cache_control: None }).collect();
    if let Some(last) = blocks.last_mut() {
        last.cache_control = mark.filter(|_| !all_empty);
    }
    blocks
}

fn content(part: &Part) -> Content<'_> {
    match part {
        Part::Text(text) => Content::Text { text },
        Part::ToolCall { id, name, args } => Content::ToolUse { id, name, input: raw(args) },
        Part::ToolResult { id, text, is_error } => {
            Content::ToolResult { tool_use_id: id, content: text, is_error: *is_error }
        }
    }
}

/// JSON as it is, byte for byte.
fn raw(json: &JsonText) -> Box<RawValue> {
    RawValue::from_string(json.as_str().to_owned()).expect("checked when made")
}
