//! The page table at work: touch, pin, read, evict and recall, in spaces of a thousand and of a million pages.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernel_context::{Change, MemorySwap, PageDraft, Pager, PagerConfig, PagerFactory, Replacement};
use kernel_types::{CacheModel, PageKind, PageNo, Timestamp, Tokens};

/// Bodies are shared: the page table is what is measured.
const BODIES: usize = 64;
/// Pages of the large space. Builds with debug assertions look at all of it after every change: they only try it out.
const LARGE: u64 = if cfg!(debug_assertions) { 3_000 } else { 1_000_000 };
/// Pages that are touched and read in a round, beside the one that is pinned and unpinned and the one that leaves and comes
/// back: as often as each other, and as agents do it, who use pages far more often than they lose them.
const MIXES: [(&str, u64); 2] = [("all alike", 1), ("mostly used", 8)];

struct Space {
    pager: Box<dyn Pager>,
    swap: MemorySwap,
    pages: u64,
    state: u64,
}

impl Space {
    /// `pages` pages of 100 tokens, all of them in the window and shown.
    fn filled(pages: u64) -> Self {
        let config = PagerConfig {
            model: "gpt-4o".into(),
            window: Tokens(pages * 128),
            cache: CacheModel::default(),
            keep_warm: true,
        };
        let pager = Replacement::default().make(&config).expect("the window is not zero");
        let mut space = Self { pager, swap: MemorySwap::default(), pages, state: 1 };
        let bodies: Vec<_> = (0..BODIES).map(|number| space.swap.insert(format!("body {number}"))).collect();
        for number in 0..pages {
            let body = bodies[usize::try_from(number).unwrap_or(0) % BODIES];
            let draft = PageDraft { size: Some(Tokens(100)), ..PageDraft::new(PageKind::Document, body) };
            space.apply(&Change::Allocate(vec![draft]));
        }
        let trace = space.pager.render(&space.swap).expect("the window fits").trace;
        space.apply(&Change::Rendered { trace, at: Timestamp(1) });
        space
    }

    fn apply(&mut self, change: &Change) {
        black_box(self.pager.apply(change, &self.swap).expect("the change fits"));
    }

    fn any(&mut self) -> PageNo {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        PageNo(1 + (self.state >> 20) % self.pages)
    }

    /// Operations on pages drawn at random; what was evicted comes back, so that the window stays full.
    fn round(&mut self, used: u64) {
        for _ in 0..used {
            let (touched, read) = (self.any(), self.any());
            self.apply(&Change::Touch(vec![touched]));
            black_box(self.pager.read(read, &self.swap)).expect("the page is there");
        }
        let (pinned, evicted) = (self.any(), self.any());
        self.apply(&Change::Pin(pinned));
        self.apply(&Change::Unpin(pinned));
        self.apply(&Change::Evict(vec![evicted]));
        self.apply(&Change::Recall(vec![evicted]));
    }
}

fn mix(c: &mut Criterion) {
    let mut group = c.benchmark_group("context/mix");
    for pages in [1_000, LARGE] {
        let mut space = Space::filled(pages);
        for (name, used) in MIXES {
            group.throughput(Throughput::Elements(2 * used + 4));
            group.bench_function(BenchmarkId::new(name, pages), |b| b.iter(|| space.round(used)));
        }
    }
    group.finish();
}

/// A page fault: a swapped page is read, comes back at the tail, and another leaves.
fn fault(c: &mut Criterion) {
    let mut group = c.benchmark_group("context/fault");
    for pages in [1_000, LARGE / 10 + 1] {
        let mut space = Space::filled(pages);
        let mut out = space.any();
        space.apply(&Change::Evict(vec![out]));
        group.bench_function(BenchmarkId::new("pages", pages), |b| {
            b.iter(|| {
                black_box(space.pager.read(out, &space.swap)).expect("the page is there");
                space.apply(&Change::Recall(vec![out]));
                out = space.any();
                space.apply(&Change::Evict(vec![out]));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, mix, fault);
criterion_main!(benches);
