//! A tool's spec, checked and compiled once when the tool is registered.

use jsonschema::Validator;
use kernel_types::{JsonText, ToolSpec};
use serde_json::Value;

use crate::path::normalize;
use crate::{ToolError, ToolErrorKind, ToolPaths};

/// A tool's name is at most this long.
const MAX_NAME: usize = 64;
/// A validator quotes the wrong value in its message; of a long one, this many characters are kept.
const MAX_REASON: usize = 300;

/// The arguments of one tool: what is valid, and which of them are paths.
#[derive(Debug)]
pub(crate) struct Arguments {
    tool: String,
    validator: Validator,
    reads: Vec<PathArgument>,
    writes: Vec<PathArgument>,
}

/// A string argument that names a path.
#[derive(Debug)]
struct PathArgument {
    name: String,
    /// What the tool takes when the argument is left out.
    default: Option<String>,
}

impl Arguments {
    /// Checks a spec and compiles its schema.
    pub(crate) fn of(spec: &ToolSpec) -> Result<Self, ToolError> {
        let invalid = |message: String| ToolError::new(ToolErrorKind::InvalidSpec, &spec.name, message);
        check_name(&spec.name).map_err(invalid)?;
        let schema = spec.input.value();
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err(invalid("the input schema must have \"type\": \"object\" at its top".to_owned()));
        }
        let validator = jsonschema::draft202012::options()
            .build(&schema)
            .map_err(|e| invalid(format!("not a JSON Schema: {e}")))?;
        let paths = |names: &[String]| {
            names.iter().map(|name| path_argument(&schema, name)).collect::<Result<_, _>>()
        };
        Ok(Self {
            tool: spec.name.clone(),
            validator,
            reads: paths(&spec.reads).map_err(invalid)?,
            writes: paths(&spec.writes).map_err(invalid)?,
        })
    }

    /// Whether the arguments are valid; the error names the first place and what is wrong there.
    pub(crate) fn check(&self, args: &JsonText) -> Result<(), ToolError> {
        self.validator.validate(&args.value()).map_err(|error| {
            let pointer = error.instance_path().to_string();
            let place =
                if pointer.is_empty() { "arguments".to_owned() } else { format!("argument {pointer}") };
            let reason = error.to_string();
            let shown: String = reason.chars().take(MAX_REASON).collect();
            let cut = if shown.len() < reason.len() { "..." } else { "" };
            self.refuse(format!("{place}: {shown}{cut}"))
        })
    }

    /// The paths that valid arguments name, in normal form.
    pub(crate) fn paths(&self, args: &JsonText) -> Result<ToolPaths, ToolError> {
        if self.reads.is_empty() && self.writes.is_empty() {
            return Ok(ToolPaths::default());
        }
        let args = args.value();
        let of = |arguments: &[PathArgument]| -> Result<Vec<String>, ToolError> {
            arguments.iter().filter_map(|argument| self.path(argument, &args).transpose()).collect()
        };
        Ok(ToolPaths { reads: of(&self.reads)?, writes: of(&self.writes)? })
    }

    fn path(&self, argument: &PathArgument, args: &Value) -> Result<Option<String>, ToolError> {
        let path = match args.get(&argument.name) {
            None => argument.default.as_deref(),
            Some(Value::String(path)) => Some(path.as_str()),
            Some(_) => return Err(self.refuse(format!("argument /{} must be a string", argument.name))),
        };
        path.map(normalize).transpose().map_err(|e| self.refuse(format!("argument /{}: {e}", argument.name)))
    }

    fn refuse(&self, message: String) -> ToolError {
        ToolError::new(ToolErrorKind::InvalidArguments, &self.tool, message)
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(format!("a tool's name is 1 to {MAX_NAME} of a-z A-Z 0-9 _ -, this one has {} bytes", name.len()))
}

/// A path must be a declared string: else a call could carry it where the capability check does not look.
fn path_argument(schema: &Value, name: &str) -> Result<PathArgument, String> {
    let property = schema.get("properties").and_then(|properties| properties.get(name));
    let Some(property) = property else {
        return Err(format!("the path argument {name:?} is not among the schema's properties"));
    };
    if property.get("type").and_then(Value::as_str) != Some("string") {
        return Err(format!("the path argument {name:?} must have \"type\": \"string\" in the schema"));
    }
    let default = match property.get("default") {
        None => None,
        Some(Value::String(default)) => Some(normalize(default).map_err(|e| e.to_string())?),
        Some(_) => return Err(format!("the default of the path argument {name:?} must be a string")),
    };
    Ok(PathArgument { name: name.to_owned(), default })
}
