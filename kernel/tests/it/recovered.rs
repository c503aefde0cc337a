//! What a kernel finds that takes over: what was lost is charged once, what is made again is asked for again.

use std::time::Duration;

use kernel::{Kernel, KernelBuilder, Until, post_mail};
use kernel_storage::MemoryStore;
use kernel_tools::{Behaviour, ScriptedDriver, ToolOutput};
use kernel_types::{
    Budget, Capabilities, ErrorKind, Event, ExitStatus, JsonText, LimitName, MailBody, MicroUsd, Millis, Pid,
    ProcessState, RateLimit, RateUnit, Recovery, Spec, Tokens,
};

use crate::paid::{AT_ONCE, Act, Paid, USED, cost, ended_well, of, spent, state, steps, suspended, thinker};
use crate::world::tool;

fn builder(store: &MemoryStore, cpu: &Paid) -> KernelBuilder {
    Kernel::builder().store(store.clone()).cpu(cpu.clone()).keep_warm(false)
}

/// A kernel that stops in the middle of a process's inference.
async fn cut(store: &MemoryStore, builder: KernelBuilder, cpu: &Paid, spec: Spec) -> Pid {
    let kernel = builder.store(store.clone()).build().await.unwrap();
    let pid = kernel.spawn(spec).await.unwrap();
    tokio::select! {
        _ = kernel.run_until(Until::Idle) => panic!("it hangs"),
        () = cpu.called(1) => {}
    }
    pid
}

fn hangs() -> Paid {
    Paid::new("a", |_| Act::Hang)
}

#[tokio::test]
async fn what_was_in_flight_counts_at_once_and_once() {
    let (store, cpu) = (MemoryStore::new(), hangs());
    let pid = cut(&store, builder(&store, &cpu), &cpu, thinker(1)).await;
    let kernel = builder(&store, &Paid::new("a", |_| AT_ONCE)).quota(cost(10_000)).build().await.unwrap();
    let lost = spent(&kernel).await;
    assert!(lost.calls == 1 && lost.cost.0 > 300, "before anybody takes it over: {lost:?}");
    kernel.recover().await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    ended_well(&kernel, pid).await;
    let (spent, usage) = (spent(&kernel).await, kernel.process(pid).await.unwrap().usage);
    assert_eq!(spent.cost, lost.cost.saturating_add(MicroUsd(USED)));
    assert_eq!((usage.calls, usage.tokens(), usage.cost), (spent.calls, spent.tokens, spent.cost));
}

#[tokio::test]
async fn a_model_that_costs_more_now_or_is_not_allowed_is_not_asked() {
    let dear = || Paid::new("b", |_| AT_ONCE);
    let priced = Budget { cost: Some(MicroUsd(20_000)), ..Budget::default() };
    let only_a = Capabilities { models: vec!["a".to_owned()], ..Capabilities::all() };
    let cases = [
        (Spec { budget: priced, ..thinker(1) }, dear().unpriced(), "price of b"),
        (Spec { capabilities: Some(only_a), ..thinker(1) }, dear(), "model"),
        (thinker(1), dear(), ""),
    ];
    for (spec, cpu, refused) in cases {
        let (store, first) = (MemoryStore::new(), hangs());
        let pid = cut(&store, builder(&store, &first), &first, spec).await;
        let kernel = builder(&store, &cpu).build().await.unwrap();
        kernel.recover().await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        let state = state(&kernel, pid).await;
        if refused.is_empty() {
            assert!(matches!(state, ProcessState::Exited(ExitStatus::Ok(_))), "{state:?}");
        } else {
            assert!(
                matches!(&state, ProcessState::Exited(ExitStatus::Failed(why)) if why.contains(refused)),
                "{state:?}"
            );
            assert_eq!(cpu.calls(), 0);
        }
    }
}

