//! One value of every variant of what travels and what is kept. A new variant without a sample fails `round_trip`.

use kernel_types::{
    AgentRow, Answer, Blame, Budget, Call, CallKey, Capabilities, Decision, Effect, Epoch, ErrorKind, Event,
    ExitStatus, Hash, Importance, InferArgs, Inference, JsonText, LimitName, Mail, MailBody, MailId, Memory,
    MemoryQuery, MicroUsd, Millis, NewPage, Origin, PageBody, PageContent, PageKind, PageNo, PageView, Part,
    PastMoment, Pid, Priority, ProcessInfo, ProcessState, RateLimit, RateUnit, RecallArgs, RecallQuery,
    Recalled, ReceiveArgs, Record, Recovery, RememberArgs, Reservation, Retention, Retry, SendArgs, Seq,
    Signal, Spec, StepNo, SuspendReason, SysError, SyscallNo, Timestamp, TokenUsage, Tokens, ToolCallArgs,
    ToolGrant, ToolMode, ToolResult, ToolSpec, Usage, WaitArgs, WaitCause, WaitReason, Waited, hash_bytes,
};

pub(crate) fn pid(n: u128) -> Pid {
    Pid::from_parts(1_700_000_000_000, n)
}

fn args() -> JsonText {
    JsonText::parse(r#"{"path":"a/ä.txt","n":[1,2.5,null,true,-3],"deep":{"x":""}}"#).expect("valid")
}

fn budget() -> Budget {
    Budget {
        calls: Some(3),
        tokens: Some(Tokens(4)),
        cost: Some(MicroUsd(5)),
        steps: None,
        tool_calls: Some(6),
        wall_time: Some(Millis(7)),
        children: Some(8),
    }
}

fn capabilities() -> Capabilities {
    let grant = ToolGrant {
        tool: "read_*".to_owned(),
        args: [("path".to_owned(), "src/*".to_owned())].into(),
        effect: Effect::Ask,
    };
    Capabilities { tools: vec![grant], ..Capabilities::all() }
}

fn spec() -> Spec {
    Spec {
        name: "reader".to_owned(),
        task: "read\n\u{0}it".to_owned(),
        program: "script".to_owned(),
        args: args(),
        priority: Priority::new(7).expect("at most 100"),
        rates: vec![RateLimit::new(RateUnit::Tokens, 1_000, Millis(60_000)).expect("more than nothing")],
        tenant: "press".to_owned(),
        budget: budget(),
        capabilities: Some(capabilities()),
        system: "be brief".to_owned(),
        model: Some("m".to_owned()),
        window: Some(Tokens(4096)),
        labels: [("workspace".to_owned(), "/w".to_owned())].into(),
    }
}

fn origin() -> Origin {
    Origin { path: "MPL-1.1".to_owned(), first_line: 160, last_line: 170, file: hash_bytes(b"file") }
}

pub(crate) fn page_kinds() -> Vec<PageKind> {
    vec![
        PageKind::System,
        PageKind::User,
        PageKind::Assistant,
        PageKind::ToolCall { id: "c1".to_owned(), name: "calculator".to_owned() },
        PageKind::ToolResult { id: "c1".to_owned(), is_error: true },
        PageKind::Document,
        PageKind::Note { name: "time".to_owned() },
    ]
}

fn pages() -> Vec<NewPage> {
    let mut pages: Vec<NewPage> = page_kinds().into_iter().map(|kind| NewPage::text(kind, "text")).collect();
    pages.push(NewPage {
        kind: PageKind::Document,
        body: PageBody::Blob(hash_bytes(b"body")),
        importance: Importance::new(0.123).expect("within 0 to 1"),
        pinned: true,
        swapped: true,
        origin: Some(origin()),
    });
    pages
}

pub(crate) fn calls() -> Vec<Call> {
    let (page, name) = (PageNo(9), "n".to_owned());
    vec![
        Call::Probe,
        Call::Spawn(Box::new(spec())),
        Call::Spawn(Box::default()),
        Call::Fork,
        Call::Exit(ExitStatus::Ok("done".to_owned())),
        Call::Wait(WaitArgs { pid: Some(pid(1)), timeout: Some(Millis(5)) }),
        Call::Wait(WaitArgs::default()),
        Call::Signal { pid: pid(2), signal: Signal::Stop },
        Call::Sleep { ms: Millis(u64::MAX) },
        Call::SetPriority { pid: pid(3), priority: Priority::LOWEST },
        Call::ProcessInfo { pid: None },
        Call::ProcessInfo { pid: Some(pid(4)) },
        Call::List,
        Call::PageAlloc { pages: pages() },
        Call::PageRead { page },
        Call::PagePin { page },
        Call::PageUnpin { page },
        Call::PageFree { page },
        Call::Recall(RecallArgs { what: RecallQuery::Query("what?".to_owned()), budget: Tokens(100) }),
        Call::Recall(RecallArgs { what: RecallQuery::Pages(vec![page, PageNo(10)]), budget: Tokens(0) }),
        Call::Note { name: name.clone(), text: "t".to_owned() },
        Call::Infer(InferArgs::default()),
        Call::Infer(InferArgs {
            model: Some("m".to_owned()),
            max_output: Tokens(1),
            temperature: Some(700),
            tools: ToolMode::None,
            without: vec!["t".to_owned()],
        }),
        Call::ToolList,
        Call::ToolCall(ToolCallArgs {
            tool: "calculator".to_owned(),
            args: args(),
            timeout: Some(Millis(9)),
        }),
        Call::Send(SendArgs { to: pid(5), body: "hi".to_owned() }),
        Call::Receive(ReceiveArgs { from: Some(pid(6)), timeout: Some(Millis(0)) }),
        Call::Publish { topic: name.clone(), body: "b".to_owned() },
        Call::Subscribe { topic: name.clone() },
        Call::Lock { name: name.clone(), timeout: Millis(1) },
        Call::Unlock { name: name.clone() },
        Call::Checkpoint { name: name.clone() },
        Call::Restore { name: name.clone() },
        Call::Remember(RememberArgs {
            namespace: name.clone(),
            text: "t".to_owned(),
            ..RememberArgs::default()
        }),
        Call::Search(MemoryQuery {
            namespace: name.clone(),
            text: "t".to_owned(),
            limit: 5,
            since: Some(Timestamp(1)),
            importance: Some(Importance::default()),
            filter: JsonText::parse(r#"{"year":{"min":2009}}"#).expect("is JSON"),
        }),
        Call::Put { name: name.clone(), value: Some("v".to_owned()) },
        Call::Put { name: name.clone(), value: None },
        Call::Get { name },
        Call::Now,
        Call::Random,
        Call::Ask { question: "may I?".to_owned(), timeout: Millis(1000) },
    ]
}

pub(crate) fn exit_statuses() -> Vec<ExitStatus> {
    vec![
        ExitStatus::Ok("42".to_owned()),
        ExitStatus::Failed("no".to_owned()),
        ExitStatus::Killed(Signal::Kill),
        ExitStatus::Faulted("panicked".to_owned()),
    ]
}

pub(crate) fn states() -> Vec<ProcessState> {
    let reasons = [
        WaitReason::Llm,
        WaitReason::Tool,
        WaitReason::Message,
        WaitReason::Timer,
        WaitReason::Approval,
        WaitReason::Child,
        WaitReason::Lock,
        WaitReason::Store,
    ];
    let limits = [LimitName::Calls, LimitName::Tokens, LimitName::Cost, LimitName::Steps];
    let mut states =
        vec![ProcessState::Ready, ProcessState::Running, ProcessState::Suspended(SuspendReason::Stopped)];
    states.extend(reasons.map(ProcessState::Blocked));
    states.extend(limits.map(|limit| ProcessState::Suspended(SuspendReason::Limit(limit))));
    states.extend(exit_statuses().into_iter().map(ProcessState::Exited));
    states
}

fn info(state: ProcessState) -> ProcessInfo {
    ProcessInfo {
        pid: pid(7),
        parent: Pid::INIT,
        name: "reader".to_owned(),
        program: "react".to_owned(),
        priority: Priority::default(),
        state,
        step: StepNo(3),
        usage: Usage { calls: 1, input_tokens: Tokens(2), cost: MicroUsd(3), ..Usage::default() },
        budget: budget(),
        spawned_at: Timestamp(1),
        waited: Millis(2),
    }
}

pub(crate) fn parts() -> Vec<Part> {
    vec![
        Part::Text("text".into()),
        Part::ToolCall { id: "c".to_owned(), name: "t".to_owned(), args: args() },
        Part::ToolResult { id: "c".to_owned(), text: "r".into(), is_error: false },
    ]
}

fn usage() -> TokenUsage {
    TokenUsage {
        input: Tokens(9),
        cached: Tokens(4),
        cache_written: Tokens(2),
        written_long: Tokens(1),
        output: Tokens(1),
        estimated: true,
    }
}

fn tool() -> ToolResult {
    ToolResult {
        success: true,
        data: args(),
        text: "t".to_owned(),
        attachments: vec![hash_bytes(b"1"), hash_bytes(b"2")],
    }
}

fn tool_spec() -> ToolSpec {
    ToolSpec {
        name: "read_file".to_owned(),
        description: "reads".to_owned(),
        input: args(),
        recovery: Recovery::Reread,
        timeout: Millis(1),
        reads: vec!["path".to_owned()],
        writes: vec![],
    }
}

pub(crate) fn answers() -> Vec<Answer> {
    let content = PageContent {
        page: PageNo(1),
        kind: PageKind::Document,
        text: "t".into(),
        tokens: Tokens(1),
        resident: true,
        origin: Some(origin()),
    };
    let memory = Memory {
        id: "1".to_owned(),
        by: pid(1),
        at: Timestamp(2),
        importance: Importance::default(),
        text: "t\u{0}".to_owned(),
        metadata: JsonText::parse(r#"{"year":2009}"#).expect("is JSON"),
        score: -5,
    };
    let recalled = Recalled { page: PageNo(1), tokens: Tokens(2), score: 1_000_000, was_resident: false };
    let inference =
        Inference { model: "m".to_owned(), parts: parts(), finish: "tool_calls".to_owned(), usage: usage() };
    vec![
        Answer::Done,
        Answer::Probe { abi: 1, calls: SyscallNo::ALL.to_vec() },
        Answer::Pid(pid(8)),
        Answer::Exited { pid: pid(9), status: ExitStatus::Killed(Signal::Term) },
        Answer::Pages(vec![PageNo(1), PageNo(2)]),
        Answer::Page(content),
        Answer::Recalled(vec![recalled]),
        Answer::Remembered { id: "1".to_owned() },
        Answer::Memories(vec![memory]),
        Answer::Inference(inference),
        Answer::Tools(vec![tool_spec()]),
        Answer::Tool(tool()),
        Answer::Message(mail().remove(0)),
        Answer::Value(None),
        Answer::Value(Some("v".to_owned())),
        Answer::Time(Timestamp(1)),
        Answer::Random(u64::MAX),
        Answer::Process(info(ProcessState::Ready)),
        Answer::Processes(states().into_iter().map(info).collect()),
        Answer::Forked { from: pid(13) },
        Answer::Restored { from: StepNo(14) },
    ]
}

pub(crate) const ERROR_KINDS: [ErrorKind; 13] = [
    ErrorKind::Denied,
    ErrorKind::Unsupported,
    ErrorKind::InvalidArgument,
    ErrorKind::NotFound,
    ErrorKind::QuotaExceeded,
    ErrorKind::Busy,
    ErrorKind::Deadline,
    ErrorKind::Cancelled,
    ErrorKind::Interrupted,
    ErrorKind::Unavailable,
    ErrorKind::Failed,
    ErrorKind::Faulted,
    ErrorKind::TooLarge,
];

pub(crate) const RETRIES: [Retry; 3] = [Retry::Never, Retry::Now, Retry::After(Millis(250))];

pub(crate) const BLAMES: [Blame; 3] = [Blame::Caller, Blame::Plugin, Blame::Kernel];

pub(crate) fn errors() -> Vec<SysError> {
    let mut errors: Vec<SysError> =
        ERROR_KINDS.map(|kind| SysError::new(kind, "limit of 5 exceeded by 1")).to_vec();
    errors.extend(RETRIES.map(|retry| SysError::new(ErrorKind::Busy, "").with_retry(retry)));
    errors.extend(BLAMES.map(|blame| SysError::new(ErrorKind::Failed, "ä").with_blame(blame)));
    errors
}

pub(crate) fn mail() -> Vec<Mail> {
    let bodies = [
        MailBody::Message("hello\u{0}".to_owned()),
        MailBody::Signal(Signal::Term),
        MailBody::ChildExit { pid: pid(1), status: ExitStatus::Ok(String::new()), refund: budget() },
        MailBody::Grant(budget()),
        MailBody::Priority(Priority::LOWEST),
        MailBody::Checkpoint { name: "before".to_owned(), at: moment() },
        MailBody::Published { topic: "news".to_owned(), body: "hello\u{0}".to_owned() },
    ];
    let mail = bodies.into_iter().zip(1..).map(|(body, number)| Mail {
        id: MailId { sender: pid(10), number },
        to: pid(11),
        body,
        sent_at: Timestamp(12),
    });
    mail.collect()
}

fn moment() -> PastMoment {
    PastMoment { pid: pid(12), record: 345, step: StepNo(67) }
}

pub(crate) fn decisions() -> Vec<Decision> {
    vec![
        Decision::Allow,
        Decision::Ask { rule: "r".to_owned() },
        Decision::Deny { missing: "tool:x".to_owned() },
        Decision::OverQuota { limit: LimitName::Tokens, left: 1, needed: 2 },
        Decision::Reject { reason: "malformed".to_owned() },
    ]
}

pub(crate) fn events() -> Vec<Event> {
    let reserved = Reservation { calls: 1, tokens: Tokens(2), cost: MicroUsd(3), tool_calls: 1 };
    let view = PageView {
        prompt: hash_bytes(b"prompt"),
        tokens: Tokens(10),
        expected_cached: Tokens(5),
        unchanged: 2,
        model: "m".to_owned(),
        retention: Retention::Long,
        resident: vec![PageNo(1)],
    };
    let mut events = vec![
        Event::Spawned { spec: spec(), parent: Pid::INIT, capabilities: capabilities() },
        Event::Step { program: hash_bytes(b"p"), image: Hash::ZERO, pages: hash_bytes(b"t"), epoch: 3 },
        Event::Pages { changes: args() },
        Event::Attempt { number: 2, charged: reserved, why: None },
        Event::Attempt { number: 3, charged: reserved, why: Some("429".to_owned()) },
        Event::Signalled { signal: Signal::Cont, from: pid(1) },
        Event::Suspended { reason: SuspendReason::Limit(LimitName::Cost) },
        Event::Resumed { why: "a grant".to_owned() },
        Event::Recovered { epoch: 4, open: 1 },
        Event::MailTaken { mail: mail().remove(3) },
        Event::CacheMissed {
            expected: Tokens(9),
            reported: Tokens(0),
            segment: Some(3),
            page: Some(PageNo(4)),
        },
        Event::Forked { of: moment(), results: vec![None, Some(Ok(Answer::Done))] },
        Event::Restored { to: moment(), from: StepNo(70), results: Vec::new() },
    ];
    events.extend(exit_statuses().into_iter().map(|status| Event::Exited { status }));
    let intents =
        calls().into_iter().zip(decisions().into_iter().cycle()).map(|(call, decision)| Event::Intent {
            no: call.number(),
            call,
            decision,
            reserved,
            recovery: Recovery::Keyed,
            view: Some(view.clone()),
            child: Some(pid(3)),
        });
    events.extend(intents);
    let results = answers().into_iter().map(Ok).chain(errors().into_iter().map(Err));
    let outcomes = results.map(|result| Event::Outcome {
        result,
        cost: MicroUsd(1),
        took: Millis(2),
        waited: Millis(1),
        causes: vec![Waited { cause: WaitCause::RetryAfter, ms: Millis(1) }],
        expected_cached: Some(Tokens(4)),
    });
    events.extend(outcomes);
    events
}

pub(crate) fn records() -> Vec<Record> {
    let record = Record {
        pid: pid(1),
        number: 5,
        step: StepNo(2),
        call: Some(Seq(1)),
        kind: 3,
        at: Timestamp(7),
        salt: [9; 16],
        body: Some("{}".to_owned()),
        blob: None,
        body_hash: hash_bytes(b"b"),
        hash: hash_bytes(b"h"),
    };
    let blob = Some(hash_bytes(b"elsewhere"));
    vec![Record { call: None, body: None, blob, ..record.clone() }, record]
}

pub(crate) fn rows() -> Vec<AgentRow> {
    let row = AgentRow {
        pid: pid(1),
        parent: Pid::INIT,
        epoch: Epoch(2),
        revision: 3,
        records: 5,
        head: hash_bytes(b"h"),
        exited: false,
        image: vec![0, 255, 1],
        seal: hash_bytes(b"s"),
    };
    vec![AgentRow { exited: true, image: Vec::new(), ..row.clone() }, row]
}

pub(crate) fn keys() -> Vec<CallKey> {
    vec![
        CallKey { pid: pid(1), step: StepNo(0), seq: Seq(0) },
        CallKey { pid: Pid::INIT, step: StepNo(u64::MAX), seq: Seq(u32::MAX) },
    ]
}
