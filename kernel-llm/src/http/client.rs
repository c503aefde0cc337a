//! The one HTTP client: where it may connect, how long it waits, what it reveals.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, Url, redirect};
use tokio::time::timeout;

use super::{status, tls};
use crate::{ApiKey, CpuError, CpuErrorKind};

/// The most that is read of an error's body.
const MAX_ERROR_BODY: usize = 64 << 10;
/// Local servers close a connection that was idle for five seconds; one must not be used again while it is being closed.
const LOCAL_IDLE: Duration = Duration::from_secs(3);

/// Bounds on one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// To connect, TLS included.
    pub connect: Duration,
    /// Of silence: before the answer's head, and between two pieces of it.
    pub idle: Duration,
    /// Bytes of one line of the stream.
    pub line: usize,
    /// Bytes of the whole stream.
    pub total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            line: 4 << 20,
            total: 64 << 20,
        }
    }
}

/// How the key travels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Header {
    /// `Authorization: Bearer`.
    Bearer,
    /// A header of its own.
    #[cfg(feature = "anthropic")]
    Named(&'static str),
}

/// A provider's address with the client and the key for it. Redirects are not followed: a key goes nowhere else.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    client: Client,
    base: Url,
    host: String,
    key: Option<ApiKey>,
    pub(crate) limits: Limits,
}

impl Endpoint {
    /// An endpoint at `base`, which must not hold a user or password; `path` is added to an address without one.
    pub(crate) fn new(
        base: &str,
        path: &str,
        key: Option<ApiKey>,
        header: Header,
        fixed: &[(&'static str, &'static str)],
        limits: Limits,
    ) -> Result<Self, CpuError> {
        let refuse = |message: String| CpuError::new(CpuErrorKind::InvalidRequest, "base URL", message);
        let mut base = Url::parse(base.trim()).map_err(|error| refuse(format!("not a URL: {error}")))?;
        if base.path() == "/" {
            base.set_path(path);
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(refuse("must not hold a user or password; set the key instead".to_owned()));
        }
        if !matches!(base.scheme(), "http" | "https") {
            return Err(refuse(format!("scheme {:?} is neither http nor https", base.scheme())));
        }
        let Some(host) = base.host_str().map(str::to_owned) else {
            return Err(refuse("has no host".to_owned()));
        };

        let tls = tls::config(base.scheme() == "http")
            .map_err(|error| CpuError::new(CpuErrorKind::Unreachable, &host, format!("no TLS: {error}")))?;
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(limits.connect)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("agentos-kernel/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers(&host, key.as_ref(), header, fixed)?);
        if is_loopback(&base) {
            // A proxy from the environment cannot reach this machine's own servers.
            builder = builder.no_proxy().pool_idle_timeout(LOCAL_IDLE);
        }
        let client = builder
            .build()
            .map_err(|error| CpuError::new(CpuErrorKind::Unreachable, &host, deepest(&error)))?;
        Ok(Self { client, base, host, key, limits })
    }

    /// Who is at the other end, for errors.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The key, for masking.
    pub(crate) fn key(&self) -> Option<&ApiKey> {
        self.key.as_ref()
    }

    /// An error of this endpoint, free of its key.
    pub(crate) fn error(&self, kind: CpuErrorKind, message: &str) -> CpuError {
        CpuError::new(kind, &self.host, self.mask(message))
    }

    /// `text` without the key.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |key| key.mask(text))
    }

    /// Posts `body` and answers the bytes of the event stream that comes back.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<impl Stream<Item = reqwest::Result<Bytes>> + Send + use<>, CpuError> {
        let response = self.send(Method::POST, path, body).await?;
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("nothing");
        if !kind.starts_with("text/event-stream") {
            let message = format!("answered {kind} instead of an event stream");
            return Err(self.error(CpuErrorKind::Protocol, &message));
        }
        Ok(response.bytes_stream())
    }

    /// Asks for `path` and reads at most `limit` bytes of what comes back.
    pub(crate) async fn fetch(&self, path: &str, limit: usize) -> Result<Vec<u8>, CpuError> {
        let response = self.send(Method::GET, path, Vec::new()).await?;
        Ok(self.read_some(response, limit).await)
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Response, CpuError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        let request = self.client.request(method, url).body(body).send();
        let response = timeout(self.limits.idle, request)
            .await
            .map_err(|_| self.silent())?
            .map_err(|error| self.transport(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (code, headers) = (response.status().as_u16(), response.headers().clone());
        let body = self.read_some(response, MAX_ERROR_BODY).await;
        Err(status::status_error(self, code, &headers, &body))
    }

    /// The beginning of a body, as much as arrives.
    async fn read_some(&self, mut response: Response, limit: usize) -> Vec<u8> {
        let mut body = Vec::new();
        while body.len() < limit {
            let Ok(Ok(Some(chunk))) = timeout(self.limits.idle, response.chunk()).await else { break };
            body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
        }
        body
    }

    /// Nothing came for too long.
    pub(crate) fn silent(&self) -> CpuError {
        let message = format!("nothing came for {} ms", self.limits.idle.as_millis());
        self.error(CpuErrorKind::Timeout, &message)
    }

    /// A failure below HTTP.
    fn transport(&self, error: &reqwest::Error) -> CpuError {
        let kind = if error.is_timeout() && !error.is_connect() {
            CpuErrorKind::Timeout
        } else {
            CpuErrorKind::Unreachable
        };
        self.error(kind, &format!("no answer: {}", deepest(error)))
    }
}

fn headers(
    host: &str,
    key: Option<&ApiKey>,
    header: Header,
    fixed: &[(&'static str, &'static str)],
) -> Result<HeaderMap, CpuError> {
    let mut map = HeaderMap::new();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in fixed {
        map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let Some(key) = key else { return Ok(map) };
    let (name, value) = match header {
        Header::Bearer => ("authorization", format!("Bearer {}", key.expose())),
        #[cfg(feature = "anthropic")]
        Header::Named(name) => (name, key.expose().to_owned()),
    };
    let mut value = HeaderValue::from_str(&value).map_err(|_| {
        CpuError::new(CpuErrorKind::Auth, host, "the key holds characters that cannot be sent in a header")
    })?;
    value.set_sensitive(true);
    map.insert(HeaderName::from_static(name), value);
    Ok(map)
}

fn is_loopback(base: &Url) -> bool {
    base.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

/// The innermost cause in words; the outer ones only repeat the URL.
pub(super) fn deepest(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}
