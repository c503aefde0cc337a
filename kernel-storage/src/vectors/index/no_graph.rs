//! In a build without the feature `hnsw` there is no graph of directions: all of them are compared.

/// Nobody has one.
#[derive(Debug)]
pub(crate) enum Graph {}

impl Graph {
    /// Whether this build has any.
    pub(super) const AVAILABLE: bool = false;

    pub(super) const fn new(_dimension: usize) -> Option<Self> {
        None
    }

    pub(super) const fn rows(&self) -> usize {
        match *self {}
    }

    pub(crate) const fn grow(&self, _rows: &[(usize, Vec<f32>)], _next: usize) -> bool {
        match *self {}
    }

    pub(super) fn near(
        &self,
        _query: &[f32],
        _count: usize,
        _allowed: impl Fn(usize) -> bool,
    ) -> Option<Vec<usize>> {
        match *self {}
    }

    pub(super) const fn bytes(&self) -> usize {
        match *self {}
    }
}
