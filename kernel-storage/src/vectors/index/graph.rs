//! The nearest directions by a graph: Malkov and Yashunin, *Efficient and robust approximate nearest neighbor search
//! using Hierarchical Navigable Small World graphs* (2018), as the crate `usearch` has it.
//!
//! The graph keeps directions in eight bits a number and so measures coarsely; who asks measures again. It forgets
//! nothing: what is gone is left out of the answers, until the graph is made anew.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{RwLock, RwLockWriteGuard};
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

/// Edges of a direction on a level; twice as many on the lowest.
const EDGES: usize = 16;
/// Candidates that are kept in mind while a direction is added.
const ADDING: usize = 128;
/// Candidates that are kept in mind while one is looked for, at least.
const SEARCHING: usize = 128;
/// So many may search at once; who comes then compares with all.
const SEARCHERS: usize = 64;
const FIRST_ROWS: usize = 1024;

pub(crate) struct Graph {
    /// Adding excludes searching, for one direction at a time.
    index: RwLock<Index>,
    /// The rows of the matrix that were looked at so far; all of them if it failed.
    rows: AtomicUsize,
    /// About how much memory it took when it grew last.
    bytes: AtomicUsize,
}

impl Graph {
    /// Whether this build has any.
    pub(super) const AVAILABLE: bool = true;

    /// An empty graph; `None` if there is no memory for one.
    pub(super) fn new(dimension: usize) -> Option<Self> {
        let options = IndexOptions {
            dimensions: dimension,
            metric: MetricKind::IP,
            quantization: ScalarKind::I8,
            connectivity: EDGES,
            expansion_add: ADDING,
            expansion_search: SEARCHING,
            multi: false,
        };
        let index = Index::new(&options).ok()?;
        index.reserve_capacity_and_threads(FIRST_ROWS, SEARCHERS).ok()?;
        Some(Self { index: RwLock::new(index), rows: AtomicUsize::new(0), bytes: AtomicUsize::new(0) })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.load(Ordering::Acquire)
    }

    /// Adds rows; those up to `next` have been looked at then. `false` if it failed: it is of no use from then on.
    pub(crate) fn grow(&self, rows: &[(usize, Vec<f32>)], next: usize) -> bool {
        let added = rows.iter().all(|(row, direction)| self.add(*row, direction));
        self.bytes.store(self.index.read().memory_usage(), Ordering::Relaxed);
        self.rows.store(if added { next } else { usize::MAX }, Ordering::Release);
        added
    }

    fn add(&self, row: usize, direction: &[f32]) -> bool {
        let index = self.index.write();
        let full = index.size() >= index.capacity();
        let room = !full || index.reserve_capacity_and_threads(index.size() * 2, SEARCHERS).is_ok();
        let added = room && index.add(row as u64, direction).is_ok();
        // Those who search come before the next row.
        RwLockWriteGuard::unlock_fair(index);
        added
    }

    /// At most `count` rows that are near and allowed; `None` if it cannot say.
    pub(super) fn near(
        &self,
        query: &[f32],
        count: usize,
        allowed: impl Fn(usize) -> bool,
    ) -> Option<Vec<usize>> {
        let allowed = |row: u64| usize::try_from(row).is_ok_and(&allowed);
        let found = self.index.read().filtered_search(query, count, allowed).ok()?;
        found.keys.into_iter().map(|row| usize::try_from(row).ok()).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("rows", &self.rows()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Graph;

    use crate::vectors::distance::{cosine, direction};

    /// Points on a long coil.
    fn point(n: usize) -> Vec<f32> {
        let turns = [0.02, 0.0037, 0.001_13].map(|turn| n as f32 * turn);
        direction(&turns.iter().flat_map(|turn| [turn.cos(), turn.sin()]).collect::<Vec<_>>())
    }

    fn graph(rows: usize) -> Graph {
        let graph = Graph::new(6).unwrap();
        let rows: Vec<_> = (0..rows).map(|row| (row, point(row))).collect();
        assert!(graph.grow(&rows, rows.len()));
        graph
    }

    #[test]
    fn it_grows_beyond_what_it_had_room_for() {
        let rows = 3 * super::FIRST_ROWS;
        let graph = graph(rows);
        assert_eq!(graph.rows(), rows);
        for asked in [0, 1500, rows - 1] {
            let near = |row: &usize| cosine(&point(*row), &point(asked));
            let found = graph.near(&point(asked), 40, |_| true).unwrap();
            assert!(found.contains(&asked) && found.iter().all(|row| near(row) > 0.85), "{found:?}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_not_found() {
        let graph = graph(500);
        let found = graph.near(&point(0), 20, |row| row % 10 == 0).unwrap();
        assert_eq!(found.len(), 20);
        assert!(found.iter().all(|row| row % 10 == 0), "{found:?}");
        assert_eq!(graph.near(&point(0), 20, |_| false), Some(Vec::new()));
    }

    #[test]
    fn one_that_failed_says_so_and_asks_for_nothing_more() {
        let graph = graph(10);
        assert!(!graph.grow(&[(10, vec![1.0])], 11), "a direction of another dimension");
        assert_eq!(graph.rows(), usize::MAX);
        assert_eq!(graph.near(&[1.0], 1, |_| true), None);
    }
}
