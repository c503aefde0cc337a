//! Sources of an answer, chosen by the kernel from what the model was shown, whatever the model says.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kernel_context::{best_line, rank_texts};
use kernel_storage::Store;
use kernel_types::{Answer, BlobHash, Call, Event, NewPage, Origin, PageBody, PageNo, Pid, Seq, StepNo};
use serde::{Deserialize, Serialize};

use crate::error::KernelError;
use crate::recover::{event_of, fetch};

/// Records read at a time.
const PAGE: usize = 1024;

/// A line that the model was shown and that fits the question.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Source {
    /// The page it was on.
    pub page: PageNo,
    /// The file, relative to the workspace.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The line's text, without the white space around it.
    pub text: String,
    /// How well the page fits; comparable within one list.
    pub score: f32,
}

/// The sources of an answer.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Sources {
    /// Of the pages in the window at the last call of the model, those that fit the question best, best first.
    pub retrieved: Vec<Source>,
    /// Of these pages, those that the answer names: by page number, by file and line, or, if it is among the retrieved
    /// ones, by file.
    pub cited: Vec<Source>,
}

/// Chooses at most `limit` sources for the answer of a process, from its journal.
///
/// # Errors
/// [`KernelError::Store`]; [`KernelError::Damaged`] if a record does not hold an event.
pub async fn sources(
    store: &dyn Store,
    pid: Pid,
    question: &str,
    answer: &str,
    limit: usize,
) -> Result<Sources, KernelError> {
    let shown = shown(store, pid).await?;
    let hashes: Vec<BlobHash> = shown.iter().map(|page| page.body).collect();
    let texts: HashMap<BlobHash, _> = fetch(store, &hashes).await?.into_iter().collect();
    let pages = shown.iter().filter_map(|page| {
        let text = texts.get(&page.body)?;
        Some(Candidate { page: page.page, origin: &page.origin, text })
    });
    Ok(choose(question, answer, &pages.collect::<Vec<_>>(), limit))
}

/// A page of a file that the model was shown.
struct Shown {
    page: PageNo,
    body: BlobHash,
    origin: Origin,
}

/// The pages of files in the window at the last call of the model.
async fn shown(store: &dyn Store, pid: Pid) -> Result<Vec<Shown>, KernelError> {
    let mut asked: HashMap<(StepNo, Option<Seq>), Vec<NewPage>> = HashMap::new();
    let mut files: BTreeMap<PageNo, (BlobHash, Origin)> = BTreeMap::new();
    let mut resident = Vec::new();
    let mut next = 1;
    loop {
        let records = store.records(pid, next, PAGE).await?;
        let Some(last) = records.last() else { break };
        next = last.number + 1;
        for record in &records {
            match event_of(store, Some(record)).await? {
                Some(Event::Intent { call: Call::PageAlloc { pages }, .. }) => {
                    asked.insert((record.step, record.call), pages);
                }
                Some(Event::Intent { view: Some(view), .. }) => resident = view.resident,
                Some(Event::Outcome { result: Ok(Answer::Pages(numbers)), .. }) => {
                    let pages = asked.remove(&(record.step, record.call)).unwrap_or_default();
                    files.extend(numbers.into_iter().zip(pages).filter_map(|(number, page)| {
                        let PageBody::Blob(body) = page.body else { return None };
                        Some((number, (body, page.origin?)))
                    }));
                }
                _ => {}
            }
        }
    }
    let shown = resident.into_iter().filter_map(|page| {
        let (body, origin) = files.remove(&page)?;
        Some(Shown { page, body, origin })
    });
    Ok(shown.collect())
}

struct Candidate<'a> {
    page: PageNo,
    origin: &'a Origin,
    text: &'a str,
}

