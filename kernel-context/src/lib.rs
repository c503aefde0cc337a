//! Virtual memory for a context window.

mod error;
mod pager;

pub use error::PagerError;
pub use pager::{Applied, Change, PageDraft, PageStatus, Pager, PagerConfig, PagerFactory, Rendered, Swap};
