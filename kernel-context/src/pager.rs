//! The `Pager` contract: virtual memory of one context window.

use std::sync::Arc;

use kernel_types::{
    BlobHash, CacheModel, Importance, Message, Origin, PageContent, PageKind, PageNo, Recalled, Retention,
    Timestamp, Tokens,
};
use serde::{Deserialize, Serialize};

use crate::retrieval::{Embedding, Query};
use crate::{Explanation, KeepWarm, PagerError, Plan, PlanKind, Returns};

/// What a pager needs to know at the start. The same configuration and changes give the same state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PagerConfig {
    /// The model's name: chooses the tokenizer.
    pub model: String,
    /// The most tokens a rendered prompt may have, tools and output left out.
    pub window: Tokens,
    /// The provider's prefix cache.
    pub cache: CacheModel,
    /// Whether prefixes may be kept warm by pings: see [`Pager::keep_warm`].
    pub keep_warm: bool,
}

/// Where page bodies come from: the kernel's memory cache in front of the store.
pub trait Swap {
    /// The body at this address, if it is in memory.
    fn body(&self, hash: &BlobHash) -> Option<Arc<str>>;
}

/// A page to allocate; its text is the body at `body`, in memory when the change is applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PageDraft {
    /// What it is.
    pub kind: PageKind,
    /// The address of its text.
    pub body: BlobHash,
    /// How much it matters.
    pub importance: Importance,
    /// Never evicted.
    pub pinned: bool,
    /// Not in the window at first.
    pub swapped: bool,
    /// Where the text comes from.
    pub origin: Option<Origin>,
    /// What it takes in a window, if the caller knows; counted if not.
    #[serde(default)]
    pub size: Option<Tokens>,
    /// What it can be found by that is not in its text: who said it, when. At most 32 texts of 256 bytes. One that holds
    /// a date (`2023-05-07`) counts as that date, any other by its words.
    #[serde(default)]
    pub about: Vec<String>,
    /// What an embedding model makes of its text.
    #[serde(default)]
    pub embedding: Option<Embedding>,
}

impl PageDraft {
    /// A page of `kind` with the text at `body`: in the window, of middling importance, not pinned.
    #[must_use]
    pub fn new(kind: PageKind, body: BlobHash) -> Self {
        Self {
            kind,
            body,
            importance: Importance::default(),
            pinned: false,
            swapped: false,
            origin: None,
            size: None,
            about: Vec::new(),
            embedding: None,
        }
    }
}

/// A change of a page table. Changes are journaled: replaying them gives the same table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// New pages, numbered in order. Neighbours form one group, but documents, instructions and notes, which are always
    /// groups of their own. A tool call and its results come in one change, the calls first.
    Allocate(Vec<PageDraft>),
    /// Further pages of the group at the end of the window, if nothing of it was shown yet: results that come one by one. If
    /// it was, they are a group of their own. Only what a user or the model said.
    Extend(Vec<PageDraft>),
    /// Pin a page; one that is swapped comes back at the tail.
    Pin(PageNo),
    /// Unpin a page.
    Unpin(PageNo),
    /// Forget a page, and with it its whole group if it is part of a tool call.
    Free(PageNo),
    /// Put pages (with their groups) back at the tail; resident ones stay where they are and are touched.
    Recall(Vec<PageNo>),
    /// The model used these pages: they stay where they are and count as used.
    Touch(Vec<PageNo>),
    /// Take pages (with their groups) out of the window. A pinned page is an error.
    Evict(Vec<PageNo>),
    /// The same as part of a [`Plan`]: what lies before the first that leaves is the frozen part from now on.
    Compact {
        /// What it costs.
        kind: PlanKind,
        /// What leaves.
        evict: Vec<PageNo>,
    },
    /// What an embedding model makes of a page, in place of what was known: for vectors that come later than the page.
    Embed {
        /// The page.
        page: PageNo,
        /// Its vector.
        embedding: Embedding,
    },
    /// Make an empty space the one whose [`Pager::save`] lies in base64 at this address: an import.
    Restore {
        /// The address of the text.
        state: BlobHash,
    },
    /// The window was shown to the model as [`Rendered::trace`] says: what it holds is now expected to be cached. What
    /// changed since that render is not.
    Rendered {
        /// What was shown.
        trace: Trace,
        /// When the provider got it: the start of the request, from which its cache counts.
        at: Timestamp,
    },
    /// What was shown last was sent once more, by a ping at that time: the provider keeps it for another while. Nothing else
    /// changes: it is no call, and what is new stays new.
    Warmed {
        /// When the provider got it.
        at: Timestamp,
    },
    /// The provider is asked to keep what is written from now on for so long. Part of a [`Plan`] where nothing that is cached would
    /// be read anyway.
    Retain(Retention),
    /// The provider counted `reported` tokens where the pager had estimated `estimated`.
    Calibrate {
        /// The pager's estimate, uncalibrated: [`Rendered::raw_tokens`].
        estimated: Tokens,
        /// The provider's count.
        reported: Tokens,
    },
}

