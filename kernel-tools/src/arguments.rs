//! Reading a call's arguments into a type, and building the specs of the tools that ship.

use kernel_types::{JsonText, Millis, Recovery, ToolCallRequest, ToolSpec};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use crate::{ToolError, ToolErrorKind};

/// The spec of a tool of this crate: `properties` and `required` as in JSON Schema, no other arguments.
pub(crate) fn spec(
    name: &str,
    description: &str,
    properties: Value,
    required: &[&str],
    recovery: Recovery,
) -> ToolSpec {
    let input = serde_json::json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        input: JsonText::from(input),
        recovery,
        timeout: Millis(30_000),
        reads: Vec::new(),
        writes: Vec::new(),
    }
}

/// The arguments of a call of `tool` as `T`. The schema was checked before the call; this is for a caller that did not.
pub(crate) fn read<T: DeserializeOwned>(tool: &str, request: &ToolCallRequest) -> Result<T, ToolError> {
    if request.tool != tool {
        return Err(ToolError::new(ToolErrorKind::Unknown, &request.tool, "this driver has no such tool"));
    }
    request.args.read().map_err(|e| ToolError::new(ToolErrorKind::InvalidArguments, tool, e.to_string()))
}

/// A whole number. JSON Schema counts `3.0` as an integer, and models write it.
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let float = number.as_f64().filter(|f| f.fract() == 0.0 && (0.0..=9e15).contains(f));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and in range by the check"
    )]
    let whole = number.as_u64().or(float.map(|f| f as u64));
    whole.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is not a whole number from 0")))
}
