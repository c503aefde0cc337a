//! What calls hold of limits above their process: enough for each attempt, given back in the end, waited for by others.

use std::time::Duration;

use kernel::{Kernel, Limits, Quota, Until};
use kernel_llm::CpuErrorKind;
use kernel_storage::MemoryStore;
use kernel_tools::{Behaviour, ScriptedDriver, ToolOutput};
use kernel_types::{
    Budget, Call, JsonText, LimitName, MicroUsd, Millis, ProcessState, Recovery, Signal, Spec, Tokens,
    WaitReason,
};

use crate::paid::{
    AT_ONCE, Act, Paid, USED, cost, ended_well, left, of, page, spent, state, steps, suspended, think,
    thinker,
};
use crate::world::tool;

/// What a call about the page holds, and what it uses that is lost: a token a byte of it.
const HOLD: u64 = 3_100;

#[tokio::test]
async fn a_lost_attempt_is_not_made_again_beyond_a_budget_above() {
    for (limit, attempts) in [(HOLD, 1), (10 * HOLD, 2)] {
        let cpu = Paid::new("m", |n| if n == 0 { Act::Fail(CpuErrorKind::Timeout, None) } else { AT_ONCE });
        let kernel = Kernel::builder().cpu(cpu.clone()).keep_warm(false).quota(cost(limit));
        let kernel = kernel.build().await.unwrap();
        let pid = kernel.spawn(thinker(1)).await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        assert_eq!(cpu.calls(), attempts, "of {limit}");
        let (spent, usage) = (spent(&kernel).await, kernel.process(pid).await.unwrap().usage);
        assert!(spent.cost.0 > USED && spent.cost.0 <= limit, "{spent:?}");
        assert_eq!((usage.calls, usage.tokens(), usage.cost), (spent.calls, spent.tokens, spent.cost));
        assert_eq!(usage.calls, u64::from(attempts), "each attempt counts");
    }
}

#[tokio::test]
async fn a_lost_attempt_is_one_of_the_calls_that_a_process_has() {
    let cpu = Paid::new("m", |_| Act::Fail(CpuErrorKind::Timeout, None));
    let limits = Limits { attempts: 3, ..Limits::default() };
    let kernel = Kernel::builder().cpu(cpu.clone()).keep_warm(false).limits(limits).build().await.unwrap();
    let budget = Budget { calls: Some(2), ..Budget::default() };
    let pid = kernel.spawn(Spec { budget, ..thinker(1) }).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    assert_eq!((cpu.calls(), kernel.process(pid).await.unwrap().usage.calls), (2, 2));
}

