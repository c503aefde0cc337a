//! Stubs: what a swapped range leaves behind in the window.
//!
//! A stub is a line of text that changes only at a compaction. It tells the model that something was here, about what, and
//! which numbers bring it back. Stubs take a small share of the window at most: when they would exceed it they fold into one, and
//! when that does not fit it is hidden.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::TokenCounter;
use crate::header::{print, shown};
use crate::page::{Flags, Kind, Number, Page};
use crate::replacement::Replacement;
use crate::table::{Gist, Table};

/// The most page ranges and topics a stub lists.
const MOST_RANGES: usize = 6;
const MOST_TOPICS: usize = 4;
/// A stub knows so many ranges; beyond that the nearest become one.
const KEPT_RANGES: usize = 32;
/// Up to so many pages a stub forgets those that are back or freed.
const FEW_PAGES: u64 = 64;
/// Stubs together take at most this part of the window; summaries twice that.
const SHARE: u64 = 16;
/// What one page of a summary takes, about.
const GIST_COST: u64 = 24;
/// A summary gives the first words of so many pages at most,
const MOST_GISTS: usize = 12;
/// and so many words of each.
const GIST_WORDS: usize = 12;
/// Longest gist, in characters.
const GIST_LENGTH: usize = 100;
/// What a chat template adds to a stub.
const OVERHEAD: u64 = 8;

/// The place of pages that were in the window.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stub {
    /// First and last pages, ascending.
    ranges: Vec<(Number, Number)>,
    /// Empty: nothing is shown.
    pub(crate) text: Arc<str>,
    pub(crate) cost: u64,
    pub(crate) print: u64,
}

/// The most tokens all stubs may take in a window of `limit` tokens.
pub(crate) const fn share(policy: Replacement, limit: u64) -> u64 {
    match policy {
        Replacement::Summarise { .. } => limit / SHARE * 2,
        _ => limit / SHARE,
    }
}

impl Stub {
    pub(crate) fn of(pages: &[Number]) -> Self {
        Self { ranges: pages.iter().map(|page| (*page, *page)).collect(), ..Self::default() }
    }

    /// First and last pages of what it stands for, ascending.
    pub(crate) fn ranges(&self) -> &[(Number, Number)] {
        &self.ranges
    }

    /// Takes over the pages of another stub.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.ranges.extend(&other.ranges);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether it names pages of a table of `pages`; nothing else is assumed of saved bytes.
    pub(crate) fn is_sound(&self, pages: usize) -> bool {
        let within =
            |(first, last): &(Number, Number)| 0 < *first && first <= last && *last as usize <= pages;
        !self.is_empty() && self.ranges.is_sorted() && self.ranges.iter().all(within)
    }

    /// Shows nothing and takes nothing.
    pub(crate) fn hide(&mut self) {
        (self.text, self.cost, self.print) = (Arc::from(""), 0, 0);
    }

    /// Brings the ranges and the text up to date; a summary takes about `room` tokens at most.
    pub(crate) fn write(&mut self, table: &Table, counter: TokenCounter, room: u64) {
        self.ranges.sort_unstable();
        let pages: u64 = self.ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum();
        if pages <= FEW_PAGES {
            let all = self.ranges.iter().flat_map(|(first, last)| *first..=*last);
            self.ranges = all.filter(|page| is_out(table, *page)).map(|page| (page, page)).collect();
        }
        self.ranges = joined(&self.ranges);
        if self.ranges.is_empty() {
            return self.hide();
        }
        self.count(text(table, &self.ranges, room), counter);
    }

    /// Counts the text again, for another tokenizer.
    pub(crate) fn recount(&mut self, counter: TokenCounter) {
        if !self.is_hidden() {
            self.cost = counter.count(&self.text) + OVERHEAD;
        }
    }

    fn count(&mut self, text: String, counter: TokenCounter) {
        self.cost = counter.count(&text) + OVERHEAD;
        self.print = print("stub", &[&text], &[]);
        self.text = text.into();
    }
}

fn is_out(table: &Table, page: Number) -> bool {
    table.record(page).is_some_and(|record| !record.has(Flags::FREED) && !table.is_resident(record))
}

/// Ranges that touch become one; beyond the most that are kept, those nearest to each other too.
fn joined(ranges: &[(Number, Number)]) -> Vec<(Number, Number)> {
    let mut joined: Vec<(Number, Number)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if *first <= end.saturating_add(1) => *end = (*end).max(*last),
            _ => joined.push((*first, *last)),
        }
    }
    while joined.len() > KEPT_RANGES {
        let gap = |at: &usize| joined[*at + 1].0 - joined[*at].1;
        let nearest = (0..joined.len() - 1).min_by_key(gap).unwrap_or_default();
        joined[nearest].1 = joined[nearest + 1].1;
        joined.remove(nearest + 1);
    }
    joined
}

