//! `ContextManager`: the pages of many agents, each in its own address space, all bodies in memory.
//!
//! A convenience for programs that want paged contexts without a kernel. It evicts by itself when a window is full and
//! brings pages back by itself when they are accessed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use kernel_types::{CacheModel, Importance, PageContent, PageKind, PageNo, Pid, Recalled, Timestamp, Tokens};

use crate::retrieval::Query;
use crate::{
    Change, MemorySwap, PageDraft, Pager, PagerConfig, PagerError, PagerFactory, Rendered, Replacement,
};

/// The context windows of many agents.
///
/// ```
/// use kernel_context::ContextManager;
/// use kernel_types::Pid;
///
/// # fn main() -> Result<(), kernel_context::PagerError> {
/// let mut contexts = ContextManager::new(1_000);
/// let (alice, bob) = (Pid::from_parts(0, 1), Pid::from_parts(0, 2));
///
/// let page = contexts.allocate_page(alice, "The launch code is 0000.", 0.9)?;
/// for day in 0..100 {
///     contexts.allocate_page(alice, format!("Day {day}: {}", "nothing happened. ".repeat(20)), 0.1)?;
/// }
/// assert_eq!(&*contexts.access_page(alice, page)?.text, "The launch code is 0000.");
/// assert!(contexts.access_page(bob, page).is_err(), "not Bob's page");
/// # Ok(())
/// # }
/// ```
pub struct ContextManager {
    factory: Arc<dyn PagerFactory>,
    config: PagerConfig,
    swap: MemorySwap,
    spaces: HashMap<Pid, Box<dyn Pager>>,
}

impl ContextManager {
    /// Windows of `max_context_tokens` each, counted as `gpt-4o` counts, evicting in batches.
    #[must_use]
    pub fn new(max_context_tokens: u64) -> Self {
        let config = PagerConfig {
            model: "gpt-4o".to_owned(),
            window: Tokens(max_context_tokens),
            cache: CacheModel::default(),
            keep_warm: false,
        };
        Self::with(Arc::new(Replacement::default()), config)
    }

    /// Windows of another policy or for another model.
    #[must_use]
    pub fn with(factory: Arc<dyn PagerFactory>, config: PagerConfig) -> Self {
        Self { factory, config, swap: MemorySwap::default(), spaces: HashMap::new() }
    }

    /// Gives `agent` a page with `text`. `importance` is 0 to 1; among equals the less important page leaves first.
    ///
    /// # Errors
    /// [`PagerError::Invalid`] for an empty text or an importance outside 0 to 1, [`PagerError::TooLarge`] for a page
    /// larger than the window.
    pub fn allocate_page(
        &mut self,
        agent: Pid,
        text: impl Into<Arc<str>>,
        importance: f64,
    ) -> Result<PageNo, PagerError> {
        let importance = Importance::new(importance)
            .ok_or_else(|| PagerError::Invalid(format!("importance {importance} is not within 0 to 1")))?;
        let draft = PageDraft { importance, ..PageDraft::new(PageKind::User, self.swap.insert(text)) };
        let pages = self.apply(agent, &Change::Allocate(vec![draft]))?;
        pages
            .first()
            .copied()
            .ok_or_else(|| PagerError::Invalid("the pager gave no page for one draft".to_owned()))
    }

    /// Reads a page of `agent`; one that was swapped out comes back into the window.
    ///
    /// # Errors
    /// [`PagerError::NotFound`] for a page that `agent` does not have, whoever else has one of that number.
    pub fn access_page(&mut self, agent: Pid, page: PageNo) -> Result<PageContent, PagerError> {
        if !self.spaces.contains_key(&agent) {
            return Err(PagerError::NotFound(page));
        }
        self.apply(agent, &Change::Recall(vec![page]))?;
        let (space, swap) = self.space(agent)?;
        space.read(page, swap)
    }

    /// The pages of `agent` that fit `query` best, within `budget` tokens. Changes nothing.
    #[must_use]
    pub fn find(&self, agent: Pid, query: &str, budget: u64) -> Vec<Recalled> {
        self.spaces
            .get(&agent)
            .map(|space| space.find(&Query::words(query), Tokens(budget)))
            .unwrap_or_default()
    }

    /// What the model of `agent` would be shown.
    ///
    /// # Errors
    /// [`PagerError::Invalid`] if the window is zero tokens.
    pub fn render(&mut self, agent: Pid) -> Result<Rendered, PagerError> {
        let (space, swap) = self.space(agent)?;
        space.render(swap)
    }

    /// Applies a change, makes room, and takes the window as shown.
    fn apply(&mut self, agent: Pid, change: &Change) -> Result<Vec<PageNo>, PagerError> {
        let (space, swap) = self.space(agent)?;
        let applied = space.apply(change, swap)?;
        for eviction in space.make_room(Timestamp::default())?.changes {
            space.apply(&eviction, swap)?;
        }
        let trace = space.render(swap)?.trace;
        space.apply(&Change::Rendered { trace, at: Timestamp::default() }, swap)?;
        Ok(applied.pages)
    }

    fn space(&mut self, agent: Pid) -> Result<(&mut dyn Pager, &MemorySwap), PagerError> {
        let space = match self.spaces.entry(agent) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(self.factory.make(&self.config)?),
        };
        Ok((&mut **space, &self.swap))
    }
}
