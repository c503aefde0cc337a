//! Integration tests of the plain data: what it survives, what it refuses, and which crate may depend on which.

mod cache;
mod catalogue;
mod codec;
mod edges;
mod frame;
mod ids;
mod json;
mod quantities;
mod round_trip;
mod samples;
mod table;
