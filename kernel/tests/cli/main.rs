//! The binary `agentos`, run as people run it: command lines, exit codes, the one line that each bad input gets, kills.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the program under test is started as a user starts it")]

mod bad_input;
mod commands;
mod config;
mod disk;
mod embeddings;
mod grants;
mod home;
mod kill;
mod limits;
mod loopback;
mod main_job;
mod mem;
mod moments;
mod providers;
mod questions;
mod stores;
mod top;
mod transfer;
