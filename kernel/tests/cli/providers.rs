//! Providers that refuse, are not there, or do not know the model.

use crate::home::{Ended, Home, end};
use crate::loopback::Provider;

const KEY: &str = "sk-test-0123456789abcdef";

/// Runs with this provider; `name` is ANTHROPIC or OPENAI.
fn ask(home: &Home, name: &str, url: &str) -> Ended {
    home.file("work/a.txt", "Nothing of that sort.\n");
    let cpu = name.to_lowercase();
    let model = if name == "OPENAI" { "gpt-5-mini" } else { "claude-sonnet-4-5" };
    let mut command = home.agentos(&["run", "--cpu", &cpu, "--model", model, "--workspace", "work", "ask"]);
    end(command.env(format!("{name}_BASE_URL"), url).env(format!("{name}_API_KEY"), KEY))
}

#[test]
fn a_wrong_key_is_a_matter_of_configuration_and_stays_secret() {
    let provider = Provider::new(|_| {
        (401, format!(r#"{{"error":{{"type":"authentication_error","message":"invalid key {KEY}"}}}}"#))
    });
    for name in ["ANTHROPIC", "OPENAI"] {
        let home = Home::new();
        let ended = ask(&home, name, &provider.url).fails(78, &["_API_KEY"]);
        assert!(!format!("{ended:?}").contains(KEY), "{ended:#?}");
        let database = std::fs::read(home.data().join("agentos.db")).unwrap();
        assert!(!database.windows(KEY.len()).any(|bytes| bytes == KEY.as_bytes()));
        assert_eq!(home.run(&["ps", "--all", "--json"]).ok().json()["processes"], serde_json::json!([]));
    }
}

#[test]
fn no_network_is_said_at_once() {
    for name in ["ANTHROPIC", "OPENAI"] {
        let ended = ask(&Home::new(), name, &Provider::nobody());
        ended.fails(69, &["check the network"]);
    }
}

#[test]
fn a_model_that_the_provider_does_not_know_is_named() {
    let provider = Provider::new(|request| {
        if request.starts_with("get") {
            return (200, r#"{"data":[]}"#.to_owned());
        }
        (
            404,
            r#"{"error":{"type":"not_found_error","code":"model_not_found","message":"no such model"}}"#
                .to_owned(),
        )
    });
    for name in ["ANTHROPIC", "OPENAI"] {
        let home = Home::new();
        let ended = ask(&home, name, &provider.url).fails(78, &["no such model", "--model"]);
        let kept = home.run(&["ps", "--all", "--json"]).ok().json();
        assert_eq!(kept["processes"][0]["pid"], ended.pid().as_str(), "the process is there to be looked at");
    }
}

#[test]
fn without_any_key_a_provider_says_which_variable() {
    let home = Home::new();
    home.run(&["run", "--cpu", "anthropic", "ask"]).fails(78, &["ANTHROPIC_API_KEY"]);
    home.run(&["run", "--cpu", "openai", "ask"]).fails(78, &["OPENAI_API_KEY"]);
}
