//! Capabilities of children against those of their parents.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use kernel_security::{Policy, Relation, Request, decide, within};
use kernel_types::{
    Call, Capabilities, Decision, Effect, InferArgs, JsonText, Millis, Pid, Recovery, SendArgs, Spec,
    ToolCallArgs, ToolGrant, ToolSpec,
};

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

fn tool(tool: &str, args: &[(&str, &str)], effect: Effect) -> ToolGrant {
    let args = args.iter().map(|&(name, pattern)| (name.to_owned(), pattern.to_owned())).collect();
    ToolGrant { tool: tool.to_owned(), args, effect }
}

#[test]
fn nothing_is_within_anything_and_anything_within_itself_and_all() {
    let some = Capabilities {
        calls: list(&["infer", "page_*"]),
        tools: vec![tool("read_*", &[("path", "docs*")], Effect::Ask)],
        read: list(&["docs", "./a//b", ".."]),
        write: list(&["out"]),
        models: list(&["claude-*"]),
        hosts: list(&["*.example.org"]),
        peers: list(&["parent"]),
    };
    for caps in [&Capabilities::default(), &some, &Capabilities::all()] {
        assert_eq!(within(caps, caps), Ok(()));
        assert_eq!(within(caps, &Capabilities::default()), Ok(()));
        assert_eq!(within(&Capabilities::all(), caps), Ok(()));
    }
    assert!(within(&some, &Capabilities::all()).is_err());
}

#[test]
fn the_first_excess_is_named_in_every_field() {
    let parent = Capabilities {
        calls: list(&["page_*"]),
        tools: vec![tool("write_file", &[("path", "out/*")], Effect::Allow), tool("shell", &[], Effect::Ask)],
        read: list(&["docs"]),
        write: list(&["out"]),
        models: list(&["claude-*"]),
        hosts: list(&["a.org"]),
        peers: list(&["parent"]),
    };
    let with_tool = |grant| Capabilities { tools: vec![grant], ..Capabilities::default() };
    let none = Capabilities::default;
    let cases = [
        (Capabilities { calls: list(&["page_read", "spawn"]), ..none() }, Some("call:spawn")),
        (Capabilities { calls: list(&["page_read"]), ..none() }, None),
        (with_tool(tool("write_file", &[("path", "out/a*")], Effect::Allow)), None),
        (with_tool(tool("write_file", &[("path", "out/a*")], Effect::Ask)), None),
        (with_tool(tool("write_file", &[], Effect::Ask)), Some("tool:write_file")),
        (with_tool(tool("write_file", &[("path", "*")], Effect::Ask)), Some("tool:write_file(path=*)")),
        (with_tool(tool("write_*", &[("path", "out/a")], Effect::Ask)), Some("tool:write_*(path=out/a)")),
        (with_tool(tool("shell", &[], Effect::Ask)), None),
        (with_tool(tool("shell", &[("command", "ls")], Effect::Ask)), None),
        (with_tool(tool("shell", &[], Effect::Allow)), Some("tool:shell without asking")),
        (with_tool(tool("shell", &[("c", "ls")], Effect::Allow)), Some("tool:shell(c=ls) without asking")),
        (Capabilities { read: list(&["docs/a", "secrets"]), ..none() }, Some("read:secrets")),
        (Capabilities { read: list(&["docs/*.md", "./docs/x"]), ..none() }, None),
        (Capabilities { read: list(&["doc*"]), ..none() }, Some("read:doc*")),
        (Capabilities { read: list(&["."]), ..none() }, Some("read:.")),
        (Capabilities { write: list(&["docs"]), ..none() }, Some("write:docs")),
        (Capabilities { models: list(&["claude-x", "gpt-5"]), ..none() }, Some("model:gpt-5")),
        (Capabilities { hosts: list(&["*"]), ..none() }, Some("host:*")),
        (Capabilities { peers: list(&["tree"]), ..none() }, Some("peer:tree")),
        (Capabilities { peers: list(&["parent"]), ..none() }, None),
    ];
    for (child, excess) in cases {
        assert_eq!(within(&parent, &child).err().as_deref(), excess, "{child:?}");
    }
}

/// Draws capabilities and requests from small alphabets, so that they often meet.
struct Draw(StdRng);

