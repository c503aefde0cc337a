//! The laws of the [`Embedder`] contract.

use crate::Embedder;

const TEXTS: [&str; 5] =
    ["The cat sleeps.", "", "\u{0}\u{1F600} 数", "Quarterly revenue grew.", "The cat sleeps."];

/// One vector a text, in order, of one width and finite, the same alone as among others.
///
/// # Panics
/// If the embedder breaks its contract.
pub fn embedders_keep_their_contract(embedder: &dyn Embedder) {
    assert!(!embedder.model().is_empty(), "a model has a name");
    let together = embedder.embed(&TEXTS).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(together.len(), TEXTS.len(), "one vector a text");
    let width = together[0].len();
    for (text, vector) in TEXTS.iter().zip(&together) {
        assert_eq!(vector.len(), width, "{text:?}");
        assert!(vector.iter().all(|value| value.is_finite()), "{text:?}");
        let alone = embedder.embed(&[text]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(alone, std::slice::from_ref(vector), "{text:?} alone");
    }
    assert!(embedder.embed(&[]).is_ok_and(|none| none.is_empty()), "no vector for no text");
}
