//! `agentos checkpoint`, `checkpoints`, `fork` and `restore`, through real stores.

use serde_json::Value;

use crate::home::{ANSWER, Home};

/// A home with a process that has answered, and the steps it made.
fn answered() -> (Home, String, u64) {
    let home = Home::new();
    let pid = home.ask(ANSWER, &[]).ok().pid();
    let listed = home.run(&["ps", "--all", "--json"]).ok().json();
    let steps = listed["processes"][0]["step"].as_u64().unwrap();
    (home, pid, steps)
}

fn pages(home: &Home, pid: &str, at: &[&str]) -> usize {
    home.run(&[&["export", pid], at].concat()).ok().stdout.lines().count()
}

#[test]
fn a_fork_of_each_step_gives_the_same_answer() {
    let (home, pid, steps) = answered();
    let whole = home.run(&["export", &pid]).ok().stdout;
    for step in 1..=steps {
        let at = step.to_string();
        let fork = home.run(&["fork", &pid, "--at", &at, "--json"]).ok().json();
        let made = fork["pid"].as_str().unwrap();
        assert_eq!(fork["of"]["pid"], pid.as_str());
        assert_eq!(fork["next"], format!("agentos resume {made}").as_str());
        assert_eq!(pages(&home, made, &[]), pages(&home, &pid, &["--at", &at]), "step {step}");
        let resumed = home.run(&["resume", made]).ok().stdout;
        assert!(resumed.starts_with("Twelve months."), "step {step}: {resumed}");
        let logs = home.run(&["logs", made]).ok().stdout;
        assert!(logs.contains("forked") && logs.contains(&pid), "{logs}");
    }
    assert_eq!(home.run(&["export", &pid]).ok().stdout, whole);
    home.run(&["audit", "verify"]).ok();
}

#[test]
fn names_are_given_listed_and_taken() {
    let (home, pid, _) = answered();
    assert!(home.run(&["checkpoints", &pid]).ok().stdout.contains("agentos checkpoint"));
    assert!(
        home.run(&["checkpoint", &pid, "--name", "early", "--at", "1"]).ok().stdout.contains("early: step 1")
    );
    let named = home.run(&["checkpoint", &pid, "--json"]).ok().json();
    assert_eq!(named["name"], format!("step-{}", named["at"]["step"]).as_str());
    let known = home.run(&["checkpoints", &pid, "--json"]).ok().json();
    let names: Vec<&Value> =
        known["checkpoints"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&Value::from("early"), &named["name"]]);
    let table = home.run(&["checkpoints", &pid]).ok().stdout;
    assert!(table.starts_with("NAME") && table.contains("early"), "{table}");
    let fork = home.run(&["fork", &pid, "--at", "early", "--name", "second"]).ok();
    assert!(home.run(&["ps", "--all"]).ok().stdout.contains("second"), "{fork:#?}");
    assert!(home.run(&["mem", &pid, "--at", "early"]).ok().stdout.contains("window:"));
    let ps = home.run(&["ps"]).ok().stdout;
    assert!(!ps.contains("resume it"), "a name waits for nobody: {ps}");
}

#[test]
fn a_process_goes_back_and_goes_on() {
    let home = Home::new();
    let pid = home.ask(ANSWER, &["--max-steps", "2"]).fails(3, &["limit of steps"]).pid();
    let back = home.run(&["restore", &pid, "--at", "1"]).ok().stdout;
    assert!(back.contains(&format!("agentos resume {pid}")), "{back}");
    let resumed = home.run(&["resume", &pid, "--max-steps", "50"]).ok().stdout;
    assert!(resumed.starts_with("Twelve months."), "{resumed}");
    let logs = home.run(&["logs", &pid]).ok().stdout;
    assert!(logs.contains("went back") && logs.contains("to step 1"), "{logs}");
    home.run(&["audit", "verify"]).ok();
}

#[test]
fn bad_moments_get_one_line_and_make_nothing() {
    let (home, pid, _) = answered();
    let before = home.run(&["ps", "--all", "--json"]).ok().json();
    home.run(&["fork", "zzz"]).fails(65, &["no process"]);
    home.run(&["fork", &pid, "--at", "never"]).fails(65, &["no checkpoint \"never\"", "agentos checkpoints"]);
    home.run(&["restore", &pid, "--at", "1"]).fails(65, &["has ended", "fork it"]);
    home.run(&["restore", &pid]).fails(2, &["--at"]);
    home.run(&["checkpoint", &pid, "--name", "12"]).fails(65, &["is no number"]);
    home.run(&["mem", &pid, "--at", "never"]).fails(65, &["no checkpoint"]);
    assert_eq!(home.run(&["ps", "--all", "--json"]).ok().json()["processes"], before["processes"]);
    let empty = Home::new();
    empty.run(&["fork", "zzz"]).fails(65, &["no process"]);
}
