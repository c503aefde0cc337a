//! `Extras`: what is known of some pages beside their text, words about it and vectors. Copies share everything.

use std::sync::Arc;

use kernel_types::PageNo;
use serde::{Deserialize, Serialize};

use crate::PagerError;
use crate::retrieval::Embedding;
use crate::sequence::{Sequence, Weigh};
use crate::table::{Table, number_of};

/// What is known of one page.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Extra {
    pub(crate) about: Vec<String>,
    vector: Option<Vector>,
}

/// An [`Embedding`] whose model is named once for all pages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Vector {
    /// Its place among the models.
    model: u32,
    values: Arc<[i8]>,
}

impl Weigh for Extra {
    fn weight(&self) -> u64 {
        0
    }
}

/// What is known of pages, in the order in which it came.
#[derive(Clone, Default)]
pub(crate) struct Extras {
    list: Sequence<Extra>,
    /// The names of the models that any vector was of.
    models: Arc<Vec<Arc<str>>>,
}

impl Extras {
    /// Those of saved parts; `None` if a vector is none or of no model.
    pub(crate) fn of(list: Vec<Extra>, models: Vec<Arc<str>>) -> Option<Self> {
        let extras = Self { list: list.into_iter().collect(), models: Arc::new(models) };
        let sound =
            extras.list.iter().all(|extra| extra.vector.is_none() || extras.embedding(extra).is_some());
        sound.then_some(extras)
    }

    pub(crate) fn parts(&self) -> (Vec<Extra>, Vec<Arc<str>>) {
        (self.list.iter().cloned().collect(), (*self.models).clone())
    }

    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Extra> {
        self.list.get(at)
    }

    pub(crate) fn embedding(&self, extra: &Extra) -> Option<Embedding> {
        let vector = extra.vector.as_ref()?;
        let model = self.models.get(vector.model as usize)?;
        Embedding::of_quantised(Arc::clone(model), Arc::clone(&vector.values))
    }

    fn vector(&mut self, embedding: &Embedding) -> Vector {
        let known = self.models.iter().position(|model| **model == *embedding.model());
        let model = known.unwrap_or_else(|| {
            let models = Arc::make_mut(&mut self.models);
            models.push(embedding.model().into());
            models.len() - 1
        });
        Vector { model: number_of(model), values: Arc::clone(embedding.values()) }
    }

    /// Keeps what is known of a page; its place plus 1, or 0 if nothing is.
    pub(crate) fn push(&mut self, about: &[String], embedding: Option<&Embedding>) -> u32 {
        if about.is_empty() && embedding.is_none() {
            return 0;
        }
        let vector = embedding.map(|embedding| self.vector(embedding));
        self.list.push(Extra { about: about.to_vec(), vector });
        number_of(self.list.len())
    }

    fn embed(&mut self, at: usize, embedding: &Embedding) {
        let vector = Some(self.vector(embedding));
        self.list.update(at, |extra| extra.vector = vector);
    }
}

impl Table {
    /// Words about a page.
    pub(crate) fn about(&self, page: &crate::page::Page) -> &[String] {
        let extra = (page.extra as usize).checked_sub(1).and_then(|at| self.extras.get(at));
        extra.map(|extra| &extra.about[..]).unwrap_or_default()
    }

    /// The vector of a page.
    pub(crate) fn embedding(&self, page: &crate::page::Page) -> Option<Embedding> {
        let extra = self.extras.get((page.extra as usize).checked_sub(1)?)?;
        self.extras.embedding(extra)
    }

    /// Gives a page a vector, in place of the one it has.
    pub(crate) fn embed(&mut self, page: PageNo, embedding: &Embedding) -> Result<(), PagerError> {
        let (number, record) = self.page(page)?;
        match (record.extra as usize).checked_sub(1) {
            Some(at) => self.extras.embed(at, embedding),
            None => {
                let extra = self.extras.push(&[], Some(embedding));
                self.update(number, |page| page.extra = extra);
            }
        }
        Ok(())
    }

    /// Forgets what was known of a page that is freed.
    pub(crate) fn forget_extra(&mut self, page: &crate::page::Page) {
        if let Some(at) = (page.extra as usize).checked_sub(1) {
            self.extras.list.update(at, std::mem::take);
        }
    }

    /// Whether every extra belongs to one page.
    pub(crate) fn extras_are_sound(&self) -> bool {
        let mut owned = vec![false; self.extras.len()];
        let places = self.pages.iter().filter_map(|page| (page.extra as usize).checked_sub(1));
        let all = places
            .into_iter()
            .all(|at| owned.get_mut(at).is_some_and(|owned| !std::mem::replace(owned, true)));
        all && owned.iter().all(|owned| *owned)
    }
}
