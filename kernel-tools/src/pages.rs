//! Cuts a text into pages: pieces of consecutive lines, small enough to be recalled one by one.
//!
//! A cut is made before a heading or after a blank line where one is near, so that a page tends to hold a whole thought.
//! Nothing is changed: the pieces put together are the text, byte for byte.

use std::ops::Range;

/// Pieces are filled up to this many bytes: 200 to 250 tokens of English.
const TARGET: usize = 1_000;
/// A good place to cut is looked for from this many bytes on.
const LEAST: usize = 500;
/// A rest of this size is not cut any more.
const REST: usize = 1_200;
/// A longer line is cut within.
const LONGEST_LINE: usize = 2_000;
/// Blank lines join the page before them as long as it stays below this.
const LONGEST_PAGE: usize = 3_000;

/// One page of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The line it begins in, from 1.
    pub first_line: u32,
    /// The line it ends in, inclusive.
    pub last_line: u32,
    /// Its bytes within the text.
    pub range: Range<usize>,
}

/// Cuts `text` into pages of about 1,000 bytes.
///
/// - The pieces are consecutive; together they are `text`. No text, no pieces.
/// - A piece holds whole lines. Only a line of more than 2,000 bytes is cut within (between characters, at a space if one
///   is near); each of its pieces holds nothing else but blank lines beside it.
/// - A piece has at most 2,000 bytes of text, and 3,000 with the blanks around it.
/// - A piece is blank only where it must be: in a blank text, or within more than 1,000 bytes of blank lines.
///
/// Linear in the length of the text.
///
/// ```
/// use kernel_tools::split_pages;
///
/// let text = "# One\n\nA line.\n";
/// let pieces = split_pages(text);
/// assert_eq!((pieces[0].first_line, pieces[0].last_line, &text[pieces[0].range.clone()]), (1, 3, text));
/// ```
#[must_use]
pub fn split_pages(text: &str) -> Vec<Piece> {
    let units = units(text);
    let mut pieces = Vec::with_capacity(text.len() / TARGET + 1);
    let mut first = 0;
    while first < units.len() {
        let end = with_blanks(&units, first, cut(&units, first));
        let last = &units[end - 1];
        pieces.push(Piece {
            first_line: units[first].line,
            last_line: last.line,
            range: units[first].range.start..last.range.end,
        });
        first = end;
    }
    pieces
}

/// A line, or a part of a very long one: what is not cut any further.
struct Unit {
    line: u32,
    range: Range<usize>,
    /// It is a part of a line.
    part: bool,
    blank: bool,
    heading: bool,
}

fn units(text: &str) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut start = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let end = start + line.len();
        while start < end {
            let part = &text[start..end];
            let length = if part.len() > LONGEST_LINE { cut_within(part) } else { part.len() };
            let part = &part[..length];
            units.push(Unit {
                line: number,
                range: start..start + length,
                part: line.len() > LONGEST_LINE,
                blank: part.trim().is_empty(),
                heading: part.starts_with('#'),
            });
            start += length;
        }
    }
    units
}

/// How much of a very long line makes the next piece: up to the last space of its second half, else up to a character.
fn cut_within(line: &str) -> usize {
    // What is left must not be a crumb: the last two parts share evenly.
    let goal = if line.len() < 2 * LONGEST_LINE { line.len().div_ceil(2) } else { LONGEST_LINE };
    let end = line.floor_char_boundary(goal);
    let from = line.floor_char_boundary(end / 2);
    line[from..end].rfind(' ').map_or(end, |space| from + space + 1)
}

/// Where the piece that begins with unit `first` ends: the index after its last unit.
fn cut(units: &[Unit], first: usize) -> usize {
    let start = units[first].range.start;
    let size = |end: usize| units[end - 1].range.end - start;
    let mut end = first + 1;
    let (mut after_blank, mut before_heading) = (None, None);
    let mut has_text = !units[first].blank;
    if units[first].part {
        return end;
    }
    while end < units.len() && !units[end].part && size(end + 1) <= REST {
        if size(end) >= LEAST && size(end) <= TARGET && has_text {
            if units[end].heading {
                before_heading = Some(end);
            }
            if units[end - 1].blank && !units[end].blank {
                after_blank = Some(end);
            }
        }
        has_text |= !units[end].blank;
        end += 1;
    }
    if end == units.len() || (units[end].part && size(end) <= TARGET) {
        return end;
    }
    if let Some(good) = before_heading.or(after_blank) {
        return good;
    }
    while end > first + 1 && size(end) > TARGET {
        end -= 1;
    }
    end
}

/// Moves the end of a piece so that no blank piece follows or begins: blank lines join the text before them, and blank
/// lines at the start the text after them.
fn with_blanks(units: &[Unit], first: usize, end: usize) -> usize {
    let fits = |end: usize| units[end].range.end - units[first].range.start <= LONGEST_PAGE;
    let mut end = end;
    if units[first..end].iter().all(|unit| unit.blank) {
        while end < units.len() && units[end].blank && fits(end) {
            end += 1;
        }
        if end < units.len() && fits(end) {
            end += 1;
        }
    }
    while end < units.len() && units[end].blank && fits(end) {
        end += 1;
    }
    end
}
