//! The order in which mail arrives, when transactions end in another order than they began in.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use kernel_storage::{Arrival, Commit, Journal, Mailboxes, PostgresStore};
use kernel_types::{Epoch, MailId};

use super::place::{Database, Place, raw, run_sql};
use crate::sample::{message, pid, step};

async fn execute(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

async fn numbers(store: &PostgresStore, after: Arrival) -> Vec<u64> {
    store.arrivals(after, 100).await.unwrap().iter().map(|(_, mail)| mail.id.number).collect()
}

/// A transaction that has posted and is not over yet, as another kernel's that is slow.
async fn slow_post(place: &Place, number: u64) -> PgConnection {
    let mut conn = raw(&place.url).await;
    let insert = format!(
        "SET search_path = {}; BEGIN; INSERT INTO mail (recipient, sender, number, arrival, sent_at, body) \
         SELECT '{}', '{}', {number}, ((pg_current_xact_id()::text::int8 + arrivals) << 16) + 1, 5, \
         convert_to('{{\"message\":\"slow\"}}', 'UTF8') FROM kernel",
        place.schema,
        pid(1),
        pid(9),
    );
    execute(&mut conn, &insert).await;
    conn
}

#[tokio::test]
async fn mail_of_a_slow_transaction_is_never_skipped() {
    let place = Place::new();
    let store = place.open().await;
    store.post(vec![message(pid(9), 1, pid(1))]).await.unwrap();
    let mut slow = slow_post(&place, 2).await;
    store.post(vec![message(pid(9), 3, pid(1))]).await.unwrap();
    // What came later waits for what came before it, which nobody can see yet.
    assert_eq!(numbers(&store, Arrival(0)).await, [1]);
    let last = store.arrivals(Arrival(0), 100).await.unwrap()[0].0;
    assert_eq!(numbers(&store, last).await, Vec::<u64>::new());
    // An inbox has no place to go on from: it shows all there is.
    assert_eq!(store.inbox(pid(1)).await.unwrap().len(), 2);
    execute(&mut slow, "COMMIT").await;
    assert_eq!(numbers(&store, last).await, [2, 3]);
}

#[tokio::test]
async fn a_transaction_that_is_undone_is_waited_for_no_longer() {
    let place = Place::new();
    let store = place.open().await;
    let mut slow = slow_post(&place, 1).await;
    store.post(vec![message(pid(9), 2, pid(1))]).await.unwrap();
    assert_eq!(numbers(&store, Arrival(0)).await, Vec::<u64>::new());
    execute(&mut slow, "ROLLBACK").await;
    assert_eq!(numbers(&store, Arrival(0)).await, [2]);
}

#[tokio::test]
async fn transactions_of_others_hold_nobody_up() {
    let place = Place::new();
    let store = place.open().await;
    // In the same database, in another one, and one that reads the very table.
    let database = Database::new().await;
    run_sql(&database.url(), "CREATE TABLE notes (n int)").await;
    let (mut here, mut there) = (raw(&place.url).await, raw(&database.url()).await);
    execute(&mut here, "BEGIN; SELECT pg_current_xact_id()").await;
    execute(&mut there, "BEGIN; INSERT INTO notes VALUES (1)").await;
    let mut reader = raw(&place.url).await;
    execute(&mut reader, &format!("BEGIN; SELECT count(*) FROM {}.mail", place.schema)).await;
    for number in 1..=3 {
        store.post(vec![message(pid(9), number, pid(1))]).await.unwrap();
        assert_eq!(numbers(&store, Arrival(0)).await, (1..=number).collect::<Vec<_>>());
    }
    execute(&mut there, "COMMIT").await;
}

#[tokio::test]
async fn arrivals_go_on_behind_what_a_restored_dump_holds() {
    let place = Place::new();
    let store = place.open().await;
    store.post(vec![message(pid(9), 1, pid(1))]).await.unwrap();
    // A dump holds arrivals of a server that had many more transactions than this one.
    place.sql("UPDATE mail SET arrival = 1::int8 << 50").await;
    store.close().await.unwrap();
    let store = place.open().await;
    store.post(vec![message(pid(9), 2, pid(1))]).await.unwrap();
    assert_eq!(numbers(&store, Arrival(0)).await, [1, 2]);
    assert_eq!(numbers(&store, Arrival(1 << 50)).await, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_beside_many_posters_sees_each_piece_once_and_in_order() {
    const POSTERS: u64 = 24;
    const EACH: u64 = 40;
    let place = Place::new();
    let (one, two, reader) = (place.open().await, place.open().await, place.attach().await);
    let posters: Vec<_> = (0..POSTERS)
        .map(|n| {
            let store = if n % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move {
                for number in 1..=EACH {
                    let mail = vec![message(pid(n), number, pid(100 + number % 3))];
                    if number % 2 == 0 {
                        store.post(mail).await.unwrap();
                    } else {
                        let commit = Commit { sent: mail, ..step(pid(n), Epoch(1), number.div_ceil(2)) };
                        store.commit(vec![commit]).await.unwrap();
                    }
                }
            })
        })
        .collect();
    let mut seen: Vec<(Arrival, MailId)> = Vec::new();
    let mut rounds = 0;
    while seen.len() < (POSTERS * EACH) as usize {
        rounds += 1;
        assert!(rounds < 10_000, "{} of {} pieces were seen", seen.len(), POSTERS * EACH);
        let after = seen.last().map_or(Arrival(0), |(arrival, _)| *arrival);
        let page = reader.arrivals(after, 17).await.unwrap();
        if page.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        seen.extend(page.into_iter().map(|(arrival, mail)| (arrival, mail.id)));
    }
    for poster in posters {
        poster.await.unwrap();
    }
    assert_eq!(seen.iter().map(|(_, id)| id).collect::<HashSet<_>>().len(), seen.len());
    for n in 0..POSTERS {
        let numbers = seen.iter().filter(|(_, id)| id.sender == pid(n)).map(|(_, id)| id.number);
        assert!(numbers.eq(1..=EACH), "the order of sender {n}");
    }
    assert_eq!(reader.arrivals(seen.last().unwrap().0, 9).await.unwrap(), []);
}
