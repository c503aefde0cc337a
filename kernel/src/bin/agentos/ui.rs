//! Standard error: what goes on, for people. A spinner at a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::args::Global;
use crate::failure::Failure;

/// Where notes and progress go.
pub(crate) struct Ui {
    pub(crate) json: bool,
    pub(crate) verbose: bool,
    terminal: bool,
    bar: ProgressBar,
}

impl Ui {
    pub(crate) fn new(global: &Global) -> Self {
        let terminal = stderr().is_terminal();
        Self { json: global.json, verbose: global.verbose, terminal, bar: spinner(terminal) }
    }

    /// A line that stays.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// What is being done now: replaced by the next at a terminal.
    pub(crate) fn busy(&self, text: impl Into<String>) {
        let text = text.into();
        if self.terminal {
            self.bar.set_message(text);
            self.bar.enable_steady_tick(Duration::from_millis(120));
        } else {
            eprintln!("{text}");
        }
    }

    /// Nothing is being done any more: the line is free for others.
    pub(crate) fn quiet(&self) {
        self.bar.disable_steady_tick();
        self.bar.set_message("");
        self.bar.finish_and_clear();
        self.bar.reset();
    }

    /// A handle to clear the line from another thread before it prints.
    pub(crate) fn bar(&self) -> ProgressBar {
        self.bar.clone()
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
