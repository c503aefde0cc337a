//! What is asked and what is answered.

use kernel_types::PageNo;

use super::embedding::Embedding;

/// What to look for in an [`Index`](super::Index) or an address space.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// In words.
    pub text: &'a str,
    /// What the embedding model of the pages makes of it, if there is one.
    pub embedding: Option<&'a Embedding>,
    /// The most pages to find. It bounds the work too, so it should not be far above what a budget of tokens can hold.
    pub limit: usize,
}

impl<'a> Query<'a> {
    /// Any number of pages, by words only.
    #[must_use]
    pub const fn words(text: &'a str) -> Self {
        Self { text, embedding: None, limit: usize::MAX }
    }

    /// The same, also by vector.
    #[must_use]
    pub const fn near(self, embedding: Option<&'a Embedding>) -> Self {
        Self { embedding, ..self }
    }
}

/// A page that fits a query.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Hit {
    /// Its number.
    pub page: PageNo,
    /// How well it fits, above zero; comparable within one answer only.
    pub score: f32,
}
