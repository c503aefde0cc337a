//! What is assumed of a model that the catalogue does not know.

use kernel_types::{CacheModel, Catalogue, ModelInfo, Tokens};

/// The catalogue's entry for `name`, under exactly that name; for an unknown one a careful guess: a window of 8,192
/// tokens, tools, no prices (so a cost budget refuses it) and no cache that could be counted on.
#[must_use]
pub fn model_info(name: &str) -> ModelInfo {
    match Catalogue::built_in().find(name) {
        Some(known) => ModelInfo { name: name.to_owned(), ..known.clone() },
        None => ModelInfo {
            name: name.to_owned(),
            window: Tokens(8192),
            max_output: Tokens(2048),
            native_tools: true,
            pricing: None,
            cache: CacheModel::default(),
        },
    }
}

/// A free model for simulated and local Cpus, with a cache that counts every token.
pub(crate) fn free_model(name: &str, window: Tokens) -> ModelInfo {
    let cached =
        Catalogue::built_in().find("smollm2-135m").expect("the catalogue ships with the local model");
    ModelInfo { name: name.to_owned(), window, ..cached.clone() }
}

/// The model of that name among those that a provider at `host` offers.
#[cfg(feature = "http")]
pub(crate) fn offered<'a>(
    models: &'a [ModelInfo],
    name: &str,
    host: &str,
) -> Result<&'a ModelInfo, crate::CpuError> {
    models.iter().find(|model| model.name == name).ok_or_else(|| {
        let known: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        let message = format!("no model {name:?} configured, only {}", known.join(", "));
        crate::CpuError::new(crate::CpuErrorKind::UnknownModel, host, message)
    })
}
