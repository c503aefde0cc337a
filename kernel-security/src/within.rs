//! Whether a child's capabilities stay within its parent's: the check of every spawn.

use kernel_types::{Capabilities, Effect, ToolGrant};

use crate::grants::{grant_name, peer_reach};
use crate::pattern::{covers, path_covers};

/// Checks that `child` may do nothing that `parent` may not, field by field.
///
/// A grant of the child must be covered by a single grant of the parent, and what the parent must ask for, the child must
/// ask for too. So the relation is transitive: no descendant can do what an ancestor cannot.
///
/// # Errors
/// The first grant of the child that exceeds the parent's, as a refusal names it (`read:secrets`).
pub fn within(parent: &Capabilities, child: &Capabilities) -> Result<(), String> {
    check("call", &parent.calls, &child.calls, covers)?;
    if let Some(grant) = child.tools.iter().find(|grant| !parent.tools.iter().any(|p| tool_covers(p, grant)))
    {
        return Err(excess_of(parent, grant));
    }
    check("read", &parent.read, &child.read, path_covers)?;
    check("write", &parent.write, &child.write, path_covers)?;
    check("model", &parent.models, &child.models, covers)?;
    check("host", &parent.hosts, &child.hosts, covers)?;
    check("peer", &parent.peers, &child.peers, |p, c| peer_reach(p) >= peer_reach(c))
}

fn check(
    what: &str,
    parent: &[String],
    child: &[String],
    covers: impl Fn(&str, &str) -> bool,
) -> Result<(), String> {
    match child.iter().find(|grant| !parent.iter().any(|p| covers(p, grant))) {
        Some(excess) => Err(format!("{what}:{excess}")),
        None => Ok(()),
    }
}

/// Whether each call that `child` lets pass is let pass by `parent`, with no less asking.
fn tool_covers(parent: &ToolGrant, child: &ToolGrant) -> bool {
    let skips_asking = parent.effect == Effect::Ask && child.effect == Effect::Allow;
    !skips_asking && reaches(parent, child)
}

/// Whether each call that matches `child` matches `parent`, whatever a match means.
fn reaches(parent: &ToolGrant, child: &ToolGrant) -> bool {
    covers(&parent.tool, &child.tool)
        && parent
            .args
            .iter()
            .all(|(name, pattern)| child.args.get(name).is_some_and(|narrow| covers(pattern, narrow)))
}

fn excess_of(parent: &Capabilities, grant: &ToolGrant) -> String {
    let only_asking_lacks = parent.tools.iter().any(|p| reaches(p, grant));
    format!("{}{}", grant_name(grant), if only_asking_lacks { " without asking" } else { "" })
}