impl Draw {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.choose(&mut self.0).expect("not empty")
    }

    fn some(&mut self, of: &[&str]) -> Vec<String> {
        (0..self.0.random_range(0..3)).map(|_| self.one(of).to_owned()).collect()
    }

    fn effect(&mut self) -> Effect {
        if self.0.random() { Effect::Allow } else { Effect::Ask }
    }

    fn grant(&mut self) -> ToolGrant {
        let name = self.one(&["*", "read_*", "read_file", "write_file", "*_file"]).to_owned();
        let mut grant = tool(&name, &[], self.effect());
        for name in ["path", "mode"] {
            if self.0.random_ratio(1, 3) {
                let pattern = self.one(&["*", "a*", "a/*", "a/b", "./a", "*b"]).to_owned();
                grant.args.insert(name.to_owned(), pattern);
            }
        }
        grant
    }

    fn capabilities(&mut self) -> Capabilities {
        const PATHS: &[&str] = &[".", "*", "a", "a/b", "a/*", "./a/", "*b", "..", "/a", "", "a*"];
        Capabilities {
            calls: self.some(&["*", "tool_call", "infer", "s*", "spawn", "send", "wait"]),
            tools: (0..self.0.random_range(0..4)).map(|_| self.grant()).collect(),
            read: self.some(PATHS),
            write: self.some(PATHS),
            models: self.some(&["*", "m*", "m-1", "x"]),
            hosts: Vec::new(),
            peers: self.some(&["*", "tree", "parent", "?"]),
        }
    }

    /// A child that often is within its parent: some grants of the parent, some dropped, some changed.
    fn child(&mut self, parent: &Capabilities) -> Capabilities {
        let other = self.capabilities();
        let mut child = parent.clone();
        for (grants, others) in [
            (&mut child.calls, other.calls),
            (&mut child.read, other.read),
            (&mut child.write, other.write),
            (&mut child.models, other.models),
            (&mut child.peers, other.peers),
        ] {
            grants.retain(|_| self.0.random_ratio(2, 3));
            if self.0.random_ratio(1, 4) {
                grants.extend(others);
            }
        }
        child.tools.retain(|_| self.0.random_ratio(2, 3));
        if self.0.random_ratio(1, 3) {
            child.tools.extend(other.tools);
        }
        if self.0.random_ratio(1, 3) {
            child.tools.iter_mut().for_each(|grant| grant.effect = Effect::Ask);
        }
        child
    }

    fn call(&mut self) -> Call {
        let pid = Pid::from_parts(1, 1);
        match self.0.random_range(0..5) {
            0 => Call::Infer(InferArgs::default()),
            1 => Call::Send(SendArgs { to: pid, body: String::new() }),
            2 => Call::Spawn(Box::new(Spec { capabilities: Some(self.capabilities()), ..Spec::default() })),
            3 => Call::Sleep { ms: Millis(1) },
            _ => {
                let path = self.one(&["a", "a/b", "./a/b", "b", ".", "..", "/a", "a/c/b"]);
                let mode = self.one(&["a", "b", "a/b"]);
                let args = if self.0.random_ratio(1, 8) {
                    format!(r#"{{"path":["{path}","a"]}}"#)
                } else {
                    format!(r#"{{"path":"{path}","mode":"{mode}"}}"#)
                };
                let tool = self.one(&["read_file", "write_file"]).to_owned();
                let args = JsonText::parse(&args).expect("valid");
                Call::ToolCall(ToolCallArgs { tool, args, timeout: None })
            }
        }
    }
}

fn spec(name: &str) -> ToolSpec {
    let path = list(&["path"]);
    let (reads, writes) = if name == "read_file" { (path, vec![]) } else { (vec![], path) };
    ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        input: JsonText::empty_object(),
        recovery: Recovery::Reread,
        timeout: Millis(1),
        reads,
        writes,
    }
}

fn leniency(decision: &Decision) -> u8 {
    match decision {
        Decision::Allow => 2,
        Decision::Ask { .. } => 1,
        _ => 0,
    }
}

#[test]
fn no_descendant_can_do_what_an_ancestor_cannot() {
    let policies = [
        "",
        "[[rule]]\neffect = 'ask'\ntools = ['write_*']",
        "[[rule]]\neffect = 'allow'\nargs = { path = 'a*' }\n[[rule]]\neffect = 'deny'\nargs = { mode = 'b' }",
    ]
    .map(|text| Policy::parse(text).expect("valid"));
    let (mut generations, mut allowed) = (0, 0);
    for seed in 0..1500 {
        let mut draw = Draw(StdRng::seed_from_u64(seed));
        let mut line = vec![draw.capabilities()];
        for _ in 0..12 {
            let child = draw.child(&line[line.len() - 1]);
            if within(&line[line.len() - 1], &child).is_ok() {
                line.push(child);
            }
        }
        generations += line.len() - 1;
        for _ in 0..30 {
            let call = draw.call();
            let spec = match &call {
                Call::ToolCall(args) => Some(spec(&args.tool)),
                _ => None,
            };
            let relation =
                [Relation::Child, Relation::Parent, Relation::Tree, Relation::Descendant, Relation::Other]
                    .choose(&mut draw.0)
                    .copied();
            let model = Some(draw.one(&["m-1", "m-2", "x", "y"]));
            let request = Request { tool: spec.as_ref(), model, relation, ..Request::new(&call) };
            let policy = policies.choose(&mut draw.0).expect("not empty");
            let decisions: Vec<Decision> = line.iter().map(|caps| decide(policy, caps, &request)).collect();
            allowed += decisions.iter().filter(|decision| decision.is_allow()).count();
            for (elder, decision) in decisions.iter().enumerate() {
                for (younger, later) in decisions.iter().enumerate().skip(elder) {
                    assert!(
                        leniency(later) <= leniency(decision),
                        "seed {seed}: {call:?}\n{:?}\n{decision:?}\n{:?}\n{later:?}",
                        line[elder],
                        line[younger],
                    );
                }
            }
        }
    }
    assert!(generations > 2500 && allowed > 5000, "too little was tried: {generations}, {allowed}");
}

#[test]
fn being_within_is_transitive() {
    let mut tried = 0;
    for seed in 0..8_000 {
        let mut draw = Draw(StdRng::seed_from_u64(seed));
        let parent = draw.capabilities();
        let child = draw.child(&parent);
        let grandchild = draw.child(&child);
        if within(&parent, &child).is_ok() && within(&child, &grandchild).is_ok() {
            tried += 1;
            assert_eq!(
                within(&parent, &grandchild),
                Ok(()),
                "seed {seed}: {parent:?}\n{child:?}\n{grandchild:?}"
            );
        }
    }
    assert!(tried > 400, "too little was tried: {tried}");
}
