//! Memories with one defect each: the suite must find every one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use kernel_storage::conformance::run;
use kernel_storage::conformance::vectors::{Fixture, LAWS, Law};
use kernel_storage::{
    Filter, MemoryHit, MemoryItem, MemorySearch, MemoryStore, Scalar, SearchMode, StoreError, Vectors,
};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Defect {
    /// The control: no defect.
    None,
    IsNotEmptyAtFirst,
    CutsTextAtNul,
    RoundsVectors,
    ForgetsOwner,
    PageIncludesItsStart,
    ListsEmptyNamespaces,
    KeepsTheFirstOfAnId,
    ForgetsNothing,
    MiscountsForgotten,
    MixesNamespaces,
    ForgetsOnReopening,
    FindsAllWords,
    SplitsWordsAtSpaces,
    FindsAnythingForSigns,
    IgnoresFilters,
    IgnoresNegation,
    FiltersWhatIsNearest,
    FindsTheFarthest,
    IndexMissesMany,
    IndexIsNeverUpdated,
    MixesModels,
    ComparesLengths,
    FusesScores,
    ReversesEqualScores,
    FindsOneMore,
    FindsHalf,
    TakesHalfOfABadBatch,
    TakesAnyVector,
    TakesEmptySearches,
    ForgetsDimensions,
    LosesConcurrentWrites,
    AddsInsteadOfReplacing,
}

struct Broken {
    inner: Mutex<MemoryStore>,
    defect: Defect,
    writing: AtomicBool,
    /// What an index that is never updated knows.
    settled: Mutex<Option<MemoryStore>>,
}

impl Broken {
    fn inner(&self) -> MemoryStore {
        self.inner.lock().clone()
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    async fn damage(&self, item: &mut MemoryItem, copy: usize) {
        match self.defect {
            Defect::CutsTextAtNul => item.text.truncate(item.text.find('\0').unwrap_or(item.text.len())),
            Defect::RoundsVectors => {
                let values = item.vector.iter_mut().flat_map(|vector| &mut vector.values);
                values.for_each(|value| *value = f32::from_bits(value.to_bits() & !0xfff));
            }
            Defect::ForgetsOwner => item.owner = kernel_types::Pid::INIT,
            Defect::MixesNamespaces => item.namespace = "one for all".to_owned(),
            Defect::AddsInsteadOfReplacing => {
                let known = self.inner().items(&item.namespace, None, usize::MAX).await.unwrap();
                if known.iter().any(|known| known.id == item.id) {
                    item.id += &format!(" {} {copy}", known.len());
                }
            }
            _ => {}
        }
    }

    fn twist(&self, search: &mut MemorySearch) {
        match self.defect {
            Defect::MixesNamespaces => search.namespace = "one for all".to_owned(),
            Defect::IgnoresFilters => search.filter = None,
            Defect::IgnoresNegation => search.filter.iter_mut().for_each(affirm),
            Defect::FindsTheFarthest => {
                let values = search.vector.iter_mut().flat_map(|vector| &mut vector.values);
                values.for_each(|value| *value = -*value);
            }
            Defect::FindsOneMore => search.k = search.k.saturating_add(1),
            Defect::FindsHalf => search.k = search.k.div_ceil(2),
            _ => {}
        }
    }

    /// Searches where an index is not what it should be.
    async fn by_index(&self, search: &MemorySearch) -> Option<Result<Vec<MemoryHit>, StoreError>> {
        if search.mode != SearchMode::Approximate || search.vector.is_none() {
            return None;
        }
        if self.has(Defect::IndexMissesMany) && search.filter.is_none() {
            let more = MemorySearch { k: search.k.saturating_mul(2), ..search.clone() };
            let found = self.inner().search(more).await;
            return Some(found.map(|hits| hits.into_iter().step_by(2).collect()));
        }
        let settled = self.settled.lock().clone().filter(|_| self.has(Defect::IndexIsNeverUpdated))?;
        Some(settled.search(search.clone()).await)
    }
}

fn affirm(filter: &mut Filter) {
    match filter {
        Filter::Not(inner) => {
            affirm(inner);
            *filter = (**inner).clone();
        }
        Filter::All(inner) | Filter::Any(inner) => inner.iter_mut().for_each(affirm),
        _ => {}
    }
}

#[async_trait]
impl Vectors for Broken {
    async fn remember(&self, mut items: Vec<MemoryItem>) -> Result<(), StoreError> {
        if self.has(Defect::LosesConcurrentWrites) {
            let lost = self.writing.swap(true, Ordering::AcqRel);
            tokio::task::yield_now().await;
            if lost {
                return Ok(());
            }
            self.writing.store(false, Ordering::Release);
        }
        if self.has(Defect::KeepsTheFirstOfAnId) {
            items.reverse();
        }
        if self.has(Defect::TakesAnyVector) {
            let healthy = |item: &MemoryItem| {
                item.vector.as_ref().is_none_or(|vector| vector.values.iter().all(|value| value.is_finite()))
            };
            items.retain(healthy);
        }
        for (copy, item) in items.iter_mut().enumerate() {
            self.damage(item, copy).await;
        }
        if self.has(Defect::TakesHalfOfABadBatch) {
            for item in items {
                self.inner().remember(vec![item]).await?;
            }
            return Ok(());
        }
        self.inner().remember(items).await
    }

