//! Sets the small local model up and asks it one question: `cargo run -p kernel-llm --features local --example local_model`.
//!
//! What is fetched is kept in `AGENTOS_TEST_DATA`, else below the target folder.

#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program for people")]

use std::path::PathBuf;
use std::sync::Arc;

use kernel_llm::{
    Cpu, CpuError, InferRequest, Install, InstallPlan, Local, LocalConfig, NoDeltas, SetupEvent, SetupSink,
};
use kernel_types::{CallKey, Pid, Prompt, Seq, StepNo, Tokens};

/// Says what is fetched, agrees to it.
struct Log;

impl SetupSink for Log {
    fn event(&self, event: SetupEvent) {
        match event {
            SetupEvent::Waiting => eprintln!("another process is fetching the model; waiting"),
            SetupEvent::Plan(plan) => {
                let (what, to) = (plan.items.iter().map(|(title, _)| title.as_str()), plan.target.display());
                let size = plan.download_bytes / 1_000_000;
                eprintln!("fetching {} ({size} MB) to {to}", what.collect::<Vec<_>>().join(" and "));
            }
            SetupEvent::Installed => eprintln!("installed"),
            SetupEvent::Ready => eprintln!("the local model is ready"),
            _ => {}
        }
    }

    fn approve(&self, _: &InstallPlan) -> bool {
        true
    }
}

#[tokio::main]
async fn main() -> Result<(), CpuError> {
    let data = std::env::var_os("AGENTOS_TEST_DATA")
        .map_or_else(|| PathBuf::from("target/agentos-test-data"), PathBuf::from);
    let config = LocalConfig { install: Install::Yes, threads: 1, ..LocalConfig::new(data) };
    let model = config.model_info().name;
    let local = Local::start(config, &Log).await?;
    let request = InferRequest {
        key: CallKey { pid: Pid::fresh(), step: StepNo(1), seq: Seq(0) },
        model,
        prompt: Arc::new(Prompt::user("Say hello in one word.")),
        max_output: Tokens(8),
        temperature: None,
    };
    let answer = local.infer(request, &NoDeltas).await?;
    println!("{}", answer.text());
    Ok(())
}
