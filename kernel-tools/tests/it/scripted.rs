//! The scripted driver does what its script says and counts it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kernel_tools::{
    Behaviour, CallContext, Driver, Host, HostExec, HostExit, NullHost, ScriptedDriver, ToolError,
    ToolErrorKind, ToolOutput,
};
use kernel_types::{Blame, JsonText, Millis, Recovery, Retry};
use serde_json::json;

use crate::folder::{NoSecrets, request};

fn answer() -> ToolOutput {
    ToolOutput::ok(JsonText::empty_object(), "done")
}

fn driver(behaviour: Behaviour) -> ScriptedDriver {
    ScriptedDriver::new().with("tool", Recovery::Keyed, behaviour)
}

#[tokio::test]
async fn work_is_counted_apart_from_attempts() {
    let driver = driver(Behaviour::Answer(answer()));
    let (first, other) = (request(0, "tool", json!({})), request(1, "tool", json!({})));
    for call in [&first, &first, &first, &other] {
        assert_eq!(driver.call(call, &NullHost::context()).await.unwrap(), answer());
    }
    assert_eq!((driver.attempts(&first.key), driver.works(&first.key)), (3, 1));
    assert_eq!((driver.calls_of("tool"), driver.total_works()), (4, 2));
}

#[tokio::test]
async fn an_unsafe_tool_works_as_often_as_it_is_called() {
    let driver = ScriptedDriver::new().with("tool", Recovery::Unsafe, Behaviour::Answer(answer()));
    let call = request(0, "tool", json!({}));
    driver.call(&call, &NullHost::context()).await.unwrap();
    driver.call(&call, &NullHost::context()).await.unwrap();
    assert_eq!(driver.works(&call.key), 2);
}

#[tokio::test]
async fn an_error_is_answered_and_is_no_work() {
    let error = ToolError::new(ToolErrorKind::Unavailable, "tool", "the line is cut");
    assert_eq!((error.retry(), error.blame()), (Retry::Now, Blame::Plugin));
    let driver = driver(Behaviour::Error(error.clone()));
    let call = request(0, "tool", json!({}));
    assert_eq!(driver.call(&call, &NullHost::context()).await, Err(error));
    assert_eq!((driver.attempts(&call.key), driver.works(&call.key)), (1, 0));
    driver.set_behaviour("tool", Behaviour::Answer(answer()));
    assert_eq!(driver.call(&call, &NullHost::context()).await, Ok(answer()));
}

#[tokio::test]
async fn a_panic_is_a_panic_and_leaves_the_driver_usable() {
    let driver = driver(Behaviour::Panic("on purpose".into()));
    let task = tokio::spawn({
        let driver = driver.clone();
        async move { driver.call(&request(0, "tool", json!({})), &NullHost::context()).await }
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!((driver.in_flight(), driver.total_works()), (0, 0));
    driver.set_behaviour("tool", Behaviour::Echo);
    assert!(driver.call(&request(1, "tool", json!({})), &NullHost::context()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_hanging_tool_never_answers_and_can_be_dropped() {
    let driver = driver(Behaviour::Hang);
    let call = request(0, "tool", json!({}));
    let task = tokio::spawn({
        let (driver, call) = (driver.clone(), call.clone());
        async move { driver.call(&call, &NullHost::context()).await }
    });
    assert!(
        tokio::time::timeout(Duration::from_secs(3600), async {
            while !task.is_finished() {
                tokio::time::sleep(Duration::from_secs(1)).await
            }
        })
        .await
        .is_err()
    );
    assert_eq!(driver.in_flight(), 1);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!((driver.in_flight(), driver.works(&call.key)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_tool_works_when_its_time_has_come() {
    let driver = driver(Behaviour::Slow(Millis(5_000), answer()));
    let call = request(0, "tool", json!({}));
    let early = tokio::time::timeout(Duration::from_secs(4), driver.call(&call, &NullHost::context())).await;
    assert!(early.is_err());
    assert_eq!(driver.works(&call.key), 0);
    assert_eq!(driver.call(&call, &NullHost::context()).await, Ok(answer()));
    assert_eq!(driver.works(&call.key), 1);
}

/// Runs `echo` and nothing else.
struct Echo;

#[async_trait]
impl Host for Echo {
    fn may_read(&self, _path: &str) -> bool {
        true
    }

    fn may_write(&self, _path: &str) -> bool {
        true
    }

    async fn exec(&self, exec: HostExec) -> Result<HostExit, ToolError> {
        let stdout = exec.args.join(" ").into_bytes();
        Ok(HostExit { code: Some(i32::from(exec.program != "echo")), stdout, ..HostExit::default() })
    }
}

#[tokio::test]
async fn a_program_runs_on_the_host_or_not_at_all() {
    let exec =
        |program: &str| HostExec { program: program.into(), args: vec!["hello".into()], stdin: vec![] };
    let echo = CallContext { host: Arc::new(Echo), ..NullHost::context() };
    let driver = driver(Behaviour::Exec(exec("echo")));
    let output = driver.call(&request(0, "tool", json!({})), &echo).await.unwrap();
    assert_eq!((output.success, output.text.as_str()), (true, "hello"));

    let refused = driver.call(&request(1, "tool", json!({})), &NullHost::context()).await.unwrap_err();
    assert_eq!(refused.kind(), ToolErrorKind::Denied);

    driver.set_behaviour("tool", Behaviour::Exec(exec("rm")));
    assert!(!driver.call(&request(2, "tool", json!({})), &echo).await.unwrap().success);
}

#[tokio::test]
async fn paths_are_touched_if_the_host_permits() {
    let strict = CallContext { host: Arc::new(NoSecrets), ..NullHost::context() };
    let touch = |read: &str, write: &str| Behaviour::Touch(vec![read.into()], vec![write.into()]);
    for (seq, (behaviour, denied)) in
        (0..).zip([(touch("a", "b"), false), (touch("secret", "b"), true), (touch("a", "secret"), true)])
    {
        let driver = driver(behaviour);
        let answer = driver.call(&request(seq, "tool", json!({})), &strict).await;
        assert_eq!(answer.is_err(), denied);
        assert_eq!(driver.total_works(), u64::from(!denied));
    }
}