    async fn forget(&self, namespace: &str, ids: &[String]) -> Result<u64, StoreError> {
        match self.defect {
            Defect::ForgetsNothing => Ok(self
                .inner()
                .items(namespace, None, usize::MAX)
                .await?
                .iter()
                .filter(|item| ids.contains(&item.id))
                .count() as u64),
            Defect::MiscountsForgotten => {
                self.inner().forget(namespace, ids).await?;
                Ok(ids.len() as u64)
            }
            Defect::MixesNamespaces => self.inner().forget("one for all", ids).await,
            Defect::ForgetsDimensions => {
                let forgotten = self.inner().forget(namespace, ids).await?;
                if self.inner().namespaces(None, 1).await?.is_empty() {
                    *self.inner.lock() = MemoryStore::new();
                }
                Ok(forgotten)
            }
            _ => self.inner().forget(namespace, ids).await,
        }
    }

    async fn search(&self, mut search: MemorySearch) -> Result<Vec<MemoryHit>, StoreError> {
        let nothing =
            search.vector.is_none() && search.text.as_deref().is_none_or(|text| text.trim().is_empty());
        if self.has(Defect::TakesEmptySearches) && nothing {
            return Ok(Vec::new());
        }
        if let Some(found) = self.by_index(&search).await {
            return found;
        }
        let asked = search.clone();
        self.twist(&mut search);
        if self.has(Defect::FiltersWhatIsNearest) && search.vector.is_some() {
            let filter = search.filter.take();
            let mut found = self.inner().search(search).await?;
            found.retain(|hit| {
                filter.as_ref().is_none_or(|filter| filter.fits(&|name| hit.metadata.get(name)))
            });
            return Ok(found);
        }
        let mut found = self.inner().search(search.clone()).await?;
        let text = asked.text.clone().unwrap_or_default();
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        match self.defect {
            Defect::FindsAllWords if asked.vector.is_none() => {
                found.retain(|hit| words.iter().all(|word| hit.text.contains(word.as_str())));
            }
            Defect::SplitsWordsAtSpaces if asked.vector.is_none() => {
                found.retain(|hit| {
                    hit.text.split_whitespace().any(|word| words.iter().any(|asked| asked == word))
                });
            }
            Defect::FindsAnythingForSigns if asked.vector.is_none() && found.is_empty() => {
                found = self.inner().search(MemorySearch { text: Some("word".to_owned()), ..search }).await?;
            }
            Defect::MixesModels => {
                if let Some(vector) = &asked.vector
                    && asked.text.is_none()
                    && found.is_empty()
                {
                    let items = self.inner().items(&asked.namespace, None, 1).await?;
                    let other = items.into_iter().find_map(|item| item.vector);
                    if let Some(other) = other.filter(|other| other.model != vector.model) {
                        found = self.inner().search(MemorySearch { vector: Some(other), ..search }).await?;
                    }
                }
            }
            Defect::ComparesLengths => {
                let length = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
                if let Some(vector) = &asked.vector {
                    found.iter_mut().filter_map(|hit| hit.similarity.as_mut()).for_each(|similarity| {
                        *similarity *= length(&vector.values);
                    });
                }
            }
            Defect::FusesScores if asked.vector.is_some() && asked.text.is_some() => {
                found.iter_mut().for_each(|hit| hit.score = f64::from(hit.similarity.unwrap_or_default()));
                found.sort_by(|one, other| other.score.total_cmp(&one.score));
            }
            Defect::ReversesEqualScores => {
                found.sort_by(|one, other| other.score.total_cmp(&one.score).then(other.id.cmp(&one.id)));
            }
            _ => {}
        }
        Ok(found)
    }

