//! A process in memory: its image and everything that is not durable yet.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use kernel_context::retrieval::Embedding;
use kernel_context::{Change, ExpectedCache, Pager, SentPrompt};
use kernel_sched::{Hold, Micros, Started};
use kernel_storage::Blob;
use kernel_types::{
    BlobHash, Budget, Call, CallResult, Capabilities, LimitName, Mail, MailId, PageView, Pid, Priority,
    Prompt, Reservation, Seq, Spec, StepNo, Timestamp, Tokens,
};
use tokio::task::AbortHandle;

use crate::forking::Other;
use crate::image::Image;
use crate::ledger::Account;
use crate::lines::Place;
use crate::program::Program;
use crate::seal::{Draft, Heads, Said};
use crate::waits::Waits;
use crate::warm::{Kept, Pinging};

/// Calls of the last step that are being prepared.
pub(crate) struct Preparing {
    pub(crate) calls: Vec<Option<Call>>,
    /// Local calls come first; then the rest.
    pub(crate) local_pass: bool,
    pub(crate) next: usize,
    /// Store and device calls were prepared: a commit must follow.
    pub(crate) must_commit: bool,
    /// An `exit` call was allowed.
    pub(crate) exit: Option<kernel_types::ExitStatus>,
}

/// A rendered prompt waiting for its slot.
pub(crate) struct Ready {
    pub(crate) prompt: Arc<Prompt>,
    pub(crate) view: PageView,
    /// The most that the provider can count the prompt where that is a matter of budgets, its estimate elsewhere.
    pub(crate) most_input: Tokens,
    pub(crate) raw_tokens: Tokens,
    /// Of the view's tokens, those of the tools' schemas, which no pager counts.
    pub(crate) tool_tokens: Tokens,
    pub(crate) trace: kernel_context::Trace,
    /// What the pager says is unchanged since the prompt before.
    pub(crate) stable: Tokens,
    pub(crate) max_output: Tokens,
    pub(crate) sent: SentPrompt,
    pub(crate) expected: ExpectedCache,
}

/// A call that was started.
pub(crate) struct Running {
    pub(crate) abort: Option<AbortHandle>,
    pub(crate) started: Micros,
    /// For an inference: which Cpu it waits for or runs on, and the slot of it that it holds.
    pub(crate) cpu: Option<usize>,
    pub(crate) slot: Option<u32>,
    /// As the Cpu's limits know it while it runs.
    pub(crate) governed: Option<Started>,
    /// What it waited for so far, and waits for.
    pub(crate) waits: Waits,
    /// When it was sent first.
    pub(crate) sent: Option<Micros>,
    /// How often it failed for a passing reason.
    pub(crate) failures: u32,
    /// How often it was refused for want of capacity.
    pub(crate) refusals: u32,
    /// Where it waits in a line for a rate.
    pub(crate) in_line: Option<Place>,
    /// Where it stood in the line that waits for what becomes of it.
    pub(crate) tries_for: Option<Place>,
    /// Where it waits for a budget that others hold.
    pub(crate) short_of: Option<(Account, u64)>,
    /// When it is tried again.
    pub(crate) again_at: Option<Micros>,
    /// When a device is expected to have given its thread back.
    pub(crate) ends_by: Micros,
    /// Bytes of text streamed so far.
    pub(crate) streamed: Arc<AtomicU64>,
}

impl Running {
    pub(crate) fn new(now: Micros) -> Self {
        Self {
            abort: None,
            started: now,
            cpu: None,
            slot: None,
            governed: None,
            waits: Waits::default(),
            sent: None,
            failures: 0,
            refusals: 0,
            in_line: None,
            tries_for: None,
            short_of: None,
            again_at: None,
            ends_by: Micros(0),
            streamed: Arc::default(),
        }
    }
}

