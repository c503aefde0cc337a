//! Laws of calls that may and may not go on.

use kernel_security::{Policy, Rule, RuleEffect};
use kernel_types::{
    Answer, Budget, Call, Capabilities, Decision, ErrorKind, InferArgs, ProcessState, StepNo, SyscallNo,
    Tokens, ToolGrant, WaitReason,
};

use super::Assemble;
use super::rig::Rig;
use super::sample::{Sample, sample, window};

/// Calls that only concern the caller and disclose nothing: no capability is needed for them.
const UNGRANTED: [SyscallNo; 6] = [
    SyscallNo::Probe,
    SyscallNo::Exit,
    SyscallNo::ProcessInfo,
    SyscallNo::ToolList,
    SyscallNo::Now,
    SyscallNo::Random,
];

/// The calls that the kernel says it carries out.
///
/// # Panics
/// If `probe` does not answer.
pub(super) async fn built(rig: &Rig) -> Vec<SyscallNo> {
    let pid = rig.spawn(vec![vec![Call::Probe]], Capabilities::default(), Budget::default()).await;
    rig.run().await;
    let trace = rig.call(pid, StepNo(1), 0).await;
    match trace.once("probe") {
        (Decision::Allow, Ok(Answer::Probe { calls, .. })) => calls.clone(),
        other => panic!("probe answers {other:?}"),
    }
}

/// Each call that is allowed is carried out once: one intent, one outcome, the effect once. The positive control of all
/// other laws.
pub async fn allowed_calls_happen_once(make: &impl Assemble) {
    let rig = Rig::new(make).await;
    let mut started = Vec::new();
    for no in built(&rig).await {
        let sample = sample(no, rig.peer().await);
        started.push((rig.start(&sample, Capabilities::all(), Budget::default()).await, sample));
    }
    rig.run().await;
    for (pid, sample) in &started {
        let what = sample.name();
        let trace = rig.call(*pid, sample.step(), 0).await;
        let (decision, result) = trace.once(&what);
        assert_eq!(*decision, Decision::Allow, "{what}");
        assert!(result.as_ref().is_ok_and(|answer| sample.fits(answer)), "{what}: {result:?}");
        assert_eq!(sample.effects(&rig, *pid).await, sample.expected(), "{what}: the effect is there once");
        if sample.parks() {
            assert_eq!(rig.state(*pid).await, ProcessState::Blocked(WaitReason::Message), "{what}");
        } else {
            rig.ended_well(*pid, &what).await;
        }
    }
    default_model_answers_once(&rig).await;
    rig.finish().await;
}

/// The kernel's own default model, which need not be one of the suite's.
async fn default_model_answers_once(rig: &Rig) {
    let infer = Call::Infer(InferArgs { max_output: Tokens(16), ..InferArgs::default() });
    let pid = rig.spawn(vec![vec![window()], vec![infer]], Capabilities::all(), Budget::default()).await;
    rig.run().await;
    let trace = rig.call(pid, StepNo(2), 0).await;
    let (decision, result) = trace.once("infer by the default model");
    assert!(decision.is_allow() && result.is_ok(), "the default model: {decision:?}, {result:?}");
    let usage = rig.kernel.process(pid).await.expect("the process is known").usage;
    assert_eq!(usage.calls, 1, "one inference is charged");
}

/// What a process may hold and still lack the capability for a call.
fn lacking(no: SyscallNo) -> Vec<Capabilities> {
    if UNGRANTED.contains(&no) {
        return Vec::new();
    }
    let others = SyscallNo::ALL.iter().filter(|other| **other != no).map(|other| other.name().to_owned());
    let all = Capabilities::all;
    let mut lacking = vec![Capabilities { calls: others.collect(), ..all() }];
    match no {
        SyscallNo::ToolCall => {
            let other = ToolGrant { tool: "another-tool".to_owned(), ..ToolGrant::default() };
            lacking.push(Capabilities { tools: Vec::new(), ..all() });
            lacking.push(Capabilities { tools: vec![other], ..all() });
        }
        SyscallNo::Infer => lacking.push(Capabilities { models: vec!["another-model".to_owned()], ..all() }),
        SyscallNo::Signal | SyscallNo::SetPriority | SyscallNo::Send => {
            lacking.push(Capabilities { peers: vec!["tree".to_owned()], ..all() });
        }
        _ => {}
    }
    lacking
}

/// Each call without its capability is answered `Denied`, recorded with its refusal, and has no effect.
pub async fn denied_calls_have_no_effect(make: &impl Assemble) {
    let rig = Rig::new(make).await;
    let mut started = Vec::new();
    for no in built(&rig).await {
        for capabilities in lacking(no) {
            let sample = sample(no, rig.peer().await);
            started.push((rig.start(&sample, capabilities, Budget::default()).await, sample));
        }
    }
    rig.run().await;
    for (pid, sample) in &started {
        rig.refused(*pid, sample, ErrorKind::Denied, |decision| matches!(decision, Decision::Deny { .. }))
            .await;
    }
    rig.finish().await;
}

/// Each call that the operator's policy denies has no effect, whatever the capabilities. Only `exit` stands above it: a
/// process can always end. The law replaces the kernel's policy.
pub async fn calls_denied_by_policy_have_no_effect(make: &impl Assemble) {
    refused_by_policy(make, RuleEffect::Deny, |decision| matches!(decision, Decision::Deny { .. })).await;
}

/// Each call that needs approval is denied at once when nobody is there to give it. The law replaces the kernel's policy.
pub async fn calls_that_need_approval_have_no_effect(make: &impl Assemble) {
    refused_by_policy(make, RuleEffect::Ask, |decision| matches!(decision, Decision::Ask { .. })).await;
}

async fn refused_by_policy(make: &impl Assemble, effect: RuleEffect, by: fn(&Decision) -> bool) {
    let calls = {
        let rig = Rig::new(make).await;
        built(&rig).await
    };
    for no in calls {
        // One call at a time, so that what comes before it in its sample goes on.
        let rule = Rule {
            name: "the suite".to_owned(),
            effect,
            calls: vec![no.name().to_owned()],
            tools: Vec::new(),
            args: std::collections::BTreeMap::new(),
        };
        let policy = Policy::new(vec![rule]).expect("the rule names a call");
        let rig = Rig::with(make, |builder| builder.policy(policy)).await;
        let sample = sample(no, rig.peer().await);
        let pid = rig.start(&sample, Capabilities::all(), Budget::default()).await;
        rig.run().await;
        if no == SyscallNo::Exit {
            assert_eq!(sample.effects(&rig, pid).await, 1, "a process can always end");
        } else {
            rig.refused(pid, &sample, ErrorKind::Denied, by).await;
        }
        rig.finish().await;
    }
}

/// Each call of the table that the kernel does not carry out answers `Unsupported` and is recorded like any other.
pub async fn calls_not_built_are_unsupported(make: &impl Assemble) {
    let rig = Rig::new(make).await;
    let built = built(&rig).await;
    let peer = rig.peer().await;
    let mut started: Vec<(_, Sample)> = Vec::new();
    for no in SyscallNo::ALL.iter().filter(|no| !built.contains(no)) {
        let sample = sample(*no, peer);
        started.push((rig.start(&sample, Capabilities::all(), Budget::default()).await, sample));
    }
    rig.run().await;
    for (pid, sample) in &started {
        rig.refused(*pid, sample, ErrorKind::Unsupported, |decision| {
            matches!(decision, Decision::Reject { .. })
        })
        .await;
        rig.ended_well(*pid, &sample.name()).await;
    }
    rig.finish().await;
}
