//! Virtual memory: allocating, reading, compacting, rendering and finding pages.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernel_context::retrieval::{Index, IndexedPage, Query, Source};
use kernel_context::{BatchPagers, Change, MemorySwap, PageDraft, Pager, PagerConfig, PagerFactory};
use kernel_types::{CacheModel, Importance, Origin, PageKind, PageNo, Tokens, hash_bytes};

const WORDS: [&str; 24] = [
    "river", "stone", "window", "garden", "letter", "summer", "engine", "market", "silver", "forest",
    "bridge", "candle", "signal", "harbor", "meadow", "thunder", "kernel", "process", "memory", "prompt",
    "prefix", "token", "cache", "budget",
];
const TOKENS_A_PAGE: usize = 200;

/// A page of prose that differs by its number.
fn text(number: usize) -> String {
    let mut state = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = format!("Section {number}.");
    for _ in 0..TOKENS_A_PAGE {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(' ');
        text.push_str(WORDS[(state >> 33) as usize % WORDS.len()]);
    }
    text
}

struct Space {
    pager: Box<dyn Pager>,
    swap: MemorySwap,
}

impl Space {
    fn new(window: u64) -> Self {
        let config =
            PagerConfig { model: "gpt-4o".into(), window: Tokens(window), cache: CacheModel::default() };
        let pager = BatchPagers::default().make(&config).expect("the window is not zero");
        Self { pager, swap: MemorySwap::default() }
    }

    fn draft(&mut self, number: usize, swapped: bool) -> PageDraft {
        let path = format!("book/chapter-{:03}.md", number / 50);
        let first_line = 1 + 10 * u32::try_from(number % 50).expect("below 50");
        let file = hash_bytes(path.as_bytes());
        PageDraft {
            kind: PageKind::Document,
            body: self.swap.insert(text(number)),
            importance: Importance::default(),
            pinned: false,
            swapped,
            origin: Some(Origin { path, first_line, last_line: first_line + 9, file }),
        }
    }

    fn apply(&mut self, change: &Change) -> Vec<PageNo> {
        self.pager.apply(change, &self.swap).expect("the change fits").pages
    }

    /// A window with `resident` pages and `swapped` more behind it.
    fn filled(window: u64, resident: usize, swapped: usize) -> Self {
        let mut space = Self::new(window);
        for number in 0..resident + swapped {
            let draft = space.draft(number, number >= resident);
            space.apply(&Change::Allocate(vec![draft]));
        }
        let trace = space.pager.render(&space.swap).expect("the window fits").trace;
        space.apply(&Change::Rendered(trace));
        space
    }
}

/// One page of 200 words: counted, indexed, entered into a table that already holds 1,000.
fn allocate(c: &mut Criterion) {
    let mut group = c.benchmark_group("context/allocate");
    group.throughput(Throughput::Elements(1));
    for (name, swapped) in [("resident", false), ("swapped", true)] {
        group.bench_function(name, |b| {
            let mut space = Space::filled(1_000_000_000, 1_000, 0);
            let drafts: Vec<PageDraft> = (2_000..4_000).map(|number| space.draft(number, swapped)).collect();
            let mut next = drafts.iter().cycle();
            b.iter_batched(
                || Change::Allocate(vec![next.next().expect("a cycle has no end").clone()]),
                |change| space.apply(&change),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("context/read");
    group.throughput(Throughput::Elements(1));
    let space = Space::filled(1_000_000, 1_000, 9_000);
    for (name, page) in [("resident", PageNo(500)), ("swapped", PageNo(9_000))] {
        group.bench_function(name, |b| b.iter(|| space.pager.read(black_box(page), &space.swap)));
    }
    group.finish();
}

/// One compaction of a full window of 900 pages down to the low watermark: plan and eviction.
fn evict(c: &mut Criterion) {
    let mut group = c.benchmark_group("context/evict");
    group.bench_function("compaction of 900 pages", |b| {
        let full = Space::filled(1_000_000, 900, 0);
        let tokens: u64 = full.pager.pages().iter().map(|status| status.tokens.0).sum();
        let config =
            PagerConfig { model: "gpt-4o".into(), window: Tokens(tokens), cache: CacheModel::default() };
        let saved = full.pager.save().expect("a state can be saved");
        let load = || BatchPagers::default().load(&config, &saved, &full.swap).expect("a saved state loads");
        b.iter_batched_ref(
            load,
            |pager| {
                for change in pager.plan().expect("nothing is pinned") {
                    pager.apply(&change, &full.swap).expect("a plan can be carried out");
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn render(c: &mut Criterion) {
    let mut group = c.benchmark_group("context/render");
    for pages in [10, 100, 1_000] {
        let space = Space::filled(1_000_000, pages, 0);
        group.throughput(Throughput::Elements(pages as u64));
        group
            .bench_function(BenchmarkId::new("pages", pages), |b| b.iter(|| space.pager.render(&space.swap)));
    }
    group.finish();
}

/// One query of five words over pages that are swapped out.
fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("context/find");
    for pages in [1_000, 10_000] {
        let space = Space::filled(10_000, 0, pages);
        group.bench_function(BenchmarkId::new("pages", pages), |b| {
            b.iter(|| space.pager.find(black_box("the prompt prefix cache of section 777"), Tokens(1_400)));
        });
    }
    group.finish();
}

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

criterion_group!(
    benches,
    allocate,
    read,
    evict,
    render,
    find,
    retrieval_ingest,
    retrieval_query,
    retrieval_clone
);
criterion_main!(benches);
