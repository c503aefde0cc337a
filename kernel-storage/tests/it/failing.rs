//! A disk that fails in the middle of a commit: what was acknowledged is there, and what is unknown is said to be.
//!
//! The test binary runs itself under a limit on the size of files, beyond which writes fail; as such a write is part
//! of a COMMIT, its error is of the kind that leaves the effect unknown.

use std::path::{Path, PathBuf};

use kernel_storage::{Blobs, CommitOutcome, Journal, SqliteStore};

use crate::sample::{heavy, pid};

const STORE: &str = "KERNEL_STORAGE_FAILING";

/// Not a test of its own: commits until the disk fails, then tries the store once more.
#[tokio::test]
#[ignore = "run by the test of this file"]
async fn victim() {
    let path = PathBuf::from(std::env::var_os(STORE).expect("run by the test of this file"));
    let store = SqliteStore::open(path).await.unwrap();
    for n in 0..1000 {
        match store.commit(vec![heavy(pid(n), 20_000)]).await {
            Ok(answers) => assert_eq!(answers, [CommitOutcome::Committed]),
            Err(error) => {
                assert!(error.commit_unknown(), "{error}");
                // Reading goes on, and so does the writer: it has an answer.
                assert!(store.agents(None, false, 10_000).await.unwrap().len() as u64 >= n);
                let again = store.commit(vec![heavy(pid(n), 20_000)]).await;
                println!("\nLANDED {n} .\n{again:?}");
                return;
            }
        }
    }
}

fn run_victim(path: &Path) -> u64 {
    let script = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" --exact failing::victim --ignored --nocapture";
    #[expect(
        clippy::disallowed_methods,
        reason = "the test binary itself, under a limit that only a shell can set"
    )]
    let mut shell = std::process::Command::new("sh");
    let output =
        shell.arg("-c").arg(script).arg(std::env::current_exe().unwrap()).env(STORE, path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("LANDED ")?.strip_suffix(" ."));
    line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).parse().unwrap()
}

#[tokio::test]
async fn a_write_that_fails_within_a_commit_is_unknown_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let landed = run_victim(&path);
    assert!(landed > 5, "{landed} landed");
    let store = SqliteStore::open(&path).await.unwrap();
    let rows = store.agents(None, false, 10_000).await.unwrap().len() as u64;
    assert!((landed..=landed + 1).contains(&rows), "{rows} rows, {landed} acknowledged");
    let hashes = store.list_blobs(None, 10_000).await.unwrap();
    assert_eq!(hashes.len() as u64, rows, "each with its body");
    assert!(store.blobs(&hashes).await.unwrap().iter().all(Option::is_some));
    // What was unknown is safe to repeat.
    let again = store.commit(vec![heavy(pid(landed), 20_000)]).await.unwrap();
    assert!(matches!(again[0], CommitOutcome::Committed | CommitOutcome::Already), "{again:?}");
}
