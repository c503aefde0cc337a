//! Remembering and forgetting: one transaction a call.
//!
//! Whoever writes to a namespace holds its row first, so those who write to one take turns, and what is counted of it
//! agrees with what is in it. Models and namespaces are locked in order: nobody waits in a circle.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgHasArrayType;
use sqlx::{Encode, Postgres, QueryBuilder, Row, Type};

use super::super::PostgresStore;
use super::super::statement::uuid;
use super::lexemes::parts;
use super::metadata;
use super::row::{Numbered, bytes};
use super::session::{Session, Trouble};
use crate::vectors::{Dimensions, direction, known_dimension, length, words};
use crate::{MemoryItem, Vector};

/// Every row is found by its key, however full a table seemed to be when its statistics were made.
const SETTINGS: &str = "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
    SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";
/// Items of one statement, unless they have more bytes.
const TOGETHER: usize = 256;
const TOGETHER_BYTES: usize = 4 << 20;

/// Items by namespace and id: of those with one id the last.
type Unique<'a> = BTreeMap<(&'a str, &'a str), &'a MemoryItem>;

/// What a call changes about what is counted.
#[derive(Default)]
struct Counted {
    /// Texts and words of namespaces.
    spaces: BTreeMap<i64, (i64, i64)>,
    vectors: BTreeMap<(i64, i32), i64>,
}

impl Counted {
    fn add(&mut self, sign: i64, space: i64, length: i32, model: Option<i32>) {
        let (texts, words) = self.spaces.entry(space).or_default();
        *texts += sign;
        *words += sign * i64::from(length);
        if let Some(model) = model {
            *self.vectors.entry((space, model)).or_default() += sign;
        }
    }
}

/// An item on its way.
struct Fresh<'a> {
    space: i64,
    length: i32,
    model: Option<i32>,
    item: &'a MemoryItem,
    words: Vec<String>,
}

impl Fresh<'_> {
    fn bytes(&self) -> usize {
        let numbers = self.item.vector.as_ref().map_or(0, |vector| 8 * vector.values.len());
        self.item.text.len() + self.words.iter().map(String::len).sum::<usize>() + numbers
    }
}

impl PostgresStore {
    pub(super) async fn try_remember(
        &self,
        items: &[MemoryItem],
        dimensions: &Dimensions,
    ) -> Result<(), Trouble> {
        let items: Unique<'_> =
            items.iter().map(|item| ((item.namespace.as_str(), item.id.as_str()), item)).collect();
        let mut session = self.shared.memory.sessions.begin(SETTINGS).await?;
        let models = models(&mut session, dimensions).await?;
        let spaces = hold_spaces(&mut session, &items).await?;
        let mut fresh = Vec::with_capacity(items.len());
        for item in items.values() {
            let space = *spaces.get(item.namespace.as_str()).ok_or(sqlx::Error::RowNotFound)?;
            let counts = words(&item.text);
            fresh.push(Fresh {
                space,
                length: i32::try_from(length(&counts)).unwrap_or(i32::MAX),
                model: item.vector.as_ref().and_then(|vector| models.get(vector.model.as_str()).copied()),
                item,
                words: parts(space, &counts),
            });
        }
        let mut counted = Counted::default();
        let keys: Vec<(i64, &str)> = fresh.iter().map(|item| (item.space, item.item.id.as_str())).collect();
        remove(&mut session, &keys, &mut counted).await?;
        for together in together(&fresh) {
            insert(&mut session, together).await?;
        }
        for Fresh { space, length, model, .. } in &fresh {
            counted.add(1, *space, *length, *model);
        }
        count(&mut session, &counted).await?;
        session.commit().await
    }

    pub(super) async fn try_forget(&self, namespace: &str, ids: &[String]) -> Result<u64, Trouble> {
        let mut session = self.shared.memory.sessions.begin(SETTINGS).await?;
        let mut query = QueryBuilder::new("SELECT space FROM memory_space WHERE namespace = ");
        query.push_bind(namespace.as_bytes().to_vec()).push(" FOR UPDATE");
        let Some(row) = session.rows(&mut query).await?.pop() else { return Ok(0) };
        let space = row.try_get("space")?;
        let keys: BTreeSet<(i64, &str)> = ids.iter().map(|id| (space, id.as_str())).collect();
        let mut counted = Counted::default();
        let keys: Vec<_> = keys.into_iter().collect();
        let forgotten = remove(&mut session, &keys, &mut counted).await?;
        count(&mut session, &counted).await?;
        session.commit().await?;
        Ok(forgotten)
    }
}

