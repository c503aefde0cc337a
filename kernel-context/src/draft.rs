//! From drafts to groups: what an allocation would add to a table, measured, before anything changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel_types::{GroupId, Origin, PageKind, PageNo};

use crate::admit::is_grouped;
use crate::header::measure;
use crate::table::{File, Group, Lines, Page, Place, Table};
use crate::{PageDraft, TokenCounter};

/// A group that is not in the table yet.
pub(crate) struct Drawn {
    pub(crate) id: GroupId,
    pub(crate) group: Group,
    pub(crate) pages: Vec<(PageNo, Page)>,
    pub(crate) cost: u64,
}

impl Drawn {
    /// The name, if it is a note.
    pub(crate) fn note(&self) -> Option<&str> {
        match self.pages.first().map(|(_, page)| &page.kind) {
            Some(PageKind::Note { name }) => Some(name),
            _ => None,
        }
    }
}

/// Draws groups up. New files get the numbers that follow those of the table.
pub(crate) struct Draftsman<'a> {
    table: &'a Table,
    files: &'a BTreeMap<File, u32>,
    counter: TokenCounter,
    pub(crate) new_files: Vec<File>,
}

impl<'a> Draftsman<'a> {
    pub(crate) fn new(table: &'a Table, files: &'a BTreeMap<File, u32>, counter: TokenCounter) -> Self {
        Self { table, files, counter, new_files: Vec::new() }
    }

    /// The groups of `drafts`, in order: runs of grouped pages together, every other page by itself. Notes do not end a
    /// run, because they are not rendered in it.
    pub(crate) fn draw(&mut self, drafts: &[PageDraft], texts: &[Arc<str>]) -> Vec<Drawn> {
        let mut drawn: Vec<Drawn> = Vec::new();
        let mut run: Option<usize> = None;
        for ((draft, text), number) in drafts.iter().zip(texts).zip(self.table.next_page.0..) {
            let number = PageNo(number);
            let grouped = is_grouped(&draft.kind);
            let joined = run.filter(|_| grouped).and_then(|at| drawn.get_mut(at));
            let page = self.page(draft, text, joined.as_ref().map_or(GroupId(number.0), |group| group.id));
            match joined {
                Some(group) => group.pages.push((number, page)),
                None => {
                    if grouped {
                        run = Some(drawn.len());
                    } else if !matches!(draft.kind, PageKind::Note { .. }) {
                        run = None;
                    }
                    drawn.push(self.alone(draft, number, page));
                }
            }
        }
        drawn.iter_mut().for_each(|group| self.finish(group));
        drawn
    }

    fn page(&mut self, draft: &PageDraft, text: &str, group: GroupId) -> Page {
        Page {
            kind: draft.kind.clone(),
            body: draft.body,
            group,
            importance: draft.importance,
            pinned: draft.pinned || draft.kind == PageKind::System,
            lines: draft.origin.as_ref().map(|origin| self.lines(origin)),
            text_tokens: self.counter.count(text),
            cost: 0,
            print: 0,
        }
    }

    fn alone(&self, draft: &PageDraft, number: PageNo, page: Page) -> Drawn {
        let place = match draft.kind {
            _ if draft.swapped => Place::Out,
            PageKind::System if !self.table.rendered => Place::Head,
            PageKind::Note { .. } => Place::Notes,
            _ => Place::Window,
        };
        let group = Group {
            pages: Vec::new(),
            place,
            tool: false,
            // A document is like a mapped file: read again when needed, so nothing keeps it in the window.
            fresh: !draft.swapped && (draft.pinned || draft.kind != PageKind::Document),
            recalled: None,
            returned: false,
            references: 0,
            worth: 0,
        };
        Drawn { id: page.group, group, pages: vec![(number, page)], cost: 0 }
    }

    /// Measures the pages and the group, now that all of it is there.
    fn finish(&self, drawn: &mut Drawn) {
        let is_tool =
            |page: &Page| matches!(page.kind, PageKind::ToolCall { .. } | PageKind::ToolResult { .. });
        drawn.group.tool = drawn.pages.iter().any(|(_, page)| is_tool(page));
        drawn.group.pages = drawn.pages.iter().map(|(number, _)| *number).collect();
        for (number, page) in &mut drawn.pages {
            let path = page.lines.and_then(|lines| self.path(lines.file));
            (page.cost, page.print) = measure(*number, page, &drawn.group, path, self.counter);
            drawn.cost += page.cost;
        }
    }

    fn lines(&mut self, origin: &Origin) -> Lines {
        let file = File { path: origin.path.clone(), hash: origin.file };
        let number = self.files.get(&file).copied().unwrap_or_else(|| {
            let at = self.new_files.iter().position(|known| *known == file).unwrap_or_else(|| {
                self.new_files.push(file);
                self.new_files.len() - 1
            });
            u32::try_from(self.table.files.len() + at).expect("fewer than 2^32 files fit in memory")
        });
        Lines { file: number, first: origin.first_line, last: origin.last_line }
    }

    fn path(&self, file: u32) -> Option<&str> {
        let at = file as usize;
        let file =
            self.table.files.get(at).or_else(|| self.new_files.get(at.checked_sub(self.table.files.len())?));
        file.map(|file| file.path.as_str())
    }
}
