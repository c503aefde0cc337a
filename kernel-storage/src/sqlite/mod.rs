//! A store in one SQLite file: the embedded default.
//!
//! Write-ahead log with `synchronous = FULL`: what is answered `Committed` survives a crash of the machine. One task
//! writes ([`writer`]), a few read-only connections read ([`read`]). One kernel at a time opens a database
//! ([`lock`]); other processes attach to it, to look and to post mail. A file beside it tells at the next opening
//! whether the database is older than it was ([`head`]).

mod archive;
mod backup;
mod failpoint;
mod fault;
mod head;
mod lock;
mod plan;
mod read;
mod report;
mod row;
mod schema;
mod statement;
mod transaction;
mod vectors;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kernel_types::{AgentRow, BlobHash, Epoch, Mail, Pid, Record};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::{mpsc, oneshot};

#[cfg(feature = "failpoints")]
pub use self::failpoint::SQLITE_FAIL_POINTS;
pub use self::report::{Older, OpenReport, Regression};

use self::fault::{fault, file_fault};
use self::head::HeadFile;
use self::lock::StoreLock;
use self::read::Reader;
use self::schema::MIGRATIONS;
use self::vectors::Memory;
use self::writer::{Guard, Request, Writer};
use crate::work::{Answer, Checked, Work};
use crate::{Arrival, Blobs, Commit, CommitOutcome, Journal, Mailboxes, StoreError, StoreErrorKind, Version};

/// Callers beyond this many wait for a place in the queue of the writer.
const QUEUE: usize = 1024;
const READERS: u32 = 4;
/// How long a write waits for one of another process.
const BUSY: Duration = Duration::from_secs(5);
/// SQLite takes values of up to 1,000,000,000 bytes; one step has no business near that.
const LARGEST: usize = 512 << 20;
const PAGE: u64 = 4096;

/// A store in one SQLite file. Clones share it; it closes when the last one is gone, or at [`SqliteStore::close`].
///
/// Needs a tokio runtime with its timer, and lives as long as that runtime.
///
/// ```
/// use kernel_storage::{Journal, SqliteStore, StoreError};
///
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// # let folder = tempfile::tempdir().expect("a temporary folder");
/// # let path = folder.path().join("agents.db");
/// let store = SqliteStore::open(&path).await?;
/// let first = store.claim().await?;
/// store.close().await?;
/// assert!(SqliteStore::open(&path).await?.claim().await? > first);
/// # Ok::<(), StoreError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    requests: mpsc::Sender<Request>,
    reader: Reader,
    memory: Arc<Memory>,
    attached: bool,
    report: OpenReport,
}

