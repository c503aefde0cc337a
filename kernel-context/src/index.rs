//! The retrieval index of one address space: which words are on which pages, in which files. [`crate::bm25`] scores it.
//!
//! Incremental: a page is added or removed without a look at the others, and an index built anew from the same pages answers
//! the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kernel_types::PageNo;

use crate::terms::Analyzer;

/// The lines at a file's top that count as its title.
const TITLE_LINES: usize = 3;

/// Where a page stands: its file, the file's path, its first line.
#[derive(Clone, Copy)]
pub(crate) struct Position<'a> {
    pub(crate) file: u32,
    pub(crate) path: &'a str,
    pub(crate) first_line: u32,
}

/// A term's occurrences on one page; the page by its slot.
#[derive(Clone)]
pub(crate) struct Posting {
    pub(crate) slot: u32,
    pub(crate) count: u32,
}

/// A page as the index knows it.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) page: PageNo,
    /// In terms.
    pub(crate) length: u32,
    /// The file and the first line in it.
    pub(crate) position: Option<(u32, u32)>,
    terms: Vec<u32>,
    /// Terms of the first lines, if these are the first of the file.
    title: Vec<u32>,
}

#[derive(Clone)]
pub(crate) struct File {
    path: BTreeSet<u32>,
    /// Terms of the path and of the title.
    names: BTreeSet<u32>,
    /// First lines and slots of its pages.
    pub(crate) pages: BTreeSet<(u32, u32)>,
}

/// What is known of one term.
#[derive(Clone, Default)]
pub(crate) struct Term {
    /// By slot.
    pub(crate) postings: Vec<Posting>,
    /// Files with the term in their path or title.
    pub(crate) named: BTreeSet<u32>,
}

