//! Bad input: each kind gets one clear line, a documented exit code, and nothing is lost.

use std::fs::File;

use crate::home::{ANSWER, Home};

#[test]
fn a_missing_folder_is_named() {
    let home = Home::new();
    let cpu = home.scripted(ANSWER);
    let ended = home.run(&["run", "--cpu", &cpu, "--workspace", "nowhere", "ask"]);
    ended.fails(65, &["nowhere", "does not exist", "--workspace"]);
    assert!(!home.data().exists(), "nothing was begun");
}

#[test]
fn a_file_is_no_workspace() {
    let home = Home::new();
    let cpu = home.scripted(ANSWER);
    let ended = home.run(&["run", "--cpu", &cpu, "--workspace", "script.toml", "ask"]);
    ended.fails(65, &["script.toml", "is not a folder"]);
}

#[test]
fn what_cannot_be_read_as_text_is_skipped_with_the_reason() {
    let home = Home::new();
    home.file("work/binary.bin", b"ELF\0\0\0");
    home.file("work/latin1.txt", b"caf\xe9 cr\xe8me");
    let large = File::create(home.path("work/large.log")).unwrap();
    large.set_len(1 << 30).unwrap();
    let ended = home.ask(ANSWER, &["--json"]).ok();
    let skipped = ended.json()["import"]["skipped"].clone();
    let skipped: Vec<String> = serde_json::from_value(skipped).unwrap();
    let reason = |name: &str| {
        skipped
            .iter()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} in {skipped:?}"))
            .clone()
    };
    assert!(reason("binary.bin").contains("binary"), "{skipped:?}");
    assert!(reason("latin1.txt").contains("UTF-8"), "{skipped:?}");
    assert!(reason("large.log").contains("1073741824 bytes"), "{skipped:?}");
    assert_eq!(skipped.len(), 3, "the text file was read");
    assert!(ended.stderr.contains("skipped: 3 files"), "{}", ended.stderr);
    assert_eq!(ended.json()["sources"]["retrieved"][0]["file"], "months.txt");
}

#[test]
fn an_unknown_model_names_the_known() {
    Home::new().ask(ANSWER, &["--model", "nope"]).fails(78, &["nope", "there is scripted"]);
    let home = Home::new();
    home.run(&["run", "--cpu", "local", "--model", "nope", "--no-install", "ask"])
        .fails(78, &["nope", "GGUF"]);
}

#[test]
fn without_installing_there_is_no_local_model() {
    let home = Home::new();
    let ended = home.run(&["run", "--cpu", "local", "--no-install", "ask"]);
    ended.fails(69, &["not installed", "--no-install"]);
}

#[test]
fn a_malformed_address_is_a_matter_of_configuration() {
    let home = Home::new();
    for address in ["openai:nonsense", "openai:ftp://127.0.0.1/v1", "openai:http://user:word@127.0.0.1/v1"] {
        home.run(&["run", "--cpu", address, "--model", "m", "Why?"])
            .fails(78, &["base URL", "http://127.0.0.1"]);
    }
}

#[test]
fn an_audit_of_nothing_is_not_well() {
    let home = Home::new();
    home.run(&["audit", "verify"]).fails(65, &["there is no store at", "--data-dir"]);
    home.run(&["--data-dir", "elsewhere", "audit", "verify"]).fails(65, &["elsewhere"]);
}

#[test]
fn an_unknown_profile_names_the_known() {
    Home::new().ask(ANSWER, &["--agent", "reserch"]).fails(65, &["reserch", "there is research"]);
}

#[test]
fn a_broken_profile_names_the_line() {
    let home = Home::new();
    home.file("agent.toml", "name = \"a\"\ncolour = 1\n");
    home.ask(ANSWER, &["--agent", "./agent.toml"]).fails(65, &["line 2", "colour"]);
}

#[test]
fn a_broken_script_names_the_line() {
    Home::new().ask("[[reply]]\ntext = = 1\n", &[]).fails(65, &["script.toml", "line 2"]);
    let home = Home::new();
    home.run(&["run", "--cpu", "scripted:none.toml", "ask"]).fails(65, &["none.toml", "No such file"]);
}

