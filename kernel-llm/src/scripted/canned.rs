//! One prepared answer.

use std::time::Duration;

use kernel_types::{JsonText, Millis};

use crate::{CpuError, CpuErrorKind};

/// How a prepared answer fails.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// With an error.
    Error {
        /// Of this kind.
        kind: CpuErrorKind,
        /// In these words.
        message: String,
        /// With this Retry-After.
        retry_after: Option<Millis>,
    },
    /// By never answering.
    Hang,
    /// By panicking with these words.
    Panic(String),
}

impl Fault {
    /// Carries the fault out. Hanging ends when the future is dropped.
    pub(crate) async fn happen(&self, provider: &str) -> CpuError {
        match self {
            Self::Error { kind, message, retry_after } => {
                CpuError::new(*kind, provider, message).retry_after(*retry_after)
            }
            Self::Hang => std::future::pending().await,
            Self::Panic(words) => panic!("scripted panic: {words}"),
        }
    }
}

/// A prepared answer: what a simulated model says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Canned {
    /// The text; may be empty.
    pub text: String,
    /// Tools called after it: name and arguments.
    pub tools: Vec<(String, JsonText)>,
    /// How long it takes before the first delta.
    pub delay: Duration,
}

impl Canned {
    /// An answer of text only.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// An answer of one tool call.
    pub fn tool(name: impl Into<String>, args: JsonText) -> Self {
        Self::default().and_tool(name, args)
    }

    /// The same answer with another tool call behind it.
    #[must_use]
    pub fn and_tool(mut self, name: impl Into<String>, args: JsonText) -> Self {
        self.tools.push((name.into(), args));
        self
    }

    /// The same answer after a delay.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}