#[tokio::test]
async fn a_process_that_another_kernel_took_over_holds_nothing() {
    let store = MemoryStore::new();
    let build = |store: &MemoryStore| {
        let builder = Kernel::builder().store(store.clone()).cpu(Paid::new("m", |_| AT_ONCE));
        builder.keep_warm(false).quota(cost(10 * HOLD)).build()
    };
    let (first, second) = (build(&store).await.unwrap(), build(&store).await.unwrap());
    let sleeper = vec![vec![page()], vec![Call::Sleep { ms: Millis(300) }], vec![think()]];
    let pid = first.spawn(steps(sleeper)).await.unwrap();
    let meanwhile = async {
        while !matches!(state(&first, pid).await, ProcessState::Blocked(WaitReason::Timer)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        second.recover().await.unwrap();
        second.run_until(Until::Steps(0)).await.unwrap();
    };
    let (run, ()) = tokio::join!(first.run_until(Until::Idle), meanwhile);
    run.unwrap();
    assert!(first.process(pid).await.is_err(), "it is gone");
    assert_eq!(left(&first).await, 10 * HOLD);
}

#[tokio::test]
async fn who_needs_what_others_hold_waits_for_it_and_is_not_suspended() {
    let cpu = Paid::new("m", |_| Act::Answer(Duration::from_millis(30)));
    // Room for two at a time, and for all of them in the end.
    let kernel = Kernel::builder().cpu(cpu).keep_warm(false).tenant("press", cost(2 * HOLD));
    let kernel = kernel.build().await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..6 {
        pids.push(kernel.spawn(of("press", thinker(2))).await.unwrap());
    }
    kernel.run_until(Until::Idle).await.unwrap();
    for pid in pids {
        ended_well(&kernel, pid).await;
    }
    let spent = kernel.spent(Some("press")).await.unwrap().unwrap();
    assert_eq!((spent.calls, spent.cost), (12, MicroUsd(12 * USED)));
}

#[tokio::test]
async fn what_is_held_is_not_left_and_who_waits_for_it_can_be_killed() {
    let cpu = Paid::new("m", |_| Act::Hang);
    let kernel = Kernel::builder().cpu(cpu.clone()).keep_warm(false).quota(cost(HOLD)).build().await.unwrap();
    let first = kernel.spawn(thinker(1)).await.unwrap();
    let meanwhile = async {
        cpu.called(1).await;
        assert!(left(&kernel).await < HOLD - 300, "{}", left(&kernel).await);
        let second = kernel.spawn(thinker(1)).await.unwrap();
        let third = kernel.spawn(thinker(1)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        for pid in [second, third] {
            assert_eq!(state(&kernel, pid).await, ProcessState::Blocked(WaitReason::Llm));
        }
        kernel.signal(second, Signal::Kill).await.unwrap();
        kernel.signal(first, Signal::Kill).await.unwrap();
        // What the first used is charged: what is left is too little for the third, whoever ends.
        while state(&kernel, third).await != suspended(LimitName::SystemCost) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        (second, third)
    };
    let (run, (second, third)) = tokio::join!(kernel.run_until(Until::Idle), meanwhile);
    run.unwrap();
    assert_eq!(kernel.process(second).await.unwrap().usage.calls, 0, "it was never sent");
    assert_eq!((cpu.calls(), kernel.process(third).await.unwrap().usage.calls), (1, 0));
}

/// A call is refused, and the limit raised before its process has learnt of it.
#[tokio::test]
async fn a_grant_that_comes_before_the_suspension_is_not_lost() {
    for above in [true, false] {
        let kernel = Kernel::builder().cpu(Paid::new("m", |_| AT_ONCE)).keep_warm(false);
        let limit = if above { cost(10) } else { cost(100 * HOLD) };
        let kernel = kernel.quota(limit).build().await.unwrap();
        let script = steps(vec![vec![page()], vec![think(), Call::Sleep { ms: Millis(300) }]]);
        let budget =
            Budget { tokens: Some(Tokens(if above { 100 * HOLD } else { 10 })), ..Budget::default() };
        let pid = kernel.spawn(Spec { budget, ..script }).await.unwrap();
        let meanwhile = async {
            while !matches!(state(&kernel, pid).await, ProcessState::Blocked(WaitReason::Timer)) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let more = Budget { tokens: Some(Tokens(HOLD)), cost: Some(MicroUsd(HOLD)), ..Budget::default() };
            if above {
                kernel.grant_above(None, more).await.unwrap();
            } else {
                kernel.grant(pid, more).await.unwrap();
            }
        };
        let (run, ()) = tokio::join!(kernel.run_until(Until::Idle), meanwhile);
        run.unwrap();
        ended_well(&kernel, pid).await;
    }
}

#[tokio::test]
async fn a_call_that_was_cancelled_before_it_was_sent_costs_nothing() {
    let cpu = Paid::new("m", |_| Act::Hang);
    let rate = kernel_types::RateLimit::new(kernel_types::RateUnit::Calls, 1, Millis(60_000)).unwrap();
    let hang = ScriptedDriver::new().with("hang", Recovery::Keyed, Behaviour::Hang).with(
        "never",
        Recovery::Keyed,
        Behaviour::Answer(ToolOutput::ok(JsonText::empty_object(), "done")),
    );
    let kernel = Kernel::builder().cpu(cpu.clone()).driver(hang).resource("hands", 1).keep_warm(false);
    let kernel = kernel.tool_needs("hang", "hands", 1).tool_needs("never", "hands", 1);
    let kernel = kernel.tenant("press", Quota { rates: vec![rate], ..Quota::default() });
    let kernel = kernel.build().await.unwrap();
    let mut pids = Vec::new();
    for spec in [thinker(1), thinker(1), steps(vec![vec![tool("hang")]]), steps(vec![vec![tool("never")]])] {
        pids.push(kernel.spawn(of("press", spec)).await.unwrap());
        let run = tokio::time::timeout(Duration::from_millis(150), kernel.run_until(Until::Idle));
        run.await.unwrap_err();
    }
    let mut sent = Vec::new();
    // Who waits first: nobody gets what another one held.
    for pid in pids.into_iter().rev() {
        kernel.signal(pid, Signal::Kill).await.unwrap();
    }
    kernel.run_until(Until::Idle).await.unwrap();
    for info in kernel.status().await.unwrap() {
        sent.push(info.usage.calls);
    }
    assert_eq!((sent, kernel.spent(Some("press")).await.unwrap().unwrap().calls), (vec![1, 0, 1, 0], 2));
}
