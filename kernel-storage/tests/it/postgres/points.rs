//! The process dies, or its connection does, at each fail point of a batch.

use kernel_storage::{Blob, CommitOutcome, Journal, Mailboxes, POSTGRES_FAIL_POINTS};
use kernel_types::Epoch;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::kill::survives;
use super::place::{Database, Place};
use crate::sample::{message, pid, step};
use crate::victim::{Victim, this_test};

/// A victim that came this far does not pass the point.
const ACKNOWLEDGEMENTS: usize = 5_000;

/// Every point is reached: a victim that does not come to it is not killed, and that fails the test.
#[tokio::test]
async fn a_kill_at_each_fail_point_loses_nothing_and_halves_nothing() {
    let rounds = if std::env::var_os("AGENTOS_SOAK").is_some() { 20 } else { 3 };
    let mut random = StdRng::seed_from_u64(5);
    assert!(POSTGRES_FAIL_POINTS.len() >= 6);
    let mut orphans = 0;
    for point in POSTGRES_FAIL_POINTS {
        let database = Database::new().await;
        // The first time it comes there, and some later ones.
        let hits: Vec<u32> =
            std::iter::once(0).chain((1..rounds).map(|_| random.random_range(1..=40))).collect();
        for hit in &hits {
            let points = format!("{point}={hit}*off->return(kill)");
            let acknowledged = Victim::with_points(database.url(), &points).dies(ACKNOWLEDGEMENTS);
            orphans += survives(&database, &acknowledged).await;
        }
        println!("{point}: reached and killed {} times, after passing it {hits:?} times", hits.len());
    }
    assert!(orphans > 0, "bodies are written ahead, and some kills came between");
}

/// Not a test of its own: what is set here is set for a whole process.
#[tokio::test]
#[ignore = "run by the test of this file"]
async fn each_loss() {
    let place = Place::new();
    let store = place.open().await;
    for (revision, point) in (1..).zip(POSTGRES_FAIL_POINTS) {
        let mut commit = step(pid(1), Epoch(1), revision);
        commit.blobs = vec![Blob::of(format!("body {revision}").into_bytes())];
        commit.values = vec![("n".to_owned(), Some(revision.to_string()))];
        commit.sent = vec![message(pid(1), revision, pid(2))];
        fail::cfg(*point, "1*return(lost)").unwrap();
        assert_eq!(store.commit(vec![commit.clone()]).await.unwrap(), [CommitOutcome::Committed], "{point}");
        assert_eq!(store.commit(vec![commit.clone()]).await.unwrap(), [CommitOutcome::Already], "{point}");
        fail::remove(point);
        let version = store.as_of(pid(1), revision).await.unwrap().unwrap();
        assert_eq!((version.row, version.values), (commit.row, vec![("n".to_owned(), revision.to_string())]));
        let mail = store.inbox(pid(2)).await.unwrap();
        assert!(mail.iter().map(|mail| mail.id.number).eq(1..=revision), "{point}");
        println!("{point}: lost and found");
    }
    store.close().await.unwrap();
}

#[test]
fn a_connection_lost_at_each_fail_point_is_made_anew_and_nothing_lands_twice() {
    let output = this_test("postgres::points::each_loss").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for point in POSTGRES_FAIL_POINTS {
        assert!(text.contains(&format!("{point}: lost and found")), "{point} did not fail");
    }
}
