//! How much of the evidence a search brings back: conversations, and questions asked in other words long after.
//!
//! `tests/recall/README.md` tells what the texts are.

use std::collections::{BTreeMap, HashSet};

use kernel_context::retrieval::{Index, IndexedPage, Query, Source};
use kernel_types::PageNo;
use serde_json::Value;

const COLLECTION: [&str; 2] =
    [include_str!("../recall/dialogue.jsonl"), include_str!("../recall/chats.jsonl")];
/// Of evidence found within a question's budget, over all questions and on each text.
const LEAST_MEAN: f64 = 0.82;
const LEAST_ON_A_TEXT: f64 = 0.75;

/// One text: its pages and what is asked about it.
#[derive(Default)]
struct Conversation {
    index: Index,
    pages: Vec<Page>,
    sessions: Vec<String>,
    questions: Vec<Question>,
}

struct Page {
    id: String,
    text: String,
    tokens: u64,
}

struct Question {
    text: String,
    budget: u64,
    evidence: Vec<String>,
}

fn collection() -> BTreeMap<String, Conversation> {
    let mut conversations: BTreeMap<String, Conversation> = BTreeMap::new();
    for line in COLLECTION.iter().flat_map(|text| text.lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        let conversation = conversations.entry(string(&line["conv"])).or_default();
        match line["type"].as_str() {
            Some("page") => conversation.add(&line),
            Some("query") => conversation.questions.push(Question {
                text: string(&line["text"]),
                budget: line["budget_tokens"].as_u64().unwrap(),
                evidence: line["evidence"].as_array().unwrap().iter().map(string).collect(),
            }),
            other => panic!("a line of type {other:?}"),
        }
    }
    conversations
}

fn string(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl Conversation {
    fn add(&mut self, line: &Value) {
        let session = line["session"].to_string();
        let id = self.sessions.iter().position(|known| *known == session).unwrap_or_else(|| {
            self.sessions.push(session);
            self.sessions.len() - 1
        });
        let (speaker, date, text) = (string(&line["speaker"]), string(&line["date"]), string(&line["text"]));
        let page = IndexedPage {
            page: PageNo(self.pages.len() as u64),
            text: &text,
            source: Some(Source { id: id as u64, path: "", top: false }),
            about: &[&speaker, &date],
            embedding: None,
        };
        self.index.add(&page).unwrap();
        self.pages.push(Page { id: string(&line["id"]), text, tokens: line["tokens"].as_u64().unwrap() });
    }

    /// The pages that a question's budget holds, best first.
    fn ranked(&self, question: &Question) -> Vec<&str> {
        let query = Query { text: &question.text, embedding: None, limit: self.pages.len() };
        let mut room = question.budget;
        let hits = self.index.search(&query).into_iter();
        let pages = hits.map(|hit| &self.pages[usize::try_from(hit.page.0).unwrap()]);
        let fitting = pages.filter(|page| {
            let left = room.checked_sub(page.tokens);
            room = left.unwrap_or(room);
            left.is_some()
        });
        fitting.map(|page| page.id.as_str()).collect()
    }

    /// The share of a question's evidence that is found.
    fn recall(&self, question: &Question) -> f64 {
        let ranked = self.ranked(question);
        let found = question.evidence.iter().filter(|id| ranked.contains(&id.as_str())).count();
        found as f64 / question.evidence.len() as f64
    }

    /// Runs of three words, in lower case, punctuation left out.
    fn page_runs(&self, id: &str) -> HashSet<Vec<String>> {
        let page = self.pages.iter().find(|page| page.id == id).unwrap();
        runs(&page.text).into_iter().collect()
    }
}

fn runs(text: &str) -> Vec<Vec<String>> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_lowercase).collect();
    words.windows(3).map(<[String]>::to_vec).collect()
}

#[test]
fn questions_do_not_repeat_what_answers_them() {
    let conversations = collection();
    let asked: usize = conversations.values().map(|conversation| conversation.questions.len()).sum();
    assert!(asked >= 300, "{asked} questions");
    for conversation in conversations.values() {
        for question in &conversation.questions {
            assert!(!question.evidence.is_empty(), "{}", question.text);
            for id in &question.evidence {
                let runs_there = conversation.page_runs(id);
                let shared = runs(&question.text).into_iter().find(|run| runs_there.contains(run));
                assert_eq!(shared, None, "{} repeats {id}", question.text);
            }
        }
    }
}

#[test]
fn evidence_is_found_in_a_few_thousand_tokens() {
    let conversations = collection();
    let mut all = Vec::new();
    println!("text       pages  tokens  questions  recall");
    for (name, conversation) in &conversations {
        let recalls: Vec<f64> =
            conversation.questions.iter().map(|question| conversation.recall(question)).collect();
        let mean = recalls.iter().sum::<f64>() / recalls.len() as f64;
        let tokens: u64 = conversation.pages.iter().map(|page| page.tokens).sum();
        println!("{name:10} {:5} {tokens:7} {:10} {mean:7.3}", conversation.pages.len(), recalls.len());
        assert!(mean >= LEAST_ON_A_TEXT, "{name}: {mean:.3}");
        all.extend(recalls);
    }
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    println!("all                      {:10} {mean:7.3}", all.len());
    assert!(mean >= LEAST_MEAN, "{mean:.3} of the evidence found");
}
