//! Laws: a state is what its changes made it, and survives being saved.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel_types::{PageKind, Tokens};

use super::family::random_changes;
use super::space::{Space, prose};
use super::vectors::towards;
use crate::retrieval::Query;
use crate::{Change, PageDraft, PagerError, PagerFactory};

/// Replaying the same changes gives the same bytes.
pub fn the_same_changes_give_the_same_state(factory: &dyn PagerFactory) {
    for seed in 0..4 {
        let (mut first, changes) = random_changes(factory, 1200, seed, 150);
        let mut second = Space::new(factory, 1200);
        second.swap = first.swap.clone();
        for change in &changes {
            second.apply(change);
        }
        assert_eq!(first.saved(), second.saved(), "seed {seed}");
        assert_eq!(first.show(), second.show(), "seed {seed}");
    }
}

/// A space that was saved and loaded is the same, and goes on the same.
pub fn a_saved_space_is_the_same(factory: &dyn PagerFactory) {
    for seed in 0..4 {
        let (mut space, _) = random_changes(factory, 1200, seed, 100);
        let saved = space.saved();
        let loaded = factory.load(&space.config, &saved, &space.swap).expect("a saved state loads");
        let mut twin =
            Space { config: space.config.clone(), pager: loaded, swap: space.swap.clone(), now: space.now };
        assert_eq!(twin.saved(), saved, "seed {seed}");
        assert_eq!(twin.pager.pages(), space.pager.pages(), "seed {seed}");
        let vector = towards(45.0);
        let query = Query::words("river stone text").near(Some(&vector));
        let answers = |space: &Space| space.pager.find(&query, Tokens(600));
        assert_eq!(answers(&twin), answers(&space), "seed {seed}");
        for more in 0..20 {
            twin.user(&prose(more, 30));
            space.user(&prose(more, 30));
            assert_eq!(twin.show(), space.show(), "seed {seed}");
        }
        assert_eq!(twin.saved(), space.saved(), "seed {seed}");
    }
}

/// A space restored from the saved state of another is the same; only an empty one takes it, and only a whole one.
pub fn a_restored_space_is_the_same(factory: &dyn PagerFactory) {
    let (mut space, _) = random_changes(factory, 1200, 7, 100);
    let saved = space.saved();
    let mut twin = Space::new(factory, 1200);
    let state = kernel_types::hash_bytes(STANDARD.encode(&saved).as_bytes());
    let fault = twin.try_apply(&Change::Restore { state });
    assert!(matches!(fault, Err(PagerError::Fault(_))), "{fault:?}");
    twin.swap = space.swap.clone();
    let cut = twin.swap.insert(STANDARD.encode(&saved[..saved.len() / 2]));
    for wrong in [cut, twin.swap.insert("not base64")] {
        let refused = twin.try_apply(&Change::Restore { state: wrong });
        assert!(matches!(refused, Err(PagerError::Corrupt(_))), "{refused:?}");
    }
    twin.swap.insert(STANDARD.encode(&saved));
    twin.apply(&Change::Restore { state });
    assert_eq!(twin.saved(), saved);
    let again = twin.try_apply(&Change::Restore { state });
    assert!(matches!(again, Err(PagerError::Invalid(_))), "{again:?}");
    assert_eq!(twin.show(), space.show());
    cannot_be_restored_into_a_window_too_small(factory);
}

/// What must stay has to fit where a space is restored.
fn cannot_be_restored_into_a_window_too_small(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 1200);
    let draft = space.draft(PageKind::User, &prose(1, 500));
    space.allocate(vec![PageDraft { pinned: true, ..draft }]);
    let encoded = STANDARD.encode(space.saved());
    for (window, fits) in [(400, false), (1200, true)] {
        let mut small = Space::new(factory, window);
        small.swap = space.swap.clone();
        let state = small.swap.insert(encoded.clone());
        let before = small.saved();
        match small.try_apply(&Change::Restore { state }) {
            Ok(_) => assert!(fits, "a window of {window} took more than it holds"),
            Err(error) => {
                assert!(!fits && matches!(error, PagerError::AllPinned { .. }), "{window}: {error}");
                assert_eq!(small.saved(), before, "a refused import changes nothing");
            }
        }
    }
}

