//! Rendering: the window as messages, the same bytes every time.

use std::sync::Arc;

use kernel_types::{JsonText, Message, PageKind, PageNo, Part, Role};

use crate::admit::bodies;
use crate::header::{header, print, role, shown};
use crate::table::{Entry, Group, Load, Page, Table};
use crate::{PagerError, Rendered, Swap};

/// Renders a window that fits.
pub(crate) fn render(
    table: &Table,
    load: Load,
    breakpoints: u32,
    swap: &dyn Swap,
) -> Result<Rendered, PagerError> {
    let resident: Vec<PageNo> = table.resident().flat_map(|group| group.pages.iter().copied()).collect();
    let hashes = resident.iter().filter_map(|page| table.pages.get(page)).map(|page| page.body);
    let mut texts = bodies(hashes, swap)?.into_iter();

    let mut canvas = Canvas::default();
    let head = table.head.iter().map(|id| Entry::Group(*id)).collect::<Vec<_>>();
    for entry in head.iter().chain(&table.window) {
        match entry {
            Entry::Stub(stub) if stub.text.is_empty() => {}
            Entry::Stub(stub) => {
                canvas.draw(Role::User, Part::Text(stub.text.clone()), stub.print, stub.cost)
            }
            Entry::Group(id) => {
                let Some(group) = table.groups.get(id) else { continue };
                for ((number, page), text) in table.members(group).zip(&mut texts) {
                    let part = part(table, number, page, group, text)?;
                    canvas.draw(role(page, group), part, page.print, page.cost);
                }
            }
        }
    }
    canvas.mark(breakpoints, !table.notes.is_empty());
    notes(table, texts, &mut canvas);

    let same = canvas.trace.iter().zip(&table.trace).take_while(|(now, before)| now == before).count();
    let stable = canvas.costs.iter().take(same).sum();
    Ok(Rendered {
        messages: canvas.messages,
        resident,
        tokens: table.ratio.apply(load.all),
        raw_tokens: kernel_types::Tokens(load.all),
        stable: table.ratio.apply(stable),
        trace: canvas.trace,
    })
}

/// Messages as they grow, with the mark and the cost of each part.
#[derive(Default)]
struct Canvas {
    messages: Vec<Message>,
    trace: Vec<u64>,
    costs: Vec<u64>,
}

impl Canvas {
    fn draw(&mut self, role: Role, part: Part, print: u64, cost: u64) {
        self.trace.push(print);
        self.costs.push(cost);
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.parts.push(part),
            _ => self.messages.push(Message { role, parts: vec![part], breakpoint: false }),
        }
    }

    /// Sets breakpoints: after the last message that will come again unchanged, then after the instructions. A user
    /// message that notes will be added to is not such a message.
    fn mark(&mut self, breakpoints: u32, notes: bool) {
        let grows = notes && self.messages.last().is_some_and(|last| last.role == Role::User);
        let kept = self.messages.len() - usize::from(grows);
        let mut marks = vec![kept.checked_sub(1)];
        marks.push(self.messages.iter().rposition(|message| message.role == Role::System));
        marks.dedup();
        for at in marks.into_iter().flatten().take(breakpoints as usize) {
            self.messages[at].breakpoint = true;
        }
    }
}

fn part(
    table: &Table,
    number: PageNo,
    page: &Page,
    group: &Group,
    text: Arc<str>,
) -> Result<Part, PagerError> {
    Ok(match &page.kind {
        PageKind::ToolCall { id, name } => {
            let args = JsonText::parse(&text)
                .map_err(|e| PagerError::Corrupt(format!("arguments of tool call {id}: {e}")))?;
            Part::ToolCall { id: id.clone(), name: name.clone(), args }
        }
        PageKind::ToolResult { id, is_error } => {
            Part::ToolResult { id: id.clone(), text, is_error: *is_error }
        }
        _ => match header(number, page, group, table.path(page)) {
            Some(line) => Part::Text(format!("{line}\n{text}").into()),
            None => Part::Text(text),
        },
    })
}

/// All notes as one last text: the only part of a prompt that may change at any time.
fn notes(table: &Table, texts: impl Iterator<Item = Arc<str>>, canvas: &mut Canvas) {
    let groups = table.notes.iter().filter_map(|(name, id)| Some((name, table.groups.get(id)?)));
    let mut all = String::from("[notes]");
    let mut prints = String::new();
    let mut cost = 0;
    for ((name, group), text) in groups.zip(texts) {
        all.push_str(&format!("\n{}: {text}", shown(name)));
        for (_, page) in table.members(group) {
            prints.push_str(&format!("{:016x}", page.print));
            cost += page.cost;
        }
    }
    if cost > 0 {
        canvas.draw(Role::User, Part::Text(all.into()), print("notes", &[&prints]), cost);
    }
}
