//! The line protocol of the example `window`: one answer a line, errors that change nothing, ids that follow the bytes.

#![expect(clippy::disallowed_methods, reason = "the example is a program")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Cargo builds examples beside the tests.
fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(|deps| deps.parent()).unwrap().join("examples/window")
}

fn answers_with(arguments: &[&str], lines: &[String]) -> Vec<Value> {
    let mut child = Command::new(example())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo builds the example with the tests");
    let mut input = child.stdin.take().unwrap();
    let text = lines.join("\n") + "\n";
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let answers: Vec<Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(answers.len(), lines.len(), "one answer a line");
    answers
}

fn answers(lines: &[Value]) -> Vec<Value> {
    answers_with(&[], &lines.iter().map(Value::to_string).collect::<Vec<_>>())
}

fn open(window: u64) -> Value {
    let pinned = json!([{"id": "sys", "tokens": 1500}]);
    json!({"op": "open", "agent": "a", "window": window, "provider": "anthropic-5m", "pinned": pinned})
}

fn append(pages: &[(&str, &str, u64)]) -> Value {
    let pages: Vec<Value> =
        pages.iter().map(|(id, kind, tokens)| json!({"id": id, "kind": kind, "tokens": tokens})).collect();
    json!({"op": "append", "agent": "a", "at_ms": 0, "pages": pages})
}

fn render(at_ms: u64) -> Value {
    json!({"op": "render", "agent": "a", "at_ms": at_ms, "output_tokens": 80})
}

fn recall(id: &str) -> Value {
    json!({"op": "recall", "agent": "a", "ids": [id]})
}

