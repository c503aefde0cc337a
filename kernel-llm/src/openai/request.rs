//! The body of a chat completion request: the same bytes for the same prompt.

use kernel_types::{JsonText, Message, ModelInfo, Part, Role};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::InferRequest;

/// The field in which a server expects the most output tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitField {
    /// `max_tokens`: known to all compatible servers, refused by OpenAI's newer models.
    MaxTokens,
    /// `max_completion_tokens`: OpenAI's own.
    MaxCompletionTokens,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: Box<RawValue>,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
enum Turn<'a> {
    System {
        content: Content<'a>,
    },
    User {
        content: Content<'a>,
    },
    Assistant {
        content: Option<Content<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

/// One text as a string, which every server takes; several as a list, so that their borders stay.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    One(&'a str),
    Many(Vec<Text<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Text<'a> {
    Text { text: &'a str },
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    /// An object, as text.
    arguments: &'a str,
}

/// The body for `request` to `model`, with `extra` fields behind the usual ones.
pub(super) fn body(
    request: &InferRequest,
    model: &ModelInfo,
    limit: LimitField,
    extra: &Map<String, Value>,
) -> Result<Vec<u8>, String> {
    let max_output = request.max_output.min(model.max_output).0;
    let tools = request.prompt.tools.iter().map(|tool| Tool {
        r#type: "function",
        function: Function { name: &tool.name, description: &tool.description, parameters: raw(&tool.input) },
    });
    let body = Body {
        model: &request.model,
        messages: request.prompt.messages.iter().flat_map(turns).collect(),
        tools: tools.collect(),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        max_tokens: (limit == LimitField::MaxTokens).then_some(max_output),
        max_completion_tokens: (limit == LimitField::MaxCompletionTokens).then_some(max_output),
        temperature: request.temperature.map(|thousandths| f64::from(thousandths) / 1000.0),
        extra,
    };
    serde_json::to_vec(&body).map_err(|error| error.to_string())
}

/// A message in this protocol's form: each tool result is a message of its own, whatever role it came in.
fn turns(message: &Message) -> Vec<Turn<'_>> {
    let results = message.parts.iter().filter_map(|part| match part {
        Part::ToolResult { id, text, .. } => Some(Turn::Tool { tool_call_id: id, content: text }),
        _ => None,
    });
    let mut turns: Vec<_> = results.collect();
    let own = match message.role {
        Role::System => text(message).map(|content| Turn::System { content }),
        Role::User => text(message).map(|content| Turn::User { content }),
        Role::Tool => text(message).map(|content| Turn::User { content }),
        Role::Assistant => {
            let calls = message.parts.iter().filter_map(|part| match part {
                Part::ToolCall { id, name, args } => {
                    let function = Called { name, arguments: args.as_str() };
                    Some(Call { id, r#type: "function", function })
                }
                _ => None,
            });
            Some(Turn::Assistant { content: text(message), tool_calls: calls.collect() })
        }
    };
    turns.extend(own);
    turns
}

/// The texts of a message; `None` if it has none.
fn text(message: &Message) -> Option<Content<'_>> {
    let texts = message
        .parts
        .iter()
        .filter_map(|part| if let Part::Text(text) = part { Some(&**text) } else { None });
    let texts: Vec<&str> = texts.collect();
    match texts[..] {
        [] => None,
        [one] => Some(Content::One(one)),
        _ => Some(Content::Many(texts.into_iter().map(|text| Text::Text { text }).collect())),
    }
}

/// JSON as it is, byte for byte.
fn raw(json: &JsonText) -> Box<RawValue> {
    RawValue::from_string(json.as_str().to_owned()).expect("checked when made")
}
