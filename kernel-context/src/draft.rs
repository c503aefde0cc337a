//! From drafts to groups: what an allocation would add to a table, measured, before anything changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel_types::{Origin, PageKind};

use crate::admit::is_grouped;
use crate::header::Face;
use crate::page::{Flags, Kind, Label, Number, Page, Place};
use crate::table::{File, Table, number_of};
use crate::window::clamp;
use crate::{PageDraft, TokenCounter};

/// Pages that are not in the table yet, in order of their numbers.
#[derive(Default)]
pub(crate) struct Drawn {
    pub(crate) pages: Vec<Page>,
    /// Aligned with `pages`.
    pub(crate) labels: Vec<Option<Label>>,
    pub(crate) groups: Vec<DrawnGroup>,
    pub(crate) files: Vec<File>,
}

/// A group of them.
pub(crate) struct DrawnGroup {
    pub(crate) first: Number,
    pub(crate) cost: u64,
    pub(crate) place: Place,
    pub(crate) fixed: bool,
    /// The name, if it is a note.
    pub(crate) note: Option<String>,
}

/// Draws groups up. New files get the numbers that follow those of the table.
pub(crate) struct Draftsman<'a> {
    table: &'a Table,
    counter: TokenCounter,
    /// The model was shown something before: instructions that come now are no longer the head.
    shown: bool,
    base: Number,
    drawn: Drawn,
    new_files: BTreeMap<File, u32>,
}

impl<'a> Draftsman<'a> {
    pub(crate) fn new(table: &'a Table, counter: TokenCounter, shown: bool) -> Self {
        let base = table.next();
        Self { table, counter, shown, base, drawn: Drawn::default(), new_files: BTreeMap::new() }
    }

    /// The groups of `drafts`, in order: runs of grouped pages together, every other page by itself. Notes do not end a
    /// run, because they are not rendered in it.
    pub(crate) fn draw(mut self, drafts: &[PageDraft], texts: &[Arc<str>]) -> Drawn {
        let mut last_of_run: Option<usize> = None;
        for (at, (draft, text)) in drafts.iter().zip(texts).enumerate() {
            let grouped = is_grouped(&draft.kind);
            let before = last_of_run.filter(|_| grouped);
            let group = before.map_or(self.number(at), |before| self.drawn.pages[before].group);
            let page = self.page(draft, text, group);
            self.drawn.pages.push(page);
            self.drawn.labels.push(Label::of(&draft.kind));
            if let Some(before) = before {
                self.drawn.pages[before].next = self.number(at);
            } else {
                self.start_group(draft, at);
            }
            if grouped {
                last_of_run = Some(at);
            } else if !matches!(draft.kind, PageKind::Note { .. }) {
                last_of_run = None;
            }
        }
        self.mark_tools();
        self.measure();
        self.drawn
    }

    fn number(&self, at: usize) -> Number {
        self.base + number_of(at)
    }

    fn page(&mut self, draft: &PageDraft, text: &str, group: Number) -> Page {
        let (file, first_line, last_line) = match &draft.origin {
            Some(origin) => (self.file(origin) + 1, origin.first_line, origin.last_line),
            None => (0, 0, 0),
        };
        let pinned = draft.pinned || draft.kind == PageKind::System;
        let error = matches!(draft.kind, PageKind::ToolResult { is_error: true, .. });
        Page {
            body: draft.body,
            print: 0,
            tokens: clamp(draft.size.map_or_else(|| self.counter.count(text), |size| size.0)),
            cost: 0,
            group,
            next: 0,
            label: 0,
            file,
            extra: 0,
            first_line,
            last_line,
            slot: 0,
            used: 0,
            left: 0,
            uses: 0,
            importance: draft.importance.thousandths(),
            faults: 0,
            kind: Kind::of(&draft.kind),
            flags: Flags::default()
                .with(Flags::PINNED, pinned)
                .with(Flags::ERROR, error)
                .with(Flags::SIZED, draft.size.is_some()),
        }
    }

    fn start_group(&mut self, draft: &PageDraft, at: usize) {
        let (place, note) = match &draft.kind {
            _ if draft.swapped => (Place::Out, None),
            PageKind::System if !self.shown => (Place::Head, None),
            PageKind::Note { name } => (Place::Notes, Some(name.clone())),
            _ => (Place::Window, None),
        };
        // A document is like a mapped file: read again when needed, so nothing keeps it in the window.
        let fresh = !draft.swapped && (draft.pinned || draft.kind != PageKind::Document);
        let page = &mut self.drawn.pages[at];
        page.put(place);
        page.flags.set(Flags::FRESH, fresh);
        let fixed = fresh || page.has(Flags::PINNED);
        self.drawn.groups.push(DrawnGroup { first: page.group, cost: 0, place, fixed, note });
    }

    fn mark_tools(&mut self) {
        for at in 0..self.drawn.pages.len() {
            let page = self.drawn.pages[at];
            let first = (page.group - self.base) as usize;
            let tool = matches!(page.kind, Kind::ToolCall | Kind::ToolResult);
            let group = &mut self.drawn.pages[first];
            group.flags = group.flags.with(Flags::TOOL, tool);
        }
    }

    /// Measures the pages and the groups, now that all of them are there.
    fn measure(&mut self) {
        let mut costs: BTreeMap<Number, u64> = BTreeMap::new();
        let mut fixed: BTreeMap<Number, bool> = BTreeMap::new();
        for at in 0..self.drawn.pages.len() {
            let page = self.drawn.pages[at];
            let group = self.drawn.pages[(page.group - self.base) as usize];
            let face = Face {
                number: self.number(at),
                page: &page,
                group: &group,
                label: self.drawn.labels[at].as_ref(),
                path: page.file.checked_sub(1).and_then(|file| self.path(file)),
            };
            let (cost, print) = face.measure(self.counter);
            (self.drawn.pages[at].cost, self.drawn.pages[at].print) = (cost, print);
            *costs.entry(page.group).or_default() += u64::from(cost);
            *fixed.entry(page.group).or_default() |= page.has(Flags::PINNED);
        }
        for group in &mut self.drawn.groups {
            group.cost = costs.get(&group.first).copied().unwrap_or_default();
            group.fixed |= fixed.get(&group.first).copied().unwrap_or_default();
        }
    }

    fn file(&mut self, origin: &Origin) -> u32 {
        let file = File { path: origin.path.clone(), hash: origin.file };
        if let Some(number) = self.table.file_number(&file).or_else(|| self.new_files.get(&file).copied()) {
            return number;
        }
        let number = number_of(self.table.files.len() + self.drawn.files.len());
        self.new_files.insert(file.clone(), number);
        self.drawn.files.push(file);
        number
    }

    fn path(&self, file: u32) -> Option<&str> {
        let at = file as usize;
        let new = || self.drawn.files.get(at.checked_sub(self.table.files.len())?);
        self.table.files.get(at).or_else(new).map(|file| file.path.as_str())
    }
}
