//! What comes in by itself, what counts as used, what a summary says.

use kernel_context::conformance::Space;
use kernel_context::{Change, PagerConfig, Replacement};
use kernel_types::{CacheModel, Message, PageKind, PageNo, Part, Tokens};

const DEPLOY: &str = "The deploy key of the staging cluster rotates on the ninth of every month, by hand.";

fn filler(seed: u64) -> String {
    format!("Entry {seed}: wind calm, sea state {}, nothing else to report from the lighthouse.", seed % 7)
}

/// A space where a page about deploy keys left long ago.
fn space(replacement: Replacement) -> (Space, PageNo) {
    let mut space = Space::new(&replacement, 2_000);
    let page = space.user(DEPLOY);
    for seed in 0..120 {
        space.user(&filler(seed));
        space.show();
    }
    space.apply(&Change::Evict(vec![page]));
    space.show();
    assert!(!space.is_resident(page));
    (space, page)
}

fn text(messages: &[Message]) -> String {
    let text = |part: &Part| match part {
        Part::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    };
    messages.iter().flat_map(|message| message.parts.iter().map(text)).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_clearly_asked_for_comes_in_before_the_call() {
    let (mut space, page) = space(Replacement::default());
    space.user("When does the deploy key of the staging cluster rotate?");
    assert!(space.show().resident.contains(&page));
    space.user("And the sea state?");
    space.show();
}

#[test]
fn what_is_not_clear_stays_out() {
    let (mut space, page) = space(Replacement::default());
    for question in ["What is the sea state, and the wind?", "Hello there.", "entry nothing lighthouse"] {
        space.user(question);
        let plan = space.pager.plan(space.now).unwrap();
        assert!(
            !plan.changes.iter().any(|change| matches!(change, Change::Recall(_))),
            "{question}: {plan:?}"
        );
        assert!(!space.show().resident.contains(&page));
    }
}

#[test]
fn a_classic_policy_brings_nothing_in() {
    let (mut space, page) = space(Replacement::Lru);
    space.user("When does the deploy key of the staging cluster rotate?");
    assert!(!space.show().resident.contains(&page));
}

#[test]
fn an_answer_uses_what_shares_its_rare_words() {
    let mut space = Space::new(&Replacement::default(), 4_000);
    let page = space.user(DEPLOY);
    for seed in 0..20 {
        space.user(&filler(seed));
    }
    space.show();
    let used = space.pager.used_by("The staging cluster's deploy key rotates on the ninth of the month.");
    assert_eq!(used, [page]);
    assert!(space.pager.used_by("Quite unrelated vocabulary throughout.").is_empty());
    space.apply(&Change::Evict(vec![page]));
    assert!(!space.pager.used_by("the deploy key").contains(&page), "what is not in the window was not used");
}

#[test]
fn a_summary_says_what_left_and_the_pages_stay_recallable() {
    let mut space = Space::new(&Replacement::Summarise { high: 0.95, low: 0.6 }, 2_000);
    let page = space.user(DEPLOY);
    let mut seed = 0;
    while space.is_resident(page) {
        space.user(&filler(seed));
        space.show();
        seed += 1;
    }
    let shown = text(&space.show().messages);
    assert!(shown.contains("In short: 1: The deploy key of the staging cluster"), "{shown}");
    let saved = space.saved();
    let config = PagerConfig {
        model: "gpt-4o".to_owned(),
        window: Tokens(2_000),
        cache: CacheModel { breakpoints: 4, ..CacheModel::default() },
        keep_warm: true,
    };
    let loaded = kernel_context::PagerFactory::load(
        &Replacement::Summarise { high: 0.95, low: 0.6 },
        &config,
        &saved,
        &space.swap,
    )
    .unwrap();
    assert_eq!(loaded.save().unwrap(), saved);
    space.apply(&Change::Recall(vec![page]));
    assert!(text(&space.show().messages).contains(DEPLOY));
    let draft = space.draft(PageKind::User, "and on");
    space.allocate(vec![draft]);
}
