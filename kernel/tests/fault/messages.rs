//! Two processes exchange messages while their kernel is killed.

use std::collections::BTreeMap;

use kernel_types::{Event, ExitStatus};

use crate::family::{Random, kills, left, seed};
use crate::kills::kill_until;

const EACH_WAY: u64 = 5000;

#[tokio::test]
async fn messages_arrive_once_and_in_order_whatever_is_killed() {
    let mut random = Random(seed() ^ 0x6d61_696c);
    let folder = tempfile::tempdir().expect("a folder");
    let mut hits = BTreeMap::new();
    kill_until(folder.path(), &format!("peer {EACH_WAY}"), &mut random, &mut hits, kills(20, 20));
    let killed: u64 = hits.values().sum();
    println!("kills by phase: {hits:?}");
    assert_eq!(killed, 20, "the exchange ended before all kills");
    let left = left(folder.path()).await;
    assert_eq!(left.rows.len(), 2);
    for records in left.records.values() {
        let status = records.iter().find_map(|(_, event)| match event {
            Event::Exited { status } => Some(status.clone()),
            _ => None,
        });
        assert_eq!(status, Some(ExitStatus::Ok(EACH_WAY.to_string())), "each got all of the other's, in order");
    }
}
