//! `agentos mem`: the virtual memory of a process.

use std::time::{SystemTime, UNIX_EPOCH};

use kernel_context::{
    Explanation, LeftRow, NextCompaction, PageRanges, PlanKind, Statistics, Why, WindowRow,
};
use kernel_types::{Pid, Spec, Timestamp};
use serde_json::json;

use crate::args::{Global, MemArgs};
use crate::data;
use crate::failure::{Exit, Failure};
use crate::format::{clipped, count, counted};
use crate::map::{Canvas, kind_name, part_name};
use crate::output;
use crate::ps;
use crate::stored;
use crate::ui::Ui;

/// Rows that are shown of a window, and of what left it, without `--verbose`.
const ROWS: usize = 32;
const LEFT: usize = 8;
/// Characters of a name that are shown.
const ABOUT: usize = 32;
/// Characters of a task that are shown.
const TASK: usize = 60;

pub(crate) async fn mem(global: &Global, args: &MemArgs, ui: &Ui) -> Result<Exit, Failure> {
    let (store, row) = data::attach_for(global, &args.pid).await?;
    let unreadable = || {
        Failure::new(
            Exit::BadInput,
            format!("process {} does not load: its first record is missing", row.pid),
        )
        .hint(format!("run `agentos audit verify {}`", row.pid))
    };
    let spec = ps::spec(&store, &row).await?.ok_or_else(unreadable)?;
    let space = stored::space(&store, &row, args.at.as_ref()).await?;
    let explanation = space.pager().explain(now()).map_err(|error| {
        Failure::new(Exit::BadInput, format!("process {} does not load: {error}", row.pid))
            .hint(format!("run `agentos audit verify {}`", row.pid))
    })?;
    store.close().await?;
    if ui.json {
        let mut object = json!(explanation);
        object["pid"] = json!(row.pid);
        output::line(&object.to_string())?;
    } else {
        output::print(&text(row.pid, &spec, &explanation, Canvas::of_stdout(), ui.verbose))?;
    }
    Ok(Exit::Ok)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn text(pid: Pid, spec: &Spec, explanation: &Explanation, canvas: Canvas, verbose: bool) -> String {
    let mut text = format!("pid {pid}  {}: {}\n", spec.name, clipped(&spec.task, TASK));
    text.push_str(&format!("{}\n\n{}\n", figures(explanation), canvas.draw(explanation)));
    text.push_str(&window(&explanation.rows, canvas, if verbose { usize::MAX } else { ROWS }));
    text.push_str(&gone(explanation, if verbose { usize::MAX } else { LEFT }));
    text.push_str(&next(&explanation.next));
    if let Some(statistics) = &explanation.statistics {
        text.push_str(&learned(statistics));
    }
    text
}

fn figures(explanation: &Explanation) -> String {
    let load = explanation.load.0;
    match explanation.window {
        Some(window) => format!(
            "window: {} of {} tokens ({} %)",
            count(load),
            count(window.0),
            (load * 100).checked_div(window.0).unwrap_or(0)
        ),
        None => format!("window: {} tokens", count(load)),
    }
}

fn window(rows: &[WindowRow], canvas: Canvas, most: usize) -> String {
    let mut text = format!("{:6}  {:>7}  {:6}  {:32}  WHY\n", "PART", "TOKENS", "MISSED", "WHAT");
    for row in rows.iter().take(most) {
        let part = canvas.paint(&format!("{:6}", part_name(row.part)), row.part);
        let missed = row.missed.map_or_else(String::new, percent);
        let (tokens, what) = (count(row.tokens.0), what(row));
        text.push_str(&format!("{part}  {tokens:>7}  {missed:>6}  {what:32}  {}\n", why(row)));
    }
    if rows.len() > most {
        let more = counted((rows.len() - most) as u64, "row");
        text.push_str(&format!("and {more} more (--verbose lists them)\n"));
    }
    text
}

fn what(row: &WindowRow) -> String {
    let about = if row.about.is_empty() { kind_name(row.kind) } else { &row.about };
    format!("{}: {}", numbers(&row.pages), clipped(about, ABOUT))
}

fn why(row: &WindowRow) -> String {
    let used = match (row.uses, row.age) {
        (0, _) | (_, None) => String::new(),
        (uses, Some(age)) => format!(", used {}, last {}", times(uses), ago(age)),
    };
    let faults =
        if row.faults > 0 { format!(", missed {} lately", times(row.faults)) } else { String::new() };
    let leaves = if row.leaves { "; leaves next" } else { "" };
    let reason = match row.why {
        Why::Instructions => "instructions stay",
        Why::Pinned => "pinned",
        Why::Note => "newest note of its name",
        Why::Fresh => "new: not shown yet",
        Why::Recalled => "recalled for the next call",
        Why::Stub => "says what left",
        Why::Used => "used again, so it stays",
        Why::Important => "important, so it stays",
        Why::NotYetEvicted => "not worth evicting yet",
    };
    format!("{reason}{used}{faults}{leaves}")
}

/// What left, by when and how: groups that left together in one line.
fn gone(explanation: &Explanation, most: usize) -> String {
    let (left, out) = (&explanation.left, counted(explanation.out, "group"));
    if left.is_empty() {
        return "\nleft: nothing\n".to_owned();
    }
    let together: Vec<&[LeftRow]> =
        left.chunk_by(|a, b| (a.calls_ago, a.compacted) == (b.calls_ago, b.compacted)).collect();
    let mut text = format!("\nleft: {out} swapped out, the last {} were\n", count(left.len() as u64));
    for rows in together.iter().take(most) {
        let tokens: u64 = rows.iter().map(|row| row.tokens.0).sum();
        let when = rows[0].calls_ago.map_or_else(|| "earlier".to_owned(), ago);
        let how = match rows[0].compacted {
            Some(true) => ", by a compaction",
            Some(false) => ", asked for",
            None => "",
        };
        text.push_str(&format!("  {when}{how}: {} tokens, {}\n", count(tokens), listed(rows)));
    }
    if together.len() > most {
        text.push_str("  and earlier ones (--verbose lists more)\n");
    }
    text
}

fn listed(rows: &[LeftRow]) -> String {
    let ranges = rows.iter().flat_map(|row| &row.pages.ranges);
    let pages = ranges.flat_map(|(first, last)| (first.0..=last.0).map(kernel_types::PageNo));
    let pages = crate::format::pages(&pages.collect::<Vec<_>>());
    let mut about: Vec<&str> = Vec::new();
    for row in rows {
        let name = if row.about.is_empty() { kind_name(row.kind) } else { &row.about };
        if !about.contains(&name) {
            about.push(name);
        }
    }
    let more = if about.len() > 3 { ", …" } else { "" };
    about.truncate(3);
    format!("{pages} ({}{more})", about.join(", "))
}

fn next(next: &NextCompaction) -> String {
    if next.kind == PlanKind::None {
        return "\nnext compaction: nothing that may leave\n".to_owned();
    }
    let rewritten = next
        .rewritten
        .map_or_else(String::new, |tokens| format!(", {} tokens written to the cache anew", count(tokens.0)));
    format!(
        "\nnext compaction, if the window were full now: {}: {} ({}), {} tokens freed{rewritten}\n",
        next.kind.name(),
        counted(next.pages.count, "page"),
        numbers(&next.pages),
        count(next.freed.0)
    )
}

fn learned(statistics: &Statistics) -> String {
    let [never, once, more] = statistics.reuse;
    format!(
        "learned in {}: {} tokens a call; a page is used again with {}, once it was with {}, then with {}; \
         {} came back soon ({:.1} expected); {} of the window used on average\n",
        counted(u64::from(statistics.calls), "call"),
        count(statistics.growth.0),
        percent(never),
        percent(once),
        percent(more),
        counted(u64::from(statistics.refaults_seen), "page"),
        statistics.refaults_expected,
        percent(statistics.mean_use)
    )
}

/// `3-9, 12` and how many more there are.
fn numbers(pages: &PageRanges) -> String {
    let one = |(first, last): &(kernel_types::PageNo, kernel_types::PageNo)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let listed: u64 = pages.ranges.iter().map(|(first, last)| last.0 - first.0 + 1).sum();
    let mut text: Vec<String> = pages.ranges.iter().map(one).collect();
    if listed < pages.count {
        text.push(format!("and {} more", count(pages.count - listed)));
    }
    text.join(", ")
}

fn times(number: u32) -> String {
    if number == 1 { "once".to_owned() } else { format!("{} times", count(u64::from(number))) }
}

fn ago(calls: u32) -> String {
    match calls {
        0 => "since the last call".to_owned(),
        calls => format!("{} ago", counted(u64::from(calls), "call")),
    }
}

fn percent(share: f64) -> String {
    let decimals = usize::from(share > 0.0 && share < 0.095);
    format!("{:.decimals$} %", share * 100.0)
}
