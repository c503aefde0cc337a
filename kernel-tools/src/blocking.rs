//! Blocking work off the async threads, told to stop when nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{ToolError, ToolErrorKind};

/// Says to blocking work that its result is not wanted any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

/// The work was told to stop; nobody sees this value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stopped;

impl Stop {
    /// To be called between pieces of work.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if self.0.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }
}

struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on a thread for blocking work. If the future is dropped, [`Stop::check`] fails from then on.
///
/// A panic of the work goes on in the caller, where the kernel catches it.
pub(crate) async fn run<T, W>(tool: &str, work: W) -> Result<T, ToolError>
where
    T: Send + 'static,
    W: FnOnce(&Stop) -> Result<T, ToolError> + Send + 'static,
{
    let stop = Stop::default();
    let _guard = StopOnDrop(stop.clone());
    match tokio::task::spawn_blocking(move || work(&stop)).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ToolError::new(ToolErrorKind::Unavailable, tool, "the runtime is shutting down")),
        },
    }
}

impl From<Stopped> for ToolError {
    fn from(_: Stopped) -> Self {
        Self::new(ToolErrorKind::Unavailable, "tool", "stopped: the call was dropped")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn dropping_the_future_stops_the_work() {
        let (started, has_started) = mpsc::channel();
        let (ended, has_ended) = mpsc::channel();
        let work = run("test", move |stop| {
            started.send(()).expect("the test listens");
            while stop.check().is_ok() {
                std::thread::yield_now();
            }
            ended.send(()).expect("the test listens");
            Ok(())
        });
        let task = tokio::spawn(work);
        tokio::task::yield_now().await;
        has_started.recv().expect("the work starts");
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        has_ended.recv().expect("the work ends");
    }

    #[tokio::test]
    async fn a_panic_of_the_work_reaches_the_caller() {
        let task = tokio::spawn(run::<(), _>("test", |_| panic!("broken")));
        assert!(task.await.unwrap_err().is_panic());
    }
}
