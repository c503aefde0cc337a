//! `--store`: the same program on PostgreSQL, which many kernels share, and in memory.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::home::{ANSWER, Ended, Home};

/// A schema of its own in the database that `.ci/services` starts; dropped at the end.
struct Schema {
    admin: String,
    name: String,
}

impl Schema {
    fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let admin = std::env::var("AGENTOS_TEST_POSTGRES").expect("`.ci/services start`, then its `env`");
        let name = format!("cli_{}_{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        Self { admin, name }
    }

    fn url(&self) -> String {
        let sign = if self.admin.contains('?') { '&' } else { '?' };
        format!("{}{sign}schema={}", self.admin, self.name)
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.admin).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
        });
    }
}

fn on(home: &Home, store: &str, args: &[&str]) -> Ended {
    home.run(&[args, &["--store", store]].concat())
}

#[test]
fn a_run_on_postgresql_is_listed_read_forked_resumed_and_audited() {
    let (home, schema) = (Home::new(), Schema::new());
    let url = schema.url();
    let ended = home.ask(ANSWER, &["--store", &url]).ok();
    assert!(ended.stdout.starts_with("Twelve months."), "{ended:#?}");
    let pid = ended.pid();
    assert!(!home.data().join("agentos.db").exists(), "it is not in the data directory");
    assert!(on(&home, &url, &["ps", "--all"]).ok().stdout.contains(&pid));
    assert!(on(&home, &url, &["logs", &pid]).ok().stdout.contains("infer"));
    assert!(on(&home, &url, &["mem", &pid]).ok().stdout.contains("window:"));
    let fork = on(&home, &url, &["fork", &pid, "--at", "2", "--json"]).ok().json();
    let fork = fork["pid"].as_str().unwrap().to_owned();
    assert!(on(&home, &url, &["resume", &fork]).ok().stdout.starts_with("Twelve months."));
    let doctor = on(&home, &url, &["doctor"]).stdout;
    assert!(doctor.contains("PostgreSQL"), "{doctor}");
    on(&home, &url, &["audit", "verify"]).ok();
    assert!(on(&home, &url, &["top", "--once"]).ok().stdout.contains("this is what its store has"));
}

#[test]
fn a_run_on_postgresql_survives_kills_and_kernels_share_the_database() {
    let (home, schema) = (Home::new(), Schema::new());
    let url = schema.url();
    let turn = "[[reply]]\ntext = \"I look.\"\ndelay_ms = 40\n[[reply.tool]]\nname = \"list_dir\"\nargs = { path = \".\" }\n";
    let script = format!("{}{ANSWER}", turn.repeat(6));
    home.file("work/months.txt", "Source stays available for twelve months.\n");
    let cpu = home.scripted(&script);
    let run = ["run", "--store", &url, "--cpu", &cpu, "--workspace", "work", "How many months?"];
    // Another kernel runs on it all the time, and is not disturbed.
    let other = home.start(&run);
    let mut kills = 0;
    for seed in 0..5u64 {
        let mut started = home.start(&run);
        std::thread::sleep(Duration::from_millis(20 + 90 * seed));
        started.kill();
        let pid = started.pid.clone();
        let resumed = on(&home, &url, &["resume", &pid]);
        // It may have ended before it was killed.
        if resumed.code == Some(65) {
            assert!(resumed.stderr.contains("has ended"), "{resumed:#?}");
            continue;
        }
        kills += 1;
        assert!(resumed.ok().stdout.starts_with("Twelve months."));
    }
    assert!(kills > 0, "some were killed in the middle");
    assert!(other.wait().ok().stdout.starts_with("Twelve months."));
    on(&home, &url, &["audit", "verify"]).ok();
}

#[test]
fn a_store_in_memory_ends_with_its_run() {
    let home = Home::new();
    let ended = home.ask(ANSWER, &["--store", "memory"]).ok();
    assert!(ended.stdout.starts_with("Twelve months."), "{ended:#?}");
    assert!(!home.data().join("agentos.db").exists());
    on(&home, "memory", &["logs", &ended.pid()]).fails(65, &["no process"]);
}

#[test]
fn a_file_of_another_name_is_a_store() {
    let home = Home::new();
    let store = format!("sqlite:{}", home.path("elsewhere.db").display());
    let pid = home.ask(ANSWER, &["--store", &store]).ok().pid();
    assert!(on(&home, &store, &["ps", "--all"]).ok().stdout.contains(&pid));
    assert!(!home.run(&["ps", "--all"]).ok().stdout.contains(&pid), "the default store has none of it");
}

#[test]
fn bad_stores_get_one_line_and_show_no_password() {
    let home = Home::new();
    home.ask(ANSWER, &["--store", "mysql://h/d"]).fails(2, &["sqlite:PATH"]);
    let nobody = "postgres://agents:secret@127.0.0.1:1/agents";
    let ended = home.ask(ANSWER, &["--store", nobody]).fails(69, &["127.0.0.1"]);
    assert!(!ended.stderr.contains("secret"), "{ended:#?}");
    let shown = on(&home, nobody, &["config"]).ok().stdout;
    assert!(shown.contains("agents:***@") && !shown.contains("secret"), "{shown}");
    let schema = Schema::new();
    let missing = schema.admin.replace("/postgres", "/no_such_database");
    let ended = home.ask(ANSWER, &["--store", &missing]);
    assert!(ended.code != Some(0) && ended.stderr.contains("no_such_database"), "{ended:#?}");
    on(&home, &schema.url(), &["logs", "zzz"]).fails(78, &["start a kernel"]);
}
