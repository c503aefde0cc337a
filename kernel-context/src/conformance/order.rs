//! Laws: what is shown, where, and that what was shown stays.

use kernel_types::{PageKind, PageNo, Part, Role, Tokens};

use super::space::{Space, parts, prose, shown};
use crate::{Change, PageDraft, PagerError, PagerFactory};

/// Between compactions, the parts shown before are a prefix of the parts shown after.
pub fn rendering_only_appends(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 8000);
    let system = space.draft(PageKind::System, "You are careful.");
    space.allocate(vec![system]);
    let first = space.user("the first question");
    let swapped: Vec<PageNo> = (0..3).map(|seed| space.document("old.txt", &prose(seed, 40))).collect();
    space.show();
    space.apply(&Change::Evict(swapped.clone()));
    let mut before = space.show();
    for seed in 10..40 {
        match seed % 5 {
            0 => drop(space.user(&prose(seed, 20))),
            1 => drop(space.document("new.txt", &prose(seed, 20))),
            2 => {
                let drafts = space.tool(&format!("call-{seed}"), &prose(seed, 20));
                space.allocate(drafts);
            }
            3 => drop(space.apply(&Change::Recall(vec![swapped[(seed % 3) as usize], first]))),
            _ => {
                let draft = space.draft(PageKind::Assistant, &prose(seed, 10));
                space.allocate(vec![draft]);
            }
        }
        let after = space.show();
        let (old, new) = (parts(&before.messages), parts(&after.messages));
        assert_eq!(new.get(..old.len()), Some(&old[..]), "the prefix changed at {seed}");
        assert!(after.stable >= before.tokens, "{} of {} said to be stable", after.stable, before.tokens);
        before = after;
    }
}

/// Rendering twice gives the same, and all of it is stable once it was shown.
pub fn an_unchanged_window_is_stable(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let (first, _) = (space.user("one"), space.user("two"));
    assert_eq!(space.render().stable, Tokens::ZERO, "nothing was shown yet");
    let rendered = space.show();
    let again = space.render();
    assert_eq!((&again.messages, &again.trace), (&rendered.messages, &rendered.trace));
    assert_eq!(again.stable, again.tokens);
    space.apply(&Change::Evict(vec![first]));
    assert!(space.render().stable < again.tokens, "a compaction leaves less of it stable");
}

/// Pages allocated since the last render are in the next, even when it must be compacted.
pub fn new_pages_are_shown(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 500);
    for seed in 0..40 {
        let drafts: Vec<PageDraft> =
            (0..3).map(|n| space.draft(PageKind::User, &prose(10 * seed + n, 40))).collect();
        let pages = space.allocate(drafts);
        let resident = space.show().resident;
        assert!(pages.iter().all(|page| resident.contains(page)), "{pages:?} are not all in {resident:?}");
    }
}

/// A batch of documents larger than the window is taken; what does not fit leaves first, and all of it can be recalled.
pub fn documents_larger_than_the_window_leave_first(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 500);
    let drafts: Vec<PageDraft> = (0..60).map(|n| space.draft(PageKind::Document, &prose(n, 40))).collect();
    let pages = space.allocate(drafts);
    let question = space.user("what is in it?");
    let resident = space.show().resident;
    assert!(resident.contains(&question), "what was said stays");
    let out: Vec<PageNo> = pages.into_iter().filter(|page| !resident.contains(page)).collect();
    assert!(!out.is_empty(), "sixty pages do not fit");
    space.apply(&Change::Recall(vec![out[0]]));
    assert!(space.show().resident.contains(&out[0]), "a page that left comes back");
}

