//! Laws of what is refused.

use super::Fixture;
use super::sample::{
    HARD_TEXT, PLACE, all, at, by_vector, by_words, found, ids, invalid, item, ok, remember, vector, with,
};
use crate::{Filter, MemoryItem, MemorySearch, Scalar, Vector};

/// Vectors that have no direction, or too many numbers.
fn bad_vectors() -> Vec<(&'static str, Vec<f32>)> {
    vec![
        ("not a number", vec![1.0, f32::NAN]),
        ("infinite", vec![f32::INFINITY, 1.0]),
        ("zero", vec![0.0, -0.0]),
        ("empty", vec![]),
        ("too long", vec![1.0; Vector::MAX_DIMENSION + 1]),
    ]
}

/// One more byte than a name may have.
fn long_name() -> String {
    "x".repeat(MemoryItem::MAX_NAME + 1)
}

/// Each has a word for what is wrong with it.
fn bad_items() -> Vec<(&'static str, MemoryItem)> {
    let good = || item("bad", "word");
    let fields = (0..=MemoryItem::MAX_FIELDS).map(|n| (format!("{n}"), Scalar::Flag(true)));
    let model = |model: String| Some(Vector { model, values: vec![1.0, 1.0] });
    let mut bad = vec![
        ("no namespace", MemoryItem { namespace: String::new(), ..good() }),
        ("a long namespace", MemoryItem { namespace: long_name(), ..good() }),
        ("no id", MemoryItem { id: String::new(), ..good() }),
        ("a long id", MemoryItem { id: long_name(), ..good() }),
        ("a long text", MemoryItem { text: "x".repeat(MemoryItem::MAX_TEXT + 1), ..good() }),
        ("many fields", MemoryItem { metadata: fields.collect(), ..good() }),
        ("a field without a name", with(good(), "", true)),
        ("a long name of a field", with(good(), &long_name(), true)),
        ("a field that is no number", with(good(), "field", f64::NAN)),
        ("a field that is infinite", with(good(), "field", f64::NEG_INFINITY)),
        ("a long field", with(good(), "field", "x".repeat(MemoryItem::MAX_TEXT + 1).as_str())),
        ("no model", MemoryItem { vector: model(String::new()), ..good() }),
        ("a long model", MemoryItem { vector: model(long_name()), ..good() }),
        ("another dimension", at(good(), &[1.0, 2.0, 3.0])),
    ];
    bad.extend(bad_vectors().into_iter().map(|(what, values)| (what, at(good(), &values))));
    bad
}

/// A call with a bad item anywhere in it is refused whole.
pub async fn bad_items_are_refused_and_change_nothing(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let before = vec![at(item("before", HARD_TEXT), &[1.0, 0.0])];
    remember(&memory, before.clone()).await;
    let good = |id| at(item(id, "good word"), &[0.0, 1.0]);
    for (what, bad) in bad_items() {
        invalid(memory.remember(vec![bad.clone()]).await, what);
        invalid(memory.remember(vec![good("first"), bad.clone(), good("last")]).await, what);
        invalid(memory.remember(vec![good("before"), bad]).await, what);
    }
    let of = |id, values: &[f32]| {
        let vector = Some(Vector { model: "fresh".to_owned(), values: values.to_vec() });
        MemoryItem { vector, ..item(id, "word") }
    };
    let two = vec![of("one", &[1.0]), of("two", &[1.0, 2.0])];
    invalid(memory.remember(two).await, "two dimensions of one model");
    let many = (0..=MemoryItem::MAX_BATCH).map(|n| item(&format!("{n}"), "word"));
    invalid(memory.remember(many.collect()).await, "a long batch");
    assert_eq!(all(&memory, PLACE).await, before);
    assert_eq!(ok(memory.namespaces(None, 10).await), [PLACE]);
    assert_eq!(ids(&memory, by_words("word good")).await, [""; 0]);
    assert_eq!(found(&memory, by_vector(&[1.0, 1.0])).await.len(), 1);
    // A model that was refused has no dimension yet. The control.
    remember(&memory, vec![of("two", &[1.0, 2.0]), good("first")]).await;
    assert_eq!(ok(memory.count(PLACE).await), 3);
}

