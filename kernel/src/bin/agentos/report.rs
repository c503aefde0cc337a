//! What is said when a run is over: sources, cost, and which way to go on.

use kernel::Sources;
use kernel_context::Change;
use kernel_storage::Journal;
use kernel_types::{
    Answer, Event, ExitStatus, LimitName, Millis, Pid, ProcessInfo, ProcessState, Seq, Spec, SuspendReason,
    SysError,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::disk::Disk;
use crate::drive::{Machine, answer, resume_line};
use crate::failure::{Exit, Failure};
use crate::format::{count, counted, span};
use crate::journal::{Follower, changes};
use crate::output;
use crate::ui::Ui;

/// Sources that are shown.
const SOURCES: usize = 5;

/// Says how a run ended. The exit code is that of the program.
pub(crate) async fn report(machine: Machine, pid: Pid, spec: &Spec, ui: &Ui) -> Result<Exit, Failure> {
    let took = Millis::from(machine.started.elapsed());
    let info = machine.kernel.process(pid).await?;
    let Machine { kernel, store, cpu, printer, status, .. } = machine;
    drop(status);
    let stopped = kernel.shutdown().await;
    let text = answer(&info.state);
    if !ui.json {
        printer.finish(text)?;
    }
    let summary = Summary::read(&store, pid).await?;
    let sources = match text {
        Some(text) => kernel::sources(&store, pid, &spec.task, text, SOURCES).await?,
        None => Sources::default(),
    };
    stopped?;
    store.close().await?;
    let details = details(&info, &summary, &sources, spec, took);
    skipped(&summary, ui);
    let failure = match &info.state {
        ProcessState::Exited(ExitStatus::Ok(_)) => None,
        ProcessState::Exited(ExitStatus::Failed(why)) => {
            Some(match (cpu.last_error(), &summary.last_error) {
                (Some(error), _) => Failure::from(error),
                (None, Some(error)) if *why == error.message => {
                    Failure::new(Exit::of_call(error.kind), why.as_str())
                }
                _ => Failure::new(Exit::Failed, why.as_str()),
            })
        }
        state => Some(unfinished(pid, state)),
    };
    if !ui.json {
        if text.is_some() {
            output::print(&sources_text(&sources))?;
        }
        output::line(&figures(&info, &summary, took))?;
    }
    match failure {
        Some(failure) => Err(failure.with_details(details)),
        None if ui.json => output::line(&details.to_string()).map(|()| Exit::Ok),
        None => Ok(Exit::Ok),
    }
}

/// A process that did not end by itself.
pub(crate) fn unfinished(pid: Pid, state: &ProcessState) -> Failure {
    match state {
        ProcessState::Suspended(SuspendReason::Limit(limit)) => {
            let flag = match limit {
                LimitName::Tokens => " --max-tokens N",
                LimitName::Cost => " --max-cost USD",
                LimitName::Steps => " --max-steps N",
                LimitName::Calls => " --max-calls N",
                LimitName::ToolCalls => " --max-tool-calls N",
                LimitName::WallTime => " --max-time TIME",
                LimitName::Children => " --max-children N",
                LimitName::SystemCalls => " --system-calls N",
                LimitName::SystemTokens => " --system-tokens N",
                LimitName::SystemCost => " --system-cost USD",
                // Those of tenants are set by the program that embeds the kernel.
                _ => "",
            };
            Failure::new(Exit::Budget, format!("suspended: the limit of {limit} is reached"))
                .hint(format!("{}{flag}", resume_line(pid)))
        }
        ProcessState::Suspended(_) => Failure::new(Exit::Interrupted, "stopped").hint(resume_line(pid)),
        ProcessState::Exited(ExitStatus::Killed(signal)) => {
            Failure::new(Exit::Failed, format!("the agent was ended by {signal}"))
        }
        ProcessState::Exited(ExitStatus::Faulted(how)) => {
            Failure::new(Exit::Failed, format!("the agent broke: {how}"))
        }
        state => {
            Failure::new(Exit::Failed, format!("the agent is {state} and nothing is left that could wake it"))
                .hint(resume_line(pid))
        }
    }
}

/// What the journal of a process tells in all.
#[derive(Default)]
struct Summary {
    evicted: u64,
    recalled: u64,
    /// Tokens expected from the provider's cache in all, and warnings that clearly less came.
    expected_cached: u64,
    cache_misses: u64,
    models: Vec<String>,
    last_error: Option<SysError>,
    import: Import,
}

/// What `react` keeps under the name `import`.
#[derive(Default, Deserialize)]
struct Import {
    files: u64,
    skipped: Vec<String>,
}

impl Summary {
    async fn read(store: &Disk, pid: Pid) -> Result<Self, Failure> {
        let mut summary = Self::default();
        let mut follower = Follower::new(store.clone(), pid);
        loop {
            let events = follower.next().await?;
            if events.is_empty() {
                break;
            }
            for (_, event) in events.into_iter().filter(|(record, _)| !record.call.is_some_and(Seq::is_ping))
            {
                summary.add(event);
            }
        }
        let values = store.values(pid).await?;
        let import = values.iter().find(|(name, _)| name == "import");
        summary.import = import.and_then(|(_, value)| serde_json::from_str(value).ok()).unwrap_or_default();
        Ok(summary)
    }

    fn add(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Pages { changes: text }) => {
                for change in changes(&text) {
                    match change {
                        Change::Evict(pages) | Change::Compact { evict: pages, .. } => {
                            self.evicted += pages.len() as u64
                        }
                        Change::Recall(pages) => self.recalled += pages.len() as u64,
                        _ => {}
                    }
                }
            }
            Some(Event::Outcome { result: Err(error), .. }) => self.last_error = Some(error),
            Some(Event::CacheMissed { .. }) => self.cache_misses += 1,
            Some(Event::Outcome { result: Ok(Answer::Inference(inference)), expected_cached, .. }) => {
                self.last_error = None;
                self.expected_cached += expected_cached.unwrap_or_default().0;
                if !self.models.contains(&inference.model) {
                    self.models.push(inference.model);
                }
            }
            _ => {}
        }
    }
}

