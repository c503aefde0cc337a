//! What the capabilities of a process say of a request, with no policy on top.
//!
//! Capabilities are a union: the most permissive matching grant counts, so that adding a grant never takes anything away
//! and a part of a parent's grants is never more than the whole.

use kernel_types::{Call, Capabilities, Decision, Effect, SyscallNo, ToolGrant};

use crate::pattern::{matches, normal_path, path_within};
use crate::request::{Relation, Request, ToolUse};
use crate::within::within;

/// Decides by the capabilities alone.
pub(crate) fn decide(
    capabilities: &Capabilities,
    request: &Request<'_>,
    tool: Option<&ToolUse<'_>>,
) -> Decision {
    let number = request.call.number();
    if needs_no_grant(number) {
        return Decision::Allow;
    }
    if !any(&capabilities.calls, number.name()) {
        return deny(format!("call:{number}"));
    }
    if let Some(tool) = tool {
        return decide_tool(capabilities, request, tool);
    }
    match request.call {
        Call::Spawn(spec) => match spec.capabilities.as_ref().map(|child| within(capabilities, child)) {
            Some(Err(excess)) => deny(excess),
            _ => Decision::Allow,
        },
        Call::Infer(args) => {
            let model = request.model.or(args.model.as_deref()).unwrap_or("default");
            if any(&capabilities.models, model) { Decision::Allow } else { deny(format!("model:{model}")) }
        }
        _ if is_aimed(request.call) => {
            decide_peer(&capabilities.peers, request.relation.unwrap_or(Relation::Other))
        }
        _ => Decision::Allow,
    }
}

/// Calls that only concern the caller and disclose nothing, and the end of a process.
const fn needs_no_grant(number: SyscallNo) -> bool {
    matches!(
        number,
        SyscallNo::Probe
            | SyscallNo::Exit
            | SyscallNo::ProcessInfo
            | SyscallNo::ToolList
            | SyscallNo::Now
            | SyscallNo::Random
    )
}

/// Calls that act on a process of the caller's choice, or on whichever processes know a topic's name. `wait` is none of them: it only ever
/// finds own children.
const fn is_aimed(call: &Call) -> bool {
    matches!(
        call,
        Call::Signal { .. }
            | Call::Send(_)
            | Call::SetPriority { .. }
            | Call::Publish { .. }
            | Call::Subscribe { .. }
    )
}

/// How far a grant of `peers` reaches, 0 being nowhere.
pub(crate) fn peer_reach(grant: &str) -> u8 {
    match grant {
        "*" => 3,
        "tree" => 2,
        "parent" => 1,
        _ => 0,
    }
}

fn decide_peer(peers: &[String], relation: Relation) -> Decision {
    let (needed, name) = match relation {
        Relation::Self_ | Relation::Child => return Decision::Allow,
        Relation::Parent => (1, "parent"),
        Relation::Descendant | Relation::Tree => (2, "tree"),
        Relation::Other => (3, "*"),
    };
    let reach = peers.iter().map(|grant| peer_reach(grant)).max().unwrap_or(0);
    if reach >= needed { Decision::Allow } else { deny(format!("peer:{name}")) }
}

fn decide_tool(capabilities: &Capabilities, request: &Request<'_>, tool: &ToolUse<'_>) -> Decision {
    let Some(grant) = best_grant(&capabilities.tools, tool) else {
        return deny(missing_tool(capabilities, tool));
    };
    // Only who may call a tool of that name is told that there is none.
    let Some(spec) = tool.spec.filter(|spec| spec.name == tool.name) else {
        return Decision::Reject { reason: format!("tool {} is not registered", tool.name) };
    };
    let sides = [
        ("read", &capabilities.read, &spec.reads, request.reads),
        ("write", &capabilities.write, &spec.writes, request.writes),
    ];
    for (what, granted, declared, further) in sides {
        let paths = match tool.paths(declared) {
            Ok(paths) => paths,
            Err(argument) => return deny(format!("{what}:(argument {argument} is not a path)")),
        };
        let missing =
            paths.iter().chain(further).find(|path| !granted.iter().any(|grant| path_within(grant, path)));
        if let Some(path) = missing {
            return deny(format!("{what}:{}", shown_path(path)));
        }
    }
    match grant.effect {
        Effect::Allow => Decision::Allow,
        Effect::Ask => Decision::Ask { rule: grant_name(grant) },
    }
}

/// The matching grant that asks least.
fn best_grant<'a>(grants: &'a [ToolGrant], tool: &ToolUse<'_>) -> Option<&'a ToolGrant> {
    let mut matching = grants.iter().filter(|grant| grant_matches(grant, tool));
    let first = matching.next()?;
    if first.effect == Effect::Allow {
        return Some(first);
    }
    Some(matching.find(|grant| grant.effect == Effect::Allow).unwrap_or(first))
}

fn grant_matches(grant: &ToolGrant, tool: &ToolUse<'_>) -> bool {
    matches(&grant.tool, tool.name)
        && grant.args.iter().all(|(name, pattern)| {
            tool.texts(name).is_some_and(|texts| texts.iter().all(|text| matches(pattern, text)))
        })
}

/// A grant as refusals and approvals name it: `tool:shell(command=git *)`.
pub(crate) fn grant_name(grant: &ToolGrant) -> String {
    name_of(&grant.tool, grant.args.iter().map(|(name, pattern)| (name.as_str(), pattern.clone())))
}

/// The grant that would be needed: the tool with the arguments that tell one call of it from another, which are its
/// paths and those that grants of this process constrain.
fn missing_tool(capabilities: &Capabilities, tool: &ToolUse<'_>) -> String {
    let declared = tool.spec.iter().flat_map(|spec| spec.reads.iter().chain(&spec.writes));
    let constrained =
        capabilities.tools.iter().filter(|g| matches(&g.tool, tool.name)).flat_map(|g| g.args.keys());
    let mut names: Vec<&str> = declared.chain(constrained).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    name_of(
        tool.name,
        names.into_iter().filter_map(|name| Some((name, tool.forms(name).into_iter().next()?))),
    )
}

fn name_of<'a>(tool: &str, args: impl Iterator<Item = (&'a str, String)>) -> String {
    let args: Vec<String> = args.map(|(name, value)| format!("{name}={}", shortened(value))).collect();
    if args.is_empty() { format!("tool:{tool}") } else { format!("tool:{tool}({})", args.join(", ")) }
}

fn shown_path(path: &str) -> String {
    match normal_path(path) {
        Some(normal) if normal.is_empty() => ".".to_owned(),
        Some(normal) => shortened(normal),
        None => shortened(path.to_owned()),
    }
}

/// A refusal is one line for people; the whole call is in the journal beside it.
fn shortened(value: String) -> String {
    const MOST: usize = 120;
    match value.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value,
    }
}

fn any(grants: &[String], name: &str) -> bool {
    grants.iter().any(|grant| matches(grant, name))
}

fn deny(missing: String) -> Decision {
    Decision::Deny { missing }
}
