//! Local calls: pages, values, time, what a process may know of others. Carried out inline, no commit of their own.

use std::sync::{Arc, LazyLock};

use kernel_context::retrieval::Query;
use kernel_context::{Change, PageDraft, Pager, PagerError, Swap};
use kernel_types::{
    ABI_VERSION, Answer, Call, CallResult, ErrorKind, NewPage, PageBody, PageKind, PageNo, Pid, RecallArgs,
    RecallQuery, Recalled, SysError, Tokens, ToolSpec,
};
use rand::Rng;

use crate::bodies::View;
use crate::core::Core;
use crate::prepare::Fault;
use crate::process::Process;
use crate::programs::RECALL_TOOL;
use crate::vectors::about;

const MAX_PAGES: usize = 4096;
const MAX_NAME: usize = 256;
const MAX_VALUE: usize = 1 << 20;

impl Core {
    /// Carries a local call out. Page bodies in `call` are replaced by their addresses, for the journal.
    pub(crate) fn local(&mut self, process: &mut Process, call: &mut Call) -> Result<CallResult, Fault> {
        let paged = match call {
            Call::PageAlloc { pages } => self.page_alloc(process, pages),
            Call::Note { name, text } => {
                let kind = PageKind::Note { name: name.clone() };
                self.page_alloc(process, &mut [NewPage::text(kind, text.as_str())])
            }
            Call::PageRead { page } => self.page_read(process, *page),
            Call::PagePin { page } => self.change(process, Change::Pin(*page)),
            Call::PageUnpin { page } => self.change(process, Change::Unpin(*page)),
            Call::PageFree { page } => self.change(process, Change::Free(*page)),
            Call::Recall(args) => self.recall(process, args),
            other => return Ok(self.plain(process, other)),
        };
        let result = match paged {
            Ok(answer) => Ok(answer),
            Err(Paged::Fault(fault)) => return Err(fault),
            Err(Paged::Pager(error)) => Err(pager_error(&error)),
            Err(Paged::Call(error)) => Err(error),
        };
        process.vectors.clear();
        Ok(result)
    }

    fn plain(&mut self, process: &mut Process, call: &Call) -> CallResult {
        match call {
            Call::Probe => Ok(Answer::Probe { abi: ABI_VERSION, calls: self.built() }),
            Call::ProcessInfo { pid } => self.process_info(process, pid.unwrap_or(process.pid)),
            Call::List => Ok(Answer::Processes(self.visible_processes(process))),
            Call::ToolList => Ok(Answer::Tools(self.visible_tools(process))),
            Call::Put { name, value } => put(process, name, value.as_deref()),
            Call::Get { name } => Ok(Answer::Value(process.values.get(name).cloned())),
            Call::Now => Ok(Answer::Time(self.now())),
            Call::Random => Ok(Answer::Random(self.rng.next_u64())),
            other => {
                Err(SysError::new(ErrorKind::Unsupported, format!("{} is not a local call", other.number())))
            }
        }
    }

    fn process_info(&self, process: &Process, pid: Pid) -> CallResult {
        if pid == process.pid {
            return Ok(Answer::Process(process.image.info(process.pid, process.parent)));
        }
        self.info_of(pid)
            .map(Answer::Process)
            .ok_or_else(|| SysError::new(ErrorKind::NotFound, format!("no process {pid}")))
    }

    /// The caller, its ancestors and its descendants.
    fn visible_processes(&self, process: &Process) -> Vec<kernel_types::ProcessInfo> {
        use kernel_security::Relation;
        let mut seen = vec![process.image.info(process.pid, process.parent)];
        for other in self.processes.values() {
            let relation = self.relation(process, other.pid);
            let above = {
                let mut up = process.parent;
                let mut found = false;
                while up != Pid::INIT && !found {
                    found = up == other.pid;
                    up = self.processes.get(&up).map_or(Pid::INIT, |parent| parent.parent);
                }
                found
            };
            if above || matches!(relation, Relation::Child | Relation::Descendant) {
                seen.push(other.image.info(other.pid, other.parent));
            }
        }
        seen.sort_by_key(|info| info.pid);
        seen
    }

    /// The tools that a process has a grant for, in the registry's order.
    pub(crate) fn visible_tools(&self, process: &Process) -> Vec<ToolSpec> {
        let granted = |name: &str| {
            process.capabilities.tools.iter().any(|grant| kernel_security::matches(&grant.tool, name))
        };
        self.parts.registry.specs().filter(|spec| granted(&spec.name)).cloned().collect()
    }

    /// What a model is told of: the visible tools but those left out, and `recall` where the process may recall.
    pub(crate) fn offered_tools(&self, process: &Process, without: &[String]) -> Vec<ToolSpec> {
        let mut offered = self.visible_tools(process);
        let args = RecallArgs { what: RecallQuery::Query(String::new()), budget: Tokens::ZERO };
        let may_recall = self.decide(process, &Call::Recall(args)).is_allow();
        if may_recall && !offered.iter().any(|tool| tool.name == RECALL_TOOL) {
            offered.push(RECALL.clone());
            offered.sort_by(|a, b| a.name.cmp(&b.name));
        }
        offered.retain(|tool| !without.contains(&tool.name));
        offered
    }

