//! The sum of many bills.

use super::Bill;

/// What all calls of a run came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Tokens of the window of each agent.
    pub window: u64,
    /// Calls billed.
    pub calls: u64,
    /// The sum of the bills; see [`Bill`] for its parts.
    pub total: Bill,
    /// Pages that a call needed and its window did not hold.
    pub faults: u64,
    /// Pings sent to keep prefixes warm.
    pub pings: u64,
    /// The sum of their bills, which is not in `total`.
    pub pinged: Bill,
}

impl Report {
    /// Nothing yet, for windows of that many tokens.
    #[must_use]
    pub fn new(window: u64) -> Self {
        Self { window, ..Self::default() }
    }

    /// Counts one call.
    pub fn add(&mut self, bill: &Bill) {
        self.calls += 1;
        self.total.add(bill);
    }

    /// Counts one ping.
    pub fn ping(&mut self, bill: &Bill) {
        self.pings += 1;
        self.pinged.add(bill);
    }

    /// Counts pages that a call needed and did not find.
    pub fn fault(&mut self, pages: u64) {
        self.faults += pages;
    }

    /// Counts the calls, pings and faults of another run with the same window.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.faults += other.faults;
        self.pings += other.pings;
        self.total.add(&other.total);
        self.pinged.add(&other.pinged);
    }

    /// How much of its window a call fills on average, 0 to 1; more if windows were overfull.
    #[must_use]
    pub fn window_use(&self) -> f64 {
        share(self.total.input, self.calls.saturating_mul(self.window))
    }

    /// The share of the calls' input tokens read from the cache, 0 to 1. Pings are no calls: what they read helps nobody.
    #[must_use]
    pub fn cached_share(&self) -> f64 {
        share(self.total.cached, self.total.input)
    }

    /// Pages missed in a hundred calls.
    #[must_use]
    pub fn faults_per_100(&self) -> f64 {
        100.0 * share(self.faults, self.calls)
    }

    /// What calls and pings cost, in thousandths of a plain input token.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.total.units + self.pinged.units
    }

    /// The cost as a multiple of `reference`, in the same units.
    #[must_use]
    pub fn ratio(&self, reference: u64) -> f64 {
        share(self.units(), reference)
    }
}

/// `part / whole`; 0 of nothing is 0.
#[expect(clippy::cast_precision_loss, reason = "a share needs fewer digits than a float has")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
