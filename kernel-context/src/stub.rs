//! Stubs: what a swapped range leaves behind in the window.
//!
//! A stub is a line of text that changes only at a compaction. It tells the model that something was here, about what, and
//! which numbers bring it back. Stubs take a small share of the window at most: when they would exceed it they fold into one, and
//! when that does not fit there is none.

use std::collections::BTreeSet;
use std::sync::Arc;

use kernel_types::{GroupId, PageKind, PageNo};
use serde::{Deserialize, Serialize};

use crate::TokenCounter;
use crate::header::{print, shown};
use crate::table::{Entry, Page, Place, Table};

/// The most page ranges and topics a stub lists.
const MOST_RANGES: usize = 6;
const MOST_TOPICS: usize = 4;
/// Stubs together take at most this part of the window.
const SHARE: u64 = 16;
/// What a chat template adds to a stub.
const OVERHEAD: u64 = 8;

/// The place of pages that were in the window.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Stub {
    /// Ascending.
    pub(crate) pages: Vec<PageNo>,
    /// Empty: nothing is shown.
    pub(crate) text: Arc<str>,
    pub(crate) cost: u64,
    pub(crate) print: u64,
}

/// The most tokens all stubs may take in a window of `limit` tokens.
pub(crate) fn share(limit: u64) -> u64 {
    limit / SHARE
}

/// Puts a stub where groups have left, merges neighbours, drops from them what is resident again or freed, and writes them
/// anew within their share and within `limit`.
pub(crate) fn compact(table: &mut Table, counter: TokenCounter, limit: u64) {
    let entries = std::mem::take(&mut table.window);
    table.window = merge(table, entries);
    let load = table.load();
    let room = share(limit).min(limit.saturating_sub(load.all - load.stubs));
    write(table, counter);
    if table.load().stubs > room {
        fold(&mut table.window);
        write(table, counter);
    }
    if table.load().stubs > room {
        hide(&mut table.window);
    }
}

/// Groups that are out become pages of stubs; each page is in the last stub that had it.
fn merge(table: &Table, entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = BTreeSet::new();
    let mut reversed: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries.into_iter().rev() {
        let pages = match entry {
            Entry::Group(id) => match left(table, id) {
                None => {
                    reversed.push(Entry::Group(id));
                    continue;
                }
                Some(pages) => pages,
            },
            Entry::Stub(stub) => stub.pages,
        };
        let is_out = |page: &PageNo| table.pages.get(page).is_some_and(|page| !table.is_resident(page));
        let gone: Vec<PageNo> = pages.into_iter().filter(|page| is_out(page) && seen.insert(*page)).collect();
        match reversed.last_mut() {
            _ if gone.is_empty() => {}
            Some(Entry::Stub(stub)) => stub.pages.extend(gone),
            _ => reversed.push(Entry::Stub(Stub::of(gone))),
        }
    }
    reversed.reverse();
    reversed
}

/// The pages of a group that is no longer in the window.
fn left(table: &Table, id: GroupId) -> Option<Vec<PageNo>> {
    match table.groups.get(&id) {
        Some(group) if group.place == Place::Window => None,
        Some(group) => Some(group.pages.clone()),
        None => Some(Vec::new()),
    }
}

/// All stubs become one, at the place of the first.
fn fold(window: &mut Vec<Entry>) {
    let mut all = Vec::new();
    let mut first = None;
    for (at, entry) in window.iter_mut().enumerate() {
        if let Entry::Stub(stub) = entry {
            first.get_or_insert(at);
            all.append(&mut stub.pages);
        }
    }
    let mut at = 0;
    window.retain_mut(|entry| {
        let keep = match entry {
            Entry::Group(_) => true,
            Entry::Stub(stub) if Some(at) == first => {
                stub.pages = std::mem::take(&mut all);
                true
            }
            Entry::Stub(_) => false,
        };
        at += 1;
        keep
    });
}

/// Forgets what stubs cost: they are counted anew when they are written next.
pub(crate) fn uncount(window: &mut [Entry]) {
    for entry in window {
        if let Entry::Stub(stub) = entry {
            stub.cost = 0;
        }
    }
}

fn hide(window: &mut [Entry]) {
    for entry in window {
        if let Entry::Stub(stub) = entry {
            *stub = Stub::of(std::mem::take(&mut stub.pages));
        }
    }
}

fn write(table: &mut Table, counter: TokenCounter) {
    let mut window = std::mem::take(&mut table.window);
    for entry in &mut window {
        if let Entry::Stub(stub) = entry {
            stub.pages.sort_unstable();
            stub.show(text(table, &stub.pages), counter);
        }
    }
    table.window = window;
}

impl Stub {
    fn of(pages: Vec<PageNo>) -> Self {
        Self { pages, text: Arc::from(""), cost: 0, print: 0 }
    }

    fn show(&mut self, text: String, counter: TokenCounter) {
        if *self.text == *text && self.cost > 0 {
            return;
        }
        self.cost = counter.count(&text) + OVERHEAD;
        self.print = print("stub", &[&text]);
        self.text = text.into();
    }
}

/// `[pages 17-42, 45 swapped out: MPL-1.1, read_file; recall them by number or by words]`
fn text(table: &Table, pages: &[PageNo]) -> String {
    let mut topics: Vec<String> = Vec::new();
    for page in pages.iter().filter_map(|page| table.pages.get(page)) {
        let topic = topic(table, page);
        if topics.len() == MOST_TOPICS {
            break;
        }
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    let word = if pages.len() == 1 { "page" } else { "pages" };
    format!("[{word} {} swapped out: {}; recall by number or by words]", ranges(pages), topics.join(", "))
}

fn topic(table: &Table, page: &Page) -> String {
    match (&page.kind, table.path(page)) {
        (_, Some(path)) => shown(path),
        (PageKind::ToolCall { name, .. }, None) => shown(name),
        (PageKind::ToolResult { .. }, None) => "tool results".to_owned(),
        (PageKind::Document, None) => "documents".to_owned(),
        _ => "conversation".to_owned(),
    }
}

fn ranges(pages: &[PageNo]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for page in pages {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == page.0 => *last = page.0,
            _ => ranges.push((page.0, page.0)),
        }
    }
    let listed = ranges.iter().take(MOST_RANGES);
    let mut text: Vec<String> = listed
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    let more: u64 = ranges.iter().skip(MOST_RANGES).map(|(first, last)| last - first + 1).sum();
    if more > 0 {
        text.push(format!("and {more} more"));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pages: &[u64], expected: &str) {
        let pages: Vec<PageNo> = pages.iter().copied().map(PageNo).collect();
        assert_eq!(ranges(&pages), expected);
    }

    #[test]
    fn page_numbers_are_listed_as_ranges() {
        check(&[3], "3");
        check(&[1, 2, 3, 7, 9, 10], "1-3, 7, 9-10");
        check(&[1, 3, 5, 7, 9, 11, 13, 14, 15], "1, 3, 5, 7, 9, 11, and 3 more");
    }
}
