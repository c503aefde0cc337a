//! Rendering: the window as messages, the same bytes every time.

use std::sync::Arc;

use kernel_types::{JsonText, Message, PageNo, Part, Role, Tokens};

use crate::admit::bodies;
use crate::header::{print, shown};
use crate::page::{Flags, Kind, Number, Page};
use crate::pager::{Segment, Trace};
use crate::space::Space;
use crate::table::number_of;
use crate::window::What;
use crate::{PagerError, Rendered, Swap, breakpoints};

/// Renders a window that fits.
pub(crate) fn render(space: &Space, swap: &dyn Swap) -> Result<Rendered, PagerError> {
    let resident = space.resident_pages();
    let hashes = resident.iter().filter_map(|page| space.table.record(*page)).map(|page| page.body);
    let mut texts = bodies(hashes, swap)?.into_iter();

    let mut canvas = Canvas::default();
    for group in space.window.head.iter() {
        draw_group(space, *group, &mut texts, &mut canvas)?;
    }
    let head = canvas.segments.len();
    let mut chain = space.head_chain();
    let (kept, mut stable, mut frozen, mut young) = (space.window.kept(), head, head, head);
    for (at, entry) in space.window.entries() {
        match entry.what() {
            What::Stub(stub) => draw_stub(space, stub, &mut canvas),
            What::Group(group) => draw_group(space, group, &mut texts, &mut canvas)?,
            What::Hole => {}
        }
        chain = space.chained(chain, entry);
        if at < space.window.chained && chain != entry.chain {
            return Err(moved(&canvas));
        }
        stable = if at < kept { canvas.segments.len() } else { stable };
        frozen = if at < space.window.frozen { canvas.segments.len() } else { frozen };
        young = if at < space.window.kept_young { canvas.segments.len() } else { young };
    }
    if space.window.shown.is_none() || space.window.head_cut {
        stable = 0;
    }
    let marks =
        breakpoints::choose(canvas.segments.len(), stable, &[frozen, young, head], &space.config.cache);
    canvas.mark(&marks, space.table.shown_notes().next().is_some());
    notes(space, texts, &mut canvas);

    let ratio = space.ratio;
    let mut segments = canvas.segments;
    segments.iter_mut().for_each(|segment| segment.tokens = ratio.apply(segment.tokens.0));
    Ok(Rendered {
        retention: space.retention,
        messages: canvas.messages,
        resident: resident.into_iter().map(|page| PageNo(u64::from(page))).collect(),
        tokens: ratio.apply(space.window.load.all),
        raw_tokens: Tokens(space.window.load.all),
        stable: ratio.apply(space.kept_tokens()),
        segments,
        breakpoints: marks,
        trace: Trace {
            entries: number_of(space.window.order.len()),
            last: number_of(space.table.pages.len()),
            chain,
        },
    })
}

/// The prefix is not what it was, and no compaction was declared: a defect, or memory that was written over.
fn moved(canvas: &Canvas) -> PagerError {
    let page = canvas.segments.iter().rev().find_map(|segment| segment.page);
    let at = page.map_or_else(|| "a stub".to_owned(), |page| format!("page {page}"));
    PagerError::Corrupt(format!("the prompt's prefix changed at {at} without a compaction"))
}

/// Messages as they grow, with the segment of each part; tokens not calibrated.
#[derive(Default)]
struct Canvas {
    messages: Vec<Message>,
    segments: Vec<Segment>,
    /// Which message each segment is in.
    places: Vec<usize>,
}

impl Canvas {
    fn draw(&mut self, role: Role, part: Part, segment: Segment) {
        self.segments.push(segment);
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.parts.push(part),
            _ => self.messages.push(Message { role, parts: vec![part], breakpoint: false }),
        }
        self.places.push(self.messages.len() - 1);
    }

    /// Marks the messages that end at, or last end before, the segments that breakpoints lie after. A user message that
    /// notes will be added to has no end yet.
    fn mark(&mut self, segments: &[usize], notes: bool) {
        let grows = notes && self.messages.last().is_some_and(|last| last.role == Role::User);
        let whole = self.messages.len() - usize::from(grows);
        for segment in segments {
            let message = self.places[*segment];
            let ends = self.places.get(segment + 1) != Some(&message);
            let message = if ends { Some(message) } else { message.checked_sub(1) };
            if let Some(message) = message.map(|message| message.min(whole.saturating_sub(1)))
                && message < whole
            {
                self.messages[message].breakpoint = true;
            }
        }
    }
}

fn draw_group(
    space: &Space,
    group: Number,
    texts: &mut impl Iterator<Item = Arc<str>>,
    canvas: &mut Canvas,
) -> Result<(), PagerError> {
    for ((number, page), text) in space.table.members(group).zip(texts) {
        let face = space.face(number, page);
        let part = part(space, number, page, text)?;
        let segment = Segment {
            id: page.print,
            tokens: Tokens(u64::from(page.cost)),
            page: Some(PageNo(u64::from(number))),
        };
        canvas.draw(face.role(), part, segment);
    }
    Ok(())
}

fn draw_stub(space: &Space, stub: u32, canvas: &mut Canvas) {
    let Some(stub) = space.window.stubs.get(&stub).filter(|stub| !stub.is_hidden()) else { return };
    let segment = Segment { id: stub.print, tokens: Tokens(stub.cost), page: None };
    canvas.draw(Role::User, Part::Text(Arc::clone(&stub.text)), segment);
}

fn part(space: &Space, number: Number, page: &Page, text: Arc<str>) -> Result<Part, PagerError> {
    let face = space.face(number, page);
    Ok(match page.kind {
        Kind::ToolCall => {
            let id = face.id().to_owned();
            let args = JsonText::parse(&text)
                .map_err(|error| PagerError::Corrupt(format!("arguments of tool call {id}: {error}")))?;
            Part::ToolCall { id, name: face.name().to_owned(), args }
        }
        Kind::ToolResult => {
            Part::ToolResult { id: face.id().to_owned(), text, is_error: page.has(Flags::ERROR) }
        }
        _ => match face.header() {
            Some(line) => Part::Text(format!("{line}\n{text}").into()),
            None => Part::Text(text),
        },
    })
}

/// All notes as one last text: the only part of a prompt that may change at any time.
fn notes(space: &Space, texts: impl Iterator<Item = Arc<str>>, canvas: &mut Canvas) {
    let pages = space.table.shown_notes().flat_map(|group| space.table.members(group));
    let mut all = String::from("[notes]");
    let mut prints = Vec::new();
    let mut cost = 0;
    for ((number, page), text) in pages.zip(texts) {
        all.push_str(&format!("\n{}: {text}", shown(space.face(number, page).name())));
        prints.extend(page.print.to_be_bytes());
        cost += u64::from(page.cost);
    }
    if cost > 0 {
        let segment = Segment { id: print("notes", &[], &prints), tokens: Tokens(cost), page: None };
        canvas.draw(Role::User, Part::Text(all.into()), segment);
    }
}
