//! What a decision is about: one call with what the kernel knows of it.

use kernel_types::{Call, ToolSpec};
use serde_json::{Map, Value};

use crate::pattern::normal_path;

/// What the process a call is aimed at is to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Relation {
    /// The caller itself.
    Self_,
    /// Its own child.
    Child,
    /// Further down its subtree.
    Descendant,
    /// Its parent.
    Parent,
    /// Another process of the same tree.
    Tree,
    /// Any other process, and a pid that names none.
    Other,
}

/// A call to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The call.
    pub call: &'a Call,
    /// For `tool_call`: the tool as registered; `None` if there is none of that name, which is refused.
    pub tool: Option<&'a ToolSpec>,
    /// Paths the call reads, beside those in the arguments that the tool declares as paths it reads, which are looked up
    /// here (absent ones by their default in the tool's schema).
    pub reads: &'a [String],
    /// Paths the call writes, likewise.
    pub writes: &'a [String],
    /// For `infer`: the model that will answer; without, the one the call names.
    pub model: Option<&'a str>,
    /// For calls aimed at a process: what that process is to the caller; [`Relation::Other`] without.
    pub relation: Option<Relation>,
}

impl<'a> Request<'a> {
    /// A request about `call` and nothing else.
    #[must_use]
    pub const fn new(call: &'a Call) -> Self {
        Self { call, tool: None, reads: &[], writes: &[], model: None, relation: None }
    }
}

/// The tool call of a request, its arguments taken apart once.
pub(crate) struct ToolUse<'a> {
    pub(crate) name: &'a str,
    pub(crate) spec: Option<&'a ToolSpec>,
    args: Map<String, Value>,
}

impl<'a> ToolUse<'a> {
    /// The tool call of `request`, if it is one; an error if its arguments are no object.
    pub(crate) fn of(request: &Request<'a>) -> Result<Option<Self>, String> {
        let Call::ToolCall(call) = request.call else { return Ok(None) };
        let Value::Object(mut args) = call.args.value() else {
            return Err(format!("the arguments of tool {} are not an object", call.tool));
        };
        if let Some(spec) = request.tool {
            fill_in_paths(&mut args, spec);
        }
        Ok(Some(Self { name: &call.tool, spec: request.tool, args }))
    }

    /// What a grant's pattern is compared with: all of these texts must match. Paths are in normal form, `.` for the
    /// workspace; text is taken as it is, everything else as compact JSON. `None` if the argument is absent or a path
    /// that may never be granted.
    pub(crate) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let value = self.args.get(name)?;
        if !self.is_path(name) {
            return Some(vec![text_of(value)]);
        }
        let paths = paths_of(value)?;
        paths.iter().map(|path| normal_path(path).map(or_dot)).collect()
    }

    /// What a refusing rule's pattern is compared with: one match among these texts is enough, so that no way of writing
    /// an argument gets around the rule.
    pub(crate) fn forms(&self, name: &str) -> Vec<String> {
        let Some(value) = self.args.get(name) else { return Vec::new() };
        let mut forms = vec![text_of(value)];
        if let Value::Array(items) = value {
            forms.extend(items.iter().map(text_of));
        }
        if self.is_path(name) {
            let normal: Vec<String> = forms.iter().filter_map(|form| normal_path(form)).map(or_dot).collect();
            forms.extend(normal);
        }
        forms
    }

    /// The paths in the arguments `names`. The error is the name of an argument that holds something else than a path or a
    /// list of paths.
    pub(crate) fn paths(&self, names: &[String]) -> Result<Vec<String>, String> {
        let mut paths = Vec::new();
        for name in names {
            if let Some(value) = self.args.get(name) {
                paths
                    .extend(paths_of(value).ok_or_else(|| name.clone())?.iter().map(|&path| path.to_owned()));
            }
        }
        Ok(paths)
    }

    fn is_path(&self, name: &str) -> bool {
        self.spec.is_some_and(|spec| spec.reads.iter().chain(&spec.writes).any(|path| path == name))
    }
}

/// Puts the defaults of the tool's schema in the place of absent paths: what the tool will take them for is decided about,
/// not that they are absent. An absent path without a default names nothing.
fn fill_in_paths(args: &mut Map<String, Value>, spec: &ToolSpec) {
    let mut schema = None;
    for name in spec.reads.iter().chain(&spec.writes) {
        if !args.contains_key(name) {
            let schema = schema.get_or_insert_with(|| spec.input.value());
            let default =
                schema.get("properties").and_then(|all| all.get(name)).and_then(|one| one.get("default"));
            if let Some(default) = default {
                args.insert(name.clone(), default.clone());
            }
        }
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn paths_of(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(path) => Some(vec![path]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn or_dot(normal: String) -> String {
    if normal.is_empty() { ".".to_owned() } else { normal }
}
