//! Tests of kernel-storage: the conformance suite on every store, and what only SQLite or PostgreSQL can do or suffer.

#![expect(clippy::unwrap_used, reason = "test code: what has no answer fails the test")]

mod archive;
mod broken;
mod conformance;
mod disk;
mod disk_crowd;
mod failing;
mod files;
mod golden;
mod head;
mod kill;
mod migrate;
mod points;
mod postgres;
mod sample;
mod schema;
mod size;
mod sqlite;
mod stale;
mod vectors;
mod vectors_broken;
mod vectors_kill;
mod vectors_sqlite;
mod victim;
mod wal;
mod workload;
