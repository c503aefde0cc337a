//! Virtual memory for a context window.

mod admit;
mod batch;
mod bm25;
mod draft;
mod error;
mod factory;
mod header;
mod pager;
mod rank;
mod render;
mod saved;
mod stub;
mod swap;
mod table;
mod terms;
mod tokens;
mod victims;

pub use error::PagerError;
pub use factory::BatchPagers;
pub use pager::{Applied, Change, PageDraft, PageStatus, Pager, PagerConfig, PagerFactory, Rendered, Swap};
pub use rank::{BestLine, Ranked, best_line, rank_texts};
pub use swap::MemorySwap;
pub use tokens::{Ratio, TokenCounter};