/// Says which window was shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Trace {
    /// Entries of the window.
    pub entries: u32,
    /// The number of the last page there was: what came later was not shown.
    pub last: u32,
    /// The hash of all their bytes.
    pub chain: u64,
}

/// A piece of a rendered window: a page, a stub or the notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Identifies its bytes.
    pub id: u64,
    /// What it takes, calibrated.
    pub tokens: Tokens,
    /// The page, if it is one.
    pub page: Option<PageNo>,
}

/// What a change did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Pages allocated or recalled, in order.
    pub pages: Vec<PageNo>,
}

/// A rendered window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rendered {
    /// The messages, system first. The same bytes as before, up to the first thing that changed.
    pub messages: Vec<Message>,
    /// The pages in it, in order.
    pub resident: Vec<PageNo>,
    /// Its size, calibrated. Never above [`PagerConfig::window`].
    pub tokens: Tokens,
    /// Its size before calibration.
    pub raw_tokens: Tokens,
    /// Tokens of the prefix that is unchanged since the last [`Change::Rendered`], calibrated.
    pub stable: Tokens,
    /// What it is made of, in order: one for each part of each message.
    pub segments: Vec<Segment>,
    /// After which of the segments a cache breakpoint lies; empty if the provider caches implicitly.
    pub breakpoints: Vec<usize>,
    /// How long the provider is to keep what is written for it.
    pub retention: Retention,
    /// For [`Change::Rendered`].
    pub trace: Trace,
}

/// A page as [`Pager::pages`] lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageStatus {
    /// Its number.
    pub page: PageNo,
    /// What it is.
    pub kind: PageKind,
    /// The address of its text.
    pub body: BlobHash,
    /// What it takes in a window, header included.
    pub tokens: Tokens,
    /// It is in the window.
    pub resident: bool,
    /// It is pinned.
    pub pinned: bool,
    /// How much it matters.
    pub importance: Importance,
    /// Where the text comes from.
    pub origin: Option<Origin>,
    /// What it can be found by that is not in its text.
    pub about: Vec<String>,
}

/// The page table and replacement policy of one address space.
///
/// # Contract
/// - Replacement only: synchronous, no clock, no I/O, no randomness. State changes only by `apply`,
///   deterministically.
/// - A page that was allocated and not freed MUST be readable, byte for byte, resident or not.
/// - Groups are atomic: a tool call and its results are resident together or not at all. A call without its result, or the
///   reverse, is refused.
/// - `render` MUST NOT exceed the window. If it would, it is [`PagerError::Overfull`], and `plan` says what to evict first.
/// - Rendering is append-only: between two renders with no `Evict`, `Compact` or `Free` in between, the earlier messages
///   are a prefix of the later ones (a last message of the same role may have grown at its end). Notes render last; until the
///   first render is answered, instructions may come before it. What leaves changes nothing before it, but that stubs may
///   fold into one where the first was.
/// - A fork and what it was made from go on as if the other were not there.
/// - Pages allocated since the last render that was answered (`Rendered`) are in the next one, unless allocated `swapped` or documents, which leave first
///   when not everything fits: a folder larger than the window can be imported and is there to be recalled. So an
///   allocation that does not fit beside what is pinned or just as new is refused: [`PagerError::TooLarge`] if its group
///   alone exceeds the window, else [`PagerError::AllPinned`]. Only a recalibration may make a plan that evicts them.
/// - A page's text is not empty.
/// - A page is found by its words, by what it is `about` and, if the query has a vector, by its own of the same model.
///   Vectors of other models, of pages or queries, change nothing. Instructions and notes need not be found.
/// - A superseded note is no longer pinned; it can be read, not recalled.
/// - A ping ([`Change::Warmed`]) changes nothing that is rendered or listed, and what is new stays new.
/// - An error MUST leave the state unchanged.
///
/// # Cancellation
/// Nothing here waits. A body that is not in memory is [`PagerError::Fault`]: load it and call again.
///
/// # Errors
/// [`PagerError`]; a page number that was never given out, or was freed, is `NotFound`, whatever other spaces hold.
///
/// # Implementing
/// Implement the methods and [`PagerFactory`], expand `pager_conformance!`, hand the factory to the kernel. If all you want is
/// another size or watermark, do not write a pager: configure the one that is there.
pub trait Pager: Send {
    /// Applies one change.
    fn apply(&mut self, change: &Change, swap: &dyn Swap) -> Result<Applied, PagerError>;

