//! The one place that turns kernel state into bytes and back: bincode 2 behind a header of kind and schema version.
//!
//! For state snapshots and mailbox hops only. What is hashed or kept for people to read is JSON or a [`crate::Frame`].
//! Encoded types must not hold `serde_json::Value` nor tagged, untagged, flattened or skipped fields: they fail to decode.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

const MAGIC: [u8; 2] = *b"AK";

/// Why bytes could not be encoded or decoded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes do not start with the header of this codec.
    #[error("not kernel state: the header is missing")]
    Header,
    /// The bytes hold something else.
    #[error("expected kind {expected}, found kind {found}")]
    Kind {
        /// The kind asked for.
        expected: u8,
        /// The kind in the header.
        found: u8,
    },
    /// The bytes were written by a newer or a forgotten version.
    #[error("schema version {found} is not supported, this build reads {expected}")]
    Version {
        /// The version this build reads.
        expected: u16,
        /// The version in the header.
        found: u16,
    },
    /// The body does not decode.
    #[error("state does not decode: {0}")]
    Body(String),
    /// Bytes are left over after the value.
    #[error("{0} bytes left over after the state")]
    Trailing(usize),
}

/// Encodes `value` after a header that names its `kind` and schema `version`.
///
/// # Errors
/// [`CodecError::Body`] if the type holds something that bincode refuses.
pub fn encode<T: Serialize>(kind: u8, version: u16, value: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(&MAGIC);
    out.push(kind);
    out.extend_from_slice(&version.to_be_bytes());
    bincode::serde::encode_into_std_write(value, &mut out, bincode::config::standard())
        .map_err(|e| CodecError::Body(e.to_string()))?;
    Ok(out)
}

/// Decodes what [`encode`] wrote with the same `kind` and `version`.
///
/// # Errors
/// A [`CodecError`] that names the first thing that does not fit; never panics on hostile bytes.
pub fn decode<T: DeserializeOwned>(kind: u8, version: u16, bytes: &[u8]) -> Result<T, CodecError> {
    let [m0, m1, found, v0, v1, body @ ..] = bytes else { return Err(CodecError::Header) };
    if [*m0, *m1] != MAGIC {
        return Err(CodecError::Header);
    }
    if *found != kind {
        return Err(CodecError::Kind { expected: kind, found: *found });
    }
    let found = u16::from_be_bytes([*v0, *v1]);
    if found != version {
        return Err(CodecError::Version { expected: version, found });
    }
    let config = bincode::config::standard().with_limit::<{ 1 << 30 }>();
    let (value, used) =
        bincode::serde::decode_from_slice(body, config).map_err(|e| CodecError::Body(e.to_string()))?;
    if used != body.len() {
        return Err(CodecError::Trailing(body.len() - used));
    }
    Ok(value)
}
