//! Measurements of Agent OS Kernel, in `benches/`: one criterion target a subsystem, each naming its own crate only, and
//! `kernel` for the whole. `cargo bench -p benches --bench sched` runs one of them.
