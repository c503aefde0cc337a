//! The chunks of a chat completion stream.

use kernel_types::{TokenUsage, Tokens};
use serde::Deserialize;

use crate::CpuError;
use crate::http::{AnswerBuilder, Endpoint, parse, stream_error};

/// What a stream ends with.
const DONE: &str = "[DONE]";

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    prompt_tokens: u64,
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

impl From<Counts> for TokenUsage {
    fn from(counts: Counts) -> Self {
        let cached = counts.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
        Self {
            input: Tokens(counts.prompt_tokens),
            cached: Tokens(cached.min(counts.prompt_tokens)),
            output: Tokens(counts.completion_tokens),
            ..Self::default()
        }
    }
}

/// Takes one event into the answer; `true` if it was the last.
pub(super) fn event(
    endpoint: &Endpoint,
    answer: &mut AnswerBuilder<'_>,
    data: &str,
) -> Result<bool, CpuError> {
    if data.trim() == DONE {
        return Ok(true);
    }
    let chunk: Chunk = parse(endpoint, data)?;
    if chunk.error.is_some() {
        return Err(stream_error(endpoint, data));
    }
    answer.model = chunk.model.or(answer.model.take());
    answer.usage = chunk.usage.map(Into::into).or(answer.usage);
    // Only one choice was asked for.
    let Some(choice) = chunk.choices.into_iter().next() else { return Ok(false) };
    for text in [choice.delta.content, choice.delta.refusal].into_iter().flatten() {
        answer.text(&text);
    }
    for delta in choice.delta.tool_calls.into_iter().flatten() {
        tool_call(answer, delta)?;
    }
    answer.finish = choice.finish_reason.filter(|reason| !reason.is_empty()).or(answer.finish.take());
    Ok(false)
}

/// A piece of a tool call. It says which by its index; servers that leave that out begin a new call with a new id.
fn tool_call(answer: &mut AnswerBuilder<'_>, delta: CallDelta) -> Result<(), CpuError> {
    let id = delta.id.filter(|id| !id.is_empty());
    let place = match (delta.index, &id, answer.last_place()) {
        (Some(index), ..) => index,
        (None, _, None) => 0,
        (None, Some(_), Some(last)) => last + 1,
        (None, None, Some(last)) => last,
    };
    let call = answer.call(place)?;
    if let Some(id) = id {
        call.id = id;
    }
    if let Some(function) = delta.function {
        call.name.push_str(&function.name.unwrap_or_default());
        call.args.push_str(&function.arguments.unwrap_or_default());
    }
    Ok(())
}