    async fn items(
        &self,
        namespace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MemoryItem>, StoreError> {
        let namespace = if self.has(Defect::MixesNamespaces) { "one for all" } else { namespace };
        let mut items = self.inner().items(namespace, after, limit).await?;
        if let Some(after) = after.filter(|_| self.has(Defect::PageIncludesItsStart)) {
            let all = self.inner().items(namespace, None, usize::MAX).await?;
            items.splice(..0, all.into_iter().find(|item| item.id == after));
            items.truncate(limit);
        }
        Ok(items)
    }

    async fn namespaces(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let mut names = self.inner().namespaces(after, limit).await?;
        if self.has(Defect::ListsEmptyNamespaces) && after.is_none() && names.len() < limit {
            names.push("place 1".to_owned());
            names.sort_unstable();
            names.dedup();
        }
        Ok(names)
    }

    async fn count(&self, namespace: &str) -> Result<u64, StoreError> {
        self.inner().count(namespace).await
    }
}

struct BrokenFixture(Arc<Broken>);

#[async_trait]
impl Fixture for BrokenFixture {
    async fn open(&self) -> Arc<dyn Vectors> {
        if self.0.has(Defect::IsNotEmptyAtFirst) {
            let item = MemoryItem {
                namespace: "place".to_owned(),
                id: "left behind".to_owned(),
                owner: kernel_types::Pid::INIT,
                text: "word".to_owned(),
                metadata: [("n".to_owned(), Scalar::from(1.0))].into(),
                vector: None,
            };
            self.0.inner().remember(vec![item]).await.unwrap();
        }
        Arc::clone(&self.0) as Arc<dyn Vectors>
    }

    async fn reopen(&self, memory: Arc<dyn Vectors>) -> Arc<dyn Vectors> {
        if self.0.has(Defect::ForgetsOnReopening) {
            *self.0.inner.lock() = MemoryStore::new();
        }
        memory
    }

