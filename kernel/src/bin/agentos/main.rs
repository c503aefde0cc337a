//! `agentos`: an operating-system kernel for LLM agents on the command line.
//!
//! Thin by rule: it reads flags, assembles a kernel, shows what happens. Whatever an agent does passes the library.

mod args;
mod audit;
mod config;
mod cpu;
mod data;
mod disk;
mod doctor;
mod drive;
mod embeddings;
mod failure;
mod format;
mod journal;
mod kill;
mod logs;
mod map;
mod mem;
mod model;
mod moments;
mod output;
mod parse;
mod printer;
mod ps;
mod quota;
mod report;
mod resume;
mod run;
mod scheduler;
mod setup;
mod signals;
mod stored;
mod top;
mod transfer;
mod ui;

use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;

use crate::args::{AuditCommand, Cli, Command, SetupCommand};
use crate::failure::{Exit, Failure};
use crate::parse::Parsed;
use crate::ui::Ui;

/// A step allocates and frees about a hundred small things, on threads that come and go.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let parsed = match parse::parse() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    let ui = Ui::new(&parsed.cli.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ui.fail(&Failure::new(Exit::Io, format!("cannot start threads: {error}"))),
    };
    let ended = runtime.block_on(execute(&parsed, &ui));
    // What still runs (a probe, a pip that was interrupted) ends with the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(code) => code.into(),
        Err(failure) => ui.fail(&failure),
    }
}

async fn execute(parsed: &Parsed, ui: &Ui) -> Result<Exit, Failure> {
    let global = &parsed.cli.global;
    match &parsed.cli.command {
        Command::Run(args) => run::run(global, args, ui).await,
        Command::Ps(args) => ps::ps(global, args, ui).await,
        Command::Top(args) => top::top(global, args, ui).await,
        Command::Logs(args) => logs::logs(global, args, ui).await,
        Command::Mem(args) => mem::mem(global, args, ui).await,
        Command::Resume(args) => resume::resume(global, args, ui).await,
        Command::Kill(args) => kill::kill(global, args, ui).await,
        Command::Grant(args) => kill::grant(global, args, ui).await,
        Command::Nice(args) => kill::nice(global, args, ui).await,
        Command::Checkpoint(args) => moments::checkpoint(global, args, ui).await,
        Command::Checkpoints(args) => moments::checkpoints(global, args, ui).await,
        Command::Fork(args) => moments::fork(global, args, ui).await,
        Command::Restore(args) => moments::restore(global, args, ui).await,
        Command::Export(args) => transfer::export(global, args).await,
        Command::Import(args) => transfer::import(global, args, ui).await,
        Command::Audit { command: AuditCommand::Verify(args) } => audit::verify(global, args, ui).await,
        Command::Setup { command: SetupCommand::Embeddings { model } } => {
            embeddings::setup(global, *model, ui).await
        }
        Command::Config => config::show(&parsed.matches, parsed.file.as_ref(), ui),
        Command::Doctor => doctor::doctor(global, ui).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "agentos", &mut script);
            let script = String::from_utf8_lossy(&script);
            if ui.json {
                output::line(
                    &serde_json::json!({ "shell": shell.to_string(), "script": script }).to_string(),
                )?;
            } else {
                output::print(&script)?;
            }
            Ok(Exit::Ok)
        }
    }
}
