//! The disk of Agent OS Kernel: agent rows, chained records, content-addressed bodies and mail.

mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use error::{StoreError, StoreErrorKind};
pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use store::{Arrival, Blob, Blobs, Commit, CommitOutcome, Journal, Mailboxes, Store};
