//! A provider's cache that has less than it should: the journal says so, and where the prompt changed.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kernel::mediation::entries;
use kernel::{Kernel, Until};
use kernel_context::retrieval::Query;
use kernel_context::{
    Applied, Change, PageStatus, Pager, PagerConfig, PagerError, PagerFactory, Plan, Rendered, Replacement,
    Swap,
};
use kernel_llm::{Cpu, CpuError, DeltaSink, InferRequest, LocalConfig};
use kernel_storage::MemoryStore;
use kernel_types::{
    Answer, Call, Event, Inference, Message, ModelInfo, NewPage, PageContent, PageKind, PageNo, Part, Prompt,
    Recalled, Timestamp, TokenUsage, Tokens,
};

use crate::world::script;

/// A model that counts a token for four bytes and caches the prefix it saw last, or nothing.
struct Model {
    caches: bool,
    last: Mutex<String>,
}

fn text(prompt: &Prompt) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.to_string(),
        _ => String::new(),
    };
    prompt.messages.iter().flat_map(|message| &message.parts).map(part).collect()
}

#[async_trait]
impl Cpu for Model {
    fn models(&self) -> Vec<ModelInfo> {
        vec![LocalConfig::new("").model_info()]
    }

    fn slots(&self) -> u32 {
        1
    }

    async fn infer(&self, request: InferRequest, _: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let now = text(&request.prompt);
        let last = std::mem::replace(&mut *self.last.lock().unwrap(), now.clone());
        let same = now.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
        let tokens = |bytes: usize| Tokens(bytes as u64 / 4);
        let cached = if self.caches { tokens(same) } else { Tokens::ZERO };
        let usage =
            TokenUsage { input: tokens(now.len()), cached, output: Tokens(2), ..TokenUsage::default() };
        let parts = vec![Part::Text("Yes.".into())];
        Ok(Inference { model: request.model, parts, finish: "stop".to_owned(), usage })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

/// A pager whose third page is another from the third render on, undeclared.
struct Shifty {
    inner: Box<dyn Pager>,
    renders: Arc<AtomicU32>,
}

struct Shifties(Arc<AtomicU32>);

impl PagerFactory for Shifties {
    fn name(&self) -> &'static str {
        "shifty"
    }

    fn make(&self, config: &PagerConfig) -> Result<Box<dyn Pager>, PagerError> {
        Ok(Box::new(Shifty { inner: Replacement::default().make(config)?, renders: Arc::clone(&self.0) }))
    }

    fn load(&self, config: &PagerConfig, _: &[u8], _: &dyn Swap) -> Result<Box<dyn Pager>, PagerError> {
        self.make(config)
    }
}

impl Pager for Shifty {
    fn apply(&mut self, change: &Change, swap: &dyn Swap) -> Result<Applied, PagerError> {
        self.inner.apply(change, swap)
    }

    fn read(&self, page: PageNo, swap: &dyn Swap) -> Result<PageContent, PagerError> {
        self.inner.read(page, swap)
    }

    fn find(&self, query: &Query<'_>, budget: Tokens) -> Vec<Recalled> {
        self.inner.find(query, budget)
    }

    fn plan(&self, now: Timestamp) -> Result<Plan, PagerError> {
        self.inner.plan(now)
    }

    fn render(&self, swap: &dyn Swap) -> Result<Rendered, PagerError> {
        let mut rendered = self.inner.render(swap)?;
        if self.renders.fetch_add(1, Ordering::Relaxed) >= 2 {
            rendered.segments[2].id ^= 1;
            let places = |message: &mut Message| std::mem::take(&mut message.parts);
            let parts: Vec<Part> = rendered.messages.iter_mut().flat_map(places).collect();
            let changed = |(at, part)| if at == 2 { Part::Text("Something else.".into()) } else { part };
            rendered.messages[0].parts = parts.into_iter().enumerate().map(changed).collect();
            rendered.messages.retain(|message| !message.parts.is_empty());
        }
        Ok(rendered)
    }

    fn pages(&self) -> Vec<PageStatus> {
        self.inner.pages()
    }

    fn fork(&self) -> Box<dyn Pager> {
        Box::new(Self { inner: self.inner.fork(), renders: Arc::clone(&self.renders) })
    }

    fn save(&self) -> Result<Vec<u8>, PagerError> {
        self.inner.save()
    }
}

/// Three calls of a process whose window only grows: the warnings, and tokens expected and reported of each call.
async fn run(caches: bool, pagers: impl PagerFactory + 'static) -> (Vec<Event>, Vec<(u64, u64)>) {
    let store = MemoryStore::new();
    let builder = Kernel::builder().store(store.clone()).cpu(Model { caches, last: Mutex::default() });
    let kernel = builder.pager(pagers).build().await.unwrap();
    let page = |n: u32| {
        let text = format!("{n}: {}", "The quick brown fox jumps over the lazy dog. ".repeat(12));
        Call::PageAlloc { pages: vec![NewPage::text(PageKind::User, text)] }
    };
    let infer = || Call::Infer(Default::default());
    let steps =
        vec![vec![page(1), page(2), page(3), infer()], vec![page(4), infer()], vec![page(5), infer()]];
    let pid = kernel.spawn(script(steps)).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    let (mut warnings, mut figures) = (Vec::new(), Vec::new());
    for entry in entries(&store, pid).await {
        match entry.event {
            Event::CacheMissed { .. } => warnings.push(entry.event),
            Event::Outcome { result: Ok(Answer::Inference(inference)), expected_cached, .. } => {
                figures.push((expected_cached.unwrap().0, inference.usage.cached.0));
            }
            _ => {}
        }
    }
    (warnings, figures)
}

#[tokio::test]
async fn a_cache_that_works_warns_of_nothing() {
    let (warnings, figures) = run(true, Replacement::default()).await;
    assert_eq!((warnings, figures.len()), (vec![], 3));
    assert_eq!(figures[0], (0, 0));
    for (expected, reported) in &figures[1..] {
        assert!(*expected > 300 && expected.abs_diff(*reported) <= 64, "{figures:?}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_cache_is_named() {
    let (warnings, figures) = run(false, Replacement::default()).await;
    let [Event::CacheMissed { expected, reported: Tokens(0), segment: None, page: None }, _] = &warnings[..]
    else {
        panic!("{warnings:?}")
    };
    assert_eq!(expected.0, figures[1].0);
}

#[tokio::test]
async fn a_prompt_that_changed_undeclared_is_named_by_its_page() {
    let (warnings, _) = run(true, Shifties(Arc::default())).await;
    let [Event::CacheMissed { segment: Some(2), page: Some(PageNo(3)), .. }] = &warnings[..] else {
        panic!("{warnings:?}")
    };
}
