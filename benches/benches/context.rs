//! Virtual memory: allocating, reading, compacting, rendering and finding pages.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernel_context::retrieval::Query;
use kernel_context::{
    Change, MemorySwap, PageDraft, Pager, PagerConfig, PagerFactory, Replacement, TokenCounter,
};
use kernel_types::{CacheModel, Origin, PageKind, PageNo, Timestamp, Tokens, hash_bytes};

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
        let config = PagerConfig {
            model: "gpt-4o".into(),
            window: Tokens(window),
            cache: CacheModel::default(),
            keep_warm: true,
        };
        let pager = Replacement::default().make(&config).expect("the window is not zero");
        Self { pager, swap: MemorySwap::default() }
    }

    fn draft(&mut self, number: usize, swapped: bool) -> PageDraft {
        let path = format!("book/chapter-{:03}.md", number / 50);
        let first_line = 1 + 10 * u32::try_from(number % 50).expect("below 50");
        let file = hash_bytes(path.as_bytes());
        PageDraft {
            swapped,
            origin: Some(Origin { path, first_line, last_line: first_line + 9, file }),
            ..PageDraft::new(PageKind::Document, self.swap.insert(text(number)))
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
        space.apply(&Change::Rendered { trace, at: Timestamp::default() });
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
        let config = PagerConfig {
            model: "gpt-4o".into(),
            window: Tokens(tokens),
            cache: CacheModel::default(),
            keep_warm: true,
        };
        let saved = full.pager.save().expect("a state can be saved");
        let load = || Replacement::default().load(&config, &saved, &full.swap).expect("a saved state loads");
        b.iter_batched_ref(
            load,
            |pager| {
                for change in pager.plan(Timestamp::default()).expect("nothing is pinned").changes {
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
            b.iter(|| {
                space
                    .pager
                    .find(&Query::words(black_box("the prompt prefix cache of section 777")), Tokens(1_400))
            });
        });
    }
    group.finish();
}

/// Exact counts of texts whose words have been seen before.
fn count(c: &mut Criterion) {
    let mut group = c.benchmark_group("tokens/count");
    let counter = TokenCounter::for_model("gpt-4o");
    let texts = [
        ("English", include_str!("../../ARCHITECTURE.md")),
        ("code", include_str!("../../kernel-types/src/syscall.rs")),
    ];
    for (name, text) in texts {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| counter.count(black_box(text))));
    }
    group.finish();
}

criterion_group!(benches, allocate, read, evict, render, find, count);
criterion_main!(benches);
