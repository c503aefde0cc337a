//! Laws of calls that a budget does not cover.

use kernel_types::{
    Budget, Capabilities, Decision, ErrorKind, LimitName, MicroUsd, ProcessState, SuspendReason, SyscallNo,
    Tokens,
};

use super::Assemble;
use super::refusals::built;
use super::rig::Rig;
use super::sample::sample;

/// Budgets that do not cover a call of this kind, each with the limit it hits and a grant that suffices.
fn overdrawn(no: SyscallNo) -> Vec<(LimitName, Budget, Budget)> {
    let calls = |n| Budget { calls: Some(n), ..Budget::default() };
    let tokens = |n| Budget { tokens: Some(Tokens(n)), ..Budget::default() };
    let cost = |n| Budget { cost: Some(MicroUsd(n)), ..Budget::default() };
    match no {
        SyscallNo::ToolCall => vec![(LimitName::Calls, calls(0), calls(1))],
        SyscallNo::Infer => vec![
            (LimitName::Calls, calls(0), calls(1)),
            (LimitName::Tokens, tokens(1), tokens(100_000)),
            (LimitName::Cost, cost(1), cost(100_000)),
        ],
        _ => Vec::new(),
    }
}

/// A call that a budget does not cover is answered `QuotaExceeded`, recorded with the limit, and has no effect; the
/// process is suspended and says by which limit; after a grant it goes on, and the call made again happens once.
pub async fn overdrawn_calls_wait_for_a_grant(make: &impl Assemble) {
    let rig = Rig::new(make).await;
    let mut started = Vec::new();
    for no in built(&rig).await {
        for (limit, budget, grant) in overdrawn(no) {
            let sample = sample(no, rig.peer().await);
            started.push((rig.start(&sample, Capabilities::all(), budget).await, sample, limit, grant));
        }
    }
    assert!(!started.is_empty(), "a kernel without tools and models has nothing to pay for");
    rig.run().await;
    for (pid, sample, limit, grant) in &started {
        let by =
            |decision: &Decision| matches!(decision, Decision::OverQuota { limit: hit, .. } if hit == limit);
        rig.refused(*pid, sample, ErrorKind::QuotaExceeded, by).await;
        let suspended = ProcessState::Suspended(SuspendReason::Limit(*limit));
        assert_eq!(rig.state(*pid).await, suspended, "{}", sample.name());
        rig.kernel.grant(*pid, *grant).await.expect("a grant can be posted");
    }
    rig.run().await;
    for (pid, sample, limit, _) in &started {
        let what = format!("{} after a grant of {limit}", sample.name());
        rig.ended_well(*pid, &what).await;
        assert_eq!(sample.effects(&rig, *pid).await, 1, "{what}: happens once");
    }
    rig.finish().await;
}

/// No call of any kind is made by a step that the budget does not cover; after a grant each happens once.
pub async fn a_spent_step_budget_stops_every_call(make: &impl Assemble) {
    let rig = Rig::new(make).await;
    let mut started = Vec::new();
    for no in built(&rig).await {
        let sample = sample(no, rig.peer().await);
        started.push((rig.start(&sample, Capabilities::all(), sample.steps_before()).await, sample));
    }
    rig.run().await;
    for (pid, sample) in &started {
        let what = sample.name();
        let suspended = ProcessState::Suspended(SuspendReason::Limit(LimitName::Steps));
        assert_eq!(rig.state(*pid).await, suspended, "{what}");
        let trace = rig.call(*pid, sample.step(), 0).await;
        assert!(trace.intents.is_empty() && trace.outcomes.is_empty(), "{what}: {trace:?}");
        assert_eq!(sample.effects(&rig, *pid).await, 0, "{what}: no step, no effect");
        let steps = Budget { steps: Some(10), ..Budget::default() };
        rig.kernel.grant(*pid, steps).await.expect("a grant can be posted");
    }
    rig.run().await;
    for (pid, sample) in &started {
        assert_eq!(sample.effects(&rig, *pid).await, sample.expected(), "{}: after a grant", sample.name());
    }
    rig.finish().await;
}
