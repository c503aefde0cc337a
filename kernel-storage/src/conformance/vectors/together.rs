//! Laws of callers that meet, and of callers that give up.

use std::sync::Arc;

use super::Fixture;
use super::sample::{PLACE, all, at, by_vector, by_words, found, ids, item, ok, remember};
use crate::conformance::concurrency::drop_after;
use crate::{MemorySearch, SearchMode};

/// While others write, a search finds what was answered before it began, and not what was forgotten.
pub async fn those_who_remember_and_search_at_once_find_what_is_theirs(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    remember(
        &memory,
        (0..50).map(|n| at(item(&format!("base {n}"), "base"), &[1.0, 1.0, n as f32])).collect(),
    )
    .await;
    let tasks = (0..8).map(|task: u32| {
        let memory = Arc::clone(&memory);
        tokio::spawn(async move {
            for round in 0..12_u32 {
                let id = format!("task {task} {round}");
                let word = format!("mine{task}x{round}");
                let values = [f32::from(task as u16) + 1.0, -1.0 - round as f32, 0.5];
                remember(&memory, vec![at(item(&id, &word), &values)]).await;
                assert_eq!(ids(&memory, by_words(&word)).await, [id.as_str()]);
                let search = MemorySearch { k: 1, ..by_vector(&values) };
                let approximate = MemorySearch { mode: SearchMode::Approximate, ..search.clone() };
                assert_eq!(found(&memory, approximate).await.len(), 1);
                let hits = found(&memory, search).await;
                let similarity = hits.first().and_then(|hit| hit.similarity).unwrap_or_default();
                assert!(similarity > 0.999_999, "{hits:?}");
                if round % 3 == 0 {
                    assert_eq!(ok(memory.forget(PLACE, std::slice::from_ref(&id)).await), 1);
                    assert_eq!(ids(&memory, by_words(&word)).await, [""; 0]);
                }
                assert_eq!(found(&memory, MemorySearch { k: 99, ..by_words("base") }).await.len(), 50);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no task failed");
    }
    assert_eq!(ok(memory.count(PLACE).await), 50 + 8 * 8);
    let memory = fixture.reopen(memory).await;
    assert_eq!(all(&memory, PLACE).await.len(), 50 + 8 * 8);
    assert_eq!(
        found(&memory, MemorySearch { k: 500, ..by_vector(&[1.0, 1.0, 1.0]) }).await.len(),
        50 + 8 * 8
    );
}

/// A call whose future was dropped may be repeated: its items are there once, whole.
pub async fn a_dropped_remember_may_be_repeated(fixture: &dyn Fixture) {
    let memory = fixture.open().await;
    let mut expected = Vec::new();
    for polls in 0..20 {
        let items: Vec<_> = (0..3)
            .map(|n| {
                at(item(&format!("{polls:02} {n}"), &format!("polls{polls}")), &[1.0, polls as f32, n as f32])
            })
            .collect();
        drop_after(polls, memory.remember(items.clone())).await;
        remember(&memory, items.clone()).await;
        expected.extend(items);
        assert_eq!(all(&memory, PLACE).await, expected, "after {polls} polls");
        assert_eq!(ids(&memory, by_words(&format!("polls{polls}"))).await.len(), 3, "after {polls} polls");
        let gone = expected.pop().map(|item| item.id).into_iter().collect::<Vec<_>>();
        drop_after(polls, memory.forget(PLACE, &gone)).await;
        ok(memory.forget(PLACE, &gone).await);
        let hits = found(&memory, MemorySearch { k: 500, ..by_vector(&[1.0, 1.0, 1.0]) }).await;
        assert_eq!(hits.len(), expected.len(), "after {polls} polls");
    }
}
