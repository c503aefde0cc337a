//! What a window's explanation says: the window as it is rendered, why, what left, what would leave.

use kernel_context::{
    Change, Explanation, MemorySwap, PageDraft, Pager, PagerConfig, PagerFactory, PlanKind, Replacement,
    RowKind, Why, WindowPart,
};
use kernel_types::{CacheModel, Catalogue, Importance, PageKind, PageNo, Timestamp, Tokens};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

struct Agent {
    pager: Box<dyn Pager>,
    swap: MemorySwap,
    said: u32,
}

impl Agent {
    fn new(policy: Replacement, window: u64) -> Self {
        let cache: CacheModel = *Catalogue::built_in().cache("llamacpp").unwrap();
        let config = PagerConfig { model: "gpt-4o".into(), window: Tokens(window), cache, keep_warm: true };
        Self { pager: policy.make(&config).unwrap(), swap: MemorySwap::default(), said: 0 }
    }

    fn draft(&mut self, kind: PageKind, text: &str) -> PageDraft {
        let importance = Importance::default();
        let body = self.swap.insert(text);
        PageDraft { importance, ..PageDraft::new(kind, body) }
    }

    fn apply(&mut self, change: &Change) -> Vec<PageNo> {
        self.pager.apply(change, &self.swap).unwrap().pages
    }

    fn say(&mut self, kind: PageKind, words: usize) -> PageNo {
        self.said += 1;
        let draft = self.draft(kind, &format!("{} {}", self.said, "word ".repeat(words)));
        self.apply(&Change::Allocate(vec![draft]))[0]
    }

    /// Makes room, renders, and takes the prompt as answered.
    fn call(&mut self) {
        let now = Timestamp(u64::from(self.said));
        for change in self.pager.plan(now).unwrap().changes {
            self.apply(&change);
        }
        let trace = self.pager.render(&self.swap).unwrap().trace;
        self.apply(&Change::Rendered { trace, at: now });
    }

    fn explain(&self) -> Explanation {
        self.pager.explain(Timestamp(u64::from(self.said))).unwrap()
    }
}

/// The row that a page is in, if one names it.
fn why(explanation: &Explanation, page: PageNo) -> Option<Why> {
    let names = |ranges: &[(PageNo, PageNo)]| ranges.iter().any(|(a, b)| (*a..=*b).contains(&page));
    let row = explanation.rows.iter().find(|row| row.kind != RowKind::Stub && names(&row.pages.ranges));
    row.map(|row| row.why)
}

#[test]
fn each_page_has_its_reason() {
    let mut agent = Agent::new(Replacement::default(), 1_000);
    let system = agent.say(PageKind::System, 20);
    let pinned = agent.say(PageKind::User, 20);
    agent.apply(&Change::Pin(pinned));
    agent.call();
    for _ in 0..20 {
        agent.say(PageKind::User, 100);
        agent.call();
    }
    let old = agent.pager.pages().iter().find(|page| !page.resident).unwrap().page;
    let note = agent.say(PageKind::Note { name: "plan".into() }, 5);
    agent.apply(&Change::Recall(vec![old]));
    let fresh = agent.say(PageKind::User, 30);
    for change in agent.pager.plan(Timestamp(99)).unwrap().changes {
        agent.apply(&change);
    }
    let explanation = agent.explain();
    let reasons = [
        (system, Why::Instructions),
        (pinned, Why::Pinned),
        (old, Why::Recalled),
        (note, Why::Note),
        (fresh, Why::Fresh),
    ];
    for (page, reason) in reasons {
        assert_eq!(why(&explanation, page), Some(reason), "page {page}: {explanation:#?}");
    }
    let parts: Vec<WindowPart> = explanation.rows.iter().map(|row| row.part).collect();
    assert!(parts.is_sorted(), "head, frozen, young, notes: {parts:?}");
    assert_eq!((parts.first(), parts.last()), (Some(&WindowPart::Head), Some(&WindowPart::Notes)));
    assert!(explanation.rows.iter().any(|row| row.kind == RowKind::Stub && row.pages.count > 0));
}

