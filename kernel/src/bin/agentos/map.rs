//! A window as a map: its tokens in order, a cell for so many of them.

use std::io::IsTerminal;

use kernel_context::{Explanation, RowKind, WindowPart, WindowRow};

use crate::format::count;

/// Lines of a map.
const LINES: usize = 4;
/// Columns where there is no terminal.
const USUAL: usize = 80;
/// Narrower than this, nothing could be read.
const NARROWEST: usize = 24;
const INDENT: &str = "  ";
const FREE: char = '.';
const PLAIN: &str = "\u{1b}[0m";
const PARTS: [WindowPart; 4] = [WindowPart::Head, WindowPart::Frozen, WindowPart::Young, WindowPart::Notes];
const KINDS: [RowKind; 8] = [
    RowKind::System,
    RowKind::User,
    RowKind::Assistant,
    RowKind::Tool,
    RowKind::Document,
    RowKind::Note,
    RowKind::Stub,
    RowKind::Mixed,
];

/// What a map is drawn on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Canvas {
    pub(crate) columns: usize,
    pub(crate) colours: bool,
}

impl Canvas {
    /// Standard output: as wide as its terminal, in colours if it is one and nobody asked for none.
    pub(crate) fn of_stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let size = terminal.then(terminal_size::terminal_size).flatten();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            columns: size.map_or(USUAL, |(width, _)| usize::from(width.0)).max(NARROWEST),
            colours: terminal && !plain,
        }
    }

    /// A text in the colour of a part.
    pub(crate) fn paint(self, text: &str, part: WindowPart) -> String {
        if self.colours { format!("{}{text}{PLAIN}", colour(part)) } else { text.to_owned() }
    }

    /// The map and its legend, lines with their ends.
    pub(crate) fn draw(self, explanation: &Explanation) -> String {
        let width = self.columns - INDENT.len();
        let window = explanation.window.unwrap_or(explanation.load).0.max(explanation.load.0).max(1);
        let cells = cells(&explanation.rows, window, width * LINES);
        let lines = cells.chunks(width).map(|line| format!("{INDENT}{}\n", self.line(line)));
        let mut text: String = lines.collect();
        let cell = window.div_ceil((width * LINES) as u64);
        text.push_str(&format!("{INDENT}{}\n", self.legend(&explanation.rows, cell)));
        text
    }

    /// Cells of one part are painted together.
    fn line(self, cells: &[Option<&WindowRow>]) -> String {
        let part = |cell: &Option<&WindowRow>| cell.map(|row| row.part);
        let runs = cells.chunk_by(|a, b| part(a) == part(b));
        let painted = runs.map(|run| {
            let letters: String = run.iter().map(|cell| cell.map_or(FREE, letter)).collect();
            match run.first().and_then(part) {
                Some(part) => self.paint(&letters, part),
                None => letters,
            }
        });
        painted.collect()
    }

    fn legend(self, rows: &[WindowRow], cell: u64) -> String {
        let kinds = KINDS.iter().filter(|kind| rows.iter().any(|row| row.kind == **kind));
        let mut letters: Vec<String> =
            kinds.map(|kind| format!("{} {}", capital(*kind), kind_name(*kind))).collect();
        letters.push(format!("{FREE} free"));
        let mut words = vec![format!("a cell is {} tokens", count(cell))];
        if rows.iter().any(|row| row.leaves) {
            words.push("small letters would leave next".to_owned());
        }
        if self.colours {
            let parts = PARTS.iter().filter(|part| rows.iter().any(|row| row.part == **part));
            words.extend(parts.map(|part| self.paint(part_name(*part), *part)));
        }
        format!("{}\n{INDENT}{}", letters.join("  "), words.join("  "))
    }
}

/// What lies in the middle of each cell.
fn cells(rows: &[WindowRow], window: u64, cells: usize) -> Vec<Option<&WindowRow>> {
    let mut ends = rows.iter().scan(0, |end, row| {
        *end += row.tokens.0;
        Some((*end, row))
    });
    let mut here = ends.next();
    let middle = |cell: u64| (2 * cell + 1) * window / (2 * cells as u64);
    let mut map = Vec::with_capacity(cells);
    for cell in 0..cells as u64 {
        while here.is_some_and(|(end, _)| end <= middle(cell)) {
            here = ends.next();
        }
        map.push(here.map(|(_, row)| row));
    }
    map
}

