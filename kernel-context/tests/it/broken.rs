//! Tests of the tests: pagers with one seeded defect each must break a law that is about it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};

use kernel_context::conformance::LAWS;
use kernel_context::retrieval::{Embedding, Query};
use kernel_context::{
    Applied, Change, MemorySwap, PageStatus, Pager, PagerConfig, PagerError, PagerFactory, Plan, Rendered,
    Replacement, Swap,
};
use kernel_types::{Message, PageContent, PageNo, Part, Recalled, Role, Timestamp, Tokens};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Defect {
    SplitsToolCalls,
    ForgetsEvicted,
    ChangesThePrefix,
    ExceedsTheWindow,
    PlansPinnedPages,
    ShowsNotesFirst,
    ChangesOnError,
    ForgetsOnLoad,
    IgnoresTheBudget,
    UsesNumbersAgain,
    CutsText,
    ShowsSwappedPages,
    SaysAllIsStable,
    IgnoresVectors,
    SharesVectorsOfModels,
    ForksShare,
    ForksForget,
    EvictsInSecret,
    CompactsTooMuch,
}

/// The law that walks at random.
const WALK: &str = "every_promise_is_kept_at_random";

/// Each defect and a law that must notice it.
const SEEDED: &[(Defect, &str)] = &[
    (Defect::SplitsToolCalls, "a_tool_call_leaves_and_returns_with_its_result"),
    (Defect::ForgetsEvicted, "an_evicted_page_is_readable_again"),
    (Defect::ChangesThePrefix, "rendering_only_appends"),
    (Defect::ExceedsTheWindow, "a_full_window_is_planned_down"),
    (Defect::PlansPinnedPages, "a_pinned_page_stays"),
    (Defect::ShowsNotesFirst, "notes_come_last"),
    (Defect::ChangesOnError, "a_failed_change_changes_nothing"),
    (Defect::ForgetsOnLoad, "a_saved_space_is_the_same"),
    (Defect::IgnoresTheBudget, "find_stays_in_its_budget"),
    (Defect::UsesNumbersAgain, "pages_are_listed_in_order"),
    (Defect::CutsText, "a_page_is_readable_as_allocated"),
    (Defect::ShowsSwappedPages, "a_swapped_page_waits"),
    (Defect::SaysAllIsStable, "an_unchanged_window_is_stable"),
    (Defect::IgnoresVectors, "a_vector_finds_what_words_do_not"),
    (Defect::SharesVectorsOfModels, "another_model_s_vector_changes_nothing"),
    (Defect::SaysAllIsStable, WALK),
    (Defect::ForksShare, "a_fork_goes_its_own_way"),
    (Defect::ForksShare, WALK),
    (Defect::ForksForget, "a_fork_goes_its_own_way"),
    (Defect::ForksForget, WALK),
    (Defect::EvictsInSecret, WALK),
    (Defect::CompactsTooMuch, WALK),
    (Defect::ChangesThePrefix, WALK),
    (Defect::ForgetsEvicted, WALK),
    (Defect::ForgetsOnLoad, WALK),
    (Defect::ExceedsTheWindow, WALK),
    (Defect::PlansPinnedPages, WALK),
    (Defect::ShowsNotesFirst, WALK),
    (Defect::UsesNumbersAgain, WALK),
    (Defect::ShowsSwappedPages, WALK),
];

struct BrokenPagers(Defect);

struct BrokenPager {
    defect: Defect,
    inner: Arc<Mutex<Box<dyn Pager>>>,
}

fn broken(law: &str, factory: &dyn PagerFactory) -> bool {
    let (_, law) = LAWS.iter().find(|(name, _)| *name == law).unwrap();
    catch_unwind(AssertUnwindSafe(|| law(factory))).is_err()
}

#[test]
fn a_seeded_defect_breaks_a_law() {
    for (defect, law) in SEEDED {
        assert!(broken(law, &BrokenPagers(*defect)), "{defect:?} went unnoticed by {law}");
        assert!(!broken(law, &Replacement::default()), "{law} fails without the defect");
    }
}

impl PagerFactory for BrokenPagers {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn make(&self, config: &PagerConfig) -> Result<Box<dyn Pager>, PagerError> {
        let factor = if self.0 == Defect::ExceedsTheWindow { 2 } else { 1 };
        let config = PagerConfig { window: Tokens(config.window.0 * factor), ..config.clone() };
        Ok(BrokenPager::boxed(self.0, Replacement::default().make(&config)?))
    }

    fn load(
        &self,
        config: &PagerConfig,
        saved: &[u8],
        swap: &dyn Swap,
    ) -> Result<Box<dyn Pager>, PagerError> {
        let inner = Replacement::default().load(config, saved, swap)?;
        let inner =
            if self.0 == Defect::ForgetsOnLoad { Replacement::default().make(config)? } else { inner };
        Ok(BrokenPager::boxed(self.0, inner))
    }
}

impl BrokenPager {
    fn boxed(defect: Defect, inner: Box<dyn Pager>) -> Box<dyn Pager> {
        Box::new(Self { defect, inner: Arc::new(Mutex::new(inner)) })
    }

