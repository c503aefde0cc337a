//! Laws: bad input has a typed error, and leaves nothing behind.

use kernel_types::{PageKind, PageNo, Timestamp, Tokens};

use super::space::{Space, prose};
use crate::{Change, PageDraft, PagerConfig, PagerError, PagerFactory};

/// The error of a change that must fail; the state is the same after it, to the byte.
fn refused(space: &mut Space, change: &Change) -> PagerError {
    let before = space.saved();
    let error = space.try_apply(change).expect_err("bad input is refused");
    assert_eq!(space.saved(), before, "{change:?} was refused ({error}) and changed something");
    error
}

/// What is empty, too large, malformed or not there is refused by name.
pub fn bad_input_changes_nothing(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 300);
    let page = space.user("a page");
    let drafts = space.tool("call-1", "a result");
    space.allocate(drafts);
    space.show();
    for kind in [PageKind::User, PageKind::System, PageKind::Document, PageKind::Note { name: "n".into() }] {
        let empty = space.draft(kind, "");
        let error = refused(&mut space, &Change::Allocate(vec![empty]));
        assert!(matches!(error, PagerError::Invalid(_)), "{error}");
    }
    for extend in [false, true] {
        let large = space.draft(PageKind::User, &prose(1, 400));
        let change = if extend { Change::Extend(vec![large]) } else { Change::Allocate(vec![large]) };
        let error = refused(&mut space, &change);
        assert!(matches!(error, PagerError::TooLarge { .. }), "{error}");
    }
    for nowhere in [PageNo(0), PageNo(99), PageNo(u64::MAX)] {
        let changes = [
            Change::Recall(vec![page, nowhere]),
            Change::Evict(vec![page, nowhere]),
            Change::Touch(vec![page, nowhere]),
            Change::Pin(nowhere),
            Change::Unpin(nowhere),
            Change::Free(nowhere),
        ];
        for change in changes {
            assert_eq!(refused(&mut space, &change), PagerError::NotFound(nowhere));
        }
    }
    let draft = space.draft(PageKind::User, "swapped and pinned");
    let both = PageDraft { swapped: true, pinned: true, ..draft };
    assert!(matches!(refused(&mut space, &Change::Allocate(vec![both])), PagerError::Invalid(_)));
    assert!(space.text(page) == "a page" && space.is_resident(page), "what was there is as it was");
}

/// When all that is in the window is pinned, what needs room is refused by name; once a page is let go, it is not.
pub fn a_window_of_pinned_pages_takes_no_more(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 300);
    let swapped = space.document("a.txt", &prose(0, 80));
    space.show();
    space.apply(&Change::Evict(vec![swapped]));
    let mut pinned = Vec::new();
    for seed in 1..10 {
        let draft = space.draft(PageKind::User, &prose(seed, 40));
        let Ok(pages) = space.try_apply(&Change::Allocate(vec![PageDraft { pinned: true, ..draft }])) else {
            break;
        };
        pinned.extend(pages);
        space.show();
    }
    assert!((3..9).contains(&pinned.len()), "{} pages of 40 tokens are pinned in 300", pinned.len());
    let draft = space.draft(PageKind::User, &prose(20, 60));
    let note = space.draft(PageKind::Note { name: "n".into() }, &prose(21, 60));
    let changes = [
        Change::Allocate(vec![draft.clone()]),
        Change::Allocate(vec![note]),
        Change::Extend(vec![draft.clone()]),
        Change::Recall(vec![swapped]),
        Change::Pin(swapped),
    ];
    for change in changes {
        let error = refused(&mut space, &change);
        assert!(matches!(error, PagerError::AllPinned { .. }), "{change:?}: {error}");
    }
    let before = space.saved();
    space.apply(&Change::Calibrate { estimated: Tokens(1000), reported: Tokens(3000) });
    let calibrated = space.saved();
    let plan = space.pager.plan(Timestamp(0));
    assert!(matches!(plan, Err(PagerError::AllPinned { .. })), "{plan:?}");
    assert!(matches!(space.pager.render(&space.swap), Err(PagerError::Overfull { .. })));
    assert_eq!(space.saved(), calibrated, "a plan that fails changes nothing");
    space.pager = factory.load(&space.config, &before, &space.swap).expect("a saved state loads");
    space.apply(&Change::Unpin(pinned[0]));
    space.apply(&Change::Unpin(pinned[1]));
    space.allocate(vec![draft]);
    space.show();
}

/// Neither a new space nor a saved one has a window of zero.
pub fn a_window_of_zero_does_not_load(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 300);
    space.user("a page");
    let none = PagerConfig { window: Tokens::ZERO, ..space.config.clone() };
    let answer = factory.load(&none, &space.saved(), &space.swap).map(|_| ());
    assert!(matches!(answer, Err(PagerError::Invalid(_))), "{answer:?}");
    assert!(factory.load(&space.config, &space.saved(), &space.swap).is_ok());
}