/// Percent of the input that came from a provider's cache.
fn hit_rate(info: &ProcessInfo) -> u64 {
    (info.usage.cached_tokens.0 * 100).checked_div(info.usage.input_tokens.0).unwrap_or(0)
}

fn figures(info: &ProcessInfo, summary: &Summary, took: Millis) -> String {
    let usage = &info.usage;
    format!(
        "cost {} · tokens {} in ({} cached, {} %, {} expected{}), {} out · pages {} evicted, {} recalled · {}",
        usage.cost,
        count(usage.input_tokens.0),
        count(usage.cached_tokens.0),
        hit_rate(info),
        count(summary.expected_cached),
        match summary.cache_misses {
            0 => String::new(),
            misses => format!(", {}: see logs", counted(misses, "cache warning")),
        },
        count(usage.output_tokens.0),
        count(summary.evicted),
        count(summary.recalled),
        span(took)
    )
}

fn sources_text(sources: &Sources) -> String {
    if sources.retrieved.is_empty() {
        return "\nsources: none; no page that the model was shown has a word of the question\n\n".to_owned();
    }
    let mut text = "\nsources\n".to_owned();
    for source in &sources.retrieved {
        text.push_str(&format!("  {}:{}  {}\n", source.file, source.line, source.text));
    }
    text.push('\n');
    text
}

fn skipped(summary: &Summary, ui: &Ui) {
    let skipped = &summary.import.skipped;
    if skipped.is_empty() {
        return;
    }
    let how = if ui.verbose { "" } else { " (--verbose lists them)" };
    ui.note(&format!("skipped: {}{how}", counted(skipped.len() as u64, "file")));
    if ui.verbose {
        for line in skipped {
            ui.note(&format!("  {line}"));
        }
    }
}

fn details(info: &ProcessInfo, summary: &Summary, sources: &Sources, spec: &Spec, took: Millis) -> Value {
    json!({
        "pid": info.pid,
        "state": info.state.to_string(),
        "answer": answer(&info.state),
        "task": spec.task,
        "models": summary.models,
        "sources": sources,
        "import": { "files": summary.import.files, "skipped": summary.import.skipped },
        "usage": info.usage,
        "cost_usd": format!("{}.{:06}", info.usage.cost.0 / 1_000_000, info.usage.cost.0 % 1_000_000),
        "cache_hit_percent": hit_rate(info),
        "cache": { "expected_tokens": summary.expected_cached, "warnings": summary.cache_misses },
        "pages": { "evicted": summary.evicted, "recalled": summary.recalled },
        "took_ms": took,
    })
}
