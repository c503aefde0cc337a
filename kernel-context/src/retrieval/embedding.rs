//! Vectors of pages: what an embedding model, run by the caller, says a text is about.

use std::sync::Arc;

use super::merge::Moves;
use super::segment::Segment;

/// The largest value of a quantised vector.
const FULL: f32 = 127.0;

/// A text as an embedding model sees it. Only embeddings of one model are compared.
///
/// Values are kept in one byte each, scaled to the largest: cosines differ from those of the vector given by less than a
/// hundredth.
#[derive(Clone, PartialEq, Debug)]
pub struct Embedding {
    model: Arc<str>,
    values: Arc<[i8]>,
    /// One by the length of `values`.
    scale: f32,
}

impl Embedding {
    /// The embedding that the model of that name gave; of any length. `None` if a value is not finite or all are zero, as
    /// models answer for an empty text.
    #[must_use]
    pub fn new(model: impl Into<Arc<str>>, values: &[f32]) -> Option<Self> {
        let largest = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        if largest <= 0.0 || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "scaled to -127..=127")]
        let values: Arc<[i8]> = values.iter().map(|value| (value / largest * FULL).round() as i8).collect();
        #[expect(clippy::cast_precision_loss, reason = "only the leading digits of a length matter")]
        let scale = (dot(&values, &values) as f32).sqrt().recip();
        Some(Self { model: model.into(), values, scale })
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The cosine of the angle between the two: 1 for the same direction. `None` if they are of different models or widths.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> Option<f32> {
        let alike = self.model == other.model && self.values.len() == other.values.len();
        alike.then(|| cosine((&self.values, self.scale), (&other.values, other.scale)))
    }
}

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

    /// The vectors of `segments`, by model; `moves` says where each page goes.
    pub(super) fn merged(segments: &[&Segment], moves: &[Moves]) -> Box<[Self]> {
        let mut merged: Vec<Self> = Vec::new();
        for (segment, moves) in segments.iter().zip(moves) {
            for vectors in &segment.vectors {
                let alike = |known: &Self| known.model == vectors.model && known.width == vectors.width;
                let at = merged.iter().position(alike).unwrap_or_else(|| {
                    merged.push(Self {
                        places: Vec::new(),
                        values: Vec::new(),
                        scales: Vec::new(),
                        ..vectors.clone()
                    });
                    merged.len() - 1
                });
                merged[at].extend(vectors, moves);
            }
        }
        merged.into_boxed_slice()
    }

    fn extend(&mut self, other: &Self, moves: &Moves) {
        for (at, place) in other.places.iter().enumerate() {
            if let Some(place) = moves.place(usize::from(*place)) {
                self.places.push(place);
                self.values.extend_from_slice(other.row(at));
                self.scales.push(other.scales[at]);
            }
        }
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

#[expect(clippy::cast_precision_loss, reason = "only the leading digits of a cosine matter")]
fn cosine(a: (&[i8], f32), b: (&[i8], f32)) -> f32 {
    dot(a.0, b.0) as f32 * a.1 * b.1
}

fn dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_survive_quantising() {
        let wave = |step: f32| -> Vec<f32> { (0_u8..=255).map(|at| (f32::from(at) * step).sin()).collect() };
        for (a, b) in [(0.1, 0.1), (0.1, 0.11), (0.3, 1.7), (2.0, 0.05)] {
            let (x, y) = (wave(a), wave(b));
            let exact = x.iter().zip(&y).map(|(x, y)| x * y).sum::<f32>();
            let length = |v: &[f32]| v.iter().map(|v| v * v).sum::<f32>().sqrt();
            let exact = exact / (length(&x) * length(&y));
            let kept = Embedding::new("m", &x).unwrap().cosine(&Embedding::new("m", &y).unwrap()).unwrap();
            assert!((kept - exact).abs() < 0.01, "{kept} for {exact}");
        }
    }

    #[test]
    fn models_are_not_compared_with_each_other() {
        let embedding = |model: &str, values: &[f32]| Embedding::new(model, values).unwrap();
        assert_eq!(embedding("a", &[1.0, 0.0]).cosine(&embedding("b", &[1.0, 0.0])), None);
        assert_eq!(embedding("a", &[1.0, 0.0]).cosine(&embedding("a", &[1.0])), None);
        for broken in [&[][..], &[0.0, 0.0], &[1.0, f32::NAN], &[f32::INFINITY]] {
            assert_eq!(Embedding::new("a", broken), None, "{broken:?}");
        }
    }
}
