//! Tries again what failed for a passing reason.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use kernel_types::{CallKey, Inference, ModelInfo, Retry};
use tokio::time::Instant;

use crate::{Cpu, CpuError, DeltaSink, InferRequest};

/// How often, how long and how eagerly to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The longest first pause; each further one may be twice as long.
    pub first_pause: Duration,
    /// The longest pause of all, unless the provider asks for more.
    pub longest_pause: Duration,
    /// No attempt begins later than this after the first. An attempt under way is not cut short.
    pub total: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(20),
            total: Duration::from_secs(120),
        }
    }
}

impl RetryPolicy {
    /// The pause before the next attempt: between nothing and `bound` at random ("full jitter", so that callers that
    /// failed together do not come back together), on top of what the provider asked for. `None` if that is too late.
    fn pause(&self, error: &CpuError, bound: Duration, since_start: Duration) -> Option<Duration> {
        let jitter = bound.mul_f64(fastrand::f64());
        let pause = match error.retry() {
            Retry::Never => return None,
            Retry::Now => jitter,
            Retry::After(delay) => Duration::from(delay) + jitter.min(Duration::from_secs(1)),
        };
        (since_start + pause <= self.total).then_some(pause)
    }
}

/// A [`Cpu`] that repeats failed calls of another: exponential backoff with full jitter, at least the provider's
/// Retry-After, a bounded number of attempts and a bounded time.
///
/// An error whose `retry()` is `Never` is returned at once. So is any error after text reached the sink: what was shown
/// cannot be taken back, and the deltas must stay the text of the answer. The last error is returned as it is, so a
/// Retry-After beyond the policy's patience reaches whoever schedules the next call.
#[derive(Clone, Debug)]
pub struct Retrying<C> {
    inner: C,
    policy: RetryPolicy,
}

impl<C: Cpu> Retrying<C> {
    /// Repeats calls of `inner` by `policy`.
    pub const fn new(inner: C, policy: RetryPolicy) -> Self {
        Self { inner, policy }
    }
}

/// Passes text on and remembers that there was some.
struct Witness<'a> {
    sink: &'a dyn DeltaSink,
    seen: AtomicBool,
}

impl DeltaSink for Witness<'_> {
    fn delta(&self, key: CallKey, text: &str) {
        self.seen.store(true, Ordering::Relaxed);
        self.sink.delta(key, text);
    }
}

#[async_trait]
impl<C: Cpu> Cpu for Retrying<C> {
    fn models(&self) -> Vec<ModelInfo> {
        self.inner.models()
    }

    fn slots(&self) -> u32 {
        self.inner.slots()
    }

    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let start = Instant::now();
        let witness = Witness { sink, seen: AtomicBool::new(false) };
        let bounds = ExponentialBuilder::new()
            .with_min_delay(self.policy.first_pause)
            .with_max_delay(self.policy.longest_pause)
            .with_max_times(self.policy.attempts.saturating_sub(1) as usize);
        (|| self.inner.infer(request.clone(), &witness))
            .retry(bounds)
            .sleep(tokio::time::sleep)
            .when(|error| error.retry() != Retry::Never && !witness.seen.load(Ordering::Relaxed))
            .adjust(|error, bound| self.policy.pause(error, bound?, start.elapsed()))
            .await
    }

    async fn health(&self) -> Result<(), CpuError> {
        self.inner.health().await
    }
}
