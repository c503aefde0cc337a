//! What shares a share: the processes of one family, and the families of one tenant.

use std::collections::BTreeSet;

use foldhash::HashMap;
use kernel_types::Pid;

use crate::cost::Cost;
use crate::weight::Weight;

use super::queue::{Index, Queue};

/// The debts of so many families without processes are kept; of more, those that take longest to pay.
const DEBTS: usize = 1024;

/// A process at the root of a tree and all below it: one share of the slots.
#[derive(Clone, Debug)]
pub(super) struct Family {
    pub(super) tenant: u64,
    /// Its place in the queue of its tenant.
    pub(super) index: Index,
    /// How many of its processes are admitted.
    pub(super) processes: u32,
    /// If none is: the virtual time at which what it owes is paid.
    pub(super) owes_until: Option<Box<i128>>,
    /// Nothing where nobody waits: a parked family is a word.
    waiting: Option<Box<Waiting>>,
}

/// A process that waits: the most urgent first, then in the order of the requests.
type Place = (u8, u64, Pid);

/// Who waits of a family. Nearly always that is one.
#[derive(Clone, Debug)]
enum Waiting {
    One(Place),
    Many(BTreeSet<Place>),
}

impl Family {
    pub(super) fn new(tenant: u64, index: Index) -> Self {
        Self { tenant, index, processes: 0, owes_until: None, waiting: None }
    }

    pub(super) fn join(&mut self, level: u8, order: u64, pid: Pid) {
        let place = (level, order, pid);
        let Some(waiting) = self.waiting.as_deref_mut() else {
            self.waiting = Some(Box::new(Waiting::One(place)));
            return;
        };
        match waiting {
            Waiting::One(first) => *waiting = Waiting::Many(BTreeSet::from([*first, place])),
            Waiting::Many(places) => drop(places.insert(place)),
        }
    }

    pub(super) fn quit(&mut self, level: u8, order: u64, pid: Pid) {
        let place = (level, order, pid);
        let nobody = match self.waiting.as_deref_mut() {
            None => return,
            Some(Waiting::One(one)) => *one == place,
            Some(Waiting::Many(places)) => places.remove(&place) && places.is_empty(),
        };
        if nobody {
            self.waiting = None;
        }
    }

    /// How urgent the next of the family is.
    pub(super) fn level(&self) -> Option<u8> {
        self.place().map(|(level, _, _)| *level)
    }

    /// The next of the family.
    pub(super) fn first(&self) -> Option<Pid> {
        self.place().map(|(_, _, pid)| *pid)
    }

    fn place(&self) -> Option<&Place> {
        match self.waiting.as_deref()? {
            Waiting::One(place) => Some(place),
            Waiting::Many(places) => places.first(),
        }
    }
}

/// Families that share what their tenant is due.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    /// Its place in the queue of tenants.
    pub(super) index: Index,
    /// Those with processes.
    pub(super) families: u32,
    /// How many processes its families have.
    pub(super) processes: u32,
    pub(super) queue: Queue,
    /// Families without processes that owe something, by the virtual time at which it is paid.
    pub(super) left: BTreeSet<(i128, Pid)>,
    /// The root of each family by its place in the queue; `Pid::INIT` where there is none.
    roots: Vec<Pid>,
}

impl Tenant {
    pub(super) fn new(index: Index, slots: u32, slack: Cost) -> Self {
        Self {
            index,
            families: 0,
            processes: 0,
            queue: Queue::new(slots, slack),
            left: BTreeSet::new(),
            roots: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, root: Pid, weight: Weight) -> Index {
        let index = self.queue.add(weight);
        let place = index as usize;
        if place == self.roots.len() {
            make_room(&mut self.roots);
            self.roots.push(root);
        }
        self.roots[place] = root;
        self.families += 1;
        index
    }

    /// Forgets a family without processes.
    pub(super) fn forget(&mut self, index: Index) {
        self.queue.remove(index);
        self.roots[index as usize] = Pid::INIT;
    }

    /// Keeps what a family owes: whose debts are forgotten for that, those that are paid and those of too many.
    pub(super) fn keep(&mut self, until: i128, root: Pid) -> Vec<Pid> {
        self.left.insert((until, root));
        let mut gone = Vec::new();
        while let Some((until, root)) = self.left.first().copied()
            && (self.left.len() > DEBTS || self.queue.is_past(until))
        {
            self.left.pop_first();
            gone.push(root);
        }
        gone
    }

    pub(super) fn set_slots(&mut self, slots: u32, families: &HashMap<Pid, Family>) {
        let roots = &self.roots;
        let family = |index: Index| families.get(roots.get(index as usize)?);
        self.queue.set_slots(slots, |index| family(index).map_or(1, |family| family.processes.min(slots)));
    }

    /// The root of the family that is next.
    pub(super) fn next(&mut self) -> Option<Pid> {
        self.queue.next().map(|index| self.roots[index as usize])
    }
}

/// Makes room by an eighth: what many parked processes have should not be half empty.
pub(super) fn make_room<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 8 + 4);
    }
}
