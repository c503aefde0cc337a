//! The page table: every page of one address space, its groups, and the order of the window. Plain data, saved as it is.

use std::collections::{BTreeMap, BTreeSet};

use kernel_types::{BlobHash, GroupId, Importance, Origin, PageKind, PageNo};
use serde::{Deserialize, Serialize};

use crate::stub::Stub;
use crate::{PagerError, Ratio};

/// References beyond this no longer make a group dearer.
const MOST_REFERENCES: u64 = 64;

/// No count of tokens or pages comes near this; saved bytes that say so are not ours.
const HUGE: u64 = 1 << 40;

/// Everything a pager knows, but the configuration. Maps are ordered: the same changes give the same bytes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    /// The model whose tokenizer counted.
    pub(crate) model: String,
    pub(crate) ratio: Ratio,
    pub(crate) next_page: PageNo,
    pub(crate) files: Vec<File>,
    pub(crate) pages: BTreeMap<PageNo, Page>,
    pub(crate) groups: BTreeMap<GroupId, Group>,
    /// System pages from before the first render, in order.
    pub(crate) head: Vec<GroupId>,
    pub(crate) window: Vec<Entry>,
    /// The note that counts, by name.
    pub(crate) notes: BTreeMap<String, GroupId>,
    /// What the model was last shown.
    pub(crate) trace: Vec<u64>,
    pub(crate) rendered: bool,
    /// The worth of what was evicted last (GreedyDual's clock): worth counts from here, so that old worth fades.
    pub(crate) clock: u64,
}

/// A file that pages come from: paths are long and pages many.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) hash: BlobHash,
}

/// Lines of a file.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Lines {
    pub(crate) file: u32,
    pub(crate) first: u32,
    pub(crate) last: u32,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) kind: PageKind,
    pub(crate) body: BlobHash,
    pub(crate) group: GroupId,
    pub(crate) importance: Importance,
    pub(crate) pinned: bool,
    pub(crate) lines: Option<Lines>,
    /// Tokens of the text, not calibrated; counted once.
    pub(crate) text_tokens: u64,
    /// Tokens it takes in a window as it is rendered now: text, header, what a template adds.
    pub(crate) cost: u64,
    /// Identifies the bytes it is rendered as.
    pub(crate) print: u64,
}

/// Where a group is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Place {
    /// Among the first system pages.
    Head,
    /// In the window proper.
    Window,
    /// Behind the window: a note that counts.
    Notes,
    /// Not in the window.
    Out,
}

/// Pages that come and go together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) pages: Vec<PageNo>,
    pub(crate) place: Place,
    /// It holds a tool call with its results.
    pub(crate) tool: bool,
    /// Allocated since the last render, and to be in the next.
    pub(crate) fresh: bool,
    /// Recalled since the last render: its rank in the recall.
    pub(crate) recalled: Option<u32>,
    /// It came back, and is rendered as something quoted.
    pub(crate) returned: bool,
    pub(crate) references: u64,
    pub(crate) worth: u64,
}

/// One place in the window.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Entry {
    Group(GroupId),
    Stub(Stub),
}

/// Tokens in the window, not calibrated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Load {
    /// All of it.
    pub(crate) all: u64,
    /// Stubs alone.
    pub(crate) stubs: u64,
    /// What no plan may evict: system pages, pinned and fresh groups.
    pub(crate) fixed: u64,
}

impl Table {
    pub(crate) fn new(model: &str, ratio: Ratio) -> Self {
        Self {
            model: model.to_owned(),
            ratio,
            next_page: PageNo(1),
            files: Vec::new(),
            pages: BTreeMap::new(),
            groups: BTreeMap::new(),
            head: Vec::new(),
            window: Vec::new(),
            notes: BTreeMap::new(),
            trace: Vec::new(),
            rendered: false,
            clock: 0,
        }
    }

    pub(crate) fn page(&self, page: PageNo) -> Result<&Page, PagerError> {
        self.pages.get(&page).ok_or(PagerError::NotFound(page))
    }

    /// The group of a page, which exists as long as the page does.
    pub(crate) fn group_of(&self, page: PageNo) -> Result<(GroupId, &Group), PagerError> {
        let id = self.page(page)?.group;
        self.groups.get(&id).map(|group| (id, group)).ok_or(PagerError::NotFound(page))
    }

    pub(crate) fn members<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = (PageNo, &'a Page)> {
        group.pages.iter().filter_map(|number| self.pages.get(number).map(|page| (*number, page)))
    }

    pub(crate) fn cost(&self, group: &Group) -> u64 {
        self.members(group).map(|(_, page)| page.cost).sum()
    }

    pub(crate) fn is_pinned(&self, group: &Group) -> bool {
        self.members(group).any(|(_, page)| page.pinned)
    }

