//! A pager at work: takes it through a workload and sums the bills up.

use std::collections::{BTreeSet, HashMap};

use kernel_types::{CacheModel, Retention, Tokens};

use super::process::{Process, ProcessError, Shown};
use super::{Event, PageId, PrefixCache, Report, SegmentId, Shape, Workload};
use crate::{PagerConfig, PagerFactory};

/// Where a workload runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Tokens of each agent's window.
    pub window: u64,
    /// How the provider caches. Agents share the cache.
    pub cache: CacheModel,
    /// Whether prefixes are kept warm by pings.
    pub keep_warm: bool,
}

/// Pings to come, by time; one an agent.
#[derive(Default)]
struct Pings {
    due: BTreeSet<(u64, usize)>,
    of: HashMap<usize, u64>,
}

impl Pings {
    /// An agent wants a ping then, or none any more.
    fn set(&mut self, agent: usize, at_ms: Option<u64>) {
        if let Some(before) = self.of.remove(&agent) {
            self.due.remove(&(before, agent));
        }
        if let Some(at_ms) = at_ms {
            self.due.insert((at_ms, agent));
            self.of.insert(agent, at_ms);
        }
    }

    /// The next agent to be pinged before `at_ms`, and when.
    fn next(&mut self, at_ms: u64) -> Option<(u64, usize)> {
        let next = *self.due.first().filter(|(due, _)| *due < at_ms)?;
        self.set(next.1, None);
        Some(next)
    }
}

/// What was sent last: it is what a ping sends.
struct Sent {
    segments: Vec<(SegmentId, u64)>,
    breakpoints: Vec<usize>,
    retention: Retention,
}

/// The cache and who uses it.
struct Provider {
    cache: PrefixCache,
    report: Report,
    pings: Pings,
    sent: HashMap<usize, Sent>,
}

impl Provider {
    fn send(&mut self, agent: usize, at_ms: u64, sent: Sent, output: u64) {
        let Sent { segments, breakpoints, retention } = &sent;
        self.report.add(&self.cache.request_kept(at_ms, segments, breakpoints, output, *retention));
        self.sent.insert(agent, sent);
    }

    /// Sends the pings that are due before `at_ms`.
    fn ping(&mut self, at_ms: u64, agents: &mut HashMap<usize, Process<PageId>>) -> Result<(), ProcessError> {
        while let Some((at_ms, agent)) = self.pings.next(at_ms) {
            let (Some(sent), Some(process)) = (self.sent.get(&agent), agents.get_mut(&agent)) else {
                continue;
            };
            let Sent { segments, breakpoints, retention } = sent;
            self.report.ping(&self.cache.request_kept(at_ms, segments, breakpoints, 1, *retention));
            process.warmed(at_ms)?;
            self.pings.set(agent, process.keep_warm(at_ms));
        }
        Ok(())
    }
}

/// What the workload costs with such pagers. A page that a call needs and its window does not hold is a fault: it is
/// recalled, and the call is made with it. While an agent is away its pager may ask for pings, each sent and billed; what an agent
/// leaves behind when it is done is kept warm like any other, since nobody knows.
///
/// # Errors
/// The pager's, none of which a workload that fits its windows meets.
pub fn drive(
    factory: &dyn PagerFactory,
    setting: Setting,
    shape: Shape,
    seed: u64,
) -> Result<Report, ProcessError> {
    let config = PagerConfig {
        model: "gpt-4o".to_owned(),
        window: Tokens(setting.window),
        cache: setting.cache,
        keep_warm: setting.keep_warm,
    };
    let mut provider = Provider {
        cache: PrefixCache::new(setting.cache),
        report: Report::new(setting.window),
        pings: Pings::default(),
        sent: HashMap::new(),
    };
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
                provider.ping(at_ms, &mut agents)?;
                let Some(process) = agents.get_mut(&agent) else { continue };
                process.make_room(at_ms)?;
                let missing: Vec<PageId> =
                    needed.iter().copied().filter(|page| !process.is_resident(page)).collect();
                provider.report.fault(missing.len() as u64);
                process.recall(&missing)?;
                let shown = process.render(at_ms)?;
                process.touch(&needed)?;
                let segments =
                    shown.segments.iter().map(|segment| (SegmentId(segment.id), segment.tokens.0)).collect();
                let Shown { breakpoints, retention, .. } = shown;
                provider.send(agent, at_ms, Sent { segments, breakpoints, retention }, output_tokens);
                provider.pings.set(agent, process.keep_warm(at_ms));
            }
        }
    }
    Ok(provider.report)
}
