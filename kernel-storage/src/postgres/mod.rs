//! A store in a PostgreSQL database that many kernels share.
//!
//! Any number of kernels open it: what keeps them apart is the epoch of each row, which every write is fenced by. A
//! batcher ([`crate::batcher`]) groups commits, a few connections write them ([`lane`]), each group in one autocommit
//! statement ([`statement`]); a pool of connections reads ([`read`]). Long-term memory has connections of its own ([`vectors`]). A connection that is cut or a server that is
//! started again is no error of a caller's for as long as the options are patient ([`tries`]).

mod archive;
mod arrivals;
mod failpoint;
mod fault;
mod lane;
mod link;
mod options;
mod plan;
mod read;
mod row;
mod schema;
mod statement;
mod sweep;
mod tries;
mod vectors;

use std::sync::Arc;

use async_trait::async_trait;
use kernel_types::{AgentRow, BlobHash, Epoch, Mail, Pid, Record};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::oneshot;

#[cfg(feature = "failpoints")]
pub use self::failpoint::POSTGRES_FAIL_POINTS;
pub use self::options::PostgresOptions;

use self::lane::PostgresLane;
use self::link::Link;
use self::options::LARGEST;
use self::read::Reader;
use self::vectors::Memory;
use crate::batcher::{Batcher, Item};
use crate::work::{Checked, Work};
use crate::{Arrival, Blobs, Commit, CommitOutcome, Journal, Mailboxes, StoreError, StoreErrorKind, Version};

/// A store in a PostgreSQL database, in a schema of its own. Clones share it; it closes when the last one is gone, or
/// at [`PostgresStore::close`].
///
/// Needs PostgreSQL 14 or later with the extension pgvector, a connection of its own to the server (not a pooler that
/// hands out one per transaction), and a tokio runtime with its timer.
///
/// ```no_run
/// use kernel_storage::{Journal, PostgresStore, StoreError};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let store = PostgresStore::open("postgres://agents@db.example/agents").await?;
/// let epoch = store.claim().await?;
/// # let _ = epoch;
/// store.close().await?;
/// # Ok::<(), StoreError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    batcher: Batcher<Work>,
    reader: Reader,
    memory: Memory,
    /// For writes that take long: processes that come whole.
    copier: PgConnectOptions,
    attached: bool,
}

impl PostgresStore {
    /// Opens the store for a kernel: makes its schema if there is none, and brings an older one up to date. Kernels
    /// that are on it already are not disturbed; of several that open a new one at the same time, one makes it.
    ///
    /// # Errors
    /// [`StoreErrorKind::Invalid`] if the address is wrong, the database does not exist, has not the encoding UTF8, or the server lacks pgvector,
    /// [`StoreErrorKind::Permission`] if the user is not let in or may not make or write the tables,
    /// [`StoreErrorKind::Schema`] if the tables are another program's or a newer build's,
    /// [`StoreErrorKind::Unavailable`] if the server cannot be reached. Nothing is left behind by a failure.
    pub async fn open(options: impl Into<PostgresOptions>) -> Result<Self, StoreError> {
        let options = options.into();
        let target = options.target()?;
        let home = schema::migrate(&options, &target).await?;
        Ok(Self::connect(&options, &target, &home, false))
    }

    /// Attaches to a store beside kernels that may be running: to read and to `post`. The calls that are a kernel's own
    /// (`claim`, `commit`, `sweep`, `remember`, `forget`) answer [`StoreErrorKind::Invalid`].
    ///
    /// # Errors
    /// As [`PostgresStore::open`]; [`StoreErrorKind::Invalid`] if there is no store.
    pub async fn attach(options: impl Into<PostgresOptions>) -> Result<Self, StoreError> {
        let options = options.into();
        let target = options.target()?;
        let home = schema::verify(&options, &target).await?;
        Ok(Self::connect(&options, &target, &home, true))
    }

