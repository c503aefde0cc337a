//! The configuration file: what it may say, what goes before it, what is said of a wrong one.

use serde_json::{Value, json};

use crate::home::{ANSWER, Ended, Home, end};

const FILE: &str = ".config/agentos/config.toml";

/// `agentos config --json` with these variables and flags.
fn shown(home: &Home, variables: &[(&str, &str)], flags: &[&str]) -> Value {
    let args: Vec<&str> = ["config", "--json"].iter().chain(flags).copied().collect();
    end(home.agentos(&args).envs(variables.iter().copied())).ok().json()["values"].clone()
}

#[track_caller]
fn holds(values: &Value, key: &str, value: impl Into<Value>, source: &str) {
    let found = &values[key];
    assert_eq!(found["value"], value.into(), "{key} in {values:#}");
    assert!(found["source"].as_str().unwrap().ends_with(source), "{key}: {source:?} in {found}");
}

#[test]
fn everything_has_a_value_without_a_file() {
    let home = Home::new();
    let text = home.run(&["config"]).ok().stdout;
    assert!(text.starts_with("file: none\n"), "{text}");
    let values = shown(&home, &[], &[]);
    holds(&values, "cpu", "auto", "built-in");
    holds(&values, "scheduler.policy", "fair", "built-in");
    holds(&values, "no_install", "false", "built-in");
    holds(&values, "budget.tokens", Value::Null, "built-in");
    holds(&values, "data_dir", home.data().to_str().unwrap(), "environment (AGENTOS_DATA_DIR)");
    assert!(!home.data().exists(), "nothing is made");
}

#[test]
fn the_command_line_goes_before_the_environment_before_the_file() {
    let home = Home::new();
    let all = "\
data_dir = \"kept\"
quiet = true
agent = \"research\"
priority = 30
cpu = \"local\"
model = \"from-file\"
window = 4_096
slots = 2
threads = 3
embeddings = \"off\"
no_keep_warm = true
no_install = true

[budget]
tokens = 0x10000
cost = 0.25
steps = 9
calls = 8

[scheduler]
policy = \"fifo\"
slack = 100
";
    home.file(FILE, all);
    let values = shown(&home, &[], &[]);
    let expected = [
        ("quiet", "true", 2),
        ("agent", "research", 3),
        ("priority", "30", 4),
        ("cpu", "local", 5),
        ("model", "from-file", 6),
        ("window", "4096", 7),
        ("slots", "2", 8),
        ("threads", "3", 9),
        ("embeddings", "off", 10),
        ("no_keep_warm", "true", 11),
        ("no_install", "true", 12),
        ("budget.tokens", "65536", 15),
        ("budget.cost", "0.25", 16),
        ("budget.steps", "9", 17),
        ("budget.calls", "8", 18),
        ("scheduler.policy", "fifo", 21),
        ("scheduler.slack", "100", 22),
    ];
    for (key, value, line) in expected {
        holds(&values, key, value, &format!("config.toml:{line}"));
    }
    holds(&values, "verbose", "false", "built-in");
    let values = shown(&home, &[("AGENTOS_MODEL", "from-environment")], &["--data-dir", "here"]);
    holds(&values, "model", "from-environment", "environment (AGENTOS_MODEL)");
    holds(&values, "data_dir", "here", "command line");
    holds(&values, "cpu", "local", "config.toml:5");
    // Without the variable the file says where the data is, from its own folder.
    let kept = home.path(".config/agentos/kept");
    let ended = end(home.agentos(&["config", "--json"]).env_remove("AGENTOS_DATA_DIR")).ok();
    holds(&ended.json()["values"], "data_dir", kept.to_str().unwrap(), "config.toml:1");
    let text = home.run(&["config"]).ok().stdout;
    assert!(
        text.lines().any(|line| line.starts_with("budget.cost") && line.ends_with("config.toml:16")),
        "{text}"
    );
}

/// A run of the scripted model, with the file as it is.
fn asked(home: &Home, more: &[&str]) -> (Ended, Value) {
    let ended = home.ask(ANSWER, more);
    let listed = home.run(&["ps", "--all", "--json", "--no-config"]).ok().json();
    let last = listed["processes"].as_array().unwrap().last().unwrap().clone();
    (ended, last)
}

