//! The items of one namespace and how they are found.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::graph::Graph;
use super::matrix::Matrix;
use super::postings::Postings;
use crate::vectors::distance::{cosine, direction};
use crate::vectors::rank::{Fused, Scored, best, depth, fuse};
use crate::vectors::words::{Corpus, length, words};
use crate::{Filter, MemoryItem, MemorySearch, Metadata, Scalar, SearchMode, Vector};

/// So few that fit are all compared: an index finds them no sooner, and misses some.
const FEW: usize = SearchMode::EXACT_BELOW;
/// So many directions that the graph does not have yet are compared beside it.
const TAIL: usize = 4096;
/// So many that the graph does not have are worth adding.
const WORTH_ADDING: usize = 512;
/// The graph measures coarsely: it is asked for so many times as many as are needed, and the best of them are kept.
const SPARE: usize = 3;
/// It is asked for so many at least.
const LEAST: usize = 32;

#[derive(Default, Debug)]
pub(crate) struct Shelf {
    slots: Vec<Slot>,
    /// By slot; one that is dead is never found.
    alive: Vec<bool>,
    by_id: HashMap<Arc<str>, u32>,
    postings: Postings,
    matrices: Vec<Matrix>,
    /// Names of fields, so that each is kept once.
    names: HashSet<Arc<str>>,
    /// Words of all texts.
    words: u64,
}

#[derive(Debug)]
struct Slot {
    id: Arc<str>,
    fields: Box<[(Arc<str>, Scalar)]>,
    /// The numbers of its words.
    words: Box<[u32]>,
    /// How many words its text has.
    length: u32,
    /// Which matrix has its direction.
    matrix: Option<usize>,
}

impl Slot {
    fn field(&self, name: &str) -> Option<&Scalar> {
        self.fields.iter().find(|(other, _)| **other == *name).map(|(_, value)| value)
    }
}

/// Directions that a graph is still to take in.
#[derive(Debug)]
pub(crate) struct Growth {
    pub(crate) graph: Arc<Graph>,
    /// Rows and their directions, in order, without the dead.
    pub(crate) rows: Vec<(usize, Vec<f32>)>,
    /// The row after the last one looked at.
    pub(crate) next: usize,
}

impl Shelf {
    /// Takes an item in, in place of the one with its id.
    pub(crate) fn put(&mut self, item: &MemoryItem) {
        self.remove(&item.id);
        let slot = u32::try_from(self.slots.len()).expect("items in memory are below 2^32");
        let counts = words(&item.text);
        let length = length(&counts);
        let id: Arc<str> = item.id.as_str().into();
        let stored = Slot {
            id: Arc::clone(&id),
            fields: self.fields(&item.metadata),
            words: self.postings.add(slot, counts),
            length,
            matrix: item.vector.as_ref().map(|vector| self.push(slot, vector)),
        };
        self.words += u64::from(length);
        self.by_id.insert(id, slot);
        self.slots.push(stored);
        self.alive.push(true);
    }

    /// Lets an item go, if there is one with this id.
    pub(crate) fn remove(&mut self, id: &str) {
        let Some(slot) = self.by_id.remove(id) else { return };
        let gone = &self.slots[slot as usize];
        self.alive[slot as usize] = false;
        self.words -= u64::from(gone.length);
        self.postings.remove(&gone.words);
        if let Some(matrix) = gone.matrix {
            self.matrices[matrix].live -= 1;
        }
        let dead = self.slots.len() - self.by_id.len();
        if dead > TAIL.max(self.slots.len() / 4) {
            self.compact();
        }
    }

    /// The ids and ranks of what a search finds.
    pub(crate) fn search(&self, search: &MemorySearch) -> Vec<Fused<u32>> {
        let text = search.text.as_deref().filter(|text| !text.trim().is_empty());
        let depth = depth(search.k, usize::from(text.is_some()) + usize::from(search.vector.is_some()));
        let may = self.may(search.filter.as_ref());
        let id = |slot| self.id(slot);
        let words = text.map(|text| {
            let corpus = Corpus { texts: self.by_id.len() as u64, words: self.words };
            let length = |slot: u32| self.slots[slot as usize].length;
            best(self.postings.find(text, corpus, length, &may), depth, id)
        });
        let vector = search.vector.as_ref().map(|vector| {
            best(self.by_vector(vector, depth, search.mode, &may, search.filter.is_some()), depth, id)
        });
        fuse(words, vector, search.k, id)
    }

