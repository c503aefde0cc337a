//! Laws: what is found by vectors and by words that are not in a page's text.

use kernel_types::{PageKind, PageNo, Tokens};

use super::space::{Space, prose};
use crate::retrieval::{Embedding, Query};
use crate::{Change, PageDraft, Pager, PagerError, PagerFactory};

const MODEL: &str = "compass";
const QUESTION: &str = "walrus";
const BUDGET: Tokens = Tokens(1000);

/// A vector of the model `MODEL` at so many degrees.
pub(super) fn towards(degrees: f32) -> Embedding {
    of(MODEL, degrees)
}

fn of(model: &str, degrees: f32) -> Embedding {
    let (y, x) = degrees.to_radians().sin_cos();
    Embedding::new(model, &[x, y]).expect("a direction")
}

fn found(pager: &dyn Pager, embedding: Option<&Embedding>) -> Vec<PageNo> {
    let query = Query::words(QUESTION).near(embedding);
    pager.find(&query, BUDGET).iter().map(|hit| hit.page).collect()
}

/// A space of pages that share no word with the question, at 0, 60 and 120 degrees, and one without a vector that does.
fn compass(factory: &dyn PagerFactory) -> (Space, Vec<PageNo>) {
    let mut space = Space::new(factory, 4000);
    let mut pages = Vec::new();
    for degrees in [0_u16, 60, 120] {
        let draft = space.draft(PageKind::Document, &prose(degrees.into(), 20));
        let embedding = Some(towards(degrees.into()));
        pages.extend(space.allocate(vec![PageDraft { swapped: true, embedding, ..draft }]));
    }
    pages.push(space.document("w.txt", "The walrus sleeps."));
    (space, pages)
}

/// A page that shares no word with the query is found by its vector, the nearest first; those without one by their words.
pub fn a_vector_finds_what_words_do_not(factory: &dyn PagerFactory) {
    let (space, pages) = compass(factory);
    assert_eq!(found(&*space.pager, None), pages[3..], "by words alone");
    let mut near: Vec<PageNo> = found(&*space.pager, Some(&towards(5.0)));
    assert!(near.contains(&pages[3]), "by its words: {near:?}");
    near.retain(|page| *page != pages[3]);
    assert_eq!(near[..2], pages[..2]);
    let near = found(&*space.pager, Some(&towards(115.0)));
    assert!(near.iter().position(|page| *page == pages[2]) < near.iter().position(|page| *page == pages[1]));
}

/// A vector of another model, of a query or of a page, is as good as none.
pub fn another_model_s_vector_changes_nothing(factory: &dyn PagerFactory) {
    let (mut space, pages) = compass(factory);
    let wider = Embedding::new(MODEL, &[1.0, 0.0, 0.0]).expect("a direction");
    for other in [of("other", 5.0), wider] {
        assert_eq!(found(&*space.pager, Some(&other)), found(&*space.pager, None));
    }
    space.apply(&Change::Embed { page: pages[0], embedding: of("other", 0.0) });
    assert!(!found(&*space.pager, Some(&towards(5.0))).contains(&pages[0]), "its vector is of another model");
    assert!(found(&*space.pager, Some(&of("other", 5.0))).contains(&pages[0]), "of the query's");
}

/// A vector may come later than its page and takes the place of the one before; a page that is not there has none.
pub fn a_vector_may_come_later(factory: &dyn PagerFactory) {
    let (mut space, pages) = compass(factory);
    for seed in 0..40 {
        space.document("rest.txt", &prose(200 + seed, 10));
    }
    let late = space.document("late.txt", &prose(300, 10));
    for page in [late, pages[0]] {
        assert!(!found(&*space.pager, Some(&towards(-120.0))).contains(&page));
        space.apply(&Change::Embed { page, embedding: towards(-120.0) });
        assert!(found(&*space.pager, Some(&towards(-120.0))).contains(&page));
    }
    assert!(!found(&*space.pager, Some(&towards(55.0))).contains(&pages[0]), "its first vector is gone");
    space.apply(&Change::Free(late));
    let saved = space.saved();
    for page in [late, PageNo(9_999), PageNo(0)] {
        let refused = space.try_apply(&Change::Embed { page, embedding: towards(0.0) });
        assert_eq!(refused, Err(PagerError::NotFound(page)));
    }
    assert_eq!(space.saved(), saved, "a refusal changes nothing");
}

/// Vectors and words about pages survive saving and forking, and forks do not see each other's.
pub fn vectors_survive_saving_and_forking(factory: &dyn PagerFactory) {
    let (mut space, pages) = compass(factory);
    let draft = space.draft(PageKind::User, "Nothing of the kind.");
    let about = vec!["Walrus".to_owned(), "2023-05-07".to_owned()];
    space.allocate(vec![PageDraft { about, ..draft }]);
    space.apply(&Change::Embed { page: pages[3], embedding: towards(200.0) });
    let (answers, late) =
        (|pager: &dyn Pager| [0.0, 70.0, 200.0].map(|to| found(pager, Some(&towards(to)))), pages[3]);
    let before = answers(&*space.pager);
    let loaded = factory.load(&space.config, &space.saved(), &space.swap).expect("a saved state loads");
    let mut fork = space.pager.fork();
    assert_eq!(answers(&*loaded), before);
    assert_eq!(answers(&*fork), before);
    assert_eq!(loaded.pages(), space.pager.pages(), "what they are about included");
    fork.apply(&Change::Embed { page: late, embedding: towards(0.0) }, &space.swap)
        .expect("the page is there");
    assert_eq!(answers(&*space.pager), before, "the fork's change is the fork's");
    assert_ne!(answers(&*fork), before);
}

/// A page is found by who said it and when, though its text has neither.
pub fn a_page_is_found_by_what_it_is_about(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    let mut said = |who: &str, day: &str, text: &str| {
        let draft = space.draft(PageKind::User, text);
        let about = vec![who.to_owned(), day.to_owned()];
        space.allocate(vec![PageDraft { about, ..draft }])[0]
    };
    let (ann, bob) = (said("Ann", "2023-05-07", &prose(1, 20)), said("Bob", "2023-06-08", &prose(2, 20)));
    let first = |query: &str| {
        let found = space.pager.find(&Query::words(query), BUDGET);
        found.first().map(|hit| hit.page)
    };
    assert_eq!(first("What did Bob say?"), Some(bob));
    assert_eq!(first("Who spoke on 7 May 2023?"), Some(ann));
    let listed = space.pager.pages();
    assert_eq!(listed[0].about, ["Ann", "2023-05-07"]);
    for about in [vec![String::new(); 33], vec!["x".repeat(257)]] {
        let draft = PageDraft { about, ..space.draft(PageKind::User, "text") };
        let refused = space.try_apply(&Change::Allocate(vec![draft]));
        assert!(matches!(refused, Err(PagerError::Invalid(_))), "{refused:?}");
    }
}
