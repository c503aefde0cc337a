//! The dearest call of late: C of the bounds.
//!
//! Of late is in virtual time, so that a quiet hour forgets nothing and one freak call does not loosen the bounds for ever.

/// A charge counts for at most so many times what calls cost of late: more says that somebody miscounted. If it says so again
/// it is believed, since by then calls cost as much.
const MOST: u64 = 4;

/// The dearest call of this window of virtual time and the one before it: by its estimate when it is asked for and when it
/// starts, by the truth when it ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dearest {
    lately: u64,
    before: u64,
    /// When this window began.
    since: i128,
}

impl Dearest {
    pub(super) fn note(&mut self, cost: u64) {
        self.lately = self.lately.max(cost);
    }

    /// What a call may be charged for which so much was reserved.
    pub(super) fn credible(self, reserved: u64) -> u64 {
        self.cost().max(reserved).saturating_mul(MOST)
    }

    /// Virtual time goes by; a window that is over becomes the one before.
    pub(super) fn pass(&mut self, now: i128, window: i128) {
        if now - self.since >= window {
            *self = Self { lately: 0, before: self.lately, since: now };
        }
    }

    pub(super) fn cost(self) -> u64 {
        self.lately.max(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freak_call_is_forgotten_after_two_windows() {
        let mut dearest = Dearest::default();
        dearest.note(1_000_000);
        let mut seen = Vec::new();
        for now in (0..50).step_by(10) {
            dearest.pass(now, 20);
            dearest.note(7);
            seen.push(dearest.cost());
        }
        assert_eq!(seen, [1_000_000, 1_000_000, 1_000_000, 1_000_000, 7]);
    }
}
