//! Ranking texts and lines against a question: which page, and which line of it, to show as a source.

use std::collections::BTreeSet;

use kernel_types::PageNo;

use super::index::{Index, IndexedPage, Source};
use super::query::Query;
use super::question::{QueryTerm, asks_number, query_terms};
use super::terms::{Analyzer, is_number};

/// The worth of a word on the line below or above, against one on the line itself: sentences wrap.
const BELOW: f32 = 0.6;
const ABOVE: f32 = 0.4;
/// The worth of a number for a question that asks for one, in units of the rarest word.
const NUMBER: f32 = 0.5;
/// Likewise a definition.
const DEFINITION: f32 = 0.5;
/// The worth of words on a line of at most so many words.
const HEADING: f32 = 0.7;
const SHORT: usize = 4;
/// The worth of a word that only says which document is asked about.
const NAME_WORTH: f32 = 0.3;
/// How a question asks for a definition.
const ASKS_DEFINITION: &[&str] =
    &["what is", "what are", "mean", "defin", "what counts as", "called", "refer to"];
/// Terms that explain another.
const DEFINES: &[&str] = &["mean", "refer", "defin", "call", "denot"];

/// The line of a text that fits a question best.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BestLine {
    /// The line, from 0.
    pub line: usize,
    /// How well it fits, 0 to 1: the weight of the question's words on it and around it. Comparable between texts.
    pub score: f32,
}

/// A text as [`rank_texts`] places it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ranked {
    /// The place of the text in the list given.
    pub index: usize,
    /// How well it fits, in units of nothing: comparable within one answer only.
    pub score: f32,
}

/// The line of `text` that fits `query` best; `None` if no word of the query is in it.
///
/// Words that are rare in the text weigh more. A line is judged with the lines above and below, because sentences wrap; a
/// question that asks for a number prefers lines that hold one.
///
/// ```
/// let text = "Cheese keeps.\nMilk stays fresh for at most\nfive days in a cold place.";
/// let best = kernel_context::best_line("For how many days is milk fresh?", text).unwrap();
/// assert!(best.line == 1 || best.line == 2);
/// ```
#[must_use]
pub fn best_line(query: &str, text: &str) -> Option<BestLine> {
    Asked::new(query).best_line(text)
}