/// A page allocated swapped is not shown until it is recalled.
pub fn a_swapped_page_waits(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let draft = space.lines("a.txt", 5, "the hidden ocelot");
    let page = space.allocate(vec![PageDraft { swapped: true, ..draft }])[0];
    assert!(!shown(&space.show().messages).contains("ocelot") && !space.is_resident(page));
    assert_eq!(space.text(page), "the hidden ocelot");
    assert_eq!(space.apply(&Change::Recall(vec![page])), [page]);
    let text = shown(&space.show().messages);
    assert!(text.contains("the hidden ocelot"), "{text}");
    assert!(
        text.contains(&page.to_string()) && text.contains("a.txt"),
        "a document names its page and file: {text}"
    );
}

/// What comes back comes last, in the order asked for.
pub fn recalled_pages_come_at_the_tail(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let pages: Vec<PageNo> = (0..5).map(|seed| space.user(&prose(seed, 20))).collect();
    space.show();
    space.apply(&Change::Evict(vec![pages[0], pages[1]]));
    space.show();
    assert_eq!(space.apply(&Change::Recall(vec![pages[1], pages[0]])), [pages[1], pages[0]]);
    let rendered = space.show();
    assert_eq!(rendered.resident, [pages[2], pages[3], pages[4], pages[1], pages[0]]);
    let text = shown(&rendered.messages);
    assert!(text.find(&prose(1, 20)) < text.find(&prose(0, 20)) && text.contains(&prose(0, 20)));
}

/// A page that is there already stays where it is, and is shown once.
pub fn a_resident_page_is_recalled_in_place(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let pages: Vec<PageNo> = (0..3).map(|seed| space.user(&prose(seed, 20))).collect();
    let before = space.show();
    space.apply(&Change::Recall(vec![pages[0], pages[0]]));
    let after = space.show();
    assert_eq!((after.messages, after.resident), (before.messages, before.resident));
}

/// No plan evicts a pinned page, and evicting it is an error until it is unpinned.
pub fn a_pinned_page_stays(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 500);
    let pinned = space.user("the task");
    space.apply(&Change::Pin(pinned));
    for seed in 0..50 {
        space.user(&prose(seed, 50));
        assert!(space.show().resident.contains(&pinned));
    }
    assert_eq!(space.try_apply(&Change::Evict(vec![pinned])), Err(PagerError::Pinned(pinned)));
    assert!(space.is_resident(pinned));
    space.apply(&Change::Unpin(pinned));
    space.apply(&Change::Evict(vec![pinned]));
    assert!(!space.is_resident(pinned));
}

/// Pinning a page that was swapped brings it back.
pub fn pinning_brings_back(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let (page, other) = (space.user("come back"), space.user("other"));
    space.apply(&Change::Evict(vec![page]));
    space.apply(&Change::Pin(page));
    assert_eq!(space.show().resident, [other, page]);
    assert!(space.pager.pages().iter().any(|status| status.page == page && status.pinned));
}

/// Instructions are the system message, whatever came before them.
pub fn instructions_come_first(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let said = space.user("a question");
    let draft = space.draft(PageKind::System, "You are careful.");
    let system = space.allocate(vec![draft])[0];
    let rendered = space.show();
    assert_eq!(rendered.resident, [system, said]);
    let first = &rendered.messages[0];
    assert_eq!((first.role, &first.parts[..]), (Role::System, &[Part::Text("You are careful.".into())][..]));
    assert!(rendered.messages[1..].iter().all(|message| message.role != Role::System));
    assert!(space.try_apply(&Change::Evict(vec![system])).is_err(), "instructions are pinned");
}

/// Notes are the last part, and change nothing before them.
pub fn notes_come_last(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    space.user("a question");
    let before = space.show();
    note(&mut space, "budget", "90 tokens left");
    let with_note = space.show();
    assert_prefix(&before.messages, &with_note.messages);
    let all = parts(&with_note.messages);
    let (role, last) = all[all.len() - 1];
    assert_eq!(role, Role::User);
    assert!(matches!(last, Part::Text(text) if text.contains("90 tokens left")), "{last:?}");

    space.user("another question");
    let after = space.show();
    assert_prefix(&before.messages, &after.messages);
    let all = parts(&after.messages);
    assert!(matches!(all[all.len() - 1].1, Part::Text(text) if text.contains("90 tokens left")));
}