    fn page_alloc(&mut self, process: &mut Process, pages: &mut [NewPage]) -> Result<Answer, Paged> {
        if pages.is_empty() || pages.len() > MAX_PAGES {
            let message = format!("page_alloc takes 1 to {MAX_PAGES} pages, got {}", pages.len());
            return Err(Paged::Call(SysError::new(ErrorKind::InvalidArgument, message)));
        }
        let now = self.now();
        let mut drafts = Vec::with_capacity(pages.len());
        for page in pages.iter_mut() {
            let body = match &page.body {
                PageBody::Text(text) => {
                    let blob = kernel_storage::Blob::of(text.as_bytes());
                    let hash = blob.hash;
                    process.stage(hash, Arc::clone(text));
                    process.blobs.push(blob);
                    page.body = PageBody::Blob(hash);
                    process.image.attachments.push(hash);
                    hash
                }
                PageBody::Blob(hash) if process.image.attachments.contains(hash) => *hash,
                PageBody::Blob(hash) => {
                    let message =
                        format!("{hash} is not among the attachments of a tool result of this process");
                    return Err(Paged::Call(SysError::new(ErrorKind::InvalidArgument, message)));
                }
            };
            drafts.push(PageDraft {
                importance: page.importance,
                pinned: page.pinned || page.kind == PageKind::System,
                swapped: page.swapped,
                origin: page.origin.clone(),
                about: about(&page.kind, now),
                ..PageDraft::new(page.kind.clone(), body)
            });
        }
        self.embed_drafts(process, &mut drafts)?;
        let used: Vec<_> = drafts.iter().map(|draft| draft.body).collect();
        let numbers = self.apply(process, Change::Allocate(drafts))?;
        process.image.attachments.retain(|hash| !used.contains(hash));
        self.make_room(process);
        Ok(Answer::Pages(numbers))
    }

    /// What is read is used; a swapped page comes back by itself, as far as the pager takes it in.
    fn page_read(&mut self, process: &mut Process, page: PageNo) -> Result<Answer, Paged> {
        let content = self.ask_pager(process, |pager, swap| pager.read(page, swap))?;
        let comes = !content.resident && self.ask_pager(process, |pager, _| Ok(pager.takes_in(page)))?;
        let used = match (content.resident, comes) {
            (true, _) => Change::Touch(vec![page]),
            (false, true) => Change::Recall(vec![page]),
            (false, false) => return Ok(Answer::Page(content)),
        };
        match self.apply(process, used) {
            Ok(_) if content.resident => {}
            Ok(_) => self.make_room(process),
            // A note that another superseded, or a window full of what must stay: it can be read all the same.
            Err(PagerError::Invalid(_) | PagerError::TooLarge { .. } | PagerError::AllPinned { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Answer::Page(content))
    }

    fn recall(&mut self, process: &mut Process, args: &RecallArgs) -> Result<Answer, Paged> {
        let embedding = match &args.what {
            RecallQuery::Query(query) => self.embed_query(process, query)?,
            RecallQuery::Pages(_) => None,
        };
        let hits = self.ask_pager(process, |pager, _| match &args.what {
            RecallQuery::Query(query) => {
                Ok(pager.find(&Query::words(query).near(embedding.as_ref()), args.budget))
            }
            RecallQuery::Pages(pages) => by_number(pager, pages, args.budget),
        })?;
        if !hits.is_empty() {
            self.apply(process, Change::Recall(hits.iter().map(|hit| hit.page).collect()))?;
            self.make_room(process);
        }
        Ok(Answer::Recalled(hits))
    }

    fn change(&mut self, process: &mut Process, change: Change) -> Result<Answer, Paged> {
        self.apply(process, change)?;
        Ok(Answer::Done)
    }

    pub(crate) fn apply(&mut self, process: &mut Process, change: Change) -> Result<Vec<PageNo>, PagerError> {
        self.with_pager(process, |pager, swap, changes| {
            let applied = pager.apply(&change, swap)?;
            changes.push(change);
            Ok(applied.pages)
        })
    }

    /// Evicts what the pager plans, after a change that was made: what fails says so at the next render, where it matters.
    fn make_room(&mut self, process: &mut Process) {
        let now = self.now();
        let made = self.ask_pager(process, |pager, _| pager.make_room(now));
        if let Err(error) = made.and_then(|plan| self.apply_all(process, plan.changes)) {
            tracing::debug!(%error, pid = %process.pid, "no room was made yet");
        }
    }

    /// Applies changes in their order, up to the first that the pager does not take.
    pub(crate) fn apply_all(
        &mut self,
        process: &mut Process,
        changes: Vec<Change>,
    ) -> Result<(), PagerError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.with_pager(process, |pager, swap, log| {
            for change in changes {
                pager.apply(&change, swap)?;
                log.push(change);
            }
            Ok(())
        })
    }

    /// Asks the process's pager, which is made when it is first needed. Nothing changes, so nothing is kept to go back to.
    pub(crate) fn ask_pager<T>(
        &mut self,
        process: &mut Process,
        question: impl FnOnce(&dyn Pager, &dyn Swap) -> Result<T, PagerError>,
    ) -> Result<T, PagerError> {
        self.need_pager(process)?;
        let pager = process.pager.as_deref().expect("just made");
        let swap = View { staged: &process.staged, bodies: &self.bodies };
        let question = std::panic::AssertUnwindSafe(|| question(pager, &swap));
        std::panic::catch_unwind(question).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
    }

    fn need_pager(&self, process: &mut Process) -> Result<(), PagerError> {
        if process.pager.is_none() {
            process.pager = Some(self.parts.pagers.make(&self.parts.pager_config(&process.spec))?);
        }
        Ok(())
    }

    /// Runs `work` on the process's pager, which is made when it is first needed.
    pub(crate) fn with_pager<T>(
        &mut self,
        process: &mut Process,
        work: impl FnOnce(&mut dyn Pager, &dyn Swap, &mut Vec<Change>) -> Result<T, PagerError>,
    ) -> Result<T, PagerError> {
        self.need_pager(process)?;
        let pager = process.pager.as_deref_mut().expect("just made");
        let (before, known) = (pager.fork(), process.changes.len());
        let swap = View { staged: &process.staged, bodies: &self.bodies };
        let changes = &mut process.changes;
        let work = std::panic::AssertUnwindSafe(|| work(pager, &swap, changes));
        std::panic::catch_unwind(work).unwrap_or_else(|panic| {
            // What it did halfway is not in the journal.
            process.pager = Some(before);
            process.changes.truncate(known);
            Err(panicked(panic.as_ref()))
        })
    }

    /// A process as `ps` shows it, running or ended.
    pub(crate) fn info_of(&self, pid: Pid) -> Option<kernel_types::ProcessInfo> {
        let running = self.processes.get(&pid).map(|process| self.info(process));
        running.or_else(|| self.exited.get(&pid).cloned())
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> PagerError {
    PagerError::Corrupt(format!("the pager panicked: {}", crate::device::panic_text(panic)))
}

/// The syscall `recall` as a tool.
static RECALL: LazyLock<ToolSpec> = LazyLock::new(|| {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "query": { "type": "string", "description": "words to look for" },
            "pages": { "type": "array", "items": { "type": "integer", "minimum": 1 },
                "description": "or numbers of pages" },
        },
        "additionalProperties": false,
    });
    ToolSpec {
        name: RECALL_TOOL.to_owned(),
        description: "Brings pages that are swapped out back into view: those that fit the query best, or those with the \
                      given numbers."
            .to_owned(),
        input: schema.into(),
        recovery: kernel_types::Recovery::Reread,
        timeout: kernel_types::Millis(1000),
        reads: Vec::new(),
        writes: Vec::new(),
    }
});

