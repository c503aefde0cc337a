//! Laws: the window holds.

use kernel_types::{PageKind, PageNo, Tokens};

use super::space::{Space, prose, shown};
use crate::{Change, PagerConfig, PagerError, PagerFactory, Plan, TokenCounter};

/// A window of nothing is invalid; one of something is not.
pub fn a_window_of_zero_is_invalid(factory: &dyn PagerFactory) {
    let space = Space::new(factory, 1);
    let config = PagerConfig { window: Tokens::ZERO, ..space.config };
    assert!(matches!(factory.make(&config).map(|_| ()), Err(PagerError::Invalid(_))));
}

/// A page that exceeds the window alone is refused, swapped or not, and one of half its size is not.
pub fn a_page_larger_than_the_window_is_refused(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 200);
    let before = space.saved();
    for swapped in [false, true] {
        let mut draft = space.draft(PageKind::Document, &prose(1, 250));
        draft.swapped = swapped;
        let answer = space.try_apply(&Change::Allocate(vec![draft]));
        let Err(PagerError::TooLarge { tokens, window }) = answer else { panic!("{answer:?}") };
        assert!(tokens > window && window == Tokens(200));
        assert_eq!(space.saved(), before);
    }
    space.user(&prose(1, 100));
}

/// Whatever is allocated, the plan makes it fit, no plan is made without need, and the render never exceeds.
pub fn a_full_window_is_planned_down(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 1000);
    let mut evictions = 0;
    for seed in 0..100 {
        let page = space.user(&prose(seed, 20 + seed % 60));
        let plan = space.pager.plan(space.now).expect("a plan");
        if plan.changes.is_empty() {
            assert!(space.pager.render(&space.swap).is_ok(), "no plan, and the window does not fit");
        } else {
            evictions += 1;
        }
        let rendered = space.show();
        assert!(rendered.tokens <= Tokens(1000), "{} tokens of 1000", rendered.tokens);
        assert!(rendered.resident.contains(&page), "the newest page left");
        assert_eq!(space.pager.plan(space.now), Ok(Plan::default()), "a second plan right after the first");
    }
    assert!(evictions > 0, "7,000 tokens were put into 1,000 without an eviction");
}

/// When all but pinned pages may go, a plan exists, however small the pages; what does not fit is refused at once.
pub fn nothing_unpinned_is_left_but_fits(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 300);
    for seed in 0..200 {
        let page = space.user(&format!("p{seed}"));
        if seed % 40 == 0 {
            space.apply(&Change::Pin(page));
        }
        assert!(space.show().tokens <= Tokens(300));
    }
    let mut refused = None;
    for seed in 0..20 {
        let draft = space.draft(PageKind::User, &prose(seed, 60));
        let pinned = crate::PageDraft { pinned: true, ..draft };
        match space.try_apply(&Change::Allocate(vec![pinned])) {
            Ok(_) => assert!(space.show().tokens <= Tokens(300)),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert!(matches!(refused, Some(PagerError::AllPinned { .. })), "{refused:?}");
    assert!(space.show().tokens <= Tokens(300), "a refused page spoiled the window");
}

/// A count is not below what the model's own tokenizer says of the text shown.
pub fn counts_are_not_too_low(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let counter = TokenCounter::for_model(&space.config.model);
    for seed in 0..30 {
        match seed % 3 {
            0 => space.user(&prose(seed, 30)),
            1 => space.document("notes/第一章.md", &format!("第{seed}页 {}", prose(seed, 20))),
            _ => {
                let drafts = space.tool(&format!("call-{seed}"), &prose(seed, 30));
                space.allocate(drafts)[0]
            }
        };
        let rendered = space.show();
        let counted = counter.count(&shown(&rendered.messages));
        assert!(rendered.raw_tokens.0 >= counted, "{} shown, {} said", counted, rendered.raw_tokens);
        assert!(
            rendered.raw_tokens.0 <= 3 * counted + 100,
            "{} shown, {} said",
            counted,
            rendered.raw_tokens
        );
    }
}

/// Scripts without spaces have tokens too.
pub fn chinese_is_counted(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 20_000);
    let page = space.user(&"上下文窗口".repeat(1400));
    let tokens = space.pager.read(page, &space.swap).expect("the page").tokens;
    assert!((1750..=14_000).contains(&tokens.0), "{tokens} tokens for 7,000 characters");
}

/// When the provider reports more than was counted, counts rise and the window still holds.
pub fn a_larger_ratio_keeps_the_window(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 1000);
    let pages: Vec<PageNo> = (0..10).map(|seed| space.user(&prose(seed, 70))).collect();
    let before = space.show();
    space.apply(&Change::Calibrate {
        estimated: before.raw_tokens,
        reported: Tokens(before.raw_tokens.0 * 2),
    });
    match space.pager.render(&space.swap) {
        Err(PagerError::Overfull { tokens, window }) => assert!(tokens > window),
        answer => panic!("a window of twice the tokens was rendered: {answer:?}"),
    }
    let after = space.show();
    assert!(after.tokens <= Tokens(1000) && after.resident.len() < pages.len());
    assert!(after.tokens.0 >= 2 * after.raw_tokens.0 - 1, "{} for {}", after.tokens, after.raw_tokens);
}