/// The numbers of models, new ones included; refuses a dimension that a model does not have.
async fn models<'a>(
    session: &mut Session,
    dimensions: &'a Dimensions,
) -> Result<BTreeMap<&'a str, i32>, Trouble> {
    let names: Vec<Vec<u8>> = dimensions.keys().map(|name| name.as_bytes().to_vec()).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut known = known_models(session, &names).await?;
    let fresh: Vec<_> = dimensions.iter().filter(|(name, _)| !known.contains_key(name.as_bytes())).collect();
    if !fresh.is_empty() {
        let mut query = QueryBuilder::new(
            "INSERT INTO memory_model (name, dimension) SELECT name, dimension FROM unnest(",
        );
        column(&mut query, fresh.iter().map(|(name, _)| name.as_bytes().to_vec()));
        // At most Vector::MAX_DIMENSION.
        last(&mut query, fresh.iter().map(|(_, dimension)| i32::try_from(**dimension).unwrap_or(i32::MAX)));
        query.push(" AS m (name, dimension) ON CONFLICT DO NOTHING");
        session.rows(&mut query).await?;
        // Another one may have been first.
        known = known_models(session, &names).await?;
    }
    let mut models = BTreeMap::new();
    for (name, found) in dimensions {
        let model = known.get(name.as_bytes()).ok_or(sqlx::Error::RowNotFound)?;
        known_dimension("remember", name, model.dimension, *found)?;
        models.insert(name.as_str(), model.number);
    }
    Ok(models)
}

async fn known_models(
    session: &mut Session,
    names: &[Vec<u8>],
) -> Result<BTreeMap<Vec<u8>, Numbered>, Trouble> {
    let mut query = QueryBuilder::new("SELECT name, model, dimension FROM memory_model WHERE name = ANY(");
    query.push_bind(names).push(")");
    let rows = session.rows(&mut query).await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, Numbered::of(row)?))).collect()
}

/// Locks the namespaces, new ones included, in the order of their names; gives their numbers.
async fn hold_spaces<'a>(
    session: &mut Session,
    items: &Unique<'a>,
) -> Result<BTreeMap<&'a str, i64>, Trouble> {
    let names: BTreeSet<&str> = items.keys().map(|(namespace, _)| *namespace).collect();
    // A number is drawn for a new namespace only.
    let mut query = QueryBuilder::new(
        "INSERT INTO memory_space (namespace, texts, words) SELECT name, 0, 0 FROM unnest(",
    );
    last(&mut query, names.iter().map(|name| name.as_bytes().to_vec()));
    query.push(
        " AS n (name) WHERE NOT EXISTS (SELECT FROM memory_space WHERE namespace = name) ON CONFLICT DO NOTHING",
    );
    session.rows(&mut query).await?;
    let mut query = QueryBuilder::new("SELECT space, namespace FROM memory_space WHERE namespace = ANY(");
    query.push_bind(names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>());
    query.push(") ORDER BY namespace FOR UPDATE");
    let rows = session.rows(&mut query).await?;
    let mut spaces = BTreeMap::new();
    for row in &rows {
        let (space, name): (i64, &[u8]) = (row.try_get("space")?, row.try_get("namespace")?);
        spaces.extend(names.iter().find(|known| known.as_bytes() == name).map(|known| (*known, space)));
    }
    Ok(spaces)
}

/// Removes items with what belongs to them; says how many there were.
async fn remove(session: &mut Session, keys: &[(i64, &str)], counted: &mut Counted) -> Result<u64, Trouble> {
    let delete = |table: &str| {
        let mut query = QueryBuilder::new(format!("DELETE FROM {table} AS m USING unnest("));
        column(&mut query, keys.iter().map(|(space, _)| *space));
        last(&mut query, keys.iter().map(|(_, id)| id.as_bytes().to_vec()));
        query.push(" AS k (space, id) WHERE m.space = k.space AND m.id = k.id");
        query
    };
    let mut query = delete("memory");
    let rows = session.rows(query.push(" RETURNING m.space, m.length, m.model")).await?;
    for row in &rows {
        counted.add(-1, row.try_get("space")?, row.try_get("length")?, row.try_get("model")?);
    }
    if !rows.is_empty() {
        session.rows(&mut delete("memory_words")).await?;
    }
    Ok(rows.len() as u64)
}

/// Cuts items into those that one statement writes.
fn together<'p, 'a>(items: &'p [Fresh<'a>]) -> Vec<&'p [Fresh<'a>]> {
    let mut pieces = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (n, item) in items.iter().enumerate() {
        let more = item.bytes();
        if n > start && (n - start >= TOGETHER || bytes + more > TOGETHER_BYTES) {
            pieces.push(&items[start..n]);
            (start, bytes) = (n, 0);
        }
        bytes += more;
    }
    if start < items.len() {
        pieces.push(&items[start..]);
    }
    pieces
}

