//! The embedding model, fetched once, and files that are none.

use std::fs;

use kernel_llm::conformance::embedders_keep_their_contract;
use kernel_llm::{
    EmbedError, Embedder, EmbeddingFiles, FnEmbedder, Install, InstallPlan, SetupEvent, SetupSink,
    StaticEmbedder,
};

struct Quiet;

impl SetupSink for Quiet {
    fn event(&self, _: SetupEvent) {}

    fn approve(&self, _: &InstallPlan) -> bool {
        true
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn the_small_model_knows_what_texts_are_about() {
    let files = EmbeddingFiles::new(crate::served::data_dir());
    let folder = files.install(Install::Yes, None, &Quiet).await.expect("fetched over the network once");
    assert_eq!(files.folder(), Some(folder.clone()));
    assert_eq!(files.missing(), None);
    let model = StaticEmbedder::open(&folder).unwrap();
    assert!(model.model().starts_with("l2_supercat_256@"), "{}", model.model());
    embedders_keep_their_contract(&model);
    let texts =
        ["The kitten is asleep on the sofa.", "A cat naps.", "Quarterly revenue grew by nine percent."];
    let vectors = model.embed(&texts).unwrap();
    let (alike, other) = (cosine(&vectors[0], &vectors[1]), cosine(&vectors[0], &vectors[2]));
    assert!(alike > other + 0.2, "{alike} and {other}");
}

#[tokio::test]
async fn without_leave_nothing_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let files = EmbeddingFiles::new(folder.path().join("data"));
    assert_eq!(files.folder(), None);
    let plan = files.missing().unwrap();
    assert_eq!(plan.download_bytes, 19_155_170);
    let error = files.install(Install::No, None, &Quiet).await.unwrap_err();
    assert!(error.message().contains("refused") && error.message().contains("wordllama"), "{error}");
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
