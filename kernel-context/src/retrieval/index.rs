//! The retrieval index of one agent's pages: immutable segments in the order of the pages, merged geometrically.
//!
//! A log-structured merge tree (O'Neil et al., *The Log-Structured Merge-Tree*, 1996): a page is a segment by itself, and
//! sixteen segments of one size become one of the next. So a page is copied four times in its life, there are few segments
//! to ask, and a clone shares all of them.

use std::collections::HashSet;
use std::sync::Arc;

use kernel_types::PageNo;

use super::dates::Date;
use super::embedding::Embedding;
use super::merge::{MOST_SEGMENTS, merge};
use super::part::Part;
use super::segment::{Leaf, MOST_PAGES, Origin, Segment};
use super::term::{Field, Term, with_labels};
use super::terms::Analyzer;
use super::vectors::{Late, Vectors};

/// So many segments of one level become one of the next.
const FANOUT: usize = 16;
/// Segments of this level are not merged: they hold as many pages as a segment can.
const TOP_LEVEL: u8 = 4;
/// A merge that a clone has not earned waits until so many segments are there.
const OVERDUE: usize = MOST_SEGMENTS;
/// The lines at a file's top that count as its title.
const TITLE_LINES: usize = 3;

/// A page to add to an [`Index`].
#[derive(Clone, Copy, Debug)]
pub struct IndexedPage<'a> {
    /// Its number: above those of all pages added before.
    pub page: PageNo,
    /// Its text.
    pub text: &'a str,
    /// The file or the session it is a part of.
    pub source: Option<Source<'a>>,
    /// What is known about it and may not be in its text: the speaker, the date, the name of the session. A string that
    /// holds a date (`2023-05-07`, `1:56 pm on 8 May, 2023`) counts as that date, any other by its words.
    pub about: &'a [&'a str],
    /// What an embedding model makes of it.
    pub embedding: Option<&'a Embedding>,
}

/// What a page is a part of. Pages of one source, in the order they are added, are neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source<'a> {
    /// Tells sources apart; chosen by the caller.
    pub id: u64,
    /// The path of a file, whose words count for each of its pages; empty for a session. The same for all pages.
    pub path: &'a str,
    /// The page begins with the file's first line: its first lines hold the title. Says nothing of a session.
    pub top: bool,
}

/// A page was added after one of a higher number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("page {page} cannot be added after page {last}")]
pub struct OutOfOrder {
    /// The page that was to be added.
    pub page: PageNo,
    /// The highest number that was added.
    pub last: PageNo,
}

/// Finds pages by words, dates and vectors.
///
/// - Adding costs the same whatever the index holds, amortised. Removing leaves a mark that the next merge clears away.
/// - An index and one built anew from its pages answer the same.
/// - A clone takes some hundred bytes and shares all pages; what is added to either is not in the other.
///
/// ```
/// use kernel_context::retrieval::{Index, IndexedPage, Query, Source};
/// use kernel_types::PageNo;
///
/// # fn main() -> Result<(), kernel_context::retrieval::OutOfOrder> {
/// let session = Some(Source { id: 1, path: "", top: false });
/// let mut index = Index::default();
/// for (page, speaker, text) in [(1, "Ann", "My otter is called Ed."), (2, "Bob", "Mine is a badger.")] {
///     let about = &[speaker, "7 May 2023"];
///     index.add(&IndexedPage { page: PageNo(page), text, source: session, about, embedding: None })?;
/// }
/// let hits = index.search(&Query { text: "What did Bob say in May about badgers?", embedding: None, limit: 1 });
/// assert_eq!(hits[0].page, PageNo(2));
///
/// let mut fork = index.clone();
/// fork.remove(PageNo(2));
/// assert_eq!((fork.len(), index.len()), (1, 2));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Index {
    /// In the order of their pages.
    pub(super) parts: Vec<Part>,
    /// The highest number that was added.
    last: Option<PageNo>,
    /// How many pages there are.
    live: usize,
    /// Of all pages together, in terms.
    pub(super) length: u64,
    /// How many origins were given a number.
    pub(super) origins: u32,
    /// Pages added or removed since this index was cloned from another. It pays for merges: a clone that adds a page
    /// does not copy what it shares.
    own: usize,
}

impl Clone for Index {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone(), own: 0, ..*self }
    }
}

impl Index {
    /// How many pages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is no page.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Whether the page is there.
    #[must_use]
    pub fn contains(&self, page: PageNo) -> bool {
        self.locate(page).is_some()
    }

    /// Adds a page.
    ///
    /// # Errors
    /// [`OutOfOrder`]: pages are added in the order of their numbers, each once, also those that were removed.
    pub fn add(&mut self, page: &IndexedPage<'_>) -> Result<(), OutOfOrder> {
        if let Some(last) = self.last.filter(|last| page.page <= *last) {
            return Err(OutOfOrder { page: page.page, last });
        }
        let analyzer = Analyzer::new();
        let mut terms = Vec::with_capacity(page.text.len() / 4);
        analyzer.terms(page.text, &mut terms);
        let length = u16::try_from(terms.len()).unwrap_or(u16::MAX);
        if terms.iter().any(|t| t.is_number()) {
            terms.push(Term::NUMBER);
        }
        if asks(page.text) {
            terms.push(Term::QUESTION);
        }
        if page.source.is_some_and(|source| source.top && !source.path.is_empty()) {
            title(&analyzer, page.text, &mut terms);
        }
        for about in page.about {
            describe(&analyzer, about, &mut terms);
        }
        let origin = page.source.map(|source| self.origin(&analyzer, &source));
        let number = origin.as_ref().map_or(Leaf::ALONE, |origin| origin.number);
        let leaf = Leaf { page: page.page, origin: number };
        let segment =
            Segment::of_page(leaf, length, &mut terms, origin, page.embedding.map(Vectors::of_page));
        self.parts.push(Part::new(segment));
        self.last = Some(page.page);
        self.live += 1;
        self.length += u64::from(length);
        self.own += 1;
        while self.merge() {}
        Ok(())
    }

