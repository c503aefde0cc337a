//! Places on the test server: a schema for each test, gone at its end.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use std::str::FromStr;
use std::sync::Arc;

use kernel_storage::conformance::Fixture;
use kernel_storage::{PostgresOptions, PostgresStore, Store};

/// The URL of the administrator of the test server.
pub(crate) fn admin_url() -> String {
    std::env::var("AGENTOS_TEST_POSTGRES")
        .expect("AGENTOS_TEST_POSTGRES: run `.ci/services start` and `eval \"$(.ci/services env)\"` first")
}

/// A connection of someone who is not the store.
pub(crate) async fn raw(url: &str) -> PgConnection {
    PgConnectOptions::from_str(url).unwrap().disable_statement_logging().connect().await.unwrap()
}

/// Runs statements as the administrator.
pub(crate) async fn run_sql(url: &str, sql: &str) {
    let mut conn = raw(url).await;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// The one text that a statement finds.
pub(crate) async fn text(url: &str, sql: &str) -> String {
    let mut conn = raw(url).await;
    let found: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    found.unwrap_or_default()
}

/// A schema with a name of its own.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) schema: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::on(admin_url())
    }

    pub(crate) fn on(url: String) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let schema = format!("test_{}_{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        Self { url, schema }
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        PostgresOptions::new(&self.url).schema(&self.schema)
    }

    pub(crate) async fn open(&self) -> PostgresStore {
        PostgresStore::open(self.options()).await.unwrap()
    }

    pub(crate) async fn attach(&self) -> PostgresStore {
        PostgresStore::attach(self.options()).await.unwrap()
    }

    /// Runs statements in the schema.
    pub(crate) async fn sql(&self, sql: &str) {
        run_sql(&self.url, &format!("SET search_path = {}; {sql}", self.schema)).await;
    }

    /// The number that a statement with `{s}` for the schema finds.
    pub(crate) async fn text(&self, sql: &str) -> String {
        text(&self.url, &sql.replace("{s}", &self.schema)).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (url, schema) = (self.url.clone(), self.schema.clone());
        let cleaned = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let options = PgConnectOptions::from_str(&url).unwrap().disable_statement_logging();
                // A server of the test's own may be gone already.
                let Ok(mut conn) = options.connect().await else { return };
                let drop = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
                let _ = sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut conn).await;
            });
        });
        let _ = cleaned.join();
    }
}

#[async_trait]
impl Fixture for Place {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(Place::open(self).await)
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        let store = Place::open(self).await;
        store.close().await.unwrap();
        Arc::new(Place::open(self).await)
    }
}
