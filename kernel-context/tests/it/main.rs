//! Integration tests of the context crate, one binary.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code: a panic is a failure, and misses are listed"
)]

mod broken;
mod licenses;
mod manager;
mod policy;
mod prefix_cache;
mod recall;
mod retrieval;
mod tokens;
mod walks;
mod workload;

use std::sync::Arc;

use kernel_context::{BatchPagers, PagerFactory, pager_conformance};

pager_conformance!(batch, BatchPagers::default());
pager_conformance!(batch_tight, BatchPagers { high: 1.0, low: 1.0 });
pager_conformance!(batch_wide, BatchPagers { high: 0.8, low: 0.2 });
pager_conformance!(arc_dyn, Arc::new(BatchPagers::default()) as Arc<dyn PagerFactory>);
pager_conformance!(box_dyn, Box::new(BatchPagers::default()) as Box<dyn PagerFactory>);
