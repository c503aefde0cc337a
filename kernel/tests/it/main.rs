//! The kernel as a whole, from outside.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

mod audit;
mod blocked;
mod budgets;
#[cfg(feature = "local")]
mod cached;
mod examples;
mod mailbox;
mod mediation;
#[cfg(feature = "local")]
mod prefix;
mod scratch;
mod shares;
mod signals;
mod syscalls;
mod tree;
mod vectors;
mod warm;
mod world;
