//! What a person has chosen to see, and the keys that change it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::table::Column;

/// What is shown of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct View {
    pub(super) sort: Column,
    pub(super) reverse: bool,
    /// Part of a name.
    pub(super) filter: String,
    /// The filter is being typed.
    pub(super) typing: bool,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// The first row that is shown.
    pub(super) first: usize,
    /// Rows that the screen has room for, as it was drawn last.
    pub(super) page: usize,
}

impl Default for View {
    fn default() -> Self {
        Self {
            sort: Column::Tokens,
            reverse: false,
            filter: String::new(),
            typing: false,
            paused: false,
            help: false,
            first: 0,
            page: 1,
        }
    }
}

/// What a key says.
pub(super) const HELP: [(&str, &str); 10] = [
    ("Up Down", "one row"),
    ("PgUp PgDn", "one page"),
    ("Home End", "first, last"),
    ("s S", "sort by next, previous column"),
    ("r", "reverse the order"),
    ("/", "only names with a text; Enter ends it"),
    ("p", "pause"),
    ("?", "this"),
    ("LAG", "tokens behind the fair share"),
    ("q Esc", "quit"),
];

impl View {
    /// Takes a key; true if it ends the program.
    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && matches!(key.code, KeyCode::Char('c' | 'd')) {
            return true;
        }
        if self.typing {
            self.type_filter(key.code);
            return false;
        }
        if self.help {
            self.help = false;
            return key.code == KeyCode::Char('q');
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Up | KeyCode::Char('k') => self.first = self.first.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.first = self.first.saturating_add(1),
            KeyCode::PageUp => self.first = self.first.saturating_sub(self.page),
            KeyCode::PageDown | KeyCode::Char(' ') => self.first = self.first.saturating_add(self.page),
            KeyCode::Home => self.first = 0,
            KeyCode::End => self.first = usize::MAX,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('S') => self.sort = self.sort.previous(),
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char('/') => {
                self.typing = true;
                self.filter.clear();
            }
            _ => {}
        }
        false
    }

    fn type_filter(&mut self, code: KeyCode) {
        self.first = 0;
        match code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) if !letter.is_control() => self.filter.push(letter),
            _ => {}
        }
    }

    /// Keeps the last page full: there are so many rows, and the screen has room for `page`.
    pub(super) fn settle(&mut self, rows: usize, page: usize) {
        self.page = page.max(1);
        self.first = self.first.min(rows.saturating_sub(page));
    }
}
