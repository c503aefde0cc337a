//! Long-term memory for programs: `remember` and `search`.
//!
//! Both are carried out like device calls, once their intent is durable. What is remembered has the key of its call for an id, so a call
//! that is made again after a crash replaces what it kept before. What a search finds is its outcome in the journal: neither a recovery
//! nor a replay asks the memory, or the embedder, again.
//!
//! A namespace is shared by the processes of a tenant, and no other tenant's processes find what is in it. `self`, and what begins
//! with `self/`, is the calling process's own.

use std::sync::Arc;

use kernel_storage::{
    Filter, MemoryHit, MemoryItem, MemorySearch, Metadata, Scalar, SearchMode, StoreError, StoreErrorKind,
    Vectors,
};
use kernel_types::{
    Answer, Blame, Call, CallKey, ErrorKind, Event, Importance, JsonText, Memory, MemoryQuery, Pid,
    RememberArgs, Reservation, SysError, Timestamp,
};
use serde_json::{Map, Number, Value};

use crate::core::{Core, Spent};
use crate::device::{End, Start, broken, guarded};
use crate::locks::of_tenant;
use crate::parts::{Parts, patiently};
use crate::process::Process;
use crate::vectors::vector_of;

/// Bytes of a namespace's name.
const MAX_NAME: usize = 256;
/// Bytes of a text that is remembered.
const MAX_TEXT: usize = 256 << 10;
/// Fields of its metadata.
const MAX_FIELDS: usize = 32;
/// Memories that a search finds at most.
const MAX_FOUND: u32 = 100;
/// Bytes of text that it answers, beyond the first memory.
const MAX_ANSWER: usize = 1 << 20;
/// The kernel's own fields begin like this; a program's do not.
const OWN: &str = "kernel.";
const AT: &str = "kernel.at";
const IMPORTANCE: &str = "kernel.importance";

/// What is asked of the memory.
enum Asked {
    Remember(MemoryItem),
    Search(MemorySearch),
}

impl Core {
    /// Looks at the arguments of a `remember` or a `search`.
    pub(crate) fn check_memory(&self, call: &Call) -> Result<(), SysError> {
        let no = call.number();
        if self.parts.memory.is_none() {
            let message = format!("{no}: this kernel has no long-term memory");
            return Err(SysError::new(ErrorKind::Unsupported, message));
        }
        let checked = match call {
            Call::Remember(args) => check_remember(args),
            Call::Search(query) => check_search(query),
            _ => Ok(()),
        };
        checked.map_err(|message| SysError::new(ErrorKind::InvalidArgument, format!("{no}: {message}")))
    }

    /// Carries a `remember` or a `search` out whose intent is durable.
    pub(crate) fn start_memory(&mut self, process: &Process, index: usize) {
        let open = &process.image.open[index];
        let Some(pending) = &open.pending else { return };
        let Some(memory) = self.parts.memory.clone() else { return };
        let key = CallKey { pid: process.pid, step: process.image.step, seq: open.seq };
        let tenant = &process.image.tenant;
        let asked = match &pending.call {
            Call::Remember(args) => item(args, key, tenant, self.now()).map(Asked::Remember),
            Call::Search(query) => search(query, key.pid, tenant).map(Asked::Search),
            _ => return,
        };
        let parts = Arc::clone(&self.parts);
        let timeout = parts.limits.embed.saturating_add(parts.limits.store_patience);
        let work = async move {
            // A memory may look at all it has before it answers: not on the engine's thread.
            tokio::task::yield_now().await;
            End::Memory(match asked {
                Ok(asked) => carry_out(&parts, &*memory, asked).await,
                Err(message) => Err(StoreError::new(StoreErrorKind::Invalid, "memory", message)),
            })
        };
        self.starts.push_back(Start { key, attempt: pending.attempt, future: guarded(work, timeout) });
        self.expect_end(key, timeout);
    }

