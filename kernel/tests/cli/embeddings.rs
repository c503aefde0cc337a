//! `--embeddings` and `agentos setup embeddings`, with a model of three words.

use crate::home::{ANSWER, Ended, Home, end};

/// Tokens of the model and their vectors.
const TOKENIZER: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
    "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
    "model": { "type": "WordLevel", "vocab": { "?": 0, "cat": 1, "pet": 2 }, "unk_token": "?" }
}"#;
const ROWS: [[f32; 2]; 3] = [[0.0, 0.0], [1.0, 0.1], [1.0, -0.1]];

/// A home with the model in the folder `model`, and a workspace with one file.
fn home() -> Home {
    let home = Home::new();
    let header = r#"{"rows":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]}}"#;
    let mut weights = (header.len() as u64).to_le_bytes().to_vec();
    weights.extend_from_slice(header.as_bytes());
    weights.extend(ROWS.iter().flatten().flat_map(|value| value.to_le_bytes()));
    home.file("model/tiny.safetensors", weights);
    home.file("model/tokenizer.json", TOKENIZER);
    home.file("work/animals.txt", "The cat sleeps.\n");
    home
}

fn ask(home: &Home, more: &[&str]) -> Ended {
    let cpu = home.scripted(ANSWER);
    let mut args = vec!["run", "--cpu", &cpu, "--workspace", "work", "Which pet naps?"];
    args.extend(more);
    home.run(&args)
}

#[test]
fn a_page_is_recalled_by_what_it_means() {
    let home = home();
    let recalled = |ended: Ended| {
        ended.ok().stderr.lines().find(|line| line.starts_with("recalled: ")).map(str::to_owned)
    };
    let said = recalled(ask(&home, &["--embeddings", "model"])).unwrap();
    assert!(said.starts_with("recalled: 1 page"), "{said}");
    for without in [&[][..], &["--embeddings", "off"]] {
        let said = recalled(ask(&home, without)).unwrap();
        assert!(said.starts_with("recalled: 0 pages"), "{said}");
    }
}

#[test]
fn a_folder_without_a_model_is_a_wrong_configuration() {
    let home = home();
    ask(&home, &["--embeddings", "nowhere"]).fails(78, &["nowhere", "--embeddings off"]);
    ask(&home, &["--embeddings", "work"]).fails(78, &["no file *.safetensors"]);
}

#[test]
fn setup_says_what_it_needs() {
    let home = home();
    let doctor = home.run(&["doctor"]);
    assert!(doctor.stdout.contains("agentos setup embeddings"), "{doctor:#?}");
    let mut command = home.agentos(&["setup", "embeddings"]);
    end(command.env("PATH", "")).fails(69, &["python3"]);
    let mut command = home.agentos(&["setup", "embeddings", "--model", "minilm"]);
    end(command.env("PATH", "")).fails(if cfg!(feature = "embed-minilm") { 69 } else { 78 }, &[]);
    home.run(&["setup", "embeddings", "--model", "large"]).fails(2, &["minilm"]);
    home.run(&["setup"]).fails(2, &["subcommand"]);
}

/// A build with the feature fetches it instead.
#[cfg(not(feature = "embed-minilm"))]
#[test]
fn a_model_that_is_not_built_in_is_refused() {
    let home = home();
    home.run(&["setup", "embeddings", "--model", "minilm"]).fails(78, &["embed-minilm", "cargo build"]);
    home.file("model/config.json", "{}");
    ask(&home, &["--embeddings", "model"]).fails(78, &["embed-minilm", "--embeddings off"]);
}

/// The feature says what is missing, file by file.
#[cfg(feature = "embed-minilm")]
#[test]
fn a_folder_with_a_network_is_read_as_one() {
    let home = home();
    home.file("model/config.json", "{}");
    ask(&home, &["--embeddings", "model"]).fails(78, &["config.json", "missing field", "--embeddings off"]);
}