fn choose(question: &str, answer: &str, pages: &[Candidate<'_>], limit: usize) -> Sources {
    let texts: Vec<(&str, &str)> = pages.iter().map(|page| (page.origin.path.as_str(), page.text)).collect();
    let mut seen = BTreeSet::new();
    let ranked: Vec<(&Candidate<'_>, Source)> = rank_texts(question, &texts)
        .into_iter()
        .filter_map(|ranked| {
            let page = &pages[ranked.index];
            let source = source(page, question, ranked.score)?;
            seen.insert((source.file.clone(), source.line)).then_some((page, source))
        })
        .collect();
    let cited = ranked.iter().enumerate().filter(|(place, (page, _))| {
        names_page(answer, page) || (*place < limit && names(answer, &page.origin.path))
    });
    Sources {
        cited: cited.map(|(_, (_, source))| source.clone()).collect(),
        retrieved: ranked.iter().take(limit).map(|(_, source)| source.clone()).collect(),
    }
}

fn source(page: &Candidate<'_>, question: &str, score: f32) -> Option<Source> {
    let best = best_line(question, page.text)?;
    let text = page.text.lines().nth(best.line)?.trim().to_owned();
    // A page that is a part of one long line has no further lines to count.
    let line =
        page.origin.first_line.saturating_add(u32::try_from(best.line).ok()?).min(page.origin.last_line);
    Some(Source { page: page.page, file: page.origin.path.clone(), line, text, score })
}

/// The answer names the page by its number, or a line of it by `file:line`.
fn names_page(answer: &str, page: &Candidate<'_>) -> bool {
    let number = page.page.to_string();
    let by_number =
        answer.match_indices("page ").any(|(at, word)| leading_number(&answer[at + word.len()..]) == number);
    let path = format!("{}:", page.origin.path);
    let by_line = answer.match_indices(&path).any(|(at, found)| {
        let line = leading_number(&answer[at + found.len()..]).parse();
        line.is_ok_and(|line: u32| (page.origin.first_line..=page.origin.last_line).contains(&line))
    });
    by_number || by_line
}

fn leading_number(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())]
}

/// The file's name stands in the answer as a word of its own.
fn names(answer: &str, path: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    answer.match_indices(path).any(|(at, found)| {
        let before = answer[..at].chars().next_back();
        let mut after = answer[at + found.len()..].chars();
        let goes_on = match after.next() {
            // `MPL-1.1` in `MPL-1.1.` is a name at the end of a sentence, in `MPL-1.1.txt` it is not.
            Some('.') => after.next().is_some_and(part_of_name),
            Some(c) => part_of_name(c),
            None => false,
        };
        !before.is_some_and(part_of_name) && !goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &str = "For how many months must source stay available?";

    fn origin(path: &str, first_line: u32, last_line: u32) -> Origin {
        Origin { path: path.to_owned(), first_line, last_line, ..Origin::default() }
    }

    fn check(answer: &str, expected: &[u64]) {
        let (mpl, gpl) = (origin("MPL-1.1", 160, 162), origin("GPL-2", 1, 2));
        let pages = [
            Candidate { page: PageNo(7), origin: &gpl, text: "source code\nis available" },
            Candidate {
                page: PageNo(17),
                origin: &mpl,
                text: "Distribution.\nSource must remain available for at least twelve (12)\nmonths after that date",
            },
        ];
        let chosen = choose(QUESTION, answer, &pages, 5);
        let first = &chosen.retrieved[0];
        assert_eq!((first.file.as_str(), first.line, first.page), ("MPL-1.1", 161, PageNo(17)));
        assert_eq!(first.text, "Source must remain available for at least twelve (12)");
        assert_eq!(chosen.retrieved.len(), 2);
        assert_eq!(chosen.cited.iter().map(|source| source.page.0).collect::<Vec<_>>(), expected, "{answer}");
    }

    #[test]
    fn what_an_answer_names_is_cited() {
        check("Twelve months.", &[]);
        check("Twelve months (page 17).", &[17]);
        check("Twelve months, see page 170.", &[]);
        check("See MPL-1.1:162.", &[17]);
        check("See the line MPL-1.1:99 of the file.", &[17]);
        check("So says MPL-1.1.", &[17]);
        check("So says MPL-1.10, and XGPL-2 too.", &[]);
        check("Both GPL-2 and MPL-1.1 say so.", &[17, 7]);
    }

    #[test]
    fn a_page_without_a_word_of_the_question_is_no_source() {
        let file = origin("a", 1, 1);
        let pages = [Candidate { page: PageNo(1), origin: &file, text: "nothing of that sort" }];
        assert_eq!(choose("zebras?", "page 1", &pages, 5), Sources::default());
    }

    #[test]
    fn a_piece_of_a_long_line_keeps_its_line() {
        let file = origin("a", 3, 3);
        let pages = [Candidate { page: PageNo(1), origin: &file, text: "zebras\nhorses" }];
        assert_eq!(choose("horses", "", &pages, 5).retrieved[0].line, 3);
    }
}