    pub(crate) fn memory_done(&mut self, process: &mut Process, index: usize, end: End) {
        let no = process.image.open[index].no;
        let result = match end {
            End::Memory(result) => result.map_err(|error| memory_error(&error)),
            other => Err(broken(other)),
        };
        let result =
            result.map_err(|error| SysError { message: format!("{no}: {}", error.message), ..error });
        let took = self.took(process, index);
        self.finish(process, index, result, Spent { took, ..Spent::default() });
    }

    /// A call that was in flight when its kernel stopped is made again, if it still may be.
    pub(crate) fn memory_again(&mut self, process: &mut Process, index: usize) {
        let open = &mut process.image.open[index];
        let (seq, no) = (open.seq, open.no);
        let Some(pending) = &mut open.pending else { return };
        pending.attempt += 1;
        let (number, call) = (pending.attempt, pending.call.clone());
        self.log(process, Some(seq), Event::Attempt { number, charged: Reservation::default(), why: None });
        let decision = self.decide(process, &call);
        if !decision.is_allow() {
            return self.refuse(process, index, no, &decision);
        }
        if let Err(error) = self.check_memory(&call) {
            self.finish(process, index, Err(error), Spent::default());
        }
    }
}

/// Asks the memory, again and again while it is away.
async fn carry_out(parts: &Parts, memory: &dyn Vectors, mut asked: Asked) -> Result<Answer, StoreError> {
    let text = match &asked {
        Asked::Remember(item) => Some(item.text.clone()),
        Asked::Search(search) => search.text.clone(),
    };
    if let (Some(embedder), Some(text)) = (&parts.embedder, text) {
        let vector = vector_of(Arc::clone(embedder), text, parts.limits.embed).await;
        match &mut asked {
            Asked::Remember(item) => item.vector = vector,
            Asked::Search(search) => search.vector = vector,
        }
    }
    let ask = || async {
        match &asked {
            Asked::Remember(item) => {
                memory.remember(vec![item.clone()]).await.map(|()| Answer::Remembered { id: item.id.clone() })
            }
            Asked::Search(search) => memory.search(search.clone()).await.map(found),
        }
    };
    patiently(parts.limits.store_patience, StoreError::retry, ask).await
}

/// The namespace as the store knows it.
pub(crate) fn namespace_of(name: &str, pid: Pid, tenant: &str) -> String {
    match name.strip_prefix("self") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{pid}{rest}"),
        _ => format!("tenant {}", of_tenant(tenant, name)),
    }
}

fn check_remember(args: &RememberArgs) -> Result<(), String> {
    check_name(&args.namespace)?;
    if args.text.trim().is_empty() {
        return Err("the text is empty".to_owned());
    }
    if args.text.len() > MAX_TEXT {
        return Err(format!("text of {} bytes exceeds the limit of {MAX_TEXT}", args.text.len()));
    }
    metadata(&args.metadata).map(drop)
}

fn check_search(query: &MemoryQuery) -> Result<(), String> {
    check_name(&query.namespace)?;
    if query.text.trim().is_empty() {
        return Err("there is no text to search for".to_owned());
    }
    if query.text.len() > MAX_TEXT {
        return Err(format!("text of {} bytes exceeds the limit of {MAX_TEXT}", query.text.len()));
    }
    if !(1..=MAX_FOUND).contains(&query.limit) {
        return Err(format!("1 to {MAX_FOUND} memories are found at once, not {}", query.limit));
    }
    conditions(&query.filter).map(drop)
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(format!("a namespace's name has 1 to {MAX_NAME} bytes, not {}", name.len()));
    }
    Ok(())
}

fn item(args: &RememberArgs, key: CallKey, tenant: &str, now: Timestamp) -> Result<MemoryItem, String> {
    let mut metadata = metadata(&args.metadata)?;
    metadata.insert(AT.to_owned(), number(now.0));
    metadata.insert(IMPORTANCE.to_owned(), number(args.importance.thousandths().into()));
    Ok(MemoryItem {
        namespace: namespace_of(&args.namespace, key.pid, tenant),
        id: key.to_string(),
        owner: key.pid,
        text: args.text.clone(),
        metadata,
        vector: None,
    })
}