/// `[pages 17-42, 45 swapped out: MPL-1.1, read_file; recall by number or by words]`
fn text(table: &Table, ranges: &[(Number, Number)], room: u64) -> String {
    let pages: u64 = ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum();
    let word = if pages == 1 { "page" } else { "pages" };
    format!(
        "[{word} {} swapped out: {}; recall by number or by words{}]",
        listed(ranges),
        topics(table, ranges).join(", "),
        summary(table, ranges, room)
    )
}

/// ` In short: 17: The first words; 25: ...`, of pages evenly spread; empty if the policy does not summarise.
fn summary(table: &Table, ranges: &[(Number, Number)], room: u64) -> String {
    let most = usize::try_from(room / GIST_COST).unwrap_or(MOST_GISTS).min(MOST_GISTS);
    if most < 3 {
        return String::new();
    }
    let all: u64 = ranges.iter().map(|(first, last)| u64::from(last - first) + 1).sum();
    let step = usize::try_from(all).unwrap_or(usize::MAX).div_ceil(most - 2).max(1);
    let pages = ranges.iter().flat_map(|(first, last)| *first..=*last).step_by(step);
    let gist = |page: Number| table.gists.get((page as usize).checked_sub(1)?).map(|gist| (page, gist));
    let gists: Vec<String> =
        pages.filter_map(gist).map(|(page, gist)| format!("{page}: {}", gist.0)).collect();
    if gists.is_empty() { String::new() } else { format!(". In short: {}", gists.join("; ")) }
}

/// The first words of a text, on one line.
pub(crate) fn gist(text: &str) -> Gist {
    let words: Vec<&str> = text.split_whitespace().take(GIST_WORDS).collect();
    let mut gist: String = words.join(" ").chars().take(GIST_LENGTH).collect();
    if words.len() == GIST_WORDS {
        gist.push('…');
    }
    Gist(gist)
}

/// What the first of the pages are about.
fn topics(table: &Table, ranges: &[(Number, Number)]) -> Vec<String> {
    let mut topics: Vec<String> = Vec::new();
    let pages = ranges.iter().flat_map(|(first, last)| *first..=*last);
    for page in
        pages.take(usize::try_from(FEW_PAGES).unwrap_or(usize::MAX)).filter_map(|page| table.record(page))
    {
        if topics.len() == MOST_TOPICS {
            break;
        }
        let topic = topic(table, page);
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    topics
}

fn topic(table: &Table, page: &Page) -> String {
    match (page.kind, table.path(page)) {
        (_, Some(path)) => shown(path),
        (Kind::ToolCall, None) => table.label(page).map(|label| shown(&label.name)).unwrap_or_default(),
        (Kind::ToolResult, None) => "tool results".to_owned(),
        (Kind::Document, None) => "documents".to_owned(),
        _ => "conversation".to_owned(),
    }
}

fn listed(ranges: &[(Number, Number)]) -> String {
    let one = |(first, last): &(Number, Number)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let mut text: Vec<String> = ranges.iter().take(MOST_RANGES).map(one).collect();
    let more: u64 = ranges.iter().skip(MOST_RANGES).map(|(first, last)| u64::from(last - first) + 1).sum();
    if more > 0 {
        text.push(format!("and {more} more"));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pages: &[Number], expected: &str) {
        let pages: Vec<(Number, Number)> = pages.iter().map(|page| (*page, *page)).collect();
        assert_eq!(listed(&joined(&pages)), expected);
    }

    #[test]
    fn page_numbers_are_listed_as_ranges() {
        check(&[3], "3");
        check(&[1, 2, 3, 7, 9, 10], "1-3, 7, 9-10");
        check(&[1, 3, 5, 7, 9, 11, 13, 14, 15], "1, 3, 5, 7, 9, 11, and 3 more");
    }

    #[test]
    fn many_ranges_become_few() {
        let pages: Vec<(Number, Number)> = (1..500).map(|page| (page * page, page * page)).collect();
        let joined = joined(&pages);
        assert_eq!(joined.len(), KEPT_RANGES);
        assert_eq!((joined[0].0, joined[KEPT_RANGES - 1].1), (1, 499 * 499));
    }
}