async fn insert(session: &mut Session, items: &[Fresh<'_>]) -> Result<(), Trouble> {
    const COLUMNS: &str = "space, id, owner, length, model, direction, numbers, text";
    let vector = |item: &Fresh<'_>| item.item.vector.as_ref().map(|vector: &Vector| vector.values.clone());
    let mut query = QueryBuilder::new(format!(
        "INSERT INTO memory ({COLUMNS}, metadata) SELECT {COLUMNS}, metadata::jsonb FROM unnest("
    ));
    column(&mut query, items.iter().map(|item| item.space));
    column(&mut query, items.iter().map(|item| item.item.id.as_bytes().to_vec()));
    column(&mut query, items.iter().map(|item| uuid(item.item.owner)));
    column(&mut query, items.iter().map(|item| item.length));
    column(&mut query, items.iter().map(|item| item.model));
    column(
        &mut query,
        items.iter().map(|item| vector(item).map(|values| pgvector::Vector::from(direction(&values)))),
    );
    column(&mut query, items.iter().map(|item| vector(item).map(|values| bytes(&values))));
    column(&mut query, items.iter().map(|item| item.item.text.as_bytes().to_vec()));
    last(&mut query, items.iter().map(|item| metadata::write(&item.item.metadata)));
    query.push(" AS i (").push(COLUMNS).push(", metadata)");
    session.rows(&mut query).await?;

    let parts = || items.iter().flat_map(|item| (0_i16..).zip(&item.words).map(move |part| (item, part)));
    let mut query = QueryBuilder::new(
        "INSERT INTO memory_words (space, id, part, length, words) SELECT space, id, part, length, words::tsvector \
         FROM unnest(",
    );
    column(&mut query, parts().map(|(item, _)| item.space));
    column(&mut query, parts().map(|(item, _)| item.item.id.as_bytes().to_vec()));
    column(&mut query, parts().map(|(_, (part, _))| part));
    column(&mut query, parts().map(|(item, _)| item.length));
    last(&mut query, parts().map(|(_, (_, words))| words.clone()));
    query.push(" AS w (space, id, part, length, words)");
    session.rows(&mut query).await.map(drop)
}

async fn count(session: &mut Session, counted: &Counted) -> Result<(), Trouble> {
    let spaces: Vec<_> = counted.spaces.iter().filter(|(_, changes)| **changes != (0, 0)).collect();
    if !spaces.is_empty() {
        let mut query = QueryBuilder::new(
            "UPDATE memory_space AS s SET texts = s.texts + c.texts, words = s.words + c.words FROM unnest(",
        );
        column(&mut query, spaces.iter().map(|(space, _)| **space));
        column(&mut query, spaces.iter().map(|(_, (texts, _))| *texts));
        last(&mut query, spaces.iter().map(|(_, (_, words))| *words));
        query.push(" AS c (space, texts, words) WHERE s.space = c.space");
        session.rows(&mut query).await?;
    }
    let vectors: Vec<_> = counted.vectors.iter().filter(|(_, change)| **change != 0).collect();
    if !vectors.is_empty() {
        let mut query = QueryBuilder::new(
            "INSERT INTO memory_shelf AS s (space, model, vectors) SELECT space, model, vectors FROM unnest(",
        );
        column(&mut query, vectors.iter().map(|((space, _), _)| *space));
        column(&mut query, vectors.iter().map(|((_, model), _)| *model));
        last(&mut query, vectors.iter().map(|(_, change)| **change));
        query.push(" AS v (space, model, vectors) ON CONFLICT (space, model) ");
        query.push("DO UPDATE SET vectors = s.vectors + excluded.vectors");
        session.rows(&mut query).await?;
    }
    Ok(())
}

/// One argument of an `unnest(`, and a comma.
fn column<T>(query: &mut QueryBuilder<Postgres>, rows: impl Iterator<Item = T>)
where
    T: PgHasArrayType + Send + for<'q> Encode<'q, Postgres> + Type<Postgres>,
{
    query.push_bind(rows.collect::<Vec<T>>()).push(", ");
}

/// The last argument, and the end of the list.
fn last<T>(query: &mut QueryBuilder<Postgres>, rows: impl Iterator<Item = T>)
where
    T: PgHasArrayType + Send + for<'q> Encode<'q, Postgres> + Type<Postgres>,
{
    query.push_bind(rows.collect::<Vec<T>>()).push(")");
}
