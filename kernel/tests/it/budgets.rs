//! Limits hold before the money is spent.

use kernel_types::{
    Budget, Call, ErrorKind, ExitStatus, LimitName, MicroUsd, Pid, ProcessState, SuspendReason, Tokens,
};

use crate::world::{PRICED, REPORTED, UNPRICED, World, infer, page, put, tool};

fn suspended(limit: LimitName) -> ProcessState {
    ProcessState::Suspended(SuspendReason::Limit(limit))
}

async fn ended_well(world: &World, pid: Pid) {
    let state = world.state(pid).await;
    assert!(matches!(state, ProcessState::Exited(ExitStatus::Ok(_))), "{state:?}");
}

/// One inference a step.
fn thinking(model: &str, times: usize) -> Vec<Vec<Call>> {
    let mut steps = vec![vec![page("hello")]];
    steps.extend(vec![vec![infer(model)]; times]);
    steps
}

#[tokio::test]
async fn calls_of_one_step_share_what_is_left() {
    let world = World::new().await;
    let budget = Budget { calls: Some(2), ..Budget::default() };
    let pid = world.limited(vec![vec![tool("echo"); 5]], budget).await;
    world.run().await;
    assert_eq!(world.state(pid).await, suspended(LimitName::Calls));
    assert_eq!(world.tools.calls_of("echo"), 2, "never overspent");
    for (granted, left) in [(1, 2), (1, 1)] {
        world.kernel.grant(pid, Budget { calls: Some(granted), ..Budget::default() }).await.unwrap();
        world.run().await;
        assert_eq!(world.state(pid).await, suspended(LimitName::Calls), "{left} calls are still to be made");
        assert_eq!(world.tools.calls_of("echo"), 5 - left);
    }
    world.kernel.grant(pid, Budget { calls: Some(7), ..Budget::default() }).await.unwrap();
    world.run().await;
    ended_well(&world, pid).await;
    assert_eq!(world.tools.calls_of("echo"), 5, "each call was made once");
    assert_eq!(world.info(pid).await.usage.calls, 5);
    world.end().await;
}

#[tokio::test]
async fn tokens_are_held_at_the_most_and_settled_at_the_truth() {
    let world = World::new().await;
    let used = REPORTED.input.0 + REPORTED.output.0;
    // Room for the truth of many calls; the most that one may use is 100 output tokens and a small prompt.
    let budget = Budget { tokens: Some(Tokens(400)), ..Budget::default() };
    let pid = world.limited(thinking(PRICED, 50), budget).await;
    world.run().await;
    assert_eq!(world.state(pid).await, suspended(LimitName::Tokens));
    let usage = world.info(pid).await.usage;
    assert_eq!(usage.tokens(), Tokens(usage.calls * used), "charged as reported");
    assert!(usage.tokens() <= Tokens(400), "never overspent: {usage:?}");
    assert!(usage.calls * used + 100 + used > 250, "and not stopped long before: {usage:?}");
    world.kernel.grant(pid, Budget { tokens: Some(Tokens(100_000)), ..Budget::default() }).await.unwrap();
    world.run().await;
    ended_well(&world, pid).await;
    world.end().await;
}

#[tokio::test]
async fn money_is_held_at_the_most_and_never_overspent() {
    let world = World::new().await;
    let budget = Budget { cost: Some(MicroUsd(300)), ..Budget::default() };
    let pid = world.limited(thinking(PRICED, 50), budget).await;
    world.run().await;
    assert_eq!(world.state(pid).await, suspended(LimitName::Cost));
    let usage = world.info(pid).await.usage;
    assert!(usage.calls > 0 && usage.cost <= MicroUsd(300), "{usage:?}");
    assert_eq!(usage.cost.0, usage.tokens().0, "one micro-dollar a token");
    world.end().await;
}

#[tokio::test]
async fn an_unknown_price_fails_closed() {
    let world = World::new().await;
    let budget = Budget { cost: Some(MicroUsd(1_000_000_000)), ..Budget::default() };
    let limited = world.limited(thinking(UNPRICED, 1), budget).await;
    let free = world.spawn(thinking(UNPRICED, 1)).await;
    world.run().await;
    let error = world.step(limited, 2).await.remove(0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.message.contains("price of unpriced"), "{error}");
    assert_eq!(world.info(limited).await.usage.calls, 0);
    assert!(world.step(free, 2).await[0].is_ok(), "without a limit of cost the price does not matter");
    world.end().await;
}

#[tokio::test]
async fn steps_are_counted_and_never_overspent() {
    let world = World::new().await;
    let budget = Budget { steps: Some(3), ..Budget::default() };
    let pid = world.limited((0..5).map(|n| vec![put(&n.to_string(), "1")]).collect(), budget).await;
    world.run().await;
    assert_eq!(world.state(pid).await, suspended(LimitName::Steps));
    assert_eq!(world.kernel.store().values(pid).await.unwrap().len(), 3);
    assert_eq!(world.info(pid).await.usage.steps, 3);
    // Five steps of calls and the one that exits.
    world.kernel.grant(pid, Budget { steps: Some(3), ..Budget::default() }).await.unwrap();
    world.run().await;
    ended_well(&world, pid).await;
    assert_eq!(world.info(pid).await.usage.steps, 6);
    world.end().await;
}

#[tokio::test]
async fn a_grant_of_another_limit_does_not_help() {
    let world = World::new().await;
    let budget = Budget { calls: Some(0), ..Budget::default() };
    let pid = world.limited(vec![vec![tool("echo")]], budget).await;
    world.run().await;
    world.kernel.grant(pid, Budget { tokens: Some(Tokens(100)), ..Budget::default() }).await.unwrap();
    world.run().await;
    assert_eq!(world.state(pid).await, suspended(LimitName::Calls));
    assert_eq!(world.tools.calls_of("echo"), 0);
    assert_eq!(world.info(pid).await.budget.tokens, None, "what was unlimited stays so");
    world.end().await;
}

#[tokio::test]
async fn a_refused_call_holds_nothing_back() {
    let world = World::new().await;
    let budget = Budget { calls: Some(1), ..Budget::default() };
    // A call that is malformed, one that has no capability, one that is unknown: none of them takes the one call.
    let wrong = vec![infer("no-such-model"), tool("no-such-tool")];
    let pid = world.limited(vec![vec![page("hello")], wrong, vec![tool("echo")]], budget).await;
    world.run().await;
    ended_well(&world, pid).await;
    assert_eq!(world.tools.calls_of("echo"), 1);
    world.end().await;
}

#[tokio::test]
async fn a_tool_that_fails_is_charged_and_gives_back_what_it_held() {
    let world = World::new().await;
    let error = kernel_tools::ToolError::new(kernel_tools::ToolErrorKind::Io, "echo", "fails");
    world.tools.set_behaviour("echo", kernel_tools::Behaviour::Error(error));
    let budget = Budget { calls: Some(2), ..Budget::default() };
    let pid = world.limited(vec![vec![tool("echo")], vec![tool("echo")], vec![tool("echo")]], budget).await;
    world.run().await;
    assert_eq!(world.state(pid).await, suspended(LimitName::Calls));
    assert_eq!((world.tools.calls_of("echo"), world.info(pid).await.usage.calls), (2, 2));
    world.end().await;
}
