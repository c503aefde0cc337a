//! Reading the tables of the memory: items, and whole namespaces to be indexed.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite};

use super::super::fault::fault;
use super::super::read::{Reader, at_most, query};
use super::super::row::Columns;
use super::super::statement::pieces;
use super::place::Found;
use crate::vectors::index::Shelf;
use crate::vectors::json;
use crate::{MemoryHit, MemoryItem, StoreError, StoreErrorKind, Vector};

/// The columns of [`item`], in any order.
const MEMORY: &str = "namespace, id, owner, metadata, model, vector, text";
/// Items that are read at once when a namespace is loaded.
const PAGE: usize = 512;

impl Reader {
    pub(super) async fn items(
        &self,
        namespace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MemoryItem>, StoreError> {
        // No id is empty.
        let sql = format!("SELECT {MEMORY} FROM memory WHERE namespace = ? AND id > ? ORDER BY id LIMIT ?");
        let query = query(sql).bind(namespace.to_owned()).bind(after.unwrap_or_default().to_owned());
        self.rows(query.bind(at_most(limit)), item).await
    }

    pub(super) async fn namespaces(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT namespace FROM memory WHERE namespace > ? ORDER BY namespace LIMIT ?";
        let query = query(sql.to_owned()).bind(after.unwrap_or_default().to_owned()).bind(at_most(limit));
        self.rows(query, |row| columns(row).get("namespace")).await
    }

    pub(super) async fn count(&self, namespace: &str) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) AS count FROM memory WHERE namespace = ?";
        let query = query(sql.to_owned()).bind(namespace.to_owned());
        let counts = self.rows(query, |row| columns(row).number("count")).await?;
        Ok(counts.into_iter().sum())
    }

    /// The dimension of a model that a vector was remembered of.
    pub(super) async fn dimension(&self, model: &str) -> Result<Option<usize>, StoreError> {
        let sql = "SELECT dimension FROM memory_model WHERE model = ?";
        let query = query(sql.to_owned()).bind(model.to_owned());
        let decode = |row: &SqliteRow| {
            let columns = Columns { table: "memory_model", row };
            columns.fit("dimension", columns.get("dimension")?)
        };
        Ok(self.rows(query, decode).await?.pop())
    }

    /// How often a namespace was written to.
    pub(super) async fn generation(&self, namespace: &str) -> Result<u64, StoreError> {
        let sql = "SELECT generation FROM memory_namespace WHERE namespace = ?";
        let generations = self.rows(query(sql.to_owned()).bind(namespace.to_owned()), generation).await?;
        Ok(generations.first().copied().unwrap_or_default())
    }

    /// What a search found, with the items as they are now. One that is gone by now is left out.
    pub(super) async fn hits(
        &self,
        namespace: &str,
        found: Vec<Found>,
    ) -> Result<Vec<MemoryHit>, StoreError> {
        let mut items = HashMap::with_capacity(found.len());
        for piece in pieces(&found) {
            let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
            query.push(MEMORY).push(" FROM memory WHERE namespace = ");
            query.push_bind(namespace.to_owned()).push(" AND id IN (");
            let mut ids = query.separated(", ");
            for found in piece {
                ids.push_bind(found.id.clone());
            }
            query.push(")");
            let rows = query.build().fetch_all(&self.pool).await.map_err(|error| fault("search", error))?;
            for row in &rows {
                let item = item(row)?;
                items.insert(item.id.clone(), item);
            }
        }
        let hit = |Found { id, ranks }: Found| {
            let item = items.remove(&id)?;
            Some(MemoryHit {
                id,
                owner: item.owner,
                text: item.text,
                metadata: item.metadata,
                score: ranks.score,
                by_words: ranks.by_words,
                by_vector: ranks.by_vector,
                similarity: ranks.similarity,
            })
        };
        Ok(found.into_iter().filter_map(hit).collect())
    }

    /// A namespace, indexed, and the generation that it is at: both of one moment.
    pub(super) async fn shelf(&self, namespace: &str) -> Result<(Shelf, u64), StoreError> {
        let mut moment = self.pool.begin().await.map_err(|error| fault("search", error))?;
        let sql = "SELECT generation FROM memory_namespace WHERE namespace = ?";
        let found = query(sql.to_owned()).bind(namespace.to_owned()).fetch_optional(&mut *moment).await;
        let found = found.map_err(|error| fault("search", error))?;
        let generation = found.as_ref().map(generation).transpose()?.unwrap_or_default();
        let mut shelf = Shelf::default();
        let mut after = String::new();
        loop {
            let sql =
                format!("SELECT {MEMORY} FROM memory WHERE namespace = ? AND id > ? ORDER BY id LIMIT ?");
            let page = query(sql).bind(namespace.to_owned()).bind(after.clone()).bind(at_most(PAGE));
            let rows = page.fetch_all(&mut *moment).await.map_err(|error| fault("search", error))?;
            let full = rows.len() == PAGE;
            // It takes a processor for long, so it is done beside the threads of the runtime.
            let put = tokio::task::spawn_blocking(move || put(shelf, after, &rows)).await;
            (shelf, after) = put.map_err(|error| {
                StoreError::new(StoreErrorKind::Unavailable, "search", "indexing failed").because(error)
            })??;
            if !full {
                return Ok((shelf, generation));
            }
        }
    }
}

/// Takes rows in; gives the id of the last one.
fn put(mut shelf: Shelf, mut last: String, rows: &[SqliteRow]) -> Result<(Shelf, String), StoreError> {
    for row in rows {
        let item = item(row)?;
        shelf.put(&item);
        last = item.id;
    }
    Ok((shelf, last))
}

fn item(row: &SqliteRow) -> Result<MemoryItem, StoreError> {
    let columns = columns(row);
    let metadata: &str = columns.get("metadata")?;
    Ok(MemoryItem {
        namespace: columns.get("namespace")?,
        id: columns.get("id")?,
        owner: columns.pid("owner")?,
        text: columns.get("text")?,
        metadata: json::read(metadata).map_err(|what| columns.damaged("metadata", &what))?,
        vector: columns
            .optional("model")?
            .map(|model| Ok(Vector { model, values: values(&columns)? }))
            .transpose()?,
    })
}

fn values(columns: &Columns<'_>) -> Result<Vec<f32>, StoreError> {
    let bytes: &[u8] = columns.bytes("vector")?;
    let (values, rest) = bytes.as_chunks();
    if values.is_empty() || !rest.is_empty() {
        return Err(
            columns.damaged("vector", &format!("{} bytes are not the numbers of a vector", bytes.len()))
        );
    }
    Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn generation(row: &SqliteRow) -> Result<u64, StoreError> {
    Columns { table: "memory_namespace", row }.number("generation")
}

const fn columns(row: &SqliteRow) -> Columns<'_> {
    Columns { table: "memory", row }
}
