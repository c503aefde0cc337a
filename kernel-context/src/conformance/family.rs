//! The law behind the laws: address spaces that change at random and fork at random, each against a naive pager of its own.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::space::Space;
use super::walk::Walk;
use crate::{Change, PagerFactory};

/// Copies that go on side by side, at most.
const MOST_COPIES: usize = 3;
/// Changes in a row to one of them, at most.
const LONGEST_RUN: usize = 64;

/// What happened on a walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Walked {
    /// Changes that were made.
    pub changes: usize,
    /// Changes that were refused, as they should.
    pub refused: usize,
    /// Windows that were rendered.
    pub renders: usize,
    /// Plans that made room.
    pub compactions: usize,
    /// States that were saved and loaded.
    pub loads: usize,
    /// Copies that went their own way.
    pub forks: usize,
}

impl std::ops::AddAssign for Walked {
    fn add_assign(&mut self, other: Self) {
        self.changes += other.changes;
        self.refused += other.refused;
        self.renders += other.renders;
        self.compactions += other.compactions;
        self.loads += other.loads;
        self.forks += other.forks;
    }
}

/// A few short walks in windows of several sizes.
pub fn every_promise_is_kept_at_random(factory: &dyn PagerFactory) {
    for (seed, window) in [(1, 150), (2, 400), (3, 1000), (4, 3000)] {
        random_walk(factory, seed, window, 400);
    }
}

/// Does `count` random operations in a window of `window` tokens and checks every promise of the contract on the way.
///
/// # Panics
/// If a promise is broken, with the seed and the number of the operation.
pub fn random_walk(factory: &dyn PagerFactory, seed: u64, window: u64, count: usize) -> Walked {
    let mut family = Family::new(factory, seed, window);
    let mut done = 0;
    while done < count {
        let run = family.random.random_range(1..=LONGEST_RUN).min(count - done);
        family.run(&format!("seed {seed}, window {window}"), done, run);
        done += run;
    }
    family.end()
}

/// Makes `count` random changes and gives the space with those that succeeded.
pub(super) fn random_changes(
    factory: &dyn PagerFactory,
    window: u64,
    seed: u64,
    count: usize,
) -> (Space, Vec<Change>) {
    let mut walk = Walk::new(factory, Space::new(factory, window), seed);
    for number in 0..count {
        walk.at(&format!("seed {seed}"), number);
        walk.step();
    }
    walk.into_changes()
}

struct Family<'f> {
    random: StdRng,
    /// Copies, each with its state when it was last changed.
    walks: Vec<(Walk<'f>, Vec<u8>)>,
    walked: Walked,
}

impl<'f> Family<'f> {
    fn new(factory: &'f dyn PagerFactory, seed: u64, window: u64) -> Self {
        let walk = Walk::new(factory, Space::new(factory, window), seed);
        let saved = walk.saved();
        Self { random: StdRng::seed_from_u64(!seed), walks: vec![(walk, saved)], walked: Walked::default() }
    }

    /// Changes one copy, which must be as it was left; then perhaps forks it, or ends one.
    fn run(&mut self, walk_of: &str, from: usize, count: usize) {
        let chosen = self.random.random_range(0..self.walks.len());
        let (walk, saved) = &mut self.walks[chosen];
        walk.at(walk_of, from);
        assert_eq!(walk.saved(), *saved, "{walk_of}, operation {from}: a copy changed that was left alone");
        for number in from..from + count {
            walk.at(walk_of, number);
            walk.step();
        }
        walk.check_all();
        *saved = walk.saved();
        if self.walks.len() < MOST_COPIES && self.random.random_bool(0.6) {
            self.fork(chosen);
        } else if self.walks.len() > 1 && self.random.random_bool(0.4) {
            let (ended, _) = self.walks.swap_remove(chosen);
            self.walked += ended.walked();
        }
    }

    fn fork(&mut self, parent: usize) {
        let (walk, saved) = &mut self.walks[parent];
        let fork = walk.fork();
        assert_eq!(fork.saved(), *saved, "{}: a fork is not what it was made from", walk.place());
        self.walked.forks += 1;
        let saved = saved.clone();
        self.walks.push((fork, saved));
    }

    fn end(mut self) -> Walked {
        for (walk, saved) in self.walks {
            assert_eq!(walk.saved(), saved, "{}: a copy changed that was left alone", walk.place());
            walk.check_all();
            self.walked += walk.walked();
        }
        self.walked
    }
}
