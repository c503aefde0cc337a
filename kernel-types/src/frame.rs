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

/// A hasher over length-prefixed fields. Short frames, which is most of them, are gathered here and hashed at once: every
/// record of every step passes, and many small updates take three times as long.
pub struct Frame {
    gathered: [u8; Self::ROOM],
    used: usize,
    /// What was gathered before, once it was too much.
    hasher: Option<Box<blake3::Hasher>>,
}

impl Frame {
    const ROOM: usize = 1280;

    /// Starts a frame in the domain `label`.
    #[must_use]
    pub fn new(label: &str) -> Self {
        let mut frame = Self { gathered: [0; Self::ROOM], used: 0, hasher: None };
        frame.bytes(label.as_bytes());
        frame
    }

    /// Adds a field of bytes.
    pub fn bytes(&mut self, field: &[u8]) -> &mut Self {
        self.push(&(field.len() as u64).to_be_bytes());
        self.push(field);
        self
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.gathered.get_mut(self.used..self.used + bytes.len()) {
            room.copy_from_slice(bytes);
            self.used += bytes.len();
            return;
        }
        let hasher = self.hasher.get_or_insert_default();
        hasher.update(&self.gathered[..self.used]);
        self.used = 0;
        match self.gathered.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.used = bytes.len();
            }
            None => {
                hasher.update(bytes);
            }
        }
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
        let rest = &self.gathered[..self.used];
        match &self.hasher {
            None => hash_bytes(rest),
            Some(hasher) => Hash(*hasher.clone().update(rest).finalize().as_bytes()),
        }
    }
}
