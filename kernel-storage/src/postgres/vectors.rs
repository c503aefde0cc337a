//! Long-term memory in PostgreSQL: the tables are the truth and have the indexes, so all kernels on a database search
//! the same.
//!
//! A call is a transaction ([`session`]), and all of them may be done twice. Words are found by the text search of the
//! database ([`lexemes`]), vectors by comparing with all of a namespace or by an index of pgvector ([`graph`]).

mod condition;
mod graph;
mod lexemes;
mod metadata;
mod row;
mod search;
mod session;
mod write;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use sqlx::{QueryBuilder, Row};
use tokio::task::JoinHandle;

use self::row::{ITEM, Numbered, item};
use self::session::{Sessions, Trouble};
use super::PostgresStore;
use super::options::{PostgresOptions, Target};
use super::read::at_most;
use crate::vectors::{check_items, check_search};
use crate::{MemoryHit, MemoryItem, MemorySearch, StoreError, StoreErrorKind, Vectors};

const READ: &str = "BEGIN READ ONLY";
/// An index that could not be built is tried again after so long.
const LATER: Duration = Duration::from_secs(60);

/// The connections of the memory, and the indexes that are being built.
#[derive(Debug)]
pub(super) struct Memory {
    sessions: Sessions,
    builder: PgConnectOptions,
    builds: Mutex<HashMap<(i64, i32), Build>>,
}

#[derive(Debug)]
struct Build {
    begun: Instant,
    task: JoinHandle<()>,
}

impl Memory {
    /// Connects to nothing yet.
    pub(super) fn new(options: &PostgresOptions, target: &Target, home: &str) -> Self {
        Self {
            sessions: Sessions::new(options, target, home),
            builder: options.builder(target, home),
            builds: Mutex::default(),
        }
    }

    pub(super) async fn close(&self) {
        self.builds.lock().drain().for_each(|(_, build)| build.task.abort());
        self.sessions.close().await;
    }

    /// Has an index built beside what goes on, unless that was begun lately.
    fn build_beside(&self, space: i64, model: Numbered) {
        let mut builds = self.builds.lock();
        let key = (space, model.number);
        let lately = |build: &Build| !build.task.is_finished() || build.begun.elapsed() < LATER;
        if builds.get(&key).is_some_and(lately) {
            return;
        }
        let options = self.builder.clone();
        let task = tokio::spawn(async move {
            // Without it searches compare with everything, as they do now.
            let _ = graph::build(&options, space, model).await;
        });
        builds.insert(key, Build { begun: Instant::now(), task });
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.builds.lock().drain().for_each(|(_, build)| build.task.abort());
    }
}

impl PostgresStore {
    /// Builds the indexes of the vectors of a namespace, also for fewer than
    /// [`SearchMode::EXACT_BELOW`](crate::SearchMode::EXACT_BELOW) of them; answers when they are there. Searches have
    /// this done by themselves and do not wait for it: this is for those who want it over before the first search.
    /// Vectors of more than 4000 numbers are always compared with all.
    ///
    /// # Errors
    /// [`StoreErrorKind::Permission`] if the tables are another user's; those of the database.
    pub async fn index_memory(&self, namespace: &str) -> Result<(), StoreError> {
        self.kernel_only("index")?;
        let shelves = || async {
            let mut session = self.shared.memory.sessions.begin(READ).await?;
            let mut query = QueryBuilder::new(
                "SELECT h.space, m.model, m.dimension FROM memory_shelf AS h JOIN memory_model AS m USING (model) \
                 JOIN memory_space AS s USING (space) WHERE h.vectors > 0 AND s.namespace = ",
            );
            query.push_bind(namespace.as_bytes().to_vec());
            let rows = session.rows(&mut query).await?;
            session.commit().await?;
            rows.iter().map(|row| Ok((row.try_get("space")?, Numbered::of(row)?))).collect()
        };
        let shelves: Vec<(i64, Numbered)> = self.shared.memory.sessions.patiently("index", shelves).await?;
        for (space, model) in
            shelves.into_iter().filter(|(_, model)| model.dimension <= graph::LARGEST_DIMENSION)
        {
            graph::build(&self.shared.memory.builder, space, model).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Vectors for PostgresStore {
    async fn remember(&self, items: Vec<MemoryItem>) -> Result<(), StoreError> {
        self.kernel_only("remember")?;
        let dimensions = check_items(&items)?;
        if items.is_empty() {
            return Ok(());
        }
        self.shared.memory.sessions.patiently("remember", || self.try_remember(&items, &dimensions)).await
    }

    async fn forget(&self, namespace: &str, ids: &[String]) -> Result<u64, StoreError> {
        self.kernel_only("forget")?;
        if ids.is_empty() {
            return Ok(0);
        }
        self.shared.memory.sessions.patiently("forget", || self.try_forget(namespace, ids)).await
    }

    async fn search(&self, search: MemorySearch) -> Result<Vec<MemoryHit>, StoreError> {
        check_search(&search)?;
        let memory = &self.shared.memory;
        let outcome = memory.sessions.patiently("search", || self.try_search(&search)).await?;
        if let Some((space, model)) = outcome.wanted
            && !self.shared.attached
        {
            memory.build_beside(space, model);
        }
        Ok(outcome.hits)
    }

    async fn items(
        &self,
        namespace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MemoryItem>, StoreError> {
        let items = || async {
            let mut session = self.shared.memory.sessions.begin(READ).await?;
            let mut query = QueryBuilder::new(format!(
                "SELECT {ITEM} FROM memory AS m WHERE space = (SELECT space FROM memory_space WHERE namespace = "
            ));
            // No id is empty.
            query.push_bind(namespace.as_bytes().to_vec()).push(") AND id > ");
            query.push_bind(after.unwrap_or_default().as_bytes().to_vec());
            let rows = session.rows(query.push(" ORDER BY id LIMIT ").push_bind(at_most(limit))).await?;
            session.commit().await?;
            rows.iter().map(|row| item(namespace, row)).collect()
        };
        self.shared.memory.sessions.patiently("read", items).await
    }

    async fn namespaces(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        let names = || async {
            let mut session = self.shared.memory.sessions.begin(READ).await?;
            let mut query =
                QueryBuilder::new("SELECT namespace FROM memory_space WHERE texts > 0 AND namespace > ");
            query.push_bind(after.unwrap_or_default().as_bytes().to_vec());
            let rows =
                session.rows(query.push(" ORDER BY namespace LIMIT ").push_bind(at_most(limit))).await?;
            session.commit().await?;
            rows.iter().map(name).collect()
        };
        self.shared.memory.sessions.patiently("read", names).await
    }

    async fn count(&self, namespace: &str) -> Result<u64, StoreError> {
        let count = || async {
            let mut session = self.shared.memory.sessions.begin(READ).await?;
            let mut query = QueryBuilder::new("SELECT texts FROM memory_space WHERE namespace = ");
            let rows = session.rows(query.push_bind(namespace.as_bytes().to_vec())).await?;
            session.commit().await?;
            let count: Option<i64> = rows.first().map(|row| row.try_get("texts")).transpose()?;
            Ok(count.unwrap_or_default().unsigned_abs())
        };
        self.shared.memory.sessions.patiently("read", count).await
    }
}

fn name(row: &sqlx::postgres::PgRow) -> Result<String, Trouble> {
    let bytes: Vec<u8> = row.try_get("namespace")?;
    String::from_utf8(bytes).map_err(|error| {
        let message = format!("table memory_space, column namespace: {error}");
        StoreError::new(StoreErrorKind::Corrupt, "read", message).into()
    })
}
