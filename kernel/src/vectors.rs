//! Vectors and words about pages: what pages are found by beside their text.
//!
//! An embedder computes, so it is asked on a thread of its own before the call goes on, as bodies are loaded. What it
//! answers is journaled with the pages: a replay asks nobody. If it fails or is too slow, pages have no vector.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use kernel_context::retrieval::Embedding;
use kernel_context::{PageDraft, Swap};
use kernel_llm::{EmbedError, Embedder};
use kernel_storage::Vector;
use kernel_types::{BlobHash, PageKind, Timestamp, hash_bytes};

use crate::bodies::View;
use crate::core::Core;
use crate::prepare::Fault;
use crate::process::Process;

/// Texts that are embedded at once.
const BATCH: usize = 64;
/// The last moment of the year 9999.
const LAST: u64 = 253_402_300_799_999;

/// A text by its hash.
pub(crate) type Text = (BlobHash, Arc<str>);
/// Its vector, if the model has one for it.
pub(crate) type Embedded = (BlobHash, Option<Embedding>);

impl Core {
    /// Gives drafts the vectors of their texts; a fault names the texts to embed, or bodies to load, first.
    pub(crate) fn embed_drafts(&self, process: &Process, drafts: &mut [PageDraft]) -> Result<(), Fault> {
        if self.parts.embedder.is_none() {
            return Ok(());
        }
        let view = View { staged: &process.staged, bodies: &self.bodies };
        let (mut texts, mut absent, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for draft in drafts.iter_mut().filter(|draft| is_searched(&draft.kind)) {
            if let Some(known) = process.vectors.get(&draft.body) {
                draft.embedding = known.clone();
            } else if seen.insert(draft.body) {
                match view.body(&draft.body) {
                    Some(text) => texts.push((draft.body, text)),
                    None => absent.push(draft.body),
                }
            }
        }
        if !absent.is_empty() {
            return Err(Fault::Bodies(absent));
        }
        if texts.is_empty() { Ok(()) } else { Err(Fault::Vectors(texts)) }
    }

    /// The vector of what is looked for; a fault if it is to be embedded first.
    pub(crate) fn embed_query(&self, process: &Process, query: &str) -> Result<Option<Embedding>, Fault> {
        if self.parts.embedder.is_none() {
            return Ok(None);
        }
        let hash = hash_bytes(query.as_bytes());
        match process.vectors.get(&hash) {
            Some(known) => Ok(known.clone()),
            None => Err(Fault::Vectors(vec![(hash, query.into())])),
        }
    }
}

/// Instructions and notes are not looked for, and a tool call is found by its result.
const fn is_searched(kind: &PageKind) -> bool {
    !matches!(kind, PageKind::System | PageKind::Note { .. } | PageKind::ToolCall { .. })
}

/// Who said it and on which day, for pages of a conversation.
pub(crate) fn about(kind: &PageKind, now: Timestamp) -> Vec<String> {
    let speaker = match kind {
        PageKind::User => "user",
        PageKind::Assistant => "assistant",
        _ => return Vec::new(),
    };
    vec![speaker.to_owned(), day(now)]
}

/// The day in UTC, as in `2026-11-23`.
fn day(at: Timestamp) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(at.0.min(LAST));
    let mut text = humantime::format_rfc3339_seconds(time).to_string();
    text.truncate("2026-11-23".len());
    text
}

/// Asks an embedder for the vectors of texts, within `patience`. What it does not answer has none.
pub(crate) async fn vectors(
    embedder: Arc<dyn Embedder>,
    texts: Vec<Text>,
    patience: Duration,
) -> Vec<Embedded> {
    let deadline = tokio::time::Instant::now() + patience;
    let mut vectors = Vec::with_capacity(texts.len());
    for batch in texts.chunks(BATCH) {
        let (asked, batch) = (Arc::clone(&embedder), batch.to_vec());
        let work = tokio::task::spawn_blocking(move || {
            let texts: Vec<&str> = batch.iter().map(|(_, text)| &**text).collect();
            embed(&*asked, &texts)
        });
        match tokio::time::timeout_at(deadline, work).await {
            Ok(Ok(Ok(found))) => vectors.extend(found),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "pages get no vectors");
                break;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the embedder panicked; pages get no vectors");
                break;
            }
            Err(_) => {
                tracing::warn!(?patience, "the embedder did not answer; pages get no vectors");
                break;
            }
        }
    }
    vectors.resize(texts.len(), None);
    texts.into_iter().map(|(hash, _)| hash).zip(vectors).collect()
}

/// The vector of a text for long-term memory, within `patience`; `None` if the model has none for it.
pub(crate) async fn vector_of(
    embedder: Arc<dyn Embedder>,
    text: String,
    patience: Duration,
) -> Option<Vector> {
    let model = embedder.model().to_owned();
    let work = tokio::task::spawn_blocking(move || embedder.embed(&[&text]));
    let values = match tokio::time::timeout(patience, work).await {
        Ok(Ok(Ok(mut vectors))) if vectors.len() == 1 => vectors.pop()?,
        Ok(Ok(Ok(vectors))) => {
            tracing::warn!(model, "{} vectors for one text", vectors.len());
            return None;
        }
        Ok(Ok(Err(error))) => {
            tracing::warn!(%error, "a memory goes by words alone");
            return None;
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the embedder panicked; a memory goes by words alone");
            return None;
        }
        Err(_) => {
            tracing::warn!(?patience, "the embedder did not answer; a memory goes by words alone");
            return None;
        }
    };
    let is_direction =
        values.iter().all(|value| value.is_finite()) && values.iter().any(|value| *value != 0.0);
    is_direction.then_some(Vector { model, values })
}

fn embed(embedder: &dyn Embedder, texts: &[&str]) -> Result<Vec<Option<Embedding>>, EmbedError> {
    let vectors = embedder.embed(texts)?;
    if vectors.len() != texts.len() {
        let message = format!("{} vectors for {} texts", vectors.len(), texts.len());
        return Err(EmbedError::Failed { model: embedder.model().to_owned(), message });
    }
    let model: Arc<str> = embedder.model().into();
    Ok(vectors.iter().map(|vector| Embedding::new(Arc::clone(&model), vector)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_utc() {
        let check = |at: u64, expected: &str| assert_eq!(day(Timestamp(at)), expected);
        check(0, "1970-01-01");
        check(1_709_251_199_999, "2024-02-29");
        check(u64::MAX, "9999-12-31");
    }
}
