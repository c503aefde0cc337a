//! The latest time a scheduler was told: time must not go back.

use crate::{Micros, SchedError};

#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Clock {
    latest: Micros,
}

impl Clock {
    /// Checks `now` without taking it over: a call that fails for another reason changes nothing.
    pub(crate) fn check(self, now: Micros) -> Result<(), SchedError> {
        if now < self.latest { Err(SchedError::TimeWentBack { before: self.latest, now }) } else { Ok(()) }
    }

    /// Takes `now` over, or keeps the latest time if that lies behind it, and returns it.
    pub(crate) fn advance(&mut self, now: Micros) -> Micros {
        self.latest = self.latest.max(now);
        self.latest
    }
}

impl Micros {
    /// This time less `earlier`, clamped at zero.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}
