//! A pager behind a line protocol, so that workloads from anywhere can drive it and price what it does.
//!
//! `cargo run --release -p kernel-context --example window [-- --policy NAME] [--floor SHARE]` reads one JSON object a line and
//! answers one a line:
//!
//! ```text
//! {"op":"open","agent":"a","window":8000,"provider":"anthropic-5m","pinned":[{"id":"sys","tokens":1500}]}
//! {"op":"append","agent":"a","at_ms":0,"pages":[{"id":"p1","kind":"user","importance":0.5,"tokens":120,"text":"..."}]}
//! {"op":"touch","agent":"a","ids":["p1"]}
//! {"op":"recall","agent":"a","ids":["p1"]}
//! {"op":"render","agent":"a","at_ms":9,"output_tokens":80}
//! {"op":"close","agent":"a"}
//! ```
//!
//! `render` answers `{"segments":[["sys",1500],...],"breakpoints":[0,7],"resident":["p1",...],"evicted":[...],"plan":"none"}`,
//! where the plan is `none`, `minor`, `major` or `cold`; the others answer `{}`, and what was refused `{"error":"..."}`, having
//! changed nothing. A segment's id changes when its bytes change (`p1~...`: it came back and is quoted; `~...`: a stub). A
//! breakpoint is the index of the last segment of a cached prefix. A tool page joins the group of the assistant page before
//! it. `open` may name a `policy` and a `floor` of window use of its own. Providers: those of the catalogue of kernel-types.

use std::collections::HashMap;
use std::io::{BufRead, Write};

use kernel_context::sim::{Kind, Page, Process, Shown};
use kernel_context::{PagerConfig, PagerFactory, Replacement, Segment};
use kernel_types::{CacheModel, Catalogue, Importance, Tokens};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Operation {
    Open {
        agent: String,
        window: u64,
        provider: String,
        #[serde(default)]
        pinned: Vec<NewPage>,
        policy: Option<String>,
        floor: Option<f64>,
    },
    Append {
        agent: String,
        pages: Vec<NewPage>,
    },
    Touch {
        agent: String,
        ids: Vec<String>,
    },
    Recall {
        agent: String,
        ids: Vec<String>,
    },
    Render {
        agent: String,
        at_ms: u64,
    },
    Close {
        agent: String,
    },
}

#[derive(Deserialize)]
struct NewPage {
    id: String,
    kind: Option<NewKind>,
    importance: Option<f64>,
    tokens: u64,
    text: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NewKind {
    System,
    User,
    Assistant,
    Tool,
}

type Answer = Result<Value, String>;

/// All agents, and what is so if `open` does not say otherwise.
struct Desk {
    agents: HashMap<String, Process<String>>,
    catalogue: &'static Catalogue,
    replacement: Replacement,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let replacement = arguments(std::env::args().skip(1))?;
    let mut desk = Desk { agents: HashMap::new(), catalogue: Catalogue::built_in(), replacement };
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().split(b'\n') {
        let answer = match desk.answer(&line?) {
            Ok(answer) => answer,
            Err(error) => json!({ "error": error }),
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

fn arguments(mut arguments: impl Iterator<Item = String>) -> Result<Replacement, String> {
    let (mut policy, mut floor) = (None, None);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--policy" => policy = Some(value?),
            "--floor" => floor = Some(value?.parse().map_err(|error| format!("--floor: {error}"))?),
            other => {
                return Err(format!("{other} is not an option; there are --policy NAME and --floor SHARE"));
            }
        }
    }
    replacement(Replacement::default(), policy.as_deref(), floor)
}

/// The policy of that name, or else `usual`, with that floor if it has one.
fn replacement(usual: Replacement, policy: Option<&str>, floor: Option<f64>) -> Result<Replacement, String> {
    let named = |name: &str| {
        Replacement::named(name).ok_or_else(|| {
            let all: Vec<&str> = Replacement::ALL.iter().map(PagerFactory::name).collect();
            format!("there is no policy {name}; there are {}", all.join(", "))
        })
    };
    let policy = policy.map_or(Ok(usual), named)?;
    match (policy, floor) {
        (policy, None) => Ok(policy),
        (Replacement::Generational { .. }, Some(floor)) => Ok(Replacement::Generational { floor }),
        (other, Some(_)) => Err(format!("{} has no floor", other.name())),
    }
}

impl Desk {
    fn answer(&mut self, line: &[u8]) -> Answer {
        let operation = serde_json::from_slice(line).map_err(|error| format!("not an operation: {error}"))?;
        match operation {
            Operation::Open { agent, window, provider, pinned, policy, floor } => {
                let replacement = replacement(self.replacement, policy.as_deref(), floor)?;
                self.open(agent, window, &provider, &pinned, replacement)
            }
            Operation::Append { agent, pages } => {
                let pages: Vec<Page<String>> =
                    pages.iter().map(|page| page.page(Kind::User)).collect::<Result<_, _>>()?;
                done(self.agent(&agent)?.append(&pages))
            }
            Operation::Touch { agent, ids } => done(self.agent(&agent)?.touch(&ids)),
            Operation::Recall { agent, ids } => done(self.agent(&agent)?.recall(&ids)),
            Operation::Render { agent, at_ms } => {
                let process = self.agent(&agent)?;
                let shown = process.render(at_ms).map_err(|error| error.to_string())?;
                Ok(rendered(process, &shown))
            }
            Operation::Close { agent } => {
                self.agent(&agent)?;
                self.agents.remove(&agent);
                Ok(json!({}))
            }
        }
    }

