//! Chat completions as a [`Cpu`].

use std::fmt::Display;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use kernel_types::{Inference, JsonText, ModelInfo};
use serde_json::{Map, Value};

use super::request::{self, LimitField};
use super::stream;
use crate::http::{AnswerBuilder, Endpoint, Header, Limits, events};
use crate::model::{model_info, offered};
use crate::{ApiKey, Cpu, CpuError, CpuErrorKind, DeltaSink, InferRequest};

const BASE_URL: &str = "https://api.openai.com/v1";

/// Where and how to reach a chat completions API.
#[derive(Clone, Debug)]
pub struct OpenAiConfig {
    /// The address before `/chat/completions`; `/v1` is added to an address without a path.
    pub base_url: String,
    /// The key, if the server wants one.
    pub key: Option<ApiKey>,
    /// The models to offer, the default first.
    pub models: Vec<ModelInfo>,
    /// How many calls at a time.
    pub slots: u32,
    /// Where the server expects the most output tokens.
    pub limit_field: LimitField,
    /// Further fields of every request, an object: for example `{"cache_prompt": true}` for llama-server. A field
    /// that is sent anyway must not be named.
    pub extra: JsonText,
    /// The sampling temperature in thousandths of requests that say none; the server's default without.
    pub temperature: Option<u32>,
    /// Time and size limits.
    pub limits: Limits,
}

impl OpenAiConfig {
    /// One model at `base_url`, four slots.
    #[must_use]
    pub fn new(base_url: &str, key: Option<ApiKey>, model: ModelInfo) -> Self {
        let is_openai = base_url.starts_with("https://api.openai.com");
        Self {
            base_url: base_url.to_owned(),
            key,
            models: vec![model],
            slots: 4,
            limit_field: if is_openai { LimitField::MaxCompletionTokens } else { LimitField::MaxTokens },
            extra: JsonText::empty_object(),
            temperature: None,
            limits: Limits::default(),
        }
    }
}

/// Any model behind a server that speaks OpenAI's chat completions.
///
/// Caching of prefixes is the server's own affair; breakpoints of the prompt are not sent.
#[derive(Clone, Debug)]
pub struct OpenAi {
    endpoint: Endpoint,
    models: Vec<ModelInfo>,
    slots: u32,
    limit_field: LimitField,
    extra: Map<String, Value>,
    temperature: Option<u32>,
}

impl OpenAi {
    /// A client for one model at `base_url`, such as `https://api.openai.com/v1` or `http://127.0.0.1:11434`.
    ///
    /// # Errors
    /// As [`OpenAi::with_config`].
    pub fn new(base_url: &str, key: Option<ApiKey>, model: ModelInfo) -> Result<Self, CpuError> {
        Self::with_config(OpenAiConfig::new(base_url, key, model))
    }

    /// A client for `config`.
    ///
    /// # Errors
    /// The address is none, the key cannot be sent, there is no model, `extra` is not an object, or the system has no
    /// certificate roots.
    pub fn with_config(config: OpenAiConfig) -> Result<Self, CpuError> {
        let refuse = |message: &str| Err(CpuError::new(CpuErrorKind::InvalidRequest, "openai", message));
        if config.models.is_empty() {
            return refuse("no model configured");
        }
        let Value::Object(extra) = config.extra.value() else {
            return refuse("the extra fields are not an object");
        };
        let endpoint =
            Endpoint::new(&config.base_url, "/v1", config.key, Header::Bearer, &[], config.limits)?;
        Ok(Self {
            endpoint,
            models: config.models,
            slots: config.slots.max(1),
            limit_field: config.limit_field,
            extra,
            temperature: config.temperature,
        })
    }

    /// A client for one model with the key of `OPENAI_API_KEY`, at `OPENAI_BASE_URL` if that is set.
    ///
    /// # Errors
    /// There is neither key nor address; else as [`OpenAi::with_config`].
    pub fn from_env(model: &str) -> Result<Self, CpuError> {
        let key = ApiKey::from_env("OPENAI_API_KEY");
        let base = std::env::var("OPENAI_BASE_URL").ok().filter(|base| !base.is_empty());
        if key.is_none() && base.is_none() {
            return Err(CpuError::new(CpuErrorKind::Auth, "openai", "OPENAI_API_KEY is not set"));
        }
        Self::new(base.as_deref().unwrap_or(BASE_URL), key, model_info(model))
    }

    /// The bytes sent for `request`.
    ///
    /// # Errors
    /// The model is not offered here.
    pub fn body(&self, request: &InferRequest) -> Result<Vec<u8>, CpuError> {
        let model = offered(&self.models, &request.model, self.endpoint.host())?;
        let temperature = request.temperature.or(self.temperature);
        request::body(&InferRequest { temperature, ..request.clone() }, model, self.limit_field, &self.extra)
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
        let mut answer = AnswerBuilder::new(&self.endpoint, request, sink);
        let mut events = std::pin::pin!(events(&self.endpoint, body));
        let mut is_complete = false;
        while !is_complete && let Some(data) = events.next().await {
            is_complete = stream::event(&self.endpoint, &mut answer, &data?)?;
        }
        answer.build()
    }
}

#[async_trait]
impl Cpu for OpenAi {
    fn models(&self) -> Vec<ModelInfo> {
        self.models.clone()
    }

    fn slots(&self) -> u32 {
        self.slots
    }

    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let body = self.endpoint.post("/chat/completions", self.body(&request)?).await?;
        self.decode(&request, body, sink).await
    }

    async fn health(&self) -> Result<(), CpuError> {
        self.endpoint.fetch("/models", 1).await.map(drop)
    }
}
