//! Runs one process on an assembled kernel, shows what it does, and stops it when asked to.

use std::path::Path;
use std::time::{Duration, Instant};

use kernel::serve::{StatusServer, serve_status};
use kernel::{Kernel, KernelBuilder, Until};
use kernel_llm::Embedder;
use kernel_tools::{Calculator, Workspace, files_read, files_write};
use kernel_types::{
    Answer, Call, Decision, Event, ExitStatus, Pid, ProcessState, Record, Seq, Signal, SyscallNo, Tokens,
    ToolCallArgs, ToolResult,
};
use serde::Deserialize;

use crate::args::{QuotaArgs, SchedulerArgs};
use crate::disk::Disk;
use crate::failure::{Exit, Failure};
use crate::format::{clipped, count, counted};
use crate::journal::Follower;
use crate::model::{Chosen, Watched};
use crate::printer::{self, Printer};
use crate::quota;
use crate::scheduler;
use crate::signals::Interrupts;
use crate::ui::Ui;

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(100);
/// The tool that reads a workspace, and the value in which `react` says that it is done.
const IMPORT: &str = "import_dir";
const IMPORTED: &str = "import";
/// Characters of arguments that are shown.
const SHOWN: usize = 60;

/// A kernel with one process to run.
pub(crate) struct Machine {
    pub(crate) kernel: Kernel,
    pub(crate) store: Disk,
    pub(crate) cpu: Watched,
    pub(crate) printer: Printer,
    pub(crate) started: Instant,
    /// What `agentos top` asks.
    pub(crate) status: Option<StatusServer>,
}

/// What a kernel is assembled from beside its store and its model.
pub(crate) struct Host<'a> {
    pub(crate) data: &'a Path,
    pub(crate) workspace: Option<&'a Workspace>,
    pub(crate) write: bool,
    pub(crate) keep_warm: bool,
    pub(crate) embedder: Option<Box<dyn Embedder>>,
    pub(crate) scheduler: SchedulerArgs,
    pub(crate) quota: &'a QuotaArgs,
}

/// Opens the folder that an agent is to work in.
pub(crate) fn workspace(path: &Path) -> Result<Workspace, Failure> {
    use kernel_tools::ToolErrorKind;
    Workspace::open(path).map_err(|error| {
        let exit = match error.kind() {
            ToolErrorKind::NotFound | ToolErrorKind::InvalidArguments => Exit::BadInput,
            ToolErrorKind::Denied => Exit::Denied,
            _ => Exit::Io,
        };
        Failure::new(exit, error.to_string()).hint("name an existing folder with --workspace")
    })
}

/// Assembles the kernel: store, model, tools.
pub(crate) async fn assemble(
    store: Disk,
    chosen: &Chosen,
    host: Host<'_>,
    ui: &Ui,
) -> Result<Machine, Failure> {
    // Without tools every text is the answer; with tools it may be followed by calls, which only a person can tell apart.
    let live =
        !ui.json && (!chosen.info.native_tools || std::io::IsTerminal::is_terminal(&std::io::stdout()));
    let (deltas, printer) = printer::printer(ui, live);
    let mut builder: KernelBuilder = Kernel::builder()
        .store(store.clone())
        .cpu_within(chosen.cpu.clone(), quota::provider(host.quota))
        .quota(quota::system(host.quota))
        .model(&chosen.info.name)
        .deltas(deltas)
        .keep_warm(host.keep_warm)
        .scheduler(move || scheduler::make(host.scheduler))
        .memory(store.memory())
        .driver(Calculator::new());
    if let Some(embedder) = host.embedder {
        builder = builder.embedder(embedder);
    }
    if let Some(workspace) = host.workspace {
        for driver in files_read(workspace) {
            builder = builder.driver(driver);
        }
        if host.write {
            builder = builder.driver(files_write(workspace));
        }
    }
    let kernel = builder.build().await?;
    // A folder that takes no sockets does not keep an agent from its work.
    let status = serve_status(&kernel, host.data)
        .inspect_err(|error| {
            if ui.verbose {
                ui.note(&format!("`agentos top` will not see this run: {error}"));
            }
        })
        .ok();
    Ok(Machine { kernel, store, cpu: chosen.cpu.clone(), printer, started: Instant::now(), status })
}

