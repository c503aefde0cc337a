//! Moments of a process: which one is meant, and what the process was then.
//!
//! A moment is a commit. Stores keep the row of each ([`kernel_storage::Journal::as_of`]), and the journal tells how the calls
//! of that step ended, so an earlier step is found without running anything. What a fork inherited is found in the journal
//! of the process it was forked from.

use kernel_storage::{Store, Version};
use kernel_types::{
    Answer, CallResult, Capabilities, ErrorKind, Event, EventKind, Hash, MailBody, PastMoment, Pid, Recovery,
    Spec, StepNo, SysError, SyscallNo,
};

use crate::error::KernelError;
use crate::image::{Image, OpenCall, Pending};
use crate::recover::{event_of, image_of, result_in};

/// Which moment of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Its last commit, before it ended if it has.
    Now,
    /// The end of this step, or of the last before it that was committed.
    Step(StepNo),
    /// The one that has this name.
    Checkpoint(String),
}

impl std::str::FromStr for Moment {
    type Err = std::convert::Infallible;

    /// A number is a step, `now` is now, all else a name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.parse() {
            Ok(step) => Self::Step(StepNo(step)),
            Err(_) if text == "now" => Self::Now,
            Err(_) => Self::Checkpoint(text.to_owned()),
        })
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Step(step) => write!(f, "step {step}"),
            Self::Checkpoint(name) => write!(f, "checkpoint {name:?}"),
        }
    }
}

/// What a process was at a moment.
pub(crate) struct Past {
    pub(crate) at: PastMoment,
    pub(crate) image: Image,
    pub(crate) values: Vec<(String, String)>,
    pub(crate) spec: Spec,
    pub(crate) capabilities: Capabilities,
    /// How the calls of the step ended, then or later.
    pub(crate) results: Vec<Option<CallResult>>,
}

fn refused(message: String) -> KernelError {
    KernelError::Refused(SysError::new(ErrorKind::NotFound, message))
}

/// Finds a moment of a process, running or ended.
///
/// # Errors
/// [`KernelError::UnknownProcess`]; [`KernelError::Refused`] if there was no such moment; [`KernelError::Store`],
/// [`KernelError::Damaged`].
pub async fn moment(store: &dyn Store, pid: Pid, wanted: &Moment) -> Result<PastMoment, KernelError> {
    let row = store.agent(pid).await?.ok_or(KernelError::UnknownProcess(pid))?;
    let image = image_of(&row)?;
    let (mut of, mut before) = (pid, row.records);
    match wanted {
        Moment::Now => {}
        Moment::Checkpoint(name) => {
            let known = checkpoints(store, pid).await?;
            let found = known.iter().rev().find(|(known, _)| known == name);
            let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
            let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let missing = || refused(format!("process {pid} has no checkpoint {name:?}; it has {has}"));
            (of, before) = found.map(|(_, at)| (at.pid, at.record)).ok_or_else(missing)?;
        }
        Moment::Step(step) if *step > image.step => {
            return Err(refused(format!("process {pid} has made {} steps so far", image.step)));
        }
        Moment::Step(step) => {
            let mut origin = image.origin;
            // What lies before a fork is in the journal of the process it was forked from.
            while let Some(inherited) = origin.filter(|inherited| *step <= inherited.step) {
                (of, before) = (inherited.pid, inherited.record);
                let version = version(store, of, before).await?;
                origin = image_of(&version.row)?.origin;
            }
            before = last_of_step(store, of, before, *step).await?;
        }
    }
    let mut version = version(store, of, before).await?;
    let mut image = image_of(&version.row)?;
    while image.exited.is_some() {
        version = self::version(store, of, version.row.records - 1).await?;
        image = image_of(&version.row)?;
    }
    Ok(PastMoment { pid: of, record: version.row.records, step: image.step })
}

