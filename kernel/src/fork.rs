//! Going on from an earlier moment: as another process (`fork`) or as the same one (`restore`).
//!
//! Both are one commit to the store and run no program: a fork is a row whose page table is that of its origin up to a record,
//! however long it lived. Calls that had not ended at that moment, and not later either, are made anew when the process
//! runs; what is not safe to make anew is answered `Interrupted`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kernel_storage::{Commit, CommitOutcome, Store};
use kernel_types::{
    AgentRow, Epoch, ErrorKind, Event, Hash, MicroUsd, Millis, PastMoment, Pid, Reservation, Seq, StepNo,
    SysError, Timestamp, Usage,
};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

use crate::error::KernelError;
use crate::image::Image;
use crate::past::{Moment, Past, moment};
use crate::recover::image_of;
use crate::seal::{Draft, Heads, Said, Unsealed};

/// How often a commit is tried whose answer was lost, and after which pause: stores are patient themselves.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// A process that goes on from a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resumable {
    /// The process.
    pub pid: Pid,
    /// The moment.
    pub at: PastMoment,
}

/// Makes a process that goes on from a moment of another: a root, with that one's state, pages and values, and with the
/// limits that it had left. It has a name of its own if one is given, no mail and no locks. `Kernel::resume` runs it.
///
/// # Errors
/// As [`moment`]; [`KernelError::Store`].
pub async fn fork(
    store: &dyn Store,
    of: Pid,
    at: &Moment,
    name: Option<&str>,
) -> Result<Resumable, KernelError> {
    // It must be there before anything is claimed.
    moment(store, of, at).await?;
    fork_under(store, store.claim().await?, of, at, name).await
}

/// The same by a kernel of this epoch.
pub(crate) async fn fork_under(
    store: &dyn Store,
    epoch: Epoch,
    of: Pid,
    at: &Moment,
    name: Option<&str>,
) -> Result<Resumable, KernelError> {
    let at = moment(store, of, at).await?;
    let past = Past::read(store, at).await?;
    let heads = Heads { pages: past.verified(store).await?, ..Heads::START };
    let mut ink = Ink::new()?;
    let pid = Pid::fresh();
    let mut spec = past.spec.clone();
    spec.name = name.map_or(spec.name, str::to_owned);
    let image = fork_image(&past, pid, &spec.name, ink.at);
    let forked = Event::Forked { of: at, results: past.results.clone() };
    let spawned = Event::Spawned { spec, parent: Pid::INIT, capabilities: past.capabilities.clone() };
    let drafts = [spawned, forked].map(|event| ink.draft(at.step, None, event)).into();
    let row = AgentRow {
        pid,
        parent: Pid::INIT,
        epoch,
        revision: 1,
        records: 0,
        head: Hash::ZERO,
        exited: false,
        image: Vec::new(),
        seal: Hash::ZERO,
    };
    let values = past.values.into_iter().map(|(name, value)| (name, Some(value))).collect();
    commit(store, &mut ink, row, heads, &image, drafts, values).await?;
    Ok(Resumable { pid, at })
}

/// Takes a process back to an earlier moment of itself, or of what it is a fork of. What it spent since stays spent, its mail
/// and its checkpoints stay, its locks are given up; calls in flight end as cancelled. The kernel that runs it loses it; on a
/// store that one kernel has for itself nobody else can. `Kernel::resume` runs it.
///
/// # Errors
/// As [`moment`]; [`KernelError::Refused`] if it has ended: that one can be forked; [`KernelError::Store`].
pub async fn restore(store: &dyn Store, pid: Pid, at: &Moment) -> Result<Resumable, KernelError> {
    moment(store, pid, at).await?;
    let (back, _) = restore_under(store, store.claim().await?, pid, at).await?;
    Ok(back)
}

/// The same by a kernel of this epoch, which does not run the process; also what was in flight and is charged.
pub(crate) async fn restore_under(
    store: &dyn Store,
    epoch: Epoch,
    pid: Pid,
    at: &Moment,
) -> Result<(Resumable, Reservation), KernelError> {
    let row = store.agent(pid).await?.ok_or(KernelError::UnknownProcess(pid))?;
    if row.exited {
        let message = format!("process {pid} has ended: fork it at that moment instead");
        return Err(KernelError::Refused(SysError::new(ErrorKind::InvalidArgument, message)));
    }
    let at = moment(store, pid, at).await?;
    let past = Past::read(store, at).await?;
    let heads = Heads { records: row.head, pages: past.verified(store).await? };
    let now = image_of(&row)?;
    let mut ink = Ink::new()?;
    let mut told: Vec<(Option<Seq>, Event)> = Vec::new();
    let message = format!("the process went back to step {}", at.step);
    for open in now.open.iter().filter(|open| open.outcome.is_none()) {
        let error = SysError::new(ErrorKind::Cancelled, format!("{}: {message}", open.no));
        let reserved = open.pending.as_ref().map(|pending| pending.reserved).unwrap_or_default();
        told.push((Some(open.seq), ended(error, reserved.cost)));
    }
    if let Some(ping) = now.ping {
        told.push((Some(ping.seq), ended(SysError::new(ErrorKind::Cancelled, message), ping.reserved.cost)));
    }
    let results = past.open_results(now.step);
    let last = row.records + told.len() as u64 + 1;
    let image = restored_image(&past, &now, last);
    let restored = Event::Restored { to: at, from: now.step, results };
    let mut drafts: Vec<Draft> =
        told.into_iter().map(|(call, event)| ink.draft(now.step, call, event)).collect();
    drafts.push(ink.draft(image.step, None, restored));
    let mut values: Vec<(String, Option<String>)> =
        store.values(pid).await?.into_iter().map(|(name, _)| (name, None)).collect();
    values.extend(past.values.into_iter().map(|(name, value)| (name, Some(value))));
    let row = AgentRow { epoch, revision: row.revision + 1, ..row };
    commit(store, &mut ink, row, heads, &image, drafts, values).await?;
    Ok((Resumable { pid, at }, now.in_flight()))
}

