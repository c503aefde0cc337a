//! Ctrl-C and its like.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Exit, Failure};

/// The signals that ask a run to stop: INT, TERM, HUP.
pub(crate) struct Interrupts {
    streams: [Signal; 3],
}

impl Interrupts {
    /// From now on these signals are taken here instead of ending the program.
    pub(crate) fn take() -> Result<Self, Failure> {
        let stream = |kind| {
            signal(kind).map_err(|error| Failure::new(Exit::Io, format!("cannot take signals: {error}")))
        };
        let streams = [
            stream(SignalKind::interrupt())?,
            stream(SignalKind::terminate())?,
            stream(SignalKind::hangup())?,
        ];
        Ok(Self { streams })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        let [int, term, hup] = &mut self.streams;
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hup.recv() => {}
        }
    }

    /// Runs `work`, unless one comes first.
    pub(crate) async fn unless<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => done,
            () = self.next() => Err(Failure::new(Exit::Interrupted, "interrupted before the agent was started")),
        }
    }
}
