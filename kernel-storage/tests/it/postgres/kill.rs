//! A kernel that is killed at any moment, beside a server that lives on, loses nothing that was acknowledged and leaves
//! nothing by halves.
//!
//! What it had sent may still land after it is dead. So the oracle waits until the server has no connection of it left.

use std::time::{Duration, Instant};

use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};

use kernel_storage::PostgresStore;

use super::place::{Database, admin_url, text};
use crate::victim::Victim;
use crate::workload::{Acknowledged, check, goes_on};

/// The store is begun anew after that many kills: reading all of it takes longer and longer.
const KILLS_A_STORE: usize = 20;

/// The dead kernel's store is whole, holds what was acknowledged, and goes on. Answers how many bodies were there whose
/// commits were not.
pub(super) async fn survives(database: &Database, acknowledged: &Acknowledged) -> u64 {
    let sql = format!(
        "SELECT count(*)::text FROM pg_stat_activity \
         WHERE datname = '{}' AND backend_type = 'client backend'",
        database.name
    );
    let end = Instant::now() + Duration::from_secs(20);
    while text(&admin_url(), &sql).await != "0" {
        assert!(Instant::now() < end, "connections of the dead do not end");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let store = PostgresStore::open(database.url()).await.unwrap();
    let orphans = check(&store, acknowledged).await;
    goes_on(&store).await;
    store.close().await.unwrap();
    orphans
}

#[tokio::test]
async fn acknowledged_commits_survive_kills_at_random_moments() {
    let rounds = if std::env::var_os("AGENTOS_SOAK").is_some() { 200 } else { 20 };
    let seed = std::env::var("AGENTOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| SysRng.try_next_u64().unwrap());
    println!("AGENTOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (mut total, mut orphans) = (0, 0);
    let mut database = Database::new().await;
    for round in 0..rounds {
        if round > 0 && round % KILLS_A_STORE == 0 {
            database = Database::new().await;
        }
        let mut victim = Victim::start(database.url());
        let lines = random.random_range(0..120);
        let read = victim.read(lines);
        assert_eq!(read, lines, "AGENTOS_SEED={seed} round {round}: the victim died by itself");
        let acknowledged = victim.kill();
        orphans += survives(&database, &acknowledged).await;
        total += acknowledged.len();
    }
    assert!(total > 0, "some commits were acknowledged");
    println!("{rounds} kills, {orphans} bodies of commits that did not come");
}
