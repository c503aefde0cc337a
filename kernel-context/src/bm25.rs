//! The retrieval index of one address space: incremental BM25 over pages, with the evidence of their files.
//!
//! A page's score is its BM25 score (Robertson and Zaragoza, *The Probabilistic Relevance Framework*, 2009), lifted by how
//! well its file fits: a title names the document once, at the top, and the answer stands on a page that does not repeat
//! it. Neighbours in a file share a part of their score, because answers do not end at page borders.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kernel_types::PageNo;

use crate::terms::{Analyzer, QueryTerm};

const K1: f32 = 1.2;
const B: f32 = 0.5;
/// How far a file that holds every query term in its path or title lifts its pages.
const FILE_LIFT: f32 = 2.0;
/// The worth of a term somewhere in a file, against one in its path or title.
const BODY_EVIDENCE: f32 = 0.5;
/// The part of a page's score that each neighbour in its file receives.
const SPREAD: f32 = 0.15;
/// The worth of a term on a page when it only names the document.
const NAME_WORTH: f32 = 0.3;
/// The lines at a file's top that count as its title.
const TITLE_LINES: usize = 3;

/// Where a page stands: its file, the file's path, its first line.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) file: u32,
    pub(crate) path: &'a str,
    pub(crate) first_line: u32,
}

struct Posting {
    page: PageNo,
    count: u32,
}

struct Document {
    length: u32,
    terms: Vec<u32>,
    file: Option<(u32, u32)>,
    /// Terms of the first lines, if these are the first of the file.
    title: Vec<u32>,
}

struct File {
    path: BTreeSet<u32>,
    /// Terms of the path and of the title.
    names: BTreeSet<u32>,
    /// Pages by first line.
    pages: BTreeSet<(u32, PageNo)>,
}

