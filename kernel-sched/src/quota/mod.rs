//! Quotas: a tree of accounts; what is spent on one is spent on all above it.
//!
//! A call holds before it starts what it may use: of budgets the most it can cost, of rates what it is expected to. So no
//! number of calls in flight overspends a budget, and a rate is not blocked by worst cases that never come. When the call is
//! over the truth takes the place of both.

mod account;
mod allowance;
mod error;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;

use kernel_types::{Budget, Reservation};

use crate::Micros;
use account::Account;
pub use allowance::{Allowance, Counted};
pub use error::{QuotaError, Refused};

/// What a call in flight holds of an account and of all above it. Neither `Clone` nor `Copy`: it is settled or refunded
/// once; one that is dropped stays held for ever.
#[must_use = "what is held stays so until it is settled or refunded"]
#[derive(PartialEq, Eq, Debug)]
pub struct Hold<K> {
    key: K,
    most: Reservation,
    estimate: Reservation,
}

impl<K: Copy> Hold<K> {
    /// The account.
    #[must_use]
    pub const fn key(&self) -> K {
        self.key
    }

    /// What is held of budgets.
    #[must_use]
    pub const fn most(&self) -> Reservation {
        self.most
    }
}

/// A tree of accounts (system, tenant, agent, ...), or several, of any depth.
///
/// Time is the caller's and never goes back. Every operation costs a look-up a level, but for `change`, which goes over the
/// rates of one account.
///
/// # Contract
/// - `reserve` holds on the whole path or nowhere.
/// - Budgets: `spent + held` exceeds a limit only by what a call used beyond the most it was said to use, by what was
///   spent before (`charge`), or where a limit was cut below it.
/// - Rates, in any span of time, at a window's edge or not: at most the burst and what the rate gives in it, but for what a
///   single estimate exceeds the burst, and the errors of the estimates of calls in flight at the ends of the span.
/// - Once all holds are settled, `held` is nothing and `spent` the sum of what was used.
///
/// ```
/// use kernel_sched::{Allowance, Counted, Micros, Quotas, Rate, Refused};
/// use kernel_types::{LimitName, Reservation, Tokens};
///
/// let tokens = |count| Reservation { calls: 1, tokens: Tokens(count), ..Reservation::default() };
/// let mut quotas = Quotas::default();
/// let rates = vec![(Counted::Calls, Rate { amount: 60, per: Micros(60_000_000), burst: 2 })];
/// quotas.open("tenant", None, Allowance { rates, ..Allowance::default() })?;
/// quotas.open("agent", Some("tenant"), Allowance { tokens: Some(Tokens(1_000)), ..Allowance::default() })?;
///
/// // The most that the call can use is held, the truth is charged.
/// let hold = quotas.reserve("agent", tokens(900), tokens(300), Micros(0))?;
/// quotas.settle(hold, tokens(250), Micros(5));
/// assert_eq!(quotas.spent("tenant"), Some(tokens(250)));
///
/// let over = Refused::Budget { key: "agent", limit: LimitName::Tokens, left: 750, needed: 900 };
/// assert_eq!(quotas.reserve("agent", tokens(900), tokens(300), Micros(9)), Err(over));
///
/// // Two calls at once, then one a second.
/// let _second = quotas.reserve("tenant", tokens(1), tokens(1), Micros(9))?;
/// let early = Refused::Rate { key: "tenant", counted: Counted::Calls, at: Micros(1_000_000) };
/// assert_eq!(quotas.reserve("tenant", tokens(1), tokens(1), Micros(9)), Err(early));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quotas<K> {
    accounts: BTreeMap<K, Account<K>>,
}

impl<K> Default for Quotas<K> {
    fn default() -> Self {
        Self { accounts: BTreeMap::new() }
    }
}

