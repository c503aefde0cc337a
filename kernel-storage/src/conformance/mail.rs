//! Laws of mail.

use std::sync::Arc;

use kernel_types::{
    Budget, Epoch, ExitStatus, LimitName, Mail, MailBody, MailId, MicroUsd, Millis, Pid, Priority, Signal,
    Timestamp, Tokens,
};

use super::Fixture;
use super::sample::{HARD_TEXT, Process, land, message, ok, pid, post};
use crate::{Arrival, Commit, Store};

async fn inbox(store: &Arc<dyn Store>, to: Pid) -> Vec<Mail> {
    ok(store.inbox(to).await)
}

/// Every kind of mail comes back as posted, at the ends of its ranges too.
pub async fn mail_comes_back_as_posted(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let all = Budget {
        calls: Some(u64::MAX),
        tokens: Some(Tokens(0)),
        cost: Some(MicroUsd(1 << 63)),
        steps: Some(1),
        tool_calls: Some(2),
        wall_time: Some(Millis(u64::MAX)),
        children: Some(0),
    };
    let child = |status| MailBody::ChildExit { pid: pid(8), status, refund: all };
    let bodies = vec![
        MailBody::Message(String::new()),
        MailBody::Message(HARD_TEXT.to_owned()),
        MailBody::Message("x".repeat(256 * 1024)),
        MailBody::Signal(Signal::Term),
        MailBody::Signal(Signal::Kill),
        MailBody::Signal(Signal::Stop),
        MailBody::Signal(Signal::Cont),
        child(ExitStatus::Ok(HARD_TEXT.to_owned())),
        child(ExitStatus::Failed(String::new())),
        child(ExitStatus::Killed(Signal::Kill)),
        child(ExitStatus::Faulted(format!("{}", LimitName::Steps))),
        MailBody::Priority(Priority::default()),
        MailBody::Grant(Budget::default()),
        MailBody::Grant(all),
    ];
    let numbers = (0..bodies.len() as u64).map(|n| if n == 13 { u64::MAX } else { n });
    let posted: Vec<_> = numbers
        .zip(bodies)
        .map(|(number, body)| Mail {
            id: MailId { sender: pid(2), number },
            to: pid(1),
            body,
            sent_at: Timestamp(u64::MAX - number),
        })
        .collect();
    post(&store, &posted).await;
    assert_eq!(inbox(&store, pid(1)).await, posted);
    let arrived = ok(store.arrivals(Arrival(0), 100).await);
    assert_eq!(arrived.into_iter().map(|(_, mail)| mail).collect::<Vec<_>>(), posted);
}

/// What was posted first is first, over calls and within a call, whoever sent it.
pub async fn an_inbox_is_in_order_of_arrival(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let to = pid(1);
    let order = [
        vec![message(5, 1, to), message(3, 1, to), message(5, 2, to)],
        vec![message(3, 2, to)],
        vec![message(9, 1, to), message(5, 3, to), message(2, 7, to)],
    ];
    for mail in &order {
        post(&store, mail).await;
    }
    assert_eq!(inbox(&store, to).await, order.concat());
    assert_eq!(inbox(&store, pid(2)).await, []);
}

/// Consumed mail is gone from the inbox and from the arrivals; the rest stays as it was.
pub async fn consumed_mail_is_gone(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let (to, other) = (pid(1), pid(2));
    let mail: Vec<_> = (1..=4).map(|number| message(3, number, to)).collect();
    post(&store, &mail).await;
    post(&store, &[message(3, 5, other)]).await;
    let mut process = Process::new(1, Epoch(1));
    land(&store, Commit { consumed: vec![mail[2].id, mail[0].id], ..process.step(1) }).await;
    assert_eq!(inbox(&store, to).await, [mail[1].clone(), mail[3].clone()]);
    assert_eq!(inbox(&store, other).await, [message(3, 5, other)]);
    let arrived = ok(store.arrivals(Arrival(0), 100).await);
    let left: Vec<_> = arrived.into_iter().map(|(_, mail)| mail.id.number).collect();
    assert_eq!(left, [2, 4, 5]);
}

/// Mail whose id is known is not posted again, by whichever way it comes.
pub async fn the_same_mail_is_delivered_once(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let to = pid(1);
    let mail = [message(2, 1, to), message(2, 2, to)];
    post(&store, &[mail[0].clone(), mail[0].clone()]).await;
    post(&store, &[mail[0].clone(), mail[1].clone()]).await;
    let mut sender = Process::new(2, Epoch(1));
    land(&store, Commit { sent: mail.to_vec(), ..sender.step(1) }).await;
    assert_eq!(inbox(&store, to).await, mail);
    assert_eq!(ok(store.arrivals(Arrival(0), 100).await).len(), 2);
}

/// Mail posted again after its consumption is not delivered again while the process lives.
pub async fn consumed_mail_posted_again_stays_gone(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let to = pid(1);
    let mail: Vec<_> = (1..=3).map(|number| message(2, number, to)).collect();
    post(&store, &mail).await;
    let (mut receiver, mut sender) = (Process::new(1, Epoch(1)), Process::new(2, Epoch(1)));
    let consumed = vec![mail[0].id, mail[1].id];
    land(&store, Commit { consumed, ..receiver.step(1) }).await;
    land(&store, receiver.step(1)).await;
    post(&store, &mail).await;
    land(&store, Commit { sent: mail.clone(), ..sender.step(1) }).await;
    assert_eq!(inbox(&store, to).await, [mail[2].clone()]);
    assert_eq!(ok(store.arrivals(Arrival(0), 100).await).len(), 1);
    // The control: a number that is new.
    post(&store, &[message(2, 4, to)]).await;
    assert_eq!(inbox(&store, to).await.len(), 2);
}

