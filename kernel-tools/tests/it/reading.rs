//! `list_dir`, `read_file` and `search_files`: what they answer, and how they fail.

use kernel_tools::ToolErrorKind;
use serde_json::json;

use crate::folder::Folder;

#[tokio::test]
async fn a_folder_is_listed_sorted_and_with_sizes() {
    let folder = Folder::of(&[("b.txt", "12345"), ("a/x.md", "1"), ("a/y/z.md", ""), ("a-b.txt", "")]);
    folder.link("b.txt", "link");
    folder.check("list_dir", json!({}), "a/\na-b.txt 0\nb.txt 5\nlink (a symbolic link, not followed)").await;
    folder.check("list_dir", json!({"path": "a", "depth": 2}), "a/x.md 1\na/y/\na/y/z.md 0").await;
    let output = folder.call("list_dir", json!({"path": "a"})).await.unwrap();
    assert_eq!(output.data.value()["entries"][0], json!({"path": "a/x.md", "kind": "file", "bytes": 1}));
}

#[tokio::test]
async fn ignore_rules_are_honoured_and_counted() {
    let folder = Folder::of(&[
        (".gitignore", "*.log\n/target\n!keep.log\n"),
        (".git/config", ""),
        ("a.log", ""),
        ("keep.log", ""),
        ("target/x", ""),
        ("sub/.gitignore", "*.md\n!/up.md\n"),
        ("sub/down.md", ""),
        ("sub/up.md", ""),
        ("sub/target", ""),
        ("top.md", ""),
        ("other/.ignore", "private\n"),
        ("other/private", ""),
    ]);
    let listed = "keep.log 0\nother/\nsub/\nsub/target 0\nsub/up.md 0\ntop.md 0\n(8 paths left out: hidden or ignored)";
    folder.check("list_dir", json!({"depth": 8}), listed).await;
    // The rules above a folder count within it; what was named is listed even if they leave it out.
    folder.write("sub/b.log", "");
    let listed = "sub/target 0\nsub/up.md 0\n(3 paths left out: hidden or ignored)";
    folder.check("list_dir", json!({"path": "sub"}), listed).await;
    folder.check("list_dir", json!({"path": "target"}), "target/x 0").await;
}

#[tokio::test]
async fn a_large_folder_is_cut_and_says_so() {
    let folder = Folder::new();
    for n in 0..620 {
        folder.write(&format!("{n:03}"), "");
    }
    let output = folder.call("list_dir", json!({})).await.unwrap();
    assert_eq!(output.data.value()["left_out"], 120);
    assert!(output.text.ends_with("499 0\n(120 more entries are not shown: list a folder further down)"));
    folder.check("list_dir", json!({"path": "."}), &output.text).await;
}

#[tokio::test]
async fn an_empty_folder_is_listed() {
    Folder::new().check("list_dir", json!({}), "nothing to list").await;
}

#[tokio::test]
async fn what_the_host_denies_is_left_out_and_counted() {
    let folder =
        Folder::of(&[("secret/a", "find me"), ("open/secret.txt", "find me"), ("open/a", "find me")]);
    let listed = folder.call_denied("list_dir", json!({"depth": 3})).await.unwrap();
    assert_eq!(listed.text, "open/\nopen/a 7\n(2 paths left out: no capability to read)");
    let found = folder.call_denied("search_files", json!({"pattern": "find"})).await.unwrap();
    assert_eq!(found.text, "open/a:1: find me\n(2 paths left out: no capability to read)");
    for (tool, path) in
        [("list_dir", "secret"), ("read_file", "secret/a"), ("read_file", "./open//secret.txt")]
    {
        let denied = folder.call_denied(tool, json!({"path": path})).await.unwrap_err();
        assert_eq!(denied.kind(), ToolErrorKind::Denied);
    }
    assert!(folder.call_denied("read_file", json!({"path": "open/a"})).await.unwrap().success);
}

#[tokio::test]
async fn a_file_is_read_with_line_numbers() {
    let folder = Folder::of(&[("a.txt", "one\r\ntwo\n\nfour"), ("empty", "")]);
    folder
        .check("read_file", json!({"path": "a.txt"}), "     1\tone\n     2\ttwo\n     3\t\n     4\tfour\n")
        .await;
    folder
        .check("read_file", json!({"path": "a.txt", "first_line": 2, "last_line": 2.0}), "     2\ttwo\n")
        .await;
    folder.check("read_file", json!({"path": "empty"}), "empty is empty").await;
    let output = folder.call("read_file", json!({"path": "a.txt", "last_line": 2})).await.unwrap();
    assert_eq!(*output.attachments[0], *"one\r\ntwo\n");
    let hash = blake3::hash(b"one\r\ntwo\n\nfour").to_hex().to_string();
    assert_eq!(
        output.data.value(),
        json!({"path": "a.txt", "first_line": 1, "last_line": 2, "lines": 4, "bytes": 14, "file": hash, "complete": true,
            "attachment": 0})
    );
}

#[tokio::test]
async fn a_large_file_comes_in_parts_that_make_it_whole() {
    let text: String = (1..=20_000).map(|n| format!("line number {n}\n")).collect();
    let folder = Folder::of(&[("big.txt", &text)]);
    let (mut read, mut first_line) = (String::new(), 1);
    loop {
        let output =
            folder.call("read_file", json!({"path": "big.txt", "first_line": first_line})).await.unwrap();
        assert!(output.attachments[0].len() <= 64 * 1024);
        read += &output.attachments[0];
        let data = output.data.value();
        if data["complete"] == true {
            break;
        }
        first_line = data["last_line"].as_u64().unwrap() + 1;
        assert!(output.text.ends_with(&format!("(cut at 64 kB: go on with first_line {first_line})")));
    }
    assert_eq!(read, text);
}