    fn inner(&self) -> MutexGuard<'_, Box<dyn Pager>> {
        self.inner.lock().unwrap()
    }

    /// Evicts the first page that may leave, and tells nobody.
    fn evict_one(&self, swap: &dyn Swap) {
        let pages = self.inner().pages();
        let first = pages.iter().find(|status| status.resident && !status.pinned);
        // Part of a pinned group: then not.
        first.map(|status| self.inner().apply(&Change::Evict(vec![status.page]), swap).is_ok());
    }
}

impl Pager for BrokenPager {
    fn apply(&mut self, change: &Change, swap: &dyn Swap) -> Result<Applied, PagerError> {
        match (self.defect, change) {
            (Defect::ChangesOnError, Change::Evict(pages)) => {
                for page in pages {
                    self.inner().apply(&Change::Evict(vec![*page]), swap)?;
                }
                Ok(Applied::default())
            }
            (Defect::ShowsSwappedPages, Change::Allocate(drafts)) => {
                let mut drafts = drafts.clone();
                drafts.iter_mut().for_each(|draft| draft.swapped = false);
                self.inner().apply(&Change::Allocate(drafts), swap)
            }
            (Defect::UsesNumbersAgain, Change::Allocate(_)) => {
                let mut applied = self.inner().apply(change, swap)?;
                applied.pages.iter_mut().for_each(|page| page.0 = 1);
                Ok(applied)
            }
            (Defect::EvictsInSecret, Change::Rendered { .. })
            | (Defect::CompactsTooMuch, Change::Compact { .. }) => {
                let applied = self.inner().apply(change, swap)?;
                self.evict_one(swap);
                Ok(applied)
            }
            _ => self.inner().apply(change, swap),
        }
    }

    fn read(&self, page: PageNo, swap: &dyn Swap) -> Result<PageContent, PagerError> {
        let mut content = self.inner().read(page, swap)?;
        match self.defect {
            Defect::ForgetsEvicted if !content.resident => return Err(PagerError::NotFound(page)),
            Defect::CutsText => content.text = content.text.trim().into(),
            _ => {}
        }
        Ok(content)
    }

    fn find(&self, query: &Query<'_>, budget: Tokens) -> Vec<Recalled> {
        let budget = if self.defect == Defect::IgnoresTheBudget { Tokens(100_000) } else { budget };
        let renamed =
            query.embedding.map(|own| Embedding::new("compass", &[1.0, 0.1]).unwrap_or(own.clone()));
        let embedding = match self.defect {
            Defect::IgnoresVectors => None,
            Defect::SharesVectorsOfModels => renamed.as_ref(),
            _ => query.embedding,
        };
        self.inner().find(&query.near(embedding), budget)
    }

    fn plan(&self, now: Timestamp) -> Result<Plan, PagerError> {
        let mut plan = self.inner().plan(now)?;
        if self.defect == Defect::PlansPinnedPages && !plan.changes.is_empty() {
            let pinned =
                self.inner().pages().into_iter().filter(|status| status.pinned).map(|status| status.page);
            plan.changes.push(Change::Evict(pinned.collect()));
        }
        Ok(plan)
    }

    fn render(&self, swap: &dyn Swap) -> Result<Rendered, PagerError> {
        let mut rendered = self.inner().render(swap)?;
        let pages = self.inner().pages().len();
        match self.defect {
            Defect::ChangesThePrefix => {
                let first = rendered.messages.iter_mut().flat_map(|message| &mut message.parts).next();
                if let Some(part) = first {
                    *part = Part::Text(format!("{pages} pages").into());
                }
            }
            Defect::SplitsToolCalls => {
                let gone = self.inner().pages().into_iter().find(|status| {
                    matches!(status.kind, kernel_types::PageKind::ToolCall { .. }) && !status.resident
                });
                if let Some(kernel_types::PageKind::ToolCall { id, name }) = gone.map(|status| status.kind) {
                    let parts = vec![Part::ToolCall { id, name, args: Default::default() }];
                    rendered.messages.push(Message { role: Role::Assistant, parts, breakpoint: false });
                }
            }
            Defect::ShowsNotesFirst => rendered.messages.reverse(),
            Defect::SaysAllIsStable => rendered.stable = rendered.tokens,
            _ => {}
        }
        if self.defect == Defect::ShowsNotesFirst {
            rendered.messages.iter_mut().for_each(|message| message.parts.reverse());
        }
        Ok(rendered)
    }

    fn pages(&self) -> Vec<PageStatus> {
        self.inner().pages()
    }

    fn fork(&self) -> Box<dyn Pager> {
        if self.defect == Defect::ForksShare {
            return Box::new(Self { defect: self.defect, inner: Arc::clone(&self.inner) });
        }
        let mut fork = self.inner().fork();
        let last = fork.pages().last().map(|status| status.page);
        if let Some(last) = last.filter(|_| self.defect == Defect::ForksForget) {
            fork.apply(&Change::Free(last), &MemorySwap::default()).unwrap();
        }
        Self::boxed(self.defect, fork)
    }

    fn save(&self) -> Result<Vec<u8>, PagerError> {
        self.inner().save()
    }
}
