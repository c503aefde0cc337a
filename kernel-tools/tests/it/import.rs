//! `import_dir`: the whole text of a folder, in pages, over as many calls as it takes.

use std::collections::BTreeMap;
use std::fs::File;

use kernel_types::Hash;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::folder::Folder;

/// All answers of an import, put together.
#[derive(Default, Debug)]
pub(crate) struct Imported {
    /// The files by path, from their pages.
    pub(crate) files: BTreeMap<String, String>,
    /// Paths in the order of their pages.
    pub(crate) order: Vec<String>,
    pub(crate) skipped: Vec<(String, String)>,
    pub(crate) complete: u64,
    pub(crate) calls: usize,
}

impl Imported {
    fn add(&mut self, data: &Value, attachments: &[std::sync::Arc<str>]) {
        for page in data["pages"].as_array().unwrap() {
            let text = &attachments[usize::try_from(page["attachment"].as_u64().unwrap()).unwrap()];
            assert_eq!(page["bytes"], text.len());
            let path = page["path"].as_str().unwrap().to_owned();
            let file = self.files.entry(path.clone()).or_default();
            let lines = |text: &str| u64::try_from(text.matches('\n').count()).unwrap();
            assert_eq!(page["first_line"], lines(file) + 1, "{page}");
            *file += text;
            assert_eq!(page["last_line"], lines(file) + u64::from(!file.ends_with('\n')), "{page}");
            page["file"].as_str().unwrap().parse::<Hash>().unwrap();
            self.order.push(path);
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let skipped = data["skipped"].as_array().unwrap();
        self.skipped.extend(skipped.iter().map(|skip| (text(&skip["path"]), text(&skip["reason"]))));
        self.complete += data["files"].as_u64().unwrap();
        self.calls += 1;
    }

    pub(crate) fn reason(&self, path: &str) -> &str {
        let skipped: Vec<_> = self.skipped.iter().filter(|(skipped, _)| skipped == path).collect();
        assert_eq!(skipped.len(), 1, "{path} in {:?}", self.skipped);
        &skipped[0].1
    }
}

/// One call; the cursor to go on with.
pub(crate) async fn step(folder: &Folder, imported: &mut Imported, args: Value) -> Option<String> {
    let max = args["max_bytes"].as_u64().unwrap_or(256 * 1024);
    let output = folder.call("import_dir", args).await.unwrap();
    assert!(output.success, "{}", output.text);
    let data = output.data.value();
    assert!(data["bytes"].as_u64().unwrap() <= max);
    imported.add(&data, &output.attachments);
    data["cursor"].as_str().map(str::to_owned)
}

/// Imports a folder, `max_bytes` a call.
pub(crate) async fn import(folder: &Folder, path: &str, max_bytes: u64) -> Imported {
    let mut imported = Imported::default();
    let mut args = json!({"path": path, "max_bytes": max_bytes});
    while let Some(cursor) = step(folder, &mut imported, args.clone()).await {
        args["cursor"] = json!(cursor);
        assert!(imported.calls < 10_000, "no progress");
    }
    for (path, text) in &imported.files {
        assert_eq!(*text, folder.read(path), "{path}");
    }
    imported
}

#[tokio::test]
async fn all_text_files_come_in_the_order_of_their_paths() {
    let folder = Folder::of(&[
        ("b.md", "b\r\n\r\nb"),
        ("a/x", "x"),
        ("a-b", "ab"),
        ("a/y/z", "z"),
        (".hidden", "h"),
        ("n", "\n\n"),
    ]);
    let imported = import(&folder, ".", 256 * 1024).await;
    assert_eq!(imported.order, ["a/x", "a/y/z", "a-b", "b.md", "n"]);
    assert_eq!((imported.complete, imported.calls), (5, 1));
    let part = import(&folder, "a", 4096).await;
    assert_eq!(part.order, ["a/x", "a/y/z"]);
}

#[tokio::test]
async fn pages_name_their_place_in_the_file() {
    let text = "word word word word word word word\n".repeat(60);
    let folder = Folder::of(&[("a", &text)]);
    let output = folder.call("import_dir", json!({})).await.unwrap();
    let data = output.data.value();
    let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
    let first =
        json!({"path": "a", "first_line": 1, "last_line": 28, "file": hash, "attachment": 0, "bytes": 980});
    assert_eq!(data["pages"][0], first);
    assert_eq!(data["pages"][1]["first_line"], 29);
    assert_eq!(
        (data["files"].as_u64(), data["bytes"].as_u64(), data["cursor"].is_null()),
        (Some(1), Some(2100), true)
    );
    assert!(output.text.starts_with("imported 2 pages (2100 bytes) of 1 complete file"), "{}", output.text);
}

#[tokio::test]
async fn an_import_goes_on_where_it_stopped() {
    let text = |n: usize| (0..n).map(|line| format!("line {line} of {n}\n")).collect::<String>();
    let (a, b, c) = (text(3), text(2_000), text(700));
    let folder = Folder::of(&[("a", &a), ("b", &b), ("c/d", &c), ("e", "")]);
    for max_bytes in [4_096, 5_000, 10_000, 1_000_000] {
        let imported = import(&folder, ".", max_bytes).await;
        assert_eq!(imported.files.len(), 3);
        assert_eq!((imported.complete, imported.reason("e")), (3, "it is empty"));
        assert!(imported.calls as u64 >= (a.len() + b.len() + c.len()) as u64 / max_bytes);
    }
}

#[tokio::test]
async fn many_small_and_many_skipped_files_are_cut_as_well() {
    let folder = Folder::new();
    for n in 0..1_300 {
        folder.write(&format!("text/{n}"), format!("{n}"));
        folder.write(&format!("void/{n}"), "");
    }
    let imported = import(&folder, ".", 4 * 1024 * 1024).await;
    assert_eq!((imported.files.len(), imported.skipped.len()), (1_300, 1_300));
    assert!(imported.calls >= 3, "{}", imported.calls);
}

#[tokio::test]
async fn a_file_that_changes_in_between_is_left_at_that() {
    let folder = Folder::of(&[("a", &"a line\n".repeat(2_000)), ("b", "b")]);
    let mut imported = Imported::default();
    let cursor = step(&folder, &mut imported, json!({"max_bytes": 4096})).await.unwrap();
    folder.write("a", "changed\n".repeat(2_000));
    assert_eq!(step(&folder, &mut imported, json!({"max_bytes": 4096, "cursor": cursor})).await, None);
    assert!(imported.reason("a").contains("changed"));
    assert_eq!((imported.files["b"].as_str(), imported.complete), ("b", 1));
}

#[tokio::test]
async fn a_file_that_vanishes_in_between_is_reported() {
    for last in [true, false] {
        let folder = Folder::of(&[("b", &"a line\n".repeat(2_000))]);
        if !last {
            folder.write("c", "c");
        }
        let mut imported = Imported::default();
        let cursor = step(&folder, &mut imported, json!({"max_bytes": 4096})).await.unwrap();
        std::fs::remove_file(folder.at("b")).unwrap();
        folder.write("a", "new, and before the cursor");
        assert_eq!(step(&folder, &mut imported, json!({"max_bytes": 4096, "cursor": cursor})).await, None);
        assert!(imported.reason("b").contains("vanished"));
        assert_eq!(imported.files.contains_key("c"), !last);
        assert!(!imported.files.contains_key("a"));
    }
}

#[tokio::test]
async fn a_cursor_of_someone_else_is_answered() {
    let folder = Folder::of(&[("a", "a"), ("secret", "s")]);
    folder.check_fails("import_dir", json!({"cursor": "hello"}), "leave it out to begin anew").await;
    let zero = Hash::ZERO;
    for path in ["../../etc/passwd", "/etc/passwd", "zzz"] {
        let output =
            folder.call("import_dir", json!({"cursor": format!("1:0:0:{zero}:{path}")})).await.unwrap();
        assert!(output.success && output.attachments.iter().all(|text| ["a", "s"].contains(&&**text)));
    }
    let forged = json!({"cursor": format!("1:0:0:{zero}:secret")});
    assert!(folder.call_denied("import_dir", forged).await.unwrap().attachments.is_empty());
}

#[tokio::test]
async fn what_the_host_denies_is_counted_and_not_named() {
    let folder = Folder::of(&[("secret/a", "s"), ("b", "b")]);
    let output = folder.call_denied("import_dir", json!({})).await.unwrap();
    assert_eq!((output.attachments.len(), output.data.value()["denied"].as_u64()), (1, Some(1)));
    assert!(!output.data.as_str().contains("secret"));
}

#[tokio::test]
async fn an_import_ends_at_its_limit_and_says_so() {
    let folder = Folder::of(&[("a", "12345"), ("b", "123456"), ("c", "1")]);
    File::create(folder.at("aa")).unwrap().set_len(4 * 1024 * 1024 + 1).unwrap();
    let before = 64 * 1024 * 1024 - 10;
    let mut imported = Imported::default();
    let cursor = format!("1:0:{before}:{}:a", Hash::ZERO);
    assert_eq!(step(&folder, &mut imported, json!({"cursor": cursor})).await, None);
    assert_eq!(imported.order, ["a"]);
    assert!(imported.reason("aa").contains("4194305 bytes, more than the 4194304"));
    assert!(imported.reason("b").contains("64 MB"));
    assert_eq!(imported.skipped.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_folder_is_imported_byte_for_byte(
        files in prop::collection::btree_map("[a-c-]{1,3}(/[a-c]{1,2}){0,2}", "([a-z漢\r ]{0,90}\n?){0,200}", 0..12),
        max_bytes in 4_096..20_000u64,
    ) {
        let folder = Folder::new();
        let mut expected = BTreeMap::new();
        for (path, text) in files {
            let path = path.trim_start_matches('-').to_owned();
            let at = folder.at(&path);
            if path.is_empty() || path.starts_with('/') || at.is_dir() || at.ancestors().any(|above| above.is_file()) {
                continue;
            }
            folder.write(&path, &text);
            if !text.is_empty() {
                expected.insert(path, text);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let imported = runtime.block_on(import(&folder, ".", max_bytes));
        prop_assert_eq!(imported.files, expected);
    }
}