/// Orders `texts`, each with the path it comes from, by how well they fit `query`: best first, those without any word of
/// it left out. Paths count as words of their texts; texts of the same path support each other.
#[must_use]
pub fn rank_texts(query: &str, texts: &[(&str, &str)]) -> Vec<Ranked> {
    let mut index = Index::default();
    let mut paths = Vec::new();
    for (at, (path, text)) in texts.iter().enumerate() {
        let file = paths.iter().position(|known| known == path).unwrap_or_else(|| {
            paths.push(*path);
            paths.len() - 1
        });
        // Every text is placed below the top: which one holds the title is not known here.
        let source = Some(Source { id: file as u64, path, top: false });
        let page = IndexedPage { page: PageNo(at as u64), text, source, about: &[], embedding: None };
        index.add(&page).expect("texts are numbered in order");
    }
    let asked = Asked::new(query);
    let mut ranked: Vec<Ranked> = index
        .search(&Query { text: query, embedding: None, limit: texts.len() })
        .into_iter()
        .filter_map(|hit| {
            let index = usize::try_from(hit.page.0).ok()?;
            let line = asked.best_line(texts.get(index)?.1)?.score;
            Some(Ranked { index, score: hit.score * (0.5 + line) })
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
    ranked
}

/// A question taken apart once, to be held against many texts.
struct Asked {
    analyzer: Analyzer,
    words: Vec<QueryTerm>,
    wants_number: bool,
    wants_definition: bool,
}

/// What of a question stands on one line.
struct Line {
    words: BTreeSet<usize>,
    number: bool,
    /// It has few words: likely a heading, which names what the lines below it say.
    short: bool,
    /// One of the words is explained: it stands in quotes, or before `means` and its like.
    definition: bool,
}

impl Asked {
    fn new(query: &str) -> Self {
        let analyzer = Analyzer::new();
        let words = query_terms(&analyzer, query);
        let lower = query.to_lowercase();
        let wants_number = asks_number(query);
        let wants_definition = ASKS_DEFINITION.iter().any(|phrase| lower.contains(phrase));
        Self { analyzer, words, wants_number, wants_definition }
    }

    fn best_line(&self, text: &str) -> Option<BestLine> {
        let lines: Vec<Line> = text.lines().map(|line| self.read(line)).collect();
        let weights = self.weights(&lines);
        let most: f32 = weights.iter().sum();
        let rarest = weights.iter().copied().fold(0.0, f32::max);
        let scores = (0..lines.len()).map(|at| {
            let number = if self.wants_number { NUMBER * rarest * number_near(&lines, at) } else { 0.0 };
            let definition =
                if self.wants_definition && lines[at].definition { DEFINITION * rarest } else { 0.0 };
            let part = if lines[at].short { HEADING } else { 1.0 };
            (at, part * words_near(&lines, at, &weights) + number.max(definition))
        });
        let (line, score) = scores
            .filter(|(at, _)| !lines[*at].words.is_empty() || (self.wants_number && lines[*at].number))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        (rarest > 0.0).then(|| BestLine { line, score: (score / (most + NUMBER * rarest)).min(1.0) })
    }

    fn read(&self, line: &str) -> Line {
        let mut found = Line { words: BTreeSet::new(), number: false, short: true, definition: false };
        let mut defines = false;
        let line = unlabelled(line);
        found.short = line.split_whitespace().nth(SHORT).is_none();
        self.analyzer.each(line, |term| {
            found.number |= is_number(term);
            defines |= DEFINES.contains(&term);
            if let Some(at) = self.words.iter().position(|word| word.text == term) {
                found.words.insert(at);
            }
        });
        let asked = found.words.iter().any(|word| !self.words[*word].scope);
        found.definition = asked && (defines || line.contains(['"', '\u{201C}', '\u{2018}']));
        found
    }

    /// The weight of each word: zero if it is nowhere in the text, more the fewer lines it is on.
    #[expect(clippy::cast_precision_loss, reason = "a text has fewer than 2^24 lines")]
    fn weights(&self, lines: &[Line]) -> Vec<f32> {
        let weight = |word: usize| {
            let holders = lines.iter().filter(|line| line.words.contains(&word)).count();
            let scope = if self.words[word].scope { NAME_WORTH } else { 1.0 };
            if holders == 0 { 0.0 } else { scope * (1.0 + lines.len() as f32 / holders as f32).ln() }
        };
        (0..self.words.len()).map(weight).collect()
    }
}

/// The line without the number of its section.
fn unlabelled(line: &str) -> &str {
    let line = line.trim_start();
    let label = line.split_whitespace().next().unwrap_or_default();
    let numbered = label.ends_with(['.', ')'])
        && label.trim_matches(['(', ')']).starts_with(|c: char| c.is_ascii_digit());
    if numbered && !label.starts_with('(') { &line[label.len()..] } else { line }
}

/// The weight of the words on a line; those only below or above count in part.
fn words_near(lines: &[Line], at: usize, weights: &[f32]) -> f32 {
    let empty = BTreeSet::new();
    let own = &lines[at].words;
    let below = lines.get(at + 1).map_or(&empty, |line| &line.words);
    let above = at.checked_sub(1).map_or(&empty, |at| &lines[at].words);
    let sum = |words: &mut dyn Iterator<Item = &usize>| words.map(|word| weights[*word]).sum::<f32>();
    sum(&mut own.iter())
        + BELOW * sum(&mut below.difference(own))
        + ABOVE * sum(&mut above.difference(own).filter(|word| !below.contains(word)))
}

/// Whether there is a number on the line, or at least next to it.
fn number_near(lines: &[Line], at: usize) -> f32 {
    if lines[at].number {
        1.0
    } else if lines.get(at + 1).is_some_and(|line| line.number) {
        BELOW
    } else if at.checked_sub(1).is_some_and(|at| lines[at].number) {
        ABOVE
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_that_wraps_is_found_by_both_lines() {
        let text = "Distribution is free.\nThe source must stay available for at least twelve (12)\nmonths after that \
                    date.\nNothing else matters.";
        let best = best_line("For how many months must source stay available?", text).unwrap();
        assert_eq!(best.line, 1);
    }

    #[test]
    fn a_text_without_any_word_has_no_best_line() {
        assert_eq!(best_line("mozilla", "nothing\nof that sort"), None);
        assert_eq!(best_line("how many zebras", "12 of\nthem"), None);
        assert_eq!(best_line("", "text"), None);
        assert_eq!(best_line("text", ""), None);
        assert!(best_line("sort", "nothing\nof that sort").is_some());
    }

    #[test]
    fn section_numbers_are_not_answers() {
        let text = "7.3. Terms of days\nfee within ten days of notice";
        assert_eq!(best_line("how many days", text).unwrap().line, 1);
    }

    #[test]
    fn texts_are_ranked_by_path_too() {
        let texts = [
            ("GPL-2", "thirty days of notice"),
            ("MPL-1.1", "thirty days of notice"),
            ("BSD", "no warranty"),
        ];
        let order: Vec<usize> =
            rank_texts("MPL notice days", &texts).iter().map(|ranked| ranked.index).collect();
        assert_eq!(order, [1, 0]);
    }
}
