//! `agentos mem`: the window of a process, running or ended.

use serde_json::Value;

use crate::home::{ANSWER, Ended, Home};
use crate::questions::{FOLDER, MAIN};

const SMALL: &str = "[model]\nwindow = 2512\nmax_output = 512\nnative_tools = false\n";

/// A run over a folder larger than the window.
fn paged(home: &Home) -> Ended {
    let cpu = home.scripted(&format!("{SMALL}[[reply]]\ntext = \"See the sources.\"\n"));
    home.run(&["run", "--json", "--workspace", FOLDER, "--cpu", &cpu, MAIN.0]).ok()
}

fn sum(rows: &Value, of: &str) -> u64 {
    rows.as_array().unwrap().iter().map(|row| row[of].as_u64().unwrap()).sum()
}

#[test]
fn the_memory_of_an_ended_process_is_drawn_with_reasons() {
    let home = Home::new();
    let pid = paged(&home).pid();
    let text = home.run(&["mem", &pid]).ok().stdout;
    for word in [
        "of 2,000 tokens",
        "instructions stay",
        "says what left",
        "MPL-1.1",
        "pinned",
        "by a compaction",
        "next compaction, if the window were full now: ",
        "learned in 1 call",
    ] {
        assert!(text.contains(word), "{word:?} in {text}");
    }
    let map: Vec<&str> = text.lines().skip(3).take(4).collect();
    assert!(map.iter().all(|line| line.chars().count() == 80), "as wide as no terminal: {text}");
    assert!(map[0].starts_with("  IIII") && map[3].ends_with("...."), "{text}");
    assert!(!text.contains('\u{1b}'), "a pipe gets no colours: {text}");
}

#[test]
fn memory_as_json_adds_up_and_agrees_with_the_journal() {
    let home = Home::new();
    let pid = paged(&home).pid();
    let json = home.run(&["mem", "--json", &pid]).ok().json();
    assert_eq!(json["pid"].as_str(), Some(pid.as_str()));
    let (window, load) = (json["window"].as_u64().unwrap(), json["load"].as_u64().unwrap());
    assert!(window == 2_000 && (1_000..=2_000).contains(&load), "{json:#}");
    assert!((load..load + 20).contains(&sum(&json["rows"], "tokens")), "{json:#}");
    assert!(json["rows"].as_array().unwrap().iter().any(|row| row["kind"] == "stub"));
    assert!(json["left"].as_array().unwrap().len() == 48 && json["out"].as_u64() > Some(200));
    assert_eq!(json["statistics"]["calls"], 1);
    // What was evicted and not recalled is what the report of the run says.
    let stub = json["rows"].as_array().unwrap().iter().find(|row| row["kind"] == "stub").unwrap();
    let logs = home.run(&["logs", &pid]).ok().stdout;
    assert!(logs.contains("evicted pages") && stub["pages"]["count"].as_u64() > Some(200), "{logs}");
}

#[test]
fn a_running_process_shows_its_memory() {
    let home = Home::new();
    let cpu = home.scripted(&format!("{SMALL}[[reply]]\nhang = true\n"));
    let mut running = home.start(&["run", "--cpu", &cpu, "wait"]);
    running.until("thinking: ").unwrap();
    let text = home.run(&["mem", &running.pid]).ok().stdout;
    assert!(text.contains("new: not shown yet") || text.contains("pinned"), "{text}");
    assert!(text.contains("left: nothing") && text.contains("nothing that may leave"), "{text}");
    running.kill();
    // Nobody runs it any more.
    home.run(&["mem", &running.pid]).ok();
}

#[test]
fn looking_changes_nothing() {
    let home = Home::new();
    let pid = home.ask(ANSWER, &[]).ok().pid();
    let before = home.run(&["logs", "--json", &pid]).ok().stdout;
    home.run(&["mem", &pid]).ok();
    assert_eq!(home.run(&["logs", "--json", &pid]).ok().stdout, before);
    home.run(&["audit", "verify"]).ok();
}

#[test]
fn memory_that_was_edited_is_refused() {
    let home = Home::new();
    let pid = home.ask(ANSWER, &[]).ok().pid();
    crate::commands::edit(&home, "UPDATE agent SET revision = revision + 1");
    home.run(&["mem", &pid]).fails(65, &[&pid, "agentos audit verify"]);
}
