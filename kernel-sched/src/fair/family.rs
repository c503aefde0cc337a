//! What shares a share: the processes of one family, and the families of one tenant.

use std::collections::BTreeSet;

use kernel_types::Pid;

use crate::cost::Cost;
use crate::weight::Weight;

use super::queue::{Index, Queue};

/// A process at the root of a tree and all below it: one share of the slots.
#[derive(Clone, Debug)]
pub(super) struct Family {
    pub(super) tenant: u64,
    /// Its place in the queue of its tenant.
    pub(super) index: Index,
    /// How many of its processes are admitted.
    pub(super) processes: u32,
    /// Who waits: the most urgent first, then in the order of the requests.
    waiting: BTreeSet<(u8, u64, Pid)>,
}

impl Family {
    pub(super) fn new(tenant: u64, index: Index) -> Self {
        Self { tenant, index, processes: 0, waiting: BTreeSet::new() }
    }

    pub(super) fn join(&mut self, level: u8, order: u64, pid: Pid) {
        self.waiting.insert((level, order, pid));
    }

    pub(super) fn quit(&mut self, level: u8, order: u64, pid: Pid) {
        self.waiting.remove(&(level, order, pid));
    }

    /// How urgent the next of the family is.
    pub(super) fn level(&self) -> Option<u8> {
        self.waiting.first().map(|(level, _, _)| *level)
    }

    /// The next of the family.
    pub(super) fn first(&self) -> Option<Pid> {
        self.waiting.first().map(|(_, _, pid)| *pid)
    }
}

/// Families that share what their tenant is due.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    /// Its place in the queue of tenants.
    pub(super) index: Index,
    pub(super) families: u32,
    /// How many processes its families have.
    pub(super) processes: u32,
    pub(super) queue: Queue,
    /// The root of each family by its place in the queue.
    roots: Vec<Option<Pid>>,
}

impl Tenant {
    pub(super) fn new(index: Index, slots: u32, slack: Cost) -> Self {
        Self { index, families: 0, processes: 0, queue: Queue::new(slots, slack), roots: Vec::new() }
    }

    pub(super) fn add(&mut self, root: Pid, weight: Weight) -> Index {
        let index = self.queue.add(weight);
        let place = index as usize;
        if self.roots.len() <= place {
            self.roots.resize(place + 1, None);
        }
        self.roots[place] = Some(root);
        self.families += 1;
        index
    }

    pub(super) fn remove(&mut self, index: Index) {
        self.queue.remove(index);
        self.roots[index as usize] = None;
        self.families -= 1;
    }

    /// The root of the family that is next.
    pub(super) fn next(&mut self) -> Option<Pid> {
        self.queue.next().and_then(|index| self.roots[index as usize])
    }

    /// The root of the family that would be next if no time went by.
    pub(super) fn first(&self) -> Option<Pid> {
        self.queue.first().and_then(|index| self.roots[index as usize])
    }
}
