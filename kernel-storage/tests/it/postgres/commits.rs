//! Commits of several kernels and of rows that are not as they should be.

use kernel_storage::{
    Arrival, Blob, Blobs, Commit, CommitOutcome, Journal, Mailboxes, PostgresStore, StoreErrorKind,
};
use kernel_types::{Epoch, MailBody};

use super::place::{Database, Place};
use crate::sample::{message, pid, step};

#[tokio::test]
async fn kernels_that_share_a_store_have_epochs_and_nodes_of_their_own() {
    let place = Place::new();
    let (one, two) = (place.open().await, place.open().await);
    let epochs = [one.claim().await.unwrap(), two.claim().await.unwrap(), one.claim().await.unwrap()];
    assert_eq!(epochs, [Epoch(1), Epoch(2), Epoch(3)]);
    let nodes = "SELECT count(*)::text FROM {s}.node WHERE lease_until > now() - interval '1 minute'";
    assert_eq!(place.text(nodes).await, "3");
    // What one wrote the other reads, and takes over.
    one.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap();
    assert_eq!(two.commit(vec![step(pid(1), Epoch(2), 2)]).await.unwrap(), [CommitOutcome::Committed]);
    let late = one.commit(vec![step(pid(1), Epoch(1), 2)]).await.unwrap();
    assert_eq!(late, [CommitOutcome::Fenced { epoch: Epoch(2) }]);
}

#[tokio::test]
async fn an_attached_handle_reads_and_posts_only() {
    let place = Place::new();
    let kernel = place.open().await;
    kernel.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap();
    let beside = place.attach().await;
    assert!(beside.agent(pid(1)).await.unwrap().is_some());
    beside.post(vec![message(pid(7), 1, pid(1))]).await.unwrap();
    assert_eq!(kernel.inbox(pid(1)).await.unwrap(), [message(pid(7), 1, pid(1))]);
    let errors = [
        beside.commit(vec![step(pid(1), Epoch(1), 2)]).await.unwrap_err(),
        beside.claim().await.unwrap_err(),
        beside.sweep().await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("attached beside a kernel"), "{error}");
    }
}

#[tokio::test]
async fn a_record_that_is_there_against_all_accounts_harms_its_process_only() {
    let place = Place::new();
    let store = place.open().await;
    store.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap();
    place
        .sql(
            "INSERT INTO event SELECT pid, 2, step, call, at, kind, salt, body, blob, body_hash, hash FROM event",
        )
        .await;
    let mut bad = step(pid(1), Epoch(1), 2);
    bad.values.push(("name".to_owned(), Some("value".to_owned())));
    bad.sent.push(message(pid(1), 1, pid(2)));
    let mut batch: Vec<_> = (2..40).map(|n| step(pid(n), Epoch(1), 1)).collect();
    batch.insert(17, bad);
    let answers = store.commit(batch).await.unwrap();
    for (n, answer) in answers.iter().enumerate() {
        let refused = matches!(answer, CommitOutcome::Refused { reason } if reason.contains("event_pkey"));
        assert!(if n == 17 { refused } else { *answer == CommitOutcome::Committed }, "{n}: {answer:?}");
    }
    assert_eq!(store.values(pid(1)).await.unwrap(), []);
    assert_eq!(store.inbox(pid(2)).await.unwrap(), []);
    assert_eq!(store.agent(pid(1)).await.unwrap().unwrap().revision, 1);
}

