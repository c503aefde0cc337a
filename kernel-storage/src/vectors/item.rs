//! What is remembered: a text with its metadata and, if somebody embedded it, its vector.

use std::collections::BTreeMap;

use kernel_types::Pid;
use serde::{Deserialize, Serialize};

/// One thing remembered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MemoryItem {
    /// Where it is kept: what is searched at once. 1 to [`MemoryItem::MAX_NAME`] bytes.
    pub namespace: String,
    /// Its id in the namespace, chosen by the caller; remembering it again replaces it. 1 to
    /// [`MemoryItem::MAX_NAME`] bytes.
    pub id: String,
    /// Who remembered it. Kept and given back; who may read what is not decided here.
    pub owner: Pid,
    /// Any text, at most [`MemoryItem::MAX_TEXT`] bytes; found by its words.
    pub text: String,
    /// What filters ask about: at most [`MemoryItem::MAX_FIELDS`] fields.
    pub metadata: Metadata,
    /// Where it lies in the space of a model, if anybody said so.
    pub vector: Option<Vector>,
}

impl MemoryItem {
    /// The most bytes of an id, a namespace, a model's id, and the name of a field.
    pub const MAX_NAME: usize = 512;
    /// The most bytes of a text, and of a field that is one.
    pub const MAX_TEXT: usize = 1 << 20;
    /// The most fields of metadata.
    pub const MAX_FIELDS: usize = 64;
    /// The most items of one call of [`Vectors::remember`](crate::Vectors::remember).
    pub const MAX_BATCH: usize = 4096;
}

/// Named values beside a text: flat, and in the order of their names.
pub type Metadata = BTreeMap<String, Scalar>;

/// The value of a field of metadata.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A finite number; whole ones are exact up to 2^53.
    Number(f64),
    /// True or false.
    Flag(bool),
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<f64> for Scalar {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Scalar {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// A point in the space of one embedding model. Only its direction counts: vectors are compared by the cosine of the
/// angle between them, and with vectors of the same model alone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Vector {
    /// Names the model and its version: whatever changes the meaning of the numbers. 1 to [`MemoryItem::MAX_NAME`]
    /// bytes.
    pub model: String,
    /// Finite, not all zero, 1 to [`Vector::MAX_DIMENSION`] of them.
    pub values: Vec<f32>,
}

impl Vector {
    /// The most numbers of a vector: as many as the vectors of pgvector may have.
    pub const MAX_DIMENSION: usize = 16_000;
}
