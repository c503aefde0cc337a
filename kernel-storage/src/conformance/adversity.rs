//! Laws of what the world may hand in: odd text, clocks that jump, mail repeated and out of order, batches that meet.

use std::sync::Arc;
use std::time::Duration;

use kernel_types::{Epoch, Hash, Mail, MailBody, MailId, Timestamp};

use super::Fixture;
use super::sample::{HARD_TEXT, Process, blob, commit, contents, land, message, ok, pid, post, record};
use crate::{Arrival, Blob, Commit, CommitOutcome};

/// Texts of which a store must not take one for another, nor cut, trim, fold or normalise any.
const TEXTS: &[&str] = &[
    "",
    " ",
    "\0",
    "\0\0",
    "a",
    "A",
    "a ",
    " a",
    "a\0",
    "a\0b",
    "\0a",
    "\u{e9}",   // one character,
    "e\u{301}", // or two that look the same
    "\u{ff41}", // a wide a
    "stra\u{df}e",
    "STRASSE",
    "\u{130}i\u{131}", // Turkish: folding case changes lengths
    "\u{202e}evil\u{202c}",
    "\u{feff}",
    "\u{fffd}",
    "\u{fffe}\u{ffff}\u{1ffff}", // not characters, and valid all the same
    "\u{d7ff}\u{e000}",          // beside the surrogates
    "\u{10ffff}",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "\r\n\t\u{b}\u{85}\u{2028}",
    "%s $1 ?1 :a @b {} [] \\x00 \\u0000 '; DROP TABLE agent; --",
    "null",
    "\u{1}\u{1b}[31m\u{7f}",
    HARD_TEXT,
];

