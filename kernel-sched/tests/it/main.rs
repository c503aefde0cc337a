//! The integration tests of kernel-sched, one binary.

mod broken;
mod fair;
mod laws;
mod model;
mod priority_rr;
