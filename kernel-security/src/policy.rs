//! The operator's rules on top of capabilities, and the decision that both make together.
//!
//! Pure functions of data: nothing here knows a clock, a store or a process table. A policy never grants what the
//! capabilities do not; it refuses more, asks more, or lifts the asking of a grant.

use std::collections::BTreeMap;

use kernel_types::{Capabilities, Decision, SyscallNo};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::grants;
use crate::pattern::matches;
use crate::request::{Request, ToolUse};

/// Why a policy does not load.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text is not a policy; the parser's words, with line and column.
    #[error("policy: {0}")]
    Syntax(String),
    /// A rule can never match.
    #[error("policy: rule {rule} names call {call:?}, which matches no syscall")]
    UnknownCall {
        /// The rule.
        rule: String,
        /// The pattern.
        call: String,
    },
}

/// What a matching rule means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleEffect {
    /// Go on without asking, if the capabilities let it.
    Allow,
    /// A human must approve first.
    Ask,
    /// Refuse, whatever other rules and the capabilities say.
    Deny,
}

/// One rule: what it matches and what a match means. Lists hold patterns in which `*` stands for any text; an empty list
/// matches everything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For journals and refusals; the rule's place from 1 without.
    #[serde(default)]
    pub name: String,
    /// What a match means.
    pub effect: RuleEffect,
    /// Syscalls by name.
    #[serde(default)]
    pub calls: Vec<String>,
    /// Tools by name. With any, only calls of tools match.
    #[serde(default)]
    pub tools: Vec<String>,
    /// For each named argument of a tool call, a pattern its value must match. With any, only calls of tools match.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
}

/// An ordered list of rules. A `deny` that matches wins wherever it stands; among the others the first match counts.
/// The default has no rules: capabilities decide alone.
///
/// Rules apply to every call but `exit`: a process can always end.
///
/// ```
/// use kernel_security::Policy;
///
/// let policy = Policy::parse(
///     r#"
///     [[rule]]
///     name = "no secrets"
///     effect = "deny"
///     calls = ["tool_call"]
///     args = { path = "secrets/*" }
///     "#,
/// )?;
/// assert_eq!(policy.rules().len(), 1);
/// # Ok::<(), kernel_security::PolicyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    #[serde(default, rename = "rule")]
    rules: Vec<Rule>,
}

impl Policy {
    /// A policy of these rules; nameless ones are named by their place.
    ///
    /// # Errors
    /// A rule that can never match, because it names a call that does not exist.
    pub fn new(rules: Vec<Rule>) -> Result<Self, PolicyError> {
        let mut policy = Self { rules };
        for (place, rule) in policy.rules.iter_mut().enumerate() {
            if rule.name.is_empty() {
                rule.name = (place + 1).to_string();
            }
            let unknown = |call: &&String| !SyscallNo::ALL.iter().any(|number| matches(call, number.name()));
            if let Some(call) = rule.calls.iter().find(unknown) {
                return Err(PolicyError::UnknownCall { rule: rule.name.clone(), call: call.clone() });
            }
        }
        Ok(policy)
    }

    /// Reads a policy from TOML: one `[[rule]]` table a rule, with the fields of [`Rule`].
    ///
    /// # Errors
    /// The first thing that does not fit, unknown fields included.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = toml::from_str(text).map_err(|e| PolicyError::Syntax(e.to_string()))?;
        Self::new(policy.rules)
    }

    /// The rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the rules make of a call that the capabilities let pass, as `granted` says.
    fn refine(&self, granted: Decision, number: SyscallNo, tool: Option<&ToolUse<'_>>) -> Decision {
        if number == SyscallNo::Exit {
            return granted;
        }
        let mut first = None;
        for rule in &self.rules {
            if (rule.effect == RuleEffect::Deny || first.is_none()) && rule.matches(number, tool) {
                if rule.effect == RuleEffect::Deny {
                    return Decision::Deny { missing: format!("rule:{}", rule.name) };
                }
                first = Some(rule);
            }
        }
        match first {
            None => granted,
            Some(rule) if rule.effect == RuleEffect::Ask => {
                Decision::Ask { rule: format!("rule:{}", rule.name) }
            }
            Some(_) => Decision::Allow,
        }
    }
}

impl Rule {
    fn matches(&self, number: SyscallNo, tool: Option<&ToolUse<'_>>) -> bool {
        let of_tools = !self.tools.is_empty() || !self.args.is_empty();
        any_or_empty(&self.calls, number.name())
            && match tool {
                None => !of_tools,
                Some(tool) => any_or_empty(&self.tools, tool.name) && self.args_match(tool),
            }
    }

    /// A rule that lifts the asking must fit the argument as a grant must; one that restricts fits if any way of reading
    /// the argument does.
    fn args_match(&self, tool: &ToolUse<'_>) -> bool {
        self.args.iter().all(|(name, pattern)| match self.effect {
            RuleEffect::Allow => {
                tool.texts(name).is_some_and(|texts| texts.iter().all(|text| matches(pattern, text)))
            }
            RuleEffect::Ask | RuleEffect::Deny => tool.forms(name).iter().any(|form| matches(pattern, form)),
        })
    }
}

/// Decides a request: the capabilities first, then the rules. What is missing is named: `call:spawn`,
/// `tool:write_file(path=notes.txt)`, `read:secrets/x`, `model:gpt-5`, `peer:tree`, `rule:no secrets`.
///
/// ```
/// use kernel_security::{Policy, Request, decide};
/// use kernel_types::{Call, Capabilities, Decision};
///
/// let request = Request::new(&Call::Fork);
/// let nothing = Capabilities::default();
/// let refused = decide(&Policy::default(), &nothing, &request);
/// assert_eq!(refused, Decision::Deny { missing: "call:fork".to_owned() });
///
/// let some = Capabilities { calls: vec!["fork".to_owned()], ..nothing };
/// assert_eq!(decide(&Policy::default(), &some, &request), Decision::Allow);
/// ```
#[must_use]
pub fn decide(policy: &Policy, capabilities: &Capabilities, request: &Request<'_>) -> Decision {
    let tool = match ToolUse::of(request) {
        Ok(tool) => tool,
        Err(reason) => return Decision::Reject { reason },
    };
    match grants::decide(capabilities, request, tool.as_ref()) {
        granted @ (Decision::Allow | Decision::Ask { .. }) => {
            policy.refine(granted, request.call.number(), tool.as_ref())
        }
        refused => refused,
    }
}

fn any_or_empty(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name))
}
