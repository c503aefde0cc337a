//! Assembles an answer from the pieces that a stream brings.

use std::collections::{BTreeMap, BTreeSet};

use kernel_types::{Inference, JsonText, Part, TokenUsage};
use serde_json::json;

use super::Endpoint;
use crate::INVALID_ARGS;
use crate::estimate::{estimate_prompt, estimate_text};
use crate::{CpuError, CpuErrorKind, DeltaSink, InferRequest};

/// The most tool calls of one answer.
const MAX_CALLS: usize = 128;

/// A tool call under construction.
#[derive(Default)]
pub(crate) struct CallBuilder {
    pub(crate) id: String,
    pub(crate) name: String,
    /// JSON, growing.
    pub(crate) args: String,
}

/// An answer under construction: passes text on to the sink, free of the key, and keeps it.
pub(crate) struct AnswerBuilder<'a> {
    endpoint: &'a Endpoint,
    request: &'a InferRequest,
    sink: &'a dyn DeltaSink,
    /// Text that may be the beginning of the key.
    held: String,
    text: String,
    calls: BTreeMap<u64, CallBuilder>,
    /// The model's name as the provider says it.
    pub(crate) model: Option<String>,
    /// Why it stopped; without, it did not.
    pub(crate) finish: Option<String>,
    /// What the provider counted.
    pub(crate) usage: Option<TokenUsage>,
}

impl<'a> AnswerBuilder<'a> {
    pub(crate) fn new(endpoint: &'a Endpoint, request: &'a InferRequest, sink: &'a dyn DeltaSink) -> Self {
        Self {
            endpoint,
            request,
            sink,
            held: String::new(),
            text: String::new(),
            calls: BTreeMap::new(),
            model: None,
            finish: None,
            usage: None,
        }
    }

    /// More text.
    pub(crate) fn text(&mut self, delta: &str) {
        match self.endpoint.key() {
            None => self.show(delta),
            Some(key) => {
                self.held.push_str(delta);
                let safe = key.take_masked(&mut self.held);
                self.show(&safe);
            }
        }
    }

    fn show(&mut self, text: &str) {
        if !text.is_empty() {
            self.sink.delta(self.request.key, text);
            self.text.push_str(text);
        }
    }

    /// The tool call at a place of the answer, begun if it is new.
    pub(crate) fn call(&mut self, place: u64) -> Result<&mut CallBuilder, CpuError> {
        if self.calls.len() >= MAX_CALLS && !self.calls.contains_key(&place) {
            let message = format!("more than {MAX_CALLS} tool calls in an answer");
            return Err(self.endpoint.error(CpuErrorKind::Protocol, &message));
        }
        Ok(self.calls.entry(place).or_default())
    }

    /// The place of the last call so far.
    #[cfg(feature = "openai")]
    pub(crate) fn last_place(&self) -> Option<u64> {
        self.calls.keys().next_back().copied()
    }

    /// The whole answer, if the stream brought one.
    pub(crate) fn build(mut self) -> Result<Inference, CpuError> {
        let held = std::mem::take(&mut self.held);
        self.show(&held);
        let Some(mut finish) = self.finish.take() else {
            let message = "the stream ended before the answer was complete";
            return Err(self.endpoint.error(CpuErrorKind::Broken, message));
        };
        if finish == "stop" && !self.calls.is_empty() {
            finish = "tool_calls".to_owned();
        }
        let mut parts = Vec::new();
        if !self.text.is_empty() {
            parts.push(Part::Text(self.text.as_str().into()));
        }
        let calls = std::mem::take(&mut self.calls);
        let mut ids = BTreeSet::new();
        for (n, call) in calls.into_values().enumerate() {
            parts.push(self.tool_call(n, call, &mut ids)?);
        }
        let usage = self.usage.unwrap_or_else(|| self.estimate(&parts));
        let model = self.model.filter(|name| !name.is_empty()).unwrap_or_else(|| self.request.model.clone());
        Ok(Inference { model, parts, finish, usage })
    }

    fn tool_call(&self, n: usize, call: CallBuilder, ids: &mut BTreeSet<String>) -> Result<Part, CpuError> {
        if call.name.is_empty() {
            return Err(self.endpoint.error(CpuErrorKind::Protocol, "a tool call without a name"));
        }
        let mut id = call.id;
        if id.is_empty() || ids.contains(&id) {
            id = format!("call_{}_{}_{n}", self.request.key.step, self.request.key.seq);
        }
        ids.insert(id.clone());
        let args = arguments(&self.endpoint.mask(&call.args));
        Ok(Part::ToolCall { id, name: call.name, args })
    }

    fn estimate(&self, parts: &[Part]) -> TokenUsage {
        let output = parts.iter().map(|part| match part {
            Part::Text(text) | Part::ToolResult { text, .. } => estimate_text(text),
            Part::ToolCall { name, args, .. } => {
                estimate_text(name).saturating_add(estimate_text(args.as_str()))
            }
        });
        TokenUsage {
            input: estimate_prompt(&self.request.prompt),
            output: output.sum(),
            estimated: true,
            ..TokenUsage::default()
        }
    }
}

/// What a model sent as arguments, as an object whatever it was.
fn arguments(text: &str) -> JsonText {
    if text.trim().is_empty() {
        return JsonText::empty_object();
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) if value.is_object() => JsonText::from(value),
        _ => JsonText::from(json!({ INVALID_ARGS: text })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_always_an_object() {
        let check = |text: &str, expected: &str| assert_eq!(arguments(text).as_str(), expected);
        check(r#"{"b": 1, "a": 2}"#, r#"{"a":2,"b":1}"#);
        check("", "{}");
        check("[1]", r#"{"_invalid":"[1]"}"#);
        check(r#"{"path": "a"#, r#"{"_invalid":"{\"path\": \"a"}"#);
    }
}