    /// Reads a page, resident or not.
    fn read(&self, page: PageNo, swap: &dyn Swap) -> Result<PageContent, PagerError>;

    /// The pages that fit `query` best, at most its limit, within `budget` tokens (groups counted whole), best first.
    /// Changes nothing.
    fn find(&self, query: &Query<'_>, budget: Tokens) -> Vec<Recalled>;

    /// The pages in the window that an answer of the model most likely used; the caller may touch them. Changes nothing.
    fn used_by(&self, text: &str) -> Vec<PageNo> {
        let _ = text;
        Vec::new()
    }

    /// What makes room for the next render, `now`: changes to be applied by the caller, none if the window fits as it is. It may
    /// bring pages in that the next call clearly needs. Changes nothing.
    fn plan(&self, now: Timestamp) -> Result<Plan, PagerError>;

    /// Likewise, but nothing comes in: for keeping the window in bounds while many pages are allocated.
    fn make_room(&self, now: Timestamp) -> Result<Plan, PagerError> {
        self.plan(now)
    }

    /// Whether a swapped page that was read should come into the window for it: not if so much was recalled for the next call
    /// already that it would drive out what the conversation is about.
    fn takes_in(&self, page: PageNo) -> bool {
        let _ = page;
        true
    }

    /// Whether, and when, what was shown last should be sent once more while the agent waits, so that the provider does not
    /// forget it. `returns` says what is known of the end of the wait. Changes nothing.
    fn keep_warm(&self, now: Timestamp, returns: Returns) -> Option<KeepWarm> {
        let _ = (now, returns);
        None
    }

    /// Renders the window. Changes nothing.
    fn render(&self, swap: &dyn Swap) -> Result<Rendered, PagerError>;

    /// All pages, in order of their numbers.
    fn pages(&self) -> Vec<PageStatus>;

    /// One page as [`Pager::pages`] lists it; `None` if it is not there. A pager that need not look at all pages for it says so.
    fn status(&self, page: PageNo) -> Option<PageStatus> {
        self.pages().into_iter().find(|status| status.page == page)
    }

    /// Likewise, how many pages [`Pager::pages`] lists.
    fn count(&self) -> usize {
        self.pages().len()
    }

    /// Why the window is as it is, `now`. Changes nothing; the answer is bounded, however large the space.
    ///
    /// What is given here follows from [`Pager::pages`] and [`Pager::plan`]; a pager that knows reasons says them.
    ///
    /// # Errors
    /// Those of [`Pager::plan`].
    fn explain(&self, now: Timestamp) -> Result<Explanation, PagerError> {
        Ok(Explanation::of_pages(&self.pages(), &self.plan(now)?))
    }

    /// The same space once more, to go its own way. Takes no longer and no more memory for a large one.
    fn fork(&self) -> Box<dyn Pager>;

    /// The whole state, for [`PagerFactory::load`]. Bodies are not in it.
    fn save(&self) -> Result<Vec<u8>, PagerError>;
}

/// Makes pagers of one policy.
pub trait PagerFactory: Send + Sync {
    /// The policy's name.
    fn name(&self) -> &'static str;

    /// An empty address space.
    ///
    /// # Errors
    /// [`PagerError::Invalid`] for a window of zero.
    fn make(&self, config: &PagerConfig) -> Result<Box<dyn Pager>, PagerError>;

    /// The address space that `save` wrote.
    ///
    /// # Errors
    /// [`PagerError::Fault`] names bodies to load first; [`PagerError::Corrupt`] if the bytes are not a saved state.
    fn load(&self, config: &PagerConfig, saved: &[u8], swap: &dyn Swap)
    -> Result<Box<dyn Pager>, PagerError>;
}

impl<F: PagerFactory + ?Sized> PagerFactory for Arc<F> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn make(&self, config: &PagerConfig) -> Result<Box<dyn Pager>, PagerError> {
        (**self).make(config)
    }

    fn load(
        &self,
        config: &PagerConfig,
        saved: &[u8],
        swap: &dyn Swap,
    ) -> Result<Box<dyn Pager>, PagerError> {
        (**self).load(config, saved, swap)
    }
}

impl<F: PagerFactory + ?Sized> PagerFactory for Box<F> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn make(&self, config: &PagerConfig) -> Result<Box<dyn Pager>, PagerError> {
        (**self).make(config)
    }

    fn load(
        &self,
        config: &PagerConfig,
        saved: &[u8],
        swap: &dyn Swap,
    ) -> Result<Box<dyn Pager>, PagerError> {
        (**self).load(config, saved, swap)
    }
}
