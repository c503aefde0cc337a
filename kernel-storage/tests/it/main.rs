//! Tests of kernel-storage: the conformance suite on every store, and what only SQLite or PostgreSQL can do or suffer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test code: what has no answer fails the test, and what cannot run here says so"
)]

mod broken;
mod conformance;
mod disk;
mod failing;
mod files;
mod kill;
mod postgres;
mod sample;
mod schema;
mod sqlite;
mod stale;
