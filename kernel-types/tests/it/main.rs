//! Integration tests of the plain data: what it survives, what it refuses, and which crate may depend on which.

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