impl<K: Copy + Ord + Debug> Quotas<K> {
    /// No accounts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new account below another, or a root. Its rates start with full buckets.
    ///
    /// # Errors
    /// It is there already, the one above is not, or a rate is unsound.
    pub fn open(&mut self, key: K, above: Option<K>, limits: Allowance) -> Result<(), QuotaError<K>> {
        if self.contains(key) {
            return Err(QuotaError::Exists(key));
        }
        if let Some(above) = above.filter(|above| !self.contains(*above)) {
            return Err(QuotaError::Unknown(above));
        }
        let account = Account::new(above, limits).map_err(|rate| unsound(key, rate))?;
        if let Some(above) = above.and_then(|above| self.accounts.get_mut(&above)) {
            above.below += 1;
        }
        self.accounts.insert(key, account);
        Ok(())
    }

    /// Other limits from now on, for embedders: the kernel keeps those that it was built with. What was spent stays so; what is owed to a rate is owed to the one in its place, which is
    /// the new one of the same period, or else the next that counts the same.
    ///
    /// # Errors
    /// It is not there, or a rate is unsound.
    pub fn change(&mut self, key: K, limits: Allowance, now: Micros) -> Result<(), QuotaError<K>> {
        self.account(key)?.change(limits, now).map_err(|rate| unsound(key, rate))
    }

    /// Closes an account. What it spent stays spent above.
    ///
    /// # Errors
    /// It is not there, or there are accounts below it or holds on it.
    pub fn close(&mut self, key: K) -> Result<(), QuotaError<K>> {
        let Account { above, below, holds, .. } = *self.account(key)?;
        if below > 0 || holds > 0 {
            return Err(QuotaError::InUse { key, below, holds });
        }
        self.accounts.remove(&key);
        if let Some(above) = above.and_then(|above| self.accounts.get_mut(&above)) {
            above.below -= 1;
        }
        Ok(())
    }

    /// Whether there is such an account.
    #[must_use]
    pub fn contains(&self, key: K) -> bool {
        self.accounts.contains_key(&key)
    }

    /// Holds `most` of every budget and `estimate` of every rate on the path, or nothing at all.
    ///
    /// # Errors
    /// A budget first, the nearest, since waiting does not help; else the rate that takes longest.
    pub fn reserve(
        &mut self,
        key: K,
        most: Reservation,
        estimate: Reservation,
        now: Micros,
    ) -> Result<Hold<K>, Refused<K>> {
        if !self.contains(key) {
            return Err(Refused::Unknown(key));
        }
        if let Some((key, (limit, left, needed))) =
            self.path(key).find_map(|(key, account)| Some((key, account.short_of(&most)?)))
        {
            return Err(Refused::Budget { key, limit, left, needed });
        }
        let times = self.path(key).filter_map(|(key, account)| Some((key, account.latest(&estimate, now)?)));
        let latest = times.reduce(|latest, next| if next.1.1 > latest.1.1 { next } else { latest });
        if let Some((key, (counted, at))) = latest.filter(|(_, (_, at))| *at > now) {
            return Err(Refused::Rate { key, counted, at });
        }
        self.on_path(key, |account| account.hold(&most, &estimate, now));
        self.count_holds(key, |holds| holds + 1);
        Ok(Hold { key, most, estimate })
    }

    /// Takes from the rates what a call that holds budgets is expected to use, when it starts.
    ///
    /// # Errors
    /// The rate that takes longest. Nothing has changed then.
    pub fn start(
        &mut self,
        hold: &mut Hold<K>,
        estimate: Reservation,
        now: Micros,
    ) -> Result<(), Refused<K>> {
        let none = Reservation::default();
        let Hold { key, .. } = self.reserve(hold.key, none, estimate, now)?;
        self.count_holds(key, |holds| holds.saturating_sub(1));
        hold.estimate.calls = hold.estimate.calls.saturating_add(estimate.calls);
        hold.estimate.tokens = hold.estimate.tokens.saturating_add(estimate.tokens);
        hold.estimate.cost = hold.estimate.cost.saturating_add(estimate.cost);
        Ok(())
    }

