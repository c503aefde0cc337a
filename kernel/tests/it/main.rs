//! The kernel as a whole, from outside.

mod examples;
mod mailbox;
mod mediation;
mod scratch;
