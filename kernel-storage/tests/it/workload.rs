//! Processes that step for ever, each commit with one of everything; and what a store must hold wherever that was cut
//! short. Of any store: what only SQLite has is in the tests that use this.
//!
//! Everything is made of a process's number and revision, so that its revision alone says what must be there.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use kernel_storage::{Blob, Commit, CommitOutcome, Store};
use kernel_types::{AgentRow, Epoch, Hash, Mail, Record, hash_bytes};

use crate::sample::{message, pid, step};

/// Those that live for ever.
pub(crate) const PROCESSES: u64 = 8;
/// Mail comes from outside too, from the first to the second of these.
const OUTSIDE: (u64, u64) = (900, 901);
/// From here on those that exit with their second commit.
const SHORT_LIVED: u64 = 1000;

/// The last acknowledged revision of each process, or the last mail posted from outside.
pub(crate) type Acknowledged = HashMap<u64, u64>;

/// The hash of a record after one with the hash `before`.
fn link(before: Hash, record: &Record) -> Hash {
    let number = record.number.to_be_bytes();
    let parts = [&before.0[..], &record.pid.to_bytes(), &number, &record.salt, &record.body_hash.0];
    hash_bytes(&parts.concat())
}

fn linked(n: u64, epoch: Epoch, revision: u64, before: Hash) -> Commit {
    let mut commit = step(pid(n), epoch, revision);
    commit.records[0].hash = link(before, &commit.records[0]);
    commit.row.head = commit.records[0].hash;
    commit
}

/// What each process commits as `revision`, on a row with the head `before`: a value that counts and one that comes
/// and goes, a body of its own and those all share, messages to two neighbours, and the consumption of two.
pub(crate) fn laden(n: u64, epoch: Epoch, revision: u64, before: Hash) -> Commit {
    let me = pid(n);
    let mut commit = linked(n, epoch, revision, before);
    commit.values = vec![
        ("count".to_owned(), Some(revision.to_string())),
        ("third".to_owned(), third(revision).then(|| "yes".to_owned())),
    ];
    commit.blobs = (0..4).map(shared).chain([body(n, revision)]).collect();
    if n % 2 == 1 {
        commit.blobs.reverse();
    }
    commit.sent = (1..=2).map(|far| sent(n, far, revision)).collect();
    let consumed = (1..=2).map(|far| sent((n + PROCESSES - far) % PROCESSES, far, revision - 1));
    commit.consumed = consumed.map(|mail| mail.id).collect();
    assert_eq!(commit.row.pid, me);
    commit
}

const fn third(revision: u64) -> bool {
    revision.is_multiple_of(3)
}

fn body(n: u64, revision: u64) -> Blob {
    Blob::of(format!("body {revision} of {n} ").repeat(50).into_bytes())
}

fn shared(n: u64) -> Blob {
    Blob::of(format!("shared {n}").into_bytes())
}

/// What process `n` sends with `revision` to the one that comes `far` after it.
fn sent(n: u64, far: u64, revision: u64) -> Mail {
    message(pid(n), 2 * revision + far, pid((n + far) % PROCESSES))
}

fn short_lived(n: u64, epoch: Epoch, revision: u64, before: Hash) -> Commit {
    let mut commit = linked(n, epoch, revision, before);
    let to_itself = message(pid(n), 1, pid(n));
    match revision {
        1 => commit.sent = vec![to_itself],
        _ => {
            commit.consumed = vec![to_itself.id];
            commit.row.exited = true;
        }
    }
    commit
}

/// Says on standard output what was acknowledged. One write a line: a kill cuts between lines or within the last.
fn acknowledge(n: u64, number: u64) {
    std::io::stdout().write_all(format!("\nACK {n} {number} .\n").as_bytes()).unwrap();
}

/// The number and revision that [`acknowledge`] wrote.
pub(crate) fn acknowledged(line: &str) -> Option<(u64, u64)> {
    let (n, number) = line.strip_prefix("ACK ")?.strip_suffix(" .")?.split_once(' ')?;
    Some((n.parse().unwrap(), number.parse().unwrap()))
}

/// Commits and posts without end, going on where the store ends.
pub(crate) async fn run_for_ever(store: Arc<dyn Store>) {
    let epoch = store.claim().await.unwrap();
    let mut tasks: Vec<_> = (0..PROCESSES)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                loop {
                    commit_next(&*store, n, epoch, laden).await;
                }
            })
        })
        .collect();
    tasks.push(tokio::spawn(short_lives(Arc::clone(&store), epoch)));
    tasks.push(tokio::spawn(post_for_ever(store)));
    for task in tasks {
        task.await.unwrap();
    }
}

/// Commits the next revision of a process; which it is.
async fn commit_next(
    store: &dyn Store,
    n: u64,
    epoch: Epoch,
    next: fn(u64, Epoch, u64, Hash) -> Commit,
) -> u64 {
    let (revision, head) =
        store.agent(pid(n)).await.unwrap().map_or((0, Hash::ZERO), |row| (row.revision, row.head));
    let answers = store.commit(vec![next(n, epoch, revision + 1, head)]).await.unwrap();
    assert_eq!(answers, [CommitOutcome::Committed]);
    acknowledge(n, revision + 1);
    revision + 1
}

async fn short_lives(store: Arc<dyn Store>, epoch: Epoch) {
    let born = store.agents(Some(pid(SHORT_LIVED - 1)), false, usize::MAX).await.unwrap();
    let mut n = SHORT_LIVED + born.iter().filter(|row| row.exited).count() as u64;
    loop {
        while commit_next(&*store, n, epoch, short_lived).await < 2 {}
        // Beside the commits of the others: what they need stays.
        store.sweep().await.unwrap();
        n += 1;
    }
}