    fn connect(options: &PostgresOptions, target: &options::Target, home: &str, attached: bool) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(options.most_readers())
            // The pool itself waits that long for a server that is away.
            .acquire_timeout(options.write_timeout)
            // A connection that died while nobody used it is found out by its next user, who asks again.
            .test_before_acquire(false)
            .connect_lazy_with(options.reader(target));
        let (writer, timeout, patience) = (options.writer(target), options.write_timeout, options.patience);
        let lane = move || PostgresLane::new(Link::new(writer.clone(), timeout), patience);
        let batcher = Batcher::start(options.limits(attached), lane);
        let reader = Reader::new(pool, options.read_timeout, patience);
        let memory = Memory::new(options, target, home);
        Self {
            shared: Arc::new(Shared { batcher, reader, memory, copier: options.copier(target), attached }),
        }
    }

    /// Finishes what is queued and closes the connections, for all clones.
    ///
    /// # Errors
    /// None so far.
    pub async fn close(self) -> Result<(), StoreError> {
        self.shared.batcher.close().await;
        self.shared.memory.close().await;
        self.shared.reader.close().await;
        Ok(())
    }

    /// The version of the server, such as `18.6`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn server_version(&self) -> Result<String, StoreError> {
        self.shared.reader.version().await
    }

    /// Processes that have records but no row, which no kernel leaves: somebody removed the row.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn strays(&self) -> Result<Vec<Pid>, StoreError> {
        self.shared.reader.strays().await
    }

    async fn write(
        &self,
        operation: &'static str,
        batch: Vec<Checked>,
        post: Vec<Mail>,
    ) -> Result<Vec<CommitOutcome>, StoreError> {
        if batch.is_empty() && post.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        if !self.shared.batcher.send(Work { operation, batch, post, answer }).await {
            return Err(StoreError::new(StoreErrorKind::Unavailable, operation, "the store is closed"));
        }
        answered.await.unwrap_or_else(|_| {
            let message = "the store was closed before it answered";
            Err(StoreError::new(StoreErrorKind::CommitUnknown, operation, message))
        })
    }

    fn kernel_only(&self, operation: &'static str) -> Result<(), StoreError> {
        if self.shared.attached {
            let message = "this handle is attached beside a kernel: it reads and posts mail only";
            return Err(StoreError::new(StoreErrorKind::Invalid, operation, message));
        }
        Ok(())
    }
}

fn checked(commit: Commit) -> Checked {
    let unfit = plan::unfit(&commit);
    let mut checked = Checked::new(commit, LARGEST);
    checked.malformed = checked.malformed.or(unfit);
    checked
}

impl Item for Work {
    fn commits(&self) -> usize {
        self.batch.len()
    }

    fn bytes(&self) -> usize {
        let size = |checked: &Checked| {
            let commit = &checked.commit;
            let bodies = commit.records.iter().filter_map(|record| record.body.as_ref()).map(String::len);
            let values = commit.values.iter().filter_map(|(_, value)| value.as_ref()).map(String::len);
            let blobs = commit.blobs.iter().map(|blob| blob.bytes.len());
            // The image goes into the row and into its version, a value into the names and into their past.
            bodies.chain(values.map(|value| 2 * value)).chain(blobs).sum::<usize>()
                + 2 * commit.row.image.len()
        };
        self.batch.iter().map(size).sum()
    }

    fn pids(&self) -> impl Iterator<Item = Pid> + '_ {
        self.batch.iter().map(|checked| checked.commit.row.pid)
    }
}

#[async_trait]
impl Journal for PostgresStore {
    async fn claim(&self) -> Result<Epoch, StoreError> {
        self.kernel_only("claim")?;
        self.shared.reader.claim().await
    }

    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.kernel_only("commit")?;
        self.write("commit", batch.into_iter().map(checked).collect(), Vec::new()).await
    }

    async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        self.shared.reader.agent(pid).await
    }

    async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        self.shared.reader.agents(after, live, limit).await
    }

    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.shared.reader.records(pid, from, limit).await
    }

    async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        self.shared.reader.values(pid).await
    }

    async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        self.shared.reader.as_of(pid, records).await
    }
}

#[async_trait]
impl Blobs for PostgresStore {
    async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        self.shared.reader.blobs(hashes).await
    }

    async fn list_blobs(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, StoreError> {
        self.shared.reader.list_blobs(after, limit).await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.kernel_only("sweep")?;
        self.shared.reader.sweep().await
    }
}

#[async_trait]
impl Mailboxes for PostgresStore {
    async fn post(&self, mail: Vec<Mail>) -> Result<(), StoreError> {
        self.write("post", Vec::new(), mail).await.map(drop)
    }

    async fn inbox(&self, pid: Pid) -> Result<Vec<Mail>, StoreError> {
        self.shared.reader.inbox(pid).await
    }

    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<(Arrival, Mail)>, StoreError> {
        self.shared.reader.arrivals(after, limit).await
    }
}