#[tokio::test]
async fn a_line_above_the_limit_is_cut_and_says_so() {
    let folder = Folder::of(&[("long", &format!("{}\nnext\n", "ä".repeat(50_000)))]);
    let output = folder.call("read_file", json!({"path": "long"})).await.unwrap();
    assert!(
        output.text.ends_with("(line 1 has 100001 bytes: the rest of it is not shown)"),
        "{}",
        output.text.len()
    );
    folder.check("read_file", json!({"path": "long", "first_line": 2}), "     2\tnext\n").await;
}

#[tokio::test]
async fn a_range_outside_of_the_file_is_answered() {
    let folder = Folder::of(&[("a", "1\n2\n")]);
    folder.check_fails("read_file", json!({"path": "a", "first_line": 3}), "a has only 2 lines").await;
    folder
        .check_fails(
            "read_file",
            json!({"path": "a", "first_line": 2, "last_line": 1}),
            "is before first_line",
        )
        .await;
}

#[tokio::test]
async fn what_is_no_text_file_says_what_it_is() {
    let folder = Folder::of(&[("folder/x", "")]);
    folder.write("binary", b"\x7fELF\0\0");
    folder.write("latin1", b"caf\xe9");
    folder.link("latin1", "link");
    for (path, reason) in [
        ("nothing", "nothing does not exist"),
        ("folder/nothing", "folder/nothing does not exist"),
        ("no/nothing", "no does not exist"),
        ("folder", "folder is a folder, not a file"),
        ("latin1/x", "latin1 is a file, not a folder"),
        ("binary", "binary is binary"),
        ("latin1", "latin1 is not valid UTF-8 (at byte 3)"),
        ("link", "link is a symbolic link to latin1; links are not followed"),
        (".", "is not a file"),
    ] {
        let output = folder.call("read_file", json!({"path": path})).await.unwrap();
        assert!(!output.success && (output.text.contains(reason) || path == "."), "{path}: {}", output.text);
    }
}

#[tokio::test]
async fn matches_are_answered_in_order_with_their_places() {
    let folder = Folder::of(&[("b.txt", "no\nneedle 2\r\n"), ("a/x.md", "needle 1\nNeedle\n"), ("c", "")]);
    folder.check("search_files", json!({"pattern": "needle"}), "a/x.md:1: needle 1\nb.txt:2: needle 2").await;
    folder
        .check("search_files", json!({"pattern": "^needle$", "ignore_case": true}), "a/x.md:2: Needle")
        .await;
    folder.check("search_files", json!({"pattern": "needle", "path": "b.txt"}), "b.txt:2: needle 2").await;
    folder.check("search_files", json!({"pattern": "needle", "path": "a"}), "a/x.md:1: needle 1").await;
    folder.check("search_files", json!({"pattern": "haystack"}), "no match in 3 files").await;
    let output = folder.call("search_files", json!({"pattern": "needle 2"})).await.unwrap();
    assert_eq!(output.data.value()["matches"], json!([{"path": "b.txt", "line": 2, "text": "needle 2"}]));
}

#[tokio::test]
async fn matches_are_bounded() {
    let folder = Folder::of(&[
        ("a", &"x\n".repeat(100)),
        ("b", "x\n"),
        ("long", &format!("{0}y{0}\n", "ä".repeat(5_000))),
    ]);
    let output = folder.call("search_files", json!({"pattern": "x", "max": 2})).await.unwrap();
    assert_eq!(
        output.text,
        "a:1: x\na:2: x\n(there are more than 2 matches: narrow the pattern or the path)"
    );
    assert_eq!(output.data.value()["complete"], false);
    let all = folder.call("search_files", json!({"pattern": "x", "max": 101})).await.unwrap();
    assert_eq!(all.data.value()["complete"], true);
    let long = folder.call("search_files", json!({"pattern": "y"})).await.unwrap();
    assert!(long.text.len() < 400 && long.text.contains('y'), "{}", long.text);
}

#[tokio::test]
async fn a_pattern_that_is_no_regular_expression_is_answered() {
    let folder = Folder::of(&[("a", "(\n")]);
    for pattern in ["(", "a{2", "[z-a]", "\\", "a\\nb", "x{1000000}{1000}"] {
        folder.check_fails("search_files", json!({"pattern": pattern}), "not a regular expression").await;
    }
    folder.check("search_files", json!({"pattern": "\\("}), "a:1: (").await;
}

#[tokio::test]
async fn a_search_passes_over_what_is_no_text() {
    let folder = Folder::of(&[("a", "needle\n")]);
    folder.write("binary", b"needle\n\0needle\n");
    folder.link("a", "link");
    let found = "a:1: needle\n(2 files not searched: links, binary, large or unreadable)";
    folder.check("search_files", json!({"pattern": "needle"}), found).await;
    folder.check_fails("search_files", json!({"pattern": "x", "path": "link"}), "symbolic link").await;
    folder.check_fails("search_files", json!({"pattern": "x", "path": "nothing"}), "does not exist").await;
}
