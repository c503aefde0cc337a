//! all-MiniLM-L6-v2, fetched once: against numbers of another implementation, and files that are not it.

use std::fs;

use kernel_llm::{EmbedError, Embedder, EmbeddingModel, MiniLmEmbedder, open_embedder};

use crate::embed::{cosine, fetched, knows_what_texts_are_about};

const SENTENCE: &str = "The kitten is asleep on the sofa.";
/// The first values of its vector, and of that of the sentence sixty times, which is 600 tokens: from a forward pass in numpy,
/// in 64 bits, with a tokenizer of its own.
const FIRST: [f32; 8] =
    [0.110_986, -0.080_955, -0.013_693, 0.040_695, 0.035_009, 0.032_795, -0.072_875, -0.025_965];
const FIRST_OF_LONG: [f32; 8] =
    [0.025_292, -0.109_743, -0.037_763, -0.007_791, 0.027_252, 0.062_068, -0.048_382, -0.062_876];
/// Cosines of the sentence with two others, from there.
const COSINES: [(&str, f32); 2] =
    [("A cat naps.", 0.544_152), ("Quarterly revenue grew by nine percent.", 0.032_487)];

fn agree(found: &[f32], expected: &[f32]) {
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{found:?} is {worst} from {expected:?}");
}

#[tokio::test]
async fn the_sentence_model_knows_what_texts_are_about() {
    let folder = fetched(EmbeddingModel::MiniLm).await;
    let model = open_embedder(&folder).unwrap();
    assert!(model.model().starts_with("all-MiniLM-L6-v2@"), "{}", model.model());
    knows_what_texts_are_about(&model, 0.2);
}

#[tokio::test]
async fn vectors_are_those_of_another_implementation() {
    let model = MiniLmEmbedder::open(&fetched(EmbeddingModel::MiniLm).await).unwrap();
    let long = [SENTENCE; 60].join(" ");
    let vectors = model.embed(&[SENTENCE, &long, COSINES[0].0, COSINES[1].0]).unwrap();
    assert_eq!(vectors[0].len(), 384);
    agree(&vectors[0][..8], &FIRST);
    agree(&vectors[1][..8], &FIRST_OF_LONG);
    for (vector, (_, expected)) in vectors[2..].iter().zip(COSINES) {
        agree(&[cosine(&vectors[0], vector)], &[expected]);
    }
}

#[test]
fn files_that_are_not_the_model_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let fails = |words: &str| {
        let error = MiniLmEmbedder::open(folder.path()).map(|_| ()).unwrap_err();
        assert!(matches!(&error, EmbedError::Setup(message) if message.contains(words)), "{error}");
    };
    fails("no file *.safetensors");
    write("model.safetensors", "nothing");
    fails("config.json");
    write("config.json", "{}");
    fails("config.json");
    write("config.json", &config(12, 4));
    fails("12 layers and 384 values");
    write("config.json", &config(6, 1));
    fails("tokenizer.json");
    write(
        "tokenizer.json",
        r#"{ "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
            "model": { "type": "WordLevel", "vocab": { "?": 0, "cat": 1 }, "unk_token": "?" } }"#,
    );
    fails("more words than the model's 1");
    write("config.json", &config(6, 4));
    fails("model.safetensors");
}

/// The configuration of a network of so many layers and words.
fn config(layers: usize, words: usize) -> String {
    serde_json::json!({
        "vocab_size": words, "hidden_size": 384, "num_hidden_layers": layers, "num_attention_heads": 12,
        "intermediate_size": 1536, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02,
        "layer_norm_eps": 1e-12, "pad_token_id": 0,
    })
    .to_string()
}
