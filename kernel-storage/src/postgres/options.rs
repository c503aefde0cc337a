//! Where a PostgreSQL store is and how it is talked to.

use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::batcher::Limits;
use crate::{StoreError, StoreErrorKind};

/// Where a [`crate::PostgresStore`] is and how it is talked to. The defaults suit a kernel whose lease is 3 seconds:
/// every write is decided within that, or reported as unknown.
///
/// ```
/// use kernel_storage::PostgresOptions;
///
/// let options = PostgresOptions::new("postgres://agents@db.example/agents?schema=team_a").writers(8);
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct PostgresOptions {
    url: String,
    schema: Option<String>,
    writers: usize,
    readers: u32,
    pub(super) write_timeout: Duration,
    pub(super) read_timeout: Duration,
    pub(super) patience: Duration,
    linger: Duration,
    group: usize,
    pub(super) extension: String,
}

/// A value larger than this is refused: a row of PostgreSQL, on its way, has 1 GB for all of its columns.
pub(super) const LARGEST: usize = 256 << 20;
/// The bytes of a group of commits, unless one commit has more.
const GROUP_BYTES: usize = 8 << 20;
const QUEUE: usize = 1024;
/// How long a schema may take to be made or changed, and a waiting kernel waits for another one to do that.
const MIGRATION: Duration = Duration::from_secs(60);
/// How long it may take to write all records of a process.
pub(super) const COPY: Duration = Duration::from_secs(60);
/// PostgreSQL cuts longer names.
const LONGEST_NAME: usize = 63;

/// Plans of writers are made once and must not depend on how full a table was at that time: each row is found by its
/// key. The lists that are bound are short.
const WRITER: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
];

impl PostgresOptions {
    /// Options with this URL, `postgres://user:password@host:port/database?parameters`. Beside the parameters of
    /// libpq, `schema` names the schema that the store lies in.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: None,
            writers: 6,
            readers: 8,
            write_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(1),
            linger: Duration::from_millis(2),
            group: 64,
            extension: "vector".to_owned(),
        }
    }

    /// The schema that the store lies in, and nothing else does; `agentos` if neither this nor the URL names one.
    #[must_use]
    pub fn schema(self, name: impl Into<String>) -> Self {
        Self { schema: Some(name.into()), ..self }
    }

    /// How many connections write, 4 to 8.
    #[must_use]
    pub fn writers(self, connections: usize) -> Self {
        Self { writers: connections.clamp(4, 8), ..self }
    }

    /// How many connections read at most, at least 1.
    #[must_use]
    pub fn readers(self, connections: u32) -> Self {
        Self { readers: connections.max(1), ..self }
    }

    /// How long one statement that writes may take; below the lease of a kernel. Large bodies have more time, since
    /// they are written ahead of what refers to them.
    #[must_use]
    pub fn write_timeout(self, timeout: Duration) -> Self {
        Self { write_timeout: timeout, ..self }
    }

    /// How long one statement that reads may take.
    #[must_use]
    pub fn read_timeout(self, timeout: Duration) -> Self {
        Self { read_timeout: timeout, ..self }
    }

    /// How long the store tries by itself to reach a database that is away, to find out what became of a write whose
    /// answer was lost, or to write again.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The most commits of one statement, unless a single batch has more.
    #[must_use]
    pub fn group(self, commits: usize) -> Self {
        Self { group: commits.max(1), ..self }
    }

    /// How long a commit waits for company while others are being written.
    #[must_use]
    pub fn linger(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }

    /// The extension that is asked for; a test asks for one that there is not.
    #[doc(hidden)]
    #[must_use]
    pub fn extension(self, name: impl Into<String>) -> Self {
        Self { extension: name.into(), ..self }
    }

    pub(super) fn limits(&self, attached: bool) -> Limits {
        Limits {
            lanes: if attached { 1 } else { self.writers },
            commits: self.group,
            bytes: GROUP_BYTES,
            linger: self.linger,
            queue: QUEUE,
        }
    }

    pub(super) const fn most_readers(&self) -> u32 {
        self.readers
    }

    /// What the options say, checked.
    pub(super) fn target(&self) -> Result<Target, StoreError> {
        let (url, named) = split_schema(&self.url);
        let schema = self.schema.clone().or(named).unwrap_or_else(|| "agentos".to_owned());
        check_name(&schema)?;
        let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let parsed = if is_url { PgConnectOptions::from_str(&url).ok() } else { None };
        let Some(options) = parsed else {
            // The words of a parser might quote a password.
            let message = "the address of the store is not of the form postgres://user@host:port/database";
            return Err(StoreError::new(StoreErrorKind::Invalid, "open", message));
        };
        let options = options
            .application_name("agentos")
            .disable_statement_logging()
            // Each set of parts that a commit can have is a statement of its own.
            .statement_cache_capacity(256)
            .options([("search_path", schema.as_str())])
            .options([
                ("tcp_keepalives_idle", "1"),
                ("tcp_keepalives_interval", "1"),
                ("tcp_keepalives_count", "2"),
            ]);
        Ok(Target { options, schema })
    }

    pub(super) fn writer(&self, target: &Target) -> PgConnectOptions {
        timed(&target.options, self.write_timeout).options(WRITER)
    }

    pub(super) fn reader(&self, target: &Target) -> PgConnectOptions {
        timed(&target.options, self.read_timeout)
    }

    /// As a reader, with the schema that pgvector lies in behind the store's own.
    pub(super) fn memory(&self, target: &Target, home: &str) -> PgConnectOptions {
        self.reader(target).options([("search_path", format!("{}, {home}", target.schema))])
    }

    /// As [`PostgresOptions::memory`], for what takes as long as it takes: the server looks every second whether
    /// somebody still waits for it.
    pub(super) fn builder(&self, target: &Target, home: &str) -> PgConnectOptions {
        self.memory(target, home)
            .options([("statement_timeout", "0"), ("client_connection_check_interval", "1000")])
    }

    /// As a writer, with time for a whole process.
    pub(super) fn copier(&self, target: &Target) -> PgConnectOptions {
        timed(&target.options, COPY).options(WRITER)
    }

    pub(super) fn migrator(&self, target: &Target) -> PgConnectOptions {
        timed(&target.options, MIGRATION)
    }
}

