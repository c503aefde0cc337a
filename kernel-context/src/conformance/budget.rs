//! Laws: what `find` finds.

use kernel_types::Tokens;

use super::space::{Space, prose};
use crate::retrieval::Query;
use crate::{Change, PagerFactory};

/// Pages that are not in the window are found, and told apart from those that are.
pub fn find_knows_what_was_swapped(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let resident = space.document("a.txt", "The walrus sleeps.");
    let evicted = space.document("b.txt", "The walrus eats.");
    let draft = space.lines("c.txt", 1, "The walrus swims.");
    let never = space.allocate(vec![crate::PageDraft { swapped: true, ..draft }])[0];
    space.show();
    space.apply(&Change::Evict(vec![evicted]));
    let mut found = space.pager.find(&Query::words("walrus"), Tokens(1000));
    found.sort_by_key(|hit| hit.page);
    let found: Vec<_> = found.iter().map(|hit| (hit.page, hit.was_resident)).collect();
    assert_eq!(found, [(resident, true), (evicted, false), (never, false)]);
}

/// A page with all words of a query comes before one with a single word; the best has a million.
pub fn find_names_the_best_first(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    for seed in 0..10 {
        space.document(&format!("{seed}.txt"), &prose(seed, 30));
    }
    let some = space
        .document("x.txt", "A walrus and a carpenter walked along the beach, talking of many other things.");
    let all =
        space.document("y.txt", "The walrus ate oysters with vinegar, as walruses eat oysters by the dozen.");
    let found = space.pager.find(&Query::words("walrus oysters vinegar"), Tokens(1000));
    assert_eq!(found.iter().map(|hit| hit.page).collect::<Vec<_>>(), [all, some]);
    assert_eq!(found[0].score, 1_000_000);
    assert!(found.is_sorted_by(|a, b| a.score >= b.score));
}

/// The pages found fit the budget, also when recalled.
pub fn find_stays_in_its_budget(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    for seed in 0..20 {
        let draft = space.lines("w.txt", 1 + 10 * seed, &format!("walrus {}", prose(seed.into(), 50)));
        space.allocate(vec![crate::PageDraft { swapped: true, ..draft }]);
    }
    for budget in [0, 10, 100, 500, 5000] {
        let found = space.pager.find(&Query::words("walrus"), Tokens(budget));
        let sum: Tokens = found.iter().map(|hit| hit.tokens).sum();
        assert!(sum <= Tokens(budget), "{sum} tokens for a budget of {budget}");
        assert_eq!(found.is_empty(), budget < 50, "{budget} tokens found {} pages", found.len());
    }
    let found: Vec<_> =
        space.pager.find(&Query::words("walrus"), Tokens(500)).iter().map(|hit| hit.page).collect();
    space.apply(&Change::Recall(found));
    assert!(space.render().tokens <= Tokens(500));
}

/// A query without a word in common finds nothing.
pub fn find_without_a_match_is_empty(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    assert!(space.pager.find(&Query::words("walrus"), Tokens(1000)).is_empty());
    space.document("a.txt", &prose(1, 50));
    for query in ["walrus", "", "?!", "\u{0}"] {
        assert!(space.pager.find(&Query::words(query), Tokens(1000)).is_empty(), "{query:?}");
    }
    assert_eq!(space.pager.find(&Query::words("text"), Tokens(1000)).len(), 1);
}

/// Looking changes nothing.
pub fn find_changes_nothing(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    space.document("a.txt", &prose(1, 50));
    let before = space.saved();
    let found = space.pager.find(&Query::words("text river stone"), Tokens(1000));
    assert_eq!(space.pager.find(&Query::words("text river stone"), Tokens(1000)), found);
    assert_eq!(space.saved(), before);
}