async fn post_for_ever(store: Arc<dyn Store>) {
    let (from, to) = OUTSIDE;
    for number in store.inbox(pid(to)).await.unwrap().len() as u64 + 1.. {
        store.post(vec![message(pid(from), number, pid(to))]).await.unwrap();
        acknowledge(from, number);
    }
}

/// Each process is at one revision in every respect, and nothing acknowledged is lost. Answers how many bodies were
/// there that nobody refers to; a sweep does not take others.
pub(crate) async fn check(store: &dyn Store, acknowledged: &Acknowledged) -> u64 {
    let swept = store.sweep().await.unwrap();
    let rows = store.agents(None, false, usize::MAX).await.unwrap();
    let rows: HashMap<_, _> = rows.into_iter().map(|row| (row.pid, row)).collect();
    for n in 0..PROCESSES {
        check_process(store, &rows, n).await;
    }
    let short: Vec<_> = (SHORT_LIVED..).map_while(|n| rows.get(&pid(n))).collect();
    assert_eq!(short.len(), rows.len() - (0..PROCESSES).filter(|n| rows.contains_key(&pid(*n))).count());
    for (n, row) in (SHORT_LIVED..).zip(&short) {
        assert_eq!((row.revision, row.exited), if row.exited { (2, true) } else { (1, false) }, "life {n}");
        let waiting = if row.exited { vec![] } else { vec![message(pid(n), 1, pid(n))] };
        assert_eq!(store.inbox(pid(n)).await.unwrap(), waiting, "mail of {n}");
        check_chain(store, row).await;
    }
    let (from, to) = OUTSIDE;
    let posted = store.inbox(pid(to)).await.unwrap();
    let numbers: Vec<_> = posted.iter().map(|mail| mail.id.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "mail from outside");
    for (n, number) in acknowledged {
        let there =
            if *n == from { numbers.len() as u64 } else { rows.get(&pid(*n)).map_or(0, |row| row.revision) };
        assert!(there >= *number, "{n} is at {there}, {number} was acknowledged");
    }
    swept
}

async fn check_process(store: &dyn Store, rows: &HashMap<kernel_types::Pid, AgentRow>, n: u64) {
    let me = pid(n);
    let revision = rows.get(&me).map_or(0, |row| row.revision);
    let mut values = Vec::new();
    if let Some(row) = rows.get(&me) {
        let expected = linked(n, row.epoch, revision, Hash::ZERO).row;
        assert_eq!(*row, AgentRow { head: row.head, ..expected }, "row of {n}");
        check_chain(store, row).await;
        values.push(("count".to_owned(), revision.to_string()));
        let bodies: Vec<_> =
            (1..=revision).map(|revision| body(n, revision)).chain((0..4).map(shared)).collect();
        let hashes: Vec<_> = bodies.iter().map(|blob| blob.hash).collect();
        let found = store.blobs(&hashes).await.unwrap();
        assert!(
            found.iter().zip(&bodies).all(|(found, blob)| found.as_ref() == Some(&blob.bytes)),
            "bodies of {n}"
        );
    }
    if revision > 0 && third(revision) {
        values.push(("third".to_owned(), "yes".to_owned()));
    }
    assert_eq!(store.values(me).await.unwrap(), values, "values of {n}");

    // All that the neighbours sent but what was consumed, each once, in the order of its sender.
    let inbox = store.inbox(me).await.unwrap();
    let mut waiting = 0;
    for far in 1..=2 {
        let sender = (n + PROCESSES - far) % PROCESSES;
        let last = rows.get(&pid(sender)).map_or(0, |row| row.revision);
        let expected: Vec<_> = (revision.max(1)..=last).map(|revision| sent(sender, far, revision)).collect();
        let found: Vec<_> = inbox.iter().filter(|mail| mail.id.sender == pid(sender)).cloned().collect();
        assert_eq!(found, expected, "mail of {n} from {sender}");
        waiting += expected.len();
    }
    assert_eq!(inbox.len(), waiting, "mail of {n} from others");
}

/// The records of a process, link by link.
async fn check_chain(store: &dyn Store, row: &AgentRow) {
    let records = store.records(row.pid, 1, usize::MAX).await.unwrap();
    let mut head = Hash::ZERO;
    for (number, record) in (1..).zip(&records) {
        assert_eq!((record.pid, record.number), (row.pid, number));
        assert_eq!(record.body.as_ref().map(|body| hash_bytes(body.as_bytes())), Some(record.body_hash));
        assert_eq!(record.hash, link(head, record), "{}: record {number} does not follow", row.pid);
        head = record.hash;
    }
    assert_eq!((records.len() as u64, head), (row.records, row.head), "the chain of {} ends early", row.pid);
}

/// What was committed last is known as such, and the next commits of all land. Then nothing is by halves either, and no
/// body is one too many.
pub(crate) async fn goes_on(store: &dyn Store) {
    let epoch = store.claim().await.unwrap();
    for n in 0..PROCESSES {
        if let Some(row) = store.agent(pid(n)).await.unwrap() {
            let before = store.records(pid(n), row.revision - 1, 1).await.unwrap();
            let before = if row.revision == 1 { Hash::ZERO } else { before[0].hash };
            let again = laden(n, row.epoch, row.revision, before);
            assert_eq!(store.commit(vec![again]).await.unwrap(), [CommitOutcome::Already]);
        }
        commit_next(store, n, epoch, laden).await;
    }
    assert_eq!(check(store, &Acknowledged::new()).await, 0);
}