    async fn settle(&self, _memory: &Arc<dyn Vectors>, _namespace: &str) {
        let copy = MemoryStore::new();
        for namespace in self.0.inner().namespaces(None, usize::MAX).await.unwrap() {
            let items = self.0.inner().items(&namespace, None, usize::MAX).await.unwrap();
            copy.remember(items).await.unwrap();
        }
        let mut settled = self.0.settled.lock();
        settled.get_or_insert(copy);
    }
}

/// The laws that a memory with this defect breaks.
fn broken_laws(defect: Defect) -> Vec<&'static str> {
    let breaks = |law: Law| {
        std::panic::catch_unwind(|| {
            run(async {
                let broken = Broken {
                    inner: Mutex::default(),
                    defect,
                    writing: AtomicBool::new(false),
                    settled: Mutex::default(),
                };
                law(&BrokenFixture(Arc::new(broken))).await;
            });
        })
        .is_err()
    };
    LAWS.iter().filter(|(_, law)| breaks(*law)).map(|(name, _)| *name).collect()
}

#[test]
fn the_suite_finds_every_seeded_defect() {
    let cases = [
        (Defect::IsNotEmptyAtFirst, "nothing_is_found_in_a_new_memory"),
        (Defect::CutsTextAtNul, "items_come_back_exactly_as_remembered"),
        (Defect::RoundsVectors, "items_come_back_exactly_as_remembered"),
        (Defect::ForgetsOwner, "items_come_back_exactly_as_remembered"),
        (Defect::PageIncludesItsStart, "items_are_listed_in_pages_by_id"),
        (Defect::ListsEmptyNamespaces, "namespaces_are_listed_in_pages"),
        (Defect::KeepsTheFirstOfAnId, "of_items_with_one_id_the_last_stays"),
        (Defect::AddsInsteadOfReplacing, "remembering_again_replaces_the_whole_item"),
        (Defect::AddsInsteadOfReplacing, "a_dropped_remember_may_be_repeated"),
        (Defect::ForgetsNothing, "what_is_forgotten_is_gone"),
        (Defect::MiscountsForgotten, "what_is_forgotten_is_gone"),
        (Defect::MixesNamespaces, "namespaces_do_not_mix"),
        (Defect::ForgetsOnReopening, "what_was_remembered_is_there_after_reopening"),
        (Defect::FindsAllWords, "an_item_is_found_by_each_of_its_words"),
        (Defect::SplitsWordsAtSpaces, "words_are_those_of_any_script"),
        (Defect::FindsAnythingForSigns, "a_text_without_words_finds_nothing_by_words"),
        (Defect::IgnoresFilters, "filters_agree_with_the_oracle"),
        (Defect::IgnoresNegation, "filters_agree_with_the_oracle"),
        (Defect::FiltersWhatIsNearest, "a_narrow_filter_finds_all_there_is"),
        (Defect::FindsTheFarthest, "the_nearest_are_those_of_brute_force"),
        (Defect::IndexMissesMany, "most_of_the_nearest_are_found_by_an_index"),
        (Defect::IndexIsNeverUpdated, "an_index_follows_what_is_written"),
        (Defect::MixesModels, "models_do_not_mix"),
        (Defect::ComparesLengths, "only_directions_count"),
        (Defect::FusesScores, "two_lists_are_fused_by_rank"),
        (Defect::ReversesEqualScores, "equal_scores_are_ordered_by_id"),
        (Defect::FindsOneMore, "as_many_are_found_as_were_asked_for"),
        (Defect::FindsHalf, "as_many_are_found_as_were_asked_for"),
        (Defect::TakesHalfOfABadBatch, "bad_items_are_refused_and_change_nothing"),
        (Defect::TakesAnyVector, "bad_items_are_refused_and_change_nothing"),
        (Defect::TakesEmptySearches, "bad_searches_are_refused"),
        (Defect::ForgetsDimensions, "a_model_keeps_its_dimension"),
        (Defect::LosesConcurrentWrites, "those_who_remember_and_search_at_once_find_what_is_theirs"),
        (Defect::ForgetsNothing, "random_memories_agree_with_the_model"),
    ];
    let mut never_broken: Vec<_> = LAWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(broken_laws(Defect::None), [""; 0], "the control");
    let mut seen: Vec<(Defect, Vec<&str>)> = Vec::new();
    for (defect, law) in cases {
        let known = seen.iter().find(|(other, _)| *other == defect).map(|(_, broken)| broken.clone());
        let broken = known.unwrap_or_else(|| broken_laws(defect));
        assert!(broken.contains(&law), "{defect:?} should break {law}, broke {broken:?}");
        never_broken.retain(|law| !broken.contains(law));
        seen.push((defect, broken));
    }
    assert_eq!(never_broken, [""; 0], "no defect shows that these laws can fail");
}
