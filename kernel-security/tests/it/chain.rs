//! The hash chain.

use std::sync::Arc;

use kernel_security::{RecordBody, RecordDraft, body_hash, link, seal_record};
use kernel_types::{Frame, Hash, Pid, Record, Seq, StepNo, Timestamp, hash_bytes};

fn draft(call: Option<Seq>, body: RecordBody) -> RecordDraft {
    let pid = Pid::from_parts(7, 9);
    RecordDraft { pid, number: 3, step: StepNo(2), call, kind: 4, at: Timestamp(5), body }
}

fn blob(bytes: &[u8]) -> RecordBody {
    RecordBody::Blob { hash: hash_bytes(bytes), bytes: Arc::from(bytes) }
}

/// The canonical form, written out with the plain frame.
fn expected_link(prev: &Hash, record: &Record) -> Hash {
    let mut frame = Frame::new("record");
    frame.bytes(&prev.0).bytes(&record.pid.to_bytes()).number(record.number).number(record.step.0);
    frame.optional(record.call.map(|seq| seq.0.to_be_bytes()).as_ref().map(|bytes| &bytes[..]));
    frame.number(u64::from(record.kind)).number(record.at.0).bytes(&record.salt);
    frame.optional(record.blob.as_ref().map(|hash| &hash.0[..])).bytes(&record.body_hash.0);
    frame.finish()
}

#[test]
fn a_record_is_hashed_in_the_canonical_form() {
    let prev = hash_bytes(b"before");
    for call in [None, Some(Seq(0)), Some(Seq(1))] {
        for body in [RecordBody::Inline("{}".to_owned()), blob(b"far away")] {
            let bytes = body.as_bytes().to_vec();
            let record = seal_record(&prev, draft(call, body), [8; 16]);
            assert_eq!(record.hash, expected_link(&prev, &record));
            assert_eq!(record.body_hash, Frame::new("body").bytes(&[8; 16]).bytes(&bytes).finish());
        }
    }
}

#[test]
fn bodies_of_every_size_are_hashed_in_the_canonical_form() {
    for size in [0, 1, 1000, 1215, 1216, 1217, 1280, 5000, 100_000] {
        let body = vec![b'x'; size];
        let expected = Frame::new("body").bytes(&[1; 16]).bytes(&body).finish();
        assert_eq!(body_hash(&[1; 16], &body), expected, "{size} bytes");
    }
}

#[test]
fn the_form_of_a_record_never_changes() {
    let record =
        seal_record(&Hash::ZERO, draft(Some(Seq(1)), RecordBody::Inline("{\"a\":1}".to_owned())), [3; 16]);
    assert_eq!(record.hash.to_string(), PINNED, "stored chains would not verify any more");
}

/// Computed once from the canonical form by the plain frame.
const PINNED: &str = "428e61b1189414056353ad60bc087f0e48f055f71cc0aa1c666b70112749bc65";

#[test]
fn a_chain_survives_the_erasing_of_a_body() {
    let sealed = seal_record(&Hash::ZERO, draft(None, RecordBody::Inline("secret".to_owned())), [3; 16]);
    let erased = Record { body: None, ..sealed.clone() };
    assert_eq!(link(&Hash::ZERO, &erased), sealed.hash);
}

#[test]
fn a_body_goes_where_it_was_said() {
    let inline = seal_record(&Hash::ZERO, draft(None, RecordBody::Inline("{}".to_owned())), [0; 16]);
    assert_eq!((inline.body.as_deref(), inline.blob), (Some("{}"), None));
    let far = seal_record(&Hash::ZERO, draft(None, blob(b"{}")), [0; 16]);
    assert_eq!((far.body, far.blob), (None, Some(hash_bytes(b"{}"))));
    assert_eq!(inline.body_hash, far.body_hash);
    assert_ne!(inline.hash, far.hash);
}
