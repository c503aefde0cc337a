//! Decisions about single calls. Each refusal stands beside the grant that lifts it.

use kernel_security::{Policy, PolicyError, Relation, Request, decide};
use kernel_types::{
    Call, Capabilities, Decision, Effect, ExitStatus, InferArgs, JsonText, Millis, PageNo, Pid, Priority,
    Recovery, SendArgs, Signal, Spec, ToolCallArgs, ToolGrant, ToolSpec, WaitArgs,
};

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

fn denied(missing: &str) -> Decision {
    Decision::Deny { missing: missing.to_owned() }
}

fn asked(rule: &str) -> Decision {
    Decision::Ask { rule: rule.to_owned() }
}

fn by_capabilities(capabilities: &Capabilities, request: &Request<'_>) -> Decision {
    decide(&Policy::default(), capabilities, request)
}

fn calls(names: &[&str]) -> Capabilities {
    Capabilities { calls: list(names), ..Capabilities::default() }
}

fn pid() -> Pid {
    Pid::from_parts(1, 1)
}

fn tool_call(tool: &str, args: &str) -> Call {
    let args = JsonText::parse(args).expect("valid");
    Call::ToolCall(ToolCallArgs { tool: tool.to_owned(), args, timeout: None })
}

fn spec(name: &str, reads: &[&str], writes: &[&str]) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        input: JsonText::empty_object(),
        recovery: Recovery::Reread,
        timeout: Millis(1),
        reads: list(reads),
        writes: list(writes),
    }
}

fn grant(tool: &str, args: &[(&str, &str)], effect: Effect) -> ToolGrant {
    let args = args.iter().map(|&(name, pattern)| (name.to_owned(), pattern.to_owned())).collect();
    ToolGrant { tool: tool.to_owned(), args, effect }
}

fn tools(grants: Vec<ToolGrant>) -> Capabilities {
    Capabilities { tools: grants, read: list(&["."]), write: list(&["."]), ..calls(&["tool_call"]) }
}

#[test]
fn calls_that_need_no_grant_are_allowed() {
    let free = [
        Call::Probe,
        Call::Exit(ExitStatus::Ok(String::new())),
        Call::ProcessInfo { pid: Some(pid()) },
        Call::ToolList,
        Call::Now,
        Call::Random,
    ];
    for call in free {
        assert_eq!(
            by_capabilities(&Capabilities::default(), &Request::new(&call)),
            Decision::Allow,
            "{call:?}"
        );
    }
}

#[test]
fn every_other_call_needs_a_grant_of_its_name() {
    let page = PageNo(1);
    let timeout = Millis(1);
    let text = String::new;
    let granted = [
        Call::Spawn(Box::default()),
        Call::Fork,
        Call::Wait(WaitArgs::default()),
        Call::Signal { pid: pid(), signal: Signal::Term },
        Call::Sleep { ms: timeout },
        Call::SetPriority { pid: pid(), priority: Priority::default() },
        Call::List,
        Call::PageAlloc { pages: vec![] },
        Call::PageRead { page },
        Call::PagePin { page },
        Call::PageUnpin { page },
        Call::PageFree { page },
        Call::Note { name: text(), text: text() },
        Call::Send(SendArgs { to: pid(), body: text() }),
        Call::Receive(Default::default()),
        Call::Publish { topic: text(), body: text() },
        Call::Lock { name: text(), timeout },
        Call::Checkpoint { name: text() },
        Call::Put { name: text(), value: None },
        Call::Get { name: text() },
        Call::Ask { question: text(), timeout },
    ];
    for call in granted {
        let name = call.number().name();
        let request = Request { relation: Some(Relation::Child), ..Request::new(&call) };
        for capabilities in [calls(&[]), calls(&["probe", "other"])] {
            assert_eq!(by_capabilities(&capabilities, &request), denied(&format!("call:{name}")));
        }
        assert_eq!(by_capabilities(&calls(&[name]), &request), Decision::Allow, "{name}");
        assert_eq!(by_capabilities(&calls(&["*"]), &request), Decision::Allow, "{name}");
    }
}

