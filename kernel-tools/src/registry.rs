//! The registry: all tools of a kernel, by name, with their compiled schemas.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kernel_types::{JsonText, ToolCallRequest, ToolSpec};

use crate::schema::Arguments;
use crate::{CallContext, Driver, ToolError, ToolErrorKind, ToolOutput, ToolPaths};

/// How many similar names an unknown tool is answered with.
const SUGGESTIONS: usize = 3;
/// Names less similar than this (Jaro-Winkler, 0 to 1) are not suggested.
const SIMILAR: f64 = 0.75;

/// The tools of a kernel.
///
/// A driver's specs are read once, when it is registered: whatever it says later, models see what was checked.
///
/// ```
/// use std::sync::Arc;
/// use kernel_tools::{Calculator, Registry};
/// use kernel_types::JsonText;
///
/// let mut registry = Registry::new();
/// registry.register(Arc::new(Calculator::new()))?;
/// assert!(registry.check("calculator", &JsonText::parse(r#"{"expression":"6*7"}"#)?).is_ok());
/// let wrong = registry.check("calculator", &JsonText::parse(r#"{"expression":42}"#)?).unwrap_err();
/// assert_eq!(wrong.to_string(), r#"calculator: argument /expression: 42 is not of type "string""#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    tools: BTreeMap<String, Arc<Tool>>,
}

struct Tool {
    spec: ToolSpec,
    arguments: Arguments,
    driver: Arc<dyn Driver>,
}

impl Registry {
    /// No tools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a driver's tools: all of them or, on an error, none.
    ///
    /// # Errors
    /// [`ToolErrorKind::InvalidSpec`] if a name is malformed or taken, an input schema is not a JSON Schema of an object,
    /// or a path argument is not a string property of it. Schemas that refer to other documents are refused.
    pub fn register(&mut self, driver: Arc<dyn Driver>) -> Result<(), ToolError> {
        let mut added = BTreeMap::new();
        for spec in driver.tools() {
            let arguments = Arguments::of(&spec)?;
            let name = spec.name.clone();
            let tool = Arc::new(Tool { spec, arguments, driver: driver.clone() });
            if self.tools.contains_key(&name) || added.insert(name.clone(), tool).is_some() {
                return Err(ToolError::new(
                    ToolErrorKind::InvalidSpec,
                    name,
                    "a tool of this name is registered",
                ));
            }
        }
        self.tools.append(&mut added);
        Ok(())
    }

    /// All tools, sorted by name, so that a prompt that lists them is the same from call to call.
    pub fn specs(&self) -> impl ExactSizeIterator<Item = &ToolSpec> {
        self.tools.values().map(|tool| &tool.spec)
    }

    /// One tool.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.tools.get(name).map(|tool| &tool.spec)
    }

    /// Whether a call is well formed.
    ///
    /// # Errors
    /// [`ToolErrorKind::Unknown`] names the closest tools, [`ToolErrorKind::InvalidArguments`] the JSON pointer of the
    /// first wrong argument and the reason.
    pub fn check(&self, name: &str, args: &JsonText) -> Result<(), ToolError> {
        self.tool(name)?.arguments.check(args)
    }

    /// The paths a call names, in normal form (`./a//b` is `a/b`). An argument left out counts as its default in the
    /// schema.
    ///
    /// # Errors
    /// As [`Registry::check`]; a path that is absolute or holds `..` is an invalid argument.
    pub fn paths(&self, name: &str, args: &JsonText) -> Result<ToolPaths, ToolError> {
        self.tool(name)?.arguments.paths(args)
    }

    /// Checks a call once more and carries it out.
    ///
    /// # Errors
    /// As [`Registry::check`], or what the driver answers.
    ///
    /// # Cancellation
    /// That of the driver. Deadlines are the caller's: this does not watch [`CallContext::timeout`].
    pub async fn call(
        &self,
        request: &ToolCallRequest,
        context: &CallContext,
    ) -> Result<ToolOutput, ToolError> {
        let tool = self.tool(&request.tool)?;
        tool.arguments.check(&request.args)?;
        tool.arguments.paths(&request.args)?;
        tool.driver.call(request, context).await
    }

    fn tool(&self, name: &str) -> Result<&Tool, ToolError> {
        self.tools.get(name).map(Arc::as_ref).ok_or_else(|| {
            let shown: String = name.chars().take(100).collect();
            ToolError::new(
                ToolErrorKind::Unknown,
                shown,
                format!("there is no such tool; {}", self.advice(name)),
            )
        })
    }

    fn advice(&self, name: &str) -> String {
        if self.tools.is_empty() {
            return "none are registered".to_owned();
        }
        let similarity = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
        let mut known: Vec<(f64, &str)> =
            self.tools.keys().map(|known| (similarity(known), known.as_str())).collect();
        known.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let closest: Vec<&str> = known
            .iter()
            .filter(|(similarity, _)| *similarity >= SIMILAR)
            .take(SUGGESTIONS)
            .map(|k| k.1)
            .collect();
        if closest.is_empty() {
            return format!("there are {}", self.tools.keys().cloned().collect::<Vec<_>>().join(", "));
        }
        format!("the closest are {}", closest.join(", "))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.tools.keys()).finish()
    }
}