/// A process.
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) parent: Pid,
    pub(crate) image: Image,
    pub(crate) spec: Arc<Spec>,
    pub(crate) capabilities: Arc<Capabilities>,
    pub(crate) children: BTreeSet<Pid>,
    pub(crate) program: Option<Box<dyn Program>>,
    pub(crate) pager: Option<Box<dyn Pager>>,
    /// Results of the calls in `image.open`.
    pub(crate) results: Vec<Option<CallResult>>,
    pub(crate) preparing: Option<Preparing>,
    pub(crate) prompts: HashMap<Seq, Ready>,
    /// The prompt that was answered last: what the provider's cache has. Not durable: after a recovery nothing is expected.
    pub(crate) answered: Option<SentPrompt>,
    /// What was sent then, to be sent again while the process waits.
    pub(crate) kept: Option<Kept>,
    /// When a ping is due.
    pub(crate) ping_due: Option<Timestamp>,
    /// The ping under way.
    pub(crate) pinging: Option<Pinging>,
    pub(crate) running: HashMap<Seq, Running>,
    /// The state that the `restore` at this place goes back to, once no commit is under way.
    pub(crate) going_back: Option<(usize, Box<Other>)>,
    pub(crate) reserved: Reservation,
    /// What its calls hold of limits above it.
    pub(crate) holds: HashMap<Seq, Hold<Account>>,
    /// Whose limits those are.
    pub(crate) account: Account,
    /// The urgency of the most urgent who waits for a lock it holds.
    pub(crate) lent: Option<Priority>,
    /// Topics subscribed to since the last commit.
    pub(crate) subscribed: Vec<String>,
    /// Those whose subscription the commit under way makes durable.
    pub(crate) subscribing: Vec<String>,
    /// Locks given up since the last commit.
    pub(crate) unlocked: Vec<String>,
    /// Those that the commit under way gives up.
    pub(crate) releasing: Vec<String>,
    /// Since when its time counts, as far as it was not counted yet.
    pub(crate) runs_since: Option<Micros>,
    /// When its time is used up.
    pub(crate) time_ends: Option<Micros>,
    pub(crate) quota_hit: Option<LimitName>,

    pub(crate) revision: u64,
    /// Where its chains were at the last commit.
    pub(crate) heads: Heads,
    /// The number of its last record.
    pub(crate) number: u64,
    /// Records since the last commit.
    pub(crate) drafts: Vec<Draft>,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) changes: Vec<Change>,
    pub(crate) changes_since_snapshot: u64,
    pub(crate) staged: HashMap<BlobHash, Arc<str>>,
    /// Vectors that the call at hand waited for.
    pub(crate) vectors: HashMap<BlobHash, Option<Embedding>>,
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) dirty_values: Vec<(String, Option<String>)>,
    pub(crate) inbox: VecDeque<Mail>,
    pub(crate) delivered: HashMap<Pid, u64>,
    pub(crate) mailbox: usize,
    pub(crate) consumed: Vec<MailId>,
    pub(crate) sent: Vec<Mail>,

    /// Its parent changed since the last commit.
    pub(crate) moved: bool,
    /// Messages on their way from processes of this kernel.
    pub(crate) coming: usize,
    pub(crate) committing: bool,
    pub(crate) commit_queued: bool,
    pub(crate) ready_queued: bool,
    pub(crate) stepping: bool,
    pub(crate) loading: bool,
    pub(crate) inner: u32,
}

impl Process {
    pub(crate) fn new(
        pid: Pid,
        parent: Pid,
        image: Image,
        spec: Arc<Spec>,
        capabilities: Arc<Capabilities>,
        program: Option<Box<dyn Program>>,
    ) -> Self {
        let results = vec![None; image.open.len()];
        Self {
            pid,
            parent,
            image,
            spec,
            capabilities,
            children: BTreeSet::new(),
            program,
            pager: None,
            results,
            preparing: None,
            prompts: HashMap::new(),
            answered: None,
            kept: None,
            ping_due: None,
            pinging: None,
            running: HashMap::new(),
            going_back: None,
            reserved: Reservation::default(),
            holds: HashMap::new(),
            account: Account::System,
            lent: None,
            subscribed: Vec::new(),
            subscribing: Vec::new(),
            unlocked: Vec::new(),
            releasing: Vec::new(),
            runs_since: None,
            time_ends: None,
            quota_hit: None,
            revision: 0,
            heads: Heads::START,
            number: 0,
            drafts: Vec::new(),
            blobs: Vec::new(),
            changes: Vec::new(),
            changes_since_snapshot: 0,
            staged: HashMap::new(),
            vectors: HashMap::new(),
            values: BTreeMap::new(),
            dirty_values: Vec::new(),
            inbox: VecDeque::new(),
            delivered: HashMap::new(),
            mailbox: 0,
            consumed: Vec::new(),
            sent: Vec::new(),
            moved: false,
            coming: 0,
            committing: false,
            commit_queued: false,
            ready_queued: false,
            stepping: false,
            loading: false,
            inner: 0,
        }
    }

    /// The call of it that waits for a Cpu, and the tokens it needs: its prompt and the output it may have.
    pub(crate) fn needs(&self, cpu: usize) -> Option<(usize, Tokens)> {
        let waits = |running: &Running| running.cpu == Some(cpu) && running.slot.is_none();
        let (seq, _) = self.running.iter().find(|(_, running)| waits(running))?;
        let ready = self.prompts.get(seq)?;
        Some((seq.0 as usize, ready.view.tokens.saturating_add(ready.max_output)))
    }

