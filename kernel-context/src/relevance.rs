//! What pages have to do with what is said: which are worth keeping, which come in by themselves, which the model used.

use std::collections::BTreeMap;

use kernel_types::PageNo;

use crate::page::Number;
use crate::replacement::Replacement;
use crate::retrieval::{Hit, Query};
use crate::space::Space;

/// So many pages are looked at that have to do with what the user said last.
const RELEVANT: usize = 64;
/// A swapped page comes in by itself if it fits what the user said so much better than any page in the window,
const MARGIN: f32 = 2.0;
/// and at least so well, where what was said fits itself with 1.
const LEAST: f32 = 0.35;
/// Such pages take at most this part of the window.
const SHARE: u64 = 8;
/// So many pages are taken to be used by one answer at most.
const USED: usize = 4;
/// Characters of an answer that are looked at.
const LONGEST: usize = 2_000;
/// They fit it at least so well, where the best fits with 1.
const NEARLY: f32 = 0.7;

/// How much pages have to do with what the user said last, 0 to 1: by words or by vectors, whichever says more.
pub(crate) fn relevance(space: &Space) -> BTreeMap<Number, f64> {
    let Some(topic) = &space.topic else { return BTreeMap::new() };
    let hits = search(space, &topic.text, RELEVANT);
    let best = hits.first().map_or(1.0, |hit| f64::from(hit.score));
    let by_words = hits.iter().map(|hit| (hit.page, f64::from(hit.score) / best));
    let said = space.table.record(topic.page).and_then(|page| space.table.embedding(page));
    let near = said.map(|said| space.index.nearest(&said, RELEVANT)).unwrap_or_default();
    let by_vectors = near.iter().map(|hit| (hit.page, f64::from(hit.score).min(1.0)));
    let mut relevance: BTreeMap<Number, f64> = BTreeMap::new();
    for (page, share) in by_words.chain(by_vectors) {
        let Some(number) = number(page) else { continue };
        let known = relevance.entry(number).or_default();
        *known = known.max(share);
    }
    relevance
}

/// The swapped pages that what the user just said is clearly about, the best first. The classic policies bring nothing in.
pub(crate) fn swap_in(space: &Space) -> Vec<PageNo> {
    let topic = space.topic.as_ref().filter(|topic| topic.new);
    let (Some(topic), Replacement::Generational { .. }) = (topic, space.policy) else { return Vec::new() };
    let score = |hits: &[Hit], wanted: &dyn Fn(Number) -> bool| {
        hits.iter().find(|hit| number(hit.page).is_some_and(wanted)).map_or(0.0, |hit| hit.score)
    };
    let itself = score(&search(space, &topic.text, RELEVANT), &|page| page == topic.page);
    // What was said lends its words to its neighbours, which would all seem to be about it.
    let mut others = space.index.clone();
    others.remove(PageNo(u64::from(topic.page)));
    let hits = others.search(&Query { text: &topic.text, embedding: None, limit: RELEVANT });
    let is_resident =
        |page: Number| space.table.record(page).is_some_and(|page| space.table.is_resident(page));
    let there = score(&hits, &|page| is_resident(page));
    let least = (there * MARGIN).max(itself * LEAST);
    let stays = space.window.load.fixed + space.staying();
    let mut room = (space.limit() / SHARE).min(space.limit().saturating_sub(stays));
    let clear = hits.iter().take_while(|hit| itself > 0.0 && hit.score >= least);
    let mut wanted = Vec::new();
    for hit in clear {
        let Some(page) = number(hit.page).filter(|page| *page != topic.page && !is_resident(*page)) else {
            continue;
        };
        let cost = space.return_cost(page);
        if let Some(left) = cost.and_then(|cost| room.checked_sub(cost)) {
            room = left;
            wanted.push(hit.page);
        }
    }
    wanted
}

/// Whether a page that was read comes in: all that was recalled since the last call keeps within a share of the window.
pub(crate) fn takes_in(space: &Space, page: PageNo) -> bool {
    let recalled: u64 = space.recalled.iter().map(|group| space.table.cost(group)).sum();
    let cost = number(page).and_then(|page| space.return_cost(page));
    cost.is_some_and(|cost| recalled + cost <= space.limit() / SHARE)
}

/// The pages in the window that an answer most likely used: those that share its rarest words.
pub(crate) fn used_by(space: &Space, text: &str) -> Vec<PageNo> {
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(end, _)| end);
    let hits = search(space, &text[..end], RELEVANT);
    let best = hits.first().map_or(0.0, |hit| hit.score);
    let near = hits.into_iter().take_while(|hit| hit.score >= best * NEARLY);
    let resident = near.filter(|hit| {
        let record = number(hit.page).and_then(|page| space.table.record(page));
        record.is_some_and(|page| space.table.is_resident(page))
    });
    resident.map(|hit| hit.page).take(USED).collect()
}

fn search(space: &Space, text: &str, limit: usize) -> Vec<Hit> {
    space.index.search(&Query { limit, ..Query::words(text) })
}

fn number(page: PageNo) -> Option<Number> {
    Number::try_from(page.0).ok()
}
