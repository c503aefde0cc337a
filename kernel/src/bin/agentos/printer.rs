//! Streams the answer to standard output while it is made.

use std::io::{Write, stdout};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use indicatif::ProgressBar;
use kernel_llm::DeltaSink;
use kernel_types::CallKey;
use parking_lot::Mutex;

use crate::failure::Failure;
use crate::output;

/// What an inference streams goes to a thread of its own: a slow terminal must not hold up the model.
pub(crate) struct Deltas {
    sender: Mutex<Sender<(CallKey, String)>>,
}

impl DeltaSink for Deltas {
    fn delta(&self, key: CallKey, text: &str) {
        // The printer ends with the program only.
        drop(self.sender.lock().send((key, text.to_owned())));
    }
}

/// The other end of [`Deltas`].
pub(crate) struct Printer {
    thread: JoinHandle<String>,
}

/// A sink for a kernel, and the printer of what goes into it. Not `live`, it prints nothing until the end.
pub(crate) fn printer(bar: ProgressBar, live: bool) -> (Deltas, Printer) {
    let (sender, receiver) = channel();
    let thread = std::thread::spawn(move || print_all(&receiver, &bar, live));
    (Deltas { sender: Mutex::new(sender) }, Printer { thread })
}

/// Prints what comes; answers the text of the last inference that was printed.
fn print_all(receiver: &Receiver<(CallKey, String)>, bar: &ProgressBar, live: bool) -> String {
    let mut last: Option<CallKey> = None;
    let mut text = String::new();
    for (key, delta) in receiver {
        if !live {
            continue;
        }
        bar.disable_steady_tick();
        bar.finish_and_clear();
        let mut out = stdout().lock();
        if last.is_some_and(|last| last != key) {
            text.clear();
            drop(out.write_all(b"\n\n"));
        }
        last = Some(key);
        text.push_str(&delta);
        // A closed pipe is noticed when the answer is printed.
        drop(out.write_all(delta.as_bytes()).and_then(|()| out.flush()));
    }
    text
}

impl Printer {
    /// Waits for what is on its way (all sinks must be gone), then prints what of the answer was not streamed.
    pub(crate) fn finish(self, answer: Option<&str>) -> Result<(), Failure> {
        let streamed = self.thread.join().unwrap_or_default();
        match answer {
            Some(answer) if streamed.trim() == answer.trim() => output::print("\n"),
            Some(answer) if streamed.is_empty() => output::line(answer),
            Some(answer) => output::print(&format!("\n\n{answer}\n")),
            None if streamed.is_empty() => Ok(()),
            None => output::print("\n"),
        }
    }
}
