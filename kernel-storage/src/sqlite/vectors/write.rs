//! Writing the tables of the memory, on the connection of the one writer.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::super::fault::fault;
use super::super::statement::{each, pieces};
use super::super::transaction::{begin, commit};
use super::super::writer::{GROUP, Request, Writer};
use super::place::Noting;
use crate::vectors::{Dimensions, json, known_dimension};
use crate::work::Answer;
use crate::{MemoryItem, StoreError, StoreErrorKind};

/// A change of the memory, to be written in one transaction.
#[derive(Debug)]
pub(in crate::sqlite) struct MemoryWork {
    pub(super) change: Change,
    /// How many items were forgotten.
    pub(super) answer: Answer<u64>,
}

#[derive(Debug)]
pub(super) enum Change {
    /// Items that were checked, and the dimensions of their models.
    Put { items: Arc<[MemoryItem]>, dimensions: Dimensions },
    /// The items of a namespace with these ids.
    Remove { namespace: String, ids: Arc<[String]> },
}

/// What a change did, to be noted when it is durable.
struct Done {
    forgotten: u64,
    notes: Vec<(String, u64, Noting)>,
}

impl Writer {
    /// Writes a change and those that queue up behind it in one transaction; gives the first request that is none.
    pub(in crate::sqlite) async fn memory(&mut self, first: MemoryWork) -> Option<Request> {
        let mut group = vec![first];
        let mut next = None;
        while group.len() < GROUP && next.is_none() {
            match self.requests.try_recv() {
                Ok(Request::Memory(work)) => group.push(work),
                Ok(other) => next = Some(other),
                Err(_) => break,
            }
        }
        match self.change(&group).await {
            Ok(results) => {
                for (work, result) in group.into_iter().zip(results) {
                    self.answer(work, result);
                }
            }
            // One of them may be too much, and the others are not.
            Err(error) if group.len() > 1 && !error.commit_unknown() => {
                for work in group {
                    let result = self.change(std::slice::from_ref(&work)).await;
                    let result = result.and_then(|mut results| results.remove(0));
                    self.answer(work, result);
                }
            }
            Err(error) => {
                for work in group {
                    let repeated = error.repeated(work.change.operation());
                    self.answer(work, Err(repeated));
                }
            }
        }
        next
    }

    /// Writes a group in one transaction. A change that is refused leaves the others alone.
    async fn change(&mut self, group: &[MemoryWork]) -> Result<Vec<Result<Done, StoreError>>, StoreError> {
        let operation = group.first().map_or("remember", |work| work.change.operation());
        let conn = self.connection(operation).await?;
        let result = write(conn, group, operation).await;
        if let Err(error) = &result {
            self.recover(error).await;
        }
        result
    }

    fn answer(&self, work: MemoryWork, result: Result<Done, StoreError>) {
        let answer = match result {
            Ok(done) => {
                for (namespace, generation, noting) in done.notes {
                    self.memory.written(&namespace, generation, noting);
                }
                Ok(done.forgotten)
            }
            Err(error) => {
                // Whether it landed is not known: what is in memory may be behind.
                if error.commit_unknown() {
                    work.change.namespaces().into_iter().for_each(|name| self.memory.drop_place(name));
                }
                Err(error)
            }
        };
        // A caller that has gone needs no answer.
        let _ = work.answer.send(answer);
    }
}

impl Change {
    const fn operation(&self) -> &'static str {
        match self {
            Self::Put { .. } => "remember",
            Self::Remove { .. } => "forget",
        }
    }

    fn namespaces(&self) -> BTreeSet<&str> {
        match self {
            Self::Put { items, .. } => items.iter().map(|item| item.namespace.as_str()).collect(),
            Self::Remove { namespace, .. } => BTreeSet::from([namespace.as_str()]),
        }
    }
}

