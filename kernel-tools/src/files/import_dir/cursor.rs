//! Where an import goes on: a path, how far into the file, and how much was imported before.

use std::fmt;
use std::str::FromStr;

use kernel_types::Hash;

/// The place of the next page. It is a place in an order and gives access to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cursor {
    /// The file the next page is of, or the first path not looked at yet.
    pub(super) path: String,
    /// The byte of the file at which the next page begins.
    pub(super) offset: usize,
    /// The hash of the file when its pages before `offset` were made.
    pub(super) file: Hash,
    /// How many bytes were imported so far.
    pub(super) total: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1:{}:{}:{}:{}", self.offset, self.total, self.file, self.path)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = "the cursor is not one that import_dir answered: leave it out to begin anew";
        let mut parts = text.splitn(5, ':');
        let mut part = || parts.next().ok_or(invalid);
        if part()? != "1" {
            return Err(invalid);
        }
        let offset = part()?.parse().map_err(|_| invalid)?;
        let total = part()?.parse().map_err(|_| invalid)?;
        let file = part()?.parse().map_err(|_| invalid)?;
        Ok(Self { path: part()?.to_owned(), offset, file, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_written() {
        let cursor = Cursor { path: "a:b\n/c".to_owned(), offset: 7, file: Hash([3; 32]), total: 1 << 40 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn a_forged_cursor_is_refused() {
        for text in ["", "1", "2:0:0:00:a", "1:x:0:00:a", "1:0:0:00:a", "1:-1:0:0:a", "a/b"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
