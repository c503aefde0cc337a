//! One agent's address space, as outside workloads drive it: pages have names and sizes that are given, not counted.

use std::collections::HashMap;
use std::hash::Hash;

use kernel_types::{PageKind, PageNo, Retention, Timestamp, Tokens};

use super::{Kind, Page};
use crate::{
    Change, MemorySwap, PageDraft, Pager, PagerConfig, PagerError, PagerFactory, PlanKind, Rendered, Returns,
    Segment,
};

/// Why an operation was refused; nothing changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// No page has that name.
    #[error("there is no page {0}")]
    Unknown(String),
    /// A page has that name already.
    #[error("there is a page {0} already")]
    Taken(String),
    /// A page takes no tokens.
    #[error("page {0} is empty")]
    Empty(String),
    /// The pager refused.
    #[error(transparent)]
    Pager(#[from] PagerError),
}

/// An agent's pages by name.
pub struct Process<N> {
    pager: Box<dyn Pager>,
    swap: MemorySwap,
    names: Vec<N>,
    numbers: HashMap<N, PageNo>,
    /// The bytes that each page was first shown as.
    first: HashMap<PageNo, u64>,
    /// Pages that left since the last render.
    evicted: Vec<N>,
    kind: PlanKind,
    /// What came last was said by the model: a tool page belongs to it.
    said: bool,
}

/// What one call is shown.
#[derive(Clone, PartialEq, Debug)]
pub struct Shown<N> {
    /// The prompt. A segment's id changes when its bytes change.
    pub segments: Vec<Segment>,
    /// Which of the segments end a cached prefix.
    pub breakpoints: Vec<usize>,
    /// The pages in it, in order.
    pub resident: Vec<N>,
    /// The pages that left since the last call, in order.
    pub evicted: Vec<N>,
    /// The costliest compaction since the last call.
    pub plan: PlanKind,
    /// All tokens of it.
    pub tokens: u64,
    /// How long the provider is to keep it.
    pub retention: Retention,
}

impl<N: Clone + Eq + Hash + ToString> Process<N> {
    /// A space that begins with `pinned` instructions.
    ///
    /// # Errors
    /// As [`Process::append`]; and those of the factory.
    pub fn open(
        factory: &dyn PagerFactory,
        config: &PagerConfig,
        pinned: &[Page<N>],
    ) -> Result<Self, ProcessError> {
        let mut process = Self {
            pager: factory.make(config)?,
            swap: MemorySwap::default(),
            names: Vec::new(),
            numbers: HashMap::new(),
            first: HashMap::new(),
            evicted: Vec::new(),
            kind: PlanKind::None,
            said: false,
        };
        process.append(pinned)?;
        Ok(process)
    }