async fn write(
    conn: &mut SqliteConnection,
    group: &[MemoryWork],
    operation: &'static str,
) -> Result<Vec<Result<Done, StoreError>>, StoreError> {
    begin(conn, operation).await?;
    let mut results = Vec::with_capacity(group.len());
    for MemoryWork { change, .. } in group {
        let done = match change {
            Change::Put { items, dimensions } => put(conn, items, dimensions).await,
            Change::Remove { namespace, ids } => remove(conn, namespace, ids).await,
        };
        match done {
            Err(error) if error.kind() != StoreErrorKind::Invalid => return Err(error),
            Err(refused) => results.push(Err(refused)),
            Ok(forgotten) => {
                let mut notes = Vec::new();
                for namespace in change.namespaces() {
                    let generation = next_generation(conn, namespace, change.operation()).await?;
                    notes.push((namespace.to_owned(), generation, change.noting()));
                }
                results.push(Ok(Done { forgotten, notes }));
            }
        }
    }
    commit(conn, operation).await?;
    Ok(results)
}

impl Change {
    fn noting(&self) -> Noting {
        match self {
            Self::Put { items, .. } => Noting::Put(Arc::clone(items)),
            Self::Remove { ids, .. } => Noting::Remove(Arc::clone(ids)),
        }
    }
}

/// Refuses before it writes: an error of the kind `Invalid` has changed nothing.
async fn put(
    conn: &mut SqliteConnection,
    items: &[MemoryItem],
    dimensions: &Dimensions,
) -> Result<u64, StoreError> {
    let mut fresh = Vec::new();
    for (model, found) in dimensions {
        let known: Option<i64> = sqlx::query_scalar("SELECT dimension FROM memory_model WHERE model = ?")
            .bind(model.clone())
            .fetch_optional(&mut *conn)
            .await
            .map_err(|error| fault("remember", error))?;
        match known.map(usize::try_from) {
            Some(Ok(known)) => known_dimension("remember", model, known, *found)?,
            Some(Err(_)) => {
                let message = format!("table memory_model, model {model:?}: the dimension is negative");
                return Err(StoreError::new(StoreErrorKind::Corrupt, "remember", message));
            }
            None => fresh.push((model, *found)),
        }
    }
    each(conn, "INSERT INTO memory_model (model, dimension) ", "", &fresh, |b, (model, dimension)| {
        b.push_bind((*model).clone());
        // At most Vector::MAX_DIMENSION.
        b.push_bind(i64::try_from(*dimension).unwrap_or(i64::MAX));
    })
    .await
    .map_err(|error| fault("remember", error))?;
    let insert = "INSERT INTO memory (namespace, id, owner, metadata, model, vector, text) ";
    let update = " ON CONFLICT (namespace, id) DO UPDATE SET owner = excluded.owner, \
        metadata = excluded.metadata, model = excluded.model, vector = excluded.vector, text = excluded.text";
    each(conn, insert, update, items, |b, item| {
        b.push_bind(item.namespace.clone());
        b.push_bind(item.id.clone());
        b.push_bind(item.owner.to_bytes().to_vec());
        b.push_bind(json::write(&item.metadata));
        b.push_bind(item.vector.as_ref().map(|vector| vector.model.clone()));
        b.push_bind(item.vector.as_ref().map(|vector| bytes(&vector.values)));
        b.push_bind(item.text.clone());
    })
    .await
    .map_err(|error| fault("remember", error))?;
    Ok(0)
}

async fn remove(conn: &mut SqliteConnection, namespace: &str, ids: &[String]) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    for piece in pieces(ids) {
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM memory WHERE namespace = ");
        query.push_bind(namespace.to_owned()).push(" AND id IN (");
        let mut separated = query.separated(", ");
        for id in piece {
            separated.push_bind(id.clone());
        }
        query.push(")");
        let done = query.build().execute(&mut *conn).await.map_err(|error| fault("forget", error))?;
        forgotten += done.rows_affected();
    }
    Ok(forgotten)
}

async fn next_generation(
    conn: &mut SqliteConnection,
    namespace: &str,
    operation: &'static str,
) -> Result<u64, StoreError> {
    let next = "INSERT INTO memory_namespace (namespace, generation) VALUES (?, 1) \
        ON CONFLICT (namespace) DO UPDATE SET generation = generation + 1 RETURNING generation";
    let generation: i64 = sqlx::query_scalar(next)
        .bind(namespace.to_owned())
        .fetch_one(conn)
        .await
        .map_err(|error| fault(operation, error))?;
    Ok(generation.cast_unsigned())
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