#[tokio::test]
async fn a_damaged_row_is_named_and_harms_its_process_only() {
    let place = Place::new();
    let store = place.open().await;
    for n in 1..=2 {
        store.commit(vec![step(pid(n), Epoch(1), 1)]).await.unwrap();
    }
    place.sql(&format!("UPDATE agent SET head = 'x' WHERE pid = '{}'", pid(1))).await;
    let batch = vec![step(pid(1), Epoch(1), 1), step(pid(2), Epoch(1), 2)];
    let answers = store.commit(batch).await.unwrap();
    let CommitOutcome::Refused { reason } = &answers[0] else { panic!("{answers:?}") };
    assert!(reason.contains("table agent") && reason.contains("column head"), "{reason}");
    assert_eq!(answers[1], CommitOutcome::Committed);
    let error = store.agent(pid(1)).await.unwrap_err();
    assert!(error.to_string().contains("1 bytes instead of 32"), "{error}");
    // An earlier version is damaged by itself: the process goes on without it.
    place.sql(&format!("UPDATE event SET state = 'x' WHERE pid = '{}' AND number = 1", pid(2))).await;
    let error = store.as_of(pid(2), 1).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
    for words in ["table event", "column state", &format!("{}/1", pid(2))] {
        assert!(error.to_string().contains(words), "{words:?} is not in: {error}");
    }
    let answers = store.commit(vec![step(pid(2), Epoch(1), 3)]).await.unwrap();
    assert_eq!(answers, [CommitOutcome::Committed]);
    let row = store.agent(pid(2)).await.unwrap();
    assert_eq!(store.as_of(pid(2), 3).await.unwrap().map(|version| version.row), row);
}

#[tokio::test]
async fn a_process_may_send_and_another_consume_in_one_batch() {
    let place = Place::new();
    let store = place.open().await;
    let mail = message(pid(1), 1, pid(2));
    let send = Commit { sent: vec![mail.clone()], ..step(pid(1), Epoch(1), 1) };
    let consume = Commit { consumed: vec![mail.id], ..step(pid(2), Epoch(1), 1) };
    let answers = store.commit(vec![send, consume]).await.unwrap();
    assert_eq!(answers, [CommitOutcome::Committed, CommitOutcome::Committed]);
    assert_eq!(store.inbox(pid(2)).await.unwrap(), []);
    // If the consumer's commit does not apply, the mail is there.
    let mail = message(pid(1), 2, pid(2));
    let send = Commit { sent: vec![mail.clone()], ..step(pid(1), Epoch(1), 2) };
    let consume = Commit { consumed: vec![mail.id], ..step(pid(2), Epoch(1), 7) };
    store.commit(vec![consume, send]).await.unwrap();
    assert_eq!(store.inbox(pid(2)).await.unwrap(), [mail]);
}

#[tokio::test]
async fn nul_bytes_and_all_others_survive_in_every_field() {
    let place = Place::new();
    let store = place.open().await;
    let hard = "\0a\0\u{1}\u{7f}\\x00\\000'\"\u{10ffff}\0";
    let bytes: Vec<u8> = (0..=255).chain([0; 9]).collect();
    let mut commit = step(pid(1), Epoch(1), 1);
    commit.row.image.clone_from(&bytes);
    commit.records[0].body = Some(hard.to_owned());
    commit.values = vec![(hard.to_owned(), Some(hard.to_owned())), ("\0".to_owned(), Some(String::new()))];
    commit.blobs = vec![Blob::of(bytes.clone()), Blob::of(hard.as_bytes())];
    let mut mail = message(pid(1), 1, pid(2));
    mail.body = MailBody::Message(hard.to_owned());
    commit.sent = vec![mail.clone()];
    assert_eq!(store.commit(vec![commit.clone()]).await.unwrap(), [CommitOutcome::Committed]);
    assert_eq!(store.agent(pid(1)).await.unwrap().unwrap(), commit.row);
    assert_eq!(store.records(pid(1), 1, 9).await.unwrap(), commit.records);
    let expected = [("\0".to_owned(), String::new()), (hard.to_owned(), hard.to_owned())];
    assert_eq!(store.values(pid(1)).await.unwrap(), expected);
    let bodies = store.blobs(&[commit.blobs[0].hash, commit.blobs[1].hash]).await.unwrap();
    assert_eq!(bodies, [Some(bytes.into()), Some(hard.as_bytes().into())]);
    assert_eq!(store.arrivals(Arrival(0), 9).await.unwrap()[0].1, mail);
}