    /// New pages, in order; they are in the next render. All of them or none.
    ///
    /// # Errors
    /// A name that is taken or comes twice, a page without tokens, a page that does not fit.
    pub fn append(&mut self, pages: &[Page<N>]) -> Result<(), ProcessError> {
        for (at, page) in pages.iter().enumerate() {
            let twice = pages[..at].iter().any(|other| other.id == page.id);
            if twice || self.numbers.contains_key(&page.id) {
                return Err(ProcessError::Taken(page.id.to_string()));
            }
            if page.tokens == 0 {
                return Err(ProcessError::Empty(page.id.to_string()));
            }
        }
        let (before, said, kept) = (self.pager.fork(), self.said, self.names.len());
        for page in pages {
            if let Err(error) = self.append_one(page) {
                self.pager = before;
                self.said = said;
                for page in self.names.drain(kept..) {
                    self.numbers.remove(&page);
                }
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn append_one(&mut self, page: &Page<N>) -> Result<(), PagerError> {
        let text = if page.text.is_empty() { page.id.to_string() } else { page.text.clone() };
        let kind = match page.kind {
            Kind::System => PageKind::System,
            Kind::User => PageKind::User,
            Kind::Assistant | Kind::Tool => PageKind::Assistant,
        };
        let draft = PageDraft {
            importance: page.importance,
            pinned: page.kind == Kind::System,
            size: Some(Tokens(page.tokens)),
            ..PageDraft::new(kind, self.swap.insert(text))
        };
        let change = match page.kind {
            Kind::Tool if self.said => Change::Extend(vec![draft]),
            _ => Change::Allocate(vec![draft]),
        };
        let number = self.pager.apply(&change, &self.swap)?.pages[0];
        self.said = matches!(page.kind, Kind::Assistant) || (page.kind == Kind::Tool && self.said);
        self.names.push(page.id.clone());
        self.numbers.insert(page.id.clone(), number);
        Ok(())
    }

    /// Whether a page is in the window.
    #[must_use]
    pub fn is_resident(&self, id: &N) -> bool {
        let number = self.numbers.get(id);
        number.is_some_and(|number| self.pager.read(*number, &self.swap).is_ok_and(|page| page.resident))
    }

    /// The model used these pages.
    ///
    /// # Errors
    /// A name that no page has.
    pub fn touch(&mut self, ids: &[N]) -> Result<(), ProcessError> {
        let pages = self.numbers_of(ids)?;
        self.pager.apply(&Change::Touch(pages), &self.swap)?;
        Ok(())
    }

    /// The model asks for these pages; those that left come back.
    ///
    /// # Errors
    /// A name that no page has; pages that do not fit.
    pub fn recall(&mut self, ids: &[N]) -> Result<(), ProcessError> {
        let pages = self.numbers_of(ids)?;
        self.pager.apply(&Change::Recall(pages), &self.swap)?;
        Ok(())
    }

    fn numbers_of(&self, ids: &[N]) -> Result<Vec<PageNo>, ProcessError> {
        let number =
            |id: &N| self.numbers.get(id).copied().ok_or_else(|| ProcessError::Unknown(id.to_string()));
        ids.iter().map(number).collect()
    }

    /// Makes room for what comes next, at `at_ms`.
    ///
    /// # Errors
    /// The pager's.
    pub fn make_room(&mut self, at_ms: u64) -> Result<(), ProcessError> {
        let plan = self.pager.plan(Timestamp(at_ms))?;
        for change in &plan.changes {
            if let Change::Compact { evict, .. } | Change::Evict(evict) = change {
                let names = evict.iter().filter_map(|page| self.name(*page));
                self.evicted.extend(names.collect::<Vec<_>>());
            }
            self.pager.apply(change, &self.swap)?;
        }
        self.kind = self.kind.max(plan.kind);
        Ok(())
    }

    /// What the call at `at_ms` is shown.
    ///
    /// # Errors
    /// The pager's.
    pub fn render(&mut self, at_ms: u64) -> Result<Shown<N>, ProcessError> {
        self.make_room(at_ms)?;
        let rendered = self.pager.render(&self.swap)?;
        let shown = Change::Rendered { trace: rendered.trace, at: Timestamp(at_ms) };
        self.pager.apply(&shown, &self.swap)?;
        let Rendered { segments, breakpoints, tokens, resident, retention, .. } = rendered;
        for segment in &segments {
            if let Some(page) = segment.page {
                self.first.entry(page).or_insert(segment.id);
            }
        }
        let resident: Vec<N> = resident.into_iter().filter_map(|page| self.name(page)).collect();
        let mut evicted = std::mem::take(&mut self.evicted);
        evicted.retain(|name| !resident.contains(name));
        let plan = std::mem::take(&mut self.kind);
        Ok(Shown { segments, breakpoints, resident, evicted, plan, tokens: tokens.0, retention })
    }

    /// When what was shown last should be sent again if no call comes before; asked at `at_ms`.
    #[must_use]
    pub fn keep_warm(&self, at_ms: u64) -> Option<u64> {
        self.pager.keep_warm(Timestamp(at_ms), Returns::Unknown).map(|ping| ping.at.0)
    }

    /// It was, at `at_ms`.
    ///
    /// # Errors
    /// The pager's.
    pub fn warmed(&mut self, at_ms: u64) -> Result<(), ProcessError> {
        self.pager.apply(&Change::Warmed { at: Timestamp(at_ms) }, &self.swap)?;
        Ok(())
    }

    /// The name of a page's segment, with a mark behind it if the page is not rendered as it was at first; a stub has a mark
    /// only.
    #[must_use]
    pub fn label(&self, segment: &Segment) -> String {
        let name = segment.page.and_then(|page| Some((self.name(page)?, self.first.get(&page)?)));
        match name {
            Some((name, first)) if *first == segment.id => name.to_string(),
            Some((name, _)) => format!("{}~{:016x}", name.to_string(), segment.id),
            None => format!("~{:016x}", segment.id),
        }
    }

    fn name(&self, page: PageNo) -> Option<N> {
        self.names.get(usize::try_from(page.0).ok()?.checked_sub(1)?).cloned()
    }
}
