//! Admission: what an allocation must satisfy before anything changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use kernel_types::{BlobHash, JsonText, PageKind};

use crate::{PageDraft, PagerError, Swap};

/// The most that a page can be about.
const MOST_ABOUT: usize = 32;
/// The most bytes of one of them.
const LONGEST_ABOUT: usize = 256;

/// The bodies of `drafts`, once each draft is well formed and every tool call has its results.
pub(crate) fn admit(drafts: &[PageDraft], swap: &dyn Swap) -> Result<Vec<Arc<str>>, PagerError> {
    let bodies = bodies(drafts.iter().map(|draft| draft.body), swap)?;
    for (draft, body) in drafts.iter().zip(&bodies) {
        check_draft(draft, body)?;
    }
    check_pairs(drafts)?;
    Ok(bodies)
}

/// All bodies, or a fault that names every missing one once.
pub(crate) fn bodies(
    hashes: impl Iterator<Item = BlobHash>,
    swap: &dyn Swap,
) -> Result<Vec<Arc<str>>, PagerError> {
    let mut missing = BTreeSet::new();
    let mut found = Vec::new();
    for hash in hashes {
        match swap.body(&hash) {
            Some(body) => found.push(body),
            None => {
                missing.insert(hash);
            }
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(PagerError::Fault(missing.into_iter().collect())) }
}

fn check_draft(draft: &PageDraft, body: &str) -> Result<(), PagerError> {
    let stays = matches!(draft.kind, PageKind::System | PageKind::Note { .. });
    if body.is_empty() {
        return invalid("a page needs text");
    }
    if draft.swapped && draft.pinned {
        return invalid("a pinned page is in the window and cannot start swapped out");
    }
    if draft.swapped && stays {
        return invalid("instructions and notes are in the window and cannot start swapped out");
    }
    if draft.origin.as_ref().is_some_and(|origin| origin.first_line > origin.last_line) {
        return invalid("the first line of a page lies behind its last");
    }
    if draft.about.len() > MOST_ABOUT || draft.about.iter().any(|about| about.len() > LONGEST_ABOUT) {
        return Err(PagerError::Invalid(format!(
            "a page is about at most {MOST_ABOUT} things of {LONGEST_ABOUT} bytes each"
        )));
    }
    if let PageKind::ToolCall { name, .. } = &draft.kind
        && !JsonText::parse(body).is_ok_and(|args| args.value().is_object())
    {
        return Err(PagerError::Invalid(format!("the arguments of a call of {name} are not a JSON object")));
    }
    Ok(())
}

/// Whether pages belong to one group with what is next to them. Others are always groups of their own.
pub(crate) fn is_grouped(kind: &PageKind) -> bool {
    !matches!(kind, PageKind::System | PageKind::Document | PageKind::Note { .. })
}

/// Within each run of grouped pages: calls first, then their results, each exactly once, nothing in between; one run is
/// all swapped or all not.
fn check_pairs(drafts: &[PageDraft]) -> Result<(), PagerError> {
    let mut run = Run::default();
    for draft in drafts.iter().filter(|draft| !matches!(draft.kind, PageKind::Note { .. })) {
        if is_grouped(&draft.kind) {
            run.push(draft)?;
        } else {
            run.end()?;
            run = Run::default();
        }
    }
    run.end()
}

/// The state of a run of pages that form one group.
#[derive(Default)]
struct Run<'a> {
    swapped: Option<bool>,
    ids: BTreeSet<&'a str>,
    pending: BTreeSet<&'a str>,
    answering: bool,
}

impl<'a> Run<'a> {
    fn push(&mut self, draft: &'a PageDraft) -> Result<(), PagerError> {
        if *self.swapped.get_or_insert(draft.swapped) != draft.swapped {
            return invalid("the pages of one group start in the window or swapped out, not both");
        }
        match &draft.kind {
            PageKind::ToolCall { id, .. } => self.call(id),
            PageKind::ToolResult { id, .. } => self.result(id),
            PageKind::Assistant if !self.answering => Ok(()),
            _ => self.end(),
        }
    }

    fn call(&mut self, id: &'a str) -> Result<(), PagerError> {
        if self.answering {
            self.end()?;
        }
        if !self.ids.insert(id) {
            return Err(PagerError::Invalid(format!("two tool calls of one group have the id {id}")));
        }
        self.pending.insert(id);
        Ok(())
    }

    fn result(&mut self, id: &str) -> Result<(), PagerError> {
        self.answering = true;
        if self.pending.remove(id) {
            return Ok(());
        }
        Err(PagerError::Invalid(format!("the result of tool call {id} has no call before it in its group")))
    }

    fn end(&mut self) -> Result<(), PagerError> {
        self.answering = false;
        match self.pending.first() {
            None => Ok(()),
            Some(id) => Err(PagerError::Invalid(format!("tool call {id} has no result in its group"))),
        }
    }
}

fn invalid<T>(what: &str) -> Result<T, PagerError> {
    Err(PagerError::Invalid(what.to_owned()))
}
