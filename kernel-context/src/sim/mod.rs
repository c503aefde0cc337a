//! A laboratory for paging policies: what a provider would have billed, and what agents would have needed.
//!
//! Three pieces of plain data that know nothing of each other: a [`Workload`] says what happens (pages arrive, a call
//! needs some of them), a [`PrefixCache`] says what a call with those segments costs, a [`Report`] sums it up. [`drive`]
//! takes a pager through a workload, with a [`Process`] for each agent. Nothing here takes time, keeps real text or talks
//! to a provider, and the same seed gives the same events.
//!
//! ```
//! use kernel_context::sim::{Event, PrefixCache, Report, SegmentId, Shape, Workload};
//! use kernel_types::Catalogue;
//!
//! // Agents that never forget, with a breakpoint at the end of each prompt.
//! let model = *Catalogue::built_in().cache("anthropic-5m").expect("ships");
//! let mut cache = PrefixCache::new(model);
//! let mut report = Report::new(200_000);
//! let mut prompts = vec![Vec::new(); 3];
//! for event in Workload::new(Shape { agents: 3, tasks: 2, ..Shape::tools() }, 1) {
//!     match event {
//!         Event::Open { agent, pinned: pages, .. } | Event::Append { agent, pages, .. } => {
//!             prompts[agent].extend(pages.iter().map(|page| (SegmentId(page.id.0), page.tokens)));
//!         }
//!         Event::Uses { .. } => {}
//!         Event::Call { agent, at_ms, output_tokens } => {
//!             let last = prompts[agent].len() - 1;
//!             report.add(&cache.request(at_ms, &prompts[agent], &[last], output_tokens));
//!         }
//!     }
//! }
//! assert!(report.cached_share() > 0.8, "what is only appended to stays cached");
//! ```

mod agent;
mod cache;
mod drive;
mod entries;
mod history;
mod process;
mod random;
mod report;
mod shape;
mod text;
mod workload;

pub use cache::{Bill, PrefixCache, SegmentId};
pub use drive::{Setting, drive};
pub use process::{Process, ProcessError, Shown};
pub use report::Report;
pub use shape::{LogNormal, Reuse, Shape};
pub use workload::{Event, Kind, Page, PageId, Workload};