fn ended(error: SysError, cost: MicroUsd) -> Event {
    Event::Outcome {
        result: Err(error),
        cost,
        took: Millis(0),
        waited: Millis(0),
        causes: Vec::new(),
        expected_cached: None,
    }
}

/// What a fork starts with: the state of the moment, what was left of its limits, nothing spent.
pub(crate) fn fork_image(past: &Past, pid: Pid, name: &str, at: Timestamp) -> Image {
    let then = &past.image;
    let rates = past.spec.rates.clone();
    Image {
        name: name.to_owned(),
        program: then.program.clone(),
        priority: then.priority,
        family: pid,
        share: then.priority,
        budget: then.left(),
        tenant: then.tenant.clone(),
        rated: if rates.is_empty() { Vec::new() } else { vec![(pid, rates)] },
        locks: Vec::new(),
        topics: then.topics.clone(),
        usage: Usage::default(),
        spawned_at: at,
        waited_ms: 0,
        step: then.step,
        saved: then.saved.clone(),
        // The first record is the spawn, the second says what it is a fork of.
        open: past.open(2),
        signal: None,
        suspended: None,
        exited: None,
        pages: then.pages.inherited(past.at.pid, past.at.record, 2),
        attachments: then.attachments.clone(),
        mail_number: 0,
        pings: 0,
        ping: None,
        checkpoints: then.checkpoints.clone(),
        origin: Some(past.at),
    }
}

/// What one that goes back goes on with: the state of the moment under a step that it had not made yet, what it is and has spent
/// as of now, with what was in flight at its reservation.
pub(crate) fn restored_image(past: &Past, now: &Image, told: u64) -> Image {
    let then = &past.image;
    let lost = now.in_flight();
    let mut usage = now.usage;
    usage.calls += lost.calls;
    usage.tool_calls += lost.tool_calls;
    usage.input_tokens = usage.input_tokens.saturating_add(lost.tokens);
    usage.cost = usage.cost.saturating_add(lost.cost);
    Image {
        usage,
        step: now.step.next(),
        saved: then.saved.clone(),
        open: past.open(told),
        signal: None,
        suspended: None,
        locks: Vec::new(),
        pages: then.pages.inherited(past.at.pid, past.at.record, told),
        attachments: then.attachments.clone(),
        pings: 0,
        ping: None,
        ..now.clone()
    }
}

/// The time and the salts of a commit that no kernel makes.
struct Ink {
    at: Timestamp,
    salts: StdRng,
}

impl Ink {
    fn new() -> Result<Self, KernelError> {
        let seed = SysRng.try_next_u64().map_err(|error| KernelError::Build(error.to_string()))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Ok(Self { at, salts: StdRng::seed_from_u64(seed) })
    }

    fn salt(&mut self) -> [u8; 16] {
        let mut salt = [0; 16];
        self.salts.fill_bytes(&mut salt);
        salt
    }

    fn draft(&mut self, step: StepNo, call: Option<Seq>, event: Event) -> Draft {
        Draft { step, call, at: self.at, salt: self.salt(), said: Said::Event(Box::new(event)) }
    }
}

/// Commits a row with these records and the one of its step.
async fn commit(
    store: &dyn Store,
    ink: &mut Ink,
    mut row: AgentRow,
    heads: Heads,
    image: &Image,
    drafts: Vec<Draft>,
    values: Vec<(String, Option<String>)>,
) -> Result<(), KernelError> {
    row.records += drafts.len() as u64 + 1;
    row.image = image.encode().map_err(|error| KernelError::Build(error.to_string()))?;
    let pid = row.pid;
    let (consumed, sent, blobs) = (Vec::new(), Vec::new(), Vec::new());
    let unsealed = Unsealed {
        commit: Commit { row, records: Vec::new(), values, consumed, sent, blobs },
        drafts,
        heads,
        program: image.program_hash(),
        at: ink.at,
        salt: ink.salt(),
        step: image.step,
    };
    let (sealed, _) = unsealed.seal();
    let mut tries = 0;
    let outcome = loop {
        tries += 1;
        match store.commit(vec![sealed.clone()]).await {
            Ok(mut outcomes) => break outcomes.pop(),
            // Safe to repeat: what landed is there already.
            Err(error) if error.commit_unknown() && tries < TRIES => {
                tracing::warn!(%error, "committing again");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    match outcome {
        Some(CommitOutcome::Committed | CommitOutcome::Already) => Ok(()),
        Some(CommitOutcome::Refused { reason }) => Err(KernelError::Damaged { pid, reason }),
        _ => {
            let message = format!("process {pid} went on meanwhile: try again");
            Err(KernelError::Refused(SysError::new(ErrorKind::Busy, message)))
        }
    }
}
