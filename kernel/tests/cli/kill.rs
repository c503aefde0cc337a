//! `agentos run` is killed at seeded moments and resumed until it finishes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::home::Home;

const ANSWER: &str = "Source stays available for twelve months.";
/// How long an undisturbed run takes after its pid is known, about: kills are spread over this.
const SPAN_MS: u64 = 700;
/// A run that ended before its moment is started again, with half of the time: so many times at most.
const ATTEMPTS: u32 = 8;

/// Several turns with tools, each after a pause, so that kills fall everywhere. What is said depends on what was shown
/// last, not on how often something was said: what was said may be evicted.
fn script() -> String {
    let turn = |condition: &str, tool: &str, args: &str| {
        format!(
            "[[reply]]\n{condition}\ntext = \"I use {tool}.\"\ndelay_ms = 60\n[[reply.tool]]\nname = \"{tool}\"\nargs = {args}\n"
        )
    };
    let done =
        format!("[[reply]]\nwhen_prompt = \"are in your window now\"\ntext = \"{ANSWER}\"\ndelay_ms = 60\n");
    let turns = [
        done,
        turn("when = \"months.txt:2\"", "recall", "{ query = \"source months\" }"),
        turn("when = \"12007\"", "search_files", "{ pattern = \"twelve months\" }"),
        turn("when = \"Cheese keeps\"", "calculator", "{ expression = \"3*4000+7\" }"),
        turn("when = \"part-0.txt\"", "read_file", "{ path = \"months.txt\" }"),
        turn("", "list_dir", "{ path = \".\" }"),
    ];
    format!("exhausted = \"last\"\n{}", turns.concat())
}

fn moments() -> u64 {
    if std::env::var_os("AGENTOS_SOAK").is_some() { 500 } else { 50 }
}

#[test]
fn a_killed_run_is_resumed_to_the_same_answer() {
    let next = AtomicU64::new(0);
    let kills = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seed < moments()
                {
                    kills.fetch_add(killed(seed), Ordering::Relaxed);
                }
            });
        }
    });
    let kills = kills.into_inner();
    println!("{} runs killed, {kills} kills", moments());
    assert!(kills >= moments(), "every moment fell into a run: {kills} of {}", moments());
}

/// One run that was killed at a moment of this seed. Answers how often it was killed.
fn killed(seed: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let kills = (0..ATTEMPTS).map(|attempt| run_and_kill(seed, &mut random, SPAN_MS >> attempt));
    kills.into_iter().find(|kills| *kills > 0).expect("one of the runs was still running at its moment")
}

/// One run, killed within `span_ms`, sometimes again while it is resumed. Answers how often the kill met a process that
/// had not ended.
fn run_and_kill(seed: u64, random: &mut fastrand::Rng, span_ms: u64) -> u64 {
    let home = Home::new();
    let cpu = home.scripted(&script());
    for n in 0..8 {
        home.file(&format!("work/part-{n}.txt"), format!("Part {n}.\n{}", "Nothing about it.\n".repeat(60)));
    }
    home.file("work/months.txt", "Cheese keeps.\nSource stays available for twelve months.\n");
    let run = [
        "run",
        "--cpu",
        &cpu,
        "--workspace",
        "work",
        "--window",
        "2000",
        "How many months is source available?",
    ];
    let mut running = home.start(&run);
    let pid = running.pid.clone();
    let mut kills = 0;
    loop {
        std::thread::sleep(Duration::from_millis(random.u64(0..span_ms)));
        running.kill();
        let ended = home.run(&["ps", "--all", "--json"]).ok().json();
        let state = ended["processes"][0]["state"].clone();
        if state.get("exited").is_some() {
            break;
        }
        kills += 1;
        if random.u8(0..3) == 0 {
            running = home.start(&["resume", &pid]);
            continue;
        }
        let resumed = home.run(&["resume", &pid]);
        assert_eq!(resumed.code, Some(0), "seed {seed}: {resumed:#?}");
        assert!(resumed.stdout.starts_with(ANSWER), "seed {seed}: {resumed:#?}");
        break;
    }
    let verified = home.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "seed {seed}: {verified:#?}");
    let logs = home.run(&["logs", "--json", &pid]).ok().stdout;
    check_journal(seed, &logs);
    kills
}

/// Each call has one intent and one outcome, and the process one end with the answer.
fn check_journal(seed: u64, logs: &str) {
    let events: Vec<Value> = logs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut calls: BTreeMap<(u64, u64), (u32, u32)> = BTreeMap::new();
    for event in &events {
        let Some(seq) = event["seq"].as_u64() else { continue };
        let seen = calls.entry((event["step"].as_u64().unwrap(), seq)).or_default();
        match event["kind"].as_str() {
            Some("intent") => seen.0 += 1,
            Some("outcome") => seen.1 += 1,
            _ => {}
        }
    }
    for (call, seen) in &calls {
        assert_eq!(*seen, (1, 1), "seed {seed}: intents and outcomes of call {call:?}");
    }
    let ends: Vec<&Value> = events.iter().filter(|event| event["kind"] == "exited").collect();
    assert_eq!(ends.len(), 1, "seed {seed}");
    assert_eq!(ends[0]["event"]["exited"]["status"]["ok"], ANSWER, "seed {seed}");
}
