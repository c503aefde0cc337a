//! The static embedding model, fetched once, what it shares with others, and files that are none.

use std::fs;
use std::path::PathBuf;

use kernel_llm::conformance::embedders_keep_their_contract;
use kernel_llm::{
    EmbedError, Embedder, EmbeddingFiles, EmbeddingModel, FnEmbedder, Install, StaticEmbedder, open_embedder,
};

use crate::served::{Quiet, data_dir};

pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A text, what says about the same in other words, what is about something else.
const SUBJECTS: [[&str; 3]; 3] = [
    ["The kitten is asleep on the sofa.", "A cat naps.", "Quarterly revenue grew by nine percent."],
    ["How do I cook rice?", "Boil the grains in salted water.", "The train to Lyon leaves at noon."],
    ["She was afraid of the storm.", "Thunder frightened her.", "Install the update and restart."],
];

/// The folder of a model, fetched once a machine.
pub(crate) async fn fetched(model: EmbeddingModel) -> PathBuf {
    let files = EmbeddingFiles::new(model, data_dir());
    let folder = files.install(Install::Yes, None, &Quiet).await.expect("fetched over the network once");
    assert_eq!(files.folder(), Some(folder.clone()));
    assert_eq!(files.missing(), None);
    folder
}

/// What every model that learned something passes: the contract, and that it tells subjects apart by `margin`.
pub(crate) fn knows_what_texts_are_about(model: &dyn Embedder, margin: f32) {
    embedders_keep_their_contract(model);
    assert!(model.embed(&[""]).unwrap()[0].iter().all(|value| *value == 0.0), "of nothing, nothing");
    for texts in SUBJECTS {
        let vectors = model.embed(&texts).unwrap();
        let (alike, other) = (cosine(&vectors[0], &vectors[1]), cosine(&vectors[0], &vectors[2]));
        assert!(alike > other + margin, "{alike} and {other}: {texts:?}");
        let length = cosine(&vectors[0], &vectors[0]);
        assert!((length - 1.0).abs() < 1e-5, "{length}: {texts:?}");
    }
}

#[tokio::test]
async fn the_static_model_knows_what_texts_are_about() {
    let folder = fetched(EmbeddingModel::Static).await;
    let model = StaticEmbedder::open(&folder).unwrap();
    assert!(model.model().starts_with("l2_supercat_256@"), "{}", model.model());
    knows_what_texts_are_about(&model, 0.1);
    assert_eq!(open_embedder(&folder).unwrap().model(), model.model());
}

#[tokio::test]
async fn without_leave_nothing_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    for (model, bytes, name) in [
        (EmbeddingModel::Static, 19_155_170, "wordllama"),
        (EmbeddingModel::MiniLm, 83_506_384, "all-MiniLM-L6-v2"),
    ] {
        let files = EmbeddingFiles::new(model, folder.path().join("data"));
        assert_eq!(files.folder(), None);
        let plan = files.missing().unwrap();
        assert_eq!(plan.download_bytes, bytes);
        let error = files.install(Install::No, None, &Quiet).await.unwrap_err();
        assert!(error.message().contains("refused") && error.message().contains(name), "{error}");
    }
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_function_is_an_embedder() {
    embedders_keep_their_contract(&FnEmbedder::new("lengths", |text| Ok(vec![text.len() as f32])));
}

#[test]
fn files_that_are_no_model_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |words: &str| {
        let error = StaticEmbedder::open(folder.path()).map(|_| ()).unwrap_err();
        assert!(matches!(&error, EmbedError::Setup(message) if message.contains(words)), "{error}");
    };
    fails("no file *.safetensors");
    fs::write(folder.path().join("a.safetensors"), "nothing").unwrap();
    fails("no file *tokenizer*.json");
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    fails("a.safetensors");
    let header = r#"{"t":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&[0; 8]);
    fs::write(folder.path().join("a.safetensors"), bytes).unwrap();
    fails("tokenizer.json");
    let nowhere = StaticEmbedder::open(&folder.path().join("nowhere")).map(|_| ()).unwrap_err();
    assert!(nowhere.to_string().contains("nowhere"));
}

/// Builds with it open the folder; their tests are in `minilm.rs`.
#[cfg(not(feature = "embed-minilm"))]
#[test]
fn a_model_of_a_feature_that_is_not_built_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.safetensors"), "").unwrap();
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let error = open_embedder(folder.path()).map(|_| ()).unwrap_err();
    assert!(matches!(error, EmbedError::Unsupported { feature: "embed-minilm", .. }), "{error}");
}