    pub(crate) fn id(&self, slot: u32) -> &str {
        &self.slots[slot as usize].id
    }

    /// Whether a graph is worth building or adding to; with `any`, also for few directions.
    pub(crate) fn wants_growth(&self, any: bool) -> bool {
        self.matrices.iter().any(|matrix| wants_growth(matrix, any))
    }

    /// Makes the graphs that are wanted and not there; whether there were any.
    pub(crate) fn plant(&mut self, any: bool) -> bool {
        let bare = |matrix: &&mut Matrix| matrix.graph.is_none() && wants_growth(matrix, any);
        let mut planted = false;
        for matrix in self.matrices.iter_mut().filter(bare) {
            matrix.graph = Graph::new(matrix.dimension()).map(Arc::new);
            planted |= matrix.graph.is_some();
        }
        planted
    }

    /// The next directions for a graph that wants some, at most `limit` of them.
    pub(crate) fn growth(&self, any: bool, limit: usize) -> Option<Growth> {
        let mut matrices = self.matrices.iter().filter(|matrix| wants_growth(matrix, any));
        let (matrix, graph) = matrices.find_map(|matrix| Some((matrix, matrix.graph.as_ref()?)))?;
        let from = graph.rows();
        let next = from.saturating_add(limit).min(matrix.rows());
        let living = (from..next).filter(|row| self.alive[matrix.slot(*row) as usize]);
        let rows = living.map(|row| (row, matrix.row(row).to_vec())).collect();
        Some(Growth { graph: Arc::clone(graph), rows, next })
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        /// A slot with its id, fields and word numbers.
        const SLOT: usize = 512;
        let matrices: usize = self.matrices.iter().map(Matrix::bytes).sum();
        self.slots.len() * SLOT + self.postings.bytes() + matrices
    }

    /// Which slots may be found.
    fn may(&self, filter: Option<&Filter>) -> Vec<bool> {
        let Some(filter) = filter else { return self.alive.clone() };
        let fits = |(slot, alive): (&Slot, &bool)| *alive && filter.fits(&|name| slot.field(name));
        self.slots.iter().zip(&self.alive).map(fits).collect()
    }

    fn by_vector(
        &self,
        asked: &Vector,
        depth: usize,
        mode: SearchMode,
        may: &[bool],
        filtered: bool,
    ) -> Vec<Scored<u32>> {
        let Some(matrix) = self.matrices.iter().find(|matrix| matrix.model == asked.model) else {
            return Vec::new();
        };
        let query = direction(&asked.values);
        let exact = match mode {
            SearchMode::Exact => true,
            SearchMode::Approximate => false,
            SearchMode::Auto => matrix.live < SearchMode::EXACT_BELOW,
        };
        let near = if exact { None } else { near(matrix, &query, depth, may, filtered.then_some(FEW)) };
        let found = near.unwrap_or_else(|| matrix.compare(&query, 0, may));
        found.into_iter().map(|(slot, cosine)| (slot, f64::from(cosine))).collect()
    }

    fn push(&mut self, slot: u32, vector: &Vector) -> usize {
        let known = self.matrices.iter().position(|matrix| matrix.model == vector.model);
        let at = known.unwrap_or_else(|| {
            self.matrices.push(Matrix::new(&vector.model, vector.values.len()));
            self.matrices.len() - 1
        });
        self.matrices[at].push(slot, &direction(&vector.values));
        at
    }

    fn fields(&mut self, metadata: &Metadata) -> Box<[(Arc<str>, Scalar)]> {
        let mut name = |name: &String| match self.names.get(name.as_str()) {
            Some(known) => Arc::clone(known),
            None => {
                let fresh: Arc<str> = name.as_str().into();
                self.names.insert(Arc::clone(&fresh));
                fresh
            }
        };
        metadata.iter().map(|(field, value)| (name(field), value.clone())).collect()
    }

