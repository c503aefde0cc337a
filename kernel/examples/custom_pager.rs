//! A kernel with a pager of its own: first in, first out.
//!
//! It keeps the page table, the retrieval and the rendering of the pager that ships, and replaces the one decision that is
//! policy: which pages leave the window.

#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use kernel::programs::Script;
use kernel::{Kernel, KernelBuilder, Until};
use kernel_context::retrieval::Query;
use kernel_context::{
    Applied, Change, PageStatus, Pager, PagerConfig, PagerError, PagerFactory, Plan, Rendered, Replacement,
    Swap,
};
use kernel_llm::{Canned, FnCpu, model_info};
use kernel_types::{
    Answer, Call, ExitStatus, InferArgs, JsonText, NewPage, PageContent, PageKind, PageNo, Recalled, Spec,
    Timestamp, Tokens,
};

/// Evicts the oldest pages until half of the window is free.
pub(crate) struct FirstOut {
    table: Box<dyn Pager>,
    window: Tokens,
}

impl Pager for FirstOut {
    fn plan(&self, now: Timestamp) -> Result<Plan, PagerError> {
        let fallback = self.table.plan(now)?;
        if fallback.changes.is_empty() {
            return Ok(fallback);
        }
        let resident: Vec<PageStatus> = self.table.pages().into_iter().filter(|page| page.resident).collect();
        let mut excess =
            resident.iter().map(|page| page.tokens).sum::<Tokens>().saturating_sub(Tokens(self.window.0 / 2));
        let mut oldest = Vec::new();
        for page in resident.iter().filter(|page| !page.pinned && page.kind == PageKind::Document) {
            if excess == Tokens::ZERO {
                break;
            }
            excess = excess.saturating_sub(page.tokens);
            oldest.push(page.page);
        }
        // Only documents go here; where they do not make enough room, the table knows what else may.
        let enough = excess == Tokens::ZERO;
        Ok(if enough { Plan { changes: vec![Change::Evict(oldest)], ..fallback } } else { fallback })
    }

    fn apply(&mut self, change: &Change, swap: &dyn Swap) -> Result<Applied, PagerError> {
        self.table.apply(change, swap)
    }
    fn read(&self, page: PageNo, swap: &dyn Swap) -> Result<PageContent, PagerError> {
        self.table.read(page, swap)
    }
    fn find(&self, query: &Query<'_>, budget: Tokens) -> Vec<Recalled> {
        self.table.find(query, budget)
    }
    fn render(&self, swap: &dyn Swap) -> Result<Rendered, PagerError> {
        self.table.render(swap)
    }
    fn pages(&self) -> Vec<PageStatus> {
        self.table.pages()
    }
    fn fork(&self) -> Box<dyn Pager> {
        Box::new(Self { table: self.table.fork(), window: self.window })
    }
    fn save(&self) -> Result<Vec<u8>, PagerError> {
        self.table.save()
    }
}

/// Makes them.
#[derive(Default)]
pub(crate) struct FirstOuts(Replacement);

impl PagerFactory for FirstOuts {
    fn name(&self) -> &'static str {
        "first_out"
    }

    fn make(&self, config: &PagerConfig) -> Result<Box<dyn Pager>, PagerError> {
        Ok(Box::new(FirstOut { table: self.0.make(config)?, window: config.window }))
    }

    fn load(
        &self,
        config: &PagerConfig,
        saved: &[u8],
        swap: &dyn Swap,
    ) -> Result<Box<dyn Pager>, PagerError> {
        Ok(Box::new(FirstOut { table: self.0.load(config, saved, swap)?, window: config.window }))
    }
}

/// The swap.
pub(crate) fn assemble(builder: KernelBuilder) -> KernelBuilder {
    builder.pager(FirstOuts::default())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = FnCpu::new(model_info("echo"), |request| {
        Ok(Canned::text(format!("{} messages", request.prompt.messages.len())))
    });
    let kernel = assemble(Kernel::builder()).cpu(model).build().await?;
    let page =
        |n: u32| NewPage::text(PageKind::Document, format!("Fact {n}: {}", "water is wet. ".repeat(20)));
    let mut steps: Vec<Vec<Call>> =
        (1..=40).map(|n| vec![Call::PageAlloc { pages: vec![page(n)] }]).collect();
    steps.push(vec![Call::Infer(InferArgs { max_output: Tokens(64), ..InferArgs::default() })]);
    steps.push(vec![Call::PageRead { page: PageNo(1) }, Call::PageRead { page: PageNo(40) }]);
    let spec = Spec { window: Some(Tokens(1000)), ..script(steps)? };
    let pid = kernel.spawn(spec).await?;
    kernel.run_until(Until::Idle).await?;
    let Some(ExitStatus::Ok(answers)) = kernel.exit_status(pid).await? else {
        return Err("the script failed".into());
    };
    for answer in JsonText::parse(&answers)?.read::<Vec<Option<Answer>>>()? {
        let Some(Answer::Page(page)) = answer else { continue };
        let place = if page.resident { "in the window" } else { "swapped out, and read all the same" };
        println!("page {}: {} bytes, {place}", page.page, page.text.len());
    }
    Ok(())
}

fn script(steps: Vec<Vec<Call>>) -> Result<Spec, kernel::ProgramError> {
    let step = steps.into_iter().map(|calls| kernel::programs::ScriptStep { repeat: 1, calls }).collect();
    Script { step, ..Script::default() }.spec("reader")
}
