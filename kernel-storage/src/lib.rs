//! The disk of Agent OS Kernel: agent rows, chained records, content-addressed bodies and mail.

mod error;
mod store;

pub use error::{StoreError, StoreErrorKind};
pub use store::{Arrival, Blob, Blobs, Commit, CommitOutcome, Journal, Mailboxes, Store};
