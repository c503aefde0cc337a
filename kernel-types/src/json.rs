//! JSON as text: what travels through the kernel without being taken apart.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Valid JSON in one normal form: compact, object keys sorted, so that it hashes, encodes and replays byte for byte.
///
/// Within JSON it is written as the value it holds; within bincode as text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct JsonText(String);

impl JsonText {
    /// Reads one JSON value and keeps its normal form.
    ///
    /// # Errors
    /// The parser's error, with line and column.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Value>(text).map(Self::from)
    }

    /// Writes `value` as JSON.
    ///
    /// # Errors
    /// If `value` cannot be written as JSON (a map with keys that are not text).
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_value(value).map(Self::from)
    }

    /// The empty object, `{}`.
    #[must_use]
    pub fn empty_object() -> Self {
        Self("{}".to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the value as a type.
    ///
    /// # Errors
    /// If the value has another shape.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// The parsed value.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).expect("checked when made")
    }
}

impl From<Value> for JsonText {
    fn from(value: Value) -> Self {
        Self(value.to_string())
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Default for JsonText {
    fn default() -> Self {
        Self::empty_object()
    }
}

impl Serialize for JsonText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            // Value by value, without building any: most JSON is written into records as it came.
            let mut read = serde_json::Deserializer::from_str(&self.0);
            serde_transcode::transcode(&mut read, serializer)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Value::deserialize(deserializer).map(Self::from)
        } else {
            Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
        }
    }
}
