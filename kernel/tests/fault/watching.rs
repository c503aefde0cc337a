//! The pager that ships, watched: what was loaded, and whether each window it renders keeps the promises.

use std::sync::{Arc, Mutex};

use kernel_context::{
    Applied, Change, KeepWarm, PageStatus, Pager, PagerConfig, PagerError, PagerFactory, Plan, Rendered,
    Replacement, Returns, Swap,
};
use kernel_types::{Message, PageContent, PageNo, Part, Recalled, Timestamp, Tokens};

/// Makes watched pagers.
#[derive(Clone, Default)]
pub(crate) struct Watching(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// The state at the first render: loading renders once, before anything is changed.
    loaded: Option<Vec<u8>>,
    wrong: Option<String>,
}

struct Watched {
    inner: Box<dyn Pager>,
    window: Tokens,
    seen: Arc<Mutex<Seen>>,
}

impl Watching {
    pub(crate) fn loaded(&self) -> Option<Vec<u8>> {
        self.0.lock().expect("nobody panicked").loaded.clone()
    }

    /// The first promise that a window broke.
    pub(crate) fn wrong(&self) -> Option<String> {
        self.0.lock().expect("nobody panicked").wrong.clone()
    }

    fn watch(&self, config: &PagerConfig, inner: Box<dyn Pager>) -> Box<dyn Pager> {
        Box::new(Watched { inner, window: config.window, seen: Arc::clone(&self.0) })
    }
}

impl PagerFactory for Watching {
    fn name(&self) -> &'static str {
        "watched"
    }
    fn make(&self, config: &PagerConfig) -> Result<Box<dyn Pager>, PagerError> {
        Ok(self.watch(config, Replacement::default().make(config)?))
    }
    fn load(
        &self,
        config: &PagerConfig,
        saved: &[u8],
        swap: &dyn Swap,
    ) -> Result<Box<dyn Pager>, PagerError> {
        Ok(self.watch(config, Replacement::default().load(config, saved, swap)?))
    }
}

impl Pager for Watched {
    fn render(&self, swap: &dyn Swap) -> Result<Rendered, PagerError> {
        let rendered = self.inner.render(swap);
        let mut seen = self.seen.lock().expect("nobody panicked");
        let faulted = matches!(rendered, Err(PagerError::Fault(_)));
        if seen.loaded.is_none() && !faulted {
            seen.loaded = Some(self.inner.save()?);
        }
        if let Ok(rendered) = &rendered
            && let Err(wrong) = check_window(rendered, self.window)
        {
            seen.wrong.get_or_insert(wrong);
        }
        rendered
    }
    fn apply(&mut self, change: &Change, swap: &dyn Swap) -> Result<Applied, PagerError> {
        self.inner.apply(change, swap)
    }
    fn read(&self, page: PageNo, swap: &dyn Swap) -> Result<PageContent, PagerError> {
        self.inner.read(page, swap)
    }
    fn find(&self, query: &kernel_context::retrieval::Query<'_>, budget: Tokens) -> Vec<Recalled> {
        self.inner.find(query, budget)
    }
    fn plan(&self, now: Timestamp) -> Result<Plan, PagerError> {
        self.inner.plan(now)
    }
    fn keep_warm(&self, now: Timestamp, returns: Returns) -> Option<KeepWarm> {
        self.inner.keep_warm(now, returns)
    }
    fn pages(&self) -> Vec<PageStatus> {
        self.inner.pages()
    }
    fn fork(&self) -> Box<dyn Pager> {
        Box::new(Self { inner: self.inner.fork(), window: self.window, seen: Arc::clone(&self.seen) })
    }
    fn save(&self) -> Result<Vec<u8>, PagerError> {
        self.inner.save()
    }
}

/// A window within its size, in which every tool call is answered by the message after it, and nothing else is.
pub(crate) fn check_window(rendered: &Rendered, window: Tokens) -> Result<(), String> {
    if rendered.tokens > window {
        return Err(format!("a prompt of {} tokens in a window of {window}", rendered.tokens));
    }
    let ids = |message: Option<&Message>, results: bool| {
        let parts = message.map(|message| message.parts.as_slice()).unwrap_or_default();
        let id = |part: &Part| match part {
            Part::ToolCall { id, .. } if !results => Some(id.clone()),
            Part::ToolResult { id, .. } if results => Some(id.clone()),
            _ => None,
        };
        let mut ids: Vec<String> = parts.iter().filter_map(id).collect();
        ids.sort_unstable();
        ids
    };
    let messages = &rendered.messages;
    if !ids(messages.first(), true).is_empty() {
        return Err("the first message answers a tool call".to_owned());
    }
    for at in 0..messages.len() {
        let (calls, answers) = (ids(messages.get(at), false), ids(messages.get(at + 1), true));
        if calls != answers {
            return Err(format!("message {at} calls {calls:?} and is answered {answers:?}"));
        }
    }
    Ok(())
}
