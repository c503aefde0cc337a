//! Integration tests of the context crate, one binary.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code: a panic is a failure, and misses are listed"
)]

mod broken;
mod licenses;
mod manager;
mod policies;
mod policy;
mod prefix_cache;
mod recall;
mod retrieval;
mod tokens;
mod walks;
mod window;
mod workload;

use std::sync::Arc;

use kernel_context::{PagerFactory, Replacement, pager_conformance};

pager_conformance!(generational, Replacement::default());
pager_conformance!(generational_cheap, Replacement::Generational { floor: 0.5 });
pager_conformance!(generational_full, Replacement::Generational { floor: 0.95 });
pager_conformance!(lru, Replacement::Lru);
pager_conformance!(lru_importance, Replacement::LruImportance);
pager_conformance!(fifo, Replacement::Fifo);
pager_conformance!(batch_fifo, Replacement::BatchFifo { high: 0.95, low: 0.75 });
pager_conformance!(batch_tight, Replacement::BatchFifo { high: 1.0, low: 1.0 });
pager_conformance!(batch_wide, Replacement::BatchFifo { high: 0.8, low: 0.2 });
pager_conformance!(summarise, Replacement::Summarise { high: 0.95, low: 0.75 });
pager_conformance!(arc_dyn, Arc::new(Replacement::default()) as Arc<dyn PagerFactory>);
pager_conformance!(box_dyn, Box::new(Replacement::default()) as Box<dyn PagerFactory>);