/// Why a call of the pager did not answer.
enum Paged {
    Fault(Fault),
    Pager(PagerError),
    Call(SysError),
}

impl From<PagerError> for Paged {
    fn from(error: PagerError) -> Self {
        match error {
            PagerError::Fault(missing) => Self::Fault(Fault::Bodies(missing)),
            error => Self::Pager(error),
        }
    }
}

impl From<Fault> for Paged {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn by_number(pager: &dyn Pager, pages: &[PageNo], budget: Tokens) -> Result<Vec<Recalled>, PagerError> {
    let mut left = budget;
    let mut hits = Vec::with_capacity(pages.len());
    for page in pages {
        let status = pager.status(*page).ok_or(PagerError::NotFound(*page))?;
        if status.tokens > left {
            continue;
        }
        left = left.saturating_sub(status.tokens);
        hits.push(Recalled { page: *page, tokens: status.tokens, score: 0, was_resident: status.resident });
    }
    Ok(hits)
}

fn put(process: &mut Process, name: &str, value: Option<&str>) -> CallResult {
    if name.is_empty() || name.len() > MAX_NAME {
        let message = format!("a value's name has 1 to {MAX_NAME} bytes, not {}", name.len());
        return Err(SysError::new(ErrorKind::InvalidArgument, message));
    }
    if let Some(value) = value.filter(|value| value.len() > MAX_VALUE) {
        let message = format!("value of {} bytes exceeds the limit of {MAX_VALUE}", value.len());
        return Err(SysError::new(ErrorKind::TooLarge, message));
    }
    match value {
        Some(value) => process.values.insert(name.to_owned(), value.to_owned()),
        None => process.values.remove(name),
    };
    process.dirty_values.push((name.to_owned(), value.map(str::to_owned)));
    Ok(Answer::Done)
}

/// The error a program gets for a pager's.
pub(crate) fn pager_error(error: &PagerError) -> SysError {
    let kind = match error {
        PagerError::NotFound(_) => ErrorKind::NotFound,
        PagerError::TooLarge { .. } | PagerError::AllPinned { .. } | PagerError::Overfull { .. } => {
            ErrorKind::TooLarge
        }
        PagerError::Invalid(_) | PagerError::Pinned(_) => ErrorKind::InvalidArgument,
        _ => ErrorKind::Failed,
    };
    SysError::new(kind, error.to_string())
}
