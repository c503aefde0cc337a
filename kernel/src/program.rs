//! Programs: what a process runs. A step machine, resumed with data, answering with data.

use kernel_types::{Call, ExitStatus, Reply, Signal, Spec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a program is resumed with.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "one is made for each step, and moved once")]
pub enum Input {
    /// The first step: what was spawned.
    Start(Spec),
    /// All calls of the step before have ended; replies in the order of the calls.
    Replies(Vec<Reply>),
    /// `TERM` arrived; calls that were in flight were cancelled and will not be answered. End soon.
    Signal(Signal),
}

/// What a program wants next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Make these calls (at least one) and resume me with their replies. Local calls apply in list order, the others
    /// run in parallel.
    Calls(Vec<Call>),
    /// I am done.
    Exit(ExitStatus),
}

impl Step {
    /// One call.
    #[must_use]
    pub fn call(call: Call) -> Self {
        Self::Calls(vec![call])
    }
}

/// A program's state: small, and versioned by the program.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Saved {
    /// The program's own schema version.
    pub version: u16,
    /// The state.
    pub bytes: Vec<u8>,
}

const SAVED: u8 = b'P';

impl Saved {
    /// Encodes a state with the kernel's codec.
    ///
    /// # Errors
    /// [`ProgramError::State`] if the type does not encode.
    pub fn of<T: Serialize>(version: u16, state: &T) -> Result<Self, ProgramError> {
        let bytes = kernel_types::encode(SAVED, version, state)
            .map_err(|error| ProgramError::State(error.to_string()))?;
        Ok(Self { version, bytes })
    }

    /// Decodes what [`Saved::of`] wrote under this version.
    ///
    /// # Errors
    /// [`ProgramError::State`] if it is something else.
    pub fn read<T: DeserializeOwned>(&self, version: u16) -> Result<T, ProgramError> {
        kernel_types::decode(SAVED, version, &self.bytes)
            .map_err(|error| ProgramError::State(error.to_string()))
    }
}

/// Why a program does not start, load or save.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// No program of that name is registered.
    #[error("no program {0:?} is registered")]
    Unknown(String),
    /// The arguments do not fit.
    #[error("{0}")]
    Arguments(String),
    /// The state does not encode or decode.
    #[error("program state: {0}")]
    State(String),
}

/// What a process runs.
///
/// # Contract
/// - `step` MUST be deterministic: no I/O, no clock, no randomness; those are syscalls. The same inputs give the same steps.
/// - `step` MUST return soon: one that does not is stopped by a watchdog and the process is `Faulted`.
/// - `save` MUST hold all that `step` depends on. State is small (ids and counters): text lives in pages and named values.
///
/// # Cancellation
/// A program is dropped between steps, at any time; it holds no resources.
///
/// # Errors
/// A panic ends the process as `Faulted`; nothing else is harmed.
///
/// # Implementing
/// Keep one serde type as the state, write `save` as `Saved::of(1, &self.state)` and [`ProgramFactory::load`] as its reverse.
pub trait Program: Send {
    /// Resumes the process; returns its next calls or its exit.
    fn step(&mut self, input: Input) -> Step;

    /// The state.
    ///
    /// # Errors
    /// [`ProgramError::State`]; the process is then `Faulted`.
    fn save(&self) -> Result<Saved, ProgramError>;
}

/// Makes programs of one kind. Registered by name in `KernelBuilder`.
pub trait ProgramFactory: Send + Sync {
    /// A program about to be stepped with [`Input::Start`].
    ///
    /// # Errors
    /// [`ProgramError::Arguments`] if the spec does not suit the program: nothing is spawned then.
    fn start(&self, spec: &Spec) -> Result<Box<dyn Program>, ProgramError>;

    /// The program that `save` wrote; migrates older versions.
    ///
    /// # Errors
    /// [`ProgramError::State`] if the state is not one of this program's.
    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError>;
}