#[test]
fn infer_needs_its_model() {
    let named = Call::Infer(InferArgs { model: Some("gpt-5".to_owned()), ..InferArgs::default() });
    let plain = Call::Infer(InferArgs::default());
    let with = |models: &[&str]| Capabilities { models: list(models), ..calls(&["infer"]) };
    let check = |call, model, models: &[&str], expected| {
        let request = Request { model, ..Request::new(call) };
        assert_eq!(by_capabilities(&with(models), &request), expected);
    };
    check(&plain, Some("claude-x"), &["claude-*"], Decision::Allow);
    check(&plain, Some("gpt-5"), &["claude-*"], denied("model:gpt-5"));
    check(&named, None, &["claude-*"], denied("model:gpt-5"));
    check(&named, None, &["gpt-5"], Decision::Allow);
    // The model that will answer counts, whatever the call says.
    check(&named, Some("claude-x"), &["gpt-5"], denied("model:claude-x"));
    check(&plain, None, &["claude-*"], denied("model:default"));
    check(&plain, None, &["*"], Decision::Allow);
    let no_call = Capabilities { models: list(&["*"]), ..Capabilities::default() };
    assert_eq!(by_capabilities(&no_call, &Request::new(&plain)), denied("call:infer"));
}

#[test]
fn peers_are_reached_as_far_as_granted() {
    let aimed = [
        Call::Signal { pid: pid(), signal: Signal::Kill },
        Call::Send(SendArgs { to: pid(), body: String::new() }),
        Call::SetPriority { pid: pid(), priority: Priority::default() },
    ];
    let cases = [
        (Some(Relation::Self_), [true, true, true, true], ""),
        (Some(Relation::Child), [true, true, true, true], ""),
        (Some(Relation::Parent), [false, true, true, true], "peer:parent"),
        (Some(Relation::Descendant), [false, false, true, true], "peer:tree"),
        (Some(Relation::Tree), [false, false, true, true], "peer:tree"),
        (Some(Relation::Other), [false, false, false, true], "peer:*"),
        (None, [false, false, false, true], "peer:*"),
    ];
    let grants: [&[&str]; 4] = [&[], &["parent"], &["x", "tree"], &["*"]];
    for call in &aimed {
        for (relation, reached, missing) in cases {
            for (peers, reached) in grants.iter().zip(reached) {
                let capabilities = Capabilities { peers: list(peers), ..calls(&["*"]) };
                let expected = if reached { Decision::Allow } else { denied(missing) };
                let request = Request { relation, ..Request::new(call) };
                assert_eq!(
                    by_capabilities(&capabilities, &request),
                    expected,
                    "{call:?} {relation:?} {peers:?}"
                );
            }
        }
    }
}

#[test]
fn waiting_for_a_child_needs_no_peer() {
    let call = Call::Wait(WaitArgs { pid: Some(pid()), timeout: None });
    assert_eq!(by_capabilities(&calls(&["wait"]), &Request::new(&call)), Decision::Allow);
    assert_eq!(by_capabilities(&calls(&[]), &Request::new(&call)), denied("call:wait"));
}

#[test]
fn a_child_may_not_be_given_more_than_its_parent_has() {
    let parent = Capabilities { read: list(&["docs"]), ..calls(&["spawn"]) };
    let spawn = |capabilities| Call::Spawn(Box::new(Spec { capabilities, ..Spec::default() }));
    let check = |child, expected| {
        assert_eq!(by_capabilities(&parent, &Request::new(&spawn(child))), expected);
    };
    check(None, Decision::Allow);
    check(Some(Capabilities { read: list(&["docs/a"]), ..Capabilities::default() }), Decision::Allow);
    check(Some(Capabilities { read: list(&["docs", "src"]), ..Capabilities::default() }), denied("read:src"));
    check(Some(calls(&["infer"])), denied("call:infer"));
    check(Some(Capabilities::all()), denied("call:*"));
    let none = Capabilities::default();
    assert_eq!(by_capabilities(&none, &Request::new(&spawn(None))), denied("call:spawn"));
}

