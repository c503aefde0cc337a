//! What embedding models add to recall: `cargo run --release -p benches --features embed-minilm --example recall_by_model -- FOLDER..`
//!
//! Prints, for each text of `kernel-context/tests/recall` and for all questions, the share of the evidence that a search
//! brings back within the question's budget: by words alone, then by words and the vectors of the model in each folder.
//! Vectors are kept and compared as the kernel does it.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kernel_context::retrieval::{Embedding, Index, IndexedPage, Query, Source};
use kernel_llm::{Embedder, open_embedder};
use kernel_types::PageNo;
use serde::Deserialize;

const COLLECTION: [&str; 2] = [
    include_str!("../../kernel-context/tests/recall/dialogue.jsonl"),
    include_str!("../../kernel-context/tests/recall/chats.jsonl"),
];

/// Texts that are embedded at once.
const BATCH: usize = 64;

/// A line of the collection; its README tells what is in it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Page(Page),
    Query(Question),
}

#[derive(Deserialize)]
struct Page {
    conv: String,
    id: String,
    session: u64,
    date: String,
    speaker: String,
    text: String,
    tokens: u64,
}

#[derive(Deserialize)]
struct Question {
    conv: String,
    text: String,
    budget_tokens: u64,
    evidence: Vec<String>,
}

/// One text and what is asked about it.
#[derive(Default)]
struct Conversation {
    pages: Vec<Page>,
    questions: Vec<Question>,
}

/// What one way of searching brought back: for each text, the share of each question's evidence.
struct Column {
    name: String,
    recalls: BTreeMap<String, Vec<f64>>,
    embedding: Duration,
    searching: Duration,
}

fn main() -> Result<()> {
    let texts = collection()?;
    let mut columns = vec![column(&texts, None)?];
    for folder in std::env::args_os().skip(1) {
        let embedder = open_embedder(Path::new(&folder))?;
        columns.push(column(&texts, Some(&*embedder))?);
    }
    print(&texts, &columns);
    Ok(())
}

fn collection() -> Result<BTreeMap<String, Conversation>> {
    let mut texts: BTreeMap<String, Conversation> = BTreeMap::new();
    for line in COLLECTION.iter().flat_map(|file| file.lines()) {
        match serde_json::from_str(line)? {
            Line::Page(page) => texts.entry(page.conv.clone()).or_default().pages.push(page),
            Line::Query(question) => texts.entry(question.conv.clone()).or_default().questions.push(question),
        }
    }
    Ok(texts)
}

fn column(texts: &BTreeMap<String, Conversation>, embedder: Option<&dyn Embedder>) -> Result<Column> {
    let name = embedder.map_or("words", Embedder::model).to_owned();
    let (mut embedding, mut searching) = (Duration::ZERO, Duration::ZERO);
    let mut recalls = BTreeMap::new();
    for (title, conversation) in texts {
        let start = Instant::now();
        let pages = vectors(embedder, conversation.pages.iter().map(|page| page.text.as_str()))?;
        let asked = vectors(embedder, conversation.questions.iter().map(|question| question.text.as_str()))?;
        embedding += start.elapsed();
        let index = index(conversation, &pages)?;
        let start = Instant::now();
        let found = conversation.questions.iter().zip(&asked);
        let found = found.map(|(question, vector)| recall(conversation, &index, question, vector.as_ref()));
        recalls.insert(title.clone(), found.collect());
        searching += start.elapsed();
    }
    Ok(Column { name, recalls, embedding, searching })
}

/// The vectors of texts as the kernel keeps them; none without a model.
fn vectors<'a>(
    embedder: Option<&dyn Embedder>,
    texts: impl Iterator<Item = &'a str>,
) -> Result<Vec<Option<Embedding>>> {
    let texts: Vec<&str> = texts.collect();
    let Some(embedder) = embedder else { return Ok(vec![None; texts.len()]) };
    let mut vectors = Vec::with_capacity(texts.len());
    for batch in texts.chunks(BATCH) {
        vectors.extend(embedder.embed(batch)?.iter().map(|values| Embedding::new(embedder.model(), values)));
    }
    Ok(vectors)
}

fn index(conversation: &Conversation, vectors: &[Option<Embedding>]) -> Result<Index> {
    let mut index = Index::default();
    for (number, (page, vector)) in conversation.pages.iter().zip(vectors).enumerate() {
        index
            .add(&IndexedPage {
                page: PageNo(number as u64),
                text: &page.text,
                source: Some(Source { id: page.session, path: "", top: false }),
                about: &[&page.speaker, &page.date],
                embedding: vector.as_ref(),
            })
            .with_context(|| page.id.clone())?;
    }
    Ok(index)
}

/// The share of a question's evidence among the best pages that its budget holds.
fn recall(
    conversation: &Conversation,
    index: &Index,
    question: &Question,
    vector: Option<&Embedding>,
) -> f64 {
    let mut room = question.budget_tokens;
    let mut found = 0;
    for hit in index.search(&Query { text: &question.text, embedding: vector, limit: index.len() }) {
        let page = &conversation.pages[usize::try_from(hit.page.0).expect("a place in the list")];
        if let Some(left) = room.checked_sub(page.tokens) {
            room = left;
            found += usize::from(question.evidence.contains(&page.id));
        }
    }
    found as f64 / question.evidence.len() as f64
}

/// The table, in Markdown.
fn print(texts: &BTreeMap<String, Conversation>, columns: &[Column]) {
    let row = |name: &str, count: usize, cells: &mut dyn Iterator<Item = String>| {
        println!("| {name} | {count} | {} |", cells.collect::<Vec<_>>().join(" | "));
    };
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    println!("| text | questions | {} |", names.join(" | "));
    println!("|{}", " --- |".repeat(columns.len() + 2));
    for (title, conversation) in texts {
        let count = conversation.questions.len();
        row(title, count, &mut columns.iter().map(|column| percent(column.recalls[title].iter())));
    }
    let asked = texts.values().map(|conversation| conversation.questions.len()).sum();
    row("all", asked, &mut columns.iter().map(|column| percent(column.recalls.values().flatten())));
    let said = texts.values().map(|conversation| conversation.pages.len()).sum::<usize>() + asked;
    for column in columns {
        let search = column.searching.as_micros() / asked as u128;
        let rate = said as f64 / column.embedding.as_secs_f64();
        let embedding =
            if column.name == "words" { String::new() } else { format!(", {rate:.0} texts/s embedded") };
        println!("{}: {search} µs a question{embedding}", column.name);
    }
}

fn percent<'a>(recalls: impl Iterator<Item = &'a f64>) -> String {
    let recalls: Vec<f64> = recalls.copied().collect();
    format!("{:.1} %", 100.0 * recalls.iter().sum::<f64>() / recalls.len() as f64)
}
