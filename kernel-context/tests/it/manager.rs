//! `ContextManager`: many agents, one process, no kernel.

use kernel_context::{ContextManager, PagerError};
use kernel_types::{PageNo, Pid, Tokens};

fn agents() -> (Pid, Pid) {
    (Pid::from_parts(1, 1), Pid::from_parts(1, 2))
}

fn filler(seed: usize) -> String {
    format!("Entry {seed}: {}", "the wind was calm and the sea was flat. ".repeat(6))
}

#[test]
fn a_page_that_was_evicted_faults_in_by_itself() {
    let (agent, _) = agents();
    let mut contexts = ContextManager::new(800);
    let first = contexts.allocate_page(agent, "the first page", 0.1).unwrap();
    for seed in 0..40 {
        contexts.allocate_page(agent, filler(seed), 0.5).unwrap();
    }
    assert!(!contexts.render(agent).unwrap().resident.contains(&first), "2,500 tokens fit into 800");
    let page = contexts.access_page(agent, first).unwrap();
    assert_eq!((&*page.text, page.resident), ("the first page", true));
    let rendered = contexts.render(agent).unwrap();
    assert!(rendered.resident.contains(&first) && rendered.tokens <= Tokens(800));
}

#[test]
fn another_agents_page_is_not_found_resident_or_swapped() {
    let (alice, bob) = agents();
    let mut contexts = ContextManager::new(800);
    let swapped = contexts.allocate_page(alice, "an old secret", 0.0).unwrap();
    let mut resident = swapped;
    for seed in 0..40 {
        resident = contexts.allocate_page(alice, filler(seed), 0.5).unwrap();
    }
    for page in [swapped, resident] {
        assert_eq!(contexts.access_page(bob, page), Err(PagerError::NotFound(page)), "Bob has no pages");
    }
    let own = contexts.allocate_page(bob, "Bob's own", 0.5).unwrap();
    assert_eq!(own, PageNo(1));
    assert_eq!(&*contexts.access_page(bob, own).unwrap().text, "Bob's own");
    assert_eq!(&*contexts.access_page(alice, swapped).unwrap().text, "an old secret");
    assert_eq!(contexts.access_page(bob, resident), Err(PagerError::NotFound(resident)));
    assert!(contexts.find(bob, "secret", 500).is_empty());
    assert_eq!(contexts.find(alice, "secret", 500)[0].page, swapped);
}

#[test]
fn important_pages_outlive_others() {
    let (agent, _) = agents();
    let mut contexts = ContextManager::new(1_000);
    let important = contexts.allocate_page(agent, filler(1000), 1.0).unwrap();
    let idle = contexts.allocate_page(agent, filler(1001), 0.0).unwrap();
    for seed in 0..16 {
        contexts.allocate_page(agent, filler(seed), 0.2).unwrap();
    }
    let resident = contexts.render(agent).unwrap().resident;
    assert!(resident.contains(&important) && !resident.contains(&idle), "{resident:?}");
}

#[test]
fn what_cannot_be_is_refused() {
    let (agent, _) = agents();
    let mut contexts = ContextManager::new(100);
    assert!(matches!(contexts.allocate_page(agent, "", 0.5), Err(PagerError::Invalid(_))));
    assert!(matches!(contexts.allocate_page(agent, "x", 1.5), Err(PagerError::Invalid(_))));
    assert!(matches!(contexts.allocate_page(agent, "x", f64::NAN), Err(PagerError::Invalid(_))));
    assert!(matches!(
        contexts.allocate_page(agent, "word ".repeat(200), 0.5),
        Err(PagerError::TooLarge { .. })
    ));
    assert!(contexts.allocate_page(agent, "x", 0.5).is_ok());
    assert!(matches!(ContextManager::new(0).allocate_page(agent, "x", 0.5), Err(PagerError::Invalid(_))));
}
