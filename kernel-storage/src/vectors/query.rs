//! What is asked of a memory, and what it answers.

use kernel_types::Pid;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::item::{Metadata, Vector};

/// A search. By words if it has a text, by meaning if it has a vector, by both if it has both.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MemorySearch {
    /// Where.
    pub namespace: String,
    /// Only items that fit.
    pub filter: Option<Filter>,
    /// Items that have a word of it, the best by BM25 first.
    pub text: Option<String>,
    /// Items that have a vector of its model, the nearest first.
    pub vector: Option<Vector>,
    /// At most this many.
    pub k: usize,
    /// How near the nearest are.
    pub mode: SearchMode,
}

/// How the nearest vectors are found.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum SearchMode {
    /// By comparing with every vector.
    Exact,
    /// By an index, if the store and the build have one: most of the nearest, and soon.
    Approximate,
    /// Exact below [`SearchMode::EXACT_BELOW`] vectors of the model in the namespace, else approximate.
    #[default]
    Auto,
}

impl SearchMode {
    /// Where [`SearchMode::Auto`] changes over.
    pub const EXACT_BELOW: usize = 10_000;
}

/// An item that was found. It has all that a reader needs, so that it can be journaled as the answer of a call: the
/// item may be another one by the time the call is replayed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MemoryHit {
    /// Its id.
    pub id: String,
    /// Who remembered it.
    pub owner: Pid,
    /// Its text.
    pub text: String,
    /// Its metadata.
    pub metadata: Metadata,
    /// What hits are ordered by, the highest first; equal ones by id. By words alone it is the store's BM25 score, by
    /// vector alone the similarity, by both the sum of 1 / (60 + rank) over the lists that it is in.
    pub score: f64,
    /// Its rank by words, from 1, if it was found by them.
    pub by_words: Option<u32>,
    /// Its rank by vector, from 1, if it was found by that.
    pub by_vector: Option<u32>,
    /// The cosine of the angle between its vector and the one asked for, -1 to 1, if it was found by that.
    pub similarity: Option<f32>,
}
