//! What each call answers, at and beyond its limits.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use kernel::{Kernel, Limits};
use kernel_tools::{Behaviour, ToolOutput};
use kernel_types::{
    Answer, Call, CallResult, Capabilities, ErrorKind, Event, ExitStatus, Hash, JsonText, Millis, NewPage,
    PageBody, PageKind, PageNo, Pid, ProcessState, RecallArgs, RecallQuery, ReceiveArgs, SendArgs, Spec,
    SyscallNo, Tokens, ToolCallArgs, WaitArgs,
};

use crate::world::{PRICED, World, get, holding, infer, page, put, receive, script, tool};

fn kind(result: &CallResult) -> Result<(), ErrorKind> {
    result.as_ref().map(|_| ()).map_err(|error| error.kind)
}

/// A change of this file is a change of the ABI. `AGENTOS_SNAPSHOT=write` writes it anew.
#[tokio::test]
async fn the_syscall_table_is_the_one_on_file() {
    let world = World::new().await;
    let Ok(Answer::Probe { abi, calls }) = world.call(Call::Probe).await else { panic!("probe answers") };
    let mut table = format!("abi {abi}\nnumber name class recovery built\n");
    for no in SyscallNo::ALL {
        let (class, recovery) = (format!("{:?}", no.class()), format!("{:?}", no.recovery()));
        let built = if calls.contains(no) { "built" } else { "-" };
        let (class, recovery) = (class.to_lowercase(), recovery.to_lowercase());
        writeln!(table, "{:>3} {:<12} {class:<6} {recovery:<6} {built}", no.number(), no.name()).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/syscall_table.txt");
    if std::env::var_os("AGENTOS_SNAPSHOT").is_some_and(|wanted| wanted == "write") {
        std::fs::write(&path, &table).unwrap();
    }
    assert_eq!(table, std::fs::read_to_string(&path).unwrap(), "the ABI changed: numbers are never reused");
}

#[tokio::test]
async fn local_calls_apply_in_list_order_and_answers_keep_it() {
    let world = World::new().await;
    let results =
        world.make(vec![tool("echo"), get("a"), put("a", "1"), get("a"), put("a", "2"), get("a")]).await;
    assert!(matches!(results[0], Ok(Answer::Tool(_))));
    let values: Vec<_> = [1, 3, 5].map(|at| results[at].clone().unwrap()).to_vec();
    let value = |text: Option<&str>| Answer::Value(text.map(str::to_owned));
    assert_eq!(values, [value(None), value(Some("1")), value(Some("2"))]);
    world.end().await;
}

#[tokio::test]
async fn values_have_bounded_names_and_sizes() {
    let world = World::new().await;
    let delete = Call::Put { name: "a".to_owned(), value: None };
    let results = world
        .make(vec![
            put("", "1"),
            put(&"n".repeat(257), "1"),
            put(&"n".repeat(256), "1"),
            put("a", &"v".repeat((1 << 20) + 1)),
            put("a", &"v".repeat(1 << 20)),
            delete,
            get("a"),
        ])
        .await;
    let kinds: Vec<_> = results.iter().map(kind).collect();
    let (invalid, large) = (Err(ErrorKind::InvalidArgument), Err(ErrorKind::TooLarge));
    assert_eq!(kinds, [invalid, invalid, Ok(()), large, Ok(()), Ok(()), Ok(())]);
    assert_eq!(results[6], Ok(Answer::Value(None)));
    world.end().await;
}

#[tokio::test]
async fn pages_are_read_byte_for_byte_and_only_by_their_process() {
    let world = World::new().await;
    let text = "Zeile 1\r\n\u{0}\u{1F512} 第二行 ";
    let own = world.make(vec![page(text), Call::PageRead { page: PageNo(1) }]).await;
    let Ok(Answer::Page(read)) = &own[1] else { panic!("{:?}", own[1]) };
    assert_eq!(&*read.text, text);
    let other = world.refused(Call::PageRead { page: PageNo(1) }).await;
    assert_eq!(other.kind, ErrorKind::NotFound, "{other}");
    world.end().await;
}

#[tokio::test]
async fn page_batches_are_bounded() {
    let world = World::new().await;
    let pages = |n: usize| Call::PageAlloc {
        pages: vec![NewPage { swapped: true, ..NewPage::text(PageKind::Document, "x") }; n],
    };
    assert_eq!(kind(&world.call(pages(0)).await), Err(ErrorKind::InvalidArgument));
    assert_eq!(kind(&world.call(pages(4097)).await), Err(ErrorKind::InvalidArgument));
    let Ok(Answer::Pages(numbers)) = world.call(pages(64)).await else { panic!("64 pages fit") };
    assert_eq!(numbers, (1..=64).map(PageNo).collect::<Vec<_>>());
    world.end().await;
}

#[tokio::test]
async fn a_page_larger_than_the_window_is_refused() {
    let world = World::new().await;
    let error = world.refused(page(&"many words ".repeat(50_000))).await;
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    world.end().await;
}

#[tokio::test]
async fn bad_pages_are_refused_by_name_and_leave_nothing() {
    let world = World::new().await;
    let empty = |kind| Call::PageAlloc { pages: vec![NewPage::text(kind, "")] };
    let recall = |page| {
        let what = RecallQuery::Pages(vec![PageNo(page)]);
        Call::Recall(RecallArgs { what, budget: Tokens(1000) })
    };
    let orphan = NewPage::tool_result("call-1", "an answer to nothing", false);
    let results = world
        .make(vec![
            empty(PageKind::User),
            empty(PageKind::Document),
            Call::Note { name: "fact".to_owned(), text: String::new() },
            Call::PageAlloc { pages: vec![orphan] },
            recall(1),
            recall(u64::MAX),
            page("the first page there is"),
            recall(1),
        ])
        .await;
    let kinds: Vec<_> = results.iter().map(kind).collect();
    let invalid = Err(ErrorKind::InvalidArgument);
    let gone = Err(ErrorKind::NotFound);
    assert_eq!(kinds, [invalid, invalid, invalid, invalid, gone, gone, Ok(()), Ok(())]);
    assert!(matches!(&results[6], Ok(Answer::Pages(pages)) if *pages == [PageNo(1)]), "{:?}", results[6]);
    world.end().await;
}

#[tokio::test]
async fn a_window_of_pinned_pages_takes_no_more() {
    let world = World::new().await;
    let text = |n: u32| format!("fact {n}: {}", "many words ".repeat(40));
    let pinned = |n| Call::PageAlloc { pages: vec![NewPage::text(PageKind::User, text(n)).pinned()] };
    let steps = vec![
        vec![pinned(1), pinned(2), pinned(3)],
        vec![page(&text(4)), Call::PageUnpin { page: PageNo(1) }, infer(PRICED), page(&text(5))],
        vec![page(&text(6))],
    ];
    let pid = world.start(Spec { window: Some(Tokens(300)), ..script(steps) }).await;
    world.run().await;
    let first: Vec<_> = world.step(pid, 1).await.iter().map(kind).collect();
    let too_large = Err(ErrorKind::TooLarge);
    assert_eq!(first, [Ok(()), Ok(()), too_large]);
    let second = world.step(pid, 2).await;
    assert_eq!(kind(&second[0]), too_large, "the third page would exceed the window");
    assert_eq!(kind(&second[2]), Ok(()), "what is pinned is still shown: {:?}", second[2]);
    let third = world.step(pid, 3).await;
    assert_eq!(kind(&third[0]), Ok(()), "and once one page is let go, another is taken: {:?}", third[0]);
    world.end().await;
}

#[tokio::test]
async fn a_window_of_zero_is_invalid() {
    let world = World::new().await;
    for (window, expected) in [(0, Err(ErrorKind::InvalidArgument)), (300, Ok(()))] {
        let steps = vec![vec![page("a page")], vec![infer(PRICED)]];
        let pid = world.start(Spec { window: Some(Tokens(window)), ..script(steps) }).await;
        world.run().await;
        assert_eq!(kind(&world.step(pid, 1).await[0]), expected);
        assert_eq!(kind(&world.step(pid, 2).await[0]), expected);
    }
    world.end().await;
}

/// Nothing is known of its provider: no price, and a cache without discounts or limits.
#[tokio::test]
async fn a_model_of_an_unknown_provider_has_the_usual_window_and_no_cache_prices() {
    let catalogue = kernel_types::Catalogue::built_in();
    assert!(catalogue.cache("no-such-provider").is_none() && catalogue.cache("anthropic-5m").is_some());
    let unknown = kernel_llm::model_info("no-such-provider/model-1");
    assert_eq!((unknown.window, unknown.pricing), (Tokens(8192), None));
    assert_eq!(unknown.cache, kernel_types::CacheModel::default());
    let world = World::with(|builder| {
        let answer = |_: &kernel_llm::InferRequest| Ok(kernel_llm::Canned::text("done"));
        builder.cpu(kernel_llm::FnCpu::new(unknown, answer))
    })
    .await;
    let results = world.make(vec![page("hello"), infer("no-such-provider/model-1")]).await;
    assert_eq!(results.iter().map(kind).collect::<Vec<_>>(), [Ok(()), Ok(())], "{results:?}");
    world.end().await;
}

#[tokio::test]
async fn pages_that_are_gone_are_not_found() {
    let world = World::new().await;
    let first = PageNo(1);
    let results = world
        .make(vec![
            page("a page"),
            Call::PagePin { page: first },
            Call::PageUnpin { page: first },
            Call::PageFree { page: first },
            Call::PageRead { page: first },
            Call::PagePin { page: first },
            Call::PageFree { page: PageNo(9) },
        ])
        .await;
    let kinds: Vec<_> = results.iter().map(kind).collect();
    let gone = Err(ErrorKind::NotFound);
    assert_eq!(kinds, [Ok(()), Ok(()), Ok(()), Ok(()), gone, gone, gone]);
    world.end().await;
}

#[tokio::test]
async fn the_journal_holds_addresses_of_page_bodies_not_their_text() {
    let world = World::new().await;
    let pid = world.spawn(vec![vec![page("a secret of some length")]]).await;
    world.run().await;
    let entries = kernel::mediation::entries(&*world.kernel.store(), pid).await;
    let bodies: Vec<PageBody> = entries
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Intent { call: Call::PageAlloc { pages }, .. } => Some(pages[0].body.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(bodies, [PageBody::Blob(kernel_types::hash_bytes(b"a secret of some length"))]);
    world.end().await;
}

#[tokio::test]
async fn only_attachments_of_the_own_tools_become_pages() {
    let world = World::new().await;
    let output = ToolOutput {
        attachments: vec!["an attached text".into()],
        ..ToolOutput::ok(JsonText::default(), "ok")
    };
    world.tools.set_behaviour("echo", Behaviour::Answer(output));
    let body = PageBody::Blob(kernel_types::hash_bytes(b"an attached text"));
    let attach = Call::PageAlloc { pages: vec![NewPage { body, ..NewPage::text(PageKind::Document, "") }] };
    let stranger = PageBody::Blob(Hash::ZERO);
    let strange =
        Call::PageAlloc { pages: vec![NewPage { body: stranger, ..NewPage::text(PageKind::Document, "") }] };
    let read = Call::PageRead { page: PageNo(1) };
    let pid = world.spawn(vec![vec![tool("echo")], vec![attach.clone(), read, strange]]).await;
    world.run().await;
    let results = world.step(pid, 2).await;
    let Ok(Answer::Page(read)) = &results[1] else { panic!("{:?}", results[1]) };
    assert_eq!(&*read.text, "an attached text");
    assert_eq!(kind(&results[2]), Err(ErrorKind::InvalidArgument));
    // Another process has it not among its attachments, although the body is in the store.
    assert_eq!(world.refused(attach).await.kind, ErrorKind::InvalidArgument);
    world.end().await;
}

#[tokio::test]
async fn recall_brings_back_what_fits_its_budget() {
    let world = World::new().await;
    let swapped = |text: &str| NewPage { swapped: true, ..NewPage::text(PageKind::Document, text) };
    let pages =
        vec![swapped("whales live in the sea"), swapped("larks live in the air"), swapped("moles dig")];
    let recall = |what, budget| Call::Recall(RecallArgs { what, budget: Tokens(budget) });
    let results = world
        .make(vec![
            Call::PageAlloc { pages },
            recall(RecallQuery::Query("where do larks live".to_owned()), 1000),
            recall(RecallQuery::Pages(vec![PageNo(3)]), 1000),
            recall(RecallQuery::Pages(vec![PageNo(1)]), 0),
            recall(RecallQuery::Pages(vec![PageNo(7)]), 1000),
        ])
        .await;
    let pages = |result: &CallResult| match result {
        Ok(Answer::Recalled(hits)) => hits.iter().map(|hit| hit.page.0).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(pages(&results[1]).first(), Some(&2), "the best hit first: {:?}", results[1]);
    assert_eq!(pages(&results[2]), [3]);
    assert_eq!(pages(&results[3]), [0_u64; 0]);
    assert_eq!(kind(&results[4]), Err(ErrorKind::NotFound));
    world.end().await;
}

#[tokio::test]
async fn a_note_supersedes_the_one_of_its_name() {
    let world = World::new().await;
    let note = |text: &str| Call::Note { name: "state".to_owned(), text: text.to_owned() };
    let results = world
        .make(vec![
            note("one"),
            note("two"),
            Call::PageRead { page: PageNo(1) },
            Call::PageRead { page: PageNo(2) },
        ])
        .await;
    let resident = |result: &CallResult| match result {
        Ok(Answer::Page(page)) => page.resident,
        other => panic!("{other:?}"),
    };
    assert_eq!((resident(&results[2]), resident(&results[3])), (false, true));
    world.end().await;
}

#[tokio::test]
async fn a_tool_call_is_checked_before_the_tool_sees_it() {
    let spec = kernel_types::ToolSpec {
        input: JsonText::parse(r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#)
            .unwrap(),
        ..kernel_tools::ScriptedDriver::spec("strict", kernel_types::Recovery::Unsafe)
    };
    let strict = kernel_tools::ScriptedDriver::new().with_spec(spec, Behaviour::Echo);
    let world = World::with(|builder| builder.driver(strict.clone())).await;
    let call = |args: &str| {
        let args = JsonText::parse(args).unwrap();
        Call::ToolCall(ToolCallArgs { tool: "strict".to_owned(), args, timeout: None })
    };
    for wrong in ["{}", r#"{"n":"1"}"#, "[]"] {
        let error = world.refused(call(wrong)).await;
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{wrong}: {error}");
    }
    assert_eq!(strict.calls_of("strict"), 0);
    assert_eq!(kind(&world.call(call(r#"{"n":1}"#)).await), Ok(()));
    assert_eq!(strict.calls_of("strict"), 1);
    assert_eq!(world.refused(tool("no-such-tool")).await.kind, ErrorKind::InvalidArgument);
    world.end().await;
}

#[tokio::test]
async fn a_call_may_ask_for_less_time_than_its_tool_takes() {
    let world = World::new().await;
    let args = ToolCallArgs { tool: "hang".to_owned(), args: JsonText::default(), timeout: Some(Millis(20)) };
    assert_eq!(world.refused(Call::ToolCall(args)).await.kind, ErrorKind::Deadline);
    assert_eq!(world.tools.in_flight(), 0, "what timed out is dropped");
    world.end().await;
}

#[tokio::test]
async fn calls_of_a_step_to_devices_run_side_by_side() {
    let world = World::new().await;
    let slow = Behaviour::Slow(Millis(100), ToolOutput::ok(JsonText::default(), "slow"));
    world.tools.set_behaviour("echo", slow);
    let before = std::time::Instant::now();
    let results = world.make(vec![tool("echo"); 20]).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(before.elapsed().as_millis() < 1500, "20 calls of 100 ms took {:?}", before.elapsed());
    world.end().await;
}

#[tokio::test]
async fn infer_names_what_is_wrong_with_it() {
    let world = World::new().await;
    let pid =
        world.spawn(vec![vec![page("hello"), infer("no-such-model"), infer(PRICED), infer(PRICED)]]).await;
    world.run().await;
    let kinds: Vec<_> = world.step(pid, 1).await.iter().map(kind).collect();
    let (unknown, second) = (Err(ErrorKind::NotFound), Err(ErrorKind::InvalidArgument));
    assert_eq!(kinds, [Ok(()), unknown, Ok(()), second]);
    world.end().await;

    let kernel = Kernel::builder().build().await.unwrap();
    let pid =
        kernel.spawn(script(vec![vec![Call::Infer(kernel_types::InferArgs::default())]])).await.unwrap();
    kernel.run_until(kernel::Until::Idle).await.unwrap();
    let entries = kernel::mediation::entries(&*kernel.store(), pid).await;
    let error = entries.iter().find_map(|entry| match &entry.event {
        Event::Outcome { result: Err(error), .. } => Some(error.clone()),
        _ => None,
    });
    assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Unavailable), "a kernel without a model");
}

#[tokio::test]
async fn a_tool_list_shows_what_the_process_may_call() {
    let world = World::new().await;
    let tools =
        vec![kernel_types::ToolGrant { tool: "echo".to_owned(), ..kernel_types::ToolGrant::default() }];
    let pid = world
        .start(holding(Capabilities { tools, ..Capabilities::all() }, script(vec![vec![Call::ToolList]])))
        .await;
    world.run().await;
    let Ok(Answer::Tools(listed)) = &world.step(pid, 1).await[0] else { panic!("tool_list answers") };
    assert_eq!(listed.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["echo"]);
    world.end().await;
}

#[tokio::test]
async fn list_shows_relatives_only() {
    let world = World::new().await;
    let stranger = world.spawn(vec![vec![receive()]]).await;
    let child = script(vec![vec![Call::List]]);
    let pid = world
        .spawn(vec![vec![crate::world::spawn(child)], vec![Call::Wait(WaitArgs::default()), Call::List]])
        .await;
    world.run().await;
    let child = world.child_of(pid).await;
    let listed = |results: Vec<CallResult>| match results.last() {
        Some(Ok(Answer::Processes(all))) => all.iter().map(|info| info.pid).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let below = listed(world.step(child, 1).await);
    assert!(below.contains(&pid) && below.contains(&child) && !below.contains(&stranger), "{below:?}");
    let above = listed(world.step(pid, 2).await);
    assert!(above.contains(&pid) && !above.contains(&stranger), "{above:?}");
    let unknown = world.refused(Call::ProcessInfo { pid: Some(Pid::fresh()) }).await;
    assert_eq!(unknown.kind, ErrorKind::NotFound);
    world.end().await;
}

#[tokio::test]
async fn random_numbers_follow_the_seed_and_time_does_not_go_back() {
    let mut drawn = Vec::new();
    for _ in 0..2 {
        let world = World::new().await;
        let results = world.make(vec![Call::Random, Call::Random, Call::Now, Call::Now]).await;
        assert_ne!(results[0], results[1]);
        let times = (&results[2], &results[3]);
        let (Ok(Answer::Time(first)), Ok(Answer::Time(second))) = times else { panic!("{times:?}") };
        assert!(first <= second);
        drawn.push(results[..2].to_vec());
        world.end().await;
    }
    assert_eq!(drawn[0], drawn[1]);
}

#[tokio::test]
async fn exit_ends_the_process_in_its_own_words_after_its_step() {
    let world = World::new().await;
    let bye = || ExitStatus::Failed("enough".to_owned());
    let pid = world.spawn(vec![vec![Call::Exit(bye()), put("a", "1")], vec![put("b", "1")]]).await;
    world.run().await;
    assert_eq!(world.state(pid).await, ProcessState::Exited(bye()));
    let values = world.kernel.store().values(pid).await.unwrap();
    assert_eq!(values, [("a".to_owned(), "1".to_owned())], "no step after exit");
    world.end().await;
}

fn send(to: Pid, body: &str) -> Call {
    Call::Send(SendArgs { to, body: body.to_owned() })
}

fn receive_within(ms: u64) -> Call {
    Call::Receive(ReceiveArgs { from: None, timeout: Some(Millis(ms)) })
}

#[tokio::test]
async fn a_receive_ends_at_its_deadline() {
    let world = World::new().await;
    assert_eq!(world.refused(receive_within(0)).await.kind, ErrorKind::Deadline);
    assert_eq!(world.refused(receive_within(20)).await.kind, ErrorKind::Deadline);
    // The positive control: with a message there, even no time is enough.
    let pid = world.spawn(vec![vec![receive_within(0)]]).await;
    world.kernel.send(pid, "hello").await.unwrap();
    world.run().await;
    assert!(matches!(world.step(pid, 1).await[0], Ok(Answer::Message(_))));
    world.end().await;
}

#[tokio::test]
async fn a_full_mailbox_is_busy_until_a_message_is_taken() {
    let world = World::with(|builder| builder.limits(Limits { mailbox: 3, ..Limits::default() })).await;
    let target =
        world.spawn(vec![vec![Call::Receive(ReceiveArgs { from: Some(Pid::INIT), timeout: None })]]).await;
    let sender = world.spawn((0..5).map(|n| vec![send(target, &n.to_string())]).collect()).await;
    world.run().await;
    let kinds: Vec<_> = world.results(sender).await.values().map(kind).collect();
    let busy = Err(ErrorKind::Busy);
    assert_eq!(kinds, [Ok(()), Ok(()), Ok(()), busy, busy]);
    assert_eq!(world.kernel.store().inbox(target).await.unwrap().len(), 3, "what was refused is not posted");
    world.end().await;

    let world = World::with(|builder| builder.limits(Limits { mailbox: 1, ..Limits::default() })).await;
    let target = world.spawn(vec![vec![receive()]; 20]).await;
    let sender = world
        .spawn((0..20).map(|n| vec![send(target, &n.to_string()), Call::Sleep { ms: Millis(5) }]).collect())
        .await;
    world.run().await;
    let sent = world.results(sender).await.values().filter(|result| result.is_ok()).count();
    assert_eq!(sent, 40, "a mailbox that is emptied has room again");
    world.end().await;
}

#[tokio::test]
async fn messages_of_one_sender_keep_their_order() {
    let world = World::new().await;
    let target = world.spawn(vec![vec![receive()]; 200]).await;
    let mut senders = Vec::new();
    for _ in 0..2 {
        senders.push(
            world
                .spawn(
                    (0..50)
                        .map(|n| vec![send(target, &format!("{n}.0")), send(target, &format!("{n}.1"))])
                        .collect(),
                )
                .await,
        );
    }
    world.run().await;
    let mut received: Vec<(Pid, u64, String)> = Vec::new();
    for result in world.results(target).await.into_values() {
        let Ok(Answer::Message(mail)) = result else { panic!("{result:?}") };
        let kernel_types::MailBody::Message(text) = mail.body else { panic!("a message") };
        received.push((mail.id.sender, mail.id.number, text));
    }
    let expected: Vec<String> = (0..50).flat_map(|n| [format!("{n}.0"), format!("{n}.1")]).collect();
    for sender in senders {
        let texts: Vec<String> =
            received.iter().filter(|(from, ..)| *from == sender).map(|(.., text)| text.clone()).collect();
        assert_eq!(texts, expected, "none lost, none doubled, none overtaken");
    }
    world.end().await;
}

#[tokio::test]
async fn a_message_has_a_size_and_a_living_addressee() {
    let world = World::new().await;
    let target = world.spawn(vec![vec![receive()]]).await;
    let gone = world.spawn(vec![vec![Call::Now]]).await;
    world.run().await;
    let limit = 256 << 10;
    assert_eq!(world.refused(send(target, &"x".repeat(limit + 1))).await.kind, ErrorKind::TooLarge);
    assert_eq!(world.refused(send(Pid::fresh(), "hello")).await.kind, ErrorKind::NotFound);
    assert_eq!(world.refused(send(gone, "hello")).await.kind, ErrorKind::NotFound);
    assert_eq!(kind(&world.call(send(target, &"x".repeat(limit))).await), Ok(()));
    world.end().await;
}

#[tokio::test]
async fn a_receive_takes_only_what_its_sender_sent() {
    let world = World::new().await;
    let friend = world.spawn(vec![vec![receive()], vec![Call::Now]]).await;
    let target = world
        .spawn(vec![vec![Call::Receive(ReceiveArgs { from: Some(friend), timeout: Some(Millis(50)) })]])
        .await;
    world.kernel.send(target, "from a stranger").await.unwrap();
    world.run().await;
    assert_eq!(kind(&world.step(target, 1).await[0]), Err(ErrorKind::Deadline));
    world.end().await;
}

/// Timers are cleared out when they are very many; those of the process that sets the next one are still to fire.
#[tokio::test]
async fn two_sleeps_at_once_end_beside_thousands_of_sleepers() {
    let world = World::new().await;
    let sleeper = script(vec![vec![Call::Sleep { ms: Millis(3_600_000) }]]);
    for _ in 0..4_095 {
        world.start(sleeper.clone()).await;
    }
    let asleep = ProcessState::Blocked(kernel_types::WaitReason::Timer);
    let beside = async {
        while !world.kernel.status().await.unwrap().iter().all(|info| info.state == asleep) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let short = || Call::Sleep { ms: Millis(10) };
        let pid = world.spawn(vec![vec![short(), short()]]).await;
        let patience = Instant::now() + Duration::from_secs(30);
        while world.kernel.exit_status(pid).await.unwrap().is_none() {
            assert!(Instant::now() < patience, "a sleep of 10 ms did not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = world.kernel.run_until(kernel::Until::Idle) => panic!("thousands sleep"),
        () = beside => {}
    }
}
