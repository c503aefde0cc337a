//! JSON text: one normal form, so that equal values hash, encode and replay byte for byte.

use kernel_types::JsonText;
use proptest::prelude::*;
use serde_json::{Value, json};

fn check(input: &str, expected: &str) {
    let text = JsonText::parse(input).unwrap_or_else(|error| panic!("{input}: {error}"));
    assert_eq!(text.as_str(), expected, "{input}");
}

/// Any JSON value, a few levels deep.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1.0e12..1.0e12).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_normal_form_is_its_own_normal_form(value in any_value()) {
        let text = JsonText::from(value);
        prop_assert_eq!(&JsonText::parse(text.as_str()).expect("valid"), &text);
    }

    #[test]
    fn the_value_survives(value in any_value()) {
        prop_assert_eq!(JsonText::from(value.clone()).value(), value);
    }

    #[test]
    fn layout_does_not_matter(value in any_value()) {
        let pretty = serde_json::to_string_pretty(&value).expect("written");
        prop_assert_eq!(JsonText::parse(&pretty).expect("valid"), JsonText::from(value));
    }

    #[test]
    fn it_crosses_json_and_the_codec(value in any_value()) {
        let text = JsonText::from(value);
        let json = serde_json::to_string(&text).expect("written");
        prop_assert_eq!(&json, text.as_str(), "within JSON it is the value itself");
        prop_assert_eq!(&serde_json::from_str::<JsonText>(&json).expect("read"), &text);
        let bytes = kernel_types::encode(1, 1, &text).expect("encoded");
        prop_assert_eq!(&kernel_types::decode::<JsonText>(1, 1, &bytes).expect("decoded"), &text);
    }

    #[test]
    fn hostile_text_is_refused_without_a_panic(text in ".{0,64}") {
        drop(JsonText::parse(&text));
    }
}

#[test]
fn keys_are_sorted_and_nothing_is_spaced() {
    check("{\"b\": 1, \"a\": {\"d\": [1, 2], \"c\": null}}", "{\"a\":{\"c\":null,\"d\":[1,2]},\"b\":1}");
    check(" [ ] ", "[]");
    check("\"\\u00e4\\/\"", "\"ä/\"");
    assert_eq!(JsonText::default(), JsonText::empty_object());
    assert_eq!(JsonText::empty_object().as_str(), "{}");
}

#[test]
fn what_is_no_json_is_refused_where_it_breaks() {
    let error = JsonText::parse("{\"a\": }").expect_err("no value");
    assert_eq!((error.line(), error.column()), (1, 7));
    for wrong in ["", "{} {}", "nul", "{'a': 1}", "[1,]"] {
        assert!(JsonText::parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_codec_does_not_let_other_text_in() {
    let bytes = kernel_types::encode(1, 1, &"{ not json").expect("encoded");
    assert!(kernel_types::decode::<JsonText>(1, 1, &bytes).is_err());
}

#[test]
fn it_reads_as_a_type() {
    let text = JsonText::of(&json!({"n": 3})).expect("written");
    #[derive(serde::Deserialize)]
    struct Shape {
        n: u32,
    }
    assert_eq!(text.read::<Shape>().expect("that shape").n, 3);
    assert!(text.read::<Vec<u32>>().is_err());
}
