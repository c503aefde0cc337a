//! What the batch policy promises beyond the contract: when it evicts, what it leaves behind, how it looks.

use kernel_context::conformance::Space;
use kernel_context::{Change, PageDraft, PagerConfig, PagerError, PagerFactory, PlanKind, Replacement};
use kernel_types::{Importance, Message, PageKind, PageNo, Part, Role, Timestamp, Tokens};

const WINDOW: u64 = 2_000;
const BATCH: Replacement = Replacement::BatchFifo { high: 0.95, low: 0.75 };

fn space() -> Space {
    Space::new(&BATCH, WINDOW)
}

fn filler(seed: u64) -> String {
    format!("Entry {seed}. {}", "The wind was calm. ".repeat(12))
}

fn texts(messages: &[Message]) -> Vec<String> {
    let text = |part: &Part| match part {
        Part::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    };
    messages.iter().flat_map(|message| message.parts.iter().map(text)).collect()
}

#[test]
fn evictions_come_in_batches_between_the_watermarks() {
    let mut space = space();
    let mut evictions = 0;
    for seed in 0..400 {
        space.user(&filler(seed));
        let planned = !space.pager.plan(space.now).unwrap().changes.is_empty();
        let rendered = space.show();
        if planned {
            evictions += 1;
            assert!(rendered.tokens.0 <= WINDOW * 75 / 100, "{} tokens after a compaction", rendered.tokens);
        } else {
            assert!(rendered.tokens.0 <= WINDOW * 95 / 100, "{} tokens and no compaction", rendered.tokens);
        }
    }
    assert!((20..=90).contains(&evictions), "{evictions} compactions for 400 pages of 65 tokens");
}

#[test]
fn watermarks_out_of_order_are_refused() {
    let config = space().config;
    let make = |high, low| Replacement::BatchFifo { high, low }.make(&config).map(|_| ());
    for (high, low) in [(0.5, 0.6), (1.1, 0.5), (0.9, 0.0), (0.9, -1.0), (f64::NAN, 0.5), (0.9, f64::NAN)] {
        assert!(matches!(make(high, low), Err(PagerError::Invalid(_))), "{high} {low}");
    }
    assert_eq!(make(0.9, 0.9), Ok(()));
}

#[test]
fn pages_used_often_stay_longer() {
    let mut space = Space::new(&Replacement::default(), WINDOW);
    let pages: Vec<PageNo> = (0..4).map(|seed| space.user(&filler(seed))).collect();
    for seed in 100..108 {
        space.user(&filler(seed));
        space.show();
        space.apply(&Change::Touch(vec![pages[1]]));
    }
    for seed in 10..40 {
        space.user(&filler(seed));
        space.show();
    }
    assert!(space.is_resident(pages[1]), "used eight times");
    assert!(!space.is_resident(pages[0]) && !space.is_resident(pages[2]), "never used");
}

#[test]
fn old_use_fades() {
    let mut space = Space::new(&Replacement::default(), WINDOW);
    let page = space.user(&filler(0));
    for _ in 0..8 {
        space.apply(&Change::Recall(vec![page]));
    }
    for seed in 1..2_000 {
        space.user(&filler(seed));
        space.show();
    }
    assert!(!space.is_resident(page), "used eight times, 2,000 pages ago");
}

#[test]
fn recalled_pages_yield_before_new_ones_and_the_last_first() {
    let mut space = Space::new(&BATCH, 500);
    let drafts: Vec<PageDraft> = (0..6)
        .map(|seed| PageDraft {
            swapped: true,
            ..space.lines("log.txt", 1 + 10 * seed, &filler(seed.into()))
        })
        .collect();
    let pages = space.allocate(drafts);
    space.apply(&Change::Recall(pages.clone()));
    let question = space.user(&filler(99));
    let resident = space.show().resident;
    assert!(resident.contains(&question) && resident.contains(&pages[0]), "{resident:?}");
    assert!(!resident.contains(&pages[5]), "{resident:?}");
}

#[test]
fn a_swapped_range_leaves_one_stub() {
    let mut space = space();
    let first = space.user("the question");
    let pages: Vec<PageNo> = (0..4).map(|seed| space.document("guide.md", &filler(seed))).collect();
    let drafts = space.tool("call-1", "a result");
    let tool = space.allocate(drafts);
    space.user("the end");
    space.show();
    space.apply(&Change::Evict([&pages[..], &tool[..1]].concat()));
    let stub = "[pages 2-7 swapped out: guide.md, read_file, tool results; recall by number or by words]";
    assert_eq!(texts(&space.show().messages), ["the question", stub, "the end"]);

    space.apply(&Change::Recall(vec![pages[1]]));
    assert_eq!(texts(&space.show().messages)[1], stub, "a recall leaves earlier bytes alone");
    space.apply(&Change::Evict(vec![first]));
    let stub = "[pages 1-2, 4-7 swapped out: conversation, guide.md, read_file, tool results; recall by number or by words]";
    let shown = texts(&space.show().messages);
    assert_eq!(
        shown[..2],
        [stub.to_owned(), "the end".to_owned()],
        "the next compaction brings it up to date"
    );
    assert!(shown[2].starts_with("[page 3: guide.md lines 1-1]\nEntry 1."), "{shown:?}");
}