#[tokio::test]
async fn a_grant_that_was_posted_before_the_recovery_is_there_for_it() {
    for granted in [true, false] {
        let (store, cpu) = (MemoryStore::new(), hangs());
        let budget = Budget { tokens: Some(Tokens(3_100)), ..Budget::default() };
        let pid = cut(&store, builder(&store, &cpu), &cpu, Spec { budget, ..thinker(1) }).await;
        if granted {
            let more = Budget { tokens: Some(Tokens(4_000)), ..Budget::default() };
            post_mail(&store, pid, MailBody::Grant(more)).await.unwrap();
        }
        let kernel = builder(&store, &Paid::new("a", |_| AT_ONCE)).build().await.unwrap();
        kernel.recover().await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        if granted {
            ended_well(&kernel, pid).await;
        } else {
            assert_eq!(state(&kernel, pid).await, suspended(LimitName::Tokens), "control");
        }
    }
}

/// What a tool call in flight at a power cut comes to, and what it counts in all.
async fn called_again(recovery: Recovery, calls: u64) -> (Option<ErrorKind>, ProcessState, u64) {
    let store = MemoryStore::new();
    let work = |behaviour| ScriptedDriver::new().with("work", recovery, behaviour);
    let first = Kernel::builder().store(store.clone()).driver(work(Behaviour::Hang)).build().await.unwrap();
    let pid = first.spawn(steps(vec![vec![tool("work")]])).await.unwrap();
    tokio::time::timeout(Duration::from_millis(200), first.run_until(Until::Idle)).await.unwrap_err();
    drop(first);
    let done = Behaviour::Answer(ToolOutput::ok(JsonText::empty_object(), "done"));
    let budget = Budget { calls: Some(calls), ..Budget::default() };
    let quota = kernel::Quota { budget, rates: Vec::new() };
    let kernel =
        Kernel::builder().store(store.clone()).driver(work(done)).quota(quota).build().await.unwrap();
    kernel.recover().await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    let mut error = None;
    for entry in kernel::mediation::entries(&store, pid).await {
        if let Event::Outcome { result: Err(found), .. } = entry.event {
            error.get_or_insert(found.kind);
        }
    }
    (error, state(&kernel, pid).await, spent(&kernel).await.calls)
}

#[tokio::test]
async fn a_tool_that_is_called_again_is_a_further_call() {
    for recovery in [Recovery::Keyed, Recovery::Reread] {
        let (error, state, calls) = called_again(recovery, 10).await;
        assert!(matches!(state, ProcessState::Exited(ExitStatus::Ok(_))), "{state:?}");
        assert_eq!((error, calls), (None, 2));
    }
    let (error, state, calls) = called_again(Recovery::Reread, 1).await;
    assert_eq!((error, calls), (Some(ErrorKind::QuotaExceeded), 1));
    assert_eq!(state, suspended(LimitName::SystemCalls));
    let (error, _, calls) = called_again(Recovery::Keyed, 1).await;
    assert_eq!((error, calls), (Some(ErrorKind::Interrupted), 1), "not to be made anew under another key");
}

/// Of three processes one was answered, one stands in line for a rate, and one waits for what that one holds.
#[tokio::test]
async fn what_was_not_sent_before_a_shutdown_costs_nothing_and_is_made_afterwards() {
    let (store, cpu) = (MemoryStore::new(), Paid::new("a", |_| AT_ONCE));
    let done = || Behaviour::Answer(ToolOutput::ok(JsonText::empty_object(), "done"));
    let tools = || ScriptedDriver::new().with("work", Recovery::Unsafe, done());
    let rate = RateLimit::new(RateUnit::Calls, 1, Millis(60_000)).unwrap();
    let rated = kernel::Quota { rates: vec![rate], ..kernel::Quota::default() };
    let first = builder(&store, &cpu).driver(tools()).tenant("press", rated);
    let first = first.resource("gpu", 1).model_needs("a", "gpu", 1).tool_needs("work", "gpu", 1);
    let first = first.build().await.unwrap();
    let mut pids = Vec::new();
    for spec in [of("press", thinker(1)), of("press", thinker(1)), steps(vec![vec![tool("work")]])] {
        pids.push(first.spawn(spec).await.unwrap());
        let run = first.run_until(Until::Idle);
        // The first ends; the others wait.
        drop(tokio::time::timeout(Duration::from_millis(150), run).await);
    }
    assert_eq!(cpu.calls(), 1);
    first.shutdown().await.unwrap();

    let second = builder(&store, &cpu).driver(tools()).quota(cost(10_000)).build().await.unwrap();
    let before = spent(&second).await;
    assert_eq!((before.calls, before.cost), (1, MicroUsd(USED)), "nothing was in flight");
    second.recover().await.unwrap();
    second.run_until(Until::Idle).await.unwrap();
    for pid in &pids[1..] {
        ended_well(&second, *pid).await;
        assert_eq!(second.process(*pid).await.unwrap().usage.calls, 1);
        for entry in kernel::mediation::entries(&store, *pid).await {
            assert!(!matches!(entry.event, Event::Attempt { .. }), "{entry:?}");
        }
    }
    let after = spent(&second).await;
    assert_eq!((after.calls, after.cost), (3, MicroUsd(2 * USED)));
}