#[test]
fn runs_have_what_the_file_says() {
    let home = Home::new();
    home.file(
        FILE,
        "priority = 20\nquiet = true\n[budget]\nsteps = 50\ntokens = 90000\ncalls = 7\ncost = \"1.5\"\n",
    );
    let (ended, process) = asked(&home, &[]);
    let ended = ended.ok();
    assert_eq!(ended.stderr.lines().count(), 1, "quiet: {ended:#?}");
    for (limit, expected) in [("calls", 7), ("tokens", 90_000), ("cost", 1_500_000), ("steps", 50)] {
        assert_eq!(process["budget"][limit], expected, "{limit}");
    }
    assert_eq!(process["budget"]["tool_calls"], Value::Null);
    assert_eq!(process["priority"], 20);
    // What the run names goes before, flags that are on can be turned off.
    let (ended, process) = asked(&home, &["--max-tokens", "80000", "--quiet=false", "--name", "mine"]);
    assert!(ended.ok().stderr.lines().count() > 1);
    assert_eq!((&process["budget"]["tokens"], &process["budget"]["calls"]), (&json!(80_000), &json!(7)));
    assert_eq!(process["name"], "mine");
    let (ended, process) = asked(&home, &["--no-config"]);
    ended.ok();
    assert!(process["budget"].as_object().unwrap().values().all(Value::is_null), "{process}");
}

#[test]
fn a_limit_of_calls_suspends_and_is_raised() {
    let home = Home::new();
    let pid = home.ask(ANSWER, &["--max-calls", "1"]).fails(3, &["limit of calls", "--max-calls N"]).pid();
    let ended = home.run(&["resume", &pid, "--max-calls", "9", "--scheduler", "mlfq", "--slots", "1"]).ok();
    assert!(ended.stdout.starts_with("Twelve months."), "{ended:#?}");
}

#[test]
fn the_scheduler_is_the_one_named() {
    let home = Home::new();
    let slow = "[[reply]]\ntext = \"Twelve.\"\ndelay_ms = 60000\n";
    let cpu = home.scripted(slow);
    let seen = |args: &[&str]| {
        let all: Vec<&str> =
            ["run", "--cpu", &cpu].iter().chain(args).chain(&["How many?"]).copied().collect();
        let mut running = home.start(&all);
        let status = home.run(&["top", "--once", "--json"]).ok().json();
        running.kill();
        (status["cpus"][0]["scheduler"].clone(), status["cpus"][0]["slots"].clone())
    };
    home.file(FILE, "slots = 3\n[scheduler]\npolicy = \"priority_rr\"\n");
    assert_eq!(seen(&[]), (json!("priority_rr"), json!(3)));
    assert_eq!(seen(&["--scheduler", "vtc", "--slots", "9"]), (json!("vtc"), json!(9)));
}

