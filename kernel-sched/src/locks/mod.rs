//! Named locks between processes.
//!
//! A lock has one holder. Who waits is served by urgency, then in order of arrival; who holds is as urgent as the most
//! urgent who waits for it, so that nobody waits for a holder that gets no slot ("priority inheritance", Sha, Rajkumar and
//! Lehoczky 1990). A wait that would close a cycle is refused and named.

mod error;
mod lock;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use kernel_types::Priority;

pub use error::LockError;
use lock::{Lock, Party};

/// What became of a request for a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken<K> {
    /// It holds the lock.
    Held,
    /// It waits for it.
    Waits {
        /// Who holds it.
        holder: K,
    },
}

/// Locks by name; one is there as long as somebody holds it.
///
/// Why urgency and not plain order of arrival: the holder inherits the urgency of whoever waits, and that is in vain if less
/// urgent ones who came before have the lock next. So that nobody waits for ever, each change of hands counts for those who
/// wait as ten levels of urgency against all who come later: after ten of them nobody passes any more.
///
/// An operation costs O(log n) for each process of the chain whose urgency it changes; a request also looks along the chain
/// of those it would wait for.
///
/// ```
/// use kernel_sched::{Locks, Taken};
/// use kernel_types::Priority;
///
/// let (mut locks, urgent) = (Locks::default(), Priority::new(10).expect("within 0 to 100"));
/// assert_eq!(locks.lock("clerk", "ledger", Priority::default())?, Taken::Held);
/// assert_eq!(locks.lock("boss", "ledger", urgent)?, Taken::Waits { holder: "clerk" });
/// assert_eq!(locks.urgency("clerk"), Some(urgent), "as urgent as who waits for it");
///
/// locks.lock("boss", "stamp", urgent).expect_err("it waits: one lock after another");
/// assert_eq!(locks.unlock("clerk", "ledger")?, Some("boss"));
///
/// // Whoever would close a cycle is told who waits for whom.
/// locks.lock("clerk", "stamp", Priority::default())?;
/// locks.lock("boss", "stamp", urgent)?;
/// let error = locks.lock("clerk", "ledger", Priority::default()).expect_err("a cycle");
/// let named = r#"deadlock: "clerk" would wait for "boss" over "ledger", "boss" waits for "clerk" over "stamp""#;
/// assert_eq!(error.to_string(), named);
/// # Ok::<(), kernel_sched::LockError<&str>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Locks<K> {
    locks: BTreeMap<Arc<str>, Lock<K>>,
    parties: BTreeMap<K, Party>,
    arrivals: u64,
}

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self { locks: BTreeMap::new(), parties: BTreeMap::new(), arrivals: 0 }
    }
}

impl<K: Copy + Ord + Debug> Locks<K> {
    /// No locks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a lock, or waits for it. The urgency is `who`'s own from now on.
    ///
    /// # Errors
    /// `who` holds it already or waits already, or the wait would close a cycle.
    pub fn lock(&mut self, who: K, name: &str, urgency: Priority) -> Result<Taken<K>, LockError<K>> {
        let holder = self.holder(name);
        if holder == Some(who) {
            return Err(LockError::Held { who, name: name.to_owned() });
        }
        if let Some((waits, _)) = self.waits_for(who) {
            return Err(LockError::Waits { who, name: waits.to_owned() });
        }
        if let Some(cycle) = self.cycle(who, name) {
            return Err(LockError::Cycle(cycle));
        }
        self.parties.entry(who).or_insert_with(|| Party::new(urgency)).own = urgency;
        match holder {
            None => self.take(who, name),
            Some(_) => self.queue(who, name),
        }
        self.refresh(who);
        Ok(holder.map_or(Taken::Held, |holder| Taken::Waits { holder }))
    }

    /// Gives a lock back; answers who holds it now.
    ///
    /// # Errors
    /// `who` does not hold it.
    pub fn unlock(&mut self, who: K, name: &str) -> Result<Option<K>, LockError<K>> {
        if self.holder(name) != Some(who) {
            return Err(LockError::NotHeld { who, name: name.to_owned() });
        }
        let next = self.hand_over(who, name);
        self.refresh(who);
        Ok(next)
    }

    /// Gives up waiting; answers for which lock.
    pub fn cancel(&mut self, who: K) -> Option<String> {
        let party = self.parties.get_mut(&who)?;
        let (name, place) = party.waits.take()?;
        let urgency = party.effective;
        self.with_lock(&name, |lock| lock.remove(place, urgency));
        self.refresh(who);
        Some(name.as_ref().to_owned())
    }

    /// It died: it gives up waiting and all it holds. Answers who got which lock, in order of their names.
    pub fn leave(&mut self, who: K) -> Vec<(String, K)> {
        self.cancel(who);
        let held: Vec<String> = self.held_by(who).map(str::to_owned).collect();
        let handed = held.into_iter().filter_map(|name| self.hand_over(who, &name).map(|next| (name, next)));
        let handed = handed.collect();
        self.parties.remove(&who);
        handed
    }

