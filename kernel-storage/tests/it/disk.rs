//! Space runs out and comes back: nothing is lost, and the store goes on.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use kernel_storage::{Blobs, CommitOutcome, Journal, Mailboxes, SqliteStore, StoreError, StoreErrorKind};
use kernel_types::Epoch;

use crate::sample::{heavy, message, pid, step};
use crate::victim::this_test;

pub(crate) fn assert_full(error: &StoreError) {
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert!(error.to_string().contains("free some"), "{error}");
}

/// Commits processes `from..` with bodies of 20 kB until space runs out; how many landed.
async fn fill(store: &SqliteStore, from: u64) -> u64 {
    for n in from..from + 10_000 {
        match store.commit(vec![heavy(pid(n), 20_000)]).await {
            Ok(answers) => assert_eq!(answers, [CommitOutcome::Committed]),
            Err(error) => {
                assert_full(&error);
                return n - from;
            }
        }
    }
    panic!("space for 200 MB where there should be little");
}

/// What landed before is all there, bodies and all.
async fn all_there(store: &SqliteStore, count: u64) {
    assert_eq!(store.agents(None, false, 20_000).await.unwrap().len() as u64, count);
    let hashes = store.list_blobs(None, 20_000).await.unwrap();
    assert_eq!(hashes.len() as u64, count);
    for (hash, body) in hashes.iter().zip(store.blobs(&hashes).await.unwrap()) {
        assert_eq!(kernel_types::hash_bytes(&body.unwrap()), *hash);
    }
}

#[tokio::test]
async fn a_store_at_its_limit_answers_full_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.limit_size(Some(1 << 20)).await.unwrap();
    let landed = fill(&store, 0).await;
    assert!(landed > 10, "{landed} landed");
    all_there(&store, landed).await;
    assert_full(&store.post(vec![huge_message()]).await.unwrap_err());
    all_there(&store, landed).await;

    store.limit_size(None).await.unwrap();
    assert_eq!(store.commit(vec![heavy(pid(landed), 20_000)]).await.unwrap(), [CommitOutcome::Committed]);
    store.post(vec![huge_message()]).await.unwrap();
    store.close().await.unwrap();
    all_there(&SqliteStore::open(&path).await.unwrap(), landed + 1).await;
}

fn huge_message() -> kernel_types::Mail {
    let body = kernel_types::MailBody::Message("x".repeat(1 << 20));
    kernel_types::Mail { body, ..message(pid(1), 1, pid(2)) }
}

#[tokio::test]
async fn a_commit_that_finds_no_room_leaves_the_room_there_is_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db")).await.unwrap();
    store.limit_size(Some(1 << 20)).await.unwrap();
    // One thread: all are queued before the writer runs, and share a transaction.
    let commits = (1..=8).map(|n| if n == 4 { heavy(pid(n), 2 << 20) } else { step(pid(n), Epoch(1), 1) });
    let tasks: Vec<_> = commits
        .map(|commit| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(vec![commit]).await })
        })
        .collect();
    for (n, task) in (1..).zip(tasks) {
        match task.await.unwrap() {
            Err(error) if n == 4 => assert_full(&error),
            answers => assert_eq!(answers.unwrap(), [CommitOutcome::Committed], "commit {n}"),
        }
    }
}

/// A file system of its own, of 4 MB; unmounted when it goes.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

/// Set where a test runs in a namespace of its own, in which it may mount.
const INSIDE: &str = "KERNEL_STORAGE_SMALL_DISK";

impl SmallDisk {
    /// Where mounting is not allowed, the test `name` runs again as the root of a namespace of its own, and there is
    /// nothing left to do: `None`.
    pub(crate) fn mount(name: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        if command("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs", text(folder.path())]) {
            return Some(Self { folder });
        }
        assert!(
            std::env::var_os(INSIDE).is_none(),
            "a small file system cannot be mounted, not even in a namespace"
        );
        let exe = std::env::current_exe().unwrap();
        let inside = format!("{INSIDE}=1");
        let again = ["-Urm", "env", &inside, text(&exe), "--exact", name, "--nocapture"];
        assert!(command("unshare", &again), "{name} failed in a namespace of its own");
        None
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a connection may still be closing its files.
        assert!(command("umount", &["-l", text(self.folder.path())]));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn command(program: &str, arguments: &[&str]) -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "fixed programs of the system, to make a disk that fills up"
    )]
    let status = std::process::Command::new(program).args(arguments).status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn a_full_disk_answers_full_and_the_store_goes_on_when_there_is_space() {
    let Some(disk) =
        SmallDisk::mount("disk::a_full_disk_answers_full_and_the_store_goes_on_when_there_is_space")
    else {
        return;
    };
    fs::write(disk.join("ballast"), vec![1; 1 << 20]).unwrap();
    let store = SqliteStore::open(disk.join("store.db")).await.unwrap();
    let mut landed = fill(&store, 0).await;
    assert!(landed > 10, "{landed} landed");
    // Still full, still readable, more than once.
    for _ in 0..3 {
        all_there(&store, landed).await;
        landed += fill(&store, landed).await;
    }
    fs::remove_file(disk.join("ballast")).unwrap();
    assert_eq!(store.commit(vec![heavy(pid(landed), 20_000)]).await.unwrap(), [CommitOutcome::Committed]);
    all_there(&store, landed + 1).await;
    drop(store);
    all_there(&SqliteStore::open(disk.join("store.db")).await.unwrap(), landed + 1).await;
}

