//! Exit codes, and the one clear line that goes with each.

use std::process::ExitCode;

use kernel::{KernelError, ProfileError};
use kernel_llm::{CpuError, CpuErrorKind};
use kernel_storage::{StoreError, StoreErrorKind};
use kernel_types::ErrorKind;
use serde_json::{Value, json};

use crate::output;

/// How the program ends. The numbers are documented in `--help` and follow sysexits.h where that has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Budget = 3,
    BadInput = 65,
    Unavailable = 69,
    Io = 74,
    Busy = 75,
    Denied = 77,
    Config = 78,
    Deadline = 124,
    Interrupted = 130,
}

impl Exit {
    /// For JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Budget => "budget",
            Self::BadInput => "bad_input",
            Self::Unavailable => "unavailable",
            Self::Io => "io",
            Self::Busy => "busy",
            Self::Denied => "denied",
            Self::Config => "config",
            Self::Deadline => "deadline",
            Self::Interrupted => "interrupted",
        }
    }

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The code for a failed inference.
    pub(crate) const fn of_cpu(kind: CpuErrorKind) -> Self {
        match kind {
            CpuErrorKind::Auth | CpuErrorKind::UnknownModel => Self::Config,
            CpuErrorKind::Unreachable
            | CpuErrorKind::Overloaded
            | CpuErrorKind::Setup
            | CpuErrorKind::Broken => Self::Unavailable,
            CpuErrorKind::Timeout => Self::Deadline,
            _ => Self::Failed,
        }
    }

    /// The code for an agent that gave up because of a failed call.
    pub(crate) const fn of_call(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Denied => Self::Denied,
            ErrorKind::Deadline => Self::Deadline,
            ErrorKind::Unavailable => Self::Unavailable,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what was asked.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
    hint: String,
    /// Further members of the JSON object, beside `error`.
    details: Value,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: String::new(), details: Value::Null }
    }

    /// What went wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// What else there is to say in JSON.
    pub(crate) fn with_details(self, details: Value) -> Self {
        Self { details, ..self }
    }

    /// Shows it: one line on standard error or one object on standard output.
    pub(crate) fn show(&self, json: bool) -> ExitCode {
        let (message, hint) = (one_line(&self.message), one_line(&self.hint));
        if json {
            let mut object = match &self.details {
                Value::Object(details) => details.clone(),
                _ => serde_json::Map::new(),
            };
            let error = json!({ "kind": self.exit.name(), "message": message, "hint": hint, "exit_code": self.exit.code() });
            object.insert("error".to_owned(), error);
            // Nobody is there to be told that nobody is there.
            drop(output::print(&format!("{}\n", Value::Object(object))));
        } else if hint.is_empty() {
            crate::output::complain(&format!("agentos: {message}"));
        } else {
            crate::output::complain(&format!("agentos: {message}; {hint}"));
        }
        self.exit.into()
    }
}

/// A text in one line: the pictures that parsers draw below their messages are left out.
pub(crate) fn one_line(text: &str) -> String {
    let is_picture = |line: &str| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        rest == "|" || rest.starts_with("| ")
    };
    let words = text.lines().filter(|line| !is_picture(line)).flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ")
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(of_store(error.kind()), error.to_string())
    }
}

const fn of_store(kind: StoreErrorKind) -> Exit {
    match kind {
        StoreErrorKind::Locked => Exit::Busy,
        StoreErrorKind::Corrupt => Exit::BadInput,
        StoreErrorKind::Schema | StoreErrorKind::Invalid => Exit::Config,
        StoreErrorKind::Unavailable => Exit::Unavailable,
        StoreErrorKind::Permission => Exit::Denied,
        _ => Exit::Io,
    }
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        let exit = match &error {
            KernelError::Build(_) => Exit::Config,
            KernelError::Refused(_) | KernelError::UnknownProcess(_) | KernelError::Damaged { .. } => {
                Exit::BadInput
            }
            KernelError::Busy(_) => Exit::Busy,
            KernelError::Store(error) => of_store(error.kind()),
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<CpuError> for Failure {
    fn from(error: CpuError) -> Self {
        let hint = match error.kind() {
            CpuErrorKind::Auth => "check ANTHROPIC_API_KEY or OPENAI_API_KEY, or use --cpu local",
            CpuErrorKind::UnknownModel => "name one that the provider has with --model",
            CpuErrorKind::Unreachable => "check the network and the address, or use --cpu local",
            CpuErrorKind::Overloaded => "try again later",
            _ => "",
        };
        Self::new(Exit::of_cpu(error.kind()), error.to_string()).hint(hint)
    }
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        Self::new(Exit::BadInput, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsers_pictures_are_left_out() {
        let text = "TOML parse error at line 2, column 1\n  |\n2 | a = = 1\n  | ^\nunexpected `=`\n";
        assert_eq!(one_line(text), "TOML parse error at line 2, column 1 unexpected `=`");
        assert_eq!(one_line("a | b\n c"), "a | b c");
    }
}