    /// Gives the living new numbers without gaps.
    fn compact(&mut self) {
        let mut next = 0;
        let number = |alive: &bool| {
            alive.then(|| {
                next += 1;
                next - 1
            })
        };
        let renumbered: Vec<Option<u32>> = self.alive.iter().map(number).collect();
        self.postings.compact(&renumbered);
        self.matrices.iter_mut().for_each(|matrix| *matrix = matrix.compacted(&renumbered));
        let mut alive = self.alive.iter();
        self.slots.retain(|_| alive.next().copied().unwrap_or_default());
        self.alive = vec![true; self.slots.len()];
        let ids = (0..).zip(&self.slots).map(|(slot, stored)| (Arc::clone(&stored.id), slot));
        self.by_id = ids.collect();
    }
}

fn wants_growth(matrix: &Matrix, any: bool) -> bool {
    let known = matrix.graph.as_ref().map_or(0, |graph| graph.rows());
    let missing = matrix.rows().saturating_sub(known);
    let worth =
        if any { missing > 0 } else { matrix.live >= SearchMode::EXACT_BELOW && missing >= WORTH_ADDING };
    Graph::AVAILABLE && worth
}

/// The nearest by the graph; `None` if comparing with all is better: there is no graph, it is far behind, it does not
/// find as many as there are, or, with `few`, no more than that fit.
fn near(
    matrix: &Matrix,
    query: &[f32],
    depth: usize,
    may: &[bool],
    few: Option<usize>,
) -> Option<Vec<(u32, f32)>> {
    let graph = matrix.graph.as_ref()?;
    let known = graph.rows();
    // One that failed says that it knows more than there is.
    if matrix.rows().checked_sub(known).is_none_or(|behind| behind > TAIL) {
        return None;
    }
    let fit = (0..matrix.rows()).filter(|row| may[matrix.slot(*row) as usize]).count();
    if few.is_some_and(|few| fit <= few) {
        return None;
    }
    let wanted = depth.saturating_mul(SPARE).max(LEAST);
    // Most of all there are: to compare is quicker.
    if wanted.saturating_mul(SPARE) > fit {
        return None;
    }
    let rows = graph.near(query, wanted, |row| row < known && may[matrix.slot(row) as usize])?;
    let again = |row: usize| (matrix.slot(row), cosine(matrix.row(row), query));
    let mut found: Vec<_> = rows.into_iter().map(again).collect();
    found.extend(matrix.compare(query, known, may));
    (found.len() >= depth.min(fit)).then_some(found)
}

#[cfg(all(test, feature = "hnsw"))]
mod tests {
    use kernel_types::Pid;

    use super::{Shelf, TAIL, direction, near};
    use crate::{MemoryItem, MemorySearch, Metadata, SearchMode, Vector};

    fn vector(n: usize) -> Vector {
        let turns = [0.01, 0.0037, 0.001_13, 0.000_31].map(|turn| n as f32 * turn);
        Vector {
            model: "m".to_owned(),
            values: turns.iter().flat_map(|turn| [turn.cos(), turn.sin()]).collect(),
        }
    }

    fn item(n: usize) -> MemoryItem {
        MemoryItem {
            namespace: "n".to_owned(),
            id: format!("{n:05}"),
            owner: Pid::INIT,
            text: format!("all {}", if n.is_multiple_of(2) { "even" } else { "odd" }),
            metadata: Metadata::new(),
            vector: Some(vector(n)),
        }
    }

    fn shelf(items: std::ops::Range<usize>) -> Shelf {
        let mut shelf = Shelf::default();
        items.for_each(|n| shelf.put(&item(n)));
        shelf
    }

    fn grow(shelf: &mut Shelf) {
        loop {
            while let Some(growth) = shelf.growth(true, 64) {
                assert!(growth.graph.grow(&growth.rows, growth.next));
            }
            if !shelf.plant(true) {
                return;
            }
        }
    }

