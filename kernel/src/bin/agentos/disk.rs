//! Where processes are kept: what `--store` names, as one type in front of the kinds of stores there are.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use kernel_storage::{
    Arrival, Blobs, Commit, CommitOutcome, Journal, Mailboxes, MemoryStore, PostgresStore, SqliteStore,
    Store, StoreError, Vectors, Version,
};
use kernel_types::{AgentRow, BlobHash, Epoch, Mail, Pid, Record};

/// What `--store` names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Gone with the command.
    Memory,
    /// A file, which one kernel has for itself.
    Sqlite(PathBuf),
    /// A database that many kernels share.
    Postgres(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            _ => Err("a store is sqlite:PATH, postgres://USER@HOST/DATABASE or memory".to_owned()),
        }
    }
}

/// Without the password that a URL may hold.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => f.write_str(&masked(url)),
        }
    }
}

/// A URL without its password.
pub(crate) fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => {
            let user = rest[..at].split(':').next().unwrap_or_default();
            let has_password = rest[..at].contains(':');
            let password = if has_password { ":***" } else { "" };
            format!("{scheme}://{user}{password}{}", &rest[at..])
        }
        None => url.to_owned(),
    }
}

/// An open store.
#[derive(Clone)]
pub(crate) enum Disk {
    Memory(MemoryStore),
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Disk {
    /// For a kernel.
    pub(crate) async fn open(place: &Place) -> Result<Self, StoreError> {
        Ok(match place {
            Place::Memory => Self::Memory(MemoryStore::new()),
            Place::Sqlite(path) => Self::Sqlite(SqliteStore::open(path).await?),
            Place::Postgres(url) => Self::Postgres(PostgresStore::open(url.as_str()).await?),
        })
    }

    /// Beside kernels; `None` if there is none yet.
    pub(crate) async fn attach(place: &Place) -> Result<Option<Self>, StoreError> {
        Ok(match place {
            Place::Memory => None,
            Place::Sqlite(path) if !path.exists() => None,
            Place::Sqlite(path) => Some(Self::Sqlite(SqliteStore::attach(path).await?)),
            Place::Postgres(url) => Some(Self::Postgres(PostgresStore::attach(url.as_str()).await?)),
        })
    }

    pub(crate) async fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }

    /// Processes that have records but no row.
    pub(crate) async fn strays(&self) -> Result<Vec<Pid>, StoreError> {
        match self {
            Self::Memory(_) => Ok(Vec::new()),
            Self::Sqlite(store) => store.strays().await,
            Self::Postgres(store) => store.strays().await,
        }
    }

    /// What it is, in words.
    pub(crate) async fn version(&self) -> Result<String, StoreError> {
        Ok(match self {
            Self::Memory(_) => "memory".to_owned(),
            Self::Sqlite(store) => format!("SQLite {}", store.sqlite_version().await?),
            Self::Postgres(store) => format!("PostgreSQL {}", store.server_version().await?),
        })
    }

    /// Where agents remember.
    pub(crate) fn memory(&self) -> Arc<dyn Vectors> {
        match self {
            Self::Memory(store) => Arc::new(store.clone()),
            Self::Sqlite(store) => Arc::new(store.clone()),
            Self::Postgres(store) => Arc::new(store.clone()),
        }
    }

    fn store(&self) -> &dyn Store {
        match self {
            Self::Memory(store) => store,
            Self::Sqlite(store) => store,
            Self::Postgres(store) => store,
        }
    }
}

#[async_trait]
impl Journal for Disk {
    async fn claim(&self) -> Result<Epoch, StoreError> {
        self.store().claim().await
    }
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.store().commit(batch).await
    }
    async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        self.store().agent(pid).await
    }
    async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        self.store().agents(after, live, limit).await
    }
    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.store().records(pid, from, limit).await
    }
    async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        self.store().values(pid).await
    }
    async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        self.store().as_of(pid, records).await
    }
}

#[async_trait]
impl Blobs for Disk {
    async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        self.store().blobs(hashes).await
    }
    async fn list_blobs(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, StoreError> {
        self.store().list_blobs(after, limit).await
    }
    async fn sweep(&self) -> Result<u64, StoreError> {
        self.store().sweep().await
    }
}

#[async_trait]
impl Mailboxes for Disk {
    async fn post(&self, mail: Vec<Mail>) -> Result<(), StoreError> {
        self.store().post(mail).await
    }
    async fn inbox(&self, pid: Pid) -> Result<Vec<Mail>, StoreError> {
        self.store().inbox(pid).await
    }
    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<(Arrival, Mail)>, StoreError> {
        self.store().arrivals(after, limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_it_says() {
        let check = |text: &str, expected: Result<Place, ()>| {
            assert_eq!(
                text.parse::<Place>().map_err(|error| assert!(error.contains("sqlite:PATH"))),
                expected
            );
        };
        check("memory", Ok(Place::Memory));
        check("sqlite:a/b.db", Ok(Place::Sqlite("a/b.db".into())));
        check("postgres://u@h/d", Ok(Place::Postgres("postgres://u@h/d".to_owned())));
        check("postgresql://h/d", Ok(Place::Postgres("postgresql://h/d".to_owned())));
        for wrong in ["", "sqlite:", "mysql://h/d", "a.db", "Memory"] {
            check(wrong, Err(()));
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("postgres://u:secret@h:5432/d", "postgres://u:***@h:5432/d"),
            ("postgres://u:p@ss:w@h/d?a=b@c", "postgres://u:***@h/d?a=b@c"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("postgres://h/d", "postgres://h/d"),
        ] {
            assert_eq!(Place::Postgres(url.to_owned()).to_string(), shown);
        }
    }
}