/// An inverted index over the pages of one address space.
#[derive(Clone)]
pub(crate) struct Index {
    pub(crate) analyzer: Analyzer,
    dictionary: HashMap<Box<str>, u32>,
    terms: Vec<Term>,
    /// Pages in the order they were added; those removed leave a hole.
    pub(crate) slots: Vec<Option<Document>>,
    by_page: HashMap<PageNo, u32>,
    pub(crate) files: BTreeMap<u32, File>,
    /// Of all pages together, in terms.
    pub(crate) length: u64,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            analyzer: Analyzer::new(),
            dictionary: HashMap::new(),
            terms: Vec::new(),
            slots: Vec::new(),
            by_page: HashMap::new(),
            files: BTreeMap::new(),
            length: 0,
        }
    }

    /// How many pages there are.
    pub(crate) fn pages(&self) -> usize {
        self.by_page.len()
    }

    pub(crate) fn document(&self, slot: u32) -> Option<&Document> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn term(&self, text: &str) -> Option<&Term> {
        self.dictionary.get(text).and_then(|id| self.terms.get(*id as usize))
    }

    /// Adds a page. Pages are added in the order of their numbers.
    pub(crate) fn add(&mut self, page: PageNo, text: &str, position: Option<Position<'_>>) {
        let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 pages fit in memory");
        let mut terms = self.intern(text);
        let length = u32::try_from(terms.len()).unwrap_or(u32::MAX);
        terms.sort_unstable();
        for run in terms.chunk_by(|a, b| a == b) {
            let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
            self.terms[run[0] as usize].postings.push(Posting { slot, count });
        }
        terms.dedup();
        let title = position
            .filter(|position| position.first_line <= 1)
            .map(|_| self.title(text))
            .unwrap_or_default();
        if let Some(position) = position {
            self.join_file(slot, position, &title);
        }
        let position = position.map(|position| (position.file, position.first_line));
        self.slots.push(Some(Document { page, length, position, terms, title }));
        self.by_page.insert(page, slot);
        self.length += u64::from(length);
    }

    fn title(&mut self, text: &str) -> Vec<u32> {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).take(TITLE_LINES);
        lines.flat_map(|line| self.intern(line)).collect()
    }

    fn join_file(&mut self, slot: u32, position: Position<'_>, title: &[u32]) {
        let number = position.file;
        if !self.files.contains_key(&number) {
            let path: BTreeSet<u32> = self.intern(position.path).into_iter().collect();
            self.files.insert(number, File { path, names: BTreeSet::new(), pages: BTreeSet::new() });
        }
        let Some(file) = self.files.get_mut(&number) else { return };
        file.pages.insert((position.first_line, slot));
        let path = if file.pages.len() == 1 { file.path.clone() } else { BTreeSet::new() };
        for id in path.into_iter().chain(title.iter().copied()) {
            file.names.insert(id);
            self.terms[id as usize].named.insert(number);
        }
    }

    /// Forgets a page.
    pub(crate) fn remove(&mut self, page: PageNo) {
        let Some(slot) = self.by_page.remove(&page) else { return };
        let Some(document) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        for id in document.terms {
            let postings = &mut self.terms[id as usize].postings;
            if let Ok(at) = postings.binary_search_by_key(&slot, |posting| posting.slot) {
                postings.remove(at);
            }
        }
        self.length -= u64::from(document.length);
        if let Some((number, line)) = document.position {
            self.leave_file(number, line, slot);
        }
    }

    /// Takes a page out of its file: as if the file had been added without it.
    fn leave_file(&mut self, number: u32, line: u32, slot: u32) {
        let Some(mut file) = self.files.remove(&number) else { return };
        file.pages.remove(&(line, slot));
        let titles = file.pages.iter().filter_map(|(_, slot)| self.document(*slot));
        let names: BTreeSet<u32> =
            titles.flat_map(|document| &document.title).chain(&file.path).copied().collect();
        let stays = !file.pages.is_empty();
        for id in file.names.iter().filter(|id| !stays || !names.contains(*id)) {
            self.terms[*id as usize].named.remove(&number);
        }
        if stays {
            self.files.insert(number, File { names, ..file });
        }
    }

    fn intern(&mut self, text: &str) -> Vec<u32> {
        let Self { analyzer, dictionary, terms, .. } = self;
        let mut ids = Vec::with_capacity(text.len() / 6);
        analyzer.each(text, |term| {
            let id = dictionary.get(term).copied().unwrap_or_else(|| {
                let id = u32::try_from(terms.len()).expect("fewer than 2^32 distinct terms fit in memory");
                dictionary.insert(term.into(), id);
                terms.push(Term::default());
                id
            });
            ids.push(id);
        });
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: [(u32, u32, &str); 5] = [
        (0, 1, "The Otter Book\notters swim in rivers"),
        (0, 9, "and sleep in dens by the river"),
        (1, 1, "The Badger Book\nbadgers dig dens"),
        (1, 9, "badgers and otters are kin"),
        (2, 4, "rivers run to the sea"),
    ];

    fn add(index: &mut Index, number: usize) {
        let (file, first_line, text) = PIECES[number];
        let path = format!("animals/{file}.txt");
        index.add(PageNo(number as u64 + 1), text, Some(Position { file, path: &path, first_line }));
    }

    #[test]
    fn an_index_built_anew_answers_the_same() {
        for gone in 0..PIECES.len() {
            let (mut grown, mut fresh) = (Index::new(), Index::new());
            (0..PIECES.len()).for_each(|number| add(&mut grown, number));
            grown.remove(PageNo(gone as u64 + 1));
            (0..PIECES.len()).filter(|number| *number != gone).for_each(|number| add(&mut fresh, number));
            for query in ["otter book", "badgers in dens", "river", "animals 1 txt", "sea"] {
                assert_eq!(grown.search(query), fresh.search(query), "{query:?} without page {}", gone + 1);
            }
        }
    }

    #[test]
    fn a_file_s_title_lifts_all_of_its_pages() {
        let mut index = Index::new();
        (0..PIECES.len()).for_each(|number| add(&mut index, number));
        let order: Vec<u64> =
            index.search("where are dens in the otter book").iter().map(|(page, _)| page.0).collect();
        assert!(
            order.iter().position(|page| *page == 2) < order.iter().position(|page| *page == 3),
            "{order:?}"
        );
    }
}
