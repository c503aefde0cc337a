//! The events of a Messages stream.

use kernel_types::{TokenUsage, Tokens};
use serde::Deserialize;

use crate::CpuError;
use crate::http::{AnswerBuilder, Endpoint, parse, stream_error};

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: u64,
        content_block: Block,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        delta: Stop,
        #[serde(default)]
        usage: Counts,
    },
    MessageStop,
    Error,
    /// Pings and whatever else may come.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Counts,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: serde_json::Value,
    },
    /// Thinking, and blocks of tools that the provider runs: not asked for.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Stop {
    #[serde(default)]
    stop_reason: Option<String>,
}

/// Running totals: a later figure replaces an earlier one.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Counts {
    input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    /// The same by time to live.
    cache_creation: Option<Created>,
    output_tokens: Option<u64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Created {
    ephemeral_1h_input_tokens: u64,
}

impl Counts {
    fn merge(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
    }

    /// The API counts cached input apart; here the input is all of it.
    fn usage(self) -> Option<TokenUsage> {
        let cached = Tokens(self.cache_read_input_tokens.unwrap_or(0));
        let cache_written = Tokens(self.cache_creation_input_tokens.unwrap_or(0));
        let long = self.cache_creation.unwrap_or_default().ephemeral_1h_input_tokens;
        let input = Tokens(self.input_tokens?).saturating_add(cached).saturating_add(cache_written);
        Some(TokenUsage {
            input,
            cached,
            cache_written,
            written_long: Tokens(long).min(cache_written),
            output: Tokens(self.output_tokens?),
            estimated: false,
        })
    }
}

/// Reads events into an answer.
pub(super) struct Reader<'a> {
    endpoint: &'a Endpoint,
    answer: AnswerBuilder<'a>,
    counts: Counts,
}

impl<'a> Reader<'a> {
    pub(super) fn new(endpoint: &'a Endpoint, answer: AnswerBuilder<'a>) -> Self {
        Self { endpoint, answer, counts: Counts::default() }
    }

    /// Takes one event; `true` if it was the last.
    pub(super) fn event(&mut self, data: &str) -> Result<bool, CpuError> {
        match parse(self.endpoint, data)? {
            Event::MessageStart { message } => {
                self.answer.model = message.model;
                self.counts.merge(message.usage);
            }
            Event::ContentBlockStart { content_block: Block::Text { text }, .. } => self.answer.text(&text),
            Event::ContentBlockStart { index, content_block: Block::ToolUse { id, name, input } } => {
                let call = self.answer.call(index)?;
                (call.id, call.name) = (id, name);
                if input.as_object().is_some_and(|input| !input.is_empty()) {
                    call.args = input.to_string();
                }
            }
            Event::ContentBlockDelta { delta: Delta::Text { text }, .. } => self.answer.text(&text),
            Event::ContentBlockDelta { index, delta: Delta::InputJson { partial_json } } => {
                self.answer.call(index)?.args.push_str(&partial_json);
            }
            Event::MessageDelta { delta, usage } => {
                self.counts.merge(usage);
                self.answer.finish = delta.stop_reason.map(finish).or(self.answer.finish.take());
            }
            Event::MessageStop => return Ok(true),
            Event::Error => return Err(stream_error(self.endpoint, data)),
            Event::ContentBlockStart { .. } | Event::ContentBlockDelta { .. } | Event::Other => {}
        }
        Ok(false)
    }

    /// The answer so far, complete or not.
    pub(super) fn into_answer(mut self) -> AnswerBuilder<'a> {
        self.answer.usage = self.counts.usage();
        self.answer
    }
}

fn finish(reason: String) -> String {
    match reason.as_str() {
        "end_turn" | "stop_sequence" => "stop".to_owned(),
        "max_tokens" => "length".to_owned(),
        "tool_use" => "tool_calls".to_owned(),
        _ => reason,
    }
}
