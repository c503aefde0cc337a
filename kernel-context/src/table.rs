//! The page table: every page of one address space and the texts beside it. Copies share everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel_types::{BlobHash, Origin, PageKind, PageNo};
use serde::{Deserialize, Serialize};

use crate::PagerError;
use crate::extras::Extras;
use crate::page::{Flags, Kind, Label, Number, Page, Place};
use crate::sequence::{Sequence, Weigh};

/// A file that pages come from: paths are long and pages many.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) hash: BlobHash,
}

impl Weigh for File {
    fn weight(&self) -> u64 {
        0
    }
}

/// The first words of a page, for summaries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Gist(pub(crate) String);

impl Weigh for Gist {
    fn weight(&self) -> u64 {
        0
    }
}

/// All pages, in order of their numbers.
#[derive(Clone, Default)]
pub(crate) struct Table {
    pub(crate) pages: Sequence<Page>,
    /// How many of them are freed.
    pub(crate) freed: usize,
    pub(crate) labels: Sequence<Label>,
    pub(crate) files: Sequence<File>,
    /// Of each page, if the policy summarises; else none.
    pub(crate) gists: Sequence<Gist>,
    pub(crate) extras: Extras,
    /// The number of each file.
    numbers: Arc<BTreeMap<File, u32>>,
    /// The newest note of each name, in the window or not.
    pub(crate) notes: Arc<BTreeMap<String, Number>>,
}

impl Table {
    /// A table of saved parts; `None` if a number leads nowhere.
    pub(crate) fn of(
        pages: Vec<Page>,
        labels: Vec<Label>,
        files: Vec<File>,
        gists: Vec<Gist>,
        extras: Extras,
        notes: BTreeMap<String, Number>,
    ) -> Option<Self> {
        let freed = pages.iter().filter(|page| page.has(Flags::FREED)).count();
        let numbers = Arc::new(files.iter().cloned().zip(0..).collect());
        let table = Self {
            pages: pages.into_iter().collect(),
            freed,
            labels: labels.into_iter().collect(),
            files: files.into_iter().collect(),
            gists: gists.into_iter().collect(),
            extras,
            numbers,
            notes: Arc::new(notes),
        };
        table.is_sound().then_some(table)
    }

    /// The number of the next page.
    pub(crate) fn next(&self) -> Number {
        number_of(self.pages.len()) + 1
    }

    /// The record of a number, freed or not.
    pub(crate) fn record(&self, number: Number) -> Option<&Page> {
        self.pages.get((number as usize).checked_sub(1)?)
    }

    pub(crate) fn page(&self, page: PageNo) -> Result<(Number, &Page), PagerError> {
        let number = Number::try_from(page.0).ok();
        number
            .and_then(|number| self.record(number).map(|record| (number, record)))
            .filter(|(_, record)| !record.has(Flags::FREED))
            .ok_or(PagerError::NotFound(page))
    }

    /// The record of the page's group.
    pub(crate) fn group<'a>(&'a self, page: &'a Page) -> &'a Page {
        self.record(page.group).unwrap_or(page)
    }

    pub(crate) fn update<R>(&mut self, number: Number, change: impl FnOnce(&mut Page) -> R) -> Option<R> {
        self.pages.update((number as usize).checked_sub(1)?, change)
    }

    /// The pages of a group that are not freed, in order.
    pub(crate) fn members(&self, group: Number) -> impl Iterator<Item = (Number, &Page)> {
        let mut next = group;
        let links = std::iter::from_fn(move || {
            let number = next;
            let record = self.record(number)?;
            next = record.next;
            Some((number, record))
        });
        links.filter(|(_, record)| !record.has(Flags::FREED))
    }

    /// The last page of a group, freed or not: what joins the group comes after it.
    pub(crate) fn last_link(&self, group: Number) -> Number {
        let next = |number: &Number| self.record(*number).map(|record| record.next).filter(|next| *next != 0);
        std::iter::successors(Some(group), next).last().unwrap_or(group)
    }

    pub(crate) fn cost(&self, group: Number) -> u64 {
        self.members(group).map(|(_, page)| u64::from(page.cost)).sum()
    }

    pub(crate) fn is_pinned(&self, group: Number) -> bool {
        self.members(group).any(|(_, page)| page.has(Flags::PINNED))
    }

    pub(crate) fn is_resident(&self, page: &Page) -> bool {
        self.group(page).place() != Place::Out
    }