    /// Gives a page a vector, in place of the one it has; whether the page is there.
    pub fn embed(&mut self, page: PageNo, embedding: &Embedding) -> bool {
        let Some((at, place)) = self.locate(page) else { return false };
        self.parts[at].embed(place, embedding.clone());
        true
    }

    /// Removes a page; whether it was there.
    pub fn remove(&mut self, page: PageNo) -> bool {
        let Some((at, place)) = self.locate(page) else { return false };
        let part = &mut self.parts[at];
        self.length -= u64::from(part.segment.lengths[place]);
        self.live -= 1;
        self.own += 1;
        part.bury(place);
        let (all, live) = (part.segment.leaves.len(), part.live());
        if live == 0 {
            self.parts.remove(at);
        } else if live * 2 < all && all <= 2 * self.own {
            let level = part.segment.level;
            self.parts[at] = Part::new(merged(&self.parts[at..=at], level));
        }
        true
    }

    /// How many bytes of memory this index takes that `other` does not take too: what a clone costs.
    #[must_use]
    pub fn bytes_beside(&self, other: &Self) -> usize {
        let shared: HashSet<*const Segment> =
            other.parts.iter().map(|part| Arc::as_ptr(&part.segment)).collect();
        let own = self.parts.iter().filter(|part| !shared.contains(&Arc::as_ptr(&part.segment)));
        let marks: usize = self.parts.iter().map(Part::bytes).sum();
        size_of::<Self>() + marks + own.map(|part| part.segment.bytes()).sum::<usize>()
    }

    /// The part that holds a page, and the place in it.
    fn locate(&self, page: PageNo) -> Option<(usize, usize)> {
        let at = self.parts.partition_point(|part| part.last() < page);
        let place = self.parts.get(at)?.place(page)?;
        Some((at, place))
    }

    /// The origin a source stands for: the same as that of its other pages, if there are any.
    fn origin(&mut self, analyzer: &Analyzer, source: &Source<'_>) -> Arc<Origin> {
        let known = self.parts.iter().rev().find_map(|part| part.segment.origin(source.id));
        known.cloned().unwrap_or_else(|| {
            let mut path = Vec::new();
            analyzer.terms(source.path, &mut path);
            path.sort_unstable();
            path.dedup();
            let number = self.origins;
            self.origins += 1;
            let is_file = !source.path.is_empty();
            Arc::new(Origin { id: source.id, number, is_file, path: path.into_boxed_slice() })
        })
    }

    /// Merges the newest segments, if there are enough of one level and the work is paid for; whether it did.
    fn merge(&mut self) -> bool {
        let level = |part: &Part| part.segment.level;
        let Some(newest) = self.parts.last().map(level).filter(|level| *level < TOP_LEVEL) else {
            return false;
        };
        let run = self.parts.iter().rev().take_while(|part| level(part) == newest).count();
        let start = self.parts.len() - run;
        let mut pages = 0;
        let fits = self.parts[start..].iter().take(MOST_SEGMENTS).take_while(|part| {
            pages += part.segment.leaves.len();
            pages <= MOST_PAGES
        });
        let end = start + fits.count();
        let paid = pages <= 2 * self.own || run >= OVERDUE;
        if run < FANOUT || end - start < 2 || !paid {
            return false;
        }
        let segment = merged(&self.parts[start..end], newest + 1);
        self.parts.splice(start..end, [Part::new(segment)]);
        true
    }
}

/// The pages of `parts` that are not removed, in one segment.
fn merged(parts: &[Part], level: u8) -> Segment {
    let segments: Vec<&Segment> = parts.iter().map(|part| &*part.segment).collect();
    let late: Vec<Option<&Late>> = parts.iter().map(Part::late).collect();
    merge(&segments, &late, level, |part, place| parts[part].is_live(place))
}

fn title(analyzer: &Analyzer, text: &str, terms: &mut Vec<Term>) {
    let lines = text.lines().filter(|line| !line.trim().is_empty()).take(TITLE_LINES);
    for line in lines {
        within(analyzer, Field::Title, line, terms);
    }
}

/// Appends the terms of what is known about a page.
fn describe(analyzer: &Analyzer, about: &str, terms: &mut Vec<Term>) {
    let found = |out: &mut Vec<Term>| match Date::of(about) {
        Some(date) => out.extend(date.terms()),
        None => within(analyzer, Field::About, about, out),
    };
    with_labels(|labels| labels.terms(about, terms, found));
}

/// Appends the terms of `text` in a field.
fn within(analyzer: &Analyzer, field: Field, text: &str, terms: &mut Vec<Term>) {
    let before = terms.len();
    analyzer.terms(text, terms);
    terms[before..].iter_mut().for_each(|term| *term = term.within(field));
}

/// Whether a text ends with a question.
fn asks(text: &str) -> bool {
    text.trim_end_matches(|c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | ')' | '\u{201D}' | '\u{2019}')
    })
    .ends_with(['?', '\u{FF1F}'])
}
