//! A frame on a screen of any size.

use ratatui::Frame as Screen;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table};

use crate::format::plain;

use super::frame::Frame;
use super::keys::{HELP, View};
use super::table::{Column, PID, pid_width, rows};

/// Columns from which pids are shown whole.
const WIDE: usize = 160;
/// Rows of the help, its frame included.
const HELP_HEIGHT: u16 = HELP.len() as u16 + 2;
const HELP_WIDTH: u16 = 56;

/// Draws a frame, and settles where the view can be scrolled to.
pub(super) fn draw(screen: &mut Screen<'_>, frame: &Frame, per_second: Option<u64>, view: &mut View) {
    let area = screen.area();
    let header = frame.header(per_second);
    let height = u16::try_from(header.len()).unwrap_or(u16::MAX).min(area.height.saturating_sub(3));
    let parts = [Constraint::Length(height), Constraint::Min(0), Constraint::Length(1)];
    let [top, middle, bottom] = Layout::vertical(parts).areas(area);
    screen.render_widget(Paragraph::new(header.into_iter().map(Line::from).collect::<Vec<_>>()), top);
    let shown = table(screen, middle, frame, view);
    screen.render_widget(Paragraph::new(footer(view, shown)).style(reversed()), bottom);
    if view.help {
        help(screen, area);
    }
}

/// Draws the rows that fit; answers the first, the last and how many there are.
fn table(screen: &mut Screen<'_>, area: Rect, frame: &Frame, view: &mut View) -> (usize, usize, usize) {
    let rows = rows(&frame.processes, frame.at, (view.sort, view.reverse), &view.filter);
    let page = usize::from(area.height.saturating_sub(1));
    view.settle(rows.len(), page);
    let width = usize::from(area.width);
    let pid = if width >= WIDE { PID } else { pid_width(&frame.processes) };
    let columns = Column::fitting(width, pid);
    let title = |column: &Column| {
        let style =
            if *column == view.sort { Style::new().add_modifier(Modifier::UNDERLINED) } else { Style::new() };
        cell(*column, column.title().to_owned()).style(style)
    };
    let widths = columns.iter().map(|column| match column {
        Column::For => Constraint::Fill(1),
        Column::Name if !columns.contains(&Column::For) => Constraint::Fill(1),
        column => Constraint::Length(u16::try_from(column.width(pid)).unwrap_or(u16::MAX)),
    });
    let shown = rows.iter().skip(view.first).take(page);
    let lines = shown.map(|row| {
        let process = &frame.processes[*row];
        Row::new(columns.iter().map(|column| cell(*column, column.cell(process, frame.at))))
    });
    let lines: Vec<Row<'_>> = lines.collect();
    let last = view.first + lines.len();
    let header = Row::new(columns.iter().map(title)).style(reversed());
    screen.render_widget(Table::new(lines, widths).header(header).column_spacing(1), area);
    (view.first + 1, last, rows.len())
}

fn cell(column: Column, text: String) -> Cell<'static> {
    let line = Line::from(text);
    Cell::from(Text::from(if column.is_number() { line.right_aligned() } else { line }))
}

fn footer(view: &View, (first, last, all): (usize, usize, usize)) -> String {
    if view.typing {
        return format!("names with: {}", plain(&view.filter));
    }
    let rows = if all == 0 { "no rows".to_owned() } else { format!("{first}-{last} of {all}") };
    let order = if view.reverse { " reversed" } else { "" };
    let filter =
        if view.filter.is_empty() { String::new() } else { format!(", names with {}", plain(&view.filter)) };
    let paused = if view.paused { ", PAUSED" } else { "" };
    format!(
        "{rows}, by {}{order}{filter}{paused}  q quit  s sort  r reverse  / filter  p pause  ? help",
        view.sort.title()
    )
}

fn help(screen: &mut Screen<'_>, area: Rect) {
    let (width, height) = (HELP_WIDTH.min(area.width), HELP_HEIGHT.min(area.height));
    let (x, y) = ((area.width - width) / 2, (area.height - height) / 2);
    let place = Rect { x: area.x + x, y: area.y + y, width, height };
    let lines = HELP.map(|(key, what)| Line::from(format!(" {key:<10} {what}")));
    screen.render_widget(Clear, place);
    screen.render_widget(Paragraph::new(lines.to_vec()).block(Block::bordered().title(" keys ")), place);
}

fn reversed() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

#[cfg(test)]
mod tests {
    use kernel_types::Timestamp;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::table::tests::process;
    use super::*;

    fn frame() -> Frame {
        let names = ["plain", "a\u{1b}[31mred\0", "漢字漢字漢字漢字漢字漢字", "e\u{301}\u{200d}👩‍👩‍👧", ""];
        let processes = (0..40).map(|n| process(n, names[n as usize % names.len()])).collect();
        Frame {
            at: Timestamp(0),
            kernels: vec!["k".to_owned()],
            cpus: Vec::new(),
            limits: Vec::new(),
            processes,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_screen_of_any_size_is_drawn() {
        let widths = (0..9).chain([20, 57, 80, 300]);
        for (width, height) in
            widths.flat_map(|width| [0, 1, 2, 3, 4, 5, 9, 90].map(|height| (width, height)))
        {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            for help in [false, true] {
                let mut view = View { help, first: 1_000, ..View::default() };
                terminal.draw(|screen| draw(screen, &frame(), Some(1), &mut view)).unwrap();
            }
            let text: String =
                terminal.backend().buffer().content().iter().map(|cell| cell.symbol()).collect();
            assert!(!text.chars().any(char::is_control), "{width}x{height}: {text:?}");
        }
    }

    #[test]
    fn the_last_row_can_be_scrolled_to_and_not_further() {
        let mut terminal = Terminal::new(TestBackend::new(80, 14)).unwrap();
        let mut view = View { first: usize::MAX, ..View::default() };
        terminal.draw(|screen| draw(screen, &frame(), None, &mut view)).unwrap();
        assert_eq!((view.first, view.page), (31, 9));
        let text: String = terminal.backend().buffer().content().iter().map(|cell| cell.symbol()).collect();
        assert!(text.contains("32-40 of 40, by TOKENS"), "{text}");
    }
}