    fn ids(shelf: &Shelf, near: usize, mode: SearchMode) -> Vec<String> {
        let search = MemorySearch {
            namespace: "n".to_owned(),
            filter: None,
            text: None,
            vector: Some(vector(near)),
            k: 5,
            mode,
        };
        shelf.search(&search).iter().map(|found| shelf.id(found.key).to_owned()).collect()
    }

    #[test]
    fn compacting_loses_nothing_and_renews_the_graph() {
        let mut shelf = shelf(0..2 * TAIL);
        grow(&mut shelf);
        assert!(!shelf.wants_growth(true));
        (0..=TAIL).for_each(|n| shelf.remove(&item(n).id));
        assert_eq!(shelf.slots.len(), TAIL - 1, "the dead are gone");
        assert!(shelf.wants_growth(true), "the graph is another one");
        let exact = ids(&shelf, 0, SearchMode::Exact);
        assert!(exact.iter().all(|id| *id > item(TAIL).id), "{exact:?}");
        assert_eq!(ids(&shelf, 0, SearchMode::Approximate), exact);
        grow(&mut shelf);
        for n in [TAIL + 1, 6000, 2 * TAIL - 1] {
            assert_eq!(ids(&shelf, n, SearchMode::Exact)[0], item(n).id);
            assert_eq!(ids(&shelf, n, SearchMode::Approximate)[0], item(n).id);
        }
        let words = MemorySearch {
            namespace: "n".to_owned(),
            filter: None,
            text: Some("even".to_owned()),
            vector: None,
            k: usize::MAX,
            mode: SearchMode::Auto,
        };
        assert_eq!(shelf.search(&words).len(), TAIL / 2 - 1);
        assert_eq!(shelf.words, 2 * (TAIL as u64 - 1));
    }

    #[test]
    fn a_graph_is_asked_if_many_fit_and_only_then() {
        let mut shelf = shelf(0..1000);
        let matrix =
            |shelf: &Shelf| near(&shelf.matrices[0], &direction(&vector(0).values), 5, &shelf.alive, None);
        assert_eq!(matrix(&shelf), None, "there is none");
        grow(&mut shelf);
        let even: Vec<bool> = (0..1000).map(|n| n % 2 == 0).collect();
        let query = direction(&vector(0).values);
        let ask = |may: &[bool], few| near(&shelf.matrices[0], &query, 5, may, few);
        let found = ask(&even, Some(499)).unwrap();
        assert!(found.len() >= 5 && found.iter().all(|(slot, _)| slot % 2 == 0), "{found:?}");
        assert_eq!(ask(&even, Some(500)), None, "few fit");
        assert!(ask(&even, None).is_some());
        assert_eq!(ask(&vec![false; 1000], None), None, "most of what fits is wanted");
    }

    #[test]
    fn what_the_graph_does_not_have_yet_is_compared() {
        let mut shelf = shelf(1000..2000);
        grow(&mut shelf);
        (0..TAIL).for_each(|n| shelf.put(&item(n + 10_000)));
        assert_eq!(ids(&shelf, 12_000, SearchMode::Approximate)[0], item(12_000).id);
        assert!(near(&shelf.matrices[0], &direction(&vector(0).values), 5, &shelf.alive, None).is_some());
        shelf.put(&item(0));
        let far_behind = near(&shelf.matrices[0], &direction(&vector(0).values), 5, &shelf.alive, None);
        assert_eq!(far_behind, None);
        assert_eq!(ids(&shelf, 0, SearchMode::Approximate)[0], item(0).id);
    }

    #[test]
    fn without_its_graph_all_are_compared() {
        let mut shelf = shelf(0..1000);
        grow(&mut shelf);
        let graph = shelf.matrices[0].graph.clone().unwrap();
        assert!(!graph.grow(&[(1000, vec![1.0])], 1001), "a direction of another dimension");
        assert!(!shelf.wants_growth(true));
        assert_eq!(ids(&shelf, 500, SearchMode::Approximate), ids(&shelf, 500, SearchMode::Exact));
    }
}
