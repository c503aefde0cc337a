//! Kill tests: a kernel in a process of its own is killed without warning, again and again, and must lose nothing.
//!
//! The child is this same binary, started on one ignored test. It marks what it is doing in a file, so that the parent
//! kills it while it prepares, commits, starts or takes an outcome, and knows which it hit.

#![allow(clippy::print_stdout, reason = "seeds and counts are printed, so that a failure can be repeated")]

mod child;
mod family;
mod kills;
mod marks;
mod messages;
mod pages;
mod paging;
mod topics;
mod warm;
mod watching;
mod work;
