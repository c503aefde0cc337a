//! The Messages API as a [`Cpu`].

use std::fmt::Display;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use kernel_types::{Inference, ModelInfo};

use super::{request, stream::Reader};
use crate::http::{AnswerBuilder, Endpoint, Header, Limits, events};
use crate::model::{model_info, offered};
use crate::{ApiKey, Cpu, CpuError, CpuErrorKind, DeltaSink, InferRequest};

const BASE_URL: &str = "https://api.anthropic.com";

/// Where and how to reach a Messages API.
#[derive(Clone, Debug)]
pub struct AnthropicConfig {
    /// The address before `/v1/messages`.
    pub base_url: String,
    /// The key, if the server wants one.
    pub key: Option<ApiKey>,
    /// The models to offer, the default first.
    pub models: Vec<ModelInfo>,
    /// How many calls at a time.
    pub slots: u32,
    /// Time and size limits.
    pub limits: Limits,
}

impl AnthropicConfig {
    /// Anthropic's own address, this key, one model, four slots.
    #[must_use]
    pub fn new(key: Option<ApiKey>, model: ModelInfo) -> Self {
        Self { base_url: BASE_URL.to_owned(), key, models: vec![model], slots: 4, limits: Limits::default() }
    }
}

/// Claude, or any model behind a server that speaks Anthropic's protocol.
///
/// Breakpoints of the prompt become `cache_control` marks, up to what the model's cache takes.
#[derive(Clone, Debug)]
pub struct Anthropic {
    endpoint: Endpoint,
    models: Vec<ModelInfo>,
    slots: u32,
}

impl Anthropic {
    /// A client for `config`.
    ///
    /// # Errors
    /// The address is none, the key cannot be sent, there is no model, or the system has no certificate roots.
    pub fn new(config: AnthropicConfig) -> Result<Self, CpuError> {
        if config.models.is_empty() {
            return Err(CpuError::new(CpuErrorKind::InvalidRequest, "anthropic", "no model configured"));
        }
        let base = config.base_url.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let version = [("anthropic-version", "2023-06-01")];
        let endpoint =
            Endpoint::new(base, "", config.key, Header::Named("x-api-key"), &version, config.limits)?;
        Ok(Self { endpoint, models: config.models, slots: config.slots.max(1) })
    }

    /// A client for one model with the key of `ANTHROPIC_API_KEY`, at `ANTHROPIC_BASE_URL` if that is set.
    ///
    /// # Errors
    /// There is neither key nor address; else as [`Anthropic::new`].
    pub fn from_env(model: &str) -> Result<Self, CpuError> {
        let key = ApiKey::from_env("ANTHROPIC_API_KEY");
        let base = std::env::var("ANTHROPIC_BASE_URL").ok().filter(|base| !base.is_empty());
        if key.is_none() && base.is_none() {
            return Err(CpuError::new(CpuErrorKind::Auth, "anthropic", "ANTHROPIC_API_KEY is not set"));
        }
        let mut config = AnthropicConfig::new(key, model_info(model));
        config.base_url = base.unwrap_or(config.base_url);
        Self::new(config)
    }

    /// The bytes sent for `request`.
    ///
    /// # Errors
    /// The model is not offered here, or the prompt has no form in this protocol.
    pub fn body(&self, request: &InferRequest) -> Result<Vec<u8>, CpuError> {
        let model = offered(&self.models, &request.model, self.endpoint.host())?;
        request::body(request, model)
            .map_err(|message| self.endpoint.error(CpuErrorKind::InvalidRequest, &message))
    }

    /// Reads the answer to `request` from the bytes of an event stream, live or recorded.
    ///
    /// # Errors
    /// The stream breaks, stalls, exceeds a limit, is not of this protocol or says that something failed.
    pub async fn decode<E: Display + Send>(
        &self,
        request: &InferRequest,
        body: impl Stream<Item = Result<Bytes, E>> + Send,
        sink: &dyn DeltaSink,
    ) -> Result<Inference, CpuError> {
        let mut reader = Reader::new(&self.endpoint, AnswerBuilder::new(&self.endpoint, request, sink));
        let mut events = std::pin::pin!(events(&self.endpoint, body));
        let mut is_complete = false;
        while !is_complete && let Some(data) = events.next().await {
            is_complete = reader.event(&data?)?;
        }
        let mut answer = reader.into_answer();
        if !is_complete {
            answer.finish = None;
        }
        answer.build()
    }
}

#[async_trait]
impl Cpu for Anthropic {
    fn models(&self) -> Vec<ModelInfo> {
        self.models.clone()
    }

    fn slots(&self) -> u32 {
        self.slots
    }

    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let body = self.endpoint.post("/v1/messages", self.body(&request)?).await?;
        self.decode(&request, body, sink).await
    }

    async fn health(&self) -> Result<(), CpuError> {
        self.endpoint.fetch("/v1/models", 1).await.map(drop)
    }
}
