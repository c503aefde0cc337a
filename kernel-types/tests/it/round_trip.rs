//! Every variant survives being written and read, as JSON (the journal) and through the codec (images, mailbox hops).

use std::collections::BTreeSet;
use std::fmt::Debug;

use kernel_types::{Call, Event, EventKind, Reply, SyscallNo, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::samples;

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(values: &[T]) {
    assert!(!values.is_empty());
    for value in values {
        let json = serde_json::to_string(value).expect("written as JSON");
        let read: T = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
        assert_eq!(&read, value, "{json}");
        let bytes = encode(7, 3, value).unwrap_or_else(|error| panic!("{error}: {json}"));
        let decoded: T = decode(7, 3, &bytes).unwrap_or_else(|error| panic!("{error}: {json}"));
        assert_eq!(&decoded, value, "{json}");
    }
}

/// The names of all variants of an enum, as its own error message lists them.
fn variants<T: DeserializeOwned>() -> BTreeSet<String> {
    let error = serde_json::from_str::<T>("\"?\"").err().expect("no variant is called so").to_string();
    let (_, listed) = error.split_once("expected").expect("the variants are listed");
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Round-trips the values, and fails if a variant is not among them.
fn check_all_variants<T: Serialize + DeserializeOwned + PartialEq + Debug>(values: &[T]) {
    let seen = values.iter().map(|value| match serde_json::to_value(value).expect("written as JSON") {
        Value::String(name) => name,
        Value::Object(map) => map.keys().next().expect("a tag").clone(),
        other => panic!("not an enum: {other}"),
    });
    assert_eq!(seen.collect::<BTreeSet<String>>(), variants::<T>(), "a variant has no sample");
    check(values);
}

#[test]
fn every_call_survives() {
    check_all_variants(&samples::calls());
}

#[test]
fn every_answer_survives() {
    check_all_variants(&samples::answers());
}

#[test]
fn every_error_survives() {
    check_all_variants(&samples::ERROR_KINDS);
    check_all_variants(&samples::RETRIES);
    check_all_variants(&samples::BLAMES);
    check(&samples::errors());
}

#[test]
fn every_piece_of_mail_survives() {
    check_all_variants(&samples::mail().into_iter().map(|mail| mail.body).collect::<Vec<_>>());
    check(&samples::mail());
}

#[test]
fn every_event_survives() {
    check_all_variants(&samples::events());
    check_all_variants(EventKind::ALL);
}

#[test]
fn every_state_and_end_of_a_process_survives() {
    check_all_variants(&samples::states());
    check_all_variants(&samples::exit_statuses());
}

#[test]
fn every_kind_of_page_part_and_decision_survives() {
    check_all_variants(&samples::page_kinds());
    check_all_variants(&samples::parts());
    check_all_variants(&samples::decisions());
}

#[test]
fn rows_records_keys_and_replies_survive() {
    check(&samples::rows());
    check(&samples::records());
    check(&samples::keys());
    let results = samples::answers().into_iter().map(Ok).chain(samples::errors().into_iter().map(Err));
    let key = samples::keys().remove(0);
    check(&results.map(|result| Reply { key, result }).collect::<Vec<_>>());
}

#[test]
fn every_number_of_the_table_has_a_call() {
    let called: BTreeSet<SyscallNo> = samples::calls().iter().map(Call::number).collect();
    assert_eq!(called, SyscallNo::ALL.iter().copied().collect());
}

#[test]
fn an_event_has_the_kind_of_its_record() {
    for event in samples::events() {
        assert_eq!(EventKind::from_number(event.kind() as u8), Some(event.kind()));
    }
    assert_eq!(EventKind::from_number(0), None);
    assert_eq!(EventKind::from_number(u8::MAX), None);
}

#[test]
fn only_an_allow_goes_on() {
    let going: Vec<bool> = samples::decisions().iter().map(kernel_types::Decision::is_allow).collect();
    assert_eq!(going, [true, false, false, false, false]);
}

#[test]
fn an_event_names_its_attachments() {
    let named: Vec<usize> = samples::events().iter().map(|event| Event::blobs(event).len()).collect();
    assert_eq!(named.iter().sum::<usize>(), 2, "the one tool result has two");
}

#[test]
fn what_a_program_may_leave_out_has_a_default() {
    let call: Call = serde_json::from_str(r#"{"spawn":{"task":"t"}}"#).expect("the rest has defaults");
    assert!(matches!(call, Call::Spawn(spec) if spec.program == "react" && spec.priority.value() == 50));
    let call: Call = serde_json::from_str(r#"{"receive":{}}"#).expect("the rest has defaults");
    assert_eq!(call, Call::Receive(kernel_types::ReceiveArgs::default()));
    let error = serde_json::from_str::<Call>(r#"{"spawn":{"tsak":"t"}}"#).expect_err("a misspelt field");
    assert!(error.to_string().contains("tsak"), "{error}");
}
