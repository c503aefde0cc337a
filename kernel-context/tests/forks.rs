//! What a fork costs in memory, counted by the allocator: a binary of its own, because every allocation counts.

#![expect(clippy::unwrap_used, reason = "test code: a panic is a failure")]

use std::alloc::System;

use kernel_context::{
    Change, MemorySwap, PageDraft, Pager, PagerConfig, PagerFactory, Replacement, TokenCounter,
};
use kernel_types::{
    CacheModel, Importance, JsonText, Origin, PageKind, PageNo, Timestamp, Tokens, hash_bytes,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FORKS: usize = 1_000;
/// All forks together take less.
const MOST_BYTES: usize = 10 << 20;
const WINDOW: Tokens = Tokens(128_000);
/// What the agent holds in its window.
const HELD: u64 = 100_000;

/// Bytes that are allocated now.
fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

struct Agent {
    pager: Box<dyn Pager>,
    swap: MemorySwap,
    texts: u64,
    calls: u64,
}

impl Agent {
    fn new() -> Self {
        let config = PagerConfig {
            model: "gpt-4o".into(),
            window: WINDOW,
            cache: CacheModel::default(),
            keep_warm: true,
        };
        let pager = Replacement::default().make(&config).unwrap();
        Self { pager, swap: MemorySwap::default(), texts: 0, calls: 0 }
    }

    fn draft(&mut self, kind: PageKind, text: &str) -> PageDraft {
        let body = self.swap.insert(text);
        let importance = Importance::default();
        PageDraft { importance, ..PageDraft::new(kind, body) }
    }

    /// About 100 tokens that are on no other page.
    fn text(&mut self) -> String {
        self.texts += 1;
        let words = ["river", "stone", "garden", "engine", "silver", "bridge", "harbor"];
        let word =
            |n: u64| format!("{} {}", words[((self.texts * 31 + n * n) % 7) as usize], self.texts * n % 997);
        (0..36).map(word).collect::<Vec<_>>().join(" ")
    }

    fn allocate(&mut self, drafts: Vec<PageDraft>) -> Vec<PageNo> {
        self.pager.apply(&Change::Allocate(drafts), &self.swap).unwrap().pages
    }

    /// A turn: what the user said, a tool call with its result, lines of a file, a note, an answer; then a call.
    fn turn(&mut self) -> Vec<PageNo> {
        let id = format!("call-{}", self.calls);
        let args = JsonText::of(&[&id]).unwrap().as_str().replace('[', "{\"path\":").replace(']', "}");
        let texts: Vec<String> = (0..4).map(|_| self.text()).collect();
        let said = self.draft(PageKind::User, &texts[0]);
        let call = self.draft(PageKind::ToolCall { id: id.clone(), name: "read_file".into() }, &args);
        let result = self.draft(PageKind::ToolResult { id, is_error: false }, &texts[1]);
        let path = format!("src/file-{}.rs", self.calls % 40);
        let origin = Origin { file: hash_bytes(path.as_bytes()), path, first_line: 1, last_line: 9 };
        let lines = PageDraft { origin: Some(origin), ..self.draft(PageKind::Document, &texts[2]) };
        let answer = self.draft(PageKind::Assistant, &texts[3]);
        let note = self.draft(PageKind::Note { name: format!("step {}", self.calls % 5) }, &texts[0][..40]);
        let pages = self.allocate(vec![said, call, result, lines, answer, note]);
        self.call();
        pages
    }

    fn call(&mut self) {
        self.calls += 1;
        show(&mut *self.pager, &self.swap, self.calls * 1_000);
    }
}

/// Renders, and takes the render as answered.
fn show(pager: &mut dyn Pager, swap: &MemorySwap, at_ms: u64) -> Tokens {
    for change in pager.plan(Timestamp(at_ms)).unwrap().changes {
        pager.apply(&change, swap).unwrap();
    }
    let rendered = pager.render(swap).unwrap();
    pager.apply(&Change::Rendered { trace: rendered.trace, at: Timestamp(at_ms) }, swap).unwrap();
    rendered.tokens
}

/// An agent that holds 100,000 tokens, has lost pages, called some back, and freed some.
fn agent() -> Agent {
    let mut agent = Agent::new();
    let mut pages = Vec::new();
    let tokens = |agent: &Agent| agent.pager.render(&agent.swap).unwrap().tokens.0;
    while tokens(&agent) < HELD + 10_000 {
        (0..10).for_each(|_| pages.extend(agent.turn()));
    }
    let gone: Vec<PageNo> = pages.chunks(6).step_by(9).map(|turn| turn[3]).collect();
    agent.pager.apply(&Change::Evict(gone.clone()), &agent.swap).unwrap();
    agent.call();
    agent.pager.apply(&Change::Recall(gone[..gone.len() / 2].to_vec()), &agent.swap).unwrap();
    agent.pager.apply(&Change::Free(pages[40]), &agent.swap).unwrap();
    agent.call();
    agent
}

#[test]
fn a_thousand_forks_of_a_large_agent_are_small() {
    let mut agent = agent();
    let held = agent.pager.render(&agent.swap).unwrap().tokens;
    assert!(held.0 >= HELD, "the agent holds {held} tokens");
    let drafts: Vec<PageDraft> = (0..FORKS)
        .map(|_| {
            let text = agent.text();
            agent.draft(PageKind::User, &text)
        })
        .collect();
    let size = TokenCounter::for_model("gpt-4o").count(&agent.swap_text(&drafts[0]));

    // Rendering once more fills what is made on demand, so that it is not counted as the forks'.
    let mut forks: Vec<Box<dyn Pager>> = Vec::with_capacity(FORKS);
    agent.pager.fork().render(&agent.swap).unwrap();
    let before = live();
    forks.extend((0..FORKS).map(|_| agent.pager.fork()));
    let forked = live() - before;
    for (fork, draft) in forks.iter_mut().zip(&drafts) {
        fork.apply(&Change::Allocate(vec![draft.clone()]), &agent.swap).unwrap();
    }
    let allocated = live() - before;
    for (at, fork) in (1..).zip(&mut forks) {
        show(&mut **fork, &agent.swap, agent.calls * 1_000 + at);
    }
    let rendered = live() - before;
    println!(
        "{FORKS} forks of an agent with {} pages, {held} tokens in its window: {} bytes each; with a page of {size} \
         tokens of its own {}; rendered {}",
        agent.pager.pages().len(),
        forked / FORKS,
        allocated / FORKS,
        rendered / FORKS
    );
    assert!(rendered < MOST_BYTES, "{FORKS} forks take {rendered} bytes");
    for (fork, draft) in forks.iter().zip(&drafts) {
        let last = fork.pages().pop().unwrap();
        assert!(last.body == draft.body && last.resident, "each has its own page");
    }
}

impl Agent {
    fn swap_text(&self, draft: &PageDraft) -> String {
        kernel_context::Swap::body(&self.swap, &draft.body).unwrap().to_string()
    }
}
