//! Standard error: what goes on, for people. A spinner at a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Global;
use crate::failure::Failure;

/// Where notes and progress go.
pub(crate) struct Ui {
    pub(crate) json: bool,
    pub(crate) verbose: bool,
    quiet: bool,
    terminal: bool,
    bar: ProgressBar,
    /// The terminal's line holds streamed text: a spinner would overwrite it.
    streaming: Arc<AtomicBool>,
}

impl Ui {
    pub(crate) fn new(global: &Global) -> Self {
        let terminal = stderr().is_terminal() && !global.quiet;
        Self {
            json: global.json,
            verbose: global.verbose,
            quiet: global.quiet,
            terminal,
            bar: spinner(terminal),
            streaming: Arc::default(),
        }
    }

    /// A line that stays.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// A line that whoever asked for quiet wants too.
    pub(crate) fn say(&self, text: &str) {
        let gap = if self.streaming.swap(false, Ordering::Relaxed) { "\n" } else { "" };
        self.bar.suspend(|| crate::output::complain(&format!("{gap}{text}")));
    }

    /// What is being done now: replaced by the next at a terminal, a line elsewhere.
    pub(crate) fn busy(&self, text: impl Into<String>) {
        let text = text.into();
        if self.terminal {
            self.spin(text);
        } else if !self.quiet {
            crate::output::complain(&text);
        }
    }

    /// What is being done now, at a terminal only.
    pub(crate) fn spin(&self, text: impl Into<String>) {
        if !self.terminal || self.streaming.load(Ordering::Relaxed) {
            return;
        }
        if self.bar.is_finished() {
            self.bar.reset();
        }
        self.bar.set_message(text.into());
        self.bar.enable_steady_tick(Duration::from_millis(120));
    }

    /// Nothing is being done any more: the line is free for others.
    pub(crate) fn quiet(&self) {
        clear(&self.bar);
    }

    /// For another thread that prints: the line to clear first, and where to say that it holds text now.
    pub(crate) fn line(&self) -> (ProgressBar, Arc<AtomicBool>) {
        (self.bar.clone(), Arc::clone(&self.streaming))
    }

    /// A bar for bytes; hidden unless at a terminal.
    pub(crate) fn bytes(&self, total: u64) -> ProgressBar {
        if !self.terminal {
            return ProgressBar::hidden();
        }
        let style = "  {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}, {eta} left";
        ProgressBar::new(total).with_style(ProgressStyle::with_template(style).unwrap_or_else(|_| plain()))
    }

    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        self.quiet();
        failure.show(self.json)
    }
}

/// Takes a bar off the screen.
pub(crate) fn clear(bar: &ProgressBar) {
    bar.disable_steady_tick();
    bar.finish_and_clear();
}

fn spinner(terminal: bool) -> ProgressBar {
    if !terminal {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| plain());
    ProgressBar::new_spinner().with_style(style)
}

fn plain() -> ProgressStyle {
    ProgressStyle::default_spinner()
}