/// Filters that are too much or mean nothing.
fn bad_filters() -> Vec<(&'static str, Filter)> {
    let flag = || Filter::Equals { field: "a".to_owned(), value: Scalar::Flag(true) };
    let number = |value| Filter::Equals { field: "a".to_owned(), value: Scalar::Number(value) };
    let deep = (0..Filter::MAX_DEPTH).fold(flag(), |inner, _| Filter::Not(Box::new(inner)));
    let range = Filter::Range { field: "a".to_owned(), min: None, max: Some(Scalar::Number(f64::NAN)) };
    vec![
        ("deep", deep),
        ("wide", Filter::All((0..Filter::MAX_CONDITIONS).map(|_| flag()).collect())),
        ("no number", number(f64::NAN)),
        ("within others", Filter::Any(vec![flag(), Filter::All(vec![number(f64::INFINITY)])])),
        ("no end", range),
        (
            "a bad one of many",
            Filter::OneOf { field: "a".to_owned(), values: vec![true.into(), f64::NAN.into()] },
        ),
    ]
}

/// A search has a text or a vector that means something.
pub async fn bad_searches_are_refused(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    remember(&memory, vec![at(item("id", "word"), &[1.0, 0.0])]).await;
    let mut bad = vec![
        ("nothing to search by", MemorySearch { text: None, ..by_words("") }),
        ("an empty text", by_words("")),
        ("white space", by_words(" \n\t\u{3000}")),
        ("no namespace", MemorySearch { namespace: String::new(), ..by_words("word") }),
        ("a long namespace", MemorySearch { namespace: long_name(), ..by_words("word") }),
        ("a long text", by_words(&"x".repeat(MemoryItem::MAX_TEXT + 1))),
        ("another dimension", by_vector(&[1.0, 2.0, 3.0])),
    ];
    bad.extend(bad_vectors().into_iter().map(|(what, values)| (what, by_vector(&values))));
    for (what, filter) in bad_filters() {
        bad.push((what, MemorySearch { filter: Some(filter), ..by_words("word") }));
    }
    for (what, search) in bad {
        invalid(memory.search(MemorySearch { k: 0, ..search.clone() }).await, what);
        invalid(memory.search(search.clone()).await, what);
        if search.vector.is_some() {
            invalid(memory.search(MemorySearch { text: Some("word".to_owned()), ..search }).await, what);
        }
    }
    // The control: a vector needs no text beside it.
    for text in [None, Some(String::new()), Some(" ".to_owned()), Some("word".to_owned())] {
        assert_eq!(ids(&memory, MemorySearch { text, ..by_vector(&[1.0, 0.0]) }).await, ["id"]);
    }
}

/// The first vector of a model says how many numbers it has, in all namespaces and for good.
pub async fn a_model_keeps_its_dimension(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    remember(&memory, vec![at(item("first", "word"), &[1.0, 0.0])]).await;
    assert_eq!(ok(memory.forget(PLACE, &["first".to_owned()]).await), 1);
    let memory = fixture.reopen(memory).await;
    let elsewhere =
        |values: &[f32]| MemoryItem { namespace: "elsewhere".to_owned(), ..at(item("id", "word"), values) };
    invalid(memory.remember(vec![elsewhere(&[1.0, 0.0, 0.0])]).await, "three numbers, elsewhere");
    invalid(memory.remember(vec![at(item("id", "word"), &[1.0])]).await, "one number");
    invalid(memory.search(by_vector(&[1.0, 0.0, 0.0])).await, "a search by three numbers");
    remember(&memory, vec![elsewhere(&[0.0, 1.0])]).await;
    let search = MemorySearch {
        vector: Some(vector(&[0.0, 2.0])),
        namespace: "elsewhere".to_owned(),
        ..by_words("x")
    };
    assert_eq!(ids(&memory, search).await, ["id"]);
}