    /// All calls of the last step have ended.
    pub(crate) fn all_answered(&self) -> bool {
        self.preparing.is_none() && self.results.iter().all(Option::is_some)
    }

    /// A piece of mail has come; those of its sender up to it are not taken again.
    pub(crate) fn arrived(&mut self, mail: MailId) {
        let newest = self.delivered.entry(mail.sender).or_insert(0);
        *newest = mail.number.max(*newest);
    }

    /// Messages that lie in its mailbox or are on their way.
    pub(crate) fn mail_waiting(&self) -> usize {
        self.mailbox + self.coming
    }

    /// Its next step may run now.
    pub(crate) fn runnable(&self) -> bool {
        !self.committing
            && !self.commit_queued
            && !self.stepping
            && !self.loading
            && self.program.is_some()
            && self.image.exited.is_none()
            && self.image.suspended.is_none()
            && (self.image.signal.is_some() || self.all_answered())
    }

    /// Something is recorded that is not on its way to the store.
    pub(crate) fn dirty(&self) -> bool {
        self.moved
            || !self.unlocked.is_empty()
            || !self.drafts.is_empty()
            || !self.changes.is_empty()
            || !self.sent.is_empty()
            || !self.consumed.is_empty()
    }

    /// Appends an event to the chain; it is sealed with the next commit. Answers its number.
    pub(crate) fn record(&mut self, at: Timestamp, call: Option<Seq>, said: Said, salt: [u8; 16]) -> u64 {
        self.drafts.push(Draft { step: self.image.step, call, at, salt, said });
        self.number += 1;
        self.number
    }

    /// Appends the page changes since the last commit, if any, as one event.
    pub(crate) fn record_changes(&mut self, at: Timestamp, salt: [u8; 16]) {
        if self.changes.is_empty() {
            return;
        }
        let changes = std::mem::take(&mut self.changes);
        self.changes_since_snapshot += changes.len() as u64;
        self.record(at, None, Said::Pages(changes), salt);
    }

    /// Keeps a body that is not durable yet, or that a call needs now.
    pub(crate) fn stage(&mut self, hash: BlobHash, body: Arc<str>) {
        self.staged.insert(hash, body);
    }

    /// What is left of the budget; `None` is unlimited.
    pub(crate) fn left(&self) -> Budget {
        let (left, held) = (self.image.left(), &self.reserved);
        Budget {
            calls: left.calls.map(|n| n.saturating_sub(held.calls)),
            tokens: left.tokens.map(|n| n.saturating_sub(held.tokens)),
            cost: left.cost.map(|n| n.saturating_sub(held.cost)),
            tool_calls: left.tool_calls.map(|n| n.saturating_sub(held.tool_calls)),
            ..left
        }
    }

    /// The first limit that a reservation does not fit in: its name, what is left, what is needed.
    pub(crate) fn exceeded(&self, want: &Reservation) -> Option<(LimitName, u64, u64)> {
        let left = self.left();
        let checks = [
            (LimitName::Calls, left.calls, want.calls),
            (LimitName::Tokens, left.tokens.map(|n| n.0), want.tokens.0),
            (LimitName::Cost, left.cost.map(|n| n.0), want.cost.0),
            (LimitName::ToolCalls, left.tool_calls, want.tool_calls),
        ];
        checks.into_iter().find_map(|(name, left, needed)| {
            left.filter(|left| *left < needed).map(|left| (name, left, needed))
        })
    }

    /// Holds a part of the budget for a call.
    pub(crate) fn reserve(&mut self, want: &Reservation) {
        self.reserved.calls += want.calls;
        self.reserved.tool_calls += want.tool_calls;
        self.reserved.tokens = self.reserved.tokens.saturating_add(want.tokens);
        self.reserved.cost = self.reserved.cost.saturating_add(want.cost);
    }

    /// Gives back what a call held.
    pub(crate) fn release(&mut self, held: &Reservation) {
        self.reserved.calls = self.reserved.calls.saturating_sub(held.calls);
        self.reserved.tool_calls = self.reserved.tool_calls.saturating_sub(held.tool_calls);
        self.reserved.tokens = self.reserved.tokens.saturating_sub(held.tokens);
        self.reserved.cost = self.reserved.cost.saturating_sub(held.cost);
    }

    /// The place of a call of the last step that has no outcome yet.
    pub(crate) fn pending_index(&self, step: StepNo, seq: Seq) -> Option<usize> {
        if self.image.step != step {
            return None;
        }
        let index = seq.0 as usize;
        self.image
            .open
            .get(index)
            .filter(|open| open.outcome.is_none() && open.pending.is_some())
            .map(|_| index)
    }
}
