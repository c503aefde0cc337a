//! Agent profiles: what kind of agent to spawn, in TOML. The kernel knows only [`Spec`]s; a profile makes them.
//!
//! `profiles/research.toml` ships and shows all keys.

use std::path::Path;

use kernel_types::{Budget, Capabilities, JsonText, Spec, Tokens, ToolGrant};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The profiles that ship: name and text.
const SHIPPED: &[(&str, &str)] = &[("research", include_str!("../profiles/research.toml"))];

/// Why there is no profile.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// None of that name ships, and it is not the path of a file either.
    #[error("no agent profile {name:?}: there is {known}, or give the path of a .toml file", known = Profile::names().join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// The file cannot be read.
    #[error("agent profile {path}: {reason}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The text is not a profile; the parser's words, with line and column.
    #[error("agent profile: {0}")]
    Syntax(String),
}

/// A kind of agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// For people.
    pub name: String,
    /// For people: what it does, in a line.
    #[serde(default)]
    pub description: String,
    /// The program it runs.
    #[serde(default = "react")]
    pub program: String,
    /// Instructions for the model.
    #[serde(default)]
    pub system: String,
    /// Arguments of the program, an object.
    #[serde(default)]
    pub args: JsonText,
    /// What it may do; everything without.
    #[serde(default)]
    pub capabilities: Option<Capabilities>,
    /// Its limits.
    #[serde(default)]
    pub budget: Budget,
    /// The model; the kernel's default without.
    #[serde(default)]
    pub model: Option<String>,
    /// Tokens of its context window; the model's without.
    #[serde(default)]
    pub window: Option<Tokens>,
}

fn react() -> String {
    "react".to_owned()
}

impl Profile {
    /// The names of the profiles that ship.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        SHIPPED.iter().map(|(name, _)| *name).collect()
    }

    /// The profile that ships under that name, else the one in the file at that path.
    ///
    /// # Errors
    /// A [`ProfileError`], in words for a person.
    pub fn find(name: &str) -> Result<Self, ProfileError> {
        if let Some((_, text)) = SHIPPED.iter().find(|(known, _)| *known == name) {
            return Self::parse(text);
        }
        let path = Path::new(name);
        let is_path =
            path.extension().is_some_and(|ending| ending == "toml") || path.components().count() > 1;
        if !is_path {
            return Err(ProfileError::Unknown { name: name.to_owned() });
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| ProfileError::Read { path: name.to_owned(), reason: error.to_string() })?;
        Self::parse(&text)
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// [`ProfileError::Syntax`] names the first thing that does not fit, with its line.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        toml::from_str(text).map_err(|error| ProfileError::Syntax(error.to_string()))
    }

    /// The process that carries `task` out.
    #[must_use]
    pub fn spec(&self, task: &str) -> Spec {
        Spec {
            name: self.name.clone(),
            task: task.to_owned(),
            program: self.program.clone(),
            args: self.args.clone(),
            budget: self.budget,
            capabilities: self.capabilities.clone(),
            system: self.system.clone(),
            model: self.model.clone(),
            window: self.window,
            ..Spec::default()
        }
    }

    /// The same profile, allowed to write in the workspace with `write_file`.
    #[must_use]
    pub fn writing(mut self) -> Self {
        if let Some(capabilities) = &mut self.capabilities {
            capabilities.tools.push(ToolGrant { tool: "write_file".to_owned(), ..ToolGrant::default() });
            capabilities.write.push(".".to_owned());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_profile_loads_under_its_name() {
        for name in Profile::names() {
            assert_eq!(Profile::find(name).unwrap().name, name);
        }
    }

    #[test]
    fn research_may_read_and_not_write_unless_told() {
        let may_write = |profile: Profile| {
            let capabilities = profile.capabilities.unwrap();
            (
                capabilities.tools.iter().any(|grant| grant.tool == "write_file"),
                !capabilities.write.is_empty(),
            )
        };
        let research = Profile::find("research").unwrap();
        assert_eq!(may_write(research.clone()), (false, false));
        assert_eq!(may_write(research.writing()), (true, true));
    }

    #[test]
    fn what_is_not_a_profile_says_why() {
        let error = Profile::find("reserch").unwrap_err().to_string();
        assert_eq!(
            error,
            r#"no agent profile "reserch": there is research, or give the path of a .toml file"#
        );
        let error = Profile::find("none/such.toml").unwrap_err().to_string();
        assert!(error.starts_with("agent profile none/such.toml: "), "{error}");
        let error = Profile::parse("name = \"a\"\ncolour = 1").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("colour"), "{error}");
    }

    #[test]
    fn a_profile_becomes_a_spec() {
        let text = "name = \"a\"\nargs = { max_turns = 2 }\nbudget = { steps = 5 }\nwindow = 900";
        let spec = Profile::parse(text).unwrap().spec("do it");
        assert_eq!(
            (spec.task.as_str(), spec.program.as_str(), spec.args.as_str()),
            ("do it", "react", r#"{"max_turns":2}"#)
        );
        assert_eq!((spec.budget.steps, spec.window, spec.capabilities), (Some(5), Some(Tokens(900)), None));
    }
}
