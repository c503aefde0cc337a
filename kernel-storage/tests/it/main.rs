//! Tests of kernel-storage: the conformance suite on every store, and what only SQLite can do or suffer.

mod broken;
mod conformance;
mod disk;
mod files;
mod kill;
mod sample;
mod schema;
mod sqlite;
