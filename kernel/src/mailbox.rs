//! A store behind a queue: the proof that messages and direct calls are interchangeable.
//!
//! [`StoreMailbox`] is the handle: a store like any other, cheap to clone. What it is asked travels as encoded bytes
//! through a bounded queue to one [`StoreService`], which owns the real store and carries requests out in the order of
//! their arrival. A full queue waits; a service that is gone is [`StoreErrorKind::Unavailable`].
//!
//! When not to use it: in front of a store that lives in the same process and is asked often. Every call pays for a
//! copy and a hop, and a slow read holds up the commits behind it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use kernel_storage::{
    Arrival, Blobs, Commit, CommitOutcome, Journal, Mailboxes, Store, StoreError, StoreErrorKind, Version,
};
use kernel_types::{AgentRow, BlobHash, Epoch, Mail, Pid, Record};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

const REQUEST: u8 = b'Q';
const REPLY: u8 = b'R';
const VERSION: u16 = 1;

/// How a store is put behind a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MailboxOptions {
    /// Requests that may wait; a further one waits for room. At least 1.
    pub queue: usize,
}

impl Default for MailboxOptions {
    fn default() -> Self {
        Self { queue: 64 }
    }
}

impl MailboxOptions {
    /// Puts `store` behind a queue: the handle to use, and the service to run.
    ///
    /// ```
    /// use kernel::MailboxOptions;
    /// use kernel_storage::{Journal, MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let (store, service) = MailboxOptions::default().serve(MemoryStore::new());
    /// tokio::spawn(service.run());
    /// assert_eq!(store.claim().await?.0, 1);
    /// # Ok::<(), kernel_storage::StoreError>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn serve<S: Store>(self, store: S) -> (StoreMailbox, StoreService<S>) {
        let (sender, receiver) = mpsc::channel(self.queue.max(1));
        (StoreMailbox { sender }, StoreService { store, receiver })
    }
}

/// One request on its way.
struct Envelope {
    request: Vec<u8>,
    reply: oneshot::Sender<Vec<u8>>,
}

/// The handle of a store behind a queue; itself a [`Store`]. Clones share the queue.
#[derive(Clone, Debug)]
pub struct StoreMailbox {
    sender: mpsc::Sender<Envelope>,
}

/// The one task that serves a [`StoreMailbox`].
pub struct StoreService<S> {
    store: S,
    receiver: mpsc::Receiver<Envelope>,
}

impl<S: Store> StoreService<S> {
    /// Serves until the last handle is gone and the queue is empty.
    ///
    /// # Cancellation
    /// Dropping the future drops the store and every request in the queue: their callers are told.
    pub async fn run(mut self) {
        while let Some(Envelope { request, reply }) = self.receiver.recv().await {
            let answer = self.answer(&request).await;
            // Whoever asked may have gone away; a write is carried out all the same.
            drop(reply.send(answer));
        }
    }

    async fn answer(&self, request: &[u8]) -> Vec<u8> {
        let reply = match kernel_types::decode::<Request>(REQUEST, VERSION, request) {
            Err(error) => Err(Failure::new(StoreErrorKind::Invalid, error.to_string())),
            Ok(request) => {
                let (operation, lost) = (request.operation(), request.lost());
                let carried = AssertUnwindSafe(request.carry_out(&self.store)).catch_unwind().await;
                match carried {
                    Ok(result) => result.map_err(|error| Failure::of(&error, operation)),
                    Err(_) => Err(Failure::new(lost, "the store panicked".to_owned())),
                }
            }
        };
        kernel_types::encode(REPLY, VERSION, &reply).unwrap_or_else(|error| {
            let failure =
                Failure::new(StoreErrorKind::Invalid, format!("the answer does not encode: {error}"));
            kernel_types::encode(REPLY, VERSION, &Reply::Err(failure)).expect("a failure is plain text")
        })
    }
}