#[tokio::test]
async fn a_disk_without_room_for_a_store_is_named_full() {
    let Some(disk) = SmallDisk::mount("disk::a_disk_without_room_for_a_store_is_named_full") else { return };
    let ballast = fs::write(disk.join("ballast"), vec![1; 5 << 20]);
    assert_eq!(ballast.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let error = SqliteStore::open(disk.join("store.db")).await.unwrap_err();
    assert_full(&error);
    fs::remove_file(disk.join("ballast")).unwrap();
    SqliteStore::open(disk.join("store.db")).await.unwrap().claim().await.unwrap();
}

/// Refused when it is opened, not at the first write.
async fn read_only(path: &Path) {
    let error = SqliteStore::open(path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Permission, "{error}");
    assert!(error.to_string().contains("check the rights"), "{error}");
}

#[tokio::test]
async fn a_disk_that_is_read_only_is_refused() {
    let Some(disk) = SmallDisk::mount("disk::a_disk_that_is_read_only_is_refused") else { return };
    let path = disk.join("store.db");
    SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    assert!(command("mount", &["-o", "remount,bind,ro", text(disk.folder.path())]));
    read_only(&path).await;
    assert!(command("mount", &["-o", "remount,bind,rw", text(disk.folder.path())]));
    SqliteStore::open(&path).await.unwrap().claim().await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_read_only_is_refused() {
    let Some(disk) = SmallDisk::mount("disk::a_database_that_is_read_only_is_refused") else { return };
    let path = disk.join("store.db");
    SqliteStore::open(&path).await.unwrap().close().await.unwrap();
    assert!(command("mount", &["--bind", text(&path), text(&path)]));
    assert!(command("mount", &["-o", "remount,ro,bind", text(&path)]));
    read_only(&path).await;
    assert!(command("umount", &["-l", text(&path)]));
    SqliteStore::open(&path).await.unwrap().claim().await.unwrap();
}

/// Not a test of its own: fills the disk, says what landed, and dies.
#[tokio::test]
#[ignore = "run by the test below"]
async fn victim_of_a_full_disk() {
    let path = PathBuf::from(std::env::var_os(STORE).expect("run by the test below"));
    let store = SqliteStore::open(path).await.unwrap();
    println!("\nLANDED {} .", fill(&store, 0).await);
    let _killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

const STORE: &str = "KERNEL_STORAGE_FULL_DISK";

#[tokio::test]
async fn a_kernel_killed_on_a_full_disk_loses_nothing() {
    let Some(disk) = SmallDisk::mount("disk::a_kernel_killed_on_a_full_disk_loses_nothing") else { return };
    fs::write(disk.join("ballast"), vec![1; 1 << 20]).unwrap();
    let path = disk.join("store.db");
    let output = this_test("disk::victim_of_a_full_disk").env(STORE, &path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let landed = text.lines().find_map(|line| line.strip_prefix("LANDED ")?.strip_suffix(" ."));
    let landed: u64 = landed.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
    assert!(landed > 10, "{landed} landed");
    // While it is full it opens with all there is, or says that it is full.
    match SqliteStore::open(&path).await {
        Ok(store) => {
            all_there(&store, landed).await;
            store.close().await.ok();
        }
        Err(error) => assert_full(&error),
    }
    fs::remove_file(disk.join("ballast")).unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    all_there(&store, landed).await;
    assert_eq!(store.commit(vec![heavy(pid(landed), 20_000)]).await.unwrap(), [CommitOutcome::Committed]);
    all_there(&store, landed + 1).await;
}
