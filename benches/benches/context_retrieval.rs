//! The retrieval index on pages made of real talk: ingest, queries, clones.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernel_context::retrieval::{Index, IndexedPage, Query, Source};
use kernel_types::PageNo;

/// Pages in the words of real conversations, and what was asked about these.
struct Talk {
    words: Vec<String>,
    questions: Vec<String>,
}

impl Talk {
    fn new() -> Self {
        let lines = include_str!("../../kernel-context/tests/recall/chats.jsonl").lines();
        let mut talk = Self { words: Vec::new(), questions: Vec::new() };
        for line in lines {
            let line: serde_json::Value = serde_json::from_str(line).expect("the collection is JSON Lines");
            let text = line["text"].as_str().expect("every line has a text");
            if line["type"] == "page" {
                talk.words.extend(text.split_whitespace().map(str::to_owned));
            } else {
                talk.questions.push(text.to_owned());
            }
        }
        talk
    }

    /// Seven pieces of eight words, and a word of its own.
    fn page(&self, number: usize) -> String {
        let mut state = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut text = format!("item{number}");
        for _ in 0..7 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let start = (state >> 33) as usize % (self.words.len() - 8);
            text.push(' ');
            text.push_str(&self.words[start..start + 8].join(" "));
        }
        text
    }

    fn index(&self, pages: usize) -> Index {
        let mut index = Index::default();
        (0..pages).for_each(|number| add(&mut index, number, &self.page(number)));
        index
    }
}

fn add(index: &mut Index, number: usize, text: &str) {
    let source = Some(Source { id: number as u64 / 40, path: "", top: false });
    let about = &[["Ann", "Bob"][number % 2], "2023-05-07"];
    let page = IndexedPage { page: PageNo(number as u64), text, source, about, embedding: None };
    index.add(&page).expect("pages are numbered in order");
}

/// 5,000 pages into an empty index.
fn retrieval_ingest(c: &mut Criterion) {
    let talk = Talk::new();
    let pages: Vec<String> = (0..5_000).map(|number| talk.page(number)).collect();
    let mut group = c.benchmark_group("retrieval/ingest");
    group.throughput(Throughput::Bytes(pages.iter().map(|page| page.len() as u64).sum()));
    group.sample_size(20).bench_function("5000 pages", |b| {
        b.iter_with_large_drop(|| {
            let mut index = Index::default();
            pages.iter().enumerate().for_each(|(number, page)| add(&mut index, number, page));
            index
        });
    });
    group.finish();
}

/// One question of many, for what 4,096 tokens hold.
fn retrieval_query(c: &mut Criterion) {
    let talk = Talk::new();
    let mut group = c.benchmark_group("retrieval/query");
    for pages in [10_000, 1_000_000] {
        let index = talk.index(pages);
        let mut questions = talk.questions.iter().cycle();
        group.sample_size(20).bench_function(BenchmarkId::new("pages", pages), |b| {
            b.iter(|| {
                let text = questions.next().expect("a cycle has no end");
                index.search(&Query { text: black_box(text), embedding: None, limit: 512 })
            });
        });
    }
    group.finish();
}

/// A clone of an index of 100,000 tokens, and three pages into it.
fn retrieval_clone(c: &mut Criterion) {
    let talk = Talk::new();
    let index = talk.index(1_300);
    let pages: Vec<String> = (1_300..1_303).map(|number| talk.page(number)).collect();
    c.benchmark_group("retrieval/clone").bench_function("and three pages", |b| {
        b.iter_with_large_drop(|| {
            let mut clone = index.clone();
            (1_300..).zip(&pages).for_each(|(number, page)| add(&mut clone, number, page));
            clone
        });
    });
}

criterion_group!(benches, retrieval_ingest, retrieval_query, retrieval_clone);
criterion_main!(benches);
