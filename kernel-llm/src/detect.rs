//! Which model to use when nobody said: a key, else a server that runs already, else the local model.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::time::timeout;

use crate::http::{Endpoint, Header, Limits};

/// Ports on which model servers usually listen: Ollama, llama-server, LM Studio, vLLM.
pub const USUAL_PORTS: [u16; 4] = [11434, 8080, 1234, 8000];

/// How long a probed port may take.
const PROBE_TIMEOUT: Duration = Duration::from_millis(300);

/// The most that is read of a list of models.
const MAX_LIST: usize = 1 << 20;

/// What was found, in the order in which it is preferred.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Detected {
    /// Anthropic by environment variables: build it with `Anthropic::from_env`.
    Anthropic,
    /// OpenAI or a compatible server by environment variables: build it with `OpenAi::from_env`.
    OpenAi,
    /// A server that answers on this machine: build it with `OpenAi::new`.
    Server {
        /// Its address.
        base_url: String,
        /// The first model that it lists.
        model: String,
    },
    /// Nothing: start the local model.
    Local,
}

/// Chooses from the environment and from the servers that answered.
pub fn choose(env: impl Fn(&str) -> Option<String>, server: Option<(String, String)>) -> Detected {
    let is_set = |name: &str| env(name).is_some_and(|value| !value.trim().is_empty());
    if is_set("ANTHROPIC_API_KEY") || is_set("ANTHROPIC_BASE_URL") {
        return Detected::Anthropic;
    }
    if is_set("OPENAI_API_KEY") || is_set("OPENAI_BASE_URL") {
        return Detected::OpenAi;
    }
    server.map_or(Detected::Local, |(base_url, model)| Detected::Server { base_url, model })
}

/// Looks at the environment and, if that says nothing, at the usual ports of this machine.
pub async fn detect() -> Detected {
    let env = |name: &str| std::env::var(name).ok();
    match choose(env, None) {
        Detected::Local => choose(env, probe(&USUAL_PORTS).await),
        found => found,
    }
}

/// The first of the ports at which a model server answers, with the first model that it lists.
pub async fn probe(ports: &[u16]) -> Option<(String, String)> {
    join_all(ports.iter().map(|&port| probe_port(port))).await.into_iter().flatten().next()
}

#[derive(Deserialize)]
struct List {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
}

async fn probe_port(port: u16) -> Option<(String, String)> {
    let base = format!("http://127.0.0.1:{port}/v1");
    let limits = Limits { connect: PROBE_TIMEOUT, idle: PROBE_TIMEOUT, ..Limits::default() };
    let endpoint = Endpoint::new(&base, "", None, Header::Bearer, &[], limits).ok()?;
    let body = timeout(PROBE_TIMEOUT, endpoint.fetch("/models", MAX_LIST)).await.ok()?.ok()?;
    let list: List = serde_json::from_slice(&body).ok()?;
    Some((base, list.data.into_iter().next()?.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &[&str], server: bool, expected: &Detected) {
        let env = |name: &str| set.contains(&name).then(|| "value".to_owned());
        let server = server.then(|| ("http://127.0.0.1:8080/v1".to_owned(), "m".to_owned()));
        assert_eq!(choose(env, server), *expected, "{set:?}");
    }

    #[test]
    fn a_key_is_preferred_to_a_server_and_a_server_to_the_local_model() {
        let server =
            Detected::Server { base_url: "http://127.0.0.1:8080/v1".to_owned(), model: "m".to_owned() };
        check(&["ANTHROPIC_API_KEY", "OPENAI_API_KEY"], true, &Detected::Anthropic);
        check(&["OPENAI_API_KEY"], true, &Detected::OpenAi);
        check(&["OPENAI_BASE_URL"], true, &Detected::OpenAi);
        check(&[], true, &server);
        check(&[], false, &Detected::Local);
        assert_eq!(choose(|_| Some("  ".to_owned()), None), Detected::Local, "empty keys do not count");
    }
}
