//! Programs that break their contract.

use std::sync::Arc;

use kernel_types::{Call, Spec};

use super::probe::Seen;
use crate::{Input, Program, ProgramError, ProgramFactory, Saved, Step};

/// How a program misbehaves: the task of the spec, in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Vice {
    /// Its step does not return until the gate opens.
    Loops,
    /// Its step panics.
    Panics,
    /// Its state does not save.
    Unsaved,
    /// Its saving panics.
    PanicsInSave,
    /// Its step makes no call.
    Silent,
    /// Its step makes so many calls.
    Greedy(usize),
}

impl Vice {
    const NAMES: [(&'static str, Self); 5] = [
        ("loops", Self::Loops),
        ("panics", Self::Panics),
        ("unsaved", Self::Unsaved),
        ("panics in save", Self::PanicsInSave),
        ("silent", Self::Silent),
    ];

    pub(super) fn task(self) -> String {
        let named = Self::NAMES.iter().find(|(_, vice)| *vice == self);
        match (named, self) {
            (_, Self::Greedy(calls)) => calls.to_string(),
            (Some((name, _)), _) => (*name).to_owned(),
            (None, _) => String::new(),
        }
    }

    fn of(task: &str) -> Option<Self> {
        let named = Self::NAMES.iter().find(|(name, _)| *name == task).map(|(_, vice)| *vice);
        named.or_else(|| task.parse().ok().map(Self::Greedy))
    }
}

/// Makes them.
pub(super) struct HostileFactory(pub(super) Arc<Seen>);

struct Hostile {
    vice: Vice,
    seen: Arc<Seen>,
}

impl ProgramFactory for HostileFactory {
    fn start(&self, spec: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        let vice = Vice::of(&spec.task)
            .ok_or_else(|| ProgramError::Arguments(format!("no vice {:?}", spec.task)))?;
        Ok(Box::new(Hostile { vice, seen: Arc::clone(&self.0) }))
    }

    fn load(&self, _: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        Err(ProgramError::State("hostile programs end before they are loaded".to_owned()))
    }
}

impl Program for Hostile {
    fn step(&mut self, _: Input) -> Step {
        match self.vice {
            Vice::Loops => {
                self.seen.gate.wait();
                Step::call(Call::Now)
            }
            Vice::Panics => panic!("the program panics, as asked"),
            Vice::Silent => Step::Calls(Vec::new()),
            Vice::Greedy(calls) => Step::Calls(vec![Call::Now; calls]),
            Vice::Unsaved | Vice::PanicsInSave => Step::call(Call::Now),
        }
    }

    fn save(&self) -> Result<Saved, ProgramError> {
        match self.vice {
            Vice::Unsaved => Err(ProgramError::State("does not save, as asked".to_owned())),
            Vice::PanicsInSave => panic!("saving panics, as asked"),
            _ => Ok(Saved::default()),
        }
    }
}
