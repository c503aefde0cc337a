//! Places on the test server: a schema for each test, gone at its end.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

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
        Self { url, schema: unique("schema") }
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
        clean(&self.url, format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema));
    }
}

/// A database with a name of its own.
pub(crate) struct Database {
    pub(crate) name: String,
}

impl Database {
    pub(crate) async fn new() -> Self {
        let name = unique("database");
        run_sql(&admin_url(), &format!("CREATE DATABASE {name}")).await;
        Self { name }
    }

    /// As the administrator.
    pub(crate) fn url(&self) -> String {
        url_of(None, &self.name)
    }

    /// As this user.
    pub(crate) fn url_as(&self, user: &str) -> String {
        url_of(Some(user), &self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        clean(&admin_url(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// A user who may log in and nothing else.
pub(crate) struct User {
    pub(crate) name: String,
}

impl User {
    pub(crate) async fn new() -> Self {
        let name = unique("user");
        run_sql(&admin_url(), &format!("CREATE ROLE {name} LOGIN")).await;
        Self { name }
    }
}

impl Drop for User {
    /// Drop what it has rights on before it.
    fn drop(&mut self) {
        clean(&admin_url(), format!("DROP ROLE IF EXISTS {}", self.name));
    }
}

fn unique(what: &str) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("test_{what}_{}_{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed))
}

/// The administrator's URL with another user or database.
pub(crate) fn url_of(user: Option<&str>, database: &str) -> String {
    let options = PgConnectOptions::from_str(&admin_url()).unwrap();
    let user = user.unwrap_or(options.get_username());
    format!("postgres://{user}@{}:{}/{database}", options.get_host(), options.get_port())
}

/// Runs a statement at the end of a test, from where nothing can be awaited.
fn clean(url: &str, sql: String) {
    let options = PgConnectOptions::from_str(url).unwrap().disable_statement_logging();
    let cleaned = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // A server of the test's own may be gone already.
            let Ok(mut conn) = options.connect().await else { return };
            let _ = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await;
        });
    });
    let _ = cleaned.join();
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
