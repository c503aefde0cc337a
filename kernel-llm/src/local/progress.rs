//! Telling a person what is fetched, and asking before it is.

use std::path::PathBuf;

/// What is to be fetched: shown before anything is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InstallPlan {
    /// Each package: what it is, and its bytes on the way.
    pub items: Vec<(String, u64)>,
    /// All bytes on the way.
    pub download_bytes: u64,
    /// All bytes on the disk afterwards.
    pub disk_bytes: u64,
    /// Into which folder.
    pub target: PathBuf,
}

/// A step of setting the local model up.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SetupEvent {
    /// Another process is fetching the same; waiting for it.
    Waiting,
    /// This is missing and will be fetched (unless refused).
    Plan(InstallPlan),
    /// Bytes that arrived, of how many.
    Download {
        /// So far.
        done: u64,
        /// In all.
        total: u64,
    },
    /// All bytes are here and are being unpacked.
    Unpack,
    /// Everything is in place.
    Installed,
    /// The server is starting.
    Start,
    /// The server answers.
    Ready,
}

/// Who watches the setup: a progress bar, a log, a test.
pub trait SetupSink: Send + Sync {
    /// Something happened. Must not block.
    fn event(&self, event: SetupEvent);

    /// Whether `plan` may be carried out; asked only under [`crate::Install::Ask`]. May wait for a person.
    fn approve(&self, plan: &InstallPlan) -> bool;
}
