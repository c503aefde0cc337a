//! The codec: hostile bytes are refused with the reason, never with a panic.

use kernel_types::{AgentRow, Answer, Call, CodecError, Event, Mail, Record, Reply, decode, encode};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::samples;

const KIND: u8 = b'T';
const VERSION: u16 = 1;

/// Reads the bytes as everything that crosses the codec.
fn decode_as_everything(bytes: &[u8]) {
    fn one<T: DeserializeOwned>(bytes: &[u8]) {
        drop(decode::<T>(KIND, VERSION, bytes));
    }
    one::<Call>(bytes);
    one::<Answer>(bytes);
    one::<Reply>(bytes);
    one::<Event>(bytes);
    one::<Mail>(bytes);
    one::<Record>(bytes);
    one::<AgentRow>(bytes);
    one::<Vec<Mail>>(bytes);
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    encode(KIND, VERSION, value).expect("plain data")
}

/// What is really written, as seeds for what is broken.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = samples::calls().iter().map(encoded).collect();
    corpus.extend(samples::answers().iter().map(encoded));
    corpus.extend(samples::events().iter().map(encoded));
    corpus.extend(samples::mail().iter().map(encoded));
    corpus.extend(samples::records().iter().map(encoded));
    corpus.extend(samples::rows().iter().map(encoded));
    corpus
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn random_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![b'A', b'K', KIND, 0, 1];
        bytes.extend(body);
        decode_as_everything(&bytes);
    }

    #[test]
    fn damaged_state_never_panics(pick: prop::sample::Index, at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let corpus = corpus();
        let mut bytes = corpus[pick.index(corpus.len())].clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        decode_as_everything(&bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        decode_as_everything(&bytes);
    }
}

fn refusal(kind: u8, version: u16, bytes: &[u8]) -> CodecError {
    decode::<Vec<u64>>(kind, version, bytes).expect_err("must not decode")
}

#[test]
fn the_reason_of_a_refusal_is_named() {
    let good = encoded(&vec![1u64, 300, 70_000]);
    assert_eq!(decode::<Vec<u64>>(KIND, VERSION, &good).expect("as written"), [1, 300, 70_000]);

    assert!(matches!(refusal(KIND, VERSION, &[]), CodecError::Header));
    assert!(matches!(refusal(KIND, VERSION, b"XX\x54\0\x01"), CodecError::Header));
    assert!(matches!(refusal(b'Q', VERSION, &good), CodecError::Kind { expected: b'Q', found: KIND }));
    assert!(matches!(refusal(KIND, 2, &good), CodecError::Version { expected: 2, found: VERSION }));
    assert!(matches!(refusal(KIND, VERSION, &good[..good.len() - 1]), CodecError::Body(_)));
    let mut long = good;
    long.extend([0, 0]);
    assert!(matches!(refusal(KIND, VERSION, &long), CodecError::Trailing(2)));
}

#[test]
fn a_length_that_is_not_there_is_refused_without_room_for_it() {
    // A vector that claims 2^62 elements in five bytes.
    let mut bytes = vec![b'A', b'K', KIND, 0, 1, 253];
    bytes.extend((1u64 << 62).to_le_bytes());
    assert!(matches!(refusal(KIND, VERSION, &bytes), CodecError::Body(_)));
    assert!(matches!(decode::<String>(KIND, VERSION, &bytes), Err(CodecError::Body(_))));
}

#[test]
fn values_out_of_bounds_do_not_decode() {
    let priority = encoded(&101u8);
    assert!(decode::<kernel_types::Priority>(KIND, VERSION, &priority).is_err());
    let importance = encoded(&1.5f64);
    assert!(decode::<kernel_types::Importance>(KIND, VERSION, &importance).is_err());
}