fn letter(row: &WindowRow) -> char {
    let letter = capital(row.kind);
    if row.leaves { letter.to_ascii_lowercase() } else { letter }
}

const fn capital(kind: RowKind) -> char {
    match kind {
        RowKind::System => 'I',
        RowKind::User => 'U',
        RowKind::Assistant => 'A',
        RowKind::Tool => 'T',
        RowKind::Document => 'D',
        RowKind::Note => 'N',
        RowKind::Stub => '~',
        RowKind::Mixed => 'M',
    }
}

pub(crate) const fn kind_name(kind: RowKind) -> &'static str {
    match kind {
        RowKind::System => "instructions",
        RowKind::User => "user",
        RowKind::Assistant => "assistant",
        RowKind::Tool => "tools",
        RowKind::Document => "documents",
        RowKind::Note => "notes",
        RowKind::Stub => "stub",
        RowKind::Mixed => "mixed",
    }
}

pub(crate) const fn part_name(part: WindowPart) -> &'static str {
    match part {
        WindowPart::Head => "head",
        WindowPart::Frozen => "frozen",
        WindowPart::Young => "young",
        WindowPart::Notes => "notes",
    }
}

const fn colour(part: WindowPart) -> &'static str {
    match part {
        WindowPart::Head => "\u{1b}[35m",
        WindowPart::Frozen => "\u{1b}[36m",
        WindowPart::Young => "\u{1b}[32m",
        WindowPart::Notes => "\u{1b}[33m",
    }
}

#[cfg(test)]
mod tests {
    use kernel_context::{PageRanges, Why};
    use kernel_types::Tokens;

    use super::*;

    fn row(part: WindowPart, kind: RowKind, tokens: u64, leaves: bool) -> WindowRow {
        WindowRow {
            part,
            kind,
            pages: PageRanges::default(),
            about: String::new(),
            tokens: Tokens(tokens),
            why: Why::NotYetEvicted,
            leaves,
            uses: 0,
            faults: 0,
            age: None,
            missed: None,
        }
    }

    fn window() -> Explanation {
        let rows = vec![
            row(WindowPart::Head, RowKind::System, 100, false),
            row(WindowPart::Frozen, RowKind::Document, 200, true),
            row(WindowPart::Young, RowKind::User, 300, false),
        ];
        Explanation { window: Some(Tokens(800)), load: Tokens(600), rows, ..Explanation::default() }
    }

    #[test]
    fn a_map_has_the_tokens_in_order() {
        let map = Canvas { columns: 42, colours: false }.draw(&window());
        let lines: Vec<&str> = map.lines().collect();
        let expected = [
            format!("  {}{}", "I".repeat(20), "d".repeat(20)),
            format!("  {}{}", "d".repeat(20), "U".repeat(20)),
            format!("  {}", "U".repeat(40)),
            format!("  {}", ".".repeat(40)),
        ];
        assert_eq!(lines[..4], expected);
        assert_eq!(lines[4], "  I instructions  U user  D documents  . free");
        assert_eq!(lines[5], "  a cell is 5 tokens  small letters would leave next");
        assert!(!map.contains('\u{1b}'), "{map}");
    }

    #[test]
    fn colours_are_the_parts_and_nothing_else_changes() {
        let plain = Canvas { columns: 42, colours: false }.draw(&window());
        let painted = Canvas { columns: 42, colours: true }.draw(&window());
        assert!(painted.contains("\u{1b}[35mIIII") && painted.contains("\u{1b}[36mdddd"), "{painted:?}");
        let parts = [WindowPart::Head, WindowPart::Frozen, WindowPart::Young];
        let mut bare = painted.replace(PLAIN, "");
        for part in parts {
            bare = bare.replace(colour(part), "");
        }
        assert_eq!(bare.replace("  head  frozen  young", ""), plain);
    }

    #[test]
    fn an_empty_window_is_free() {
        let map = Canvas { columns: 24, colours: false }.draw(&Explanation::default());
        assert_eq!(map.chars().filter(|letter| *letter == FREE).count(), 22 * LINES + 1);
    }
}