impl StoreMailbox {
    async fn ask(&self, request: Request) -> Result<Answer, StoreError> {
        let (operation, lost) = (request.operation(), request.lost());
        let failed = |kind, message: String| StoreError::new(kind, operation, message);
        let request = kernel_types::encode(REQUEST, VERSION, &request)
            .map_err(|error| failed(StoreErrorKind::Invalid, error.to_string()))?;
        let (reply, answer) = oneshot::channel();
        let gone = || "the store's service has ended".to_owned();
        self.sender
            .send(Envelope { request, reply })
            .await
            .map_err(|_| failed(StoreErrorKind::Unavailable, gone()))?;
        let bytes = answer.await.map_err(|_| failed(lost, gone()))?;
        kernel_types::decode::<Reply>(REPLY, VERSION, &bytes)
            .map_err(|error| failed(lost, error.to_string()))?
            .map_err(|failure| failure.into_error(operation))
    }
}

/// One request: the methods of the three traits as data.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Request {
    Claim,
    Commit(Vec<Commit>),
    Agent(Pid),
    Agents { after: Option<Pid>, live: bool, limit: usize },
    Records { pid: Pid, from: u64, limit: usize },
    Values(Pid),
    AsOf { pid: Pid, records: u64 },
    Blobs(Vec<BlobHash>),
    ListBlobs { after: Option<BlobHash>, limit: usize },
    Sweep,
    Post(Vec<Mail>),
    Inbox(Pid),
    Arrivals { after: Arrival, limit: usize },
}

/// The answer to the request of the same name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Answer {
    Claim(Epoch),
    Commit(Vec<CommitOutcome>),
    Agent(Option<AgentRow>),
    Agents(Vec<AgentRow>),
    Records(Vec<Record>),
    Values(Vec<(String, String)>),
    AsOf(Option<Version>),
    Blobs(Vec<Option<Arc<[u8]>>>),
    ListBlobs(Vec<BlobHash>),
    Sweep(u64),
    Post,
    Inbox(Vec<Mail>),
    Arrivals(Vec<(Arrival, Mail)>),
}

type Reply = Result<Answer, Failure>;

impl Request {
    const fn operation(&self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Commit(_) => "commit",
            Self::Agent(_) => "agent",
            Self::Agents { .. } => "agents",
            Self::Records { .. } => "records",
            Self::Values(_) => "values",
            Self::AsOf { .. } => "as_of",
            Self::Blobs(_) => "blobs",
            Self::ListBlobs { .. } => "list_blobs",
            Self::Sweep => "sweep",
            Self::Post(_) => "post",
            Self::Inbox(_) => "inbox",
            Self::Arrivals { .. } => "arrivals",
        }
    }

    /// What it means that the answer was lost.
    const fn lost(&self) -> StoreErrorKind {
        match self {
            Self::Commit(_) => StoreErrorKind::CommitUnknown,
            _ => StoreErrorKind::Unavailable,
        }
    }

    async fn carry_out(self, store: &impl Store) -> Result<Answer, StoreError> {
        Ok(match self {
            Self::Claim => Answer::Claim(store.claim().await?),
            Self::Commit(batch) => Answer::Commit(store.commit(batch).await?),
            Self::Agent(pid) => Answer::Agent(store.agent(pid).await?),
            Self::Agents { after, live, limit } => Answer::Agents(store.agents(after, live, limit).await?),
            Self::Records { pid, from, limit } => Answer::Records(store.records(pid, from, limit).await?),
            Self::Values(pid) => Answer::Values(store.values(pid).await?),
            Self::AsOf { pid, records } => Answer::AsOf(store.as_of(pid, records).await?),
            Self::Blobs(hashes) => Answer::Blobs(store.blobs(&hashes).await?),
            Self::ListBlobs { after, limit } => Answer::ListBlobs(store.list_blobs(after, limit).await?),
            Self::Sweep => Answer::Sweep(store.sweep().await?),
            Self::Post(mail) => {
                store.post(mail).await?;
                Answer::Post
            }
            Self::Inbox(pid) => Answer::Inbox(store.inbox(pid).await?),
            Self::Arrivals { after, limit } => Answer::Arrivals(store.arrivals(after, limit).await?),
        })
    }
}

