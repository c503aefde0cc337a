//! `agentos logs`: the journal of a process, one line an event.

use std::collections::HashMap;
use std::time::Duration;

use kernel_context::Change;
use kernel_storage::Journal;
use kernel_types::{
    Answer, Call, CallResult, Decision, Event, EventKind, ExitStatus, MailBody, MicroUsd, Millis, PageNo,
    Pid, Record, Reservation, Retention, Seq, StepNo, SuspendReason, SyscallNo, Tokens, WaitCause, Waited,
};
use serde_json::json;

use crate::args::{Global, LogsArgs};
use crate::data;
use crate::disk::Disk;
use crate::failure::{Exit, Failure};
use crate::format::{clipped, count, counted, pages, span, time};
use crate::journal::{Follower, changes};
use crate::output;
use crate::ui::Ui;

/// How often a followed journal is read.
const POLL: Duration = Duration::from_millis(200);
/// What a ping is called: an `infer` that no program asked for.
const KEEP_WARM: &str = "keep warm";
/// Characters of texts and arguments that are shown.
const SHOWN: usize = 80;

pub(crate) async fn logs(global: &Global, args: &LogsArgs, ui: &Ui) -> Result<Exit, Failure> {
    let (store, row) = data::attach_for(global, &args.pid).await?;
    let mut follower = Follower::new(store.clone(), row.pid);
    let mut log = Log { verbose: ui.verbose, calls: HashMap::new() };
    loop {
        let ended = args.follow && has_ended(&store, row.pid).await?;
        let mut events = follower.next().await?;
        while !events.is_empty() {
            for (record, event) in events {
                let line = if ui.json {
                    Some(object(&record, event.as_ref()))
                } else {
                    log.line(&record, event.as_ref())
                };
                if let Some(line) = line {
                    output::line(&line)?;
                }
            }
            events = follower.next().await?;
        }
        if !args.follow || ended {
            return Ok(Exit::Ok);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn has_ended(store: &Disk, pid: Pid) -> Result<bool, Failure> {
    Ok(store.agent(pid).await?.is_none_or(|row| row.exited))
}

fn object(record: &Record, event: Option<&Event>) -> String {
    let object = json!({
        "pid": record.pid,
        "number": record.number,
        "step": record.step,
        "seq": record.call,
        "at": time(record.at),
        "kind": EventKind::from_number(record.kind),
        "event": event,
        "hash": record.hash,
    });
    object.to_string()
}

/// Turns records into lines. Remembers calls, so that an outcome says of what.
struct Log {
    verbose: bool,
    calls: HashMap<(StepNo, Option<Seq>), SyscallNo>,
}

impl Log {
    /// The line of one record; `None` for what only `--verbose` shows.
    fn line(&mut self, record: &Record, event: Option<&Event>) -> Option<String> {
        let (what, text) = match event {
            None => ("erased".to_owned(), "the body of this record was erased".to_owned()),
            Some(event) => self.describe(record, event)?,
        };
        let place = match record.call {
            Some(seq) if seq.is_ping() => format!("{}.-", record.step),
            Some(seq) => format!("{}.{seq}", record.step),
            None => record.step.to_string(),
        };
        Some(format!("{}  {place:<6}  {what:<12}  {text}", time(record.at)).trim_end().to_owned())
    }

    fn describe(&mut self, record: &Record, event: &Event) -> Option<(String, String)> {
        let word = |word: &str, text: String| Some((word.to_owned(), text));
        let name = |no: SyscallNo| match record.call {
            Some(seq) if seq.is_ping() => KEEP_WARM.to_owned(),
            _ => no.name().to_owned(),
        };
        match event {
            Event::Spawned { spec, .. } => {
                word("spawned", format!("{}: {}", spec.name, clipped(&spec.task, SHOWN)))
            }
            Event::Intent { call, no, decision, reserved, view, .. } => {
                self.calls.insert((record.step, record.call), *no);
                let mut text = format!("{}  {}", decided(decision), arguments(call));
                if let Some(view) = view {
                    let (tokens, model) = (count(view.tokens.0), &view.model);
                    text = format!(
                        "{text} {tokens} tokens in {} to {model}",
                        counted(view.resident.len() as u64, "page")
                    );
                }
                if self.verbose {
                    text.push_str(&holds(reserved));
                }
                Some((name(*no), text))
            }
            Event::Outcome { result, cost, took, waited, causes, expected_cached } => {
                let call = self.calls.remove(&(record.step, record.call));
                let name = call.map_or_else(|| "call".to_owned(), name);
                Some((name, outcome(result, *cost, *took, (*waited, causes), *expected_cached)))
            }
            Event::Pages { changes: text } => {
                let text = paged(&changes(text), self.verbose);
                (!text.is_empty()).then(|| ("pages".to_owned(), text))
            }
            Event::Step { image, .. } if self.verbose => word("committed", format!("image {image}")),
            Event::Step { .. } => None,
            Event::Attempt { number, charged, why } => {
                let why = why.as_ref().map_or_else(String::new, |why| format!(": {}", clipped(why, SHOWN)));
                let (tokens, cost) = (count(charged.tokens.0), charged.cost);
                word(
                    "again",
                    format!("attempt {number}; the lost one is charged {tokens} tokens, {cost}{why}"),
                )
            }
            Event::Signalled { signal, .. } => word("signal", signal.to_string()),
            Event::Suspended { reason: SuspendReason::Stopped } => word("suspended", "stopped".to_owned()),
            Event::Suspended { reason: SuspendReason::Limit(limit) } => {
                word("suspended", format!("limit of {limit}"))
            }
            Event::Resumed { why } => word("resumed", why.clone()),
            Event::Recovered { epoch, open } => word(
                "recovered",
                format!("by kernel {epoch}, {} in flight", counted(u64::from(*open), "call")),
            ),
            Event::Exited { status } => word("exited", ended(status)),
            Event::CacheMissed { expected, reported, segment, page } => {
                word("warning", missed(*expected, *reported, *segment, *page))
            }
            Event::Forked { of, .. } => word("forked", format!("from step {} of {}", of.step, of.pid)),
            Event::Restored { to, from, .. } => {
                word("went back", format!("from step {from} to step {} of {}", to.step, to.pid))
            }
            Event::MailTaken { mail } => word("mail", clipped(&posted(&mail.body), SHOWN)),
            _ => word("event", clipped(&format!("{event:?}"), SHOWN)),
        }
    }
}

fn missed(expected: Tokens, reported: Tokens, segment: Option<u64>, page: Option<PageNo>) -> String {
    let at = match (segment, page) {
        (None, _) => "the provider did not use its cache".to_owned(),
        (Some(_), Some(page)) => format!("the prompt changed at page {page} without a compaction"),
        (Some(segment), None) => format!("the prompt changed at segment {segment} without a compaction"),
    };
    format!("cache: {} tokens expected, {} read: {at}", count(expected.0), count(reported.0))
}

fn decided(decision: &Decision) -> String {
    match decision {
        Decision::Allow => "allow".to_owned(),
        Decision::Ask { rule } => format!("denied: {rule} asks and nobody is there"),
        Decision::Deny { missing } => format!("denied: missing {missing}"),
        Decision::OverQuota { limit, left, needed } => {
            format!("over quota: needs {} of {limit}, {} left", count(*needed), count(*left))
        }
        Decision::Reject { reason } => format!("rejected: {}", clipped(reason, SHOWN)),
    }
}

/// What is worth seeing of a call's arguments.
fn arguments(call: &Call) -> String {
    match call {
        Call::ToolCall(args) => clipped(&format!("{} {}", args.tool, args.args), SHOWN),
        Call::PageAlloc { pages } => counted(pages.len() as u64, "page"),
        Call::Recall(args) => {
            clipped(&format!("{:?} within {} tokens", args.what, count(args.budget.0)), SHOWN)
        }
        Call::Put { name, .. } | Call::Get { name } => clipped(name, SHOWN),
        Call::Sleep { ms } => ms.to_string(),
        _ => String::new(),
    }
}

fn holds(reserved: &Reservation) -> String {
    if *reserved == Reservation::default() {
        return String::new();
    }
    format!(
        " (holds {}, {} tokens, {})",
        counted(reserved.calls, "call"),
        count(reserved.tokens.0),
        reserved.cost
    )
}

/// What a call waited for, the longest first.
fn waited_for(causes: &[Waited]) -> String {
    let mut causes = causes.to_vec();
    causes.sort_by_key(|waited| std::cmp::Reverse(waited.ms));
    let words: Vec<&str> = causes.iter().map(|waited| cause(waited.cause)).collect();
    if words.is_empty() { String::new() } else { format!(" for {}", words.join(", ")) }
}

fn cause(cause: WaitCause) -> &'static str {
    match cause {
        WaitCause::Slot => "a slot",
        WaitCause::Requests => "the provider's limit of requests",
        WaitCause::Tokens => "the provider's limit of tokens",
        WaitCause::RetryAfter => "a pause the provider asked for",
        WaitCause::Breaker => "the provider to work again",
        WaitCause::Congestion => "fewer calls in flight",
        WaitCause::Backoff => "another try",
        WaitCause::Rate => "its rate",
        WaitCause::Resource => "a resource",
        WaitCause::Budget => "a budget that others held",
        _ => "something else",
    }
}

fn outcome(
    result: &CallResult,
    cost: MicroUsd,
    took: Millis,
    (waited, causes): (Millis, &[Waited]),
    expected: Option<Tokens>,
) -> String {
    let mut text = match result {
        Err(error) => format!("{:?}: {}", error.kind, clipped(&error.message, 2 * SHOWN)).to_lowercase(),
        Ok(Answer::Inference(inference)) => {
            let usage = inference.usage;
            let estimated = if usage.estimated { ", estimated" } else { "" };
            let expected =
                expected.map_or_else(String::new, |tokens| format!(", {} expected", count(tokens.0)));
            format!(
                "ok     {} tokens in ({} cached{expected}), {} out{estimated}, {cost}",
                count(usage.input.0),
                count(usage.cached.0),
                count(usage.output.0)
            )
        }
        Ok(Answer::Tool(tool)) if tool.success => format!("ok     {}", clipped(&tool.text, SHOWN)),
        Ok(Answer::Tool(tool)) => format!("failed {}", clipped(&tool.text, SHOWN)),
        Ok(Answer::Pages(numbers)) => format!("ok     {}", pages(numbers)),
        Ok(Answer::Memories(found)) => format!("ok     {} found", counted(found.len() as u64, "memory")),
        Ok(Answer::Recalled(hits)) => {
            let numbers: Vec<PageNo> = hits.iter().map(|hit| hit.page).collect();
            if numbers.is_empty() {
                "ok     nothing fits".to_owned()
            } else {
                format!("ok     {}", pages(&numbers))
            }
        }
        Ok(_) => "ok".to_owned(),
    };
    if took > Millis::ZERO {
        text = format!("{text}, {}", span(took));
    }
    if waited > Millis::ZERO {
        text = format!("{text} ({} of them waiting{})", span(waited), waited_for(causes));
    }
    text
}

/// What happened to the page table, in words.
fn paged(changes: &[Change], verbose: bool) -> String {
    let mut parts = Vec::new();
    for change in changes {
        match change {
            Change::Allocate(drafts) => {
                parts.push(format!("allocated {}", counted(drafts.len() as u64, "page")))
            }
            Change::Evict(numbers) => parts.push(format!("evicted {}", pages(numbers))),
            Change::Compact { kind, evict } => {
                parts.push(format!("{} compaction: evicted {}", kind.name(), pages(evict)));
            }
            Change::Recall(numbers) => {
                parts.push(format!("recalled {}", counted(numbers.len() as u64, "page")))
            }
            Change::Pin(page) => parts.push(format!("pinned page {page}")),
            Change::Embed { page, .. } => parts.push(format!("embedded page {page}")),
            Change::Restore { .. } => parts.push("restored an exported space".to_owned()),
            Change::Retain(Retention::Long) => parts.push("prefixes kept for longer".to_owned()),
            Change::Retain(Retention::Short) => parts.push("prefixes kept as usual".to_owned()),
            Change::Unpin(page) => parts.push(format!("unpinned page {page}")),
            Change::Free(page) => parts.push(format!("freed page {page}")),
            Change::Calibrate { estimated, reported } if verbose => {
                parts.push(format!("calibrated: {estimated} tokens estimated, {reported} reported"));
            }
            _ => {}
        }
    }
    parts.join(", ")
}

fn ended(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Ok(answer) => format!("ok: {}", clipped(answer, SHOWN)),
        ExitStatus::Failed(why) => format!("failed: {}", clipped(why, 2 * SHOWN)),
        ExitStatus::Killed(signal) => format!("killed by {signal}"),
        ExitStatus::Faulted(how) => format!("faulted: {}", clipped(how, 2 * SHOWN)),
    }
}

/// What a piece of mail says, in words.
fn posted(body: &MailBody) -> String {
    match body {
        MailBody::Priority(priority) => format!("priority {priority}"),
        MailBody::Checkpoint { name, at } => format!("checkpoint {name}: step {}", at.step),
        MailBody::Grant(more) => {
            let amounts = [
                more.tokens.map(|tokens| format!("{tokens} tokens")),
                more.cost.map(|cost| cost.to_string()),
                more.steps.map(|steps| format!("{steps} steps")),
                more.calls.map(|calls| format!("{calls} calls")),
            ];
            format!("grant: {}", amounts.into_iter().flatten().collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evictions_and_recalls_are_said_in_words() {
        let numbers = |range: std::ops::RangeInclusive<u64>| range.map(PageNo).collect::<Vec<_>>();
        let shown = Change::Rendered { trace: Default::default(), at: Default::default() };
        let changes = [Change::Evict(numbers(17..=42)), Change::Recall(numbers(3..=7)), shown.clone()];
        assert_eq!(paged(&changes, false), "evicted pages 17-42, recalled 5 pages");
        assert_eq!(paged(&[shown], false), "");
        let compaction = Change::Compact { kind: kernel_context::PlanKind::Minor, evict: numbers(2..=3) };
        assert_eq!(paged(&[compaction], false), "minor compaction: evicted pages 2-3");
    }

    #[test]
    fn a_ping_is_told_from_the_calls_of_its_step() {
        let mut log = Log { verbose: false, calls: HashMap::new() };
        let mut line = |call: Seq| {
            let record = Record {
                pid: Pid::INIT,
                number: 1,
                step: StepNo(3),
                call: Some(call),
                kind: EventKind::Intent as u8,
                at: Default::default(),
                salt: [0; 16],
                body: None,
                blob: None,
                body_hash: Default::default(),
                hash: Default::default(),
            };
            let event = Event::Intent {
                call: Call::Infer(Default::default()),
                no: SyscallNo::Infer,
                decision: Decision::Allow,
                reserved: Reservation::default(),
                recovery: SyscallNo::Infer.recovery(),
                view: None,
                child: None,
            };
            log.line(&record, Some(&event)).unwrap_or_default()
        };
        assert!(line(Seq(1)).contains("3.1     infer         allow"), "{}", line(Seq(1)));
        assert!(line(Seq::ping(0)).contains("3.-     keep warm     allow"), "{}", line(Seq::ping(0)));
    }

    #[test]
    fn a_missed_cache_says_where() {
        let check = |segment, page: Option<u64>, expected: &str| {
            assert_eq!(missed(Tokens(1_900), Tokens(12), segment, page.map(PageNo)), expected);
        };
        check(None, None, "cache: 1,900 tokens expected, 12 read: the provider did not use its cache");
        let at = "cache: 1,900 tokens expected, 12 read: the prompt changed at";
        check(Some(3), Some(7), &format!("{at} page 7 without a compaction"));
        check(Some(3), None, &format!("{at} segment 3 without a compaction"));
    }
}