impl From<&str> for PostgresOptions {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for PostgresOptions {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl std::fmt::Debug for PostgresOptions {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .field("writers", &self.writers)
            .field("readers", &self.readers)
            .field("write_timeout", &self.write_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// A place that can be connected to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    options: PgConnectOptions,
    pub(super) schema: String,
}

impl Target {
    /// The place in words, without a password.
    pub(super) fn place(&self) -> String {
        let options = &self.options;
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        match options.get_socket() {
            Some(socket) => format!("{database} at {}", socket.display()),
            None => format!("{database} at {}:{}", options.get_host(), options.get_port()),
        }
    }
}

/// The server ends what takes longer, so that what a client gave up on does not go on for long.
fn timed(options: &PgConnectOptions, timeout: Duration) -> PgConnectOptions {
    let ms = timeout.as_millis().max(1).to_string();
    options.clone().options([
        ("statement_timeout", ms.as_str()),
        ("idle_in_transaction_session_timeout", ms.as_str()),
        ("tcp_user_timeout", ms.as_str()),
    ])
}

/// The URL without its parameter `schema`, and that.
fn split_schema(url: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (named, others): (Vec<_>, Vec<_>) = query.split('&').partition(|pair| pair.starts_with("schema="));
    let schema = named.last().and_then(|pair| pair.strip_prefix("schema=")).map(str::to_owned);
    let url = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
    (url, schema)
}

/// A plain name needs no quotes anywhere.
fn check_name(name: &str) -> Result<(), StoreError> {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if plain && begins && name.len() <= LONGEST_NAME && !name.starts_with("pg_") {
        return Ok(());
    }
    let message = format!(
        "{name:?} cannot be the schema of a store: a letter, then letters, digits and _, in lower case, at most \
         {LONGEST_NAME}, not beginning with pg_"
    );
    Err(StoreError::new(StoreErrorKind::Invalid, "open", message))
}

#[cfg(test)]
mod tests {
    use super::{PostgresOptions, check_name, split_schema};

    #[test]
    fn the_schema_is_taken_out_of_the_url() {
        let check = |url: &str, rest: &str, schema: Option<&str>| {
            assert_eq!(split_schema(url), (rest.to_owned(), schema.map(str::to_owned)), "{url}");
        };
        check("postgres://h/d", "postgres://h/d", None);
        check("postgres://h/d?schema=a", "postgres://h/d", Some("a"));
        check("postgres://h/d?sslmode=require&schema=a", "postgres://h/d?sslmode=require", Some("a"));
        check("postgres://h/d?schema=a&sslmode=require", "postgres://h/d?sslmode=require", Some("a"));
    }

    #[test]
    fn names_that_would_need_quotes_are_refused() {
        for good in ["agentos", "_a1", "a"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a b", "1a", "a\"", "a;b", "pg_x", "a\0", "\u{e9}", &"a".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn neither_words_nor_debug_show_a_password() {
        let options = PostgresOptions::new("postgres://u:hunter2@host:99/d");
        assert!(!format!("{options:?}").contains("hunter2"));
        let place = options.target().map(|target| target.place());
        assert_eq!(place.ok().as_deref(), Some("d at host:99"));
        let error = PostgresOptions::new("postgres://u:hunter2@host:port/d").target().err();
        assert!(error.is_some_and(|error| !error.to_string().contains("hunter2")));
    }
}
