//! `write_file`: whole or not at all, once for one key, and only where it may.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use kernel_tools::{CallContext, Driver, NullHost, ToolErrorKind, WriteFile};
use serde_json::{Value, json};

use crate::folder::{Folder, request};

fn names(folder: &Folder) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_created_with_its_folders() {
    let folder = Folder::new();
    folder
        .check("write_file", json!({"path": "./a//b/c.md", "content": "hällo"}), "created a/b/c.md (6 bytes)")
        .await;
    assert_eq!(folder.read("a/b/c.md"), "hällo");
    assert_eq!(names(&folder), ["a"]);
}

#[tokio::test]
async fn a_file_is_replaced_only_if_asked() {
    let folder = Folder::of(&[("a", "old")]);
    folder.check_fails("write_file", json!({"path": "a", "content": "new"}), "a exists already").await;
    assert_eq!(folder.read("a"), "old");
    folder
        .check(
            "write_file",
            json!({"path": "a", "content": "new", "mode": "overwrite"}),
            "replaced a (3 bytes)",
        )
        .await;
    assert_eq!(folder.read("a"), "new");
    let created = json!({"path": "b", "content": "", "mode": "overwrite"});
    folder.check("write_file", created, "created b (0 bytes)").await;
    assert_eq!(names(&folder), ["a", "b"]);
}

#[tokio::test]
async fn a_file_keeps_its_permissions() {
    let folder = Folder::of(&[("run.sh", "old")]);
    std::fs::set_permissions(folder.at("run.sh"), std::fs::Permissions::from_mode(0o750)).unwrap();
    folder
        .call("write_file", json!({"path": "run.sh", "content": "new", "mode": "overwrite"}))
        .await
        .unwrap();
    assert_eq!(folder.at("run.sh").metadata().unwrap().mode() & 0o777, 0o750);
}

#[tokio::test]
async fn a_key_is_written_once_even_if_the_file_changed_since() {
    let folder = Folder::new();
    let driver = WriteFile::new(folder.open());
    let call = async |seq, content: &str| {
        let args = json!({"path": "a", "content": content, "mode": "overwrite"});
        driver.call(&request(seq, "write_file", args), &NullHost::context()).await.unwrap().text
    };
    assert_eq!(call(0, "mine").await, "created a (4 bytes)");
    assert_eq!(call(1, "theirs").await, "replaced a (6 bytes)");
    assert_eq!(call(0, "mine").await, "created a (4 bytes)");
    assert_eq!(folder.read("a"), "theirs");
}

#[tokio::test]
async fn a_repetition_after_a_restart_changes_nothing() {
    let folder = Folder::new();
    let args = || json!({"path": "a", "content": "text"});
    folder.check("write_file", args(), "created a (4 bytes)").await;
    let before = folder.at("a").metadata().unwrap();
    // A fresh driver remembers nothing.
    folder.check("write_file", args(), "unchanged a (4 bytes)").await;
    let after = folder.at("a").metadata().unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
}

#[tokio::test]
async fn what_a_killed_kernel_left_is_cleared_by_the_repetition() {
    let folder = Folder::new();
    let key = request(0, "write_file", Value::Null).key;
    let draft = format!(".write-{}", &blake3::hash(key.to_string().as_bytes()).to_hex()[..16]);
    folder.write(&draft, "half of the te");
    folder.check("write_file", json!({"path": "a", "content": "text"}), "created a (4 bytes)").await;
    assert_eq!(names(&folder), ["a"]);
}

#[tokio::test]
async fn a_link_is_neither_followed_nor_replaced() {
    let folder = Folder::of(&[("target", "old"), ("inside/x", "")]);
    folder.link("target", "link");
    folder.link("nowhere", "dangling");
    folder.link("inside", "folder-link");
    folder.link("../../outside", "out");
    std::fs::write(folder.private().join("outside"), "untouched").unwrap();
    for path in ["link", "dangling", "folder-link/new", "out"] {
        let args = json!({"path": path, "content": "new", "mode": "overwrite"});
        folder.check_fails("write_file", args, "symbolic link").await;
    }
    folder.check_fails("write_file", json!({"path": "inside", "content": ""}), "inside is a folder").await;
    folder.check_fails("write_file", json!({"path": "target/x", "content": ""}), "target is a file").await;
    folder.check_fails("write_file", json!({"path": ".", "content": ""}), "is a folder").await;
    assert_eq!(folder.read("target"), "old");
    assert!(!folder.at("inside/new").exists());
    assert_eq!(std::fs::read_to_string(folder.private().join("outside")).unwrap(), "untouched");
}

#[tokio::test]
async fn nothing_is_written_that_may_not_be() {
    let folder = Folder::of(&[(".git/hooks/x", "old")]);
    let args = |path: &str| json!({"path": path, "content": "new", "mode": "overwrite"});
    for path in ["secret.txt", "secret/a"] {
        let denied = folder.call_denied("write_file", args(path)).await.unwrap_err();
        assert_eq!(denied.kind(), ToolErrorKind::Denied);
    }
    for path in [".git/hooks/x", ".git/config", "sub/.GIT/config"] {
        folder.check_refused("write_file", args(path), ToolErrorKind::Denied).await;
    }
    for path in ["../a", "/tmp/a", "a/../../b", "a\0b"] {
        folder.check_refused("write_file", args(path), ToolErrorKind::InvalidArguments).await;
    }
    assert_eq!(names(&folder), [".git"]);
    assert!(folder.call_denied("write_file", args("open.txt")).await.unwrap().success);
}

#[tokio::test]
async fn a_folder_on_the_way_is_made_only_if_permitted() {
    struct OnlyFile;
    #[async_trait::async_trait]
    impl kernel_tools::Host for OnlyFile {
        fn may_read(&self, _path: &str) -> bool {
            false
        }
        fn may_write(&self, path: &str) -> bool {
            path == "new/file.txt"
        }
        async fn exec(
            &self,
            exec: kernel_tools::HostExec,
        ) -> Result<kernel_tools::HostExit, kernel_tools::ToolError> {
            NullHost.exec(exec).await
        }
    }
    let folder = Folder::new();
    let context = CallContext { host: std::sync::Arc::new(OnlyFile), ..NullHost::context() };
    let call = request(0, "write_file", json!({"path": "new/file.txt", "content": ""}));
    let output = folder.driver("write_file").call(&call, &context).await.unwrap();
    assert!(!output.success && output.text.contains("may not be made"), "{}", output.text);
    std::fs::create_dir(folder.at("new")).unwrap();
    assert!(folder.driver("write_file").call(&call, &context).await.unwrap().success);
}

#[tokio::test]
async fn too_much_is_refused() {
    let folder = Folder::new();
    let args = json!({"path": "a", "content": "ä".repeat(2 * 1024 * 1024 + 1)});
    folder.check_fails("write_file", args, "exceed the 4194304 of one file").await;
    assert!(names(&folder).is_empty());
}

#[tokio::test]
async fn a_failing_write_leaves_nothing_behind() {
    let folder = Folder::new();
    folder
        .check_fails("write_file", json!({"path": "x".repeat(300), "content": "text"}), "cannot be written")
        .await;
    assert!(names(&folder).is_empty());
}
