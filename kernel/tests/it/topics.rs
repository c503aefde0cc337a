//! Topics: who is reached by what is published, and who is not.

use kernel::Limits;
use kernel_storage::MemoryStore;
use kernel_types::{
    Answer, Call, Capabilities, ErrorKind, MailBody, Millis, Pid, ReceiveArgs, SendArgs, Signal, Spec,
};

use crate::world::{World, receive, script};

fn subscribe(topic: &str) -> Call {
    Call::Subscribe { topic: topic.to_owned() }
}

fn publish(topic: &str, body: &str) -> Call {
    Call::Publish { topic: topic.to_owned(), body: body.to_owned() }
}

/// Takes `count` messages, then ends.
fn listener(topic: &str, count: usize) -> Vec<Vec<Call>> {
    let mut steps = vec![vec![subscribe(topic)]];
    steps.extend(vec![vec![receive()]; count]);
    steps
}

/// What a process took by `receive`, with who sent it.
async fn taken(world: &World, pid: Pid) -> Vec<(Pid, MailBody)> {
    let results = world.results(pid).await.into_values();
    let mail = results.filter_map(|result| match result {
        Ok(Answer::Message(mail)) => Some((mail.id.sender, mail.body)),
        _ => None,
    });
    mail.collect()
}

fn published(topic: &str, body: &str) -> MailBody {
    MailBody::Published { topic: topic.to_owned(), body: body.to_owned() }
}

#[tokio::test]
async fn what_is_published_reaches_every_subscriber_once_and_in_order() {
    let world = World::new().await;
    let mut listeners = Vec::new();
    for _ in 0..5 {
        listeners.push(world.spawn(listener("news", 3)).await);
    }
    let deaf = world.spawn(listener("olds", 1)).await;
    world.run().await;
    let steps = vec![vec![publish("news", "1"), publish("news", "2")], vec![publish("news", "3")]];
    let speaker = world.spawn(steps).await;
    world.run().await;
    let expected: Vec<_> = ["1", "2", "3"].map(|body| (speaker, published("news", body))).to_vec();
    for listener in listeners {
        assert_eq!(taken(&world, listener).await, expected);
    }
    assert_eq!(taken(&world, deaf).await, []);
    assert!(world.results(speaker).await.values().all(|result| *result == Ok(Answer::Done)));
    world.end().await;
}

#[tokio::test]
async fn a_subscriber_hears_itself_and_subscribing_twice_is_once() {
    let world = World::new().await;
    let at_once = Call::Receive(ReceiveArgs { from: None, timeout: Some(Millis(0)) });
    let steps = vec![
        vec![subscribe("news"), subscribe("news"), publish("news", "too early")],
        vec![publish("news", "1")],
        vec![receive()],
        vec![at_once],
    ];
    let pid = world.spawn(steps).await;
    world.run().await;
    assert_eq!(taken(&world, pid).await, [(pid, published("news", "1"))]);
    let results = world.results(pid).await;
    let kind = |at| results[&at].as_ref().unwrap_err().kind;
    assert_eq!(kind((1, 2)), ErrorKind::NotFound, "a subscription holds from its commit on");
    assert_eq!(kind((4, 0)), ErrorKind::Deadline, "nothing came twice");
    world.end().await;
}

#[tokio::test]
async fn who_has_ended_is_not_reached_and_holds_nobody_up() {
    let limits = Limits { mailbox: 2, ..Limits::default() };
    let world = World::with(|builder| builder.limits(limits)).await;
    let gone = world.spawn(vec![vec![subscribe("news")], vec![receive_from_nobody()]]).await;
    world.run().await;
    assert_eq!(world.make(vec![publish("news", "1"), publish("news", "2")]).await, vec![Ok(Answer::Done); 2]);
    let full = world.refused(publish("news", "3")).await;
    assert_eq!(full.kind, ErrorKind::Busy, "{full}");
    assert!(full.message.contains(&gone.to_string()) && full.message.contains('2'), "{full}");
    world.kernel.signal(gone, Signal::Kill).await.unwrap();
    world.run().await;
    let nobody = world.refused(publish("news", "4")).await;
    assert_eq!(nobody.kind, ErrorKind::NotFound, "{nobody}");
    world.end().await;
}

fn receive_from_nobody() -> Call {
    Call::Receive(ReceiveArgs { from: Some(Pid::INIT), timeout: None })
}

#[tokio::test]
async fn where_one_mailbox_is_full_nobody_is_reached() {
    let limits = Limits { mailbox: 1, ..Limits::default() };
    let world = World::with(|builder| builder.limits(limits)).await;
    let full = world.spawn(vec![vec![subscribe("news")], vec![receive_from_nobody()]]).await;
    let other = world.spawn(vec![vec![subscribe("news")], vec![receive_from_nobody()]]).await;
    world.run().await;
    let send = Call::Send(SendArgs { to: full, body: "hello".to_owned() });
    let results = world.make(vec![send, publish("news", "1")]).await;
    assert_eq!(results[1].as_ref().unwrap_err().kind, ErrorKind::Busy);
    assert_eq!(world.kernel.store().inbox(other).await.unwrap(), []);
    world.end().await;
}

