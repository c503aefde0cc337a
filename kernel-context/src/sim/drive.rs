//! A pager at work: takes it through a workload and sums the bills up.

use std::collections::HashMap;

use kernel_types::{CacheModel, Tokens};

use super::process::{Process, ProcessError};
use super::{Event, PageId, PrefixCache, Report, SegmentId, Shape, Workload};
use crate::{PagerConfig, PagerFactory};

/// Where a workload runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Tokens of each agent's window.
    pub window: u64,
    /// How the provider caches. Agents share the cache.
    pub cache: CacheModel,
}

/// What the workload costs with such pagers. A page that a call needs and its window does not hold is a fault: it is
/// recalled, and the call is made with it.
///
/// # Errors
/// The pager's, none of which a workload that fits its windows meets.
pub fn drive(
    factory: &dyn PagerFactory,
    setting: Setting,
    shape: Shape,
    seed: u64,
) -> Result<Report, ProcessError> {
    let config =
        PagerConfig { model: "gpt-4o".to_owned(), window: Tokens(setting.window), cache: setting.cache };
    let mut cache = PrefixCache::new(setting.cache);
    let mut report = Report::new(setting.window);
    let mut agents: HashMap<usize, Process<PageId>> = HashMap::new();
    let mut needed = Vec::new();
    for event in Workload::new(shape, seed) {
        match event {
            Event::Open { agent, pinned, .. } => {
                agents.insert(agent, Process::open(factory, &config, &pinned)?);
            }
            Event::Append { agent, pages, .. } => {
                if let Some(process) = agents.get_mut(&agent) {
                    process.append(&pages)?;
                }
            }
            Event::Uses { ids, .. } => needed = ids,
            Event::Call { agent, at_ms, output_tokens } => {
                let Some(process) = agents.get_mut(&agent) else { continue };
                process.make_room(at_ms)?;
                let missing: Vec<PageId> =
                    needed.iter().copied().filter(|page| !process.is_resident(page)).collect();
                report.fault(missing.len() as u64);
                process.recall(&missing)?;
                let shown = process.render(at_ms)?;
                process.touch(&needed)?;
                let segments: Vec<(SegmentId, u64)> =
                    shown.segments.iter().map(|segment| (SegmentId(segment.id), segment.tokens.0)).collect();
                report.add(&cache.request(at_ms, &segments, &shown.breakpoints, output_tokens));
            }
        }
    }
    Ok(report)
}
