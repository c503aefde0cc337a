//! Metadata as the JSON of PostgreSQL, whose texts hold no NUL.
//!
//! NUL is written as two characters U+0001, and U+0001 as U+0001 U+0002. So no text has a NUL, each is written in one
//! way, and their order by bytes stays what it was.

use crate::vectors::json;
use crate::{Metadata, Scalar};

const MARK: char = '\u{1}';
const NUL: char = '\u{1}';
const MARK_ITSELF: char = '\u{2}';

/// A text without NUL.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => escaped.extend([MARK, NUL]),
            MARK => escaped.extend([MARK, MARK_ITSELF]),
            other => escaped.push(other),
        }
    }
    escaped
}

/// What [`escape`] was given, if it was given anything.
fn unescape(escaped: &str) -> Result<String, String> {
    let mut text = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            MARK => match chars.next() {
                Some(NUL) => '\0',
                Some(MARK_ITSELF) => MARK,
                other => return Err(format!("{other:?} follows U+0001 in a text")),
            },
            other => other,
        });
    }
    Ok(text)
}

pub(super) fn write(metadata: &Metadata) -> String {
    json::write(&metadata.iter().map(|(name, value)| (escape(name), escaped(value))).collect())
}

/// What [`write`] wrote, or what is wrong with the text.
pub(super) fn read(text: &str) -> Result<Metadata, String> {
    let plain = |(name, value): (String, Scalar)| {
        let value = match value {
            Scalar::Text(text) => Scalar::Text(unescape(&text)?),
            other => other,
        };
        Ok((unescape(&name)?, value))
    };
    json::read(text)?.into_iter().map(plain).collect()
}

/// One value as JSON.
pub(super) fn value(value: &Scalar) -> String {
    json::write_value(&escaped(value))
}

fn escaped(value: &Scalar) -> Scalar {
    match value {
        Scalar::Text(text) => Scalar::Text(escape(text)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{escape, read, unescape, value, write};
    use crate::{Metadata, Scalar};

    const HARD: [&str; 9] =
        ["", "\0", "\0\0", "\0\u{1}", "\u{1}", "\u{1}\0", "\u{1}\u{2}", "\u{2}", "a\0\u{10ffff}"];

    #[test]
    fn texts_come_back_have_no_nul_and_keep_their_order() {
        for one in HARD {
            assert_eq!(unescape(&escape(one)).as_deref(), Ok(one));
            assert!(!escape(one).contains('\0'), "{one:?}");
            for other in HARD {
                assert_eq!(escape(one).cmp(&escape(other)), one.cmp(other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn metadata_comes_back() {
        let fields = HARD.map(|text| (text.to_owned(), Scalar::from(text)));
        let metadata: Metadata = fields.into_iter().chain([("n".to_owned(), Scalar::from(0.1))]).collect();
        assert_eq!(read(&write(&metadata)), Ok(metadata));
        assert_eq!(value(&Scalar::from("\0")), r#""\u0001\u0001""#);
    }

    #[test]
    fn a_mark_without_its_meaning_is_named() {
        for text in ["\u{1}", "\u{1}x"] {
            assert!(unescape(text).is_err_and(|what| what.contains("U+0001")), "{text:?}");
        }
    }
}
