//! Namespaces that are indexed in memory: loaded when they are searched first, kept up to date by what the writer
//! notes, let go when they take too much memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use super::super::read::Reader;
use crate::vectors::index::{Growth, Shelf};
use crate::vectors::{Dimensions, Fused};
use crate::{MemoryItem, MemorySearch, StoreError};

/// All indexes together may take about so much; one alone may take more.
const MOST_BYTES: usize = 1 << 30;
/// So many namespaces are indexed at most.
const MOST_PLACES: usize = 256;
/// So many items may be noted before they are taken in without a search.
const MOST_NOTED: usize = 1024;
/// Who has noted so many is let go: it is cheaper to load it again.
const FAR_BEHIND: usize = 64 * MOST_NOTED;
/// Directions that a graph takes in at once, copied under the lock.
const BATCH: usize = 64;

/// All indexed namespaces of a store.
#[derive(Default, Debug)]
pub(in crate::sqlite) struct Memory {
    places: Mutex<HashMap<String, Arc<Place>>>,
    /// What is known of dimensions. They never change.
    dimensions: RwLock<Dimensions>,
    clock: AtomicU64,
}

/// A namespace, indexed or about to be.
#[derive(Debug)]
pub(super) struct Place {
    namespace: String,
    noted: Mutex<Noted>,
    shelf: RwLock<Option<Loaded>>,
    /// Held by who loads it.
    loading: tokio::sync::Mutex<()>,
    loaded: AtomicBool,
    /// Held for each step of a graph's growth: a direction goes in once.
    growing: Mutex<()>,
    /// A thread is at it.
    grower: AtomicBool,
    used: AtomicU64,
    /// About how much memory it took when it was looked at last.
    bytes: AtomicUsize,
}

#[derive(Debug)]
struct Loaded {
    shelf: Shelf,
    /// The generation of the namespace that it is at.
    generation: u64,
}

/// An item that a search found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) ranks: Fused<u32>,
}

/// What was written since the place was made.
#[derive(Default, Debug)]
struct Noted {
    changes: VecDeque<(u64, Noting)>,
    items: usize,
}

/// A write to one namespace.
#[derive(Clone, Debug)]
pub(super) enum Noting {
    /// Those of these items that are of the namespace.
    Put(Arc<[MemoryItem]>),
    /// The items with these ids.
    Remove(Arc<[String]>),
}

impl Noting {
    fn items(&self) -> usize {
        match self {
            Self::Put(items) => items.len(),
            Self::Remove(ids) => ids.len(),
        }
    }
}

impl Memory {
    /// The place of a namespace, which may have to be loaded.
    pub(super) fn place(&self, namespace: &str) -> Arc<Place> {
        let mut places = self.places.lock();
        let place = match places.get(namespace) {
            Some(place) => Arc::clone(place),
            None => {
                let place = Arc::new(Place::new(namespace));
                places.insert(namespace.to_owned(), Arc::clone(&place));
                place
            }
        };
        place.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        place
    }

    pub(super) fn drop_place(&self, namespace: &str) {
        self.places.lock().remove(namespace);
    }

    /// Notes a write that is durable.
    pub(super) fn written(&self, namespace: &str, generation: u64, noting: Noting) {
        let mut places = self.places.lock();
        let Some(place) = places.get(namespace) else { return };
        let mut noted = place.noted.lock();
        noted.items += noting.items();
        noted.changes.push_back((generation, noting));
        let far_behind = noted.items > FAR_BEHIND;
        drop(noted);
        if far_behind {
            places.remove(namespace);
        }
    }

    /// The place of a namespace for which much was noted and nothing taken in.
    pub(super) fn behind(&self, namespace: &str) -> Option<Arc<Place>> {
        let place = Arc::clone(self.places.lock().get(namespace)?);
        let behind = place.is_loaded() && place.noted.lock().items > MOST_NOTED;
        behind.then_some(place)
    }

    /// Lets namespaces go that were not searched for longest, until the others are within the bounds.
    pub(super) fn keep_within_bounds(&self, but: &str) {
        let mut places = self.places.lock();
        let mut sizes: Vec<(u64, String, usize)> = places
            .iter()
            .map(|(name, place)| {
                let (used, bytes) = (&place.used, &place.bytes);
                (used.load(Ordering::Relaxed), name.clone(), bytes.load(Ordering::Relaxed))
            })
            .collect();
        sizes.sort_unstable();
        let mut bytes: usize = sizes.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, name, size) in sizes {
            if bytes <= MOST_BYTES && places.len() <= MOST_PLACES {
                break;
            }
            if name != but {
                bytes -= size;
                places.remove(&name);
            }
        }
    }

    pub(super) fn dimension(&self, model: &str) -> Option<usize> {
        self.dimensions.read().get(model).copied()
    }

    pub(super) fn learn_dimension(&self, model: &str, dimension: usize) {
        if self.dimension(model).is_none() {
            self.dimensions.write().insert(model.to_owned(), dimension);
        }
    }
}

