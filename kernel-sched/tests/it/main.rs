//! The integration tests of kernel-sched, one binary.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

mod broken;
mod crowd;
mod fair;
mod fair_bounds;
mod fair_capped;
mod fair_model;
mod fair_slots;
mod governor;
mod governor_pace;
mod laws;
mod locks;
mod model;
mod naive;
mod pathological;
mod priority_rr;
mod quota;
mod resources;
mod sim_aims;
mod simulate;
mod soak;
mod storm;