fn ids(answer: &Value, key: &str) -> Vec<String> {
    answer[key].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_window_pages_and_what_left_comes_back() {
    let answers = answers(&[
        open(8000),
        append(&[("p1", "user", 120)]),
        render(9),
        append(&[("p2", "assistant", 80), ("p3", "tool", 5000)]),
        render(20),
        append(&[("p4", "assistant", 80)]),
        append(&[("p5", "tool", 4000)]),
        json!({"op": "touch", "agent": "a", "ids": ["p1"]}),
        render(30),
        recall("p3"),
        render(40),
    ]);
    assert_eq!(answers[0], json!({}));
    assert_eq!(answers[2]["segments"], json!([["sys", 1500], ["p1", 120]]));
    assert_eq!(answers[2]["breakpoints"], json!([0, 1]));
    assert_eq!(answers[2]["plan"], "none");
    let paged = &answers[8];
    assert_eq!(ids(paged, "evicted"), ["p2", "p3"], "a tool page leaves with the assistant page before it");
    assert_eq!(ids(paged, "resident"), ["sys", "p1", "p4", "p5"]);
    assert_eq!(paged["plan"], "minor");
    let back = &answers[10];
    assert!(
        ids(back, "resident").ends_with(&["p2".to_owned(), "p3".to_owned()]),
        "they come back together: {back}"
    );
    let last = back["segments"].as_array().unwrap().last().unwrap()[0].as_str().unwrap();
    assert!(last.starts_with("p3~"), "quoted bytes have another id: {last}");
}

#[test]
fn an_error_changes_nothing_and_the_stream_goes_on() {
    let refused = [
        json!({"op": "open", "agent": "b", "window": 0, "provider": "anthropic-5m"}),
        json!({"op": "open", "agent": "b", "window": 100, "provider": "nobody"}),
        json!({"op": "open", "agent": "b", "window": 100, "provider": "vllm", "pinned": [{"id": "s", "tokens": 200}]}),
        open(8000),
        append(&[("p1", "user", 9000)]),
        append(&[("ok", "user", 10), ("p1", "user", 7000), ("p2", "user", 7000)]),
        append(&[("p1", "user", 0)]),
        append(&[("x", "user", 10), ("x", "user", 10)]),
        json!({"op": "append", "agent": "a", "pages": [{"id": "p1", "kind": "user", "tokens": 5, "text": ""}]}),
        json!({"op": "append", "agent": "a", "pages": [{"id": "p1", "kind": "user", "tokens": 5, "importance": 2.0}]}),
        recall("nobody"),
        json!({"op": "touch", "agent": "a", "ids": ["nobody"]}),
        json!({"op": "render", "agent": "z", "at_ms": 1}),
        json!({"op": "fly", "agent": "a"}),
        json!("nonsense"),
    ];
    for line in refused {
        let answers =
            answers(&[open(8000), append(&[("p0", "user", 100)]), render(1), line.clone(), render(2)]);
        assert!(
            answers[3]["error"].as_str().is_some_and(|error| !error.is_empty()),
            "{line} got {}",
            answers[3]
        );
        assert_eq!(answers[4], answers[2], "after {line}");
    }
}

#[test]
fn what_was_refused_left_no_name_behind() {
    let answers = answers(&[
        open(8000),
        append(&[("ok", "user", 10), ("p1", "user", 7000), ("p2", "user", 7000)]),
        append(&[("p1", "user", 70)]),
        append(&[("q", "user", 20), ("ok", "assistant", 30)]),
        render(1),
    ]);
    assert!(answers[1]["error"].is_string() && answers[2] == json!({}) && answers[3] == json!({}));
    assert_eq!(answers[4]["segments"], json!([["sys", 1500], ["p1", 70], ["q", 20], ["ok", 30]]));
}

#[test]
fn ids_change_with_the_bytes_and_new_pages_are_shown() {
    let mut lines = vec![open(8000)];
    for call in 0..120_u64 {
        let (said, result) = (format!("a{call}"), format!("t{call}"));
        lines.push(append(&[(&said, "assistant", 40 + call % 50), (&result, "tool", 30 + call * 37 % 900)]));
        if call % 9 == 8 {
            lines.push(recall(&format!("t{}", call / 2)));
        }
        lines.push(render(call * 25_000));
    }
    let answers = answers(&lines);
    let (mut shown, mut before): (_, Vec<Value>) = (BTreeSet::new(), Vec::new());
    for (line, answer) in lines.iter().zip(&answers).filter(|(line, _)| line["op"] == "render") {
        let call = line["at_ms"].as_u64().unwrap() / 25_000;
        let segments = answer["segments"].as_array().unwrap().clone();
        let tokens: u64 = segments.iter().map(|segment| segment[1].as_u64().unwrap()).sum();
        assert!(tokens <= 8000, "{tokens} tokens at call {call}");
        assert!(ids(answer, "resident").contains(&format!("t{call}")), "what is new is shown");
        for breakpoint in answer["breakpoints"].as_array().unwrap() {
            assert!((breakpoint.as_u64().unwrap() as usize) < segments.len());
        }
        if answer["plan"] == "none" {
            assert!(segments.starts_with(&before), "call {call} changed its prefix and says nothing");
        }
        shown.insert(answer["plan"].as_str().unwrap().to_owned());
        before = segments;
    }
    assert!(shown.contains("none") && shown.contains("minor"), "{shown:?}");
}

#[test]
fn a_policy_can_be_chosen() {
    let mut lines = vec![open(4000).to_string()];
    for call in 0..40 {
        lines.push(append(&[(&format!("u{call}"), "user", 200)]).to_string());
        lines.push(render(call * 1000).to_string());
    }
    let used = |arguments: &[&str]| {
        let answers = answers_with(arguments, &lines);
        let tokens = |answer: &Value| {
            answer["segments"]
                .as_array()
                .map(|all| all.iter().map(|one| one[1].as_u64().unwrap()).sum::<u64>())
        };
        let all: Vec<u64> = answers.iter().skip(30).filter_map(tokens).collect();
        all.iter().sum::<u64>() / all.len() as u64
    };
    assert!(used(&["--policy", "fifo"]) > 3_700);
    assert!(used(&["--floor", "0.9"]) > used(&["--floor", "0.5"]) + 400);
    let refused = Command::new(example()).args(["--policy", "nobody"]).output().unwrap();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("generational"));
}
