//! Two processes exchange messages while their kernel is killed.

use std::path::Path;
use std::time::{Duration, Instant};

use kernel_types::{Event, ExitStatus};

use crate::family::{Random, Started, left, seed};

const EACH_WAY: u64 = 5000;
const KILLS: u64 = 20;

#[tokio::test]
async fn messages_arrive_once_and_in_order_whatever_is_killed() {
    let mut random = Random(seed() ^ 0x6d61_696c);
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = format!("peer {EACH_WAY}");
    for n in 0..KILLS {
        let mut child = Started::start(folder.path(), &scenario);
        assert!(child.wait_ready(), "the exchange ended after {n} kills");
        // A few commits further on, so that the exchange is neither over before the last kill nor stands still.
        let from = acknowledged(folder.path());
        let commits = 1 + random.below(12);
        while acknowledged(folder.path()) < from + commits {
            assert!(!child.ended(), "the exchange ended after {n} kills");
            std::thread::yield_now();
        }
        let moment = Instant::now() + Duration::from_micros(random.below(5000));
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        child.kill();
    }
    Started::start(folder.path(), &scenario).finish();
    let left = left(folder.path()).await;
    assert_eq!(left.rows.len(), 2);
    for records in left.records.values() {
        let status = records.iter().find_map(|(_, event)| match event {
            Event::Exited { status } => Some(status.clone()),
            _ => None,
        });
        assert_eq!(
            status,
            Some(ExitStatus::Ok(EACH_WAY.to_string())),
            "each got all of the other's, in order"
        );
    }
}

/// How many commits children saw acknowledged.
pub(crate) fn acknowledged(folder: &Path) -> u64 {
    let text = std::fs::read(folder.join("acknowledged")).unwrap_or_default();
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}
