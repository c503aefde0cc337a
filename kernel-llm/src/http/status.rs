//! From a provider's refusal to a [`CpuError`].

use std::time::SystemTime;

use kernel_types::Millis;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde::Deserialize;

use super::Endpoint;
use crate::{CpuError, CpuErrorKind};

/// The longest Retry-After that is believed.
const LONGEST_RETRY_AFTER: Millis = Millis(24 * 60 * 60 * 1000);

/// The most characters of a provider's words that go into an error.
const MAX_WORDS: usize = 400;

/// `{"error": {...}}` as both protocols write it; some servers send bare text as the error.
#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    error: Option<Refusal>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Refusal {
    Full(Details),
    Words(String),
}

/// A provider's error: its class and its words.
#[derive(Clone, Default, Debug, Deserialize)]
struct Details {
    #[serde(default)]
    message: Option<String>,
    #[serde(default, rename = "type")]
    class: Option<String>,
    /// A word at OpenAI, a number elsewhere.
    #[serde(default)]
    code: Option<serde_json::Value>,
}

impl Details {
    fn of(body: &Body) -> Self {
        match &body.error {
            Some(Refusal::Full(details)) => details.clone(),
            Some(Refusal::Words(words)) => Self { message: Some(words.clone()), ..Self::default() },
            None => Self { message: body.message.clone(), ..Self::default() },
        }
    }

    fn is(&self, words: &[&str]) -> bool {
        let code = self.code.as_ref().and_then(serde_json::Value::as_str);
        words.iter().any(|&word| self.class.as_deref() == Some(word) || code == Some(word))
    }

    fn says(&self, words: &[&str]) -> bool {
        let message = self.message.as_deref().unwrap_or_default().to_lowercase();
        words.iter().any(|&word| message.contains(word))
    }

    /// The kind that the body tells, whatever the status.
    fn kind(&self) -> Option<CpuErrorKind> {
        if self.is(&["context_length_exceeded", "exceed_context_size_error", "request_too_large"])
            || self.says(&["prompt is too long", "maximum context length", "exceed context limit"])
        {
            return Some(CpuErrorKind::TooLong);
        }
        if self.is(&["model_not_found"]) {
            return Some(CpuErrorKind::UnknownModel);
        }
        if self.is(&["insufficient_quota", "billing_error"]) || self.says(&["credit balance is too low"]) {
            return Some(CpuErrorKind::Auth);
        }
        None
    }
}

/// The error behind a status that is not a success.
pub(super) fn status_error(endpoint: &Endpoint, status: u16, headers: &HeaderMap, body: &[u8]) -> CpuError {
    let details = Details::of(&serde_json::from_slice(body).unwrap_or_default());
    let kind = details.kind().unwrap_or(match status {
        401..=403 => CpuErrorKind::Auth,
        404 => CpuErrorKind::UnknownModel,
        408 => CpuErrorKind::Timeout,
        413 => CpuErrorKind::TooLong,
        429 | 503 | 529 => CpuErrorKind::Overloaded,
        500.. => CpuErrorKind::Failed,
        _ => CpuErrorKind::InvalidRequest,
    });
    let words = match (headers.get(LOCATION), details.message) {
        (Some(to), _) if (300..400).contains(&status) => {
            format!("redirects are not followed; set the base URL to where {to:?} leads")
        }
        (_, Some(message)) => message,
        (_, None) => String::from_utf8_lossy(body).into_owned(),
    };
    let message = format!("status {status}: {}", tidy(&endpoint.mask(&words)));
    endpoint
        .error(kind, message.trim_end_matches([':', ' ']))
        .retry_after(retry_after(headers, SystemTime::now()))
}

/// The error behind an error event in the middle of a stream.
pub(crate) fn stream_error(endpoint: &Endpoint, data: &str) -> CpuError {
    let details = Details::of(&serde_json::from_str(data).unwrap_or_default());
    let numeric = details.code.as_ref().and_then(serde_json::Value::as_u64);
    let kind = details.kind().unwrap_or(match (details.class.as_deref(), numeric) {
        (Some("overloaded_error" | "rate_limit_error"), _) | (_, Some(429 | 503 | 529)) => {
            CpuErrorKind::Overloaded
        }
        (Some("authentication_error" | "permission_error"), _) => CpuErrorKind::Auth,
        (Some("invalid_request_error"), _) => CpuErrorKind::InvalidRequest,
        (Some("api_error" | "server_error"), _) => CpuErrorKind::Failed,
        _ => CpuErrorKind::Broken,
    });
    let words = details.message.unwrap_or_else(|| "an error without words".to_owned());
    endpoint.error(kind, &format!("error in the stream: {}", tidy(&endpoint.mask(&words))))
}

/// One line, without control characters, not too long. The key must be masked before, lest a cut leave half of it.
fn tidy(words: &str) -> String {
    let mut line: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
    line.retain(|c| !c.is_control());
    if let Some((end, _)) = line.char_indices().nth(MAX_WORDS) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// The delay a provider asks for: `retry-after-ms`, or Retry-After in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Millis> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Millis(millis).min(LONGEST_RETRY_AFTER));
    }
    let text = text(RETRY_AFTER.as_str())?;
    let delay = match text.parse::<u64>() {
        Ok(seconds) => Millis(seconds.saturating_mul(1000)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default().into(),
    };
    Some(delay.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn check(header: (&'static str, &str), expected: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(header.0, header.1.parse().unwrap());
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after(&headers, now), expected.map(Millis), "{header:?}");
    }

    #[test]
    fn retry_after_is_read_in_seconds_as_a_date_and_in_milliseconds() {
        check(("retry-after", "7"), Some(7000));
        check(("retry-after", "Sun, 06 Nov 1994 08:49:50 GMT"), Some(13_000));
        check(("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        check(("retry-after-ms", "250"), Some(250));
        check(("retry-after", "soon"), None);
        check(("retry-after", "99999999999999999999"), None);
        check(("retry-after", "9999999999"), Some(LONGEST_RETRY_AFTER.0));
    }

    #[test]
    fn words_of_a_provider_are_one_short_line() {
        assert_eq!(tidy("a\n\tb\u{1b}[31m"), "a b[31m");
        assert_eq!(tidy(&"x".repeat(1000)).chars().count(), MAX_WORDS + 1);
    }
}
