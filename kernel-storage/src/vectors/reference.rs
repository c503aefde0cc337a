//! The memory of [`MemoryStore`]: the contract said in the plainest way, by looking at everything.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use async_trait::async_trait;

use super::check::{self, Dimensions};
use super::distance::{cosine, direction};
use super::item::{MemoryItem, Vector};
use super::query::{MemoryHit, MemorySearch};
use super::rank::{Fused, Scored, best, depth, fuse};
use super::words::{Corpus, length, words};
use crate::{MemoryStore, StoreError, Vectors};

/// Items by id.
type Items = BTreeMap<String, MemoryItem>;

/// All that is remembered in a store.
#[derive(Default, Debug)]
pub(crate) struct Memories {
    namespaces: BTreeMap<String, Items>,
    dimensions: Dimensions,
}

impl Memories {
    fn remember(&mut self, items: Vec<MemoryItem>, dimensions: Dimensions) -> Result<(), StoreError> {
        for (model, found) in &dimensions {
            let known = self.dimensions.get(model).unwrap_or(found);
            check::known_dimension("remember", model, *known, *found)?;
        }
        self.dimensions.extend(dimensions);
        for item in items {
            self.namespaces.entry(item.namespace.clone()).or_default().insert(item.id.clone(), item);
        }
        Ok(())
    }

    fn forget(&mut self, namespace: &str, ids: &[String]) -> u64 {
        let Some(items) = self.namespaces.get_mut(namespace) else { return 0 };
        let forgotten = ids.iter().filter(|id| items.remove(*id).is_some()).count();
        if items.is_empty() {
            self.namespaces.remove(namespace);
        }
        forgotten as u64
    }

    fn search(&self, search: &MemorySearch) -> Result<Vec<MemoryHit>, StoreError> {
        if let Some(Vector { model, values }) = &search.vector
            && let Some(known) = self.dimensions.get(model)
        {
            check::known_dimension("search", model, *known, values.len())?;
        }
        let Some(items) = self.namespaces.get(&search.namespace) else { return Ok(Vec::new()) };
        let fits = |item: &&MemoryItem| {
            search.filter.as_ref().is_none_or(|filter| filter.fits(&|field| item.metadata.get(field)))
        };
        let text = search.text.as_deref().filter(|text| !text.trim().is_empty());
        let depth = depth(search.k, usize::from(text.is_some()) + usize::from(search.vector.is_some()));
        let words = text.map(|text| best(by_words(items, text, fits), depth, |id| id));
        let vector = search.vector.as_ref();
        let vector = vector.map(|vector| best(by_vector(items, vector, fits), depth, |id| id));
        let fused = fuse(words, vector, search.k, |id| id);
        Ok(fused.into_iter().map(|found| hit(&items[found.key], found)).collect())
    }
}

fn by_words<'a>(
    items: &'a Items,
    text: &str,
    fits: impl Fn(&&'a MemoryItem) -> bool,
) -> Vec<Scored<&'a str>> {
    let asked = words(text);
    let texts: Vec<_> = items.values().map(|item| (item, words(&item.text))).collect();
    let corpus = Corpus {
        texts: texts.len() as u64,
        words: texts.iter().map(|(_, words)| u64::from(length(words))).sum(),
    };
    let holders: BTreeMap<&str, u64> = asked
        .keys()
        .map(|word| {
            (word.as_str(), texts.iter().filter(|(_, words)| words.contains_key(word)).count() as u64)
        })
        .collect();
    let score = |(item, words): &(&'a MemoryItem, BTreeMap<String, u32>)| {
        let shared = asked.keys().filter_map(|word| Some((word, *words.get(word)?)));
        let worth = shared.map(|(word, count)| corpus.worth(holders[word.as_str()], count, length(words)));
        worth.reduce(|sum, worth| sum + worth).map(|score| (item.id.as_str(), score))
    };
    texts.iter().filter(|(item, _)| fits(item)).filter_map(score).collect()
}

fn by_vector<'a>(
    items: &'a Items,
    asked: &Vector,
    fits: impl Fn(&&'a MemoryItem) -> bool,
) -> Vec<Scored<&'a str>> {
    let query = direction(&asked.values);
    let similarity = |item: &'a MemoryItem| {
        let vector = item.vector.as_ref().filter(|vector| vector.model == asked.model)?;
        Some((item.id.as_str(), f64::from(cosine(&direction(&vector.values), &query))))
    };
    items.values().filter(fits).filter_map(similarity).collect()
}

fn hit(item: &MemoryItem, found: Fused<&str>) -> MemoryHit {
    MemoryHit {
        id: item.id.clone(),
        owner: item.owner,
        text: item.text.clone(),
        metadata: item.metadata.clone(),
        score: found.score,
        by_words: found.by_words,
        by_vector: found.by_vector,
        similarity: found.similarity,
    }
}

#[async_trait]
impl Vectors for MemoryStore {
    async fn remember(&self, items: Vec<MemoryItem>) -> Result<(), StoreError> {
        let dimensions = check::items(&items)?;
        self.memories.write().remember(items, dimensions)
    }

    async fn forget(&self, namespace: &str, ids: &[String]) -> Result<u64, StoreError> {
        Ok(self.memories.write().forget(namespace, ids))
    }

    async fn search(&self, search: MemorySearch) -> Result<Vec<MemoryHit>, StoreError> {
        check::search(&search)?;
        self.memories.read().search(&search)
    }

    async fn items(
        &self,
        namespace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MemoryItem>, StoreError> {
        let memories = self.memories.read();
        let Some(items) = memories.namespaces.get(namespace) else { return Ok(Vec::new()) };
        let range = items.range::<str, _>((after.map_or(Unbounded, Excluded), Unbounded));
        Ok(range.take(limit).map(|(_, item)| item.clone()).collect())
    }

    async fn namespaces(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let memories = self.memories.read();
        let range = memories.namespaces.range::<str, _>((after.map_or(Unbounded, Excluded), Unbounded));
        Ok(range.take(limit).map(|(name, _)| name.clone()).collect())
    }

    async fn count(&self, namespace: &str) -> Result<u64, StoreError> {
        Ok(self.memories.read().namespaces.get(namespace).map_or(0, |items| items.len() as u64))
    }
}