#[tokio::test]
async fn large_bodies_have_more_time_than_others() {
    let place = Place::new();
    let store = place.open().await;
    for revision in 1..=2 {
        let bytes: Vec<u8> = (0..24 << 20_u64).map(|n| (n * revision / 7) as u8).collect();
        let large = Commit { blobs: vec![Blob::of(bytes)], ..step(pid(1), Epoch(1), revision) };
        let hash = large.blobs[0].hash;
        let bytes = large.blobs[0].bytes.clone();
        assert_eq!(store.commit(vec![large]).await.unwrap(), [CommitOutcome::Committed]);
        assert_eq!(store.blobs(&[hash]).await.unwrap(), [Some(bytes)]);
    }
    let mut commit = step(pid(1), Epoch(1), 3);
    commit.row.image = vec![7; 20 << 20];
    assert_eq!(store.commit(vec![commit.clone()]).await.unwrap(), [CommitOutcome::Committed]);
    assert_eq!(store.agent(pid(1)).await.unwrap().unwrap(), commit.row);
}

#[tokio::test]
async fn a_commit_with_more_mail_than_an_arrival_can_tell_apart_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    let many = |count: u64| (1..=count).map(|number| message(pid(1), number, pid(2))).collect::<Vec<_>>();
    let commit = Commit { sent: many(40_000), ..step(pid(1), Epoch(1), 1) };
    let answers = store.commit(vec![commit]).await.unwrap();
    let CommitOutcome::Refused { reason } = &answers[0] else { panic!("{answers:?}") };
    assert!(reason.contains("40000 pieces of mail exceed the limit of 32768"), "{reason}");
    // From outside it is posted in several statements, in order.
    store.post(many(40_000)).await.unwrap();
    let inbox = store.inbox(pid(2)).await.unwrap();
    assert!(inbox.iter().map(|mail| mail.id.number).eq(1..=40_000));
    assert_eq!(store.arrivals(Arrival(0), 100_000).await.unwrap().len(), 40_000);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let place = Place::new();
    let store = place.open().await;
    let other = store.clone();
    assert!(store.server_version().await.unwrap().starts_with("18."));
    store.close().await.unwrap();
    let errors = [
        other.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap_err(),
        other.agent(pid(1)).await.unwrap_err(),
        other.claim().await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("the store is closed"), "{error}");
    }
}

#[tokio::test]
async fn records_without_a_row_are_found() {
    let place = Place::new();
    let store = place.open().await;
    store.commit((1..=3).map(|n| step(pid(n), Epoch(1), 1)).collect()).await.unwrap();
    assert_eq!(store.strays().await.unwrap(), []);
    place.sql(&format!("DELETE FROM agent WHERE pid = '{}'", pid(2))).await;
    assert_eq!(store.strays().await.unwrap(), [pid(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_share_bodies_in_opposite_order_do_not_wait_in_a_circle() {
    let database = Database::new().await;
    let place = Place::on(database.url());
    let (one, two) = (place.open().await, place.open().await);
    let commits = |store: PostgresStore, first: u64, backwards: bool| async move {
        for round in 0..30 {
            let mut blobs: Vec<_> =
                (0..40).map(|n| Blob::of(format!("body {n} of round {round}").into_bytes())).collect();
            if backwards {
                blobs.reverse();
            }
            let batch: Vec<_> = blobs
                .chunks(10)
                .zip(first..)
                .map(|(blobs, n)| Commit { blobs: blobs.to_vec(), ..step(pid(n), Epoch(1), round + 1) })
                .collect();
            let answers = store.commit(batch).await.unwrap();
            assert!(answers.iter().all(|answer| *answer == CommitOutcome::Committed), "{answers:?}");
        }
        store.close().await.unwrap();
    };
    let one = tokio::spawn(commits(one, 0, false));
    let two = tokio::spawn(commits(two, 100, true));
    one.await.unwrap();
    two.await.unwrap();
    let deadlocks = "SELECT deadlocks::text FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(place.text(deadlocks).await, "0");
    let store = place.open().await;
    assert_eq!(store.list_blobs(None, 10_000).await.unwrap().len(), 1200);
}
