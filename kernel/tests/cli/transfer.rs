//! `agentos export` and `agentos import`, through real stores.

use crate::home::{ANSWER, Home, end};

/// A home with a process that has answered, and its export.
fn exported() -> (Home, String, String) {
    let home = Home::new();
    let pid = home.ask(ANSWER, &[]).ok().pid();
    let text = home.run(&["export", &pid]).ok().stdout;
    (home, pid, text)
}

#[test]
fn an_export_is_one_object_a_line_with_every_text() {
    let (_home, _, text) = exported();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["format"], &lines[0]["version"]), (&"agentos-space".into(), &2.into()));
    assert_eq!(lines[0]["pages"].as_u64(), Some(lines.len() as u64 - 2));
    let page = |kind: &str| lines.iter().find(|line| line["kind"] == kind).unwrap();
    assert_eq!(page("document")["origin"]["path"], "months.txt");
    assert_eq!(page("user")["text"], "How many months is source available?");
    assert_eq!(page("user")["about"][0], "user");
    assert_eq!(page("assistant")["text"], "Twelve months.");
    assert!(lines.last().unwrap()["state"].is_string());
}

#[test]
fn an_imported_process_exports_the_same_in_another_store() {
    let (_home, _, text) = exported();
    let other = Home::new();
    other.file("space.jsonl", &text);
    let ended = other.run(&["import", "space.jsonl"]).ok();
    let pid = ended.pid();
    assert!(ended.stdout.contains(&format!("agentos export {pid}")), "{ended:#?}");
    assert_eq!(other.run(&["export", &pid]).ok().stdout, text);
    assert!(other.run(&["ps"]).ok().stdout.contains(&pid));
    let logs = other.run(&["logs", &pid]).ok().stdout;
    assert!(logs.contains("restored an exported space"), "{logs}");
    other.run(&["audit", "verify"]).ok();
    let again = other.run(&["import", "--json", "space.jsonl"]).ok().json();
    assert_eq!(again["pages"].as_u64(), Some(text.lines().count() as u64 - 2));
}

#[test]
fn an_imported_process_goes_on_with_a_task() {
    let (home, _, text) = exported();
    home.file("space.jsonl", &text);
    // A script counts what the model has said in the prompt: the first reply was given before the export.
    let cpu = home.scripted("[[reply]]\ntext = \"no\"\n[[reply]]\ntext = \"A year.\"\n");
    let args = ["import", "space.jsonl", "--task", "How long is the source available?", "--cpu", &cpu];
    let pid = home.run(&args).ok().pid();
    let ended = home.run(&["resume", &pid]).ok();
    assert!(ended.stdout.starts_with("A year."), "{ended:#?}");
    let logs = home.run(&["logs", &pid]).ok().stdout;
    assert!(logs.contains("recall") && logs.contains("ok     pages"), "{logs}");
    let grown = home.run(&["export", &pid]).ok().stdout;
    assert!(grown.contains("Twelve months.") && grown.contains("A year."), "old and new pages");
}

#[test]
fn one_without_a_task_is_resumed_and_killed() {
    let (home, _, text) = exported();
    home.file("space.jsonl", &text);
    let pid = home.run(&["import", "space.jsonl"]).ok().pid();
    for _ in 0..2 {
        let ended = home.run(&["resume", &pid]).ok();
        assert!(ended.stdout.contains("only holds pages"), "{ended:#?}");
        assert_eq!(home.run(&["export", &pid]).ok().stdout, text);
    }
    let again = home.run(&["resume", &pid, "--json"]).ok().json();
    assert_eq!(again["state"], "blocked (message)");
    home.run(&["nice", &pid, "10"]).ok();
    home.run(&["resume", &pid]).ok();
    assert!(home.run(&["ps"]).ok().stdout.contains(" 10 "));
    home.run(&["kill", &pid]).ok();
    assert!(home.run(&["ps"]).ok().stdout.contains("TERM: resume it"));
    home.run(&["resume", &pid]).fails(1, &["ended by TERM"]);
    assert!(!home.run(&["ps"]).ok().stdout.contains(&pid));
    assert_eq!(home.run(&["export", &pid]).ok().stdout, text, "its pages are there when it has ended");
    home.run(&["audit", "verify"]).ok();
}

#[test]
fn a_wrong_file_is_named_with_its_line_and_nothing_is_made() {
    let (home, pid, text) = exported();
    let other = Home::new();
    let wrong = |content: &str, words: &[&str]| {
        other.file("space.jsonl", content);
        let mut said = vec!["space.jsonl"];
        said.extend(words);
        other.run(&["import", "space.jsonl"]).fails(65, &said);
        assert!(!other.data().exists(), "nothing was begun");
    };
    wrong("hello\n", &["line 1"]);
    wrong(&text.replace("Twelve months.", "Thirteen months."), &["does not match its hash"]);
    wrong(&text[..text.len() - 40], &["cut off"]);
    wrong(&text.replacen("\"version\":2", "\"version\":1", 1), &["version 1"]);
    wrong(&text.replacen("generational", "fifo", 1), &["paged by \"fifo\""]);
    other.run(&["import", "nowhere.jsonl"]).fails(65, &["nowhere.jsonl"]);
    home.run(&["export", "ffff"]).fails(65, &["no process"]);
    end(home.agentos(&["export", &pid]).env("AGENTOS_DATA_DIR", other.data())).fails(65, &["no process"]);
}
