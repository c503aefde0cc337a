//! Laws: nothing is lost, and nothing is found that is not there.

use kernel_types::{PageKind, PageNo};

use super::space::{Space, prose};
use crate::retrieval::Query;
use crate::{Change, PagerError, PagerFactory};

/// A page reads back byte for byte, odd bytes included.
pub fn a_page_is_readable_as_allocated(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    for text in ["plain", " \n\t leading and trailing \r\n", "\u{FEFF}字符 🦀 e\u{301}", "\0"] {
        let page = space.user(text);
        assert_eq!(space.text(page), text);
        assert!(space.is_resident(page));
    }
}

/// A page that left the window reads back byte for byte, and again after it came back.
pub fn an_evicted_page_is_readable_again(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let (gone, stays) = (space.user("a page that leaves"), space.user("a page that stays"));
    space.show();
    space.apply(&Change::Evict(vec![gone]));
    assert!(!space.is_resident(gone) && space.is_resident(stays));
    assert_eq!(space.text(gone), "a page that leaves");
    space.apply(&Change::Recall(vec![gone]));
    assert!(space.is_resident(gone));
    assert_eq!(space.text(gone), "a page that leaves");
}

/// Numbers rise from 1, and `pages` lists what was allocated.
pub fn pages_are_listed_in_order(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let mut expected = Vec::new();
    for number in 1..=5 {
        assert_eq!(space.user(&prose(number, 10)), PageNo(number));
        expected.push(PageNo(number));
    }
    let pages = space.pager.pages();
    assert_eq!(pages.iter().map(|status| status.page).collect::<Vec<_>>(), expected);
    for status in &pages {
        let content = space.pager.read(status.page, &space.swap).expect("a listed page can be read");
        assert_eq!((&content.kind, content.tokens), (&status.kind, status.tokens));
        assert!(status.tokens.0 > 0 && status.resident && !status.pinned);
    }
}

/// A freed page is gone for every call; the others are not.
pub fn a_freed_page_is_not_found(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let (freed, kept) = (space.user("freed zebra"), space.user("kept giraffe"));
    space.apply(&Change::Free(freed));
    assert_not_found(&mut space, freed);
    assert_eq!(space.text(kept), "kept giraffe");
    assert!(space.pager.find(&Query::words("zebra"), kernel_types::Tokens(1000)).is_empty());
    assert!(!super::space::shown(&space.render().messages).contains("zebra"));
}

/// The number of a freed page is never given out again, also after a save.
pub fn numbers_are_not_used_again(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let (first, last) = (space.user("one"), space.user("two"));
    space.apply(&Change::Free(last));
    let saved = space.saved();
    space.pager = factory.load(&space.config, &saved, &space.swap).expect("a saved state loads");
    let next = space.user("three");
    assert!(next > last && last > first, "{first}, {last} were given out before {next}");
}

/// What another address space holds is not found in this one, resident or swapped.
pub fn another_space_s_page_is_not_found(factory: &dyn PagerFactory) {
    let mut theirs = Space::new(factory, 4000);
    let resident = theirs.user("their secret falcon");
    let swapped = theirs.user("their other falcon");
    theirs.apply(&Change::Evict(vec![swapped]));
    let mut ours = Space::new(factory, 4000);
    ours.swap = theirs.swap.clone();
    assert_not_found(&mut ours, resident);
    assert_not_found(&mut ours, swapped);
    assert!(ours.pager.find(&Query::words("falcon"), kernel_types::Tokens(1000)).is_empty());
    assert!(theirs.is_resident(resident) && !theirs.is_resident(swapped), "they still have them");
}

fn assert_not_found(space: &mut Space, page: PageNo) {
    assert_eq!(space.pager.read(page, &space.swap), Err(PagerError::NotFound(page)));
    let changes = [
        Change::Pin(page),
        Change::Unpin(page),
        Change::Free(page),
        Change::Recall(vec![page]),
        Change::Evict(vec![page]),
    ];
    for change in changes {
        assert_eq!(space.try_apply(&change), Err(PagerError::NotFound(page)), "{change:?}");
    }
}

/// A body that is not in memory is a fault that names it; with the body the same call succeeds.
pub fn a_missing_body_is_a_fault(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let draft = space.draft(PageKind::User, "elsewhere");
    let change = Change::Allocate(vec![draft.clone()]);
    let fault = PagerError::Fault(vec![draft.body]);

    space.swap.remove(&draft.body);
    assert_eq!(space.try_apply(&change), Err(fault.clone()));
    assert!(space.pager.pages().is_empty(), "a fault changes nothing");
    space.swap.insert("elsewhere");
    let page = space.apply(&change)[0];

    space.swap.remove(&draft.body);
    assert_eq!(space.pager.read(page, &space.swap), Err(fault.clone()));
    assert_eq!(space.pager.render(&space.swap).map(|_| ()), Err(fault));
    space.swap.insert("elsewhere");
    assert_eq!(space.text(page), "elsewhere");
    assert_eq!(space.render().resident, [page]);
}

/// A page without text is refused.
pub fn text_is_not_empty(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let draft = space.draft(PageKind::User, "");
    assert!(matches!(space.try_apply(&Change::Allocate(vec![draft])), Err(PagerError::Invalid(_))));
    space.user("x");
}

/// A change that fails leaves the state as it was, though its first half could have been done.
pub fn a_failed_change_changes_nothing(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 300);
    let page = space.user("a page");
    let pinned = space.user("a pinned page");
    space.apply(&Change::Pin(pinned));
    space.show();
    let before = space.saved();
    let nowhere = PageNo(99);
    let large = space.draft(PageKind::User, &prose(1, 400));
    let small = space.draft(PageKind::User, "small");
    let absent = space.lines("new file", 1, "absent");
    space.swap.remove(&absent.body);
    let changes = [
        Change::Evict(vec![page, nowhere]),
        Change::Evict(vec![page, pinned]),
        Change::Recall(vec![page, nowhere]),
        Change::Pin(nowhere),
        Change::Free(nowhere),
        Change::Allocate(vec![small.clone(), large]),
        Change::Allocate(vec![small, absent]),
    ];
    for change in changes {
        assert!(space.try_apply(&change).is_err(), "{change:?} must fail");
        assert_eq!(space.saved(), before, "{change:?} failed and changed something");
    }
    space.apply(&Change::Evict(vec![page]));
    assert_ne!(space.saved(), before);
}
