//! The integration tests of kernel-sched, one binary.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

mod broken;
mod fair;
mod laws;
mod model;
mod priority_rr;