/// A fork is the same, and from then on neither sees what becomes of the other.
pub fn a_fork_goes_its_own_way(factory: &dyn PagerFactory) {
    for seed in 0..4 {
        let (mut parent, _) = random_changes(factory, 1200, seed, 100);
        let pager = parent.pager.fork();
        let mut child =
            Space { config: parent.config.clone(), pager, swap: parent.swap.clone(), now: parent.now };
        let saved = parent.saved();
        assert_eq!(child.saved(), saved, "seed {seed}");
        let ours = child.user("the child's ocelot");
        child.show();
        let known: Vec<_> = child.pager.pages().iter().map(|status| status.page).collect();
        child.apply(&Change::Free(known[0]));
        assert_eq!(parent.saved(), saved, "seed {seed}: the parent changed with its child");
        assert!(parent.pager.find(&Query::words("ocelot"), Tokens(600)).is_empty(), "seed {seed}");
        let saved = child.saved();
        let theirs = parent.user("the parent's falcon");
        parent.show();
        assert_eq!(child.saved(), saved, "seed {seed}: the child changed with its parent");
        assert_eq!(
            (child.text(ours), parent.text(theirs)),
            ("the child's ocelot".into(), "the parent's falcon".into())
        );
    }
}

/// Loading without the bodies is a fault that names them all.
pub fn loading_needs_bodies(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    space.user("first");
    space.user("second");
    let saved = space.saved();
    let empty = crate::MemorySwap::default();
    match factory.load(&space.config, &saved, &empty).map(|_| ()) {
        Err(PagerError::Fault(missing)) => {
            let mut swap = crate::MemorySwap::default();
            for hash in missing {
                swap.insert(
                    crate::Swap::body(&space.swap, &hash).expect("a fault names bodies of the space"),
                );
            }
            assert!(factory.load(&space.config, &saved, &swap).is_ok(), "a fault that was served");
        }
        Ok(()) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Bytes that are not a saved state are refused and never panic: cut off, longer, or with any one byte changed.
pub fn hostile_bytes_are_refused(factory: &dyn PagerFactory) {
    let mut space = Space::new(factory, 4000);
    space.user("some text");
    let drafts = space.tool("call-1", "result");
    let pages = space.allocate(drafts);
    space.show();
    space.apply(&Change::Evict(pages));
    let draft = space.draft(PageKind::Note { name: "step".into() }, "3");
    space.allocate(vec![draft]);
    let draft = space.draft(PageKind::Assistant, "It rained.");
    let about = vec!["Ann".to_owned(), "2023-05-07".to_owned()];
    space.allocate(vec![PageDraft { about, embedding: Some(towards(30.0)), ..draft }]);
    let saved = space.saved();
    let load = |bytes: &[u8]| factory.load(&space.config, bytes, &space.swap);
    assert!(load(&saved).is_ok());
    for cut in 0..saved.len() {
        let answer = load(&saved[..cut]).map(|_| ());
        assert!(matches!(answer, Err(PagerError::Corrupt(_))), "cut at {cut}: {answer:?}");
    }
    let longer = [&saved[..], b"x"].concat();
    assert!(matches!(load(&longer).map(|_| ()), Err(PagerError::Corrupt(_))));
    for at in 0..saved.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut bytes = saved.clone();
            bytes[at] ^= flip;
            if let Ok(pager) = load(&bytes) {
                let mut odd =
                    Space { config: space.config.clone(), pager, swap: space.swap.clone(), now: space.now };
                let _ = odd.pager.plan(odd.now);
                let _ = odd.pager.render(&odd.swap);
                let _ = odd
                    .try_apply(&Change::Evict(odd.pager.pages().iter().map(|status| status.page).collect()));
                let _ = odd.pager.find(&Query::words("text").near(Some(&towards(0.0))), Tokens(100));
            }
        }
    }
}
