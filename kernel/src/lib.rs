//! Agent OS Kernel: the wiring of six swappable subsystems into an operating system for LLM agents.
//!
//! Programs hand over calls as data; every call passes one gate that checks its capability, holds its budget and journals
//! it; effects start after their record is durable; each call ends exactly once. See `ARCHITECTURE.md` for the life of
//! one step.

mod audit;
mod bodies;
mod builder;
mod clock;
mod commit;
mod core;
mod device;
mod engine;
mod error;
mod fork;
mod forking;
mod gate;
mod holds;
mod image;
mod kernel;
mod leave;
mod ledger;
mod lines;
mod local;
mod locks;
mod longterm;
mod mail;
mod mailbox;
#[cfg(feature = "conformance")]
pub mod mediation;
mod parts;
mod past;
mod prepare;
mod process;
mod profile;
mod program;
pub mod programs;
mod recover;
mod reload;
mod resources;
mod retry;
mod seal;
#[cfg(feature = "status")]
pub mod serve;
mod slots;
mod sources;
mod spend;
mod status;
mod status_limits;
mod timers;
mod topics;
mod transfer;
mod tree;
mod vectors;
mod waits;
mod wall;
mod warm;

pub use crate::audit::StoreAudit;
pub use crate::builder::KernelBuilder;
pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use crate::error::KernelError;
pub use crate::fork::{Resumable, fork, restore};
pub use crate::image::process_info;
pub use crate::kernel::{Kernel, Until, post_mail};
pub use crate::ledger::{Quota, tenant_number};
pub use crate::mailbox::{MailboxOptions, StoreMailbox, StoreService};
pub use crate::parts::Limits;
pub use crate::past::{Moment, checkpoint, checkpoints, moment};
pub use crate::profile::{Profile, ProfileError};
pub use crate::program::{Input, Program, ProgramError, ProgramFactory, Saved, Step};
pub use crate::recover::event_of;
pub use crate::sources::{Source, Sources, sources};
pub use crate::status::{CpuStatus, KernelStatus, LimitStatus, ProcessStatus};
pub use crate::transfer::StoredSpace;

/// The examples of the README are compiled and run as doctests.
#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
struct Readme;