#[tokio::test]
async fn names_sizes_and_counts_are_bounded() {
    let limits = Limits { subscribers: 2, ..Limits::default() };
    let world = World::with(|builder| builder.limits(limits)).await;
    let long = "n".repeat(257);
    for call in [subscribe(""), subscribe(&long), publish("", "1"), publish(&long, "1")] {
        let error = world.refused(call).await;
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
    }
    for _ in 0..2 {
        world.spawn(vec![vec![subscribe("news")], vec![receive_from_nobody()]]).await;
    }
    world.run().await;
    let third = world.refused(subscribe("news")).await;
    assert_eq!(third.kind, ErrorKind::Busy, "{third}");
    assert!(third.message.contains("news") && third.message.contains('2'), "{third}");
    let large = world.refused(publish("news", &"x".repeat((256 << 10) + 1))).await;
    assert_eq!(large.kind, ErrorKind::TooLarge, "{large}");
    let many = world.make((0..65).map(|n| subscribe(&n.to_string())).collect()).await;
    assert!(many[..64].iter().all(Result::is_ok));
    assert_eq!(many[64].as_ref().unwrap_err().kind, ErrorKind::Busy);
    world.end().await;
}

#[tokio::test]
async fn a_message_to_very_many_is_small() {
    let world = World::new().await;
    for _ in 0..65 {
        world.spawn(vec![vec![subscribe("news")], vec![receive_from_nobody()]]).await;
    }
    world.run().await;
    let large = world.refused(publish("news", &"x".repeat(256 << 10))).await;
    assert_eq!(large.kind, ErrorKind::TooLarge, "{large}");
    assert!(large.message.contains("65"), "{large}");
    assert_eq!(world.call(publish("news", &"x".repeat(252 << 10))).await, Ok(Answer::Done));
    world.end().await;
}

#[tokio::test]
async fn tenants_have_topics_of_their_own() {
    let world = World::new().await;
    let of = |tenant: &str, steps| Spec { tenant: tenant.to_owned(), ..script(steps) };
    let press = world.start(of("press", listener("news", 1))).await;
    let shop = world.start(of("shop", listener("news", 1))).await;
    world.run().await;
    let speaker = world.start(of("shop", vec![vec![publish("news", "1")]])).await;
    world.run().await;
    assert_eq!(taken(&world, press).await, []);
    assert_eq!(taken(&world, shop).await, [(speaker, published("news", "1"))]);
    world.end().await;
}

#[tokio::test]
async fn without_the_capability_nobody_is_reached_or_heard() {
    let world = World::new().await;
    let only = |call: &str| {
        Some(Capabilities { calls: vec![call.to_owned(), "receive".to_owned()], ..Capabilities::all() })
    };
    let deaf = Spec { capabilities: only("publish"), ..script(listener("news", 1)) };
    let deaf = world.start(deaf).await;
    let hears = world.start(Spec { capabilities: only("subscribe"), ..script(listener("news", 1)) }).await;
    world.run().await;
    let mute = world
        .start(Spec { capabilities: only("subscribe"), ..script(vec![vec![publish("news", "1")]]) })
        .await;
    world.run().await;
    assert_eq!(world.step(mute, 1).await[0].as_ref().unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(world.step(deaf, 1).await[0].as_ref().unwrap_err().kind, ErrorKind::Denied);
    let control = world.make(vec![publish("news", "2")]).await;
    assert_eq!(control, [Ok(Answer::Done)]);
    assert_eq!(taken(&world, deaf).await, []);
    assert_eq!(taken(&world, hears).await.len(), 1);
    world.end().await;
}

#[tokio::test]
async fn subscriptions_outlive_the_kernel_and_forks_have_them() {
    let store = MemoryStore::new();
    let on = async || World::with(|builder| builder.store(store.clone())).await;
    let world = on().await;
    let pid = world.spawn(listener("news", 2)).await;
    world.run().await;
    drop(world);
    let world = on().await;
    world.kernel.recover().await.unwrap();
    let fork = world.kernel.fork(pid, &kernel::Moment::Now, None).await.unwrap().pid;
    world.kernel.resume(fork).await.unwrap();
    world.run().await;
    let speaker = world.spawn(vec![vec![publish("news", "1")]]).await;
    world.run().await;
    world.kernel.restore(pid, &kernel::Moment::Now).await.unwrap();
    let missed = world.spawn(vec![vec![publish("news", "2")]]).await;
    world.run().await;
    world.kernel.resume(pid).await.unwrap();
    let last = world.spawn(vec![vec![publish("news", "3")]]).await;
    world.run().await;
    let heard = |speakers: [(Pid, &str); 2]| speakers.map(|(pid, body)| (pid, published("news", body)));
    assert_eq!(taken(&world, pid).await, heard([(speaker, "1"), (last, "3")]), "while it was away none came");
    assert_eq!(taken(&world, fork).await, heard([(speaker, "1"), (missed, "2")]));
    world.end().await;
}

/// A topic reaches processes that its publisher may send nothing to, and its subscribers hear whoever publishes.
#[tokio::test]
async fn topics_are_no_way_round_the_grants_of_peers() {
    let world = World::new().await;
    let listener = world.spawn(listener("news", 1)).await;
    world.run().await;
    let tree = Capabilities { peers: vec!["tree".to_owned()], ..Capabilities::all() };
    let steps = [vec![publish("news", "psst"), subscribe("news")]];
    let held = world.start(crate::world::holding(tree, script(steps.to_vec()))).await;
    world.run().await;
    for answer in world.step(held, 1).await {
        assert_eq!(answer.unwrap_err().kind, ErrorKind::Denied);
    }
    assert_eq!(taken(&world, listener).await, []);
    assert_eq!(world.refused(publish("olds", "1")).await.kind, ErrorKind::NotFound, "with all peers it may");
    world.end().await;
}
