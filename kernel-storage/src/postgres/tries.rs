//! Whether to write once more, and what is known at the end.

use std::time::Duration;

use sqlx::Error;
use tokio::time::Instant;

use super::fault::{Meaning, connecting, fault, meaning, unknown};
use super::link::Broken;
use crate::{CommitOutcome, StoreError, StoreErrorKind};

/// How often a statement is run again that others were in the way of.
const AGAIN: u32 = 20;
/// Between two attempts to reach the server.
const PAUSE: Duration = Duration::from_millis(25);

/// Why an attempt was not made, or not decided.
#[derive(Debug)]
pub(super) enum Failure {
    /// Before the statement that writes rows was sent: of a connection that could not be made, or of bodies.
    Before(Error),
    /// Of that statement.
    Sent(Error),
    /// After it, which did what it did.
    After(Error),
    /// Of a row that cannot be sent.
    Store(StoreError),
}

impl Failure {
    pub(super) fn of(broken: Broken) -> Self {
        if broken.sent { Self::Sent(broken.error) } else { Self::Before(broken.error) }
    }

    /// Whether the connection is of no use any more.
    pub(super) fn breaks(&self) -> bool {
        matches!(self.meaning(), Meaning::Lost | Meaning::Unreachable)
    }

    fn meaning(&self) -> Meaning {
        match self {
            Self::Before(error) => match (connecting(error), meaning(error)) {
                (Meaning::Unreachable, _) | (_, Meaning::Lost) => Meaning::Unreachable,
                (_, meaning) => meaning,
            },
            Self::Sent(error) => meaning(error),
            Self::After(_) => Meaning::Lost,
            Self::Store(_) => Meaning::Row,
        }
    }

    fn fault(self, operation: &'static str) -> StoreError {
        match self {
            Self::Before(error) | Self::Sent(error) | Self::After(error) => fault(operation, error),
            Self::Store(error) => error,
        }
    }
}

/// The attempts to write some parts.
#[derive(Debug)]
pub(super) struct Tries {
    /// When to stop looking for a server that is away.
    pub(super) end: Instant,
    /// How often others were in the way.
    pub(super) again: u32,
    /// Of an attempt that may have landed.
    pub(super) lost: Option<StoreError>,
}

impl Tries {
    /// What an attempt without an answer wrote is there already for the next one.
    pub(super) fn own(&self, outcome: CommitOutcome) -> CommitOutcome {
        match outcome {
            CommitOutcome::Already if self.lost.is_some() => CommitOutcome::Committed,
            other => other,
        }
    }

    /// Something would apply by now, after it did not when it was tried: it is tried again, but not without end.
    pub(super) fn overtaken(&mut self) -> Result<(), (StoreError, bool)> {
        self.again += 1;
        if self.again <= AGAIN {
            return Ok(());
        }
        let message = "other writers came before every attempt";
        let error = StoreError::new(StoreErrorKind::Unavailable, "commit", message);
        Err((self.lost.take().unwrap_or(error), false))
    }

    /// How long to wait before the next attempt; or the error, and whether a row is to blame for it.
    pub(super) fn after(&mut self, failure: Failure) -> Result<Duration, (StoreError, bool)> {
        let meaning = failure.meaning();
        let pause = match meaning {
            Meaning::Again if self.again < AGAIN => {
                self.again += 1;
                // Not the same for two who were in each other's way.
                Some(Duration::from_micros(fastrand::u64(0..1000 * u64::from(1 + self.again))))
            }
            Meaning::Lost | Meaning::Unreachable if Instant::now() < self.end => Some(PAUSE),
            _ => None,
        };
        if meaning == Meaning::Lost && self.lost.is_none() {
            self.lost = Some(match failure {
                Failure::Before(error) | Failure::Sent(error) | Failure::After(error) => {
                    unknown("commit", error)
                }
                Failure::Store(error) => error,
            });
            return pause.ok_or_else(|| self.give_up(None));
        }
        pause.ok_or_else(|| self.give_up(Some((failure.fault("commit"), meaning == Meaning::Row))))
    }

    /// An attempt that may have landed outweighs what came after it.
    fn give_up(&mut self, last: Option<(StoreError, bool)>) -> (StoreError, bool) {
        let unknown = self.lost.take().map(|lost| (lost, false));
        unknown.or(last).unwrap_or_else(|| {
            (StoreError::new(StoreErrorKind::Unavailable, "commit", "nothing was tried"), false)
        })
    }
}