/// The moments of a process that have names, in the order in which they got them; also those whose names wait for it.
///
/// # Errors
/// As [`moment`].
pub async fn checkpoints(store: &dyn Store, pid: Pid) -> Result<Vec<(String, PastMoment)>, KernelError> {
    let row = store.agent(pid).await?.ok_or(KernelError::UnknownProcess(pid))?;
    let mut image = image_of(&row)?;
    for mail in store.inbox(pid).await? {
        if let MailBody::Checkpoint { name, at } = &mail.body {
            image.name_moment(name, *at);
        }
    }
    Ok(image.checkpoints.into_iter().map(|known| (known.name, known.at)).collect())
}

/// Gives a moment of a process a name, also beside the kernel that runs it. A name of another moment moves to this one.
///
/// # Errors
/// As [`moment`]; [`KernelError::Refused`] for a name of no or too many bytes, or one that reads as a step.
pub async fn checkpoint(
    store: &dyn Store,
    pid: Pid,
    name: &str,
    wanted: &Moment,
) -> Result<PastMoment, KernelError> {
    check_name(name).map_err(KernelError::Refused)?;
    let at = moment(store, pid, wanted).await?;
    let body = MailBody::Checkpoint { name: name.to_owned(), at };
    crate::kernel::post_mail(store, pid, body).await?;
    Ok(at)
}

/// Bytes of a checkpoint's name.
const MAX_NAME: usize = 64;

pub(crate) fn check_name(name: &str) -> Result<(), SysError> {
    let is_name = matches!(name.parse(), Ok(Moment::Checkpoint(_)));
    if name.is_empty() || name.len() > MAX_NAME || !is_name || name.chars().any(char::is_control) {
        let message = format!("a checkpoint's name has 1 to {MAX_NAME} bytes and is no number: {name:?}");
        return Err(SysError::new(ErrorKind::InvalidArgument, message));
    }
    Ok(())
}

async fn version(store: &dyn Store, pid: Pid, record: u64) -> Result<Version, KernelError> {
    let found = store.as_of(pid, record).await?;
    found.ok_or_else(|| refused(format!("process {pid} has no moment so early: its store keeps none")))
}

