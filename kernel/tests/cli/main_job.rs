//! The main job: a folder larger than the window, a question, the line that answers it among five sources.

use std::path::PathBuf;

use serde_json::Value;

use crate::home::{Home, end};
use crate::questions::{FOLDER, MAIN, QUESTIONS, Row};

const SCRIPT: &str = "[model]\nwindow = 2512\nmax_output = 512\nnative_tools = false\n[[reply]]\ntext = \"See the sources.\"\n";

/// Whether one of the sources is one of the lines.
fn finds(result: &Value, row: &Row) -> bool {
    let sources = result["sources"]["retrieved"].as_array().unwrap();
    assert!(sources.len() <= 5);
    sources.iter().any(|source| {
        let line = source["line"].as_u64().unwrap();
        row.1.iter().any(|(file, first, last)| {
            source["file"] == *file && (u64::from(*first)..=u64::from(*last)).contains(&line)
        })
    })
}

#[test]
fn the_main_job_finds_its_line_and_the_journal_shows_the_paging() {
    let home = Home::new();
    let cpu = home.scripted(SCRIPT);
    let ended = home.run(&["run", "--workspace", FOLDER, "--cpu", &cpu, MAIN.0]).ok();
    let found = ended.stdout.contains("  MPL-1.1:164  ") || ended.stdout.contains("  MPL-1.1:165  ");
    assert!(found, "{ended:#?}");
    let logs = home.run(&["logs", &ended.pid()]).ok().stdout;
    assert!(logs.contains("evicted pages ") && logs.contains("recalled "), "{logs}");
    home.run(&["audit", "verify"]).ok();
}

#[test]
fn nine_of_ten_other_questions_find_their_line() {
    let home = Home::new();
    let cpu = home.scripted(SCRIPT);
    let missed: Vec<&str> = QUESTIONS
        .iter()
        .filter(|row| {
            let ended = home.run(&["run", "--json", "--workspace", FOLDER, "--cpu", &cpu, row.0]).ok();
            !finds(&ended.json(), row)
        })
        .map(|row| row.0)
        .collect();
    println!("{} of {} found; missed {missed:?}", QUESTIONS.len() - missed.len(), QUESTIONS.len());
    assert!(missed.len() <= 1, "{missed:?}");
}

/// Where the local model is fetched to, once a machine.
fn models() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let folder = std::env::var_os("AGENTOS_TEST_DATA").map(PathBuf::from);
    folder.unwrap_or_else(|| target.with_file_name("agentos-test-data"))
}

#[test]
fn the_main_job_works_on_the_local_model() {
    let home = Home::new();
    let models = models().join("models");
    std::fs::create_dir_all(&models).unwrap();
    std::fs::create_dir_all(home.data()).unwrap();
    // A database of its own, the model shared.
    std::os::unix::fs::symlink(&models, home.data().join("models")).unwrap();
    let args = ["run", "--json", "--workspace", FOLDER, "--cpu", "local", "--threads", "1", MAIN.0];
    let mut command = home.agentos(&args);
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("PIP_") || name.to_lowercase().ends_with("_proxy") {
            command.env(name, value);
        }
    }
    let result = end(&mut command).ok().json();
    assert!(finds(&result, &MAIN), "{result:#}");
    assert!(result["answer"].as_str().is_some_and(|answer| !answer.trim().is_empty()), "{result:#}");
    let usage = &result["usage"];
    let (input, output) = (usage["input_tokens"].as_u64().unwrap(), usage["output_tokens"].as_u64().unwrap());
    assert!((500..=2_000).contains(&input) && (1..=512).contains(&output), "{result:#}");
    assert!(
        result["pages"]["evicted"].as_u64().unwrap() > 0 && result["pages"]["recalled"].as_u64().unwrap() > 0
    );
}