fn assert_prefix(before: &[kernel_types::Message], after: &[kernel_types::Message]) {
    let (before, after) = (parts(before), parts(after));
    assert_eq!(after.get(..before.len()), Some(&before[..]), "the prefix changed");
}

fn note(space: &mut Space, name: &str, text: &str) -> PageNo {
    let draft = space.draft(PageKind::Note { name: name.to_owned() }, text);
    space.allocate(vec![draft])[0]
}

/// A newer note replaces the older one of its name, and no other; the older one can still be read.
pub fn a_newer_note_supersedes(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let old = note(&mut space, "time", "noon");
    note(&mut space, "place", "harbor");
    space.show();
    let new = note(&mut space, "time", "midnight");
    let text = shown(&space.show().messages);
    assert!(text.contains("midnight") && text.contains("harbor") && !text.contains("noon"), "{text}");
    assert!(!space.is_resident(old) && space.is_resident(new));
    assert_eq!(space.text(old), "noon");
    assert!(matches!(space.try_apply(&Change::Recall(vec![old])), Err(PagerError::Invalid(_))));
}

/// No two neighbouring messages have the same role, and none is empty.
pub fn roles_alternate(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 900);
    for seed in 0..60 {
        match seed % 6 {
            0 | 1 => drop(space.user(&prose(seed, 20))),
            2 => drop(space.document("a.txt", &prose(seed, 20))),
            3 => {
                let drafts = space.tool(&format!("call-{seed}"), &prose(seed, 20));
                space.allocate(drafts);
            }
            4 => drop(note(&mut space, "step", &seed.to_string())),
            _ => {
                let draft = space.draft(PageKind::Assistant, &prose(seed, 20));
                space.allocate(vec![draft]);
            }
        }
        let messages = space.show().messages;
        assert!(messages.windows(2).all(|pair| pair[0].role != pair[1].role), "{messages:?}");
        assert!(messages.iter().all(|message| !message.parts.is_empty()));
    }
}

/// There are at most as many cache breakpoints as the provider takes, and never one after what will change.
pub fn breakpoints_are_counted(factory: &dyn PagerFactory) {
    for most in [0, 1, 2, 4] {
        let mut space = Space::with_breakpoints(factory, 4000, most);
        let draft = space.draft(PageKind::System, "You are careful.");
        space.allocate(vec![draft]);
        space.user("a question");
        let draft = space.draft(PageKind::Assistant, "an answer");
        space.allocate(vec![draft]);
        note(&mut space, "step", "7");
        let messages = space.show().messages;
        let marked: Vec<usize> = (0..messages.len()).filter(|at| messages[*at].breakpoint).collect();
        assert!(marked.len() <= most as usize, "{marked:?} for {most}");
        assert!(!marked.contains(&(messages.len() - 1)), "a breakpoint after the notes");
        assert_eq!(marked.is_empty(), most == 0);
    }
}

/// A ping shows the model nothing new: what is rendered, planned and listed stays as it is, and so does what is new.
pub fn keeping_warm_changes_nothing_shown(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 600);
    for seed in 0..8 {
        space.user(&prose(seed, 30));
        space.show();
    }
    let new = space.user(&prose(100, 30));
    let before = (space.render(), space.pager.pages(), space.pager.plan(space.now));
    for _ in 0..3 {
        space.now.0 += 1;
        space.apply(&Change::Warmed { at: space.now });
    }
    assert_eq!((space.render(), space.pager.pages(), space.pager.plan(space.now)), before);
    for seed in 200..210 {
        let drafts = vec![space.draft(PageKind::User, &prose(seed, 40))];
        space.allocate(drafts);
    }
    assert!(space.show().resident.contains(&new), "what was not shown yet is in the next render");
    let saved = space.saved();
    let loaded = factory.load(&space.config, &saved, &space.swap).expect("a saved state loads");
    assert_eq!(loaded.save().expect("a state can be saved"), saved);
}
