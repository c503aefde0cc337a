//! Why a lock was not taken or given back.

use std::fmt::{self, Debug};

use kernel_types::Retry;
use thiserror::Error;

/// An error of [`super::Locks`]. The state is unchanged.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum LockError<K: Debug> {
    /// It holds this lock already.
    #[error("{who:?} holds lock {name:?} already")]
    Held {
        /// Who asked.
        who: K,
        /// The lock.
        name: String,
    },
    /// It waits already: for this lock or another.
    #[error("{who:?} waits for lock {name:?} already")]
    Waits {
        /// Who asked.
        who: K,
        /// The lock it waits for.
        name: String,
    },
    /// All would wait for each other: each of these for the next over the lock beside it, the last for the first.
    #[error("deadlock: {}", Wheel(.0))]
    Cycle(Vec<(K, String)>),
    /// It does not hold this lock.
    #[error("{who:?} does not hold lock {name:?}")]
    NotHeld {
        /// Who wanted to unlock.
        who: K,
        /// The lock.
        name: String,
    },
}

impl<K: Debug> LockError<K> {
    /// Whether to try again: never. Out of a cycle one has to give way first; else the caller's bookkeeping is wrong.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// Who would wait for whom, for people.
struct Wheel<'a, K>(&'a [(K, String)]);

impl<K: Debug> fmt::Display for Wheel<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (who, name)) in self.0.iter().enumerate() {
            let (holder, _) = &self.0[(place + 1) % self.0.len()];
            let (comma, waits) = if place == 0 { ("", "would wait") } else { (", ", "waits") };
            write!(f, "{comma}{who:?} {waits} for {holder:?} over {name:?}")?;
        }
        Ok(())
    }
}