#[test]
fn an_empty_task_is_a_wrong_command_line() {
    let home = Home::new();
    let cpu = home.scripted(ANSWER);
    home.run(&["run", "--cpu", &cpu, "  "]).fails(2, &["the task is empty"]);
    home.run(&["run"]).fails(2, &["required", "<TASK>"]);
    home.run(&["run", "--cpu", "claude", "ask"]).fails(2, &["claude", "scripted:FILE"]);
    home.run(&["run", "--max-cost", "much", "ask"]).fails(2, &["US dollars"]);
}

#[test]
fn an_unknown_pid_is_named_by_every_command() {
    let home = Home::new();
    for command in [
        &["logs", "abc"][..],
        &["mem", "abc"],
        &["resume", "abc"],
        &["kill", "abc"],
        &["audit", "verify", "abc"],
    ] {
        home.run(command).fails(65, &["no process \"abc\"", "agentos ps"]);
    }
    assert!(!home.data().exists(), "looking makes nothing");
    home.ask(ANSWER, &[]).ok();
    for command in [
        &["logs", "zzz"][..],
        &["mem", "zzz"],
        &["resume", "zzz"],
        &["kill", "zzz"],
        &["audit", "verify", "zzz"],
    ] {
        home.run(command).fails(65, &["no process \"zzz\""]);
    }
}

#[test]
fn a_process_that_has_ended_is_not_resumed_or_killed() {
    let home = Home::new();
    let pid = home.ask(ANSWER, &[]).ok().pid();
    home.run(&["resume", &pid]).fails(65, &["has ended", "agentos logs"]);
    home.run(&["kill", &pid]).fails(65, &["has ended"]);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let home = Home::new();
    home.file("data", "a file");
    home.ask(ANSWER, &[]).fails(77, &["data"]);
    let ended = home.run(&["doctor"]);
    assert_eq!(ended.code, Some(74), "{ended:#?}");
    assert!(ended.stdout.contains("BAD   data directory"), "{}", ended.stdout);
}

#[test]
fn a_second_kernel_on_the_same_database_is_busy() {
    let home = Home::new();
    let cpu = home.scripted("[[reply]]\nhang = true\n");
    let mut first = home.start(&["run", "--cpu", &cpu, "wait"]);
    home.run(&["run", "--cpu", &cpu, "ask"]).fails(75, &["another kernel"]);
    home.run(&["resume", &first.pid.clone()]).fails(75, &["another kernel"]);
    first.kill();
    home.scripted(ANSWER);
    home.run(&["resume", &first.pid.clone()]).ok();
}

#[test]
fn a_question_with_no_match_has_no_sources() {
    let home = Home::new();
    let cpu = home.scripted("[[reply]]\ntext = \"The documents do not say.\"\n");
    home.file("work/a.txt", "Nothing of that sort.\n");
    let args = ["run", "--cpu", &cpu, "--workspace", "work", "Zebras?"];
    let ended = home.run(&args).ok();
    assert!(ended.stdout.contains("The documents do not say."), "{}", ended.stdout);
    assert!(ended.stdout.contains("sources: none"), "{}", ended.stdout);
    let json = home.run(&[&args[..], &["--json"]].concat()).ok().json();
    assert_eq!(json["sources"], serde_json::json!({ "retrieved": [], "cited": [] }));
}

#[test]
fn with_json_an_error_is_an_object() {
    let home = Home::new();
    let check = |args: &[&str], code: i32, kind: &str| {
        let ended = home.run(args);
        assert_eq!(ended.code, Some(code), "{ended:#?}");
        let error = ended.json()["error"].clone();
        assert_eq!((&error["kind"], &error["exit_code"]), (&kind.into(), &code.into()), "{ended:#?}");
        assert!(
            error["message"].as_str().is_some_and(|message| !message.is_empty() && !message.contains('\n'))
        );
        assert!(error["hint"].is_string());
    };
    check(&["--json", "logs", "abc"], 65, "bad_input");
    check(&["run", "--json", "--frobnicate"], 2, "usage");
    check(&["run", "--json", ""], 2, "usage");
    check(&["run", "--json", "--cpu", "local", "--no-install", "ask"], 69, "unavailable");
}
