//! Runs a policy on a simulated pool of LLM slots and prints what it did to whom, as one JSON object:
//! `simulate --policy fair`, or with a recorded trace: `simulate --policy fair --trace FILE`.

#![expect(clippy::print_stdout, reason = "the report is what it is for")]

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use kernel_sched::sim::{Agents, Load, Report, Setting, agents, simulate, trace};
use kernel_sched::{Fair, FeedbackQueue, Fifo, LeastAttained, PriorityRoundRobin, Scheduler, TokenCounter};

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Policy {
    /// Bounded unfairness, warm slots.
    Fair,
    /// First come, first served.
    Fifo,
    /// Priorities with time slices and aging.
    PriorityRr,
    /// A multi-level feedback queue.
    Mlfq,
    /// Least attained service.
    Las,
    /// The virtual token counter.
    Vtc,
}

/// Simulates a pool of LLM slots.
#[derive(Parser)]
struct Args {
    /// Who gets the next slot.
    #[arg(long, value_enum, default_value = "fair")]
    policy: Policy,
    /// A recorded load, one JSON object a line: {"at_ms","client","input_tokens","output_tokens","prefix_blocks":[..]}, blocks of
    /// 512 tokens. Without: agents drawn by the seed.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Calls served at once.
    #[arg(long, default_value_t = 16)]
    slots: u32,
    /// Tokens of input a slot takes in per second.
    #[arg(long, default_value_t = 6_000.0)]
    prefill: f64,
    /// Tokens of output a slot makes per second.
    #[arg(long, default_value_t = 40.0)]
    decode: f64,
    /// Blocks of 512 tokens that a slot's cache holds; without, it holds 4 contexts of any size.
    #[arg(long)]
    cache_blocks: Option<usize>,
    /// How long a slot keeps a context, in seconds.
    #[arg(long, default_value_t = 300.0)]
    ttl: f64,
    /// How far ahead of its due a process may run for its warm context, in tokens (policy fair).
    #[arg(long, default_value_t = 20_000)]
    slack: u64,
    /// Agents drawn, without a trace.
    #[arg(long, default_value_t = 600)]
    agents: usize,
    /// How many of them come a second: 0.25 is moderate, 0.32 an overload.
    #[arg(long, default_value_t = 0.25)]
    rate: f64,
    /// The seed of the draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn scheduler(args: &Args) -> Box<dyn Scheduler> {
    match args.policy {
        Policy::Fair => Box::new(Fair::new().with_slack(args.slack)),
        Policy::Fifo => Box::new(Fifo::new()),
        Policy::PriorityRr => Box::new(PriorityRoundRobin::new()),
        Policy::Mlfq => Box::new(FeedbackQueue::new()),
        Policy::Las => Box::new(LeastAttained::new()),
        Policy::Vtc => Box::new(TokenCounter::new()),
    }
}

fn load(args: &Args) -> anyhow::Result<Load> {
    let Some(path) = &args.trace else {
        let shape = Agents { agents: args.agents, rate: args.rate, ..Agents::default() };
        return Ok(agents(&shape, args.seed));
    };
    let text =
        std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    trace::parse(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}

fn setting(args: &Args) -> anyhow::Result<Setting> {
    anyhow::ensure!((1..=100_000).contains(&args.slots), "--slots is 1 to 100,000, not {}", args.slots);
    anyhow::ensure!(
        (1..=1_000_000).contains(&args.agents),
        "--agents is 1 to 1,000,000, not {}",
        args.agents
    );
    for (name, value) in [("--prefill", args.prefill), ("--decode", args.decode), ("--rate", args.rate)] {
        anyhow::ensure!((1e-3..=1e9).contains(&value), "{name} is 0.001 to 1,000,000,000, not {value}");
    }
    anyhow::ensure!((0.0..=1e9).contains(&args.ttl), "--ttl is 0 to 1,000,000,000, not {}", args.ttl);
    Ok(Setting {
        slots: args.slots,
        prefill: args.prefill,
        decode: args.decode,
        contexts: if args.cache_blocks.is_some() { usize::MAX } else { Setting::default().contexts },
        blocks: args.cache_blocks,
        ttl_s: args.ttl,
    })
}

fn print(report: &Report) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let (setting, load) = (setting(&args)?, load(&args)?);
    print(&simulate(&mut *scheduler(&args), &setting, &load))
}