#[test]
fn pages_never_shown_leave_no_stub() {
    let mut space = space();
    let shown = space.user("the question");
    let draft = space.lines("guide.md", 1, &filler(1));
    let hidden = space.allocate(vec![PageDraft { swapped: true, ..draft }]);
    space.apply(&Change::Evict(hidden));
    assert_eq!(texts(&space.show().messages), ["the question"]);
    assert!(space.is_resident(shown));
}

#[test]
fn stubs_stay_within_their_share() {
    let mut space = Space::new(&BATCH, 400);
    let pages: Vec<PageNo> =
        (0..12).map(|seed| space.document(&format!("file-{seed}.md"), "short")).collect();
    let odd: Vec<PageNo> = pages.iter().copied().filter(|page| page.0 % 2 == 1).collect();
    space.show();
    space.apply(&Change::Evict(odd));
    let rendered = space.show();
    let stubs: Vec<String> =
        texts(&rendered.messages).into_iter().filter(|text| text.contains("swapped")).collect();
    assert!(stubs.len() <= 1, "six stubs do not fit into a sixteenth of 400 tokens: {stubs:?}");
    assert_eq!(rendered.resident.len(), 6);
}

#[test]
fn what_returns_is_quoted() {
    let mut space = space();
    let question = space.user("why?");
    let draft = space.draft(PageKind::Assistant, "because.");
    let answer = space.allocate(vec![draft])[0];
    space.user("and then?");
    space.show();
    space.apply(&Change::Evict(vec![question, answer]));
    space.apply(&Change::Recall(vec![question, answer]));
    let messages = space.show().messages;
    assert!(
        messages.iter().all(|message| message.role == Role::User),
        "a quoted answer is not the model's turn"
    );
    let shown = texts(&messages);
    assert_eq!(
        shown[2..],
        ["[page 1, recalled: said by the user]\nwhy?", "[page 2, recalled: said by the assistant]\nbecause."]
    );
}

#[test]
fn a_header_is_one_line_whatever_the_path() {
    let mut space = space();
    space.document("a\nb]\u{7}.txt", "text");
    let shown = texts(&space.show().messages);
    assert_eq!(shown, ["[page 1: a\u{FFFD}b]\u{FFFD}.txt lines 1-1]\ntext"]);
    space.document(&"long/".repeat(200), "text");
    let header = texts(&space.show().messages)[1].lines().next().unwrap().chars().count();
    assert!(header < 180, "a header of {header} characters");
}

#[test]
fn instructions_after_the_first_call_leave_the_prefix_alone() {
    let mut space = space();
    let system = space.draft(PageKind::System, "Be careful.");
    space.allocate(vec![system]);
    space.user("a question");
    let before = texts(&space.show().messages);
    let late = space.draft(PageKind::System, "Be brief.");
    let late = space.allocate(vec![late])[0];
    let after = texts(&space.show().messages);
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(after[before.len()..], ["[instructions]\nBe brief."]);
    assert_eq!(space.try_apply(&Change::Evict(vec![late])), Err(PagerError::Pinned(late)));
    assert!(matches!(space.try_apply(&Change::Unpin(late)), Err(PagerError::Invalid(_))));
}

#[test]
fn drafts_that_make_no_sense_are_refused() {
    let mut space = space();
    let plain = space.draft(PageKind::User, "text");
    let broken = [
        PageDraft { swapped: true, pinned: true, ..plain.clone() },
        PageDraft { swapped: true, kind: PageKind::System, ..plain.clone() },
        PageDraft { swapped: true, kind: PageKind::Note { name: "n".into() }, ..plain.clone() },
        PageDraft {
            origin: Some(kernel_types::Origin { first_line: 2, last_line: 1, ..Default::default() }),
            ..plain.clone()
        },
    ];
    for draft in broken {
        let answer = space.try_apply(&Change::Allocate(vec![draft.clone()]));
        assert!(matches!(answer, Err(PagerError::Invalid(_))), "{draft:?} gave {answer:?}");
    }
    let mixed = vec![plain.clone(), PageDraft { swapped: true, ..plain.clone() }];
    assert!(matches!(space.try_apply(&Change::Allocate(mixed)), Err(PagerError::Invalid(_))));
    assert_eq!(space.allocate(vec![plain]), [PageNo(1)]);
    assert_eq!(space.allocate(Vec::new()), []);
}

