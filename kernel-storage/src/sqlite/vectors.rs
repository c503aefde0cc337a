//! Long-term memory: the tables are the truth, and namespaces that are searched are kept indexed in memory beside
//! them.
//!
//! All writes go through the one writer, which notes them ([`Memory::written`]) before they are answered. A search
//! takes in what was noted, so it sees every write that was answered before it began. An index of vectors is built
//! on a thread of its own; until then all of them are compared.

mod place;
mod read;
mod write;

use std::sync::Arc;

use async_trait::async_trait;

use self::place::Place;
use super::SqliteStore;
use super::writer::Request;
use crate::vectors::{check_items, check_search, known_dimension};
use crate::{MemoryHit, MemoryItem, MemorySearch, SearchMode, StoreError, StoreErrorKind, Vector, Vectors};

pub(super) use self::place::Memory;
use self::write::Change;
pub(super) use self::write::MemoryWork;

/// A search begins anew so often when its index turns out to be behind for good.
const TRIES: usize = 8;

impl SqliteStore {
    /// Loads a namespace and builds the index of its vectors, also for fewer than [`SearchMode::EXACT_BELOW`] of
    /// them; answers when both are there. Searches do this by themselves and do not wait for it: this is for those who
    /// want it over before the first search. The index is in builds with the feature `hnsw` only: in others all vectors
    /// are compared.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn index_memory(&self, namespace: &str) -> Result<(), StoreError> {
        self.at_place("index", namespace, |place| place.grow_now()).await
    }

    /// Does something that takes a processor for long with an indexed namespace; again if that was behind for good.
    async fn at_place<T: Send + 'static>(
        &self,
        operation: &'static str,
        namespace: &str,
        work: impl Fn(&Arc<Place>) -> Option<T> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let work = Arc::new(work);
        for _ in 0..TRIES {
            let place = self.place(namespace).await?;
            let work = Arc::clone(&work);
            let done = tokio::task::spawn_blocking(move || work(&place)).await;
            if let Ok(Some(done)) = done {
                return Ok(done);
            }
            self.shared.memory.drop_place(namespace);
            done.map_err(|error| {
                StoreError::new(StoreErrorKind::Unavailable, operation, "the index of the memory failed")
                    .because(error)
            })?;
        }
        let message = format!("the index of namespace {namespace:?} does not keep up with what is written");
        Err(StoreError::new(StoreErrorKind::Unavailable, operation, message))
    }

    /// The indexed namespace, loaded.
    async fn place(&self, namespace: &str) -> Result<Arc<Place>, StoreError> {
        let place = self.loaded(namespace).await?;
        self.shared.memory.keep_within_bounds(namespace);
        if !self.shared.attached {
            return Ok(place);
        }
        // While this handle is attached, others write to the store and tell it nothing.
        let generation = self.shared.reader.generation(namespace).await?;
        if place.is_at(generation) {
            return Ok(place);
        }
        self.shared.memory.drop_place(namespace);
        self.loaded(namespace).await
    }

    async fn loaded(&self, namespace: &str) -> Result<Arc<Place>, StoreError> {
        let place = self.shared.memory.place(namespace);
        let loaded = place.load(&self.shared.reader).await;
        if loaded.is_err() {
            self.shared.memory.drop_place(namespace);
        }
        loaded.map(|()| place)
    }

    /// Refuses a vector whose model has another dimension.
    async fn check_dimension(&self, vector: &Vector) -> Result<(), StoreError> {
        let known = match self.shared.memory.dimension(&vector.model) {
            Some(known) => Some(known),
            None => self.shared.reader.dimension(&vector.model).await?,
        };
        let Some(known) = known else { return Ok(()) };
        self.shared.memory.learn_dimension(&vector.model, known);
        known_dimension("search", &vector.model, known, vector.values.len())
    }

    /// Takes in what was noted for a namespace, if that is much: who writes and never searches shall not fill the
    /// memory. What was written is durable, so nothing that fails here is the writer's.
    async fn take_in(&self, namespace: &str) {
        let Some(place) = self.shared.memory.behind(namespace) else { return };
        let done = tokio::task::spawn_blocking(move || place.take_in()).await;
        if !done.unwrap_or(false) {
            self.shared.memory.drop_place(namespace);
        }
    }
}

#[async_trait]
impl Vectors for SqliteStore {
    async fn remember(&self, items: Vec<MemoryItem>) -> Result<(), StoreError> {
        self.kernel_only("remember")?;
        let dimensions = check_items(&items)?;
        if items.is_empty() {
            return Ok(());
        }
        let mut namespaces: Vec<String> = items.iter().map(|item| item.namespace.clone()).collect();
        namespaces.dedup();
        let change = Change::Put { items: items.into(), dimensions };
        self.ask("remember", |answer| Request::Memory(MemoryWork { change, answer })).await?;
        for namespace in namespaces {
            self.take_in(&namespace).await;
        }
        Ok(())
    }

    async fn forget(&self, namespace: &str, ids: &[String]) -> Result<u64, StoreError> {
        self.kernel_only("forget")?;
        if ids.is_empty() {
            return Ok(0);
        }
        let change = Change::Remove { namespace: namespace.to_owned(), ids: ids.into() };
        let forgotten = self.ask("forget", |answer| Request::Memory(MemoryWork { change, answer })).await?;
        self.take_in(namespace).await;
        Ok(forgotten)
    }

    async fn search(&self, search: MemorySearch) -> Result<Vec<MemoryHit>, StoreError> {
        check_search(&search)?;
        if let Some(vector) = &search.vector {
            self.check_dimension(vector).await?;
        }
        let namespace = search.namespace.clone();
        let work = move |place: &Arc<Place>| {
            let found = place.search(&search)?;
            if search.vector.is_some() && search.mode != SearchMode::Exact {
                place.grow(search.mode == SearchMode::Approximate);
            }
            Some(found)
        };
        let found = self.at_place("search", &namespace, work).await?;
        self.shared.reader.hits(&namespace, found).await
    }

    async fn items(
        &self,
        namespace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MemoryItem>, StoreError> {
        self.shared.reader.items(namespace, after, limit).await
    }

    async fn namespaces(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        self.shared.reader.namespaces(after, limit).await
    }

    async fn count(&self, namespace: &str) -> Result<u64, StoreError> {
        self.shared.reader.count(namespace).await
    }
}
