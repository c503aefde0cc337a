//! A thousand agents on one model with eight slots, to be watched: `cargo run --release --example many_agents FOLDER`, and beside
//! it `agentos top --data-dir FOLDER`. Ctrl-C ends it; nothing is kept. Without a folder each agent asks once, and the sum is told.
//!
//! A third of them matter more, a third less.

#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use kernel::programs::{Script, ScriptStep};
use kernel::serve::serve_status;
use kernel::{Kernel, Until};
use kernel_llm::{Canned, FnCpu, model_info};
use kernel_types::{Call, InferArgs, NewPage, PageKind, Priority, Spec, Tokens};

const AGENTS: usize = 1_000;
const SLOTS: u32 = 8;
/// What each agent asks while it is watched.
const CALLS: u32 = 500;

/// An agent that says something and asks the model, again and again.
fn agent(number: usize, calls: u32) -> Result<Spec, Box<dyn Error>> {
    let page =
        NewPage::text(PageKind::User, format!("Agent {number} asks: {}", "what now? ".repeat(number % 50)));
    let step = ScriptStep {
        repeat: calls,
        calls: vec![
            Call::PageAlloc { pages: vec![page] },
            Call::Infer(InferArgs { max_output: Tokens(64), ..InferArgs::default() }),
        ],
    };
    let spec = Script { step: vec![step], ..Script::default() }.spec(&format!("agent-{number:04}"))?;
    let level = [40, 50, 60][number % 3];
    Ok(Spec { priority: Priority::new(level).unwrap_or_default(), ..spec })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let (calls, takes) = if folder.is_some() { (CALLS, 100) } else { (1, 1) };
    let cpu = FnCpu::new(model_info("claude-sonnet-4-5"), move |_| {
        Ok(Canned::text("Go on as before.").after(Duration::from_millis(takes)))
    });
    let kernel = Kernel::builder().cpu(cpu.with_slots(SLOTS)).build().await?;
    for number in 0..AGENTS {
        kernel.spawn(agent(number, calls)?).await?;
    }
    let mut server = None;
    if let Some(folder) = folder {
        std::fs::create_dir_all(&folder)?;
        server = Some(serve_status(&kernel, &folder)?);
        println!("{AGENTS} agents run; watch them: agentos top --data-dir {}", folder.display());
    }
    tokio::select! {
        steps = kernel.run_until(Until::Idle) => println!("{} steps", steps?),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    drop(server);
    let status = kernel.snapshot().await?;
    let tokens: Tokens = status.processes.iter().map(|process| process.info.usage.tokens()).sum();
    println!("{} agents, {tokens} tokens, {} slots held", status.processes.len(), status.cpus[0].held);
    Ok(())
}