#[test]
fn documents_of_one_change_come_and_go_alone() {
    let mut space = space();
    let drafts = (0..3).map(|seed| space.lines("a.txt", 1 + seed, &filler(seed.into()))).collect();
    let pages = space.allocate(drafts);
    space.show();
    space.apply(&Change::Evict(vec![pages[1]]));
    assert_eq!(pages.iter().map(|page| space.is_resident(*page)).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn an_allocation_that_cannot_be_shown_with_what_is_new_is_refused() {
    let mut space = Space::new(&BATCH, 300);
    space.user(&"calm sea ".repeat(80));
    let before = space.saved();
    let more = space.draft(PageKind::User, &"calm sea ".repeat(80));
    assert!(matches!(
        space.try_apply(&Change::Allocate(vec![more.clone()])),
        Err(PagerError::AllPinned { .. })
    ));
    assert_eq!(space.saved(), before);
    space.show();
    space.allocate(vec![more]);
    space.show();
}

#[test]
fn notes_leave_only_when_nothing_else_helps() {
    let mut space = Space::new(&BATCH, 300);
    let draft = space.draft(PageKind::Note { name: "plan".into() }, "first this, then that");
    let note = space.allocate(vec![draft])[0];
    for seed in 0..20 {
        space.user(&filler(seed));
        assert!(space.show().resident.contains(&note));
    }
    let draft = space.draft(PageKind::User, &"calm sea ".repeat(138));
    space.allocate(vec![PageDraft { pinned: true, ..draft }]);
    assert!(!space.show().resident.contains(&note));
    assert_eq!(space.text(note), "first this, then that");
}

#[test]
fn another_model_counts_anew() {
    let mut space = space();
    let page = space.user(&"页面置换算法与提示前缀缓存。".repeat(20));
    let gone = space.user("leaves");
    space.show();
    space.apply(&Change::Evict(vec![gone]));
    space.apply(&Change::Calibrate { estimated: Tokens(1000), reported: Tokens(1500) });
    let saved = space.saved();
    let before = space.pager.read(page, &space.swap).unwrap().tokens;
    let other = PagerConfig { model: "gpt-4".to_owned(), ..space.config.clone() };
    let pager = BATCH.load(&other, &saved, &space.swap).unwrap();
    let after = pager.read(page, &space.swap).unwrap().tokens;
    assert_ne!(before, after, "another vocabulary, and no calibration of the old model");
    let mut fresh = Space { config: other, pager, swap: space.swap.clone(), now: space.now };
    let rendered = fresh.show();
    assert!(rendered.tokens >= after && rendered.raw_tokens == rendered.tokens, "gpt-4's own vocabulary");
}

#[test]
fn of_equals_the_larger_leaves_first() {
    let mut space = Space::new(&Replacement::default(), WINDOW);
    let older: Vec<PageNo> = (0..5).map(|seed| space.user(&filler(seed))).collect();
    let large = space.user(&filler(5).repeat(8));
    let all = |space: &Space| older.iter().all(|page| space.is_resident(*page));
    let mut seed = 10;
    while all(&space) && space.is_resident(large) {
        space.user(&filler(seed));
        space.show();
        seed += 1;
    }
    assert!(!space.is_resident(large), "the first compaction takes what frees most");
}

#[test]
fn importance_outweighs_age() {
    let mut space = Space::new(&Replacement::default(), WINDOW);
    let mut allocate = |importance: f64, seed: u64| {
        let draft = space.draft(PageKind::User, &filler(seed));
        space.allocate(vec![PageDraft { importance: Importance::new(importance).unwrap(), ..draft }])[0]
    };
    let (old, young) = (allocate(0.9, 1), allocate(0.1, 2));
    for seed in 10..44 {
        space.user(&filler(seed));
        space.show();
    }
    assert!(space.is_resident(old) && !space.is_resident(young));
}

#[test]
fn a_prefix_is_cold_when_its_time_to_live_is_over() {
    let mut space = space();
    space.config.cache.ttl_s = 300;
    space.pager = BATCH.make(&space.config).unwrap();
    let shown_at = space.now.0;
    let mut seed = 0;
    while space.pager.plan(space.now).unwrap().changes.is_empty() {
        space.show();
        space.user(&filler(seed));
        seed += 1;
    }
    let kind = |ms: u64| space.pager.plan(Timestamp(shown_at + ms)).unwrap().kind;
    assert_eq!([kind(299_999), kind(300_000)], [PlanKind::Minor, PlanKind::Cold]);
}