/// A [`StoreError`] as data. Its source stays behind; what it says is in the message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Failure {
    #[serde(with = "Kind")]
    kind: StoreErrorKind,
    /// Where it went wrong, if not in the operation that was asked for.
    operation: Option<String>,
    message: String,
}

/// [`StoreErrorKind`] on the wire. A kind that this build does not know fails to encode, which is an error of its own.
#[derive(Serialize, Deserialize)]
#[serde(remote = "StoreErrorKind")]
#[non_exhaustive]
enum Kind {
    Locked,
    Unavailable,
    CommitUnknown,
    Full,
    Corrupt,
    Schema,
    Permission,
    Invalid,
}

impl Failure {
    const fn new(kind: StoreErrorKind, message: String) -> Self {
        Self { kind, operation: None, message }
    }

    fn of(error: &StoreError, asked: &str) -> Self {
        let text = error.to_string();
        match text.split_once(": ") {
            Some((operation, message)) => {
                let operation = (operation != asked).then(|| operation.to_owned());
                Self { kind: error.kind(), operation, message: message.to_owned() }
            }
            None => Self::new(error.kind(), text),
        }
    }

    fn into_error(self, asked: &'static str) -> StoreError {
        let message = match self.operation {
            Some(operation) => format!("{operation}: {}", self.message),
            None => self.message,
        };
        StoreError::new(self.kind, asked, message)
    }
}

/// Takes the answer that belongs to a request, and refuses any other.
macro_rules! ask {
    ($mailbox:expr, $request:expr, $answer:pat => $value:expr) => {{
        let request = $request;
        let operation = request.operation();
        match $mailbox.ask(request).await? {
            $answer => Ok($value),
            other => {
                let message = format!("the answer belongs to another request: {other:?}");
                Err(StoreError::new(StoreErrorKind::Corrupt, operation, message))
            }
        }
    }};
}

#[async_trait]
impl Journal for StoreMailbox {
    async fn claim(&self) -> Result<Epoch, StoreError> {
        ask!(self, Request::Claim, Answer::Claim(epoch) => epoch)
    }

    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        ask!(self, Request::Commit(batch), Answer::Commit(outcomes) => outcomes)
    }

    async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        ask!(self, Request::Agent(pid), Answer::Agent(row) => row)
    }

    async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        ask!(self, Request::Agents { after, live, limit }, Answer::Agents(rows) => rows)
    }

    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        ask!(self, Request::Records { pid, from, limit }, Answer::Records(records) => records)
    }

    async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        ask!(self, Request::Values(pid), Answer::Values(values) => values)
    }

    async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        ask!(self, Request::AsOf { pid, records }, Answer::AsOf(version) => version)
    }
}

#[async_trait]
impl Blobs for StoreMailbox {
    async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        ask!(self, Request::Blobs(hashes.to_vec()), Answer::Blobs(bodies) => bodies)
    }

    async fn list_blobs(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, StoreError> {
        ask!(self, Request::ListBlobs { after, limit }, Answer::ListBlobs(addresses) => addresses)
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        ask!(self, Request::Sweep, Answer::Sweep(removed) => removed)
    }
}

#[async_trait]
impl Mailboxes for StoreMailbox {
    async fn post(&self, mail: Vec<Mail>) -> Result<(), StoreError> {
        ask!(self, Request::Post(mail), Answer::Post => ())
    }

    async fn inbox(&self, pid: Pid) -> Result<Vec<Mail>, StoreError> {
        ask!(self, Request::Inbox(pid), Answer::Inbox(mail) => mail)
    }

    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<(Arrival, Mail)>, StoreError> {
        ask!(self, Request::Arrivals { after, limit }, Answer::Arrivals(mail) => mail)
    }
}
