//! Laws of the sandbox: a program runs only through a tool call that was allowed, and only inside.

use std::sync::Arc;

use kernel_security::{DenyAll, Script, ScriptedSandbox};
use kernel_types::{Answer, Budget, CallResult, Capabilities, Decision, ErrorKind, Pid, StepNo};

use super::Assemble;
use super::probe::{EXEC_TOOL, PROGRAM};
use super::rig::{Rig, tool};

async fn exec(rig: &Rig, capabilities: Capabilities) -> (Pid, Decision, CallResult) {
    let pid = rig.spawn(vec![vec![tool(EXEC_TOOL)]], capabilities, Budget::default()).await;
    rig.run().await;
    let trace = rig.call(pid, StepNo(1), 0).await;
    let (decision, result) = trace.once("the tool that runs a program");
    (pid, decision.clone(), result.clone())
}

/// A tool that was denied is not called and asks the sandbox for nothing. The law replaces the kernel's sandbox by one
/// that counts.
pub async fn a_denied_tool_does_not_reach_the_sandbox(make: &impl Assemble) {
    let sandbox = Arc::new(ScriptedSandbox::new().with(PROGRAM, Script::print("ran")));
    let inside = Arc::clone(&sandbox);
    let rig = Rig::with(make, |builder| builder.sandbox(inside)).await;
    let (pid, decision, result) = exec(&rig, Capabilities { tools: Vec::new(), ..Capabilities::all() }).await;
    assert!(matches!(decision, Decision::Deny { .. }), "{decision:?}");
    assert_eq!(result.expect_err("a denied call is an error").kind, ErrorKind::Denied);
    assert_eq!((rig.seen.tool_calls(pid), sandbox.execs()), (0, 0), "neither tool nor sandbox was reached");
    rig.finish().await;
}

/// A sandbox that refuses is an error of the call; nothing falls back to the host. The law replaces the kernel's sandbox.
pub async fn a_sandbox_that_refuses_runs_nothing(make: &impl Assemble) {
    let rig = Rig::with(make, |builder| builder.sandbox(DenyAll)).await;
    let (pid, decision, result) = exec(&rig, Capabilities::all()).await;
    assert_eq!(decision, Decision::Allow);
    assert_eq!(result.expect_err("nothing ran").kind, ErrorKind::Denied);
    assert_eq!(rig.seen.tool_calls(pid), 1, "the tool itself was called");
    rig.finish().await;
    let broken = Arc::new(
        ScriptedSandbox::without_isolation("no namespaces here").with(PROGRAM, Script::print("ran")),
    );
    let inside = Arc::clone(&broken);
    let rig = Rig::with(make, |builder| builder.sandbox(inside)).await;
    let (_, _, result) = exec(&rig, Capabilities::all()).await;
    assert!(result.is_err(), "a sandbox that cannot be set up refuses: {result:?}");
    assert_eq!(broken.started(), 0, "nothing ran");
    rig.finish().await;
}

/// A tool that was allowed runs its program once, in the sandbox. The law replaces the kernel's sandbox.
pub async fn an_allowed_tool_runs_its_program_once(make: &impl Assemble) {
    let sandbox = Arc::new(ScriptedSandbox::new().with(PROGRAM, Script::print("ran")));
    let inside = Arc::clone(&sandbox);
    let rig = Rig::with(make, |builder| builder.sandbox(inside)).await;
    let (_, decision, result) = exec(&rig, Capabilities::all()).await;
    assert_eq!(decision, Decision::Allow);
    let Ok(Answer::Tool(answer)) = &result else { panic!("the program ran: {result:?}") };
    assert_eq!(answer.text, "ran");
    assert_eq!((sandbox.execs(), sandbox.started()), (1, 1), "it ran once");
    rig.finish().await;
}