    /// An attempt came to nothing and used this much; the call still holds its budgets, and will start again.
    pub fn lose(&mut self, hold: &mut Hold<K>, used: Reservation, now: Micros) {
        let (none, estimate) = (Reservation::default(), std::mem::take(&mut hold.estimate));
        self.on_path(hold.key, |account| account.settle(&none, &estimate, &used, now));
    }

    /// The account that one is below.
    #[must_use]
    pub fn above(&self, key: K) -> Option<K> {
        self.accounts.get(&key)?.above
    }

    /// All accounts, in order.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.accounts.keys().copied()
    }

    /// What a rate of an account lets through now, by the order in its limits.
    #[must_use]
    pub fn available(&self, key: K, now: Micros) -> Vec<u64> {
        self.accounts.get(&key).map(|account| account.available(now)).unwrap_or_default()
    }

    /// The call is over and used this much, more than was held or less: budgets and rates are exact again.
    pub fn settle(&mut self, hold: Hold<K>, used: Reservation, now: Micros) {
        let Hold { key, most, estimate } = hold;
        self.on_path(key, |account| account.settle(&most, &estimate, &used, now));
        self.count_holds(key, |holds| holds.saturating_sub(1));
    }

    /// The call used nothing.
    pub fn refund(&mut self, hold: Hold<K>, now: Micros) {
        self.settle(hold, Reservation::default(), now);
    }

    /// Charges what was spent before (read from a log, say), whatever is left; of budgets only, since what was spent long
    /// ago is owed to no rate.
    ///
    /// # Errors
    /// It is not there.
    pub fn charge(&mut self, key: K, used: Reservation) -> Result<(), QuotaError<K>> {
        self.account(key)?;
        self.on_path(key, |account| account.spent.add(&used));
        Ok(())
    }

    /// Raises the budgets there are by so much; what is unlimited stays so. Budgets above are as they were.
    ///
    /// # Errors
    /// It is not there.
    pub fn grant(&mut self, key: K, more: &Budget) -> Result<(), QuotaError<K>> {
        self.account(key)?.limits.raise(more);
        Ok(())
    }

    /// What was spent on an account and all below it, those that are closed included.
    #[must_use]
    pub fn spent(&self, key: K) -> Option<Reservation> {
        Some(self.accounts.get(&key)?.spent.amounts())
    }

    /// What calls in flight hold of its budgets.
    #[must_use]
    pub fn held(&self, key: K) -> Option<Reservation> {
        Some(self.accounts.get(&key)?.held.amounts())
    }

    /// Its own limits.
    #[must_use]
    pub fn limits(&self, key: K) -> Option<&Allowance> {
        Some(&self.accounts.get(&key)?.limits)
    }

    /// Whether anything limits it: itself or an account above.
    #[must_use]
    pub fn is_limited(&self, key: K) -> bool {
        self.path(key).any(|(_, account)| !account.limits.is_unlimited())
    }

    fn account(&mut self, key: K) -> Result<&mut Account<K>, QuotaError<K>> {
        self.accounts.get_mut(&key).ok_or(QuotaError::Unknown(key))
    }

    /// The account and those above it, nearest first.
    fn path(&self, key: K) -> impl Iterator<Item = (K, &Account<K>)> {
        let entry = move |key: K| Some((key, self.accounts.get(&key)?));
        std::iter::successors(entry(key), move |(_, account)| entry(account.above?))
    }

    fn on_path(&mut self, key: K, mut act: impl FnMut(&mut Account<K>)) {
        let mut next = Some(key);
        while let Some(account) = next.and_then(|key| self.accounts.get_mut(&key)) {
            act(account);
            next = account.above;
        }
    }

    fn count_holds(&mut self, key: K, count: impl FnOnce(usize) -> usize) {
        if let Some(account) = self.accounts.get_mut(&key) {
            account.holds = count(account.holds);
        }
    }
}

fn unsound<K: Debug>(key: K, (counted, rate): (Counted, crate::Rate)) -> QuotaError<K> {
    QuotaError::Unsound { key, counted, rate }
}
