//! The canonical frame: two different lists of fields never have the same form.

use kernel_types::{Frame, Hash, Message, Part, Prompt, Role, hash_bytes};
use proptest::prelude::*;

fn framed(label: &str, fields: &[Vec<u8>]) -> Hash {
    let mut frame = Frame::new(label);
    for field in fields {
        frame.bytes(field);
    }
    frame.finish()
}

proptest! {
    #[test]
    fn different_fields_have_different_hashes(
        a in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..5),
        b in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..5),
    ) {
        prop_assert_eq!(framed("x", &a) == framed("x", &b), a == b);
    }

    #[test]
    fn moving_a_border_between_fields_shows(bytes in prop::collection::vec(any::<u8>(), 1..40), first: u8, second: u8) {
        let cut = |at: u8| {
            let (left, right) = bytes.split_at(usize::from(at) % (bytes.len() + 1));
            vec![left.to_vec(), right.to_vec()]
        };
        let (a, b) = (cut(first), cut(second));
        prop_assert_eq!(framed("x", &a) == framed("x", &b), a == b);
    }
}

#[test]
fn domains_are_apart() {
    assert_ne!(framed("record", &[]), framed("row", &[]));
    assert_ne!(framed("a", &[b"b".to_vec()]), framed("ab", &[]));
}

#[test]
fn absent_differs_from_empty() {
    let optional = |field: Option<&[u8]>| Frame::new("x").optional(field).finish();
    assert_ne!(optional(None), optional(Some(b"")));
    assert_ne!(Frame::new("x").number(0).finish(), Frame::new("x").bytes(&[]).finish());
}

#[test]
fn a_frame_may_be_read_and_continued() {
    let mut frame = Frame::new("x");
    frame.text("a");
    let before = frame.finish();
    frame.text("b");
    assert_ne!(before, frame.finish());
    assert_eq!(before, Frame::new("x").text("a").finish());
}

#[test]
fn blob_addresses_are_plain_blake3() {
    let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(hash_bytes(b"").to_string(), empty);
}

fn prompt(texts: &[&str], breakpoint: bool) -> Prompt {
    let parts = texts.iter().map(|text| Part::Text((*text).into())).collect();
    Prompt { messages: vec![Message { role: Role::User, parts, breakpoint }], ..Prompt::default() }
}

#[test]
fn a_prompt_hash_covers_what_the_model_sees_and_nothing_else() {
    let plain = prompt(&["ab"], false).hash();
    assert_eq!(plain, prompt(&["ab"], true).hash(), "breakpoints are hints to the provider");
    assert_ne!(plain, prompt(&["a", "b"], false).hash(), "the borders of parts count");
    let mut assistant = prompt(&["ab"], false);
    assistant.messages[0].role = Role::Assistant;
    assert_ne!(plain, assistant.hash());
}

/// However long the fields, the hash is that of their plain form.
#[test]
fn a_frame_is_the_hash_of_its_fields_with_their_lengths() {
    for sizes in [
        vec![0],
        vec![1271],
        vec![1272],
        vec![1280],
        vec![5000],
        vec![700, 700, 3],
        vec![3, 5000, 3],
        vec![640; 9],
    ] {
        let fields: Vec<Vec<u8>> = sizes.iter().map(|size| vec![b'x'; *size]).collect();
        let mut plain = Vec::new();
        for field in std::iter::once(&b"x"[..]).chain(fields.iter().map(Vec::as_slice)) {
            plain.extend((field.len() as u64).to_be_bytes());
            plain.extend(field);
        }
        let mut frame = Frame::new("x");
        for field in &fields {
            frame.bytes(field);
        }
        assert_eq!(frame.finish(), kernel_types::hash_bytes(&plain), "{sizes:?}");
        assert_eq!(frame.finish(), kernel_types::hash_bytes(&plain), "asking changes nothing");
    }
}
