//! The model catalogue: windows, prices and cache models, one data file.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{CacheModel, MicroUsd, Retention, TokenUsage, Tokens};

/// Why a catalogue does not load.
#[derive(Debug, Error)]
#[error("model catalogue: {0}")]
pub struct CatalogueError(#[from] toml::de::Error);

/// Prices in millionths of a US dollar per million tokens, that is, dollars per million tokens times 10^6.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pricing {
    /// Input neither read from nor written to a cache.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Input read from the prefix cache.
    pub cache_read: u64,
    /// Input written to the prefix cache.
    pub cache_write: u64,
    /// Input written to the prefix cache to be kept for longer; `None` if that is not offered.
    pub cache_write_long: Option<u64>,
}

impl Pricing {
    /// The cost of a call, rounded up to a millionth of a dollar.
    #[must_use]
    pub fn cost(&self, usage: &TokenUsage) -> MicroUsd {
        let plain = usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_written);
        let terms = [
            (plain, self.input),
            (usage.cached, self.cache_read),
            (usage.cache_written.saturating_sub(usage.written_long), self.cache_write),
            (usage.written_long, self.cache_write_long.unwrap_or(self.cache_write)),
            (usage.output, self.output),
        ];
        let sum = terms.iter().fold(0u128, |sum, (tokens, price)| {
            sum.saturating_add(u128::from(tokens.0) * u128::from(*price))
        });
        MicroUsd(u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }

    /// The most a call of that size and retention can cost: the dearest input price for all of the input.
    #[must_use]
    pub fn ceiling(&self, input: Tokens, output: Tokens, retention: Retention) -> MicroUsd {
        let long = self.cache_write_long.filter(|_| retention == Retention::Long).unwrap_or(0);
        let dearest = self.input.max(self.cache_write).max(self.cache_read).max(long);
        Self { input: dearest, ..*self }.cost(&TokenUsage { input, output, ..TokenUsage::default() })
    }
}

/// A model: what it can take and what it costs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name at its provider.
    pub name: String,
    /// Tokens of its context window, input and output together.
    pub window: Tokens,
    /// The most output tokens of one call.
    pub max_output: Tokens,
    /// It takes tools through the provider's own interface.
    pub native_tools: bool,
    /// Prices; `None` if unknown, then a cost budget refuses it.
    pub pricing: Option<Pricing>,
    /// Its prefix cache, with the relative prices of `pricing` where it has any.
    pub cache: CacheModel,
}

/// The models and the kinds of prefix cache known by name.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    models: BTreeMap<String, ModelInfo>,
    caches: BTreeMap<String, CacheModel>,
}

#[derive(Deserialize)]
struct File {
    cache: BTreeMap<String, CacheModel>,
    model: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    window: Tokens,
    max_output: Tokens,
    native_tools: bool,
    cache: String,
    pricing: Option<Pricing>,
}

static BUILT_IN: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::parse(include_str!("models.toml")).expect("the shipped file is tested"));

impl Catalogue {
    /// The models that ship with this crate.
    #[must_use]
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    /// Reads a catalogue in the form of the shipped `models.toml`.
    ///
    /// # Errors
    /// The first thing that does not fit, with its line; a model whose cache is not defined has a default one.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let file: File = toml::from_str(text)?;
        let models = file.model.into_iter().map(|(name, entry)| {
            let cache = file.cache.get(&entry.cache).copied().unwrap_or_default();
            let cache = entry.pricing.map_or(cache, |pricing| cache.priced(&pricing));
            let info = ModelInfo {
                name: name.clone(),
                window: entry.window,
                max_output: entry.max_output,
                native_tools: entry.native_tools,
                pricing: entry.pricing,
                cache,
            };
            (name, info)
        });
        Ok(Self { models: models.collect(), caches: file.cache })
    }

    /// The model of that name, or of its longest known prefix (`claude-sonnet-4-5-20250929` is `claude-sonnet-4-5`).
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&ModelInfo> {
        self.models
            .iter()
            .filter(|(known, _)| {
                name.strip_prefix(known.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
            .max_by_key(|(known, _)| known.len())
            .map(|(_, info)| info)
    }

    /// All models, by name.
    pub fn models(&self) -> impl Iterator<Item = &ModelInfo> {
        self.models.values()
    }

    /// The kind of prefix cache of that name (`anthropic-5m`), with its provider's usual prices.
    #[must_use]
    pub fn cache(&self, name: &str) -> Option<&CacheModel> {
        self.caches.get(name)
    }

    /// All kinds of prefix cache, by name.
    pub fn caches(&self) -> impl Iterator<Item = (&str, &CacheModel)> {
        self.caches.iter().map(|(name, cache)| (name.as_str(), cache))
    }
}
