//! The promise that a prefix cache lives by: what was shown stays as it was, up to the first thing that was declared to change.

use std::collections::BTreeSet;

use kernel_types::{PageNo, Part, Role, Tokens};

use super::space::parts;
use crate::{Rendered, Segment};

/// A window that was shown, notes left out, and what was declared since.
#[derive(Clone, Debug)]
pub(super) struct Before {
    parts: Vec<(Role, Part)>,
    segments: Vec<Segment>,
    /// Pages that left.
    left: BTreeSet<PageNo>,
    /// How often pages were evicted: stubs may have been folded.
    evictions: usize,
    /// Counts are calibrated anew.
    recounted: bool,
    /// The group at its end may have grown.
    extended: bool,
}

/// How many parts are not the notes, which may change at any time.
fn firm(parts: &[(Role, &Part)], segments: &[Segment]) -> usize {
    assert_eq!(parts.len(), segments.len(), "a segment for each part");
    let notes = match (parts.last(), segments.last()) {
        (Some((_, Part::Text(text))), Some(last)) => last.page.is_none() && text.starts_with("[notes]"),
        _ => false,
    };
    parts.len() - usize::from(notes)
}

impl Before {
    pub(super) fn of(rendered: &Rendered) -> Self {
        let parts = parts(&rendered.messages);
        let firm = firm(&parts, &rendered.segments);
        Self {
            parts: parts[..firm].iter().map(|(role, part)| (*role, (*part).clone())).collect(),
            segments: rendered.segments[..firm].to_vec(),
            left: BTreeSet::new(),
            evictions: 0,
            recounted: false,
            extended: false,
        }
    }

    pub(super) fn evicted(&mut self, pages: &[PageNo]) {
        self.evictions += 1;
        self.left.extend(pages);
    }

    pub(super) fn freed(&mut self, pages: &[PageNo]) {
        self.left.extend(pages);
    }

    pub(super) fn extended(&mut self) {
        self.extended = true;
    }

    pub(super) fn recounted(&mut self) {
        self.recounted = true;
    }

    /// Panics unless `now` begins as this did, as far as it must.
    pub(super) fn check(&self, now: &Rendered, at: &str) {
        let common = self.common(now);
        let cut = self.cut();
        let stubs = |segments: &[Segment]| segments.iter().filter(|segment| segment.page.is_none()).count();
        let first_stub = self.segments.iter().position(|segment| segment.page.is_none());
        // When stubs take too much, all of them become one, where the first was; each eviction after that leaves one more.
        let firm = firm(&parts(&now.messages), &now.segments);
        let folded =
            stubs(&now.segments[..firm]) <= self.evictions && first_stub.is_some_and(|stub| common >= stub);
        assert!(
            common >= cut || folded,
            "{at}: the prefix changed at segment {common} of {}, and nothing was declared before {cut}",
            self.segments.len()
        );
    }

    /// Panics unless what is said to be unchanged since this is, and all of it if nothing was declared.
    pub(super) fn check_stable(&self, now: &Rendered, at: &str) {
        let same: Tokens = now.segments[..self.common(now)].iter().map(|segment| segment.tokens).sum();
        assert!(now.stable <= same, "{at}: {} tokens said to be stable, {same} are", now.stable);
        if self.evictions == 0 && self.left.is_empty() && !self.extended {
            let rounded = now.stable.0 + self.segments.len() as u64;
            assert!(rounded >= same.0, "{at}: {} tokens said to be stable, {same} are", now.stable);
        }
    }

    /// How many segments `now` begins with that are as they were.
    fn common(&self, now: &Rendered) -> usize {
        let parts = parts(&now.messages);
        let ours = self.parts.iter().zip(&self.segments);
        let same = ours.zip(parts.iter().zip(&now.segments)).take_while(
            |(((role, part), segment), (now, other))| {
                let counts = self.recounted || segment.tokens == other.tokens;
                *role == now.0
                    && part == now.1
                    && (segment.id, segment.page) == (other.id, other.page)
                    && counts
            },
        );
        same.count()
    }

    /// The first segment that may have changed: what left first, and the stubs before it that it was added to.
    fn cut(&self) -> usize {
        let gone = |segment: &Segment| segment.page.is_some_and(|page| self.left.contains(&page));
        let first = self.segments.iter().position(gone).unwrap_or(self.segments.len());
        let stubs = self.segments[..first].iter().rev().take_while(|segment| segment.page.is_none()).count();
        if first < self.segments.len() || self.evictions > 0 { first - stubs } else { first }
    }
}