impl Machine {
    /// Runs the process until it ends, is suspended or has nothing to wait for. An interrupt stops it; a second one ends
    /// the program at once.
    pub(crate) async fn run(
        &self,
        pid: Pid,
        after: u64,
        interrupts: &mut Interrupts,
        ui: &Ui,
    ) -> Result<(), Failure> {
        let mut progress = Progress::new(Follower::after(self.store.clone(), pid, after));
        let run = self.kernel.run_until(Until::Idle);
        let mut run = std::pin::pin!(run);
        let mut ticks = tokio::time::interval(TICK);
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = &mut run => {
                    ended.map_err(|error| Failure::from(error).hint(resume_line(pid)))?;
                    break;
                }
                () = interrupts.next() => {
                    if stopping {
                        ui.quiet();
                        ui.say(&resume_line(pid));
                        std::process::exit(Exit::Interrupted.code().into());
                    }
                    stopping = true;
                    ui.busy("stopping; once more to exit at once");
                    self.kernel.signal(pid, Signal::Stop).await?;
                }
                _ = ticks.tick() => {
                    if !stopping {
                        progress.show(ui).await?;
                    }
                }
            }
        }
        progress.show(ui).await?;
        ui.quiet();
        Ok(())
    }
}

/// How to go on.
pub(crate) fn resume_line(pid: Pid) -> String {
    format!("go on with: agentos resume {pid}")
}

/// Says what a process is at, from its journal.
struct Progress {
    follower: Follower,
    importing: bool,
    files: u64,
    pages: u64,
}

impl Progress {
    const fn new(follower: Follower) -> Self {
        Self { follower, importing: false, files: 0, pages: 0 }
    }

    async fn show(&mut self, ui: &Ui) -> Result<(), Failure> {
        for (record, event) in self.follower.next().await? {
            let is_ping = record.call.is_some_and(Seq::is_ping);
            if let Some(event) = event.filter(|_| !is_ping) {
                self.event(&record, &event, ui);
            }
        }
        Ok(())
    }

    fn event(&mut self, record: &Record, event: &Event, ui: &Ui) {
        match event {
            Event::Intent { call: Call::ToolCall(args), decision, .. } => self.tool(args, decision, ui),
            Event::Intent { call: Call::Put { name, .. }, .. } if name == IMPORTED => {
                let (files, pages) = (counted(self.files, "file"), counted(self.pages, "page"));
                ui.note(&format!("imported: {files}, {pages}"));
            }
            Event::Intent { no: SyscallNo::Infer, view: Some(view), .. } => {
                let tokens = count(view.tokens.0);
                ui.busy(format!("thinking: {tokens} tokens to {}", view.model));
            }
            Event::Outcome { result: Ok(Answer::Tool(tool)), .. } => self.imported(tool, ui),
            Event::Outcome { result: Ok(Answer::Recalled(hits)), .. } => {
                let tokens: Tokens = hits.iter().map(|hit| hit.tokens).sum();
                ui.note(&format!(
                    "recalled: {}, {} tokens",
                    counted(hits.len() as u64, "page"),
                    count(tokens.0)
                ));
            }
            Event::Outcome { result: Err(error), .. } => {
                let step = record.step;
                ui.note(&format!("step {step}: {}", clipped(&error.message, 3 * SHOWN)));
            }
            _ => {}
        }
    }

    fn tool(&mut self, args: &ToolCallArgs, decision: &Decision, ui: &Ui) {
        if args.tool != IMPORT {
            let refused = if decision.is_allow() { "" } else { " (refused)" };
            ui.note(&format!("tool: {}{refused}", clipped(&format!("{} {}", args.tool, args.args), SHOWN)));
        } else if !self.importing {
            // An import comes in several calls.
            self.importing = true;
            ui.busy("reading the workspace");
        }
    }

    fn imported(&mut self, tool: &ToolResult, ui: &Ui) {
        #[derive(Deserialize)]
        struct Imported {
            pages: Vec<serde_json::Value>,
            files: u64,
        }
        let Ok(imported) = tool.data.read::<Imported>() else { return };
        self.files += imported.files;
        self.pages += imported.pages.len() as u64;
        if ui.is_terminal() {
            ui.busy(format!(
                "reading the workspace: {}, {}",
                counted(self.files, "file"),
                counted(self.pages, "page")
            ));
        }
    }
}

/// The answer of a process that ended well.
pub(crate) fn answer(state: &ProcessState) -> Option<&str> {
    match state {
        ProcessState::Exited(ExitStatus::Ok(answer)) => Some(answer),
        _ => None,
    }
}
