//! Tests of the binary `agentos`.
