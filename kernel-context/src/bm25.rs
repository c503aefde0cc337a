//! Scores of an [`Index`]: BM25 over pages, with the evidence of their files.
//!
//! A page's score is its BM25 score (Robertson and Zaragoza, *The Probabilistic Relevance Framework*, 2009), lifted by how
//! well its file fits: a title names the document once, at the top, and the answer stands on a page that does not repeat
//! it. Neighbours in a file share a part of their score, because answers do not end at page borders.

use std::collections::{BTreeSet, HashMap};

use kernel_types::PageNo;

use crate::index::{Document, Index, Term};

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

impl Index {
    /// The pages that share a term with `query`, best first; equals by number.
    pub(crate) fn search(&self, query: &str) -> Vec<(PageNo, f32)> {
        let words = self.analyzer.query(query);
        let terms: Vec<(&Term, bool)> =
            words.iter().filter_map(|word| Some((self.term(&word.text)?, word.scope))).collect();
        let mut scores = self.bodies(&terms);
        let evidence = self.evidence(&terms);
        for (document, score) in self.slots.iter().zip(&mut scores) {
            if let Some((file, _)) = document.as_ref().and_then(|document| document.position) {
                *score *= 1.0 + FILE_LIFT * evidence.get(&file).copied().unwrap_or_default();
            }
        }
        let hits = (0..).zip(&self.slots).zip(&scores).filter(|(_, score)| **score > 0.0);
        let mut ranked: Vec<(PageNo, f32)> = hits
            .filter_map(|((slot, document), score)| Some((slot, document.as_ref()?, score)))
            .map(|(slot, document, score)| {
                (document.page, score + SPREAD * self.around(slot, document, &scores))
            })
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ranked
    }

    /// BM25 over the pages alone, by slot. A term that names the page's file counts little: every page of the file has
    /// it, in a way, and those that repeat it are not nearer to the answer.
    #[expect(clippy::cast_precision_loss, reason = "counts of pages and words stay far below 2^24")]
    fn bodies(&self, terms: &[(&Term, bool)]) -> Vec<f32> {
        let average = (self.length as f32 / self.pages().max(1) as f32).max(1.0);
        let mut scores = vec![0.0; self.slots.len()];
        for (term, scope) in terms {
            let rarity = rarity(term.postings.len(), self.pages());
            for posting in &term.postings {
                let Some(document) = self.document(posting.slot) else { continue };
                let count = posting.count as f32;
                let length = document.length as f32 / average;
                let weight = count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length));
                let names = *scope || document.position.is_some_and(|(file, _)| term.named.contains(&file));
                scores[posting.slot as usize] += rarity * weight * if names { NAME_WORTH } else { 1.0 };
            }
        }
        scores
    }

    /// How well each file fits, 0 to 1: rare terms count more, those in the path or title most.
    #[expect(clippy::cast_precision_loss, reason = "counts of pages and words stay far below 2^24")]
    fn evidence(&self, terms: &[(&Term, bool)]) -> HashMap<u32, f32> {
        let mut sums = HashMap::<u32, f32>::new();
        let mut most = 0.0;
        for (term, _) in terms {
            let counts = self.counts(term);
            let holders: BTreeSet<u32> = counts.keys().chain(&term.named).copied().collect();
            if holders.is_empty() {
                continue;
            }
            let rarity = rarity(holders.len(), self.files.len());
            most += rarity;
            for file in holders {
                let count = counts.get(&file).copied().unwrap_or_default() as f32;
                let named = term.named.contains(&file);
                let worth = if named { 1.0 } else { BODY_EVIDENCE * count / (count + 1.0) };
                *sums.entry(file).or_default() += rarity * worth;
            }
        }
        sums.values_mut().for_each(|sum| *sum /= f32::max(most, f32::MIN_POSITIVE));
        sums
    }

    /// How often the term is in each file.
    fn counts(&self, term: &Term) -> HashMap<u32, u32> {
        let mut counts = HashMap::new();
        for posting in &term.postings {
            if let Some((file, _)) = self.document(posting.slot).and_then(|document| document.position) {
                *counts.entry(file).or_default() += posting.count;
            }
        }
        counts
    }

    /// The scores of the pages before and after in the same file.
    fn around(&self, slot: u32, document: &Document, scores: &[f32]) -> f32 {
        let Some((file, line)) = document.position else { return 0.0 };
        let Some(file) = self.files.get(&file) else { return 0.0 };
        let before = file.pages.range(..(line, slot)).next_back();
        let after = file.pages.range((line, slot)..).nth(1);
        let near = [before, after].into_iter().flatten();
        near.filter_map(|(_, slot)| scores.get(*slot as usize)).sum()
    }
}

/// Inverse document frequency, above zero.
#[expect(clippy::cast_precision_loss, reason = "counts of pages stay far below 2^24")]
fn rarity(holders: usize, all: usize) -> f32 {
    let (holders, all) = (holders as f32, all as f32);
    (1.0 + (all - holders + 0.5) / (holders + 0.5)).ln()
}
