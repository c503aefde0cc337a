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
        self.sum(bill);
    }

    /// Counts pages that a call needed and did not find.
    pub fn fault(&mut self, pages: u64) {
        self.faults += pages;
    }

    /// Counts the calls and faults of another run with the same window.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.faults += other.faults;
        self.sum(&other.total);
    }

    fn sum(&mut self, bill: &Bill) {
        self.total.input += bill.input;
        self.total.cached += bill.cached;
        self.total.written += bill.written;
        self.total.plain += bill.plain;
        self.total.output += bill.output;
        self.total.units += bill.units;
    }

    /// How much of its window a call fills on average, 0 to 1; more if windows were overfull.
    #[must_use]
    pub fn window_use(&self) -> f64 {
        share(self.total.input, self.calls.saturating_mul(self.window))
    }

    /// The share of the input tokens read from the cache, 0 to 1.
    #[must_use]
    pub fn cached_share(&self) -> f64 {
        share(self.total.cached, self.total.input)
    }

    /// Pages missed in a hundred calls.
    #[must_use]
    pub fn faults_per_100(&self) -> f64 {
        100.0 * share(self.faults, self.calls)
    }

    /// What it cost, in thousandths of a plain input token.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.total.units
    }

    /// The cost as a multiple of `reference`, in the same units.
    #[must_use]
    pub fn ratio(&self, reference: u64) -> f64 {
        share(self.total.units, reference)
    }
}

/// `part / whole`; 0 of nothing is 0.
#[expect(clippy::cast_precision_loss, reason = "a share needs fewer digits than a float has")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
