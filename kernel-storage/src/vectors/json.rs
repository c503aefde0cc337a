//! Metadata as canonical JSON: names in order, whole numbers without a point, no white space. What a database stores.

use serde_json::{Map, Number, Value};

use super::item::{Metadata, Scalar};

/// Beyond this not every whole number is an `f64`.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

pub(crate) fn write(metadata: &Metadata) -> String {
    let fields = metadata.iter().map(|(name, value)| (name.clone(), value_of(value)));
    Value::Object(fields.collect::<Map<_, _>>()).to_string()
}

/// One value as it stands in what [`write`] writes.
#[cfg(feature = "postgres")]
pub(crate) fn write_value(value: &Scalar) -> String {
    value_of(value).to_string()
}

/// What [`write`] wrote, or what is wrong with the text.
pub(crate) fn read(text: &str) -> Result<Metadata, String> {
    let fields: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let scalar = |(name, value): (String, Value)| {
        let scalar = match value {
            Value::String(text) => Scalar::Text(text),
            Value::Bool(flag) => Scalar::Flag(flag),
            Value::Number(number) => Scalar::Number(number.as_f64().unwrap_or(f64::NAN)),
            other => return Err(format!("field {name:?} is {other}")),
        };
        Ok((name, scalar))
    };
    fields.into_iter().map(scalar).collect()
}

fn value_of(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Text(text) => Value::String(text.clone()),
        Scalar::Flag(flag) => Value::Bool(*flag),
        Scalar::Number(number) => number_of(*number),
    }
}

fn number_of(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= LARGEST_WHOLE {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and below 2^53")]
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::{read, write};
    use crate::{Metadata, Scalar};

    fn metadata(fields: &[(&str, Scalar)]) -> Metadata {
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let hard = metadata(&[
            ("", Scalar::from("\0\"\u{10ffff}")),
            ("large", Scalar::from(1e300)),
            ("small", Scalar::from(5e-324)),
            ("third", Scalar::from(1.0 / 3.0)),
            ("whole", Scalar::from(-9_007_199_254_740_992.0)),
            ("flag", Scalar::from(true)),
        ]);
        assert_eq!(read(&write(&hard)).unwrap(), hard);
    }

    #[test]
    fn there_is_one_text_for_one_value() {
        let fields =
            metadata(&[("b", Scalar::from(2.0)), ("a", Scalar::from("x")), ("c", Scalar::from(-0.0))]);
        assert_eq!(write(&fields), r#"{"a":"x","b":2,"c":0}"#);
    }

    #[test]
    fn what_is_not_flat_is_named() {
        for text in [r#"{"a":null}"#, r#"{"a":[1]}"#, r#"{"a":{}}"#] {
            let error = read(text).unwrap_err();
            assert!(error.contains("\"a\""), "{error}");
        }
        assert!(read("[]").is_err() && read("").is_err());
    }
}