/// Mail sent by a commit is there when the commit is.
pub async fn mail_sent_with_a_commit_arrives_with_it(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut sender = Process::new(2, Epoch(1));
    let sent =
        vec![message(2, 1, pid(1)), message(2, 2, pid(3)), message(2, 3, pid(1)), message(2, 4, pid(2))];
    land(&store, Commit { sent: sent.clone(), ..sender.step(1) }).await;
    assert_eq!(inbox(&store, pid(1)).await, [sent[0].clone(), sent[2].clone()]);
    assert_eq!(inbox(&store, pid(3)).await, [sent[1].clone()]);
    assert_eq!(inbox(&store, pid(2)).await, [sent[3].clone()]);
}

/// Mail for a process that has no row yet waits for it.
pub async fn mail_may_wait_for_a_process_to_come(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mail = message(2, 1, pid(1));
    post(&store, std::slice::from_ref(&mail)).await;
    assert_eq!(ok(store.agent(pid(1)).await), None);
    let mut process = Process::new(1, Epoch(1));
    land(&store, process.step(1)).await;
    assert_eq!(inbox(&store, pid(1)).await, [mail]);
}

/// Consuming mail that is not there, or not there any more, is no error.
pub async fn consuming_mail_that_is_not_there_is_no_error(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mail = message(2, 1, pid(1));
    post(&store, std::slice::from_ref(&mail)).await;
    let mut process = Process::new(1, Epoch(1));
    let never = MailId { sender: pid(9), number: 9 };
    for _ in 0..3 {
        let consumed = vec![mail.id, never, mail.id];
        land(&store, Commit { consumed, ..process.step(1) }).await;
        assert_eq!(inbox(&store, pid(1)).await, []);
    }
}

/// A consumption is for good even if the mail comes later, as a late repetition of a lost post may.
pub async fn mail_consumed_before_it_came_is_not_delivered(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mail = message(2, 1, pid(1));
    let mut process = Process::new(1, Epoch(1));
    land(&store, Commit { consumed: vec![mail.id], ..process.step(1) }).await;
    post(&store, &[mail, message(2, 2, pid(1))]).await;
    assert_eq!(inbox(&store, pid(1)).await, [message(2, 2, pid(1))]);
    // It is the process that consumed it: the same id for another is other mail.
    post(&store, &[message(2, 1, pid(3))]).await;
    assert_eq!(inbox(&store, pid(3)).await, [message(2, 1, pid(3))]);
}

/// What was not consumed when a process exited is still there, and mail may still come.
pub async fn mail_of_a_process_that_exited_waits(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let to = pid(1);
    let mail: Vec<_> = (1..=3).map(|number| message(2, number, to)).collect();
    post(&store, &mail[..2]).await;
    let mut process = Process::new(1, Epoch(1));
    land(&store, process.step(1)).await;
    process.row.exited = true;
    land(&store, Commit { consumed: vec![mail[0].id], ..process.step(1) }).await;
    post(&store, &mail[1..]).await;
    assert_eq!(inbox(&store, to).await, mail[1..]);
}

/// Arrivals rise over all processes; reading on after the last one seen misses nothing and repeats nothing.
pub async fn arrivals_rise_and_are_read_in_pages(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut seen: Vec<(Arrival, Mail)> = Vec::new();
    let mut posted = Vec::new();
    for round in 0..10 {
        let mail: Vec<_> = (1..=5).map(|n| message(20 + n, round, pid(n % 3))).collect();
        post(&store, &mail).await;
        posted.extend(mail);
        while seen.len() <= posted.len() {
            let after = seen.last().map_or(Arrival(0), |(arrival, _)| *arrival);
            let page = ok(store.arrivals(after, 3).await);
            assert!(page.len() <= 3, "a page of {}, at most 3 were asked for", page.len());
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
    }
    assert!(seen.is_sorted_by(|(a, _), (b, _)| a < b), "arrivals rise");
    assert_eq!(seen.into_iter().map(|(_, mail)| mail).collect::<Vec<_>>(), posted);
    assert_eq!(ok(store.arrivals(Arrival(u64::MAX), 3).await), []);
    assert_eq!(ok(store.arrivals(Arrival(0), 0).await), []);
}

/// Mail that many senders post at the same time all arrives, each sender's in its order.
pub async fn concurrent_posts_all_arrive_in_the_order_of_their_senders(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let tasks = (1..=16).map(|sender| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut process = Process::new(sender, Epoch(1));
            for number in 1..=20 {
                let mail = vec![message(sender, number, pid(100))];
                if number % 2 == 0 {
                    post(&store, &mail).await;
                } else {
                    land(&store, Commit { sent: mail, ..process.step(1) }).await;
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no post failed");
    }
    let mail = inbox(&store, pid(100)).await;
    assert_eq!(mail.len(), 16 * 20);
    for sender in 1..=16 {
        let numbers = mail.iter().filter(|mail| mail.id.sender == pid(sender)).map(|mail| mail.id.number);
        assert!(numbers.eq(1..=20), "the order of sender {sender}");
    }
}
