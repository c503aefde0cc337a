//! Retrieval over conversations, driven by JSON Lines: pages and questions in, ranked pages out.
//!
//! ```text
//! {"type":"page","conv":"c","id":"a","seq":0,"session":1,"date":"2023-05-07","speaker":"Ann","text":"..","tokens":12}
//! {"type":"query","conv":"c","qid":"q","text":"..","budget_tokens":4096}  ->  {"qid":"q","ranked":["a"],"us":57}
//! {"type":"end","conv":"c"}
//! ```
//!
//! With `--embeddings FOLDER`, pages and questions are also compared by vectors of the static model in that folder. Larger models
//! belong to kernel-llm, which this crate does not know; `benches/examples/recall_by_model.rs` measures them.
//!
//! Each conversation has an index of its own. Pages are taken in the order in which they come; `session`, `date` and `speaker`
//! may be missing. `ranked` holds the pages that fit into the budget together, best first. A line that cannot be understood is
//! answered with `{"error":".."}`, and the next one is read.

mod model;

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use kernel_context::retrieval::{Embedding, Index, IndexedPage, Query, Source};
use kernel_types::PageNo;
use serde_json::{Value, json};

use crate::model::Model;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let model = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--embeddings", folder] => Some(Model::open(Path::new(folder))?),
        _ => return Err("usage: recall [--embeddings FOLDER]".into()),
    };
    let mut recall = Recall { model, conversations: HashMap::new() };
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = recall.answer(&line);
        if let Some(answer) = answer.unwrap_or_else(|error| Some(json!({ "error": error }))) {
            writeln!(output, "{answer}")?;
            output.flush()?;
        }
    }
    Ok(())
}

/// All conversations that have not ended.
struct Recall {
    model: Option<Model>,
    conversations: HashMap<String, Conversation>,
}

/// The pages of one conversation.
#[derive(Default)]
struct Conversation {
    index: Index,
    /// Name and size of each page, by number.
    pages: Vec<(String, u64)>,
    numbers: HashMap<String, PageNo>,
    sessions: HashMap<String, u64>,
}

impl Recall {
    fn answer(&mut self, line: &[u8]) -> Result<Option<Value>, String> {
        let line: Value = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
        let kind = text(&line, "type")?;
        let name = text(&line, "conv")?;
        let unknown = || format!("unknown conversation {name}");
        match kind {
            "page" => {
                let page = Page::new(&line)?;
                let embedding = self.model.as_ref().and_then(|model| model.embed(page.text));
                self.conversations.entry(name.to_owned()).or_default().add(&page, embedding.as_ref())?;
                Ok(None)
            }
            "query" => {
                let (qid, query) = (field(&line, "qid")?, text(&line, "text")?);
                let budget = number(&line, "budget_tokens")?;
                let conversation = self.conversations.get(name).ok_or_else(unknown)?;
                let start = Instant::now();
                let embedding = self.model.as_ref().and_then(|model| model.embed(query));
                let ranked = conversation.find(query, embedding.as_ref(), budget);
                let us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                Ok(Some(json!({ "qid": qid, "ranked": ranked, "us": us })))
            }
            "end" => self.conversations.remove(name).map(|_| None).ok_or_else(unknown),
            _ => Err(format!("unknown type {kind}")),
        }
    }
}

/// A line that brings a page.
struct Page<'a> {
    id: &'a str,
    text: &'a str,
    tokens: u64,
    session: String,
    about: Vec<&'a str>,
}

impl<'a> Page<'a> {
    fn new(line: &'a Value) -> Result<Self, String> {
        number(line, "seq")?;
        let about = ["speaker", "date"].into_iter().filter_map(|name| line.get(name)?.as_str());
        Ok(Self {
            id: text(line, "id")?,
            text: text(line, "text")?,
            tokens: number(line, "tokens")?,
            session: line.get("session").unwrap_or(&Value::Null).to_string(),
            about: about.collect(),
        })
    }
}

impl Conversation {
    fn add(&mut self, page: &Page<'_>, embedding: Option<&Embedding>) -> Result<(), String> {
        if self.numbers.contains_key(page.id) {
            return Err(format!("page {} is there already", page.id));
        }
        let number = PageNo(self.pages.len() as u64);
        let next = self.sessions.len() as u64;
        let session = *self.sessions.entry(page.session.clone()).or_insert(next);
        let source = Some(Source { id: session, path: "", top: false });
        let entry = IndexedPage { page: number, text: page.text, source, about: &page.about, embedding };
        self.index.add(&entry).map_err(|error| error.to_string())?;
        self.numbers.insert(page.id.to_owned(), number);
        self.pages.push((page.id.to_owned(), page.tokens));
        Ok(())
    }

    /// The names of the pages that fit `query`, best first, as many as `budget` tokens hold.
    fn find(&self, query: &str, embedding: Option<&Embedding>, budget: u64) -> Vec<&str> {
        let limit = usize::try_from(budget).unwrap_or(usize::MAX).min(self.index.len());
        let mut room = budget;
        let mut found = Vec::new();
        for hit in self.index.search(&Query { text: query, embedding, limit }) {
            let (name, tokens) = &self.pages[usize::try_from(hit.page.0).expect("a place in the list")];
            if let Some(left) = room.checked_sub(*tokens) {
                room = left;
                found.push(name.as_str());
            }
        }
        found
    }
}

fn field<'a>(line: &'a Value, name: &str) -> Result<&'a Value, String> {
    line.get(name).filter(|value| !value.is_null()).ok_or_else(|| format!("{name} is missing"))
}

fn text<'a>(line: &'a Value, name: &str) -> Result<&'a str, String> {
    field(line, name)?.as_str().ok_or_else(|| format!("{name} is not a string"))
}

fn number(line: &Value, name: &str) -> Result<u64, String> {
    field(line, name)?.as_u64().ok_or_else(|| format!("{name} is not a whole number"))
}
