//! `script`: calls listed in data. For tests, benches and agents that need no model.
//!
//! ```toml
//! on_error = "stop"        # or "continue"
//!
//! [[step]]
//! repeat = 2               # 1 without
//! calls = ["now", { sleep = { ms = 5 } }, { put = { name = "a", value = "1" } }]
//! ```
//!
//! The script is the text of the argument `script`, or the task if there is none. A call that a budget refused is made
//! again when the process is resumed. `TERM` ends the script. The answer is the last step's answers as JSON.

use kernel_types::{Answer, Call, ErrorKind, ExitStatus, JsonText, Reply, Spec};
use serde::{Deserialize, Serialize};

use crate::program::{Input, Program, ProgramError, ProgramFactory, Saved, Step};

/// What to do when a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// End as failed.
    #[default]
    Stop,
    /// Go on.
    Continue,
}

/// A script.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// What to do when a call fails.
    pub on_error: OnError,
    /// The steps, in order.
    pub step: Vec<ScriptStep>,
}

/// One step of a script.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptStep {
    /// How often; 0 and 1 are once.
    pub repeat: u32,
    /// The calls, made together.
    pub calls: Vec<Call>,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// What does not fit, with its line; a script without steps; a step without calls.
    pub fn parse(text: &str) -> Result<Self, ProgramError> {
        let script: Self =
            toml::from_str(text).map_err(|error| ProgramError::Arguments(format!("script: {error}")))?;
        if script.step.is_empty() {
            return Err(ProgramError::Arguments("script: no steps".to_owned()));
        }
        if let Some(at) = script.step.iter().position(|step| step.calls.is_empty()) {
            return Err(ProgramError::Arguments(format!("script: step {} has no calls", at + 1)));
        }
        Ok(script)
    }

    /// One step of these calls.
    #[must_use]
    pub fn once(calls: Vec<Call>) -> Self {
        Self { on_error: OnError::Continue, step: vec![ScriptStep { repeat: 1, calls }] }
    }

    /// The process that runs this script.
    ///
    /// # Errors
    /// If a call holds something that JSON cannot.
    pub fn spec(&self, name: &str) -> Result<Spec, ProgramError> {
        let args = JsonText::of(&Args { script: None, steps: Some(self.clone()) })
            .map_err(|error| ProgramError::Arguments(error.to_string()))?;
        Ok(Spec { name: name.to_owned(), program: "script".to_owned(), args, ..Spec::default() })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Args {
    script: Option<String>,
    steps: Option<Script>,
}

/// Makes `script` programs.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScriptFactory;

const VERSION: u16 = 1;

#[derive(Clone, Serialize, Deserialize)]
struct Runner {
    script: Script,
    step: u32,
    round: u32,
    /// The calls of the step at hand.
    calls: Vec<Call>,
}

impl ProgramFactory for ScriptFactory {
    fn start(&self, spec: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        let args: Args = spec.args.read().map_err(|error| ProgramError::Arguments(error.to_string()))?;
        let script = match args {
            Args { steps: Some(script), .. } => script,
            Args { script: Some(text), .. } => Script::parse(&text)?,
            _ => Script::parse(&spec.task)?,
        };
        Ok(Box::new(Runner { script, step: 0, round: 0, calls: Vec::new() }))
    }

    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        saved.read::<Runner>(VERSION).map(|runner| Box::new(runner) as Box<dyn Program>)
    }
}

impl Runner {
    fn next(&mut self) -> Option<Step> {
        let step = self.script.step.get(self.step as usize)?;
        self.calls.clone_from(&step.calls);
        self.round += 1;
        if self.round >= step.repeat.max(1) {
            (self.step, self.round) = (self.step + 1, 0);
        }
        Some(Step::Calls(self.calls.clone()))
    }

    fn take(&mut self, replies: &[Reply]) -> Step {
        let refused =
            |reply: &&Reply| reply.result.as_ref().is_err_and(|error| error.kind == ErrorKind::QuotaExceeded);
        let again: Vec<Call> = replies
            .iter()
            .filter(refused)
            .filter_map(|reply| self.calls.get(reply.key.seq.0 as usize).cloned())
            .collect();
        if !again.is_empty() {
            self.calls.clone_from(&again);
            return Step::Calls(again);
        }
        if self.script.on_error == OnError::Stop
            && let Some(error) = replies.iter().find_map(|reply| reply.result.as_ref().err())
        {
            return Step::Exit(ExitStatus::Failed(error.to_string()));
        }
        self.next().unwrap_or_else(|| Step::Exit(ExitStatus::Ok(answers(replies))))
    }
}

impl Program for Runner {
    fn step(&mut self, input: Input) -> Step {
        match input {
            Input::Start(_) => self.next().unwrap_or_else(|| Step::Exit(ExitStatus::Ok(String::new()))),
            Input::Replies(replies) => self.take(&replies),
            Input::Signal(signal) => Step::Exit(ExitStatus::Killed(signal)),
        }
    }

    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(VERSION, self)
    }
}

fn answers(replies: &[Reply]) -> String {
    let answers: Vec<Option<&Answer>> = replies.iter().map(|reply| reply.result.as_ref().ok()).collect();
    serde_json::to_string(&answers).unwrap_or_default()
}
