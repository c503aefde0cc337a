//! The list of replies behind a scripted model, and its file form.

use std::path::Path;
use std::time::Duration;

use kernel_types::{JsonText, Message, Millis, ModelInfo, Part, Prompt, Role, Tokens};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::{Canned, Fault};
use crate::CpuErrorKind;
use crate::model::free_model;

/// Why a script does not load.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("script {path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not a script.
    #[error("script: {0}")]
    Form(#[from] toml::de::Error),
    /// A reply has more than one fault.
    #[error("script: reply {0} has more than one of error, hang and panic")]
    ManyFaults(usize),
    /// There is nothing to say.
    #[error("script: no reply")]
    Empty,
    /// `slots = 0`.
    #[error("script: slots of 0, at least 1 is needed")]
    NoSlots,
}

/// What follows the last of the replies without conditions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exhausted {
    /// An error that says so.
    #[default]
    Error,
    /// The last reply again.
    Last,
    /// The first reply again.
    Loop,
}

/// One reply and when it is given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScriptedReply {
    /// Only if the last message holds this text.
    pub when: Option<String>,
    /// Only if some message holds this text.
    pub when_prompt: Option<String>,
    /// What is said.
    pub canned: Canned,
    /// What goes wrong instead.
    pub fault: Option<Fault>,
    /// How many times it goes wrong before the reply is given; always without.
    pub times: Option<u32>,
}

impl From<Canned> for ScriptedReply {
    fn from(canned: Canned) -> Self {
        Self { canned, ..Self::default() }
    }
}

impl From<&str> for ScriptedReply {
    fn from(text: &str) -> Self {
        Canned::text(text).into()
    }
}

impl ScriptedReply {
    fn is_conditional(&self) -> bool {
        self.when.is_some() || self.when_prompt.is_some()
    }

    fn fits(&self, prompt: &Prompt) -> bool {
        let last = |words: &String| prompt.messages.last().is_some_and(|message| says(message, words));
        let any = |words: &String| prompt.messages.iter().any(|message| says(message, words));
        self.when.as_ref().is_none_or(last) && self.when_prompt.as_ref().is_none_or(any)
    }
}

fn says(message: &Message, words: &str) -> bool {
    message.parts.iter().any(|part| match part {
        Part::Text(text) | Part::ToolResult { text, .. } => text.contains(words),
        Part::ToolCall { .. } => false,
    })
}

/// Replies and how they are given. The module's documentation shows the file form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// The model it plays.
    pub model: ModelInfo,
    /// How many calls at a time.
    pub slots: u32,
    /// Characters a delta; 0 sends a text in one.
    pub chunk: usize,
    /// What follows the last reply.
    pub exhausted: Exhausted,
    /// The replies.
    pub replies: Vec<ScriptedReply>,
}

impl Script {
    /// A script of these replies for a model named `scripted` with a window of 8,192 tokens.
    pub fn new(replies: impl IntoIterator<Item = impl Into<ScriptedReply>>) -> Self {
        Self {
            model: ModelInfo {
                native_tools: true,
                max_output: Tokens(4096),
                ..free_model("scripted", Tokens(8192))
            },
            slots: 4,
            chunk: 0,
            exhausted: Exhausted::default(),
            replies: replies.into_iter().map(Into::into).collect(),
        }
    }

    /// Reads a script from TOML.
    ///
    /// # Errors
    /// The first thing that does not fit, with its line where there is one.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let file: File = toml::from_str(text)?;
        if file.reply.is_empty() {
            return Err(ScriptError::Empty);
        }
        if file.slots == Some(0) {
            return Err(ScriptError::NoSlots);
        }
        let replies: Result<Vec<_>, _> =
            file.reply.into_iter().enumerate().map(|(n, entry)| entry.reply(n)).collect();
        let base = Self::new(replies?);
        let model = ModelInfo {
            name: file.model.name.unwrap_or(base.model.name),
            window: file.model.window.unwrap_or(base.model.window),
            max_output: file.model.max_output.unwrap_or(base.model.max_output),
            native_tools: file.model.native_tools.unwrap_or(base.model.native_tools),
            ..base.model
        };
        let slots = file.slots.unwrap_or(base.slots);
        Ok(Self { model, slots, chunk: file.chunk, exhausted: file.exhausted, replies: base.replies })
    }

    /// Reads a script file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a script.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScriptError::Read { path: path.display().to_string(), source })?;
        Self::parse(&text)
    }

    /// The number of the reply to a prompt; the module's documentation has the rule.
    pub(super) fn choose(&self, prompt: &Prompt) -> Option<usize> {
        let conditional = self.replies.iter().position(|reply| reply.is_conditional() && reply.fits(prompt));
        conditional.or_else(|| {
            let plain: Vec<usize> =
                (0..self.replies.len()).filter(|&n| !self.replies[n].is_conditional()).collect();
            let turn = prompt.messages.iter().filter(|message| message.role == Role::Assistant).count();
            match self.exhausted {
                Exhausted::Error => plain.get(turn).copied(),
                Exhausted::Last => plain.get(turn).or(plain.last()).copied(),
                Exhausted::Loop => (!plain.is_empty()).then(|| plain[turn % plain.len()]),
            }
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    exhausted: Exhausted,
    #[serde(default)]
    chunk: usize,
    slots: Option<u32>,
    #[serde(default)]
    model: ModelEntry,
    #[serde(default)]
    reply: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelEntry {
    name: Option<String>,
    window: Option<Tokens>,
    max_output: Option<Tokens>,
    native_tools: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    when: Option<String>,
    when_prompt: Option<String>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    tool: Vec<ToolEntry>,
    #[serde(default)]
    delay_ms: u64,
    error: Option<CpuErrorKind>,
    message: Option<String>,
    retry_after_ms: Option<u64>,
    #[serde(default)]
    hang: bool,
    panic: Option<String>,
    times: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolEntry {
    name: String,
    #[serde(default, deserialize_with = "object")]
    args: JsonText,
}

impl Entry {
    fn reply(self, number: usize) -> Result<ScriptedReply, ScriptError> {
        let message = self.message.unwrap_or_else(|| "scripted error".to_owned());
        let retry_after = self.retry_after_ms.map(Millis);
        let faults = [
            self.error.map(|kind| Fault::Error { kind, message, retry_after }),
            self.hang.then_some(Fault::Hang),
            self.panic.map(Fault::Panic),
        ];
        let mut faults = faults.into_iter().flatten();
        let fault = faults.next();
        if faults.next().is_some() {
            return Err(ScriptError::ManyFaults(number + 1));
        }
        let canned = Canned {
            text: self.text,
            tools: self.tool.into_iter().map(|tool| (tool.name, tool.args)).collect(),
            delay: Duration::from_millis(self.delay_ms),
        };
        let Self { when, when_prompt, times, .. } = self;
        Ok(ScriptedReply { when, when_prompt, canned, fault, times })
    }
}

/// Arguments are a table, so that they become a JSON object.
fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<JsonText, D::Error> {
    let table = toml::Table::deserialize(deserializer)?;
    JsonText::of(&table).map_err(D::Error::custom)
}
