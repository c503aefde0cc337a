//! `Embedding`: what an embedding model, run by the caller, says a text is about.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The largest value of a quantised vector.
const FULL: f32 = 127.0;
/// The most values of a vector: dot products of so many fit in 32 bits.
const MOST_VALUES: usize = 1 << 16;

/// A text as an embedding model sees it. Only embeddings of one model are compared.
///
/// Values are kept in one byte each, scaled to the largest: cosines differ from those of the vector given by less than a
/// hundredth. As JSON it is the model's name and the bytes in base64: `{"model":"m","values":"fwA="}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Coded", into = "Coded")]
pub struct Embedding {
    pub(super) model: Arc<str>,
    pub(super) values: Arc<[i8]>,
    /// One by the length of `values`.
    pub(super) scale: f32,
}

/// The scale follows from the values.
impl PartialEq for Embedding {
    fn eq(&self, other: &Self) -> bool {
        self.model == other.model && self.values == other.values
    }
}

impl Eq for Embedding {}

impl Embedding {
    /// The embedding that the model of that name gave. `None` if a value is not finite, if all are zero, as models answer
    /// for an empty text, or if there are more than 65,536.
    #[must_use]
    pub fn new(model: impl Into<Arc<str>>, values: &[f32]) -> Option<Self> {
        let largest = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        if largest <= 0.0 || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "scaled to -127..=127")]
        let values: Arc<[i8]> = values.iter().map(|value| (value / largest * FULL).round() as i8).collect();
        Self::of_quantised(model.into(), values)
    }

    /// The embedding of values that are quantised already; `None` as for [`Embedding::new`].
    pub(crate) fn of_quantised(model: Arc<str>, values: Arc<[i8]>) -> Option<Self> {
        if values.len() > MOST_VALUES || values.iter().all(|value| *value == 0) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "only the leading digits of a length matter")]
        let scale = (dot(&values, &values) as f32).sqrt().recip();
        Some(Self { model, values, scale })
    }

    /// The model's name.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The quantised values.
    pub(crate) fn values(&self) -> &Arc<[i8]> {
        &self.values
    }

    /// The cosine of the angle between the two: 1 for the same direction. `None` if they are of different models or widths.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> Option<f32> {
        let alike = self.model == other.model && self.values.len() == other.values.len();
        alike.then(|| cosine((&self.values, self.scale), (&other.values, other.scale)))
    }
}

/// An embedding as text.
#[derive(Serialize, Deserialize)]
struct Coded {
    model: Arc<str>,
    values: String,
}

impl From<Embedding> for Coded {
    fn from(embedding: Embedding) -> Self {
        let bytes: Vec<u8> = embedding.values.iter().map(|value| value.cast_unsigned()).collect();
        Self { model: embedding.model, values: STANDARD.encode(bytes) }
    }
}

impl TryFrom<Coded> for Embedding {
    type Error = String;

    fn try_from(coded: Coded) -> Result<Self, String> {
        let bytes = STANDARD.decode(&coded.values).map_err(|error| format!("an embedding: {error}"))?;
        let values = bytes.into_iter().map(u8::cast_signed).collect();
        Self::of_quantised(coded.model, values).ok_or_else(|| "an embedding without a direction".to_owned())
    }
}

#[expect(clippy::cast_precision_loss, reason = "only the leading digits of a cosine matter")]
pub(super) fn cosine(a: (&[i8], f32), b: (&[i8], f32)) -> f32 {
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

    #[test]
    fn an_embedding_is_short_text_and_comes_back() {
        let embedding = Embedding::new("m", &[0.5, -0.25, 0.0]).unwrap();
        let json = serde_json::to_string(&embedding).unwrap();
        assert_eq!(json, r#"{"model":"m","values":"f8AA"}"#);
        assert_eq!(serde_json::from_str::<Embedding>(&json).unwrap(), embedding);
        for broken in ["", "AAA=", "AAAA", "?"] {
            let json = serde_json::json!({ "model": "m", "values": broken });
            assert!(serde_json::from_value::<Embedding>(json).is_err(), "{broken:?}");
        }
    }
}
