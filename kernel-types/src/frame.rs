//! The canonical form of everything that is hashed: length-prefixed fields fed to BLAKE3.
//!
//! Each field is its length in bytes (u64, big-endian) followed by its bytes, so that no two different lists of
//! fields have the same form. The first field is a label that separates the domains (record, row, prompt).

use crate::Hash;

/// The BLAKE3 hash of `bytes`: the address of a blob.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> Hash {
    Hash(*blake3::hash(bytes).as_bytes())
}

/// Something that can be fed to a [`Frame`] as its own canonical fields.
pub trait Digest {
    /// Adds the fields of this value, in a fixed order.
    fn digest(&self, frame: &mut Frame);
}

/// A hasher over length-prefixed fields.
pub struct Frame(blake3::Hasher);

impl Frame {
    /// Starts a frame in the domain `label`.
    #[must_use]
    pub fn new(label: &str) -> Self {
        let mut frame = Self(blake3::Hasher::new());
        frame.bytes(label.as_bytes());
        frame
    }

    /// Adds a field of bytes.
    pub fn bytes(&mut self, field: &[u8]) -> &mut Self {
        self.0.update(&(field.len() as u64).to_be_bytes());
        self.0.update(field);
        self
    }

    /// Adds a field of text.
    pub fn text(&mut self, field: &str) -> &mut Self {
        self.bytes(field.as_bytes())
    }

    /// Adds a number as eight bytes, big-endian.
    pub fn number(&mut self, field: u64) -> &mut Self {
        self.bytes(&field.to_be_bytes())
    }

    /// Adds a field that may be absent; absent differs from empty.
    pub fn optional(&mut self, field: Option<&[u8]>) -> &mut Self {
        match field {
            Some(bytes) => self.number(1).bytes(bytes),
            None => self.number(0),
        }
    }

    /// Adds all fields of `value`.
    pub fn value(&mut self, value: &impl Digest) -> &mut Self {
        value.digest(self);
        self
    }

    /// The hash of everything added.
    #[must_use]
    pub fn finish(&self) -> Hash {
        Hash(*self.0.finalize().as_bytes())
    }
}
