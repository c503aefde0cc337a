//! The kernel as a whole, from outside.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

mod audit;
mod blocked;
mod bounds;
mod budgets;
#[cfg(feature = "local")]
mod cached;
mod ended;
mod examples;
mod forking;
mod holds;
mod lending;
mod lines;
mod live;
mod locks;
mod mailbox;
mod mediation;
mod memories;
mod paid;
mod past;
mod patience;
#[cfg(feature = "local")]
mod prefix;
mod quotas;
mod recovered;
mod retries;
mod scratch;
mod shares;
mod signals;
mod simulation;
mod size;
mod status;
mod stopping;
mod syscalls;
mod throttle;
mod topics;
mod tree;
mod vectors;
mod waits;
mod warm;
mod world;