#[test]
fn a_tool_needs_the_call_the_tool_and_its_paths() {
    let write = spec("write_file", &[], &["path"]);
    let call = tool_call("write_file", r#"{"path":"notes.txt","text":"x"}"#);
    let request = Request { tool: Some(&write), ..Request::new(&call) };
    let all = Capabilities {
        tools: vec![grant("write_*", &[], Effect::Allow)],
        write: list(&["notes.txt"]),
        ..calls(&["tool_call"])
    };
    assert_eq!(by_capabilities(&all, &request), Decision::Allow);
    let without = |capabilities: Capabilities, missing: &str| {
        assert_eq!(by_capabilities(&capabilities, &request), denied(missing));
    };
    without(Capabilities { calls: vec![], ..all.clone() }, "call:tool_call");
    without(Capabilities { tools: vec![], ..all.clone() }, "tool:write_file(path=notes.txt)");
    without(Capabilities { write: vec![], ..all.clone() }, "write:notes.txt");
    without(Capabilities { write: vec![], read: list(&["."]), ..all.clone() }, "write:notes.txt");
    without(Capabilities { write: list(&["notes"]), ..all.clone() }, "write:notes.txt");
    let near = grant("write_file", &[("text", "y*")], Effect::Allow);
    without(Capabilities { tools: vec![near], ..all }, "tool:write_file(path=notes.txt, text=x)");
}

#[test]
fn paths_are_checked_however_they_are_written() {
    let read = spec("read", &["path"], &[]);
    let capabilities = Capabilities {
        tools: vec![grant("read", &[], Effect::Allow)],
        read: list(&["docs"]),
        ..calls(&["tool_call"])
    };
    let check = |args: &str, expected: Decision| {
        let call = tool_call("read", args);
        assert_eq!(
            by_capabilities(&capabilities, &Request { tool: Some(&read), ..Request::new(&call) }),
            expected
        );
    };
    check(r#"{"path":"docs/a"}"#, Decision::Allow);
    check(r#"{"path":"./docs//a/"}"#, Decision::Allow);
    check(r#"{"path":["docs/a","docs/b"]}"#, Decision::Allow);
    check(r#"{"path":["docs/a","src/b"]}"#, denied("read:src/b"));
    check(r#"{"path":"docs/../secrets"}"#, denied("read:docs/../secrets"));
    check(r#"{"path":"/etc/passwd"}"#, denied("read:/etc/passwd"));
    check(r#"{"path":"docs-private/a"}"#, denied("read:docs-private/a"));
    check(r#"{"path":{"docs":1}}"#, denied("read:(argument path is not a path)"));
    check(r#"{"path":["docs",1]}"#, denied("read:(argument path is not a path)"));
    check(r#"{"path":null}"#, denied("read:(argument path is not a path)"));
}

#[test]
fn an_absent_path_is_the_default_of_the_schema() {
    let with_default = |default: &str| {
        let input = format!(r#"{{"properties":{{"path":{{"type":"string"{default}}}}}}}"#);
        ToolSpec { input: JsonText::parse(&input).expect("valid"), ..spec("list", &["path"], &[]) }
    };
    let narrow = Capabilities { read: list(&["docs"]), ..tools(vec![grant("list", &[], Effect::Allow)]) };
    let call = tool_call("list", "{}");
    let check = |default: &str, expected: Decision| {
        let tool = with_default(default);
        assert_eq!(by_capabilities(&narrow, &Request { tool: Some(&tool), ..Request::new(&call) }), expected);
    };
    check(r#","default":".""#, denied("read:."));
    check(r#","default":"docs/a""#, Decision::Allow);
    check("", Decision::Allow);

    // Nor does leaving it out get around a rule.
    let tool = with_default(r#","default":".""#);
    let policy = Policy::parse("[[rule]]\neffect = 'deny'\nargs = { path = '.' }").expect("valid");
    let request = Request { tool: Some(&tool), ..Request::new(&call) };
    assert_eq!(decide(&policy, &Capabilities::all(), &request), denied("rule:1"));
}

#[test]
fn further_paths_of_the_kernel_are_checked_too() {
    let import = spec("import", &[], &[]);
    let call = tool_call("import", "{}");
    let capabilities =
        Capabilities { read: list(&["docs"]), write: vec![], ..tools(vec![grant("*", &[], Effect::Allow)]) };
    let check = |reads: &[&str], writes: &[&str], expected| {
        let (reads, writes) = (list(reads), list(writes));
        let request = Request { tool: Some(&import), reads: &reads, writes: &writes, ..Request::new(&call) };
        assert_eq!(by_capabilities(&capabilities, &request), expected);
    };
    check(&[], &[], Decision::Allow);
    check(&["docs/a"], &[], Decision::Allow);
    check(&["docs/a", "src"], &[], denied("read:src"));
    check(&[], &["docs/a"], denied("write:docs/a"));
}

#[test]
fn arguments_are_matched_as_values_not_as_text() {
    let shell = spec("shell", &[], &[]);
    let capabilities = tools(vec![grant("shell", &[("command", "git *"), ("depth", "1")], Effect::Allow)]);
    let check = |args: &str, allowed| {
        let call = tool_call("shell", args);
        let decision = by_capabilities(&capabilities, &Request { tool: Some(&shell), ..Request::new(&call) });
        assert_eq!(decision.is_allow(), allowed, "{args}: {decision:?}");
    };
    check(r#"{"command":"git status","depth":1}"#, true);
    check(r#"{"command":"git status","depth":"1"}"#, true);
    check(r#"{"command":"\u0067it status","depth":1,"more":true}"#, true);
    check(r#"{"command":"git status"}"#, false);
    check(r#"{"command":"gitx","depth":1}"#, false);
    check(r#"{"command":["git status"],"depth":1}"#, false);
    check(r#"{"Command":"git status","depth":1}"#, false);
}

#[test]
fn grants_are_a_union_and_the_most_permissive_counts() {
    let shell = spec("shell", &[], &[]);
    let call = tool_call("shell", r#"{"command":"ls"}"#);
    let request = Request { tool: Some(&shell), ..Request::new(&call) };
    let ask = grant("shell", &[("command", "l*")], Effect::Ask);
    let allow = grant("sh*", &[], Effect::Allow);
    let check = |grants, expected| assert_eq!(by_capabilities(&tools(grants), &request), expected);
    check(vec![ask.clone()], asked("tool:shell(command=l*)"));
    check(vec![allow.clone()], Decision::Allow);
    check(vec![ask.clone(), allow.clone()], Decision::Allow);
    check(vec![allow, ask], Decision::Allow);
}

#[test]
fn a_tool_that_is_not_there_is_known_only_to_who_may_call_it() {
    let call = tool_call("nothing", "{}");
    let request = Request::new(&call);
    assert_eq!(by_capabilities(&tools(vec![]), &request), denied("tool:nothing"));
    let reason = "tool nothing is not registered".to_owned();
    assert_eq!(by_capabilities(&Capabilities::all(), &request), Decision::Reject { reason: reason.clone() });
    let other = spec("other", &[], &[]);
    let mistaken = Request { tool: Some(&other), ..request };
    assert_eq!(by_capabilities(&Capabilities::all(), &mistaken), Decision::Reject { reason });
}

#[test]
fn arguments_that_are_no_object_are_rejected() {
    let call = tool_call("read", r#"["docs"]"#);
    let decision = by_capabilities(&Capabilities::all(), &Request::new(&call));
    assert!(matches!(decision, Decision::Reject { .. }), "{decision:?}");
}

#[test]
fn a_refusal_is_one_short_line() {
    let call = tool_call("write_file", &format!(r#"{{"path":"{}"}}"#, "é".repeat(5000)));
    let write = spec("write_file", &[], &["path"]);
    let decision = by_capabilities(&calls(&["*"]), &Request { tool: Some(&write), ..Request::new(&call) });
    let Decision::Deny { missing } = decision else { panic!("{decision:?}") };
    assert!(missing.chars().count() < 200 && missing.starts_with("tool:write_file(path=é"), "{missing}");
}

fn by_policy(policy: &str, capabilities: &Capabilities, call: &Call) -> Decision {
    let shell = spec("shell", &["path"], &[]);
    let tool = matches!(call, Call::ToolCall(_)).then_some(&shell);
    let policy = Policy::parse(policy).expect("valid");
    decide(&policy, capabilities, &Request { tool, ..Request::new(call) })
}

#[test]
fn a_deny_rule_wins_wherever_it_stands() {
    let allow = "[[rule]]\neffect = 'allow'\n";
    let deny = "[[rule]]\nname = 'no forks'\neffect = 'deny'\ncalls = ['fork']\n";
    for text in [format!("{allow}{deny}"), format!("{deny}{allow}")] {
        assert_eq!(by_policy(&text, &Capabilities::all(), &Call::Fork), denied("rule:no forks"));
        assert_eq!(by_policy(&text, &Capabilities::all(), &Call::List), Decision::Allow);
    }
}

#[test]
fn among_the_other_rules_the_first_match_counts() {
    let ask = "[[rule]]\nname = 'ask'\neffect = 'ask'\ncalls = ['f*']\n";
    let allow = "[[rule]]\neffect = 'allow'\ncalls = ['fork']\n";
    let all = Capabilities::all();
    assert_eq!(by_policy(&format!("{ask}{allow}"), &all, &Call::Fork), asked("rule:ask"));
    assert_eq!(by_policy(&format!("{allow}{ask}"), &all, &Call::Fork), Decision::Allow);
}

#[test]
fn a_rule_grants_nothing_that_the_capabilities_do_not() {
    let allow = "[[rule]]\neffect = 'allow'\n";
    assert_eq!(by_policy(allow, &Capabilities::default(), &Call::Fork), denied("call:fork"));
    // But it lifts the asking of a grant.
    let ask = tools(vec![grant("shell", &[], Effect::Ask)]);
    let call = tool_call("shell", r#"{"path":"a"}"#);
    assert_eq!(by_policy("", &ask, &call), asked("tool:shell"));
    assert_eq!(by_policy(allow, &ask, &call), Decision::Allow);
}

#[test]
fn rules_about_tools_match_calls_of_those_tools_only() {
    let all = Capabilities::all();
    let shell = tool_call("shell", r#"{"path":"a","command":"rm -r /"}"#);
    let check = |rule: &str, call: &Call, expected| {
        assert_eq!(by_policy(&format!("[[rule]]\neffect = 'deny'\n{rule}"), &all, call), expected, "{rule}");
    };
    check("tools = ['sh*']", &shell, denied("rule:1"));
    check("tools = ['read']", &shell, Decision::Allow);
    check("tools = ['sh*']", &Call::Fork, Decision::Allow);
    check("args = { command = 'rm *' }", &shell, denied("rule:1"));
    check("args = { command = 'rm *', other = '*' }", &shell, Decision::Allow);
    check("args = { command = 'rm *' }", &Call::Fork, Decision::Allow);
    check("calls = ['fork']\ntools = ['shell']", &shell, Decision::Allow);
    check("", &Call::Fork, denied("rule:1"));
    check("", &Call::Now, denied("rule:1"));
    check("", &Call::Exit(ExitStatus::Ok(String::new())), Decision::Allow);
}

#[test]
fn no_way_of_writing_an_argument_gets_around_a_refusal() {
    let rule = "[[rule]]\neffect = 'deny'\nargs = { path = 'secrets*' }";
    for path in [r#""secrets/x""#, r#""./secrets/x""#, r#"".//secrets""#, r#"["docs","./secrets"]"#] {
        let call = tool_call("shell", &format!(r#"{{"path":{path}}}"#));
        assert_eq!(by_policy(rule, &Capabilities::all(), &call), denied("rule:1"), "{path}");
    }
    let call = tool_call("shell", r#"{"path":"docs/secrets"}"#);
    assert_eq!(by_policy(rule, &Capabilities::all(), &call), Decision::Allow);
}

#[test]
fn a_rule_that_lifts_the_asking_must_fit_the_whole_argument() {
    let rule = "[[rule]]\neffect = 'allow'\nargs = { path = 'docs/*' }";
    let ask = tools(vec![grant("shell", &[], Effect::Ask)]);
    let check = |path: &str, expected| {
        let call = tool_call("shell", &format!(r#"{{"path":{path}}}"#));
        assert_eq!(by_policy(rule, &ask, &call), expected, "{path}");
    };
    check(r#""./docs/a""#, Decision::Allow);
    check(r#"["docs/a","docs/b"]"#, Decision::Allow);
    check(r#"["docs/a","src/b"]"#, asked("tool:shell"));
}

#[test]
fn a_policy_that_does_not_fit_is_refused_with_its_place() {
    let check = |text: &str, words: &str| {
        let error = Policy::parse(text).expect_err(text);
        assert!(error.to_string().contains(words), "{error}");
    };
    check("[[rule]]\neffect = 'permit'", "permit");
    check("[[rule]]\neffect = 'deny'\ncall = ['fork']", "call");
    check("[[rules]]\neffect = 'deny'", "rules");
    check("[[rule]]\ncalls = ['fork']", "effect");
    check("rule", "line 1");
    let unknown = Policy::parse("[[rule]]\neffect = 'deny'\ncalls = ['frok']");
    let expected = PolicyError::UnknownCall { rule: "1".to_owned(), call: "frok".to_owned() };
    assert_eq!(unknown, Err(expected));
    assert_eq!(Policy::parse(""), Ok(Policy::default()));
}

#[test]
fn a_policy_survives_being_written_and_read() {
    let text = "[[rule]]\nname = 'a'\neffect = 'ask'\ntools = ['x']\nargs = { path = '*' }\n";
    let policy = Policy::parse(text).expect("valid");
    let written = serde_json::to_string(&policy).expect("plain data");
    assert_eq!(serde_json::from_str::<Policy>(&written).expect("just written"), policy);
}