fn search(query: &MemoryQuery, pid: Pid, tenant: &str) -> Result<MemorySearch, String> {
    let mut filters = conditions(&query.filter)?;
    let at_least =
        |field: &str, min: u64| Filter::Range { field: field.to_owned(), min: Some(number(min)), max: None };
    filters.extend(query.since.map(|since| at_least(AT, since.0.saturating_add(1))));
    filters.extend(query.importance.map(|least| at_least(IMPORTANCE, least.thousandths().into())));
    Ok(MemorySearch {
        namespace: namespace_of(&query.namespace, pid, tenant),
        filter: (!filters.is_empty()).then_some(Filter::All(filters)),
        text: Some(query.text.clone()),
        vector: None,
        k: query.limit as usize,
        mode: SearchMode::default(),
    })
}

/// Whole numbers of this size are exact: times until the year 280000.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn number(number: u64) -> Scalar {
    Scalar::Number(number.min(1 << 53) as f64)
}

/// Metadata as a program gives it: an object of texts, numbers, true and false.
fn metadata(json: &JsonText) -> Result<Metadata, String> {
    let fields = fields(json, "metadata")?;
    fields.into_iter().map(|(name, value)| scalar(&name, &value).map(|value| (name, value))).collect()
}

/// What metadata must be like: for each field a value, a list of values one of which it has, or `{"min": .., "max": ..}`.
fn conditions(json: &JsonText) -> Result<Vec<Filter>, String> {
    let one = |(field, wanted): (String, Value)| match wanted {
        Value::Array(values) => {
            let values = values.iter().map(|value| scalar(&field, value)).collect::<Result<_, _>>()?;
            Ok(Filter::OneOf { field, values })
        }
        Value::Object(ends) => {
            if let Some(other) = ends.keys().find(|name| !matches!(name.as_str(), "min" | "max")) {
                return Err(format!("field {field:?}: a range has min and max, not {other:?}"));
            }
            let end = |name| ends.get(name).map(|value| scalar(&field, value)).transpose();
            let (min, max) = (end("min")?, end("max")?);
            Ok(Filter::Range { field, min, max })
        }
        value => {
            let value = scalar(&field, &value)?;
            Ok(Filter::Equals { field, value })
        }
    };
    fields(json, "the filter")?.into_iter().map(one).collect()
}

fn fields(json: &JsonText, what: &str) -> Result<Map<String, Value>, String> {
    let Value::Object(fields) = json.value() else { return Err(format!("{what} is no object")) };
    if fields.len() > MAX_FIELDS {
        return Err(format!("{what} has {} fields, at most {MAX_FIELDS} are taken", fields.len()));
    }
    match fields.keys().find(|name| name.is_empty() || name.len() > MAX_NAME || name.starts_with(OWN)) {
        Some(name) => Err(format!("{what}: {name:?} is no name for a field")),
        None => Ok(fields),
    }
}

fn scalar(field: &str, value: &Value) -> Result<Scalar, String> {
    let wrong = || format!("field {field:?} is neither a text nor a number nor true or false");
    match value {
        Value::String(text) if text.len() > MAX_TEXT => {
            Err(format!("field {field:?} of {} bytes exceeds the limit of {MAX_TEXT}", text.len()))
        }
        Value::String(text) => Ok(Scalar::Text(text.clone())),
        Value::Number(number) => number.as_f64().map(Scalar::Number).ok_or_else(wrong),
        Value::Bool(flag) => Ok(Scalar::Flag(*flag)),
        _ => Err(wrong()),
    }
}

/// What a search found, as far as it fits into an answer: the best, and those after it while there is room.
fn found(hits: Vec<MemoryHit>) -> Answer {
    let mut room = MAX_ANSWER;
    let fits = |hit: &MemoryHit| {
        let first = room == MAX_ANSWER;
        let fits = hit.text.len() <= room;
        room = room.saturating_sub(hit.text.len());
        first || fits
    };
    Answer::Memories(hits.into_iter().take_while(fits).map(memory).collect())
}

