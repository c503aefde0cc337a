//! Every column of every row that an audit guards is edited, one at a time, in a real database: each edit is named.

use std::path::{Path, PathBuf};

use kernel::programs::{OnError, Script, ScriptStep};
use kernel::{Kernel, StoreAudit, Until};
use kernel_storage::SqliteStore;
use kernel_types::{Call, NewPage, PageKind, Pid};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Row};

/// A table, its key, and what names a row of it in a finding: the first column of the key.
const TABLES: [(&str, &[&str]); 3] =
    [("agent", &["pid"]), ("event", &["pid", "number"]), ("blob", &["hash"])];

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_any_column_of_any_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original.db");
    run_a_parent_and_a_child(&original).await;
    assert_eq!(findings(&original).await, Vec::<String>::new(), "the unedited store is clean");

    let mut edits = 0;
    let mut quiet = Vec::new();
    for (table, keys) in TABLES {
        let mut reader = connect(&original).await;
        let columns = columns(&mut reader, table).await;
        let rows = rows(&mut reader, table, keys).await;
        assert!(!rows.is_empty(), "{table} has rows to edit");
        for row in &rows {
            for column in &columns {
                let edited = folder.path().join("edited.db");
                edit(&original, &edited, table, column, &row.condition).await;
                let found = findings(&edited).await;
                // What cannot be read is named as the store names rows.
                let unread = row.name.replace(" record ", "/");
                let named = found.iter().any(|line| line.contains(&row.name) || line.contains(&unread));
                // A row whose key was changed is missing under the old one and wrong under the new one.
                let moved = keys.contains(&column.as_str()) && !found.is_empty();
                if !(named || moved) {
                    quiet.push(format!("{table}.{column} of {}: {found:?}", row.condition));
                }
                edits += 1;
            }
        }
    }
    assert!(quiet.is_empty(), "edits that were not named: {quiet:#?}");
    assert!(edits > 100, "only {edits} edits were tried");
}

struct Edited {
    condition: String,
    /// What a finding about the row must mention.
    name: String,
}

/// Two processes whose journals hold short and long bodies, pages, values and mail.
async fn run_a_parent_and_a_child(path: &Path) {
    let kernel = Kernel::builder().store(SqliteStore::open(path).await.unwrap()).build().await.unwrap();
    let long = "a value that is too long to lie in its record. ".repeat(40);
    let child =
        Script::once(vec![Call::Now, Call::Sleep { ms: kernel_types::Millis(1) }]).spec("child").unwrap();
    let step = |calls| ScriptStep { repeat: 1, calls };
    let page = NewPage::text(PageKind::User, "A page with a body of its own.");
    let script = Script {
        on_error: OnError::Stop,
        step: vec![
            step(vec![Call::PageAlloc { pages: vec![page] }, Call::Spawn(Box::new(child))]),
            step(vec![
                Call::Put { name: "long".to_owned(), value: Some(long) },
                Call::Wait(Default::default()),
            ]),
        ],
    };
    let pid = kernel.spawn(script.spec("parent").unwrap()).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    let status = kernel.exit_status(pid).await.unwrap();
    assert!(matches!(status, Some(kernel_types::ExitStatus::Ok(_))), "{status:?}");
    kernel.shutdown().await.unwrap();
    // All of it into the one file that is copied.
    let mut writer = connect(path).await;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut writer).await.unwrap();
    writer.close().await.unwrap();
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap()
}

async fn columns(reader: &mut SqliteConnection, table: &str) -> Vec<String> {
    let query = format!("SELECT name FROM pragma_table_info('{table}')");
    let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(reader).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn rows(reader: &mut SqliteConnection, table: &str, keys: &[&str]) -> Vec<Edited> {
    let conditions: Vec<String> = keys.iter().map(|key| format!("'{key} = ' || quote({key})")).collect();
    let query = format!("SELECT {}, {} FROM {table}", conditions.join(" || ' AND ' || "), keys[0]);
    let rows = sqlx::query(AssertSqlSafe(query)).fetch_all(reader).await.unwrap();
    let row = |row: &sqlx::sqlite::SqliteRow| {
        let key: Vec<u8> = row.get(1);
        let name = match <[u8; 16]>::try_from(key.as_slice()) {
            Ok(bytes) => Pid::from_bytes(bytes).to_string(),
            Err(_) => kernel_types::Hash::from_slice(&key).unwrap().to_string(),
        };
        // A record is named by its number as well.
        let condition: String = row.get(0);
        let name = match condition.split("number = ").nth(1) {
            Some(number) => format!("{name} record {number}"),
            None => name,
        };
        Edited { condition, name }
    };
    rows.iter().map(row).collect()
}

/// Copies the database and changes one column of one row to another value of the same type.
async fn edit(original: &Path, edited: &PathBuf, table: &str, column: &str, condition: &str) {
    for file in [edited.clone(), sibling(edited, "-wal"), sibling(edited, "-shm")] {
        let _ = std::fs::remove_file(file);
    }
    std::fs::copy(original, edited).unwrap();
    let mut writer = connect(edited).await;
    let mut done = 0;
    // A key that another row has is refused by the database: then one further away.
    for distance in [1, 100_000] {
        let other = format!(
            "CASE typeof({column}) \
             WHEN 'integer' THEN CASE '{column}' WHEN 'exited' THEN 1 - {column} ELSE {column} + {distance} END \
             WHEN 'text' THEN {column} || ' ' \
             WHEN 'blob' THEN CASE {column} WHEN zeroblob(length({column})) THEN randomblob(length({column})) \
             ELSE zeroblob(length({column})) END \
             ELSE CASE '{column}' WHEN 'call' THEN 7 WHEN 'body' THEN '{{}}' ELSE zeroblob(32) END END"
        );
        let update = format!("UPDATE {table} SET {column} = {other} WHERE {condition}");
        if let Ok(result) = sqlx::query(AssertSqlSafe(update)).execute(&mut writer).await {
            done = result.rows_affected();
            break;
        }
    }
    assert_eq!(done, 1, "{table}.{column} of {condition} was edited");
    writer.close().await.unwrap();
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What an audit of the database says, a line a finding; what cannot even be read is a finding too.
async fn findings(path: &Path) -> Vec<String> {
    let store = SqliteStore::attach(path).await.unwrap();
    match kernel_security::verify(&StoreAudit(&store), &|_| {}).await {
        Ok(report) => report.findings.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    }
}
