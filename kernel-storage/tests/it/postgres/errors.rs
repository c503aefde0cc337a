//! What can be wrong with a database: one clear line each, and nothing is left behind.

use kernel_storage::{Journal, PostgresOptions, PostgresStore, StoreErrorKind};
use kernel_types::Epoch;

use super::place::{Database, Place, User, admin_url, run_sql, text, url_of};
use crate::sample::{pid, step};

/// Opening answers this kind, in one line with these words.
async fn refused(options: PostgresOptions, kind: StoreErrorKind, words: &[&str]) {
    let error = PostgresStore::open(options).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in: {line}");
    }
}

async fn schemas(url: &str, name: &str) -> String {
    text(url, &format!("SELECT count(*)::text FROM pg_namespace WHERE nspname = '{name}'")).await
}

#[tokio::test]
async fn a_wrong_address_is_named() {
    let invalid = StoreErrorKind::Invalid;
    refused("agents.db".into(), invalid, &["postgres://user@host"]).await;
    refused("postgres://u:secret@h:port/d".into(), invalid, &["postgres://user@host"]).await;
    refused("postgres://u@h/d?schema=Mine".into(), invalid, &["\"Mine\"", "lower case"]).await;
    let nowhere = url_of(None, "no_such_database");
    refused(nowhere.as_str().into(), invalid, &["no such database", "no_such_database at 127.0.0.1"]).await;
    let closed = "postgres://u@127.0.0.1:1/d";
    refused(closed.into(), StoreErrorKind::Unavailable, &["cannot be reached", "127.0.0.1:1"]).await;
    let stranger = url_of(Some("no_such_user"), "postgres");
    refused(stranger.into(), StoreErrorKind::Permission, &["does not let this user in", "no_such_user"])
        .await;
}

#[tokio::test]
async fn attaching_to_nothing_says_so() {
    let place = Place::new();
    let error = PostgresStore::attach(place.options()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("start a kernel on it first"), "{error}");
}

