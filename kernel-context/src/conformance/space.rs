//! A pager with its bodies, as the laws use it.

use kernel_types::{
    CacheModel, JsonText, Message, Origin, PageKind, PageNo, Part, Role, Timestamp, Tokens, hash_bytes,
};

use crate::{Change, MemorySwap, PageDraft, Pager, PagerConfig, PagerError, PagerFactory, Rendered};

/// One address space under test and the bodies of its pages.
pub struct Space {
    /// How it was made.
    pub config: PagerConfig,
    /// The pager.
    pub pager: Box<dyn Pager>,
    /// The bodies.
    pub swap: MemorySwap,
    /// What the clock says.
    pub now: Timestamp,
}

impl Space {
    /// An empty space with a window of `window` tokens of a model whose tokenizer is public.
    #[must_use]
    pub fn new(factory: &dyn PagerFactory, window: u64) -> Self {
        Self::with_breakpoints(factory, window, 4)
    }

    /// The same, for a provider that takes `breakpoints` cache breakpoints.
    #[must_use]
    pub fn with_breakpoints(factory: &dyn PagerFactory, window: u64, breakpoints: u32) -> Self {
        let cache = CacheModel { breakpoints, ..CacheModel::default() };
        let config =
            PagerConfig { model: "gpt-4o".to_owned(), window: Tokens(window), cache, keep_warm: true };
        let pager = factory.make(&config).expect("a window above zero makes a pager");
        Self { config, pager, swap: MemorySwap::default(), now: Timestamp(1_000) }
    }

    /// A draft of a page; its body is in memory.
    pub fn draft(&mut self, kind: PageKind, text: &str) -> PageDraft {
        let body = self.swap.insert(text);
        PageDraft::new(kind, body)
    }

    /// A draft of lines of a file.
    pub fn lines(&mut self, path: &str, first_line: u32, text: &str) -> PageDraft {
        let last_line = first_line + u32::try_from(text.lines().count().saturating_sub(1)).unwrap_or(0);
        let file = hash_bytes(path.as_bytes());
        let origin = Some(Origin { path: path.to_owned(), first_line, last_line, file });
        PageDraft { origin, ..self.draft(PageKind::Document, text) }
    }

    /// Drafts of a tool call and its result.
    pub fn tool(&mut self, id: &str, result: &str) -> Vec<PageDraft> {
        let call = PageKind::ToolCall { id: id.to_owned(), name: "read_file".to_owned() };
        let answer = PageKind::ToolResult { id: id.to_owned(), is_error: false };
        let args =
            JsonText::of(&std::collections::BTreeMap::from([("path", id)])).expect("a map of text is JSON");
        vec![self.draft(call, args.as_str()), self.draft(answer, result)]
    }

    /// Applies a change.
    ///
    /// # Errors
    /// The pager's.
    pub fn try_apply(&mut self, change: &Change) -> Result<Vec<PageNo>, PagerError> {
        self.pager.apply(change, &self.swap).map(|applied| applied.pages)
    }

    /// Applies a change that must succeed.
    pub fn apply(&mut self, change: &Change) -> Vec<PageNo> {
        match self.try_apply(change) {
            Ok(pages) => pages,
            Err(error) => panic!("{change:?} was refused: {error}"),
        }
    }

    /// Allocates drafts.
    pub fn allocate(&mut self, drafts: Vec<PageDraft>) -> Vec<PageNo> {
        self.apply(&Change::Allocate(drafts))
    }

    /// Allocates one page of the user.
    pub fn user(&mut self, text: &str) -> PageNo {
        let draft = self.draft(PageKind::User, text);
        self.allocate(vec![draft])[0]
    }

    /// Allocates one page of a document.
    pub fn document(&mut self, path: &str, text: &str) -> PageNo {
        let draft = self.lines(path, 1, text);
        self.allocate(vec![draft])[0]
    }

    /// The text of a page.
    #[must_use]
    pub fn text(&self, page: PageNo) -> String {
        match self.pager.read(page, &self.swap) {
            Ok(content) => content.text.to_string(),
            Err(error) => panic!("page {page} cannot be read: {error}"),
        }
    }

    /// Whether a page is in the window, as all who say so say.
    #[must_use]
    pub fn is_resident(&self, page: PageNo) -> bool {
        let listed = self.pager.pages().iter().any(|status| status.page == page && status.resident);
        let read = self.pager.read(page, &self.swap).is_ok_and(|content| content.resident);
        assert_eq!(listed, read, "`pages` and `read` disagree whether page {page} is resident");
        listed
    }

    /// Makes room, renders and takes the window as shown.
    pub fn show(&mut self) -> Rendered {
        let plan = self.pager.plan(self.now).expect("a plan");
        for change in plan.changes {
            self.apply(&change);
        }
        let rendered = self.render();
        self.apply(&Change::Rendered { trace: rendered.trace, at: self.now });
        rendered
    }

    /// Renders a window that fits.
    #[must_use]
    pub fn render(&self) -> Rendered {
        match self.pager.render(&self.swap) {
            Ok(rendered) => rendered,
            Err(error) => panic!("the window was not rendered: {error}"),
        }
    }

    /// The saved state.
    #[must_use]
    pub fn saved(&self) -> Vec<u8> {
        self.pager.save().expect("a state can be saved")
    }
}

/// About `tokens` tokens of English that differ by `seed`.
pub(super) fn prose(seed: u64, tokens: u64) -> String {
    const WORDS: [&str; 16] = [
        "river", "stone", "window", "garden", "letter", "summer", "engine", "market", "silver", "forest",
        "bridge", "candle", "signal", "harbor", "meadow", "thunder",
    ];
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = format!("Text {seed}.");
    for _ in 0..tokens.saturating_sub(4) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(' ');
        text.push_str(WORDS[usize::try_from(state >> 60).expect("four bits")]);
    }
    text
}

/// The parts of a prompt with their roles, in order: what a prefix cache sees.
pub(super) fn parts(messages: &[Message]) -> Vec<(Role, &Part)> {
    messages.iter().flat_map(|message| message.parts.iter().map(|part| (message.role, part))).collect()
}

/// All text of a prompt.
pub(super) fn shown(messages: &[Message]) -> String {
    let text = |(_, part): (Role, &Part)| match part {
        Part::Text(text) => text.to_string(),
        Part::ToolCall { name, args, .. } => format!("{name} {args}"),
        Part::ToolResult { text, .. } => text.to_string(),
    };
    parts(messages).into_iter().map(text).collect::<Vec<_>>().join("\n")
}

/// Panics unless every tool result answers a call of the message before, and every call is answered in the next.
pub(super) fn assert_no_orphans(messages: &[Message]) {
    let ids = |message: &Message, results: bool| {
        let id = |part: &Part| match part {
            Part::ToolCall { id, .. } if !results => Some(id.clone()),
            Part::ToolResult { id, .. } if results => Some(id.clone()),
            _ => None,
        };
        let mut ids: Vec<String> = message.parts.iter().filter_map(id).collect();
        ids.sort_unstable();
        ids
    };
    for (at, message) in messages.iter().enumerate() {
        let calls = ids(message, false);
        let answers = messages.get(at + 1).map(|next| ids(next, true)).unwrap_or_default();
        assert_eq!(calls, answers, "the tool calls of message {at} and their results");
        if at == 0 {
            assert!(ids(message, true).is_empty(), "the first message answers a tool call");
        }
    }
}