    /// Whether a plan must leave the group where it is.
    pub(crate) fn is_fixed(&self, group: Number) -> bool {
        let record = self.record(group);
        record.is_some_and(|record| record.has(Flags::FRESH) || record.place() == Place::Head)
            || self.is_pinned(group)
    }

    pub(crate) fn label(&self, page: &Page) -> Option<&Label> {
        self.labels.get((page.label as usize).checked_sub(1)?)
    }

    pub(crate) fn file(&self, page: &Page) -> Option<&File> {
        self.files.get((page.file as usize).checked_sub(1)?)
    }

    pub(crate) fn path(&self, page: &Page) -> Option<&str> {
        self.file(page).map(|file| file.path.as_str())
    }

    pub(crate) fn origin(&self, page: &Page) -> Option<Origin> {
        let file = self.file(page)?;
        Some(Origin {
            path: file.path.clone(),
            first_line: page.first_line,
            last_line: page.last_line,
            file: file.hash,
        })
    }

    pub(crate) fn kind(&self, page: &Page) -> PageKind {
        let label = self.label(page);
        let id = || label.map(|label| label.id.clone()).unwrap_or_default();
        let name = || label.map(|label| label.name.clone()).unwrap_or_default();
        match page.kind {
            Kind::System => PageKind::System,
            Kind::User => PageKind::User,
            Kind::Assistant => PageKind::Assistant,
            Kind::Document => PageKind::Document,
            Kind::ToolCall => PageKind::ToolCall { id: id(), name: name() },
            Kind::ToolResult => PageKind::ToolResult { id: id(), is_error: page.has(Flags::ERROR) },
            Kind::Note => PageKind::Note { name: name() },
        }
    }

    /// The notes that are in the window, by name.
    pub(crate) fn shown_notes(&self) -> impl Iterator<Item = Number> {
        let shown = |note: &Number| self.record(*note).is_some_and(|note| note.place() == Place::Notes);
        self.notes.values().copied().filter(shown)
    }

    /// The place of a file in the table, from 0, now or once it is added.
    pub(crate) fn file_number(&self, file: &File) -> Option<u32> {
        self.numbers.get(file).copied()
    }

    pub(crate) fn add_file(&mut self, file: File) {
        let number = number_of(self.files.len());
        Arc::make_mut(&mut self.numbers).insert(file.clone(), number);
        self.files.push(file);
    }

    /// All pages that are not freed.
    pub(crate) fn live(&self) -> impl Iterator<Item = (Number, &Page)> {
        (1..).zip(self.pages.iter()).filter(|(_, page)| !page.has(Flags::FREED))
    }

    /// Whether every number leads where it says; nothing else is assumed of saved bytes.
    fn is_sound(&self) -> bool {
        let pages = (1..).zip(self.pages.iter()).all(|(number, page): (Number, &Page)| {
            let linked = page.next == 0
                || (page.next > number
                    && self.record(page.next).is_some_and(|next| next.group == page.group));
            let group = page.group <= number
                && self.record(page.group).is_some_and(|first| first.group == page.group);
            let label = page.label as usize <= self.labels.len();
            let labelled =
                !matches!(page.kind, Kind::ToolCall | Kind::ToolResult | Kind::Note) || page.label > 0;
            linked && group && label && labelled && page.file as usize <= self.files.len()
        });
        let notes = self.notes.values().all(|number| {
            let in_place = |place| matches!(place, Place::Notes | Place::Out);
            self.record(*number).is_some_and(|note| note.kind == Kind::Note && in_place(note.place()))
        });
        // Only once links are known to rise: else this would not end.
        let reached = || -> usize {
            (1..)
                .zip(self.pages.iter())
                .filter(|(number, page): &(Number, &Page)| page.group == *number)
                .map(|(number, _)| self.links(number))
                .sum()
        };
        let gists = [0, self.pages.len()].contains(&self.gists.len());
        pages && notes && gists && reached() == self.pages.len() && self.extras_are_sound()
    }

    /// How many records hang on a group; links rise, so this ends.
    fn links(&self, group: Number) -> usize {
        std::iter::successors(self.record(group), |page| self.record(page.next)).count()
    }
}

/// A count as a number.
pub(crate) fn number_of(count: usize) -> u32 {
    u32::try_from(count).expect("2^32 records of 96 bytes do not fit in memory")
}