impl SqliteStore {
    /// Opens the database at `path` for a kernel; makes it, and its folder, if there is none.
    ///
    /// The kernel is alone: the lock on the file `<path>.lock` is held until the store is closed. If the database has
    /// an older schema, a copy of it is made beside it before it is migrated. Whether it is older than the head file
    /// `<path>.head` says is in the [`SqliteStore::report`], and in the log.
    ///
    /// # Errors
    /// [`StoreErrorKind::Locked`] if another kernel has it open, [`StoreErrorKind::Schema`] if it is another
    /// program's or a newer build's, [`StoreErrorKind::Corrupt`] if the file is no database,
    /// [`StoreErrorKind::Permission`] and [`StoreErrorKind::Full`] as the disk says.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_migrating(path, MIGRATIONS).await
    }

    /// As [`SqliteStore::open`], with other migrations than this build's: what a later build will do.
    #[cfg(feature = "failpoints")]
    #[doc(hidden)]
    pub async fn open_with_migrations(
        path: impl AsRef<Path>,
        migrations: &[&'static str],
    ) -> Result<Self, StoreError> {
        Self::open_migrating(path, migrations).await
    }

    async fn open_migrating(path: impl AsRef<Path>, migrations: &[&'static str]) -> Result<Self, StoreError> {
        let path = absolute(path.as_ref())?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| file_fault("open", folder, error))?;
        }
        let lock = StoreLock::acquire(&path).await?;
        let options = options(&path);
        let at_path = |error: StoreError| error.about(&path);
        let conn = options.clone().create_if_missing(true).connect().await;
        let mut conn = conn.map_err(|error| at_path(fault("open", error)))?;
        let backup = schema::migrate(&mut conn, &path, migrations).await.map_err(at_path)?;
        let mut head = HeadFile::load(&path);
        let mut report = report::of(&mut conn, &mut head, &path).await;
        report.backup = backup;
        Ok(Self::serve(options, conn, Some(Guard { head, _lock: lock }), report))
    }

    /// Attaches to the database at `path` beside a kernel that may be running: to read, to search and to `post`. The
    /// calls that are the kernel's own (`claim`, `commit`, `sweep`, `remember`, `forget`) answer
    /// [`StoreErrorKind::Invalid`].
    ///
    /// # Errors
    /// As [`SqliteStore::open`], but for the lock; [`StoreErrorKind::Invalid`] if there is no database.
    pub async fn attach(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = absolute(path.as_ref())?;
        if !path.exists() {
            let message = format!("there is no store at {}: start a kernel on it first", path.display());
            return Err(StoreError::new(StoreErrorKind::Invalid, "attach", message));
        }
        let options = options(&path);
        let at_path = |error: StoreError| error.about(&path);
        let mut conn = options.connect().await.map_err(|error| at_path(fault("open", error)))?;
        schema::verify(&mut conn, &path).await.map_err(at_path)?;
        Ok(Self::serve(options, conn, None, OpenReport::default()))
    }

    fn serve(
        options: SqliteConnectOptions,
        conn: SqliteConnection,
        guard: Option<Guard>,
        report: OpenReport,
    ) -> Self {
        let attached = guard.is_none();
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone().read_only(true));
        let (requests, queue) = mpsc::channel(QUEUE);
        let memory = Arc::<Memory>::default();
        tokio::spawn(Writer::new(options, conn, queue, Arc::clone(&memory), guard).run());
        let reader = Reader::new(reader);
        Self { shared: Arc::new(Shared { requests, reader, memory, attached, report }) }
    }

    /// What opening it found out: whether it is older than it was, and where a copy was made. An attached handle
    /// looks into neither.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.shared.report
    }

    /// Finishes what is queued and closes the database, for all clones.
    ///
    /// # Errors
    /// The failure of the last checkpoint; what was answered `Committed` is durable all the same.
    pub async fn close(self) -> Result<(), StoreError> {
        self.shared.reader.close().await;
        self.ask("close", Request::Close).await
    }

    /// Bounds the size of the database: writes that need more fail with [`StoreErrorKind::Full`]. What is there
    /// already stays. Without a number, the disk is the bound.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn limit_size(&self, bytes: Option<u64>) -> Result<(), StoreError> {
        // SQLite takes the largest number it knows for what is beyond it.
        let pages = bytes.map_or(u64::MAX, |bytes| bytes / PAGE).clamp(1, u64::from(u32::MAX - 1));
        let pages = u32::try_from(pages).unwrap_or(u32::MAX - 1);
        self.ask("limit", |answer| Request::Limit(pages, answer)).await
    }

    /// The version of SQLite that is linked in, such as `3.51.0`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn sqlite_version(&self) -> Result<String, StoreError> {
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
        self.ask(operation, |answer| Request::Write(Work { operation, batch, post, answer })).await
    }

    async fn ask<T>(
        &self,
        operation: &'static str,
        request: impl FnOnce(Answer<T>) -> Request,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        if self.shared.requests.send(request(answer)).await.is_err() {
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

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .statement_cache_capacity(256)
        .disable_statement_logging()
}

/// SQLite takes names that begin with `file:` apart; absolute ones do not.
fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(|error| file_fault("open", path, error))
}

#[async_trait]
impl Journal for SqliteStore {
    async fn claim(&self) -> Result<Epoch, StoreError> {
        self.kernel_only("claim")?;
        self.ask("claim", Request::Claim).await
    }

    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.kernel_only("commit")?;
        self.write(
            "commit",
            batch.into_iter().map(|commit| Checked::new(commit, LARGEST)).collect(),
            Vec::new(),
        )
        .await
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
impl Blobs for SqliteStore {
    async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        self.shared.reader.blobs(hashes).await
    }

    async fn list_blobs(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, StoreError> {
        self.shared.reader.list_blobs(after, limit).await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.kernel_only("sweep")?;
        self.ask("sweep", Request::Sweep).await
    }
}

#[async_trait]
impl Mailboxes for SqliteStore {
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