/// The last record of a step or, if it has none, of one before it; the numbers of steps rise with those of records.
async fn last_of_step(store: &dyn Store, pid: Pid, last: u64, step: StepNo) -> Result<u64, KernelError> {
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let record = store.records(pid, middle, 1).await?;
        let record = record.first().ok_or_else(|| KernelError::Damaged {
            pid,
            reason: format!("record {middle} is missing: `agentos audit verify` names it"),
        })?;
        if record.step <= step {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

impl Past {
    /// Reads what a process was at a moment.
    pub(crate) async fn read(store: &dyn Store, at: PastMoment) -> Result<Self, KernelError> {
        let pid = at.pid;
        let damaged = |reason: &str| KernelError::Damaged { pid, reason: reason.to_owned() };
        let Version { row, values } = version(store, pid, at.record).await?;
        let mut image = image_of(&row)?;
        let first = store.records(pid, 1, 1).await?;
        let Some(Event::Spawned { spec, capabilities, .. }) = event_of(store, first.first()).await? else {
            return Err(damaged("its first record is missing"));
        };
        let mut results = vec![None; image.open.len()];
        for (index, open) in image.open.iter().enumerate() {
            let Some(number) = open.outcome else { continue };
            let record = store.records(pid, number, 1).await?;
            let told = event_of(store, record.first()).await?.and_then(|event| result_in(event, index));
            results[index] = Some(told.ok_or_else(|| damaged("the outcome of a call is missing"))?);
        }
        if results.iter().any(Option::is_none) {
            ended_later(store, at, &mut results).await?;
        }
        for result in results.iter().flatten() {
            if let Ok(Answer::Tool(tool)) = result {
                let new = |hash: &&_| !image.attachments.contains(hash);
                let new: Vec<_> = tool.attachments.iter().filter(new).copied().collect();
                image.attachments.extend(new);
            }
        }
        for (result, open) in results.iter_mut().zip(&image.open) {
            if result.is_none() {
                *result = settled(open, at);
            }
        }
        Ok(Self { at, image, values, spec, capabilities, results })
    }

    /// The calls of the step for a process that goes on from it: those that have ended are told by its record `told`.
    pub(crate) fn open(&self, told: u64) -> Vec<OpenCall> {
        let calls = self.image.open.iter().zip(&self.results).map(|(open, result)| {
            let pending = open.pending.as_ref().filter(|_| result.is_none());
            let pending = pending.map(|pending| Pending {
                reserved: kernel_types::Reservation::default(),
                attempt: 0,
                deadline: None,
                child: None,
                share: None,
                ..pending.clone()
            });
            let outcome = pending.is_none().then_some(told);
            OpenCall { seq: open.seq, no: open.no, outcome, pending }
        });
        calls.collect()
    }

    /// The same for one that goes back there after the step `from`: a `checkpoint` that was made then says so.
    pub(crate) fn open_results(&self, from: StepNo) -> Vec<Option<CallResult>> {
        let calls = self.image.open.iter().zip(&self.results);
        let again = calls.map(|(open, result)| match result {
            Some(Ok(_)) if open.no == SyscallNo::Checkpoint => Some(Ok(Answer::Restored { from })),
            // It is the one that called, not the fork that the call was to make.
            Some(Ok(Answer::Forked { from })) if *from == self.at.pid => Some(Err(interrupted())),
            result => result.clone(),
        });
        again.collect()
    }

    /// Where the chain over its page changes was, if this is the state that the journal's record of the moment names.
    pub(crate) async fn verified(&self, store: &dyn Store) -> Result<Hash, KernelError> {
        let record = store.records(self.at.pid, self.at.record, 1).await?;
        let program = self.image.program_hash();
        match event_of(store, record.first()).await? {
            Some(Event::Step { program: then, pages, .. }) if then == program => Ok(pages),
            _ => Err(KernelError::Damaged {
                pid: self.at.pid,
                reason: format!("record {} names another state than the store kept", self.at.record),
            }),
        }
    }
}

/// Outcomes of the step that were committed after the moment.
async fn ended_later(
    store: &dyn Store,
    at: PastMoment,
    results: &mut [Option<CallResult>],
) -> Result<(), KernelError> {
    let mut next = at.record + 1;
    loop {
        let records = store.records(at.pid, next, 64).await?;
        for record in &records {
            if record.step != at.step {
                return Ok(());
            }
            let Some(call) = record.call.filter(|_| record.kind == EventKind::Outcome as u8) else {
                continue;
            };
            let Some(slot) = results.get_mut(call.0 as usize).filter(|slot| slot.is_none()) else { continue };
            if let Some(Event::Outcome { result, .. }) = event_of(store, Some(record)).await? {
                *slot = Some(result);
            }
        }
        match records.last() {
            Some(last) => next = last.number + 1,
            None => return Ok(()),
        }
    }
}

/// What a call that never ended is answered in a process that goes on from its step, if it cannot be made anew.
fn settled(open: &OpenCall, at: PastMoment) -> Option<CallResult> {
    if open.no == SyscallNo::Fork {
        return Some(Ok(Answer::Forked { from: at.pid }));
    }
    let again = open.pending.as_ref().is_some_and(|pending| {
        // What is safe to repeat by its key would have another one.
        match open.no {
            SyscallNo::ToolCall => pending.recovery == Recovery::Reread,
            // It went back itself; to a moment at which it was about to, it would for ever.
            no => !matches!(no, SyscallNo::Remember | SyscallNo::Restore),
        }
    });
    (!again).then(|| Err(interrupted()))
}

fn interrupted() -> SysError {
    let message = "it was in flight in the process that this one goes on from; its effect is that one's";
    SysError::new(ErrorKind::Interrupted, message)
}