#[test]
fn what_is_used_is_kept_for_that() {
    let mut agent = Agent::new(Replacement::default(), 1_000);
    agent.say(PageKind::System, 20);
    let used = agent.say(PageKind::User, 50);
    for _ in 0..30 {
        agent.say(PageKind::User, 60);
        agent.call();
        if agent.pager.read(used, &agent.swap).unwrap().resident {
            agent.apply(&Change::Touch(vec![used]));
        } else {
            agent.apply(&Change::Recall(vec![used]));
        }
    }
    agent.call();
    let explanation = agent.explain();
    assert_eq!(why(&explanation, used), Some(Why::Used), "{explanation:#?}");
    let row = explanation.rows.iter().find(|row| row.why == Why::Used).unwrap();
    assert!(row.uses > 10 && row.missed > Some(0.1) && !row.leaves, "{row:?}");
    let statistics = explanation.statistics.unwrap();
    assert_eq!(statistics.calls, 31);
    assert!((50..150).contains(&statistics.growth.0), "{statistics:?}");
    assert!(statistics.reuse[2] > statistics.reuse[0], "{statistics:?}");
    assert!((0.5..=1.0).contains(&statistics.mean_use), "{statistics:?}");
}

#[test]
fn what_left_comes_newest_first_with_how_it_went() {
    let mut agent = Agent::new(Replacement::default(), 1_000);
    let asked = agent.say(PageKind::User, 50);
    agent.say(PageKind::User, 50);
    agent.call();
    agent.apply(&Change::Evict(vec![asked]));
    assert_eq!(agent.explain().left[0].compacted, Some(false));
    for _ in 0..20 {
        agent.say(PageKind::User, 100);
        agent.call();
    }
    let left = agent.explain().left;
    assert!(left.len() > 10, "{left:?}");
    assert!(left.iter().map(|row| row.calls_ago).is_sorted(), "{left:?}");
    let last = left.last().unwrap();
    assert_eq!((last.pages.ranges[0].0, last.compacted, last.calls_ago), (asked, Some(false), Some(20)));
    assert!(left[..left.len() - 1].iter().all(|row| row.compacted == Some(true)), "{left:?}");
    // What came back has not left.
    agent.apply(&Change::Recall(vec![asked]));
    assert!(agent.explain().left.iter().all(|row| row.pages.ranges[0].0 != asked));
}

/// The pages, fewer than are counted if there are many ranges.
fn listed(ranges: &[(PageNo, PageNo)]) -> Vec<PageNo> {
    ranges.iter().flat_map(|(first, last)| (first.0..=last.0).map(PageNo)).collect()
}

#[test]
fn the_next_compaction_is_the_one_that_happens() {
    for policy in Replacement::ALL {
        let mut agent = Agent::new(policy, 1_000);
        agent.say(PageKind::System, 20);
        for _ in 0..40 {
            agent.say(PageKind::User, 40);
            agent.call();
            let explanation = agent.explain();
            let next = &explanation.next;
            if next.kind == PlanKind::None {
                continue;
            }
            let leaving: u64 =
                explanation.rows.iter().filter(|row| row.leaves).map(|row| row.pages.count).sum();
            assert_eq!(leaving, next.pages.count, "{policy:?}");
            assert!(next.freed > Tokens::ZERO && next.rewritten.is_some(), "{policy:?} {next:?}");
        }
        // Full to the brim: what is foretold is what is planned, but for the page that comes on top.
        let mut foretold = agent.explain().next;
        while agent.pager.plan(Timestamp(41)).unwrap().changes.is_empty() {
            foretold = agent.explain().next;
            agent.say(PageKind::User, 5);
        }
        let plan = agent.pager.plan(Timestamp(41)).unwrap();
        let [Change::Compact { kind, evict }] = &plan.changes[..] else { panic!("{plan:?}") };
        let both = listed(&foretold.pages.ranges).iter().filter(|page| evict.contains(page)).count();
        assert_eq!(*kind, foretold.kind, "{policy:?}");
        assert!(2 * both >= evict.len(), "{policy:?}: {both} of {evict:?} foretold, {foretold:?}");
    }
}

