//! Countable things by name: memory, bytes of a GPU, slots of a tool.
//!
//! A request is granted whole or not at all, so nobody holds a part and waits for the rest: there is no deadlock. Requests
//! that share a resource are served in order of arrival, those that share none pass each other: nobody starves.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use kernel_types::Retry;
use thiserror::Error;

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// All of it is held now.
    Granted,
    /// It waits.
    Waits,
}

/// An error of [`Resources`]. The state is unchanged.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// There is no such resource.
    #[error("there is no resource {0:?}")]
    Unknown(String),
    /// More than there is at all.
    #[error("{needed} of {name:?} needed, there are {capacity}")]
    TooMuch {
        /// The resource.
        name: String,
        /// What is needed of it.
        needed: u64,
        /// What there is.
        capacity: u64,
    },
    /// It waits already, or holds what it asked for.
    #[error("asked already: one request at a time")]
    AskedAlready,
}

impl ResourceError {
    /// Whether to try again: never, unless capacities change.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Resource {
    capacity: u64,
    held: u64,
    /// The requests that wait for it, by arrival. Without those that need more than there is at all.
    queue: BTreeSet<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Request<K> {
    who: K,
    /// What it needs, each resource once, none for nothing.
    needs: BTreeMap<String, u64>,
    granted: bool,
}

/// Resources, those who hold of them and those who wait.
///
/// A request costs O(log n) for each resource it names, a grant as much; a change of a capacity goes over those who wait.
///
/// ```
/// use kernel_sched::{Asked, Resources};
///
/// let mut resources = Resources::new([("memory".to_owned(), 8), ("gpu".to_owned(), 1)]);
/// let (memory, gpu) = (|count| ("memory".to_owned(), count), ("gpu".to_owned(), 1));
/// assert_eq!(resources.ask("index", &[memory(6)])?, Asked::Granted);
/// assert_eq!(resources.ask("train", &[memory(6), gpu.clone()])?, Asked::Waits);
///
/// // There is memory, but another waits for memory: it does not pass. When all is there, all is granted.
/// assert_eq!(resources.ask("search", &[memory(1)])?, Asked::Waits);
/// assert_eq!(resources.give_back("index"), ["train", "search"]);
/// assert_eq!((resources.held("memory"), resources.held("gpu")), (Some(7), Some(1)));
/// # Ok::<(), kernel_sched::ResourceError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resources<K> {
    resources: BTreeMap<String, Resource>,
    requests: BTreeMap<u64, Request<K>>,
    /// The request of each who asked, by arrival.
    asked: BTreeMap<K, u64>,
    arrivals: u64,
    waiting: usize,
}

impl<K: Copy + Ord> Resources<K> {
    /// So much of each. Of a name that comes twice the last counts.
    pub fn new(capacities: impl IntoIterator<Item = (String, u64)>) -> Self {
        let resource = |(name, capacity)| (name, Resource { capacity, ..Resource::default() });
        Self {
            resources: capacities.into_iter().map(resource).collect(),
            requests: BTreeMap::new(),
            asked: BTreeMap::new(),
            arrivals: 0,
            waiting: 0,
        }
    }

    /// Asks for all of this at once. Needs of one name twice are summed; a need of nothing is none.
    ///
    /// # Errors
    /// A name is unknown, there is not so much at all, or `who` asked already and did not give back.
    pub fn ask(&mut self, who: K, needs: &[(String, u64)]) -> Result<Asked, ResourceError> {
        if self.asked.contains_key(&who) {
            return Err(ResourceError::AskedAlready);
        }
        let needs = self.sum(needs)?;
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.asked.insert(who, arrival);
        self.requests.insert(arrival, Request { who, needs, granted: false });
        self.waiting += 1;
        self.enqueue(arrival);
        let granted = self.grant(BTreeSet::from([arrival]));
        Ok(if granted.is_empty() { Asked::Waits } else { Asked::Granted })
    }

    /// Gives all back that it holds, or takes its request back. Answers who is granted now, in order of arrival.
    pub fn give_back(&mut self, who: K) -> Vec<K> {
        let Some(arrival) = self.asked.remove(&who) else { return Vec::new() };
        self.dequeue(arrival);
        let Some(request) = self.requests.remove(&arrival) else { return Vec::new() };
        if request.granted {
            self.hold(&request.needs, |held, count| held.saturating_sub(count));
        } else {
            self.waiting -= 1;
        }
        self.grant(self.heads(&request.needs))
    }

