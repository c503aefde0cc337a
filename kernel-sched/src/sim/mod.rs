//! A discrete-event simulator of a pool of LLM slots: what a policy does to agents, in seconds instead of hours.
//!
//! A slot prefills the input that its prefix cache does not hold at one rate and decodes the output at another. Its cache
//! holds the contexts it served last, until their time to live is over. What it serves next is the policy's choice. Time is
//! simulated and all chance is seeded: the same setting gives the same report, bit for bit.
//!
//! Two kinds of load: [`agents`] that make call after call with a tool's time between them, each
//! call with the whole conversation as input, and [recorded traces](trace) that come when they came.
//!
//! ```
//! use kernel_sched::sim::{Setting, agents, simulate};
//! use kernel_sched::{Fair, Fifo};
//!
//! let load = agents(&kernel_sched::sim::Agents { agents: 40, ..Default::default() }, 1);
//! let setting = Setting::default();
//! let (fifo, fair) = (simulate(&mut Fifo::new(), &setting, &load), simulate(&mut Fair::new(), &setting, &load));
//! assert_eq!(fifo.requests, fair.requests);
//! ```

mod cache;
mod dice;
mod engine;
mod load;
mod report;
pub mod trace;

pub use engine::simulate;
pub use load::{Agents, Call, Client, Load, agents};
pub use report::Report;

/// The machine that serves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Setting {
    /// Calls that can be served at once.
    pub slots: u32,
    /// Tokens of input a slot takes in per second, cached ones left out.
    pub prefill: f64,
    /// Tokens of output a slot makes per second.
    pub decode: f64,
    /// Contexts a slot's cache holds.
    pub contexts: usize,
    /// Blocks of 512 tokens a slot's cache holds; without, only the number of contexts counts.
    pub blocks: Option<usize>,
    /// How long a context is kept after its last use, in seconds.
    pub ttl_s: f64,
}

impl Default for Setting {
    fn default() -> Self {
        Self { slots: 16, prefill: 6_000.0, decode: 40.0, contexts: 4, blocks: None, ttl_s: 300.0 }
    }
}
