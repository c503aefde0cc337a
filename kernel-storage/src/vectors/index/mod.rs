//! A namespace in memory, indexed for searching: words, metadata and directions, but not the texts.
//!
//! [`Shelf`] is a plain structure that follows a table: items come in and go, and a search gives ids. It awaits
//! nothing and locks nothing. It gives the same answers as the memory of [`MemoryStore`](crate::MemoryStore), where
//! they are exact.

#[cfg_attr(not(feature = "hnsw"), path = "no_graph.rs")]
mod graph;
mod matrix;
mod postings;
mod shelf;

pub(crate) use shelf::{Growth, Shelf};
