//! `agentos grant` and `agentos nice`: limits and urgency, changed by a second process.

use std::time::{Duration, Instant};

use kernel::programs::{Script, ScriptStep};
use kernel::{Kernel, Until};
use kernel_storage::SqliteStore;
use kernel_types::{Budget, Call, Millis, Pid, ProcessState, Spec, SuspendReason};
use serde_json::{Value, json};

use crate::home::{ANSWER, Home};

fn ps(home: &Home, pid: &str) -> Value {
    let listed = home.run(&["ps", "--all", "--json"]).ok().json();
    let found = listed["processes"].as_array().unwrap().iter().find(|process| process["pid"] == pid);
    found.cloned().unwrap_or_else(|| panic!("{pid} in {listed}"))
}

#[test]
fn a_grant_raises_a_limit_and_resume_takes_it() {
    let home = Home::new();
    let pid = home.ask(ANSWER, &["--max-steps", "1"]).fails(3, &["limit of steps"]).pid();
    assert!(home.run(&["grant", &pid, "--steps", "50"]).ok().stdout.contains("a grant posted"));
    assert!(home.run(&["resume", &pid]).ok().stdout.starts_with("Twelve months."));
    assert_eq!(ps(&home, &pid)["budget"]["steps"], 51);
    let logs = home.run(&["logs", &pid]).ok().stdout;
    assert!(logs.contains("grant: 50 steps"), "{logs}");
    home.run(&["audit", "verify"]).ok();
}

#[test]
fn what_waits_for_a_kernel_is_listed() {
    let home = Home::new();
    let pid = home.ask(ANSWER, &["--max-steps", "1"]).fails(3, &["limit of steps"]).pid();
    assert_eq!(ps(&home, &pid)["pending"], json!([]));
    home.run(&["grant", &pid, "--steps", "50"]).ok();
    home.run(&["nice", &pid, "30"]).ok();
    let listed = home.run(&["ps"]).ok().stdout;
    assert!(listed.contains("grant, priority 30: resume it"), "{listed}");
    let process = ps(&home, &pid);
    assert_eq!((&process["budget"]["steps"], &process["priority"]), (&json!(1), &json!(50)));
    assert_eq!(process["pending"][0]["grant"]["steps"], 50);
    assert_eq!(process["pending"][1], json!({ "priority": 30 }));
    // A limit in all that the grant is above is no lower one; the line says why.
    home.run(&["resume", &pid, "--max-steps", "20"])
        .fails(2, &["--max-steps", "the process has: 51", "grants wait"]);
    assert_eq!(ps(&home, &pid)["pending"].as_array().unwrap().len(), 2, "nothing was posted");
    home.run(&["resume", &pid, "--max-steps", "60"]).ok();
    let process = ps(&home, &pid);
    assert_eq!((&process["budget"]["steps"], &process["priority"]), (&json!(60), &json!(30)));
    assert_eq!(process["pending"], json!([]));
}

#[test]
fn bad_grants_and_priorities_are_refused() {
    let home = Home::new();
    let pid = home.ask(ANSWER, &["--max-steps", "1"]).fails(3, &[]).pid();
    home.run(&["grant", &pid]).fails(2, &["--tokens"]);
    home.run(&["grant", &pid, "--steps", "0"]).fails(2, &["--steps"]);
    home.run(&["grant", &pid, "--tokens", "5"]).fails(65, &["no limit of tokens"]);
    for (flag, value, limit) in
        [("--tool-calls", "5", "tool"), ("--time", "5s", "time"), ("--children", "5", "children")]
    {
        home.run(&["grant", &pid, flag, value]).fails(65, &["no limit of", limit]);
    }
    home.run(&["grant", &pid, "--cost", "0"]).fails(2, &["--cost"]);
    for level in ["101", "-1", "high", ""] {
        home.run(&["nice", &pid, level]).fails(2, &["from 0 to 100"]);
    }
    for command in [&["nice", "zzz", "50"][..], &["grant", "zzz", "--steps", "1"]] {
        home.run(command).fails(65, &["no process \"zzz\""]);
    }
    home.run(&["resume", &pid, "--max-steps", "50"]).ok();
    home.run(&["nice", &pid, "50"]).fails(65, &["has ended"]);
    home.run(&["grant", &pid, "--steps", "1"]).fails(65, &["has ended"]);
}

#[test]
fn a_priority_reaches_a_running_kernel_and_is_shown() {
    let home = Home::new();
    let cpu = home.scripted("[[reply]]\nhang = true\n");
    let mut running = home.start(&["run", "--cpu", &cpu, "wait"]);
    running.until("thinking: ").unwrap();
    let pid = running.pid.clone();
    assert_eq!(ps(&home, &pid)["priority"], 50);
    assert!(home.run(&["nice", &pid, "30"]).ok().stdout.contains("priority 30 posted"));
    let patience = Instant::now() + Duration::from_secs(30);
    while ps(&home, &pid)["priority"] != 30 {
        assert!(Instant::now() < patience, "nobody took it");
    }
    running.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_from_a_second_process_resumes_a_suspended_agent() {
    let home = Home::new();
    std::fs::create_dir_all(home.data()).unwrap();
    let store = SqliteStore::open(home.data().join("agentos.db")).await.unwrap();
    let kernel = Kernel::builder().store(store).build().await.unwrap();
    let spec = |steps: Vec<Vec<Call>>| {
        let step = steps.into_iter().map(|calls| ScriptStep { repeat: 1, calls }).collect();
        Script { step, ..Script::default() }.spec("test").unwrap()
    };
    // It keeps the run going.
    let sleeper = kernel.spawn(spec(vec![vec![Call::Sleep { ms: Millis(60_000) }]])).await.unwrap();
    let budget = Budget { steps: Some(2), ..Budget::default() };
    let limited = spec(vec![vec![Call::Now]; 5]);
    let limited = kernel.spawn(Spec { budget, ..limited }).await.unwrap();
    let outside = async {
        let suspended =
            |state: &ProcessState| matches!(state, ProcessState::Suspended(SuspendReason::Limit(_)));
        until(&kernel, limited, suspended).await;
        let pid = limited.to_string();
        let granted = tokio::task::spawn_blocking(move || {
            let ended = home.run(&["grant", &pid, "--steps", "10"]).ok();
            (home, ended)
        });
        let _home = granted.await.unwrap();
        until(&kernel, limited, |state| matches!(state, ProcessState::Exited(_))).await;
        kernel.signal(sleeper, kernel_types::Signal::Kill).await.unwrap();
    };
    let (run, ()) = tokio::join!(kernel.run_until(Until::Idle), outside);
    run.unwrap();
}

async fn until(kernel: &Kernel, pid: Pid, is: impl Fn(&ProcessState) -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let state = kernel.process(pid).await.unwrap().state;
        if is(&state) {
            return;
        }
        assert!(Instant::now() < patience, "{pid} is {state}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
