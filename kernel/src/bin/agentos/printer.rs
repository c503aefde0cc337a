//! Streams the answer to standard output while it is made.

use std::io::{IsTerminal, Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use indicatif::ProgressBar;
use kernel_llm::DeltaSink;
use kernel_types::CallKey;
use parking_lot::Mutex;

use crate::failure::Failure;
use crate::output;
use crate::ui::{Ui, clear};

/// Some text of an inference; `None` is the end of all.
type Piece = Option<(CallKey, String)>;

/// What an inference streams goes to a thread of its own: a slow terminal must not hold up the model.
pub(crate) struct Deltas {
    sender: Mutex<Sender<Piece>>,
}

impl DeltaSink for Deltas {
    fn delta(&self, key: CallKey, text: &str) {
        // The printer ends with the program only.
        drop(self.sender.lock().send(Some((key, text.to_owned()))));
    }
}

/// The other end of [`Deltas`].
pub(crate) struct Printer {
    sender: Sender<Piece>,
    thread: JoinHandle<String>,
}

/// A sink for a kernel, and the printer of what goes into it. Not `live`, it prints nothing until the end.
pub(crate) fn printer(ui: &Ui, live: bool) -> (Deltas, Printer) {
    let (sender, receiver) = channel();
    let (bar, streaming) = ui.line();
    let screen = Screen { bar, streaming, terminal: stdout().is_terminal() };
    let thread = std::thread::spawn(move || screen.print_all(&receiver, live));
    (Deltas { sender: Mutex::new(sender.clone()) }, Printer { sender, thread })
}

struct Screen {
    bar: ProgressBar,
    streaming: Arc<AtomicBool>,
    terminal: bool,
}

impl Screen {
    /// Prints what comes; answers the text of the last inference that was printed.
    fn print_all(&self, receiver: &Receiver<Piece>, live: bool) -> String {
        let mut last: Option<CallKey> = None;
        let mut text = String::new();
        while let Ok(Some((key, delta))) = receiver.recv() {
            if !live {
                continue;
            }
            let mut gap = "";
            if last.is_some_and(|last| last != key) {
                text.clear();
                gap = if self.terminal && !self.streaming.load(Ordering::Relaxed) { "" } else { "\n\n" };
            }
            last = Some(key);
            text.push_str(&delta);
            clear(&self.bar);
            self.streaming.store(self.terminal, Ordering::Relaxed);
            let mut out = stdout().lock();
            // A closed pipe is noticed when the answer is printed.
            drop(write!(out, "{gap}{delta}").and_then(|()| out.flush()));
        }
        self.streaming.store(false, Ordering::Relaxed);
        text
    }
}

impl Printer {
    /// Waits for what is on its way, then prints what of the answer was not streamed.
    pub(crate) fn finish(self, answer: Option<&str>) -> Result<(), Failure> {
        // It ends with this at the latest, whoever still holds a sink.
        drop(self.sender.send(None));
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
