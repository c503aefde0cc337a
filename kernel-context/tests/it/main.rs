//! Integration tests of the context crate, one binary.

mod licenses;
