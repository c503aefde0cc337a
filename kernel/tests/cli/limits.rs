//! Limits on the command line: each flag holds, says its name, and is got past by what its message says.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::home::{ANSWER, Ended, Home};

/// Calculates twice, then answers: three calls of the model, two of tools.
const THREE_TURNS: &str = r#"
[[reply]]
[[reply.tool]]
name = "calculator"
args = { expression = "6*7" }

[[reply]]
[[reply.tool]]
name = "calculator"
args = { expression = "42/7" }

[[reply]]
text = "Twelve months."
"#;

fn answered(ended: &Ended) {
    assert!(ended.stdout.starts_with("Twelve months."), "{ended:#?}");
}

/// A run that meets a limit is suspended by its name; the same run goes on with a larger one.
#[test]
fn every_budget_suspends_and_lets_go() {
    let cases = [
        (["--max-calls", "2"], "limit of calls", ["--max-calls", "50"]),
        (["--max-tool-calls", "1"], "limit of tool calls", ["--max-tool-calls", "50"]),
        (["--max-steps", "2"], "limit of steps", ["--max-steps", "50"]),
        (["--max-tokens", "60"], "limit of tokens", ["--max-tokens", "100000"]),
        (["--system-calls", "2"], "limit of calls of the system", ["--system-calls", "50"]),
        (["--system-tokens", "60"], "limit of tokens of the system", ["--system-tokens", "100000"]),
    ];
    for (limit, name, larger) in cases {
        let home = Home::new();
        let pid = home.ask(THREE_TURNS, &limit).fails(3, &[name, limit[0]]).pid();
        let resumed = home.run(&[&["resume", pid.as_str()][..], &larger].concat());
        answered(&resumed.ok());
        home.run(&["audit", "verify"]).ok();
    }
}

/// What a store knows was spent counts for the next run's limit of the system.
#[test]
fn the_system_s_limit_is_for_all_runs_together() {
    let home = Home::new();
    answered(&home.ask(ANSWER, &["--system-calls", "100"]).ok());
    home.ask(ANSWER, &["--system-calls", "1"]).fails(3, &["limit of calls of the system"]);
    answered(&home.ask(ANSWER, &["--system-calls", "100"]).ok());
}

#[test]
fn time_that_is_up_ends_a_call_that_hangs() {
    let home = Home::new();
    let start = Instant::now();
    home.ask("[[reply]]\nhang = true\n", &["--max-time", "1s"])
        .fails(3, &["limit of wall time", "--max-time"]);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

/// A call that is too early for a rate waits, and the log says for what.
#[test]
fn a_rate_makes_calls_wait() {
    for flag in ["--rate", "--system-rate"] {
        let home = Home::new();
        let start = Instant::now();
        let ended = home.ask(THREE_TURNS, &[flag, "1 calls/s, burst 1"]).ok();
        answered(&ended);
        assert!(
            start.elapsed() > Duration::from_millis(1_900),
            "{flag}: three calls in {:?}",
            start.elapsed()
        );
        let logs = home.run(&["logs", &ended.pid()]).ok().stdout;
        assert!(logs.contains("waiting for its rate"), "{flag}: {logs}");
    }
}

/// A rate is part of a process: the kernel that takes it over keeps to it without being told.
#[test]
fn a_rate_goes_on_with_its_process() {
    let home = Home::new();
    let pid = home
        .ask(THREE_TURNS, &["--rate", "1 calls/s, burst 1", "--max-steps", "1"])
        .fails(3, &["limit of steps"])
        .pid();
    let start = Instant::now();
    answered(&home.run(&["resume", &pid, "--max-steps", "50"]).ok());
    assert!(start.elapsed() > Duration::from_millis(900), "two calls or more in {:?}", start.elapsed());
}

/// A provider that takes so many requests a minute gets no more at a time, and the log says what calls waited for.
#[test]
fn a_provider_s_limits_are_kept() {
    let home = Home::new();
    let start = Instant::now();
    // One at once, then one in 3.2 seconds.
    let ended = home.ask(THREE_TURNS, &["--rpm", "19"]).ok();
    answered(&ended);
    assert!(start.elapsed() >= Duration::from_millis(6_300), "three calls in {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let logs = home.run(&["logs", &ended.pid()]).ok().stdout;
    assert!(logs.contains("waiting for the provider's limit of requests"), "{logs}");
    let shown = home.run(&["config", "--json"]).ok().json();
    assert_eq!(shown["values"]["provider.rpm"]["value"], Value::Null);
}

/// One that is larger than all that may come at once waits for that and no longer: it would never fit otherwise.
#[test]
fn a_call_larger_than_the_provider_s_limit_is_sent_when_nothing_is_owed() {
    let home = Home::new();
    let start = Instant::now();
    answered(&home.ask(ANSWER, &["--tpm", "20"]).ok());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    let ended = home.ask(THREE_TURNS, &["--tpm", "3000"]).ok();
    answered(&ended);
    let logs = home.run(&["logs", &ended.pid()]).ok().stdout;
    assert!(logs.contains("waiting for the provider's limit of tokens"), "{logs}");
}

#[test]
fn wrong_limits_get_one_line() {
    let home = Home::new();
    for (flag, value) in [
        ("--rate", "60 per minute"),
        ("--rate", "0 calls/min"),
        ("--rate", "60 calls/fortnight"),
        ("--system-rate", "many tokens/s"),
        ("--max-time", "0s"),
        ("--max-time", "soon"),
        ("--max-children", "0"),
        ("--rpm", "0"),
        ("--tpm", "few"),
        ("--system-cost", "free"),
    ] {
        let ended = home.ask(ANSWER, &[flag, value]).fails(2, &[flag]);
        assert!(!ended.stderr.contains("pid "), "nothing was started: {ended:#?}");
    }
}
