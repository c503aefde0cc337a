//! The disk of Agent OS Kernel: agent rows, chained records, named values, content-addressed bodies and mail.
//!
//! [`Store`] is the contract, three small traits behind one handle: [`Journal`], [`Blobs`] and [`Mailboxes`].
//! [`MemoryStore`] keeps everything in memory; `SqliteStore` (feature `sqlite`) in one file that survives a kill of
//! the kernel and a crash of the machine; `PostgresStore` (feature `postgres`) in a database that many kernels share.
//! A kernel claims an [epoch](kernel_types::Epoch), commits batches, and is told of each commit whether it landed, was
//! there already, or belongs to another kernel now.
//!
//! ```
//! use kernel_storage::{Commit, CommitOutcome, Journal, MemoryStore, StoreError};
//! use kernel_types::{AgentRow, Hash, Pid};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! // Or, with the feature `sqlite`: SqliteStore::open("agents.db").await?
//! let store = MemoryStore::new();
//! let row = AgentRow {
//!     pid: Pid::fresh(),
//!     parent: Pid::INIT,
//!     epoch: store.claim().await?,
//!     revision: 1,
//!     records: 0,
//!     head: Hash::ZERO,
//!     exited: false,
//!     image: b"the state of the program".to_vec(),
//!     seal: Hash::ZERO,
//! };
//! let commit = Commit {
//!     row: row.clone(),
//!     records: vec![],
//!     values: vec![("answer".to_owned(), Some("42".to_owned()))],
//!     consumed: vec![],
//!     sent: vec![],
//!     blobs: vec![],
//! };
//! assert_eq!(store.commit(vec![commit.clone()]).await?, [CommitOutcome::Committed]);
//! assert_eq!(store.commit(vec![commit]).await?, [CommitOutcome::Already]);
//! assert_eq!(store.agent(row.pid).await?, Some(row));
//! # Ok::<(), StoreError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A store of your own implements the three traits and runs the suite of the feature `conformance`:
//! `store_conformance!(mine, InPlace::new(MyStore::new()))`.
//!
//! An [`Archive`] is a store whose processes can be copied into another ([`copy_process`]) and, when they have ended and nobody
//! needs them, removed ([`vacuum`]); its suite is `archive_conformance!`.
//!
//! [`Vectors`] is the long-term memory of agents beside that: texts that are found again by words, by the vector that
//! an embedding model gave them, or by both. Its suite is `vectors_conformance!`. With the feature `hnsw`, which needs a
//! C++ compiler, SQLite's searches of many vectors go through an approximate index; without it they compare all.
//!
//! Nothing here reads a clock to decide anything about what it stores, or looks into what a [`Store`] keeps; only of
//! memories that are searched an index is kept. What may go wrong while a batch is written is tried with the feature
//! `failpoints`.

mod archive;
#[cfg(feature = "postgres")]
mod batcher;
mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
mod delegate;
mod error;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod failpoint;
mod memory;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod pack;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod vectors;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod version;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod work;

#[doc(hidden)]
pub use async_trait::async_trait as __async_trait;
#[doc(hidden)]
pub use kernel_types as __types;

pub use archive::{Archive, ProcessCopy, Vacuumed, copy_process, vacuum};
pub use error::{StoreError, StoreErrorKind};
pub use memory::MemoryStore;
#[cfg(all(feature = "failpoints", feature = "postgres"))]
pub use postgres::POSTGRES_FAIL_POINTS;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore};
#[cfg(feature = "failpoints")]
pub use sqlite::SQLITE_FAIL_POINTS;
#[cfg(feature = "sqlite")]
pub use sqlite::{Older, OpenReport, Regression, SqliteStore};
pub use store::{Arrival, Blob, Blobs, Commit, CommitOutcome, Journal, Mailboxes, Store, Version};
pub use vectors::{
    Filter, MemoryHit, MemoryItem, MemorySearch, Metadata, Scalar, SearchMode, Vector, Vectors,
};
