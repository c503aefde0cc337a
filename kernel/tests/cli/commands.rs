//! The commands beside `run`, and what `run` shows.

use crate::home::{ANSWER, Home, end};

const TWO_TURNS: &str = r#"
[[reply]]
text = "I calculate."
[[reply.tool]]
name = "calculator"
args = { expression = "6*7" }

[[reply]]
text = "It is 42 (months.txt:2)."
"#;

#[test]
fn a_run_prints_answer_sources_and_figures() {
    let ended = Home::new().ask(TWO_TURNS, &[]).ok();
    assert!(ended.stderr.starts_with("pid ") || ended.stderr.contains("\npid "), "{ended:#?}");
    assert!(
        ended.stdout.starts_with("It is 42 (months.txt:2).\n"),
        "only the answer goes into a pipe: {ended:#?}"
    );
    assert!(
        ended.stdout.contains("\nsources\n  months.txt:2  Source stays available for twelve months.\n"),
        "{ended:#?}"
    );
    assert!(ended.stdout.contains("cost $0.000000"), "{ended:#?}");
}

#[test]
fn json_separates_what_was_retrieved_from_what_was_cited() {
    let json = Home::new().ask(TWO_TURNS, &["--json"]).ok().json();
    assert_eq!(json["answer"], "It is 42 (months.txt:2).");
    assert_eq!(json["sources"]["retrieved"][0]["line"], 2);
    assert_eq!(json["sources"]["cited"][0]["file"], "months.txt");
    let json = Home::new().ask(ANSWER, &["--json"]).ok().json();
    assert_eq!(json["sources"]["retrieved"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["sources"]["cited"], serde_json::json!([]));
}

#[test]
fn processes_are_listed_and_found_by_the_beginning_of_their_pid() {
    let home = Home::new();
    assert_eq!(home.run(&["ps", "--json"]).ok().json()["processes"], serde_json::json!([]));
    let pid = home.ask(ANSWER, &[]).ok().pid();
    assert!(!home.run(&["ps"]).ok().stdout.contains(&pid), "it has ended");
    let listed = home.run(&["ps", "--all"]).ok().stdout;
    assert!(
        listed.contains(&pid) && listed.contains("exited (ok)") && listed.contains("How many months"),
        "{listed}"
    );
    let logs = home.run(&["logs", &pid[..13]]).ok().stdout;
    for word in ["spawned", "import_dir", "infer", "allow", "tokens in", "exited", "ok: Twelve months."] {
        assert!(logs.contains(word), "{word:?} in {logs}");
    }
    home.ask(ANSWER, &[]).ok();
    home.run(&["logs", "0"]).fails(65, &["2 processes"]);
}

#[test]
fn logs_as_json_are_one_object_a_line_with_every_record() {
    let home = Home::new();
    let pid = home.ask(TWO_TURNS, &[]).ok().pid();
    let logs = home.run(&["logs", "--json", &pid]).ok().stdout;
    let events: Vec<serde_json::Value> =
        logs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = events.iter().map(|event| event["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let kinds = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
    assert_eq!((kinds("spawned"), kinds("exited")), (1, 1));
    assert_eq!(kinds("intent"), kinds("outcome"));
}

#[test]
fn what_was_cached_stands_beside_what_was_expected() {
    let home = Home::new();
    let ended = home.ask(TWO_TURNS, &["--json"]).ok();
    let (json, pid) = (ended.json(), ended.pid());
    let expected = json["cache"]["expected_tokens"].as_u64().unwrap();
    let cached = json["usage"]["cached_tokens"].as_u64().unwrap();
    assert!(expected > 0 && expected.abs_diff(cached) <= 64, "{json:#}");
    assert_eq!(json["cache"]["warnings"], 0);
    let logs = home.run(&["logs", &pid]).ok().stdout;
    assert!(logs.contains(&format!(" cached, {expected} expected)")) && !logs.contains("warning"), "{logs}");
    assert!(home.ask(TWO_TURNS, &[]).ok().stdout.contains(" expected), "));
}

#[test]
fn a_spent_budget_suspends_and_a_larger_one_resumes() {
    let home = Home::new();
    let ended = home
        .ask(TWO_TURNS, &["--max-steps", "3"])
        .fails(3, &["limit of steps", "agentos resume", "--max-steps"]);
    let pid = ended.pid();
    assert!(home.run(&["ps"]).ok().stdout.contains("suspended (limit of steps)"));
    home.run(&["resume", &pid]).fails(3, &["limit of steps"]);
    home.run(&["resume", &pid, "--max-steps", "2"]).fails(2, &["--max-steps"]);
    home.run(&["resume", &pid, "--max-tokens", "9"]).fails(2, &["--max-tokens"]);
    let ended = home.run(&["resume", &pid, "--max-steps", "50"]).ok();
    assert!(ended.stdout.starts_with("It is 42"), "{ended:#?}");
    home.run(&["audit", "verify"]).ok();
}

#[test]
fn an_interrupt_stops_and_resume_goes_on() {
    let home = Home::new();
    let cpu = home.scripted("[[reply]]\nhang = true\n");
    let mut running = home.start(&["run", "--cpu", &cpu, "wait"]);
    running.until("thinking: ").unwrap();
    running.signal("-INT");
    let pid = running.pid.clone();
    running.wait().fails(130, &["stopped", "agentos resume"]);
    assert!(home.run(&["ps"]).ok().stdout.contains("suspended (stopped)"));
    home.scripted(ANSWER);
    assert!(home.run(&["resume", &pid]).ok().stdout.starts_with("Twelve months."));
}

#[test]
fn a_second_interrupt_exits_at_once_and_nothing_is_lost() {
    let home = Home::new();
    let cpu = home.scripted("[[reply]]\nhang = true\n");
    let mut running = home.start(&["run", "--cpu", &cpu, "wait"]);
    running.until("thinking: ").unwrap();
    running.signal("-INT");
    running.signal("-INT");
    let pid = running.pid.clone();
    assert_eq!(running.wait().code, Some(130));
    home.scripted(ANSWER);
    home.run(&["resume", &pid]).ok();
}

#[test]
fn a_followed_journal_ends_with_its_process() {
    let home = Home::new();
    let cpu = home.scripted("[[reply]]\ntext = \"Twelve months.\"\ndelay_ms = 400\n");
    let running = home.start(&["run", "--cpu", &cpu, "wait"]);
    let followed = home.run(&["logs", "--follow", &running.pid]).ok();
    assert!(followed.stdout.contains("ok: Twelve months."), "it waited for the end: {followed:#?}");
    running.wait().ok();
}

#[test]
fn a_signal_reaches_a_running_kernel_from_a_second_process() {
    let home = Home::new();
    let cpu = home.scripted("[[reply]]\nhang = true\n");
    let mut running = home.start(&["run", "--cpu", &cpu, "wait"]);
    running.until("thinking: ").unwrap();
    let pid = running.pid.clone();
    assert!(home.run(&["kill", "-s", "STOP", &pid]).ok().stdout.contains("STOP posted"));
    running.wait().fails(130, &["stopped"]);
    assert!(home.run(&["kill", &pid]).ok().stdout.contains("TERM posted"));
    assert!(home.run(&["kill", "-9", &pid]).ok().stdout.contains("KILL posted"));
    home.run(&["resume", &pid]).fails(1, &["ended by KILL"]);
    home.run(&["kill", "-s", "HUP", &pid]).fails(2, &["TERM, KILL, STOP, CONT"]);
}

#[test]
fn an_agent_that_gives_up_fails_with_its_reason() {
    let home = Home::new();
    let slow = "[[reply]]\nerror = \"timeout\"\nmessage = \"too slow\"\n".repeat(5);
    home.ask(&format!("{slow}[[reply]]\ntext = \"x\"\n"), &[]).fails(124, &["too slow"]);
}

#[test]
fn writing_takes_the_flag() {
    let script = r#"
[[reply]]
[[reply.tool]]
name = "write_file"
args = { path = "note.txt", content = "milk" }

[[reply]]
text = "Written."
"#;
    let home = Home::new();
    let pid = home.ask(script, &[]).ok().pid();
    assert!(!home.path("work/note.txt").exists());
    let logs = home.run(&["logs", &pid]).ok().stdout;
    assert!(
        logs.contains("denied: missing tool:write_file") || logs.contains("rejected: write_file"),
        "{logs}"
    );
    let home = Home::new();
    home.ask(script, &["--write"]).ok();
    assert_eq!(std::fs::read_to_string(home.path("work/note.txt")).unwrap(), "milk");
}

#[test]
fn an_edited_record_is_found_by_the_audit() {
    let home = Home::new();
    let pid = home.ask(ANSWER, &[]).ok().pid();
    let clean = home.run(&["audit", "verify", &pid, "--json"]).ok().json();
    assert_eq!(clean["clean"], true);
    edit(&home, "UPDATE event SET at = at + 1 WHERE number = 3");
    let ended = home.run(&["audit", "verify"]);
    assert_eq!(ended.code, Some(65), "{ended:#?}");
    assert!(ended.stdout.contains(&format!("event {pid} record 3")), "{}", ended.stdout);
}

/// Runs one statement on the database, behind everybody's back.
pub(crate) fn edit(home: &Home, sql: &str) {
    let script =
        "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.execute(sys.argv[2])\nc.commit()\n";
    let mut python = std::process::Command::new("python3");
    end(python.args(["-c", script]).arg(home.data().join("agentos.db")).arg(sql)).ok();
}

#[test]
fn an_erased_body_is_found_by_the_audit() {
    let home = Home::new();
    home.ask(ANSWER, &[]).ok();
    home.run(&["audit", "verify"]).ok();
    edit(
        &home,
        "UPDATE event SET body = NULL WHERE number = (SELECT min(number) FROM event WHERE body IS NOT NULL)",
    );
    let ended = home.run(&["audit", "verify"]);
    assert_eq!(ended.code, Some(65), "{ended:#?}");
    assert!(ended.stdout.contains("erased"), "{}", ended.stdout);
}

#[test]
fn a_removed_row_is_found_by_the_audit() {
    let home = Home::new();
    let pid = home.ask(ANSWER, &[]).ok().pid();
    home.run(&["audit", "verify"]).ok();
    edit(&home, "DELETE FROM agent");
    let ended = home.run(&["audit", "verify"]);
    assert_eq!(ended.code, Some(65), "{ended:#?}");
    assert!(ended.stdout.contains(&format!("agent {pid}: row removed")), "{}", ended.stdout);
}

#[test]
fn a_question_larger_than_the_window_is_not_asked() {
    let home = Home::new();
    let question = "why? ".repeat(20_000);
    let ended = home.run(&["run", "--cpu", &home.scripted(ANSWER), "--window", "1000", &question]);
    let ended = ended.fails(1, &["exceeds the window"]);
    let pid = ended.pid();
    let logs = home.run(&["logs", &pid]).ok();
    assert!(!logs.stdout.contains("infer"), "no model was called: {}", logs.stdout);
}

#[test]
fn doctor_looks_at_everything_and_shows_no_key() {
    let home = Home::new();
    let ended = end(home.agentos(&["doctor"]).env("OPENAI_API_KEY", "sk-secret-42")).ok();
    for name in ["data directory", "disk space", "store", "python", "local model", "local servers", "sandbox"]
    {
        assert!(ended.stdout.contains(name), "{name}: {}", ended.stdout);
    }
    assert!(
        ended.stdout.contains("OPENAI_API_KEY      set") && !ended.stdout.contains("sk-secret"),
        "{}",
        ended.stdout
    );
    home.ask(ANSWER, &[]).ok();
    assert!(home.run(&["doctor"]).ok().stdout.contains("SQLite 3."));
    assert_eq!(home.run(&["doctor", "--json"]).ok().json()["ok"], true);
}

#[test]
fn help_documents_every_exit_code() {
    let help = Home::new().run(&["--help"]).ok().stdout;
    for code in ["0", "1", "2", "3", "65", "69", "74", "75", "77", "78", "124", "130"] {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))),
            "{code} in {help}"
        );
    }
    assert!(Home::new().run(&["completions", "bash"]).ok().stdout.contains("agentos"));
}