#[test]
fn a_wrong_file_is_named_with_line_and_key_and_nothing_is_run() {
    let home = Home::new();
    let cpu = home.scripted(ANSWER);
    let check = |content: &[u8], words: &[&str]| {
        home.file(FILE, content);
        let mut said = vec!["config.toml"];
        said.extend(words);
        home.run(&["run", "--cpu", &cpu, "ask"]).fails(78, &said);
        home.run(&["ps"]).fails(78, &said);
        let object = end(home.agentos(&["config", "--json"]).stdin(std::process::Stdio::null()));
        assert_eq!((object.code, &object.json()["error"]["kind"]), (Some(78), &json!("config")));
        assert!(!home.data().exists(), "nothing was begun");
    };
    check(b"\nnonsense = 1\n", &[":2: ", "nonsense: unknown key", "budget.tokens"]);
    check(b"[budget]\nmoney = 1\n", &[":2: ", "budget.money: unknown key"]);
    check(b"[quotum]\nx = 1\n", &[":1: ", "quotum: unknown key"]);
    check(b"budget = 5\n", &[":1: ", "budget: this is a table: [budget]"]);
    check(b"model = \"a\"\nwindow = \"many\"\n", &[":2: ", "window: is a string, expected a whole number"]);
    check(b"window = 12\n", &[":1: ", "window: \"12\": 12 is not in 256.."]);
    check(b"window = 99999999999999999999\n", &[":1: ", "window"]);
    check(b"priority = -1\n", &[":1: ", "priority", "0 to 100"]);
    check(b"no_install = 1\n", &[":1: ", "no_install: is an integer, expected true or false"]);
    check(b"cpu = \"claude\"\n", &[":1: ", "cpu: \"claude\": one of auto, anthropic"]);
    check(
        b"[scheduler]\n\npolicy = \"lottery\"\n",
        &[":3: ", "scheduler.policy: \"lottery\" is not one of fair, fifo"],
    );
    check(b"[budget]\ncost = 0.0000001\n", &[":2: ", "budget.cost"]);
    check(b"[budget]\ncost = true\n", &[":2: ", "budget.cost: is a boolean, expected an amount"]);
    check(b"window = [1]\n", &["window: is an array"]);
    check(b"a = = 1\n", &[":1: "]);
    check(b"model = \"a\"\nmodel = \"b\"\n", &[":2: ", "model"]);
    check(b"model = \"caf\xe9\"\n", &["cannot read", "UTF-8"]);
    check(&vec![b'#'; 2 << 20], &["longer than"]);
    home.run(&["run", "--no-config", "--cpu", &cpu, "How many?"]).ok();
    home.run(&["ps", "--config", ""]).ok();
    end(home.agentos(&["ps"]).env("AGENTOS_CONFIG", "")).ok();
}

#[test]
fn another_file_is_named_by_flag_or_variable() {
    let home = Home::new();
    home.file(FILE, "wrong");
    home.file("a.toml", "window = 1000\n");
    home.file("b.toml", "window = 2000\n");
    let variable = [("AGENTOS_CONFIG", "a.toml")];
    holds(&shown(&home, &variable, &[]), "window", "1000", "a.toml:1");
    holds(&shown(&home, &variable, &["--config", "b.toml"]), "window", "2000", "b.toml:1");
    holds(&shown(&home, &variable, &["--no-config"]), "window", Value::Null, "built-in");
    home.run(&["ps", "--config", "nowhere.toml"]).fails(78, &["cannot read nowhere.toml", "--no-config"]);
    home.run(&["ps", "--config", "."]).fails(78, &["cannot read ."]);
    let elsewhere = end(home.agentos(&["config", "--json"]).env("XDG_CONFIG_HOME", home.path("xdg"))).ok();
    assert_eq!(elsewhere.json()["file"], Value::Null);
}

#[test]
fn completions_have_the_new_commands_and_flags() {
    let home = Home::new();
    let script = home.run(&["completions", "bash"]).ok().stdout;
    for word in
        ["top", "config", "--interval", "--no-config", "--scheduler", "--slack", "--max-calls", "priority_rr"]
    {
        assert!(script.contains(word), "{word}");
    }
}

#[test]
fn all_rates_are_shown() {
    let home = Home::new();
    home.file(FILE, "rate = \"60 calls/min; 2 usd/day\"\n");
    let values = shown(&home, &[], &[]);
    holds(&values, "rate", "60 calls/min; 2 usd/day", ":1");
}

/// The TOML that the README shows under a heading.
fn readme(heading: &str) -> &'static str {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme.split_once(heading).expect("the README has the heading");
    let (_, block) = section.split_once("```toml\n").expect("with a block");
    block.split_once("```").expect("that ends").0
}

#[test]
fn what_the_readme_shows_is_read() {
    let home = Home::new();
    home.file(FILE, readme("### Configure it"));
    let values = shown(&home, &[], &[]);
    holds(&values, "cpu", "anthropic", "config.toml:1");
    assert_eq!(values["system.rate"]["value"], "2000 calls/h; 5.00 usd/day");
    home.file("work/notes.txt", "The launch is on Friday.");
    let script = home.scripted(readme("### Try it without a model"));
    let folder = home.path("work");
    let args = ["run", "--no-config", "--cpu", &script, "--workspace", folder.to_str().unwrap()];
    let ended = home.run(&[&args[..], &["When is the launch?"]].concat()).ok();
    assert!(ended.stdout.contains("The launch is on Friday."), "{}", ended.stdout);
}