    fn open(
        &mut self,
        agent: String,
        window: u64,
        provider: &str,
        pinned: &[NewPage],
        replacement: Replacement,
    ) -> Answer {
        if self.agents.contains_key(&agent) {
            return Err(format!("agent {agent} is open already"));
        }
        let cache = self.catalogue.cache(provider).ok_or_else(|| {
            let all: Vec<&str> = self.catalogue.caches().map(|(name, _)| name).collect();
            format!("no provider {provider} in the catalogue; there are {}", all.join(", "))
        })?;
        // Who drives this prices what it is answered: no ping can be told, and the provider's name says how long it keeps things.
        let cache = CacheModel { long: None, ..*cache };
        let config =
            PagerConfig { model: "gpt-4o".to_owned(), window: Tokens(window), cache, keep_warm: false };
        let pinned: Vec<Page<String>> =
            pinned.iter().map(|page| page.page(Kind::System)).collect::<Result<_, _>>()?;
        let process = Process::open(&replacement, &config, &pinned)
            .map_err(|error| format!("agent {agent}: {error}"))?;
        self.agents.insert(agent, process);
        Ok(json!({}))
    }

    fn agent(&mut self, agent: &str) -> Result<&mut Process<String>, String> {
        self.agents.get_mut(agent).ok_or_else(|| format!("no agent {agent} is open"))
    }
}

impl NewPage {
    fn page(&self, usual: Kind) -> Result<Page<String>, String> {
        let kind = self.kind.map_or(usual, |kind| match kind {
            NewKind::System => Kind::System,
            NewKind::User => Kind::User,
            NewKind::Assistant => Kind::Assistant,
            NewKind::Tool => Kind::Tool,
        });
        let importance = self.importance.unwrap_or(if kind == Kind::System { 1.0 } else { 0.5 });
        let importance = Importance::new(importance)
            .ok_or_else(|| format!("page {}: importance {importance} is not within 0 to 1", self.id))?;
        if self.text.as_deref() == Some("") {
            return Err(format!("page {} has an empty text", self.id));
        }
        let text = self.text.clone().unwrap_or_default();
        Ok(Page { id: self.id.clone(), kind, importance, tokens: self.tokens, text })
    }
}

fn done<E: std::fmt::Display>(result: Result<(), E>) -> Answer {
    result.map(|()| json!({})).map_err(|error| error.to_string())
}

fn rendered(process: &Process<String>, shown: &Shown<String>) -> Value {
    let segment = |segment: &Segment| (process.label(segment), segment.tokens.0);
    json!({
        "segments": shown.segments.iter().map(segment).collect::<Vec<_>>(),
        "breakpoints": shown.breakpoints,
        "resident": shown.resident,
        "evicted": shown.evicted,
        "plan": shown.plan.name(),
    })
}