    /// There is so much of it from now on; a name that is not there yet is new. Answers who is granted now. For
    /// embedders: the kernel keeps the capacities that it was built with.
    ///
    /// Cut below what is held, nobody is granted of it until it fits again. Who waits for more than there is at all goes on
    /// waiting, but does not stand in the way of others until the capacity is raised again.
    pub fn set_capacity(&mut self, name: &str, capacity: u64) -> Vec<K> {
        self.resources.entry(name.to_owned()).or_default().capacity = capacity;
        let waiting = self.requests.iter().filter(|(_, request)| !request.granted);
        let waiting: BTreeSet<u64> = waiting.map(|(arrival, _)| *arrival).collect();
        for arrival in &waiting {
            self.dequeue(*arrival);
            self.enqueue(*arrival);
        }
        self.grant(waiting)
    }

    /// What is held of a resource; after a cut, perhaps more than there is.
    #[must_use]
    pub fn held(&self, name: &str) -> Option<u64> {
        Some(self.resources.get(name)?.held)
    }

    /// What there is of a resource.
    #[must_use]
    pub fn capacity(&self, name: &str) -> Option<u64> {
        Some(self.resources.get(name)?.capacity)
    }

    /// How many wait.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    fn sum(&self, needs: &[(String, u64)]) -> Result<BTreeMap<String, u64>, ResourceError> {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for (name, count) in needs {
            let capacity = self.capacity(name).ok_or_else(|| ResourceError::Unknown(name.clone()))?;
            let needed = sums.get(name).copied().unwrap_or_default().saturating_add(*count);
            if needed > capacity {
                return Err(ResourceError::TooMuch { name: name.clone(), needed, capacity });
            }
            sums.insert(name.clone(), needed);
        }
        sums.retain(|_, needed| *needed > 0);
        Ok(sums)
    }

    /// Puts a request into the queues of what it needs, unless there is not so much at all.
    fn enqueue(&mut self, arrival: u64) {
        let Some(request) = self.requests.get(&arrival) else { return };
        let fits =
            |(name, needed): (&String, &u64)| self.resources.get(name).is_some_and(|r| *needed <= r.capacity);
        if request.needs.iter().all(fits) {
            for name in request.needs.keys() {
                if let Some(resource) = self.resources.get_mut(name) {
                    resource.queue.insert(arrival);
                }
            }
        }
    }

    fn dequeue(&mut self, arrival: u64) {
        let Some(request) = self.requests.get(&arrival) else { return };
        for name in request.needs.keys() {
            if let Some(resource) = self.resources.get_mut(name) {
                resource.queue.remove(&arrival);
            }
        }
    }

    /// Who is first in the queues of these.
    fn heads(&self, needs: &BTreeMap<String, u64>) -> BTreeSet<u64> {
        needs.keys().filter_map(|name| self.resources.get(name)?.queue.first().copied()).collect()
    }

    /// Grants what can be granted of these and of whoever comes first after them. Those come later than who they come
    /// after, so that grants are in order of arrival.
    fn grant(&mut self, mut candidates: BTreeSet<u64>) -> Vec<K> {
        let mut granted = Vec::new();
        while let Some(arrival) = candidates.pop_first() {
            if !self.can_be_granted(arrival) {
                continue;
            }
            self.dequeue(arrival);
            let Some(request) = self.requests.get_mut(&arrival) else { continue };
            request.granted = true;
            granted.push(request.who);
            let needs = request.needs.clone();
            self.waiting -= 1;
            self.hold(&needs, u64::saturating_add);
            candidates.extend(self.heads(&needs));
        }
        granted
    }

    /// Whether it is first in all its queues and there is enough of everything.
    fn can_be_granted(&self, arrival: u64) -> bool {
        let there = |(name, needed): (&String, &u64)| {
            let Some(resource) = self.resources.get(name) else { return false };
            let free = resource.capacity.saturating_sub(resource.held);
            resource.queue.first() == Some(&arrival) && *needed <= free
        };
        self.requests.get(&arrival).is_some_and(|request| !request.granted && request.needs.iter().all(there))
    }

    fn hold(&mut self, needs: &BTreeMap<String, u64>, change: impl Fn(u64, u64) -> u64) {
        for (name, count) in needs {
            if let Some(resource) = self.resources.get_mut(name) {
                resource.held = change(resource.held, *count);
            }
        }
    }
}
