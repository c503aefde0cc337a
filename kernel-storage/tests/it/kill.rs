//! A kernel that is killed at any moment loses nothing that was acknowledged and leaves nothing by halves.
//!
//! The parent kills the [`Victim`] after a random number of acknowledgements, opens the store and compares.

use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};

use kernel_storage::{Journal, Mailboxes, SqliteStore, StoreErrorKind};

use crate::sample::{message, pid};
use crate::victim::Victim;
use crate::workload::{check, goes_on};

/// The store is begun anew after that many kills: reading all of it takes longer and longer.
const KILLS_A_STORE: usize = 25;

#[tokio::test]
async fn acknowledged_commits_survive_kills_at_random_moments() {
    let rounds = if std::env::var_os("AGENTOS_SOAK").is_some() { 500 } else { 50 };
    let seed = std::env::var("AGENTOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| SysRng.try_next_u64().unwrap());
    println!("AGENTOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut total = 0;
    let mut folder = tempfile::tempdir().unwrap();
    for round in 0..rounds {
        if round % KILLS_A_STORE == 0 {
            folder = tempfile::tempdir().unwrap();
        }
        let path = folder.path().join("store.db");
        let mut victim = Victim::start(&path);
        let lines = random.random_range(0..120);
        let read = victim.read(lines);
        assert_eq!(read, lines, "AGENTOS_SEED={seed} round {round}: the victim died by itself");
        let acknowledged = victim.kill();
        let store = SqliteStore::open(&path).await.unwrap();
        assert!(!store.report().is_older(), "AGENTOS_SEED={seed} round {round}: {}", store.report());
        assert_eq!(check(&store, &acknowledged).await, 0, "bodies that nobody refers to");
        goes_on(&store).await;
        total += acknowledged.len();
        store.close().await.unwrap();
    }
    assert!(total > 0, "some commits were acknowledged");
    println!("{rounds} kills");
}

#[tokio::test]
async fn the_lock_of_another_process_names_it_and_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut victim = Victim::start(&path);
    assert_eq!(victim.read(1), 1);
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked, "{error}");
    assert!(error.to_string().contains(&format!("process {}", victim.id())), "{error}");
    // Looking and posting work beside it.
    let control = SqliteStore::attach(&path).await.unwrap();
    control.post(vec![message(pid(77), 1, pid(88))]).await.unwrap();
    assert!(!control.agents(None, true, 10).await.unwrap().is_empty());
    victim.kill();
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.inbox(pid(88)).await.unwrap().len(), 1);
}
