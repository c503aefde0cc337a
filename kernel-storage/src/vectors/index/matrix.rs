//! The directions of one model, packed, and all of them compared with one.

use std::sync::Arc;

use super::graph::Graph;
use crate::vectors::distance::cosine;

/// Rows that are allocated at once: a matrix grows without being copied.
const CHUNK: usize = 1024;

#[derive(Debug)]
pub(super) struct Matrix {
    pub(super) model: String,
    dimension: usize,
    chunks: Vec<Vec<f32>>,
    /// The slot of each row. A slot has one row at most, in one matrix.
    slots: Vec<u32>,
    /// Rows whose slots are alive.
    pub(super) live: usize,
    pub(super) graph: Option<Arc<Graph>>,
}

impl Matrix {
    pub(super) fn new(model: &str, dimension: usize) -> Self {
        Self {
            model: model.to_owned(),
            dimension,
            chunks: Vec::new(),
            slots: Vec::new(),
            live: 0,
            graph: None,
        }
    }

    pub(super) const fn dimension(&self) -> usize {
        self.dimension
    }

    pub(super) const fn rows(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn slot(&self, row: usize) -> u32 {
        self.slots[row]
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        let start = row % CHUNK * self.dimension;
        &self.chunks[row / CHUNK][start..start + self.dimension]
    }

    pub(super) fn push(&mut self, slot: u32, direction: &[f32]) {
        if self.slots.len().is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK * self.dimension));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.extend_from_slice(direction);
        }
        self.slots.push(slot);
        self.live += 1;
    }

    /// The same directions with the slots' new numbers, without those that have none. Its rows are others, so the
    /// graph of the old ones is of no use.
    pub(super) fn compacted(&self, renumbered: &[Option<u32>]) -> Self {
        let mut fresh = Self::new(&self.model, self.dimension);
        for row in 0..self.rows() {
            if let Some(slot) = renumbered[self.slots[row] as usize] {
                fresh.push(slot, self.row(row));
            }
        }
        fresh
    }

    /// Slots that may be found, each with its cosine, of the rows from `from` on.
    pub(super) fn compare(&self, query: &[f32], from: usize, may: &[bool]) -> Vec<(u32, f32)> {
        // The same loop, compiled for what the machine has.
        pulp::Arch::new().dispatch(Compare { matrix: self, query, from, may })
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let graph = self.graph.as_ref().map_or(0, |graph| graph.bytes());
        self.chunks.len() * CHUNK * self.dimension * size_of::<f32>() + graph
    }
}

struct Compare<'a> {
    matrix: &'a Matrix,
    query: &'a [f32],
    from: usize,
    may: &'a [bool],
}

impl pulp::WithSimd for Compare<'_> {
    type Output = Vec<(u32, f32)>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> Self::Output {
        let Self { matrix, query, from, may } = self;
        let mut found = Vec::new();
        for row in from..matrix.rows() {
            let slot = matrix.slots[row];
            if may[slot as usize] {
                found.push((slot, cosine(matrix.row(row), query)));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Matrix};
    use crate::vectors::distance::{cosine, direction};

    #[test]
    fn wide_registers_give_the_same_bits() {
        for dimension in [1, 31, 32, 100, 384] {
            let mut matrix = Matrix::new("m", dimension);
            let values = |n: usize| -> Vec<f32> {
                direction(
                    &(0..dimension).map(|at| ((n * 31 + at * 7) % 101) as f32 - 49.5).collect::<Vec<_>>(),
                )
            };
            (0..200).for_each(|n| matrix.push(n as u32, &values(n)));
            let query = values(1000);
            for (slot, found) in matrix.compare(&query, 0, &[true; 200]) {
                assert_eq!(found.to_bits(), cosine(&values(slot as usize), &query).to_bits(), "{dimension}");
            }
        }
    }

    #[test]
    fn rows_are_kept_over_chunks_and_compacting() {
        let mut matrix = Matrix::new("m", 2);
        let rows = 2 * CHUNK + 7;
        (0..rows).for_each(|n| matrix.push(n as u32, &[n as f32, 1.0]));
        let renumbered: Vec<_> = (0..rows).map(|n| (n % 3 == 0).then_some(n as u32 / 3)).collect();
        let compacted = matrix.compacted(&renumbered);
        assert_eq!(compacted.rows(), rows.div_ceil(3));
        for row in 0..compacted.rows() {
            assert_eq!(compacted.slot(row), row as u32);
            assert_eq!(compacted.row(row), [3.0 * row as f32, 1.0]);
        }
        let may: Vec<_> = (0..rows).map(|n| n == rows - 1).collect();
        assert_eq!(matrix.compare(&[0.0, 0.5], 5, &may), [(rows as u32 - 1, 0.5)]);
        assert_eq!(matrix.compare(&[0.0, 0.5], rows, &may), []);
    }
}