    pub(crate) fn is_resident(&self, page: &Page) -> bool {
        self.groups.get(&page.group).is_some_and(|group| group.place != Place::Out)
    }

    pub(crate) fn origin(&self, page: &Page) -> Option<Origin> {
        let lines = page.lines?;
        let file = self.files.get(lines.file as usize)?;
        Some(Origin {
            path: file.path.clone(),
            first_line: lines.first,
            last_line: lines.last,
            file: file.hash,
        })
    }

    pub(crate) fn path(&self, page: &Page) -> Option<&str> {
        self.files.get(page.lines?.file as usize).map(|file| file.path.as_str())
    }

    /// The groups in the window in the order they are rendered, stubs left out.
    pub(crate) fn resident(&self) -> impl Iterator<Item = &Group> {
        self.resident_ids().filter_map(|id| self.groups.get(&id))
    }

    pub(crate) fn resident_ids(&self) -> impl Iterator<Item = GroupId> {
        let window = self.window.iter().filter_map(Entry::group);
        self.head.iter().copied().chain(window).chain(self.notes.values().copied())
    }

    pub(crate) fn load(&self) -> Load {
        let stubs = self.window.iter().map(|entry| match entry {
            Entry::Stub(stub) => stub.cost,
            Entry::Group(_) => 0,
        });
        let mut load = Load { stubs: stubs.sum(), ..Load::default() };
        load.all = load.stubs;
        for group in self.resident() {
            let cost = self.cost(group);
            load.all += cost;
            load.fixed += if self.is_fixed(group) { cost } else { 0 };
        }
        load
    }

    /// Whether a plan must leave the group where it is.
    pub(crate) fn is_fixed(&self, group: &Group) -> bool {
        group.fresh || group.place == Place::Head || self.is_pinned(group)
    }

    /// What losing the group would cost for each token it frees: importance times references, on top of the clock.
    /// GreedyDual-Size with frequency (Cherkasova, 1998).
    pub(crate) fn worth(&self, group: &Group) -> u64 {
        let importance = self.members(group).map(|(_, page)| u64::from(page.importance.thousandths())).max();
        let references = (group.references + 1).min(MOST_REFERENCES);
        let gain = (importance.unwrap_or_default() + 1) * references * 1000;
        self.clock.saturating_add(gain / self.cost(group).max(1))
    }

    /// Counts a use of the group.
    pub(crate) fn touch(&mut self, id: GroupId) {
        let Some(mut group) = self.groups.remove(&id) else { return };
        group.references = group.references.saturating_add(1);
        group.worth = self.worth(&group);
        self.groups.insert(id, group);
    }

    /// Whether every number leads where it says; nothing else is assumed of saved bytes.
    pub(crate) fn is_sound(&self) -> bool {
        let pages = self.pages.iter().all(|(number, page)| {
            let listed = self.groups.get(&page.group).is_some_and(|group| group.pages.contains(number));
            let file = page.lines.is_none_or(|lines| (lines.file as usize) < self.files.len());
            let sane =
                page.cost < HUGE && page.text_tokens < HUGE && number.0 > 0 && *number < self.next_page;
            listed && file && sane
        });
        let groups = self.groups.iter().all(|(id, group)| {
            let ours = |page: &PageNo| self.pages.get(page).is_some_and(|page| page.group == *id);
            !group.pages.is_empty() && group.pages.iter().all(ours)
        });
        let members: usize = self.groups.values().map(|group| group.pages.len()).sum();
        let stubs = self.window.iter().all(|entry| match entry {
            Entry::Stub(stub) => stub.cost < HUGE,
            Entry::Group(_) => true,
        });
        let placed = |place: Place| {
            self.groups.iter().filter(move |(_, group)| group.place == place).map(|(id, _)| *id).collect()
        };
        let window: Vec<GroupId> = self.window.iter().filter_map(Entry::group).collect();
        let order = is_set(&window, &placed(Place::Window))
            && is_set(&self.head, &placed(Place::Head))
            && is_set(&self.notes.values().copied().collect::<Vec<_>>(), &placed(Place::Notes));
        let numbers = members == self.pages.len() && self.next_page.0 > 0 && self.next_page.0 < HUGE;
        pages && groups && order && stubs && numbers && self.ratio.is_sane()
    }
}

impl Entry {
    pub(crate) fn group(&self) -> Option<GroupId> {
        match self {
            Self::Group(id) => Some(*id),
            Self::Stub(_) => None,
        }
    }
}

fn is_set(list: &[GroupId], set: &BTreeSet<GroupId>) -> bool {
    list.len() == set.len() && list.iter().all(|id| set.contains(id))
}
