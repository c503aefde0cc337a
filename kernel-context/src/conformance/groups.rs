//! Laws: a tool call and its results are one.

use kernel_types::{PageKind, Role};

use super::space::{Space, assert_no_orphans};
use crate::{Change, PagerError, PagerFactory};

/// Evicting or recalling either half moves both.
pub fn a_tool_call_leaves_and_returns_with_its_result(factory: &dyn PagerFactory) {
    for half in [0, 1] {
        let mut space = Space::new(factory, 4000);
        space.user("read it");
        let drafts = space.tool("call-1", "the content");
        let pages = space.allocate(drafts);
        space.show();
        space.apply(&Change::Evict(vec![pages[half]]));
        assert!(pages.iter().all(|page| !space.is_resident(*page)), "half {half} left alone");
        assert_no_orphans(&space.show().messages);
        space.apply(&Change::Recall(vec![pages[half]]));
        assert!(pages.iter().all(|page| space.is_resident(*page)), "half {half} came back alone");
        let rendered = space.show();
        assert_no_orphans(&rendered.messages);
        assert!(rendered.messages.iter().any(|message| message.role == Role::Tool));
    }
}

/// Calls made at once, with their results, are one group in the order of a provider.
pub fn parallel_tool_calls_are_one_group(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    space.user("read both");
    let (first, second) = (space.tool("call-1", "one"), space.tool("call-2", "two"));
    let thought = space.draft(PageKind::Assistant, "I read both.");
    let [a, b] = [first, second].map(|drafts| <[_; 2]>::try_from(drafts).expect("a call and a result"));
    let ([call_a, result_a], [call_b, result_b]) = (a, b);
    let pages = space.allocate(vec![thought, call_a, call_b, result_a, result_b]);
    assert_no_orphans(&space.show().messages);
    space.apply(&Change::Evict(vec![pages[3]]));
    assert!(pages.iter().all(|page| !space.is_resident(*page)));
    assert_no_orphans(&space.show().messages);
}

/// What follows joins the group at the end of the window until the model has answered what it was shown of it, whatever else
/// changed or was freed meanwhile.
pub fn what_follows_joins_until_it_is_shown(factory: &dyn PagerFactory) {
    for meanwhile in 0..5 {
        let mut space = Space::new(factory, 4000);
        let before = space.user("before");
        space.show();
        let first = space.user("first");
        let trace = space.render().trace;
        let said = space.draft(PageKind::User, "second");
        let second = space.apply(&Change::Extend(vec![said]))[0];
        let changed = match meanwhile {
            0 => Vec::new(),
            1 => space.apply(&Change::Evict(vec![before])),
            2 => space.apply(&Change::Free(before)),
            3 => space.apply(&Change::Free(second)),
            _ => Vec::new(),
        };
        assert!(changed.is_empty());
        space.apply(&Change::Rendered { trace, at: space.now });
        if meanwhile == 4 {
            space.apply(&Change::Evict(vec![before]));
        }
        let said = space.draft(PageKind::User, "third");
        let third = space.apply(&Change::Extend(vec![said]));
        space.show();
        space.apply(&Change::Evict(third));
        assert!(space.is_resident(first), "{meanwhile}: joined what was shown");
        space.apply(&Change::Evict(vec![first]));
        let gone = meanwhile == 3 || !space.is_resident(second);
        assert!(gone, "{meanwhile}: not joined to what was being shown");
    }
}

/// Freeing one half frees the other.
pub fn freeing_part_of_a_tool_call_frees_it(factory: &dyn PagerFactory) {
    for half in [0, 1] {
        let mut space = Space::new(factory, 4000);
        let kept = space.user("read it");
        let drafts = space.tool("call-1", "the content");
        let pages = space.allocate(drafts);
        space.apply(&Change::Free(pages[half]));
        for page in pages {
            assert_eq!(space.pager.read(page, &space.swap), Err(PagerError::NotFound(page)));
        }
        assert_no_orphans(&space.show().messages);
        assert!(space.is_resident(kept));
    }
}

/// A call without its result, a result without its call, and anything in between are refused.
pub fn orphans_are_refused(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let [call, result] = <[_; 2]>::try_from(space.tool("call-1", "one")).expect("a call and a result");
    let other = space.tool("call-2", "two").remove(1);
    let said = space.draft(PageKind::User, "in between");
    let broken = [
        vec![call.clone()],
        vec![result.clone()],
        vec![result.clone(), call.clone()],
        vec![call.clone(), other],
        vec![call.clone(), said, result.clone()],
        vec![call.clone(), result.clone(), result.clone()],
        vec![call.clone(), call.clone(), result.clone()],
    ];
    for drafts in broken {
        let kinds: Vec<_> = drafts.iter().map(|draft| draft.kind.clone()).collect();
        let answer = space.try_apply(&Change::Allocate(drafts));
        assert!(matches!(answer, Err(PagerError::Invalid(_))), "{kinds:?} gave {answer:?}");
    }
    let text = space.draft(PageKind::ToolCall { id: "x".into(), name: "read_file".into() }, "not JSON");
    let answer = space.draft(PageKind::ToolResult { id: "x".into(), is_error: false }, "text");
    assert!(matches!(space.try_apply(&Change::Allocate(vec![text, answer])), Err(PagerError::Invalid(_))));
    space.allocate(vec![call, result]);
    assert_no_orphans(&space.show().messages);
}