/// A policy that says no after the restart is kept for tools as it is for inferences.
#[tokio::test]
async fn a_tool_that_is_not_allowed_any_more_is_not_called_again() {
    let denies = "[[rule]]\nname = \"not now\"\neffect = \"deny\"\ncalls = [\"tool_call\"]\n";
    for recovery in [Recovery::Keyed, Recovery::Reread] {
        for policy in [denies, ""] {
            let store = MemoryStore::new();
            let hang = ScriptedDriver::new().with("work", recovery, Behaviour::Hang);
            let first = Kernel::builder().store(store.clone()).driver(hang).build().await.unwrap();
            let pid = first.spawn(steps(vec![vec![tool("work")]])).await.unwrap();
            tokio::time::timeout(Duration::from_millis(200), first.run_until(Until::Idle)).await.unwrap_err();
            drop(first);
            let done = Behaviour::Answer(ToolOutput::ok(JsonText::empty_object(), "done"));
            let tools = ScriptedDriver::new().with("work", recovery, done);
            let second = Kernel::builder().store(store.clone()).driver(tools.clone());
            let second =
                second.policy(kernel_security::Policy::parse(policy).unwrap()).build().await.unwrap();
            second.recover().await.unwrap();
            second.run_until(Until::Idle).await.unwrap();
            let state = state(&second, pid).await;
            if policy.is_empty() {
                assert!(matches!(state, ProcessState::Exited(ExitStatus::Ok(_))), "{state:?}");
                assert_eq!(tools.calls_of("work"), 1, "control");
            } else {
                assert!(
                    matches!(&state, ProcessState::Exited(ExitStatus::Failed(why)) if why.contains("not now")),
                    "{state:?}"
                );
                assert_eq!(tools.calls_of("work"), 0);
            }
        }
    }
}

/// What an ended process spent is gone with its row; nobody who lives is stopped by that. A damaged row of one that lives stops.
#[tokio::test]
async fn a_damaged_row_of_an_ended_process_does_not_stop_kernels_with_budgets() {
    use kernel_storage::Journal;
    for ended in [true, false] {
        let store = MemoryStore::new();
        let first = builder(&store, &Paid::new("a", |_| AT_ONCE)).build().await.unwrap();
        let script = if ended { thinker(1) } else { steps(vec![vec![crate::world::receive()]]) };
        let pid = first.spawn(script).await.unwrap();
        first.run_until(Until::Idle).await.unwrap();
        first.shutdown().await.unwrap();
        let mut row = store.agent(pid).await.unwrap().unwrap();
        row.image[10] ^= 1;
        row.revision += 1;
        let (records, values, consumed, sent, blobs) = Default::default();
        let commit = kernel_storage::Commit { row, records, values, consumed, sent, blobs };
        store.commit(vec![commit]).await.unwrap();
        let built = builder(&store, &Paid::new("a", |_| AT_ONCE)).quota(cost(10_000)).build().await;
        match built {
            Ok(kernel) => {
                assert!(ended);
                let pid = kernel.spawn(thinker(1)).await.unwrap();
                kernel.run_until(Until::Idle).await.unwrap();
                ended_well(&kernel, pid).await;
            }
            Err(error) => assert!(!ended && error.to_string().contains(&pid.to_string()), "{error}"),
        }
    }
}
