//! The vectors of the pages of one segment.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::embedding::{Embedding, cosine};
use super::merge::Moves;
use super::segment::Segment;

/// Vectors that came after their pages were in a segment, by place. They stand for those of the segment.
pub(super) type Late = BTreeMap<u16, Embedding>;

/// The vectors of pages of one segment, of one model and width.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Vectors {
    model: Arc<str>,
    width: usize,
    /// Places of the pages that have one, ascending.
    places: Vec<u16>,
    values: Vec<i8>,
    scales: Vec<f32>,
}

/// A vector on its way to a merged segment.
struct Row<'a> {
    place: u16,
    model: &'a Arc<str>,
    values: &'a [i8],
    scale: f32,
}

impl Vectors {
    /// The vector of the only page of a segment.
    pub(super) fn of_page(embedding: &Embedding) -> Self {
        Self {
            model: Arc::clone(&embedding.model),
            width: embedding.values.len(),
            places: vec![0],
            values: embedding.values.to_vec(),
            scales: vec![embedding.scale],
        }
    }

    /// The vectors of `segments` and those that came late, by model; `moves` says where each page goes.
    pub(super) fn merged(segments: &[&Segment], late: &[Option<&Late>], moves: &[Moves]) -> Box<[Self]> {
        let mut rows = Vec::new();
        for ((segment, late), moves) in segments.iter().zip(late).zip(moves) {
            let is_late = |place: &u16| late.is_some_and(|late| late.contains_key(place));
            for vectors in &segment.vectors {
                rows.extend(
                    vectors.rows().filter(|row| !is_late(&row.place)).filter_map(|row| row.to(moves)),
                );
            }
            let late = late.iter().flat_map(|late| late.iter());
            rows.extend(
                late.map(|(place, embedding)| Row::of(*place, embedding)).filter_map(|row| row.to(moves)),
            );
        }
        rows.sort_by_key(|row| row.place);
        let mut merged: Vec<Self> = Vec::new();
        for row in rows {
            let alike = |known: &&mut Self| known.model == *row.model && known.width == row.values.len();
            match merged.iter_mut().find(alike) {
                Some(known) => known.push(&row),
                None => merged.push(Self::of_row(&row)),
            }
        }
        merged.into_boxed_slice()
    }

    fn of_row(row: &Row<'_>) -> Self {
        let width = row.values.len();
        let mut vectors =
            Self { model: Arc::clone(row.model), width, places: vec![], values: vec![], scales: vec![] };
        vectors.push(row);
        vectors
    }

    fn push(&mut self, row: &Row<'_>) {
        self.places.push(row.place);
        self.values.extend_from_slice(row.values);
        self.scales.push(row.scale);
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let row = |(at, place): (usize, &u16)| Row {
            place: *place,
            model: &self.model,
            values: self.row(at),
            scale: self.scales[at],
        };
        self.places.iter().enumerate().map(row)
    }

    pub(super) fn bytes(&self) -> usize {
        let (places, scales) = (size_of_val(&self.places[..]), size_of_val(&self.scales[..]));
        size_of::<Self>() + places + scales + self.values.len()
    }

    fn row(&self, at: usize) -> &[i8] {
        &self.values[at * self.width..(at + 1) * self.width]
    }

    /// The cosine of each page's vector with `query`; none if that is of another model.
    pub(super) fn cosines(&self, query: &Embedding) -> impl Iterator<Item = (usize, f32)> {
        let alike = self.model == query.model && self.width == query.values.len();
        let places = if alike { &self.places[..] } else { &[] };
        places.iter().enumerate().map(|(at, place)| {
            let own = (self.row(at), self.scales[at]);
            (usize::from(*place), cosine(own, (&query.values, query.scale)))
        })
    }
}

impl<'a> Row<'a> {
    fn of(place: u16, embedding: &'a Embedding) -> Self {
        Self { place, model: &embedding.model, values: &embedding.values, scale: embedding.scale }
    }

    /// The same at the place where its page goes, if it stays.
    fn to(self, moves: &Moves) -> Option<Self> {
        Some(Self { place: moves.place(usize::from(self.place))?, ..self })
    }
}