/// Any text, NULs and all, comes back as it was wherever text may stand, and names that differ in any byte are
/// different names. Any bytes do where bytes may stand.
pub async fn every_text_comes_back_from_every_field(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(1));
    let mut step = process.step(TEXTS.len() as u64);
    for (text, found) in TEXTS.iter().zip(&mut step.records) {
        *found = record(&step.row, found.number, text);
    }
    step.row.head = step.records.last().map_or(Hash::ZERO, |record| record.hash);
    step.row.image = (0..=255).chain([0, 0]).collect();
    step.values = TEXTS.iter().map(|text| ((*text).to_owned(), Some(format!("of {text}")))).collect();
    step.sent = (1..)
        .zip(TEXTS)
        .map(|(number, text)| Mail {
            body: MailBody::Message((*text).to_owned()),
            ..message(1, number, pid(2))
        })
        .collect();
    step.blobs = TEXTS.iter().map(|text| Blob::of(text.as_bytes())).collect();
    // Bytes that are no text: cut in a character, overlong, a surrogate.
    step.blobs.extend([&b"\xe4\xb8"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xff\0\xfe"].map(Blob::of));
    land(&store, step.clone()).await;
    let store = fixture.reopen(store).await;

    assert_eq!(ok(store.agent(pid(1)).await).as_ref(), Some(&step.row));
    assert_eq!(ok(store.records(pid(1), 1, usize::MAX).await), step.records);
    let mut names: Vec<_> = TEXTS.iter().map(|text| ((*text).to_owned(), format!("of {text}"))).collect();
    names.sort();
    assert_eq!(ok(store.values(pid(1)).await), names, "by name, as bytes compare");
    assert_eq!(ok(store.inbox(pid(2)).await), step.sent);
    let hashes: Vec<_> = step.blobs.iter().map(|blob| blob.hash).collect();
    let bodies: Vec<_> = step.blobs.iter().map(|blob| Some(Arc::clone(&blob.bytes))).collect();
    assert_eq!(ok(store.blobs(&hashes).await), bodies);

    // Each is deleted by its own name.
    for text in TEXTS {
        process.row.head = step.row.head;
        let mut delete = process.step(0);
        delete.values = vec![((*text).to_owned(), None)];
        land(&store, delete).await;
        names.retain(|(name, _)| name != text);
        assert_eq!(ok(store.values(pid(1)).await), names, "without {text:?}");
    }
}

/// Batches at the same time that carry the same bodies in opposite order all land: none waits for another for ever.
pub async fn batches_that_share_bodies_in_opposite_order_all_land(fixture: &dyn Fixture) {
    const ROUNDS: u64 = 10;
    let store = fixture.open().await;
    // New ones each round: a body that is there already locks nothing.
    let shared = |round: u64| (0..40).map(move |n| blob(&format!("body {n} of round {round}")));
    let tasks = (0..4).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut processes = [Process::new(2 * n, Epoch(1)), Process::new(2 * n + 1, Epoch(1))];
            for round in 0..ROUNDS {
                let mut batch: Vec<Commit> = processes.iter_mut().map(|process| process.step(1)).collect();
                for commit in &mut batch {
                    commit.blobs = shared(round).collect();
                }
                if n % 2 == 1 {
                    batch.iter_mut().for_each(|commit| commit.blobs.reverse());
                    batch.reverse();
                }
                assert_eq!(
                    ok(store.commit(batch).await),
                    [CommitOutcome::Committed, CommitOutcome::Committed]
                );
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        let done = tokio::time::timeout(Duration::from_secs(60), task).await;
        done.expect("no batch waits for another for ever").expect("all land");
    }
    let mut expected: Vec<_> = (0..ROUNDS).flat_map(shared).collect();
    expected.sort_unstable_by_key(|blob| blob.hash);
    let hashes: Vec<_> = expected.iter().map(|blob| blob.hash).collect();
    assert_eq!(ok(store.list_blobs(None, usize::MAX).await), hashes);
    let bodies: Vec<_> = expected.into_iter().map(|blob| Some(blob.bytes)).collect();
    assert_eq!(ok(store.blobs(&hashes).await), bodies);
    assert_eq!(ok(store.sweep().await), 0);
}

/// Mail that comes again, late, out of order, by a commit after a post or the reverse, is delivered once: where it
/// came first. That holds across restarts, and after it was consumed.
pub async fn mail_repeated_and_out_of_order_is_delivered_once(fixture: &dyn Fixture) {
    let mut store = fixture.open().await;
    let of = |numbers: &[u64]| numbers.iter().map(|number| message(9, *number, pid(1))).collect::<Vec<_>>();
    let mut sender = Process::new(9, Epoch(1));
    let mut receiver = Process::new(1, Epoch(1));
    post(&store, &of(&[3, 1, 3])).await;
    post(&store, &of(&[1, 2, 1])).await;
    land(&store, Commit { sent: of(&[5, 2, 4, 5]), ..sender.step(1) }).await;
    post(&store, &of(&[5, 4, 3, 2, 1, 6])).await;
    let arrived = of(&[3, 1, 2, 5, 4, 6]);
    assert_eq!(ok(store.inbox(pid(1)).await), arrived);
    store = fixture.reopen(store).await;
    post(&store, &of(&[6, 1])).await;
    assert_eq!(ok(store.inbox(pid(1)).await), arrived);

    // Consumed in another order than it came, some of it twice, some before it comes.
    let number = |number| MailId { sender: pid(9), number };
    let consumed = [2, 3, 2, 8].map(number).to_vec();
    land(&store, Commit { consumed, ..receiver.step(1) }).await;
    store = fixture.reopen(store).await;
    post(&store, &of(&[8, 2, 3, 7])).await;
    land(&store, Commit { sent: of(&[8, 3, 2, 7]), ..sender.step(1) }).await;
    assert_eq!(ok(store.inbox(pid(1)).await), of(&[1, 5, 4, 6, 7]));
    let arrivals: Vec<_> = ok(store.arrivals(Arrival(0), 100).await);
    assert!(arrivals.windows(2).all(|pair| pair[0].0 < pair[1].0), "{arrivals:?}");
    assert_eq!(arrivals.into_iter().map(|(_, mail)| mail).collect::<Vec<_>>(), of(&[1, 5, 4, 6, 7]));
}

/// A clock may jump to any time: times come back as they were and order nothing, neither records nor mail.
pub async fn times_order_nothing(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let now = 1_700_000_000_000;
    let times = [now, u64::MAX, 0, now - 1, i64::MAX as u64, i64::MAX as u64 + 1, 1, now, u64::MAX - 1, 0];
    let mut process = Process::new(1, Epoch(1));
    let mut landed = Vec::new();
    for (number, time) in (1..).zip(times) {
        let mut step = process.step(1);
        step.records[0].at = Timestamp(time);
        step.sent = vec![Mail { sent_at: Timestamp(time), ..message(1, number, pid(2)) }];
        land(&store, step.clone()).await;
        post(&store, &[Mail { sent_at: Timestamp(time), ..message(3, number, pid(2)) }]).await;
        landed.push(step);
    }
    let before = contents(&store, &[pid(1), pid(2)]).await;
    let store = fixture.reopen(store).await;
    assert_eq!(contents(&store, &[pid(1), pid(2)]).await, before);
    let found: Vec<_> = ok(store.records(pid(1), 1, 100).await).iter().map(|record| record.at.0).collect();
    assert_eq!(found, times);
    for sender in [1, 3] {
        let inbox = ok(store.inbox(pid(2)).await);
        let of_sender = inbox.iter().filter(|mail| mail.id.sender == pid(sender));
        let found: Vec<_> = of_sender.map(|mail| (mail.id.number, mail.sent_at.0)).collect();
        assert_eq!(found, (1..).zip(times).collect::<Vec<_>>(), "mail of {sender}");
    }
    let last = landed.pop().expect("ten of them");
    assert_eq!(commit(&store, last).await, CommitOutcome::Already);
    land(&store, process.step(1)).await;
}
