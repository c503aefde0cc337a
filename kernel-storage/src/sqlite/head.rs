//! The head file: what the database held last, in a small file beside it.
//!
//! A database cannot tell by itself that it was put back from an older copy or that its write-ahead log was cut: it
//! is whole, only older. So the writer notes beside it how far it came: how many commits, the epoch, the last arrival
//! of mail, and the revision and head of the processes that committed last. It does so a moment after the commits, so
//! that the file never knows of one that was not durable; that it may lag behind makes it say too little, never too
//! much.
//!
//! Two slots are written in turn, each with its checksum: a torn one leaves the one before. Nothing is synced,
//! nothing waits for it, and a file that is missing, damaged or cannot be written keeps nobody from the store.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kernel_types::{AgentRow, Epoch, Hash, Pid, hash_bytes};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::Arrival;

/// How far the file may lag behind the database.
const LAG: Duration = Duration::from_millis(100);
/// The processes that a slot names at most: those that committed last.
const NAMED: usize = 256;
/// Two slots of this size are the file; what a slot holds is smaller.
const SLOT: usize = 16 << 10;
const CHECKSUM: usize = 32;
const LENGTH: usize = 4;
/// What the codec calls it.
const KIND: u8 = b'H';
const VERSION: u16 = 1;

/// What a slot says.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    /// Rises from slot to slot: the higher one counts.
    pub(super) written: u64,
    /// Commits that landed since there is a head file.
    pub(super) commits: u64,
    pub(super) epoch: Epoch,
    pub(super) arrival: Arrival,
    /// In the order of their last commits.
    pub(super) heads: Vec<(Pid, u64, Hash)>,
}

/// The head file of a database, and what it shall say next.
#[derive(Debug)]
pub(super) struct HeadFile {
    path: PathBuf,
    /// Opened at the first write.
    file: Option<File>,
    known: Known,
    /// The heads of `known` and later ones, each with the number of its commit.
    heads: HashMap<Pid, (u64, Hash, u64)>,
    /// When what is known has to be written; `None` if it is.
    due: Option<Instant>,
}

/// The head file of the database at `path`.
pub(super) fn head_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".head");
    name.into()
}

impl HeadFile {
    /// Reads the head file of the database at `path`; what cannot be read says nothing.
    pub(super) fn load(path: &Path) -> Self {
        let path = head_path(path);
        let known = match read(&path) {
            Ok(known) => known,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Known::default(),
            Err(error) => {
                tracing::warn!(
                    "{} cannot be used: {error}; an older store would not be noticed",
                    path.display()
                );
                Known::default()
            }
        };
        let mut head = Self { path, file: None, known: Known::default(), heads: HashMap::new(), due: None };
        head.take(known);
        head
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn known(&self) -> &Known {
        &self.known
    }

    /// From now on this counts: the database is what it is.
    pub(super) fn take(&mut self, known: Known) {
        let numbered = (1..).zip(&known.heads);
        self.heads =
            numbered.map(|(number, (pid, revision, head))| (*pid, (*revision, *head, number))).collect();
        self.known = Known { commits: known.commits.max(known.heads.len() as u64), ..known };
    }

    /// A commit landed.
    pub(super) fn commit(&mut self, row: &AgentRow) {
        // A file that is whole may still say anything.
        self.known.commits = self.known.commits.saturating_add(1);
        self.heads.insert(row.pid, (row.revision, row.head, self.known.commits));
        if self.heads.len() >= 4 * NAMED {
            self.heads = self.last().into_iter().collect();
        }
        self.changed();
    }

    /// Processes were removed: that they are not there says nothing any more.
    pub(super) fn forget(&mut self, gone: &[Pid]) {
        self.heads.retain(|pid, _| !gone.contains(pid));
        self.changed();
    }

    /// Something landed that only the database can tell.
    pub(super) fn changed(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + LAG);
    }

    /// When it has to be written next, if it has to be.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Writes what is known: a few kB into the page cache, ten times a second at most. The epoch and the last arrival
    /// are the database's, if it could be asked.
    pub(super) fn write(&mut self, found: Option<(Epoch, Arrival)>) {
        if let Some((epoch, arrival)) = found {
            (self.known.epoch, self.known.arrival) = (epoch, arrival);
        }
        self.known.heads =
            self.last().into_iter().map(|(pid, (revision, head, _))| (pid, revision, head)).collect();
        self.known.written = self.known.written.saturating_add(1);
        self.due = None;
        if let Err(error) = self.put() {
            // On a full disk this is the least of the troubles; the next commits try again.
            tracing::debug!("{} cannot be written: {error}", self.path.display());
            self.file = None;
        }
    }