#[tokio::test]
async fn a_server_without_pgvector_is_refused_and_nothing_is_made() {
    let place = Place::new();
    let without = place.options().extension("no_such_extension");
    refused(without, StoreErrorKind::Invalid, &["no extension no_such_extension", "install pgvector"]).await;
    assert_eq!(schemas(&place.url, &place.schema).await, "0");
    // The control.
    place.open().await;
    assert_eq!(schemas(&place.url, &place.schema).await, "1");
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_text_is_refused() {
    let place = Place::new();
    let name = format!("{}_latin", place.schema);
    let create = format!("CREATE DATABASE {name} ENCODING LATIN1 LOCALE 'C' TEMPLATE template0");
    run_sql(&place.url, &create).await;
    let options = PostgresOptions::new(url_of(None, &name)).schema("mine");
    refused(options, StoreErrorKind::Invalid, &["LATIN1", "with the encoding UTF8"]).await;
    assert_eq!(schemas(&url_of(None, &name), "mine").await, "0");
    run_sql(&place.url, &format!("DROP DATABASE {name}")).await;
}

#[tokio::test]
async fn a_user_without_rights_is_told_which_and_nothing_is_made() {
    let database = Database::new().await;
    let user = User::new().await;
    let denied = StoreErrorKind::Permission;
    let options = || PostgresOptions::new(database.url_as(&user.name)).schema("mine");
    refused(options(), denied, &["no right to add the extension vector", "CREATE EXTENSION vector"]).await;
    run_sql(&database.url(), "CREATE EXTENSION vector").await;
    refused(options(), denied, &["no right to make the schema", "schema mine of"]).await;
    assert_eq!(schemas(&database.url(), "mine").await, "0");

    // Of a store that another user made.
    let owner = PostgresOptions::new(database.url()).schema("mine");
    PostgresStore::open(owner).await.unwrap().close().await.unwrap();
    let grant = format!(
        "GRANT USAGE ON SCHEMA mine TO {0}; GRANT SELECT ON ALL TABLES IN SCHEMA mine TO {0}",
        user.name
    );
    run_sql(&database.url(), &grant).await;
    refused(options(), denied, &["no right to read and write agent, blob, blob_ref, event", "mail"]).await;
    // Reading takes no more than that.
    let reader = PostgresStore::attach(options()).await.unwrap();
    assert_eq!(reader.agents(None, false, 10).await.unwrap(), []);
    reader.close().await.unwrap();
    let grant = format!("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA mine TO {}", user.name);
    run_sql(&database.url(), &grant).await;
    let store = PostgresStore::open(options()).await.unwrap();
    store.commit(vec![step(pid(1), Epoch(1), 1)]).await.unwrap();
    store.close().await.unwrap();
    drop(database);
}

#[tokio::test]
async fn a_migration_that_fails_on_the_way_leaves_nothing() {
    let database = Database::new().await;
    run_sql(
        &database.url(),
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS \
           $$ BEGIN IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%blob_ref%') \
              THEN RAISE EXCEPTION 'no more tables today'; END IF; END $$; \
         CREATE EVENT TRIGGER refuse ON ddl_command_end EXECUTE FUNCTION refuse()",
    )
    .await;
    let options = || PostgresOptions::new(database.url()).schema("mine");
    refused(options(), StoreErrorKind::Unavailable, &["no more tables today"]).await;
    assert_eq!(schemas(&database.url(), "mine").await, "0");
    run_sql(&database.url(), "DROP EVENT TRIGGER refuse").await;
    PostgresStore::open(options()).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn schemas_of_other_builds_and_programs_are_refused_and_left_alone() {
    let place = Place::new();
    place.open().await.close().await.unwrap();
    let cases = [
        ("UPDATE schema_version SET version = 77", "schema version 77, this build reads versions 1 to 3"),
        ("UPDATE schema_version SET version = 0", "schema version 0"),
        ("UPDATE schema_version SET version = 1, application_id = 5", "another program's (application id 5"),
        ("DROP TABLE schema_version", "no table schema_version of ours"),
        ("CREATE TABLE schema_version (version text)", "no table schema_version of ours"),
    ];
    for (sql, words) in cases {
        place.sql(sql).await;
        refused(place.options(), StoreErrorKind::Schema, &[words, &place.schema]).await;
        let error = PostgresStore::attach(place.options()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Schema, "{error}");
    }
    assert_eq!(place.text("SELECT epoch::text FROM {s}.kernel").await, "0");

    let notes = Place::new();
    run_sql(&notes.url, &format!("CREATE SCHEMA {0}; CREATE TABLE {0}.notes (text text)", notes.schema))
        .await;
    refused(notes.options(), StoreErrorKind::Schema, &["another program's", "holds something"]).await;
    let tables = "SELECT string_agg(relname, ',') FROM pg_class WHERE relnamespace = '{s}'::regnamespace AND relkind = 'r'";
    assert_eq!(notes.text(tables).await, "notes");
}

#[tokio::test]
async fn an_empty_schema_that_somebody_made_is_taken() {
    let place = Place::new();
    run_sql(&place.url, &format!("CREATE SCHEMA {}", place.schema)).await;
    place.open().await.claim().await.unwrap();
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_refused() {
    let place = Place::new();
    let database = Database::new().await;
    run_sql(
        &admin_url(),
        &format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name),
    )
    .await;
    let options = PostgresOptions::new(database.url()).schema(&place.schema);
    refused(options, StoreErrorKind::Permission, &["takes no writes"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_kernels_that_open_a_new_database_together_one_makes_it() {
    let database = Database::new().await;
    let opens: Vec<_> = (0..12)
        .map(|n| {
            // Two schemas: the extension is of the database and made once.
            let options = PostgresOptions::new(format!("{}?schema=store_{}", database.url(), n % 2));
            tokio::spawn(async move {
                let store = PostgresStore::open(options).await.unwrap();
                let epoch = store.claim().await.unwrap();
                store.close().await.unwrap();
                epoch
            })
        })
        .collect();
    let mut epochs = Vec::new();
    for open in opens {
        epochs.push(open.await.unwrap());
    }
    epochs.sort_unstable();
    let expected: Vec<_> = (1..=6).flat_map(|n| [Epoch(n), Epoch(n)]).collect();
    assert_eq!(epochs, expected);
    let marks = "SELECT (SELECT count(*) FROM store_0.schema_version) || ',' || (SELECT count(*) FROM store_1.schema_version)";
    assert_eq!(text(&database.url(), marks).await, "1,1");
}