impl Place {
    fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            noted: Mutex::default(),
            shelf: RwLock::default(),
            loading: tokio::sync::Mutex::default(),
            loaded: AtomicBool::new(false),
            growing: Mutex::default(),
            grower: AtomicBool::new(false),
            used: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    pub(super) fn is_at(&self, generation: u64) -> bool {
        self.shelf.read().as_ref().is_some_and(|loaded| loaded.generation == generation)
    }

    /// Loads the namespace unless somebody did. What is written meanwhile is noted, since this place is known.
    pub(super) async fn load(&self, reader: &Reader) -> Result<(), StoreError> {
        if self.is_loaded() {
            return Ok(());
        }
        let _one = self.loading.lock().await;
        if !self.is_loaded() {
            let (shelf, generation) = reader.shelf(&self.namespace).await?;
            self.bytes.store(shelf.bytes(), Ordering::Relaxed);
            *self.shelf.write() = Some(Loaded { shelf, generation });
            self.loaded.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Takes in what was noted. `false` if a write is missing among that, so that the namespace has to be loaded again.
    pub(super) fn take_in(&self) -> bool {
        if self.noted.lock().changes.is_empty() {
            return true;
        }
        let mut shelf = self.shelf.write();
        let Some(Loaded { shelf, generation }) = shelf.as_mut() else { return false };
        // One by one under the lock of the shelf: in order, whoever else is here.
        while let Some((next, change)) = self.noted.lock().take() {
            if next <= *generation {
                continue;
            }
            if next != *generation + 1 {
                return false;
            }
            *generation = next;
            match change {
                Noting::Put(items) => {
                    items
                        .iter()
                        .filter(|item| item.namespace == self.namespace)
                        .for_each(|item| shelf.put(item));
                }
                Noting::Remove(ids) => ids.iter().for_each(|id| shelf.remove(id)),
            }
        }
        true
    }

    /// What a search finds, the best first; `None` if the namespace has to be loaded again.
    pub(super) fn search(&self, search: &MemorySearch) -> Option<Vec<Found>> {
        if !self.take_in() {
            return None;
        }
        let shelf = self.shelf.read();
        let shelf = &shelf.as_ref()?.shelf;
        self.bytes.store(shelf.bytes(), Ordering::Relaxed);
        let found = shelf.search(search).into_iter();
        Some(found.map(|ranks| Found { id: shelf.id(ranks.key).to_owned(), ranks }).collect())
    }

    /// Sees to it that a thread makes the graphs grow, if that is worth it; with `any` for few directions too.
    pub(super) fn grow(self: &Arc<Self>, any: bool) {
        let wanted = self.shelf.read().as_ref().is_some_and(|loaded| loaded.shelf.wants_growth(any));
        if !wanted || self.grower.swap(true, Ordering::AcqRel) {
            return;
        }
        // It does not keep a store from closing: when the place is gone, so is the thread.
        let place = Arc::downgrade(self);
        let grow = move || {
            while let Some(place) = place.upgrade() {
                if !place.grow_step(any) {
                    place.grower.store(false, Ordering::Release);
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("memory-index".to_owned()).spawn(grow);
        if thread.is_err() {
            // No thread is to be had now; the next search asks again.
            self.grower.store(false, Ordering::Release);
        }
    }

    /// Makes the graphs grow until nothing is missing in them; `None` if the namespace has to be loaded again.
    pub(super) fn grow_now(&self) -> Option<()> {
        self.take_in().then_some(())?;
        while self.grow_step(true) {}
        Some(())
    }

    /// `false` if nothing was left to add.
    fn grow_step(&self, any: bool) -> bool {
        let _one = self.growing.lock();
        let growth = self.shelf.read().as_ref().and_then(|loaded| loaded.shelf.growth(any, BATCH));
        let Some(Growth { graph, rows, next }) = growth else {
            return self.shelf.write().as_mut().is_some_and(|loaded| loaded.shelf.plant(any));
        };
        graph.grow(&rows, next)
    }
}

impl Noted {
    fn take(&mut self) -> Option<(u64, Noting)> {
        let (generation, change) = self.changes.pop_front()?;
        self.items -= change.items();
        Some((generation, change))
    }
}