/// An inverted index over the pages of one address space.
pub(crate) struct Index {
    analyzer: Analyzer,
    dictionary: HashMap<Box<str>, u32>,
    postings: Vec<Vec<Posting>>,
    documents: BTreeMap<PageNo, Document>,
    files: BTreeMap<u32, File>,
    length: u64,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            analyzer: Analyzer::new(),
            dictionary: HashMap::new(),
            postings: Vec::new(),
            documents: BTreeMap::new(),
            files: BTreeMap::new(),
            length: 0,
        }
    }

    /// Adds a page. Pages are added in the order of their numbers.
    pub(crate) fn add(&mut self, page: PageNo, text: &str, place: Option<Place<'_>>) {
        let ids = self.intern(text);
        let length = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let mut counts = BTreeMap::<u32, u32>::new();
        for id in ids {
            *counts.entry(id).or_default() += 1;
        }
        for (id, count) in &counts {
            self.postings[*id as usize].push(Posting { page, count: *count });
        }
        let terms = counts.into_keys().collect();
        let title = place.filter(|place| place.first_line <= 1).map(|_| self.title(text)).unwrap_or_default();
        let file = place.map(|place| (place.file, place.first_line));
        self.length += u64::from(length);
        if let Some(place) = place {
            self.place(page, place, &title);
        }
        self.documents.insert(page, Document { length, terms, file, title });
    }

    fn title(&mut self, text: &str) -> Vec<u32> {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).take(TITLE_LINES);
        lines.flat_map(|line| self.intern(line)).collect()
    }

    fn place(&mut self, page: PageNo, place: Place<'_>, title: &[u32]) {
        if !self.files.contains_key(&place.file) {
            let path: BTreeSet<u32> = self.intern(place.path).into_iter().collect();
            self.files.insert(place.file, File { names: path.clone(), path, pages: BTreeSet::new() });
        }
        if let Some(file) = self.files.get_mut(&place.file) {
            file.names.extend(title);
            file.pages.insert((place.first_line, page));
        }
    }

    /// Forgets a page.
    pub(crate) fn remove(&mut self, page: PageNo) {
        let Some(document) = self.documents.remove(&page) else { return };
        for id in document.terms {
            self.postings[id as usize].retain(|posting| posting.page != page);
        }
        self.length -= u64::from(document.length);
        if let Some((file, line)) = document.file {
            self.leave_file(file, line, page);
        }
    }

    /// Takes a page out of its file: as if the file had been added without it.
    fn leave_file(&mut self, number: u32, line: u32, page: PageNo) {
        let Some(file) = self.files.get_mut(&number) else { return };
        file.pages.remove(&(line, page));
        if file.pages.is_empty() {
            self.files.remove(&number);
            return;
        }
        let titles = file.pages.iter().filter_map(|(_, page)| self.documents.get(page));
        file.names = titles.flat_map(|document| &document.title).chain(&file.path).copied().collect();
    }

    /// The pages that share a term with `query`, best first; equals by number.
    pub(crate) fn search(&self, query: &str) -> Vec<(PageNo, f32)> {
        let words = self.analyzer.query(query);
        let known = |word: &QueryTerm| Some((*self.dictionary.get(word.text.as_str())?, word.scope));
        let ids: Vec<(u32, bool)> = words.iter().filter_map(known).collect();
        let body = self.bodies(&ids);
        let evidence = self.evidence(ids.iter().map(|(id, _)| *id));
        let lifted: BTreeMap<PageNo, f32> =
            body.into_iter().map(|(page, score)| (page, score * self.lift(page, &evidence))).collect();
        let mut ranked: Vec<(PageNo, f32)> = lifted
            .iter()
            .map(|(page, score)| (*page, score + SPREAD * self.around(*page, &lifted)))
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked
    }

    /// BM25 over the pages alone.
    #[expect(clippy::cast_precision_loss, reason = "counts of pages and words stay far below 2^24")]
    fn bodies(&self, ids: &[(u32, bool)]) -> HashMap<PageNo, f32> {
        let average = self.length as f32 / self.documents.len().max(1) as f32;
        let mut scores = HashMap::new();
        for (id, scope) in ids {
            let postings = &self.postings[*id as usize];
            let rarity = rarity(postings.len(), self.documents.len());
            for posting in postings {
                let length = self.documents.get(&posting.page).map_or(average, |d| d.length as f32);
                let count = posting.count as f32;
                let weight = count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / average.max(1.0)));
                let part = if *scope || self.is_named(posting.page, *id) { NAME_WORTH } else { 1.0 };
                *scores.entry(posting.page).or_insert(0.0) += part * rarity * weight;
            }
        }
        scores
    }

    /// How well each file fits, 0 to 1: rare terms count more, those in the path or title most.
    #[expect(clippy::cast_precision_loss, reason = "counts of pages and words stay far below 2^24")]
    fn evidence(&self, ids: impl Iterator<Item = u32>) -> HashMap<u32, f32> {
        let mut sums = HashMap::<u32, f32>::new();
        let mut most = 0.0;
        for id in ids {
            let mut counts = HashMap::<u32, u32>::new();
            for posting in &self.postings[id as usize] {
                if let Some((file, _)) = self.documents.get(&posting.page).and_then(|d| d.file) {
                    *counts.entry(file).or_default() += posting.count;
                }
            }
            let named = |file: &u32| self.files.get(file).is_some_and(|entry| entry.names.contains(&id));
            let holders: BTreeSet<u32> =
                self.files.keys().filter(|file| counts.contains_key(*file) || named(file)).copied().collect();
            if holders.is_empty() {
                continue;
            }
            let rarity = rarity(holders.len(), self.files.len());
            most += rarity;
            for file in holders {
                let count = counts.get(&file).copied().unwrap_or_default() as f32;
                let worth = if named(&file) { 1.0 } else { BODY_EVIDENCE * count / (count + 1.0) };
                *sums.entry(file).or_default() += rarity * worth;
            }
        }
        sums.values_mut().for_each(|sum| *sum /= f32::max(most, f32::MIN_POSITIVE));
        sums
    }

    /// Whether the term is in the path or title of the page's file: then every page of it has the term, in a way, and those that
    /// repeat it are not nearer to the answer.
    fn is_named(&self, page: PageNo, id: u32) -> bool {
        let file = self.documents.get(&page).and_then(|document| document.file);
        file.and_then(|(file, _)| self.files.get(&file)).is_some_and(|file| file.names.contains(&id))
    }

    fn lift(&self, page: PageNo, evidence: &HashMap<u32, f32>) -> f32 {
        let file = self.documents.get(&page).and_then(|document| document.file);
        let fits = file.and_then(|(file, _)| evidence.get(&file)).copied().unwrap_or_default();
        1.0 + FILE_LIFT * fits
    }

    /// The scores of the pages before and after in the same file.
    fn around(&self, page: PageNo, scores: &BTreeMap<PageNo, f32>) -> f32 {
        let Some((file, line)) = self.documents.get(&page).and_then(|document| document.file) else {
            return 0.0;
        };
        let Some(entry) = self.files.get(&file) else { return 0.0 };
        let before = entry.pages.range(..(line, page)).next_back();
        let after = entry.pages.range((line, page)..).nth(1);
        [before, after].into_iter().flatten().filter_map(|(_, page)| scores.get(page)).sum()
    }

    fn intern(&mut self, text: &str) -> Vec<u32> {
        let Self { analyzer, dictionary, postings, .. } = self;
        let mut ids = Vec::with_capacity(text.len() / 6);
        analyzer.each(text, |term| {
            let id = dictionary.get(term).copied().unwrap_or_else(|| {
                let id = u32::try_from(postings.len()).expect("fewer than 2^32 distinct terms fit in memory");
                dictionary.insert(term.into(), id);
                postings.push(Vec::new());
                id
            });
            ids.push(id);
        });
        ids
    }
}

/// Inverse document frequency, never negative.
#[expect(clippy::cast_precision_loss, reason = "counts of pages stay far below 2^24")]
fn rarity(holders: usize, all: usize) -> f32 {
    let (holders, all) = (holders as f32, all as f32);
    (1.0 + (all - holders + 0.5) / (holders + 0.5)).max(1.0).ln()
}