fn memory(hit: MemoryHit) -> Memory {
    let mut fields = Map::new();
    let (mut at, mut importance) = (Timestamp(0), Importance::default());
    for (name, value) in hit.metadata {
        match (name.as_str(), value) {
            (AT, Scalar::Number(kept)) => at = Timestamp(whole(kept)),
            (IMPORTANCE, Scalar::Number(kept)) => {
                importance = Importance::new(kept / 1000.0).unwrap_or_default();
            }
            (_, Scalar::Text(text)) => drop(fields.insert(name, Value::String(text))),
            (_, Scalar::Flag(flag)) => drop(fields.insert(name, Value::Bool(flag))),
            (_, Scalar::Number(number)) => drop(fields.insert(name, plain(number))),
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "scores are far smaller; a cast saturates")]
    let score = (hit.score * 1e6).round() as i64;
    Memory {
        id: hit.id,
        by: hit.owner,
        at,
        importance,
        text: hit.text,
        metadata: Value::Object(fields).into(),
        score,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
fn whole(number: f64) -> u64 {
    number as u64
}

/// A number as its program wrote it: whole ones without a fraction.
fn plain(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// The error a program gets for a memory's.
fn memory_error(error: &StoreError) -> SysError {
    let kind = match error.kind() {
        StoreErrorKind::Invalid => ErrorKind::InvalidArgument,
        StoreErrorKind::Unavailable | StoreErrorKind::CommitUnknown => ErrorKind::Unavailable,
        _ => ErrorKind::Failed,
    };
    SysError::new(kind, error.to_string()).with_retry(error.retry()).with_blame(Blame::Plugin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> JsonText {
        JsonText::parse(text).expect("JSON")
    }

    #[test]
    fn namespaces_of_tenants_and_processes_never_meet() {
        let (one, other) = (Pid::from_parts(1, 1), Pid::from_parts(1, 2));
        let own = namespace_of("self", one, "press");
        let all = [
            namespace_of("self", other, "press"),
            namespace_of("self/notes", one, "press"),
            namespace_of("selfish", one, "press"),
            namespace_of(&own, other, "press"),
            namespace_of("notes", one, "press"),
            namespace_of("pressnotes", one, ""),
            namespace_of("notes", one, "shop"),
        ];
        let distinct: std::collections::BTreeSet<&String> = all.iter().chain([&own]).collect();
        assert_eq!(distinct.len(), all.len() + 1, "{all:?}");
        assert_eq!(namespace_of("notes", one, "press"), namespace_of("notes", other, "press"));
    }

    #[test]
    fn metadata_is_flat_and_no_field_is_the_kernels() {
        let check = |text: &str, fits: bool| assert_eq!(metadata(&json(text)).is_ok(), fits, "{text}");
        check(r#"{"a":"x","b":1.5,"c":true}"#, true);
        check("{}", true);
        for wrong in ["[]", r#"{"a":null}"#, r#"{"a":[1]}"#, r#"{"kernel.at":1}"#, r#"{"":1}"#] {
            check(wrong, false);
        }
    }

    #[test]
    fn conditions_are_values_lists_and_ranges() {
        let fits = |filter: &str, metadata_of: &str| {
            let metadata = metadata(&json(metadata_of)).expect("metadata");
            let filter = Filter::All(conditions(&json(filter)).expect("a filter"));
            filter.fits(&|field| metadata.get(field))
        };
        let note = r#"{"kind":"note","year":2009}"#;
        assert!(fits("{}", note));
        assert!(fits(r#"{"kind":"note","year":{"min":2009}}"#, note));
        assert!(fits(r#"{"kind":["page","note"]}"#, note));
        assert!(!fits(r#"{"kind":"note","year":{"max":2008}}"#, note));
        assert!(!fits(r#"{"kind":[]}"#, note));
        for wrong in [r#"{"a":{"above":1}}"#, r#"{"a":{"min":[]}}"#, r#"{"a":null}"#, "1"] {
            assert!(conditions(&json(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_come_back_as_they_were_written() {
        for text in ["1", "-3", "1.5", "9007199254740992", "1e300"] {
            let value: Value = serde_json::from_str(text).expect("a number");
            let Ok(Scalar::Number(number)) = scalar("n", &value) else { panic!("a number") };
            assert_eq!(plain(number), value);
        }
    }
}