    /// Its own urgency changed. Of no account if it neither holds nor waits.
    pub fn set_urgency(&mut self, who: K, urgency: Priority) {
        if let Some(party) = self.parties.get_mut(&who) {
            party.own = urgency;
            self.refresh(who);
        }
    }

    /// Its own urgency or that of the most urgent who waits for it, through chains; `None` if it neither holds nor waits.
    #[must_use]
    pub fn urgency(&self, who: K) -> Option<Priority> {
        Some(self.parties.get(&who)?.effective)
    }

    /// Who holds a lock.
    #[must_use]
    pub fn holder(&self, name: &str) -> Option<K> {
        Some(self.locks.get(name)?.holder)
    }

    /// The locks it holds, in order of their names.
    pub fn held_by(&self, who: K) -> impl Iterator<Item = &str> {
        self.parties.get(&who).into_iter().flat_map(|party| &party.held).map(AsRef::as_ref)
    }

    /// Which lock it waits for, and who holds that.
    #[must_use]
    pub fn waits_for(&self, who: K) -> Option<(&str, K)> {
        let (name, _) = self.parties.get(&who)?.waits.as_ref()?;
        Some((name, self.holder(name)?))
    }

    /// Who would wait for whom over what if `who` waited for this lock and that closed a cycle.
    fn cycle(&self, who: K, name: &str) -> Option<Vec<(K, String)>> {
        let mut cycle = vec![(who, name.to_owned())];
        let mut holder = self.holder(name)?;
        while holder != who {
            let (waits, next) = self.waits_for(holder)?;
            cycle.push((holder, waits.to_owned()));
            holder = next;
        }
        Some(cycle)
    }

    fn take(&mut self, who: K, name: &str) {
        let name: Arc<str> = name.into();
        self.locks.insert(name.clone(), Lock::new(who));
        if let Some(party) = self.parties.get_mut(&who) {
            party.held.insert(name);
        }
    }

    fn queue(&mut self, who: K, name: &str) {
        let arrival = self.arrivals;
        let (Some((name, lock)), Some(party)) = (self.locks.get_key_value(name), self.parties.get_mut(&who))
        else {
            return;
        };
        let (name, place, urgency) = (name.clone(), lock.place(arrival), party.effective);
        party.waits = Some((name.clone(), place));
        self.arrivals += 1;
        self.with_lock(&name, |lock| lock.insert(who, place, urgency));
    }

    /// The next who waits has the lock, or nobody. The urgency of `who` is still to be refreshed.
    fn hand_over(&mut self, who: K, name: &str) -> Option<K> {
        let (name, mut lock) = self.locks.remove_entry(name)?;
        if let Some(party) = self.parties.get_mut(&who) {
            party.held.remove(&name);
            lock.pressure().map(|urgency| party.pressed.remove(&(urgency, name.clone())));
        }
        let next = lock.next()?;
        let party = self.parties.get_mut(&next)?;
        if let Some((_, place)) = party.waits.take() {
            lock.remove(place, party.effective);
        }
        party.held.insert(name.clone());
        lock.pressure().map(|urgency| party.pressed.insert((urgency, name.clone())));
        lock.hand_to(next);
        self.locks.insert(name, lock);
        self.refresh(next);
        Some(next)
    }

    /// Changes who waits for a lock, and with it how urgent its holder is.
    fn with_lock(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Lock<K>)) {
        if let Some(holder) = self.press(name, change) {
            self.refresh(holder);
        }
    }

    /// Changes who waits for a lock; answers its holder, whose urgency is still to be refreshed.
    fn press(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Lock<K>)) -> Option<K> {
        let lock = self.locks.get_mut(name)?;
        let before = lock.pressure();
        change(lock);
        let (after, holder) = (lock.pressure(), lock.holder);
        if before != after {
            let pressed = &mut self.parties.get_mut(&holder)?.pressed;
            before.map(|urgency| pressed.remove(&(urgency, name.clone())));
            after.map(|urgency| pressed.insert((urgency, name.clone())));
        }
        Some(holder)
    }

    /// Brings the urgency of a process up to date and with it that of all it waits for; forgets it if it neither holds nor
    /// waits.
    fn refresh(&mut self, who: K) {
        let mut next = Some(who);
        while let Some((who, party)) = next.and_then(|who| Some((who, self.parties.get_mut(&who)?))) {
            if party.is_idle() {
                self.parties.remove(&who);
                return;
            }
            let (before, after) = (party.effective, party.due());
            if before == after {
                return;
            }
            party.effective = after;
            next = party.waits.clone().and_then(|(name, place)| {
                self.press(&name, |lock| {
                    lock.remove(place, before);
                    lock.insert(who, place, after);
                })
            });
        }
    }
}
