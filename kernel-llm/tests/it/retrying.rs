//! What is tried again, when, and how often. Time is paused: pauses are measured, not waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kernel_llm::{
    Cpu, CpuError, CpuErrorKind, DeltaSink, FnCpu, InferRequest, NoDeltas, RetryPolicy, Retrying, Script,
    Scripted,
};
use kernel_types::{Inference, Millis, ModelInfo, Retry};
use tokio::time::Instant;

use crate::requests::{Text, ask};

const POLICY: RetryPolicy = RetryPolicy {
    attempts: 4,
    first_pause: Duration::from_millis(500),
    longest_pause: Duration::from_secs(4),
    total: Duration::from_secs(60),
};

/// Fails every call with the error made by `fail`, and counts them.
fn failing(calls: &Arc<AtomicU32>, fail: impl Fn() -> CpuError + Send + Sync + 'static) -> FnCpu {
    let calls = Arc::clone(calls);
    FnCpu::new(Script::new(["unused"]).model, move |_| {
        calls.fetch_add(1, Ordering::SeqCst);
        Err(fail())
    })
}

fn error(kind: CpuErrorKind) -> CpuError {
    CpuError::new(kind, "test", "made up")
}

#[tokio::test(start_paused = true)]
async fn a_passing_fault_is_overcome() {
    let script = Script::parse(
        r#"
        [[reply]]
        error = "overloaded"
        times = 2
        text = "here"
    "#,
    );
    let cpu = Retrying::new(Scripted::new(script.unwrap()), POLICY);
    let sink = Text::default();
    let answer = cpu.infer(ask("scripted", "hello"), &sink).await.unwrap();
    assert_eq!((answer.text().as_str(), sink.all().as_str()), ("here", "here"));
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_and_pauses_are_jittered_below_their_bounds() {
    let calls = Arc::new(AtomicU32::new(0));
    let cpu = Retrying::new(failing(&calls, || error(CpuErrorKind::Failed)), POLICY);
    let mut waits = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        let end = cpu.infer(ask("scripted", "hello"), &NoDeltas).await.unwrap_err();
        assert_eq!(end.kind(), CpuErrorKind::Failed);
        // 0.5 + 1 + 2 s are the bounds of the three pauses.
        assert!(start.elapsed() <= Duration::from_millis(3510), "waited {:?}", start.elapsed());
        waits.push(start.elapsed());
    }
    assert_eq!(calls.load(Ordering::SeqCst), 20 * POLICY.attempts);
    waits.sort();
    waits.dedup();
    assert!(waits.len() > 10, "pauses without jitter: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_is_waited_for() {
    let calls = Arc::new(AtomicU32::new(0));
    let busy = || error(CpuErrorKind::Overloaded).retry_after(Some(Millis(7000)));
    let cpu = Retrying::new(failing(&calls, busy), POLICY);
    let start = Instant::now();
    let end = cpu.infer(ask("scripted", "hello"), &NoDeltas).await.unwrap_err();
    assert!(start.elapsed() >= Duration::from_secs(21), "three pauses of 7 s, not {:?}", start.elapsed());
    assert!(start.elapsed() <= Duration::from_secs(25), "not {:?}", start.elapsed());
    assert_eq!(end.retry(), Retry::After(Millis(7000)), "the last Retry-After reaches the caller");
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_the_total_ends_it_at_once() {
    let calls = Arc::new(AtomicU32::new(0));
    let busy = || error(CpuErrorKind::Overloaded).retry_after(Some(Millis(3_600_000)));
    let cpu = Retrying::new(failing(&calls, busy), POLICY);
    let start = Instant::now();
    let end = cpu.infer(ask("scripted", "hello"), &NoDeltas).await.unwrap_err();
    assert_eq!(end.retry(), Retry::After(Millis(3_600_000)));
    assert_eq!((calls.load(Ordering::SeqCst), start.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_get_better_is_not_tried_again() {
    use CpuErrorKind::*;
    let once = [Auth, UnknownModel, TooLong, InvalidRequest, Protocol, Setup];
    let often = [Unreachable, Overloaded, Failed, Timeout, Broken];
    for (kinds, expected) in [(&once[..], 1), (&often[..], POLICY.attempts)] {
        for &kind in kinds {
            let calls = Arc::new(AtomicU32::new(0));
            let cpu = Retrying::new(failing(&calls, move || error(kind)), POLICY);
            cpu.infer(ask("scripted", "hello"), &NoDeltas).await.unwrap_err();
            assert_eq!(calls.load(Ordering::SeqCst), expected, "{kind:?}");
        }
    }
}

/// Says a word, then breaks.
struct Halfway(AtomicU32);

#[async_trait]
impl Cpu for Halfway {
    fn models(&self) -> Vec<ModelInfo> {
        vec![Script::new(["unused"]).model]
    }
    fn slots(&self) -> u32 {
        1
    }
    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        sink.delta(request.key, "half");
        Err(error(CpuErrorKind::Broken))
    }
    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_after_text_was_shown() {
    let inner = Arc::new(Halfway(AtomicU32::new(0)));
    let cpu = Retrying::new(Arc::clone(&inner), POLICY);
    let sink = Text::default();
    let end = cpu.infer(ask("scripted", "hello"), &sink).await.unwrap_err();
    assert_eq!(end.kind(), CpuErrorKind::Broken);
    assert_eq!((inner.0.load(Ordering::SeqCst), sink.all().as_str()), (1, "half"));
}
