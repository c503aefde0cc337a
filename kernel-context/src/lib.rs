//! Virtual memory for the context window of a language model.
//!
//! The window is RAM and too small; what an agent knows is cut into **pages**. A [`Pager`] holds the page table of one agent (one
//! address space), decides which pages are in the window, finds swapped ones by number or by words, and renders the window as a
//! prompt whose bytes stay the same from call to call, so that the provider's prefix cache works. Nothing is lost: a page that left
//! the window reads back byte for byte.
//!
//! A pager is a policy: no I/O, no clock, no randomness. Bodies come from a [`Swap`]; state changes only by [`Change`]s, which can be
//! journaled and replayed. [`Replacement`] makes the pagers that ship; your own needs seven methods and
//! `pager_conformance!` (feature `conformance`).
//!
//! # Pages of many agents, without a kernel
//!
//! ```
//! use kernel_context::ContextManager;
//! use kernel_types::Pid;
//!
//! # fn main() -> Result<(), kernel_context::PagerError> {
//! let mut contexts = ContextManager::new(2_000);
//! let agent = Pid::fresh();
//! let page = contexts.allocate_page(agent, "User prefers metric units.", 0.8)?;
//!
//! for n in 0..200 {
//!     contexts.allocate_page(agent, format!("Log entry {n}. {}", "Nothing to see. ".repeat(10)), 0.2)?;
//! }
//! // The window holds 2,000 tokens; the page is there whether or not it had to leave in between.
//! assert_eq!(&*contexts.access_page(agent, page)?.text, "User prefers metric units.");
//! assert!(contexts.render(agent)?.tokens.0 <= 2_000);
//! # Ok(())
//! # }
//! ```
//!
//! # One address space, change by change
//!
//! ```
//! use kernel_context::{Replacement, Change, MemorySwap, PageDraft, PagerConfig, PagerError, PagerFactory};
//! use kernel_context::retrieval::Query;
//! use kernel_types::{CacheModel, Origin, PageKind, Timestamp, Tokens, hash_bytes};
//!
//! # fn main() -> Result<(), PagerError> {
//! let config = PagerConfig { model: "gpt-4o".into(), window: Tokens(4_000), cache: CacheModel::default(), keep_warm: true };
//! let mut pager = Replacement::default().make(&config)?;
//! let mut swap = MemorySwap::default();
//!
//! // A page of a document, kept out of the window until it is needed.
//! let text = "Milk keeps for five days.";
//! let file = hash_bytes(text.as_bytes());
//! let draft = PageDraft {
//!     swapped: true,
//!     origin: Some(Origin { path: "kitchen.md".into(), first_line: 7, last_line: 7, file }),
//!     ..PageDraft::new(PageKind::Document, swap.insert(text))
//! };
//! let page = pager.apply(&Change::Allocate(vec![draft]), &swap)?.pages[0];
//! assert!(!pager.read(page, &swap)?.resident);
//!
//! // Found by words, brought back, rendered with a header that the model can cite.
//! let found = pager.find(&Query::words("How long does milk keep?"), Tokens(500));
//! pager.apply(&Change::Recall(vec![found[0].page]), &swap)?;
//! let rendered = pager.render(&swap)?;
//! assert_eq!(rendered.resident, [page]);
//! pager.apply(&Change::Rendered { trace: rendered.trace, at: Timestamp(0) }, &swap)?;
//!
//! // Evicted is not forgotten.
//! pager.apply(&Change::Evict(vec![page]), &swap)?;
//! assert_eq!(&*pager.read(page, &swap)?.text, text);
//! # Ok(())
//! # }
//! ```

mod admit;
mod allocate;
mod breakpoints;
#[cfg(feature = "conformance")]
pub mod conformance;
mod draft;
mod error;
mod evict;
mod expected;
mod explain;
mod extras;
mod gaps;
mod habits;
mod header;
mod keep;
mod manager;
mod page;
mod pager;
mod plan;
mod planner;
mod recall;
mod recency;
mod relevance;
mod render;
mod replacement;
pub mod retrieval;
mod saved;
mod sequence;
#[cfg(feature = "sim")]
pub mod sim;
mod space;
mod stub;
mod survey;
mod swap;
mod table;
mod tokens;
pub mod transfer;
mod victims;
mod warmth;
mod window;

pub use error::PagerError;
pub use expected::{CacheMiss, ExpectedCache, SentPrompt, cache_miss, expected_cache};
pub use explain::{
    Explanation, LeftRow, NextCompaction, PageRanges, RowKind, Statistics, Why, WindowPart, WindowRow,
};
pub use keep::{KeepWarm, Returns};
pub use manager::ContextManager;
pub use pager::{
    Applied, Change, PageDraft, PageStatus, Pager, PagerConfig, PagerFactory, Rendered, Segment, Swap, Trace,
};
pub use plan::{Plan, PlanKind};
pub use replacement::Replacement;
pub use retrieval::{BestLine, Ranked, best_line, rank_texts};
pub use swap::MemorySwap;
pub use tokens::{Ratio, TokenCounter};