#[test]
fn explaining_changes_nothing_and_adds_up_on_random_walks() {
    for policy in Replacement::ALL {
        let mut random = StdRng::seed_from_u64(7);
        let mut agent = Agent::new(policy, 2_000);
        agent.say(PageKind::System, 20);
        let mut pages = Vec::new();
        for _ in 0..200 {
            match random.random_range(0..4) {
                0 if !pages.is_empty() => {
                    let page = pages[random.random_range(0..pages.len())];
                    agent.apply(&Change::Recall(vec![page]));
                }
                1 => drop(agent.say(PageKind::Note { name: "n".into() }, 3)),
                _ => pages.push(agent.say(PageKind::User, random.random_range(1..120))),
            }
            if random.random_bool(0.6) {
                agent.call();
            }
            let before = agent.pager.save().unwrap();
            let explanation = agent.explain();
            assert_eq!(agent.pager.save().unwrap(), before);
            let tokens: u64 = explanation.rows.iter().map(|row| row.tokens.0).sum();
            let load = explanation.load.0;
            assert!(
                (load..=load + explanation.rows.len() as u64 + 64).contains(&tokens),
                "{tokens} of {load}"
            );
            let shown: u64 = explanation
                .rows
                .iter()
                .filter(|row| row.kind != RowKind::Stub)
                .map(|row| row.pages.count)
                .sum();
            let resident = agent.pager.pages().iter().filter(|page| page.resident).count();
            assert_eq!(shown, resident as u64, "{policy:?}");
        }
    }
}

#[test]
fn a_huge_space_is_explained_in_few_rows() {
    let mut agent = Agent::new(Replacement::default(), 400_000);
    let kinds = [PageKind::User, PageKind::Document];
    for at in 0..20_000 {
        let draft = agent.draft(kinds[at % 2].clone(), &format!("page {at} of a space with many pages"));
        agent.apply(&Change::Allocate(vec![draft]));
        if at % 500 == 0 {
            agent.call();
        }
    }
    agent.call();
    let explanation = agent.explain();
    assert!(explanation.rows.len() <= 256, "{} rows", explanation.rows.len());
    let out = agent.pager.pages().iter().filter(|page| !page.resident).count();
    assert_eq!((explanation.left.len(), explanation.out), (48, out as u64));
    let shown: u64 =
        explanation.rows.iter().filter(|row| row.kind != RowKind::Stub).map(|row| row.pages.count).sum();
    let resident = agent.pager.pages().iter().filter(|page| page.resident).count();
    assert_eq!(shown, resident as u64);
    assert!(serde_json::to_string(&explanation).unwrap().len() < 200_000);
}

#[test]
fn a_pager_that_knows_no_reasons_still_says_what_is_where() {
    let mut agent = Agent::new(Replacement::default(), 1_000);
    agent.say(PageKind::System, 20);
    let gone = agent.say(PageKind::User, 20);
    agent.say(PageKind::User, 20);
    agent.call();
    agent.apply(&Change::Evict(vec![gone]));
    let pages = agent.pager.pages();
    let explanation = Explanation::of_pages(&pages, &agent.pager.plan(Timestamp(1)).unwrap());
    assert_eq!(why(&explanation, PageNo(1)), Some(Why::Instructions));
    assert_eq!(why(&explanation, PageNo(3)), Some(Why::NotYetEvicted));
    assert_eq!(explanation.left[0].pages.ranges, [(gone, gone)]);
    assert_eq!((explanation.statistics, explanation.next.kind), (None, PlanKind::None));
}

#[test]
fn the_words_of_the_saved_form_are_stable() {
    let mut agent = Agent::new(Replacement::default(), 1_000);
    agent.say(PageKind::System, 20);
    agent.call();
    let json = serde_json::to_value(agent.explain()).unwrap();
    assert_eq!(json["window"], 1_000);
    assert_eq!(json["rows"][0]["part"], "head");
    assert_eq!(json["rows"][0]["why"], "instructions");
    assert_eq!(json["rows"][0]["pages"], serde_json::json!({ "count": 1, "ranges": [[1, 1]] }));
    assert_eq!(json["next"]["kind"], "none");
    assert_eq!(json["statistics"]["calls"], 1);
}
