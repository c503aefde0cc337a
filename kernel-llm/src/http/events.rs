//! Server-sent events with bounds: on silence, on a line, on the whole.

use std::error::Error;
use std::fmt::Display;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde::de::DeserializeOwned;
use sse_stream::{Error as SseError, SseByteStream};
use tokio::time::timeout;

use super::Endpoint;
use crate::{CpuError, CpuErrorKind};

/// The data of each event of a body, until it ends or breaks.
pub(crate) fn events<'a, E: Display + Send + 'a>(
    endpoint: &'a Endpoint,
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'a,
) -> impl Stream<Item = Result<String, CpuError>> + Send + 'a {
    SseByteStream::new(bounded(endpoint, body).boxed()).filter_map(move |event| async move {
        match event {
            Ok(event) => event.data.map(Ok),
            Err(error) => Some(Err(sse_error(endpoint, &error))),
        }
    })
}

/// Reads the data of an event.
pub(crate) fn parse<T: DeserializeOwned>(endpoint: &Endpoint, data: &str) -> Result<T, CpuError> {
    serde_json::from_str(data).map_err(|error| {
        let shown: String = data.chars().take(80).collect();
        endpoint.error(CpuErrorKind::Protocol, &format!("cannot read the event {shown:?}: {error}"))
    })
}

/// The same bytes, ended by an error where a limit is passed.
fn bounded<E: Display + Send>(
    endpoint: &Endpoint,
    body: impl Stream<Item = Result<Bytes, E>> + Send,
) -> impl Stream<Item = Result<Bytes, CpuError>> + Send {
    let limits = endpoint.limits;
    let exceeded = move |what: &str, limit: usize| {
        endpoint.error(CpuErrorKind::Protocol, &format!("{what} of more than {limit} bytes"))
    };
    stream::try_unfold((Box::pin(body), 0, 0), move |(mut body, line, total)| async move {
        let chunk = match timeout(limits.idle, body.next()).await.map_err(|_| endpoint.silent())? {
            None => return Ok(None),
            Some(Err(error)) => {
                let message = format!("the stream broke: {error}");
                return Err(endpoint.error(CpuErrorKind::Broken, &message));
            }
            Some(Ok(chunk)) => chunk,
        };
        let end = chunk.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
        let line = end.map_or(line + chunk.len(), |at| chunk.len() - at - 1);
        let total: usize = total + chunk.len();
        if line > limits.line {
            return Err(exceeded("a line", limits.line));
        }
        if total > limits.total {
            return Err(exceeded("an answer", limits.total));
        }
        Ok(Some((chunk, (body, line, total))))
    })
}

fn sse_error(endpoint: &Endpoint, error: &SseError) -> CpuError {
    let own = error.source().and_then(|source| source.downcast_ref::<CpuError>());
    own.cloned()
        .unwrap_or_else(|| endpoint.error(CpuErrorKind::Protocol, &format!("not an event stream: {error}")))
}