    /// The heads of the last commits, in their order.
    fn last(&self) -> Vec<(Pid, (u64, Hash, u64))> {
        let mut heads: Vec<_> = self.heads.iter().map(|(pid, head)| (*pid, *head)).collect();
        heads.sort_unstable_by_key(|(_, (_, _, number))| *number);
        heads.drain(..heads.len().saturating_sub(NAMED));
        heads
    }

    fn put(&mut self) -> io::Result<()> {
        let slot = slot(&self.known)?;
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                none.insert(OpenOptions::new().write(true).create(true).truncate(false).open(&self.path)?)
            }
        };
        file.seek(SeekFrom::Start(self.known.written % 2 * SLOT as u64))?;
        file.write_all(&slot)
    }
}

/// The later of the two slots, as far as they are whole.
fn read(path: &Path) -> io::Result<Known> {
    let mut bytes = Vec::new();
    File::open(path)?.take(2 * SLOT as u64).read_to_end(&mut bytes)?;
    let slots = bytes.chunks(SLOT).filter_map(whole);
    slots.max_by_key(|known| known.written).ok_or_else(|| io::Error::other("neither of its slots is whole"))
}

/// A slot: the checksum of what follows, the length of what follows that, and a [`Known`].
fn slot(known: &Known) -> io::Result<Vec<u8>> {
    let body = kernel_types::encode(KIND, VERSION, known).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let rest = [&length.to_le_bytes()[..], &body].concat();
    Ok([&hash_bytes(&rest).0[..], &rest].concat())
}

fn whole(slot: &[u8]) -> Option<Known> {
    let (checksum, rest) = slot.split_at_checked(CHECKSUM)?;
    let (length, body) = rest.split_at_checked(LENGTH)?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    let body = body.get(..length)?;
    (hash_bytes(&rest[..LENGTH + length]).0 == checksum).then_some(())?;
    kernel_types::decode(KIND, VERSION, body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: u64, revision: u64) -> AgentRow {
        AgentRow {
            pid: Pid::from_parts(u64::MAX >> 16, u128::MAX - u128::from(n)),
            parent: Pid::INIT,
            epoch: Epoch(1),
            revision,
            records: 0,
            head: Hash([0xff; 32]),
            exited: false,
            image: Vec::new(),
            seal: Hash::ZERO,
        }
    }

    #[test]
    fn the_largest_slot_fits() {
        let folder = tempfile::tempdir().unwrap();
        let mut head = HeadFile::load(&folder.path().join("db"));
        head.known.commits = u64::MAX / 2;
        head.known.written = u64::MAX / 2;
        for n in 0..10 * NAMED as u64 {
            head.commit(&row(n, u64::MAX));
        }
        head.write(Some((Epoch(u64::MAX), Arrival(u64::MAX))));
        assert!(slot(&head.known).unwrap().len() <= SLOT);
        assert_eq!(head.known.heads.len(), NAMED);
        assert_eq!(head.known.heads.last().unwrap().0, row(10 * NAMED as u64 - 1, 1).pid);
        assert_eq!(read(&head.path).unwrap(), head.known);
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut head = HeadFile::load(&folder.path().join("db"));
        let mut written = Vec::new();
        for revision in 1..=3 {
            head.commit(&row(1, revision));
            head.write(None);
            written.push(head.known.clone());
        }
        let whole = std::fs::read(&head.path).unwrap();
        let (first, last) = (written[1].clone(), written[2].clone());
        let length = slot(&last).unwrap().len();
        for torn in 0..length {
            let mut bytes = whole.clone();
            bytes[SLOT + torn] ^= 0x10;
            std::fs::write(&head.path, &bytes).unwrap();
            assert_eq!(read(&head.path).unwrap(), first, "byte {torn} flipped");
            std::fs::write(&head.path, &whole[..SLOT + torn]).unwrap();
            assert_eq!(read(&head.path).unwrap(), first, "cut at {torn}");
        }
        std::fs::write(&head.path, &whole).unwrap();
        assert_eq!(read(&head.path).unwrap(), last, "the control");
        std::fs::write(&head.path, &whole[..10]).unwrap();
        assert!(read(&head.path).is_err());
        assert_eq!(HeadFile::load(&folder.path().join("db")).known, Known::default());
    }
}
