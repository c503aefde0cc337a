//! The laws that need no workspace: specs, answers, keys, drops, wrong arguments.

use std::future::Future;
use std::task::{Context, Poll};

use kernel_types::{JsonText, Millis, Recovery};

use super::hostile::hostile_arguments;
use super::{PATIENCE, Subject, request};
use crate::{NullHost, ToolErrorKind};

/// The specs can be registered: names are valid and unique, schemas compile, path arguments are string properties.
pub async fn specs_can_be_registered(make: impl Fn() -> Subject) {
    let subject = make();
    let registry = subject.registry();
    assert_eq!(registry.specs().len(), subject.driver.tools().len());
    for spec in registry.specs() {
        assert!(!spec.description.is_empty(), "{} tells the model nothing", spec.name);
        assert!(spec.timeout > Millis::ZERO, "{} has no time", spec.name);
    }
}

/// `tools` answers the same from call to call, before and after calls.
pub async fn tools_never_change(make: impl Fn() -> Subject) {
    let subject = make();
    let before = subject.driver.tools();
    assert_eq!(before, subject.driver.tools());
    for (seq, (tool, args)) in (0..).zip(subject.samples.clone()) {
        let _any = subject.call(&request(seq, &tool, args), &NullHost::context()).await;
    }
    assert_eq!(before, subject.driver.tools());
}

/// Each tool has a sample that is valid against the schema and succeeds.
pub async fn valid_calls_succeed(make: impl Fn() -> Subject) {
    let subject = make();
    let registry = subject.registry();
    for spec in registry.specs() {
        assert!(subject.samples.iter().any(|(tool, _)| *tool == spec.name), "{} has no sample", spec.name);
    }
    for (seq, (tool, args)) in (0..).zip(&subject.samples) {
        registry.check(tool, args).expect("a sample is valid");
        registry.paths(tool, args).expect("the paths of a sample are valid");
        let output = subject.call(&request(seq, tool, args.clone()), &NullHost::context()).await;
        let output = output.expect("a valid call is answered");
        assert!(output.success, "{tool} {args}: {}", output.text);
    }
}

/// A `reread` tool has no effect outside.
pub async fn reread_tools_have_no_effect(make: impl Fn() -> Subject) {
    let subject = make();
    for (seq, (spec, args)) in (0..).zip(subject.specs_of_samples()) {
        if spec.recovery == Recovery::Reread {
            let before = (subject.effects)();
            let _any = subject.call(&request(seq, &spec.name, args), &NullHost::context()).await;
            assert_eq!(before, (subject.effects)(), "{} has an effect", spec.name);
        }
    }
}

/// A `keyed` tool does the work of one key once and gives the same answer again, also when others worked in between.
pub async fn keyed_work_is_done_once(make: impl Fn() -> Subject) {
    let subject = make();
    for (seq, (spec, args)) in (0..).zip(subject.specs_of_samples()) {
        if spec.recovery == Recovery::Keyed {
            let request = request(seq, &spec.name, args);
            let first = subject.call(&request, &NullHost::context()).await.expect("a valid call is answered");
            let after = (subject.effects)();
            let second =
                subject.call(&request, &NullHost::context()).await.expect("a repetition is answered");
            assert_eq!(after, (subject.effects)(), "{} does its work twice for one key", spec.name);
            assert_eq!(first, second, "{} answers a repetition otherwise", spec.name);
        }
    }
}

/// A dropped call leaves the driver usable: the same call, repeated, has the effect of an undisturbed one.
pub async fn a_dropped_call_leaves_no_trace(make: impl Fn() -> Subject) {
    for polls in 1..4 {
        let (disturbed, undisturbed) = (make(), make());
        for (seq, (spec, args)) in (0..).zip(undisturbed.specs_of_samples()) {
            if spec.recovery == Recovery::Unsafe {
                continue;
            }
            let request = request(seq, &spec.name, args);
            let context = NullHost::context();
            let expected = undisturbed.call(&request, &context).await.expect("a valid call is answered");
            poll_and_drop(disturbed.driver.call(&request, &context), polls).await;
            let output =
                disturbed.call(&request, &context).await.expect("a call after a dropped one is answered");
            assert_eq!(expected.success, output.success, "{} after a drop: {}", spec.name, output.text);
        }
        assert_eq!(
            (undisturbed.effects)(),
            (disturbed.effects)(),
            "a call dropped after {polls} polls left a trace"
        );
    }
}

async fn poll_and_drop(future: impl Future, polls: usize) {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        let poll = |context: &mut Context<'_>| Poll::Ready(future.as_mut().poll(context).is_ready());
        if std::future::poll_fn(poll).await {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Calls at the same time are answered each for itself, as they are one after the other.
pub async fn calls_run_side_by_side(make: impl Fn() -> Subject) {
    let subject = make();
    let context = NullHost::context();
    for (spec, args) in subject.specs_of_samples() {
        if spec.recovery == Recovery::Reread {
            let alone = subject.call(&request(0, &spec.name, args.clone()), &context).await;
            let tasks: Vec<_> = (1..9)
                .map(|seq| {
                    let (driver, context) = (subject.driver.clone(), context.clone());
                    let request = request(seq, &spec.name, args.clone());
                    tokio::spawn(async move { driver.call(&request, &context).await })
                })
                .collect();
            for task in tasks {
                let together =
                    tokio::time::timeout(PATIENCE, task).await.expect("no hang").expect("no panic");
                assert_eq!(alone, together, "{}", spec.name);
            }
        }
    }
}

/// A tool that is not offered is an error, not a panic and not some other tool.
pub async fn an_unknown_tool_is_an_error(make: impl Fn() -> Subject) {
    let subject = make();
    for tool in ["no-such-tool", "", "../tool"] {
        let answer = subject.call(&request(0, tool, JsonText::empty_object()), &NullHost::context()).await;
        let error = answer.expect_err("a tool that is not offered");
        assert_eq!(error.kind(), ToolErrorKind::Unknown, "{error}");
    }
}

/// No arguments, however wrong, make a tool panic or hang, even if nobody checked them before.
pub async fn hostile_arguments_never_panic(make: impl Fn() -> Subject) {
    let subject = make();
    for spec in subject.driver.tools() {
        for (seq, args) in (0..).zip(hostile_arguments(&spec)) {
            let (driver, request) = (subject.driver.clone(), request(seq, &spec.name, JsonText::from(args)));
            let task = tokio::spawn(async move { driver.call(&request, &NullHost::context()).await });
            let ended = tokio::time::timeout(PATIENCE, task).await;
            let ended = ended.unwrap_or_else(|_| panic!("{} hangs on hostile arguments {seq}", spec.name));
            assert!(ended.is_ok(), "{} panics on hostile arguments {seq}", spec.name);
        }
    }
}
