//! The write-ahead log cut or damaged at each of its frames: the store opens at the last state before that, exactly,
//! and says which processes lost commits.
//!
//! The format: a header of 32 bytes, then frames of a header of 24 (page number, size after a commit, two salts, two
//! checksums) and a page. <https://www.sqlite.org/fileformat2.html#walformat>

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kernel_storage::{Journal, Mailboxes, Older, Regression, SqliteStore};
use kernel_types::{Epoch, Hash, Pid};

use crate::sample::{Contents, contents, message, pid};
use crate::workload::laden;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const FRAME: usize = FRAME_HEADER + 4096;

/// A store that was left without a checkpoint, and its states in order.
struct Left {
    database: Vec<u8>,
    log: Vec<u8>,
    head: Vec<u8>,
    states: Vec<State>,
}

/// What was durable when the log had that many frames.
struct State {
    frames: usize,
    contents: Contents,
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn frames(path: &Path) -> usize {
    let length = fs::metadata(beside(path, "-wal")).unwrap().len() as usize;
    assert_eq!((length - HEADER) % FRAME, 0, "a log of {length} bytes");
    (length - HEADER) / FRAME
}

/// Waits until the head file is as the store left it.
async fn settled(path: &Path) -> Vec<u8> {
    let read = || fs::read(beside(path, ".head")).unwrap_or_default();
    let mut before = read();
    loop {
        // Three times as long as it may lag.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = read();
        if now == before && !now.is_empty() {
            return now;
        }
        before = now;
    }
}

/// Commits of two processes in turn and mail from outside, each a transaction of its own.
async fn leave() -> Left {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    // The schema is in the database, not in the log.
    SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    let mut states = vec![State { frames: 0, contents: contents(&store).await }];
    let mut heads = [Hash::ZERO; 2];
    for round in 1..=2 {
        for n in 0..2 {
            let commit = laden(n, Epoch(1), round, heads[n as usize]);
            heads[n as usize] = commit.row.head;
            store.commit(vec![commit]).await.unwrap();
            states.push(State { frames: frames(&path), contents: contents(&store).await });
        }
        store.post(vec![message(pid(9), round, pid(8))]).await.unwrap();
        states.push(State { frames: frames(&path), contents: contents(&store).await });
    }
    let head = settled(&path).await;
    let left = Left {
        database: fs::read(&path).unwrap(),
        log: fs::read(beside(&path, "-wal")).unwrap(),
        head,
        states,
    };
    assert_eq!(left.log.len(), HEADER + frames(&path) * FRAME, "nothing was checkpointed");
    left
}

impl Left {
    /// Opens a copy with this log, of which `frames` are whole: the state before, and what is missing since.
    async fn opens_at(&self, folder: &Path, log: &[u8], frames: usize, what: &str) {
        let path = folder.join("store.db");
        for (suffix, bytes) in [("", &self.database[..]), ("-wal", log), (".head", &self.head)] {
            fs::write(beside(&path, suffix), bytes).unwrap();
        }
        let _ = fs::remove_file(beside(&path, "-shm"));
        let store = SqliteStore::open(&path).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let state = self.states.iter().rfind(|state| state.frames <= frames).unwrap();
        assert_eq!(contents(&store).await, state.contents, "{what}: {frames} whole frames");

        let last = self.states.last().unwrap();
        assert_eq!(store.report().is_older(), state.frames < last.frames, "{what}: {}", store.report());
        let revision = |contents: &Contents, pid: Pid| {
            contents.rows.iter().find(|row| row.pid == pid).map_or(0, |row| row.revision)
        };
        let both =
            [pid(0), pid(1)].map(|pid| (pid, revision(&state.contents, pid), revision(&last.contents, pid)));
        let lost: Vec<_> = both
            .into_iter()
            .filter(|(_, found, expected)| found < expected)
            .map(|(pid, found, expected)| Regression { pid, revision: Older { found, expected } })
            .collect();
        let mut named = store.report().regressions.clone();
        named.sort_by_key(|regression| regression.pid);
        assert_eq!(named, lost, "{what}");
        // The next commit follows the state found.
        let found = both[0].1;
        let head =
            state.contents.rows.iter().find(|row| row.pid == pid(0)).map_or(Hash::ZERO, |row| row.head);
        let answers = store.commit(vec![laden(0, Epoch(1), found + 1, head)]).await.unwrap();
        assert_eq!(answers, [kernel_storage::CommitOutcome::Committed], "{what}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_log_cut_at_or_within_any_frame_opens_at_an_older_state_and_says_so() {
    let left = leave().await;
    let count = left.states.last().unwrap().frames;
    let folder = tempfile::tempdir().unwrap();
    for frame in 0..=count {
        let edge = HEADER + frame * FRAME;
        left.opens_at(folder.path(), &left.log[..edge], frame, &format!("cut before frame {frame}")).await;
        if frame < count {
            for within in [1, FRAME_HEADER, FRAME - 1] {
                let log = &left.log[..edge + within];
                left.opens_at(folder.path(), log, frame, &format!("cut {within} bytes into frame {frame}"))
                    .await;
            }
        }
    }
    println!("cut at {} edges, of {} transactions", count + 1, left.states.len() - 1);
}

#[tokio::test]
async fn a_byte_flipped_in_any_frame_opens_at_an_older_state_and_says_so() {
    let left = leave().await;
    let count = left.states.last().unwrap().frames;
    let folder = tempfile::tempdir().unwrap();
    // The header of the log, then of each frame its page number, its size, its salts, its checksums and its page.
    let parts = [("header", 0), ("size", 7), ("salt", 10), ("checksum", 18), ("page", FRAME_HEADER + 100)];
    for byte in [0, 9, 17, 25] {
        let mut log = left.log.clone();
        log[byte] ^= 0x40;
        left.opens_at(folder.path(), &log, 0, &format!("byte {byte} of the header")).await;
    }
    for frame in 0..count {
        for (part, at) in parts {
            let mut log = left.log.clone();
            log[HEADER + frame * FRAME + at] ^= 0x40;
            left.opens_at(folder.path(), &log, frame, &format!("{part} of frame {frame}")).await;
        }
    }
    println!("flipped {} bytes in {count} frames", parts.len());
}

#[tokio::test]
async fn a_log_that_is_gone_is_an_older_state_too() {
    let left = leave().await;
    let folder = tempfile::tempdir().unwrap();
    left.opens_at(folder.path(), &[], 0, "no log").await;
    // The control: all of it.
    let frames = left.states.last().unwrap().frames;
    left.opens_at(folder.path(), &left.log, frames, "the whole log").await;
}
