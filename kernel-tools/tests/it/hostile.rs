//! Workspaces that are out to do harm: links, pipes, devices, holes, strange names, and things that change on the way.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use kernel_tools::{
    CallContext, Driver, Host, HostExec, HostExit, NullHost, ToolError, ToolErrorKind, Workspace,
};
use serde_json::json;

use crate::folder::{Folder, request};
use crate::import::{Imported, import, step};

fn fifo(folder: &Folder, path: &str) {
    let directory = cap_std::fs::Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
    rustix::fs::mkfifoat(&directory, path, rustix::fs::Mode::RWXU).unwrap();
}

#[tokio::test]
async fn links_lead_nowhere() {
    let folder = Folder::of(&[("a/text", "inside")]);
    folder.link("/etc/passwd", "passwd");
    folder.link("/etc", "etc");
    folder.link(".", "loop");
    folder.link("..", "a/up");
    folder.link("a/text", "same");
    folder.link("dangling", "dangling");
    let imported = import(&folder, ".", 4096).await;
    assert_eq!(imported.order, ["a/text"]);
    assert_eq!(imported.skipped.len(), 6);
    assert!(imported.skipped.iter().all(|(_, reason)| reason == "it is a symbolic link, not followed"));
    for path in ["passwd", "etc/passwd", "loop/a/text", "a/up/a/text", "same", "dangling"] {
        folder.check_fails("read_file", json!({"path": path}), "symbolic link").await;
    }
    folder.check_fails("list_dir", json!({"path": "etc"}), "symbolic link").await;
    folder.check_fails("import_dir", json!({"path": "loop"}), "symbolic link").await;
    folder.check("read_file", json!({"path": "a/text"}), "     1\tinside\n").await;
}

#[tokio::test]
async fn a_file_with_two_names_comes_once_over_any_number_of_calls() {
    let folder = Folder::of(&[
        ("a/one", &"a line\n".repeat(3_000)),
        ("between", "text"),
        ("y", &"other\n".repeat(2_000)),
    ]);
    std::fs::hard_link(folder.at("a/one"), folder.at("z")).unwrap();
    std::fs::hard_link(folder.at("a/one"), folder.at("b")).unwrap();
    for max_bytes in [4_096, 1_000_000] {
        let imported = import(&folder, ".", max_bytes).await;
        assert_eq!(imported.files.keys().collect::<Vec<_>>(), ["a/one", "between", "y"]);
        assert_eq!(imported.reason("z"), "it is the same file as a/one");
        assert_eq!(imported.reason("b"), "it is the same file as a/one");
    }
}

#[tokio::test]
async fn a_pipe_does_not_hang() {
    let folder = Folder::of(&[("text", "text")]);
    fifo(&folder, "pipe");
    fifo(&folder, ".gitignore");
    let imported = import(&folder, ".", 4096).await;
    assert_eq!((imported.order.len(), imported.reason("pipe")), (1, "it is a pipe"));
    folder.check_fails("read_file", json!({"path": "pipe"}), "pipe is a pipe, not a file").await;
    folder.check_fails("search_files", json!({"pattern": "x", "path": "pipe"}), "pipe is a pipe").await;
    let args = json!({"path": "pipe", "content": "x", "mode": "overwrite"});
    folder.check_fails("write_file", args, "pipe is a pipe").await;
    folder
        .check(
            "search_files",
            json!({"pattern": "text"}),
            "text:1: text\n(1 file not searched: links, binary, large or unreadable)",
        )
        .await;
}

#[tokio::test]
async fn a_huge_file_is_told_by_its_size() {
    let folder = Folder::of(&[("text", "text")]);
    // A gigabyte, and four terabytes: to read those would not end.
    for bytes in [1u64 << 30, 1 << 42] {
        File::create(folder.at("huge")).unwrap().set_len(bytes).unwrap();
        let imported = import(&folder, ".", 4096).await;
        assert_eq!(imported.order, ["text"]);
        assert!(imported.reason("huge").contains(&format!("{bytes} bytes, more than the 4194304")));
        let reason = format!("huge has {bytes} bytes, more than the 16777216");
        folder.check_fails("read_file", json!({"path": "huge"}), &reason).await;
        let found = "text:1: text\n(1 file not searched: links, binary, large or unreadable)";
        folder.check("search_files", json!({"pattern": "text"}), found).await;
    }
}

#[tokio::test]
async fn what_is_no_text_is_skipped_with_its_reason() {
    let folder = Folder::of(&[("text", "text")]);
    folder.write("binary", b"text\0");
    folder.write("late-nul", [b"x".repeat(9_000), b"\0".to_vec()].concat());
    folder.write("latin1", b"caf\xe9\n");
    folder.write("utf16", b"\xff\xfet\0e\0");
    let imported = import(&folder, ".", 1_000_000).await;
    assert_eq!(imported.order.iter().filter(|path| *path == "text").count(), 1);
    assert!(imported.reason("binary").contains("is binary"));
    assert!(imported.reason("utf16").contains("is binary"));
    assert!(imported.reason("latin1").contains("not valid UTF-8 (at byte 3)"));
    // A NUL after the first 8 kB is a character like any other.
    assert_eq!(imported.files["late-nul"].len(), 9_001);
}

#[tokio::test]
async fn what_may_not_be_read_is_skipped() {
    let folder = Folder::of(&[("open", "o"), ("closed", "c"), ("locked/x", "x")]);
    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(folder.at("closed"), closed.clone()).unwrap();
    std::fs::set_permissions(folder.at("locked"), closed).unwrap();
    // Root reads all the same.
    let root = std::fs::read(folder.at("closed")).is_ok();
    let mut imported = Imported::default();
    step(&folder, &mut imported, json!({})).await;
    assert!(imported.files.contains_key("open"));
    assert_eq!(imported.files.contains_key("closed"), root);
    assert_eq!(imported.skipped.len(), if root { 0 } else { 2 }, "{:?}", imported.skipped);
    std::fs::set_permissions(folder.at("locked"), std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn an_error_while_reading_is_answered() {
    let workspace = Workspace::open("/proc/self").unwrap();
    let driver = kernel_tools::ReadFile::new(workspace);
    let output =
        driver.call(&request(0, "read_file", json!({"path": "mem"})), &NullHost::context()).await.unwrap();
    assert!(!output.success && output.text.contains("mem cannot be read"), "{}", output.text);
}

/// Does something when the walk asks about a path: between the listing of a folder and the opening of what is in it.
struct Meddler<F>(&'static str, AtomicBool, F);

#[async_trait]
impl<F: Fn() + Send + Sync> Host for Meddler<F> {
    fn may_read(&self, path: &str) -> bool {
        if path == self.0 && !self.1.swap(true, Ordering::Relaxed) {
            (self.2)();
        }
        true
    }

    fn may_write(&self, _path: &str) -> bool {
        true
    }

    async fn exec(&self, exec: HostExec) -> Result<HostExit, ToolError> {
        NullHost.exec(exec).await
    }
}

/// Imports while `meddle` is called just before `path` is opened.
async fn import_while(
    folder: &Folder,
    path: &'static str,
    meddle: impl Fn() + Send + Sync + 'static,
) -> Imported {
    let host = Arc::new(Meddler(path, AtomicBool::new(false), meddle));
    let context = CallContext { host, ..NullHost::context() };
    let call = request(0, "import_dir", json!({}));
    let output = folder.driver("import_dir").call(&call, &context).await.unwrap();
    let data = output.data.value();
    let text = |skip: &serde_json::Value, key: &str| skip[key].as_str().unwrap().to_owned();
    Imported {
        order: data["pages"].as_array().unwrap().iter().map(|page| text(page, "path")).collect(),
        skipped: data["skipped"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| (text(s, "path"), text(s, "reason")))
            .collect(),
        ..Imported::default()
    }
}

#[tokio::test]
async fn what_is_swapped_during_the_walk_is_not_followed() {
    for (path, to) in [("b", "/etc/passwd"), ("d", "/etc")] {
        let folder = Folder::of(&[("a", "a"), ("b", "b"), ("d/passwd", "d"), ("z", "z")]);
        let at = folder.at(path);
        let imported = import_while(&folder, path, move || {
            if at.is_dir() {
                std::fs::remove_dir_all(&at).unwrap()
            } else {
                std::fs::remove_file(&at).unwrap()
            }
            std::os::unix::fs::symlink(to, &at).unwrap();
        })
        .await;
        assert!(imported.reason(path).contains(&format!("is a symbolic link to {to}")));
        assert_eq!(imported.order.len(), 3);
    }
}

#[tokio::test]
async fn what_vanishes_or_changes_its_kind_during_the_walk_is_skipped() {
    let folder = Folder::of(&[("a", "a"), ("b", "b"), ("c", "c")]);
    let at = folder.at("b");
    let imported = import_while(&folder, "b", move || std::fs::remove_file(&at).unwrap()).await;
    assert_eq!(
        (imported.order, imported.skipped[0].1.as_str()),
        (vec!["a".into(), "c".into()], "it does not exist")
    );

    let at = folder.at("c");
    let imported = import_while(&folder, "c", move || {
        std::fs::remove_file(&at).unwrap();
        std::fs::create_dir(&at).unwrap();
    })
    .await;
    assert_eq!(imported.reason("c"), "it is a folder, not a file");
}

#[tokio::test]
async fn deep_folders_are_walked_up_to_a_limit() {
    let folder = Folder::of(&[("text", "text")]);
    let deep = vec!["d"; 130].join("/");
    folder.write(&format!("{deep}/file"), "deep");
    let shallow = vec!["d"; 90].join("/");
    folder.write(&format!("{shallow}/file"), "shallow");
    let imported = import(&folder, ".", 4096).await;
    assert_eq!(imported.order, [format!("{shallow}/file"), "text".to_owned()]);
    assert!(imported.skipped[0].1.contains("more than 100 folders deep"));
    let listed = folder.call("list_dir", json!({"depth": 8})).await.unwrap();
    assert_eq!(listed.data.value()["entries"].as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn strange_names_are_dealt_with() {
    let folder =
        Folder::of(&[("line\nbreak.md", "text\n"), ("tab\t\u{1b}[31m", "text\n"), ("spaces  ", "text\n")]);
    for name in [&b"latin\xe9"[..], b"bad\xff/x", b"bad\xfe"] {
        let path = folder.path().join(OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "text").unwrap();
    }
    let imported = import(&folder, ".", 4096).await;
    assert_eq!(imported.files.keys().collect::<Vec<_>>(), ["line\nbreak.md", "spaces  ", "tab\t\u{1b}[31m"]);
    let invalid: Vec<_> =
        imported.skipped.iter().filter(|(_, reason)| reason.contains("not valid UTF-8")).collect();
    assert_eq!(invalid.len(), 3);
    let found = folder.call("search_files", json!({"pattern": "text"})).await.unwrap();
    assert!(
        found.text.starts_with("line\\nbreak.md:1: text\nspaces  :1: text\ntab\\t\\u{1b}[31m:1: text\n"),
        "{}",
        found.text
    );
    folder.check("read_file", json!({"path": "line\nbreak.md"}), "     1\ttext\n").await;
}

#[tokio::test]
async fn names_that_look_the_same_do_not_stop_an_import() {
    let folder = Folder::of(&[("z", "z")]);
    for high in 0x80..=0xffu8 {
        for low in 0x80..0x88u8 {
            std::fs::write(folder.path().join(OsStr::from_bytes(&[b'n', high, b'-', low])), "x").unwrap();
        }
    }
    let imported = import(&folder, ".", 4096).await;
    assert_eq!((imported.order.len(), imported.skipped.len()), (1, 1024));
}

#[test]
fn a_workspace_must_be_a_folder() {
    let folder = Folder::of(&[("file", "")]);
    fifo(&folder, "pipe");
    folder.link("nowhere", "dangling");
    let check = |path: &str, kind: ToolErrorKind, reason: &str| {
        let error = Workspace::open(folder.at(path)).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().ends_with(reason), "{error}");
    };
    check("nothing", ToolErrorKind::NotFound, "nothing does not exist");
    check("dangling", ToolErrorKind::NotFound, "dangling does not exist");
    check("file", ToolErrorKind::InvalidArguments, "file is not a folder");
    check("pipe", ToolErrorKind::InvalidArguments, "pipe is not a folder");
    assert!(Workspace::open(folder.path()).is_ok());
    assert!(Workspace::open("").is_err());
}

#[tokio::test]
async fn a_workspace_that_vanishes_is_empty() {
    let folder = Folder::of(&[("a", "a")]);
    let driver = folder.driver("import_dir");
    std::fs::remove_dir_all(folder.path()).unwrap();
    let output = driver.call(&request(0, "import_dir", json!({})), &NullHost::context()).await.unwrap();
    assert!(output.attachments.is_empty());
}

#[tokio::test]
async fn a_workspace_is_the_folder_that_was_opened_not_its_path() {
    let folder = Folder::of(&[("a", "first")]);
    let driver = folder.driver("read_file");
    std::fs::rename(folder.path(), folder.private().join("moved")).unwrap();
    folder.write("a", "second");
    let output =
        driver.call(&request(0, "read_file", json!({"path": "a"})), &NullHost::context()).await.unwrap();
    assert_eq!(output.text, "     1\tfirst\n");
}

#[tokio::test]
async fn a_dropped_import_stops() {
    struct Slow(std::sync::mpsc::SyncSender<()>);
    #[async_trait]
    impl Host for Slow {
        fn may_read(&self, _path: &str) -> bool {
            // Waits until the test takes the message; fails once the test has gone.
            self.0.send(()).is_ok()
        }
        fn may_write(&self, _path: &str) -> bool {
            false
        }
        async fn exec(&self, exec: HostExec) -> Result<HostExit, ToolError> {
            NullHost.exec(exec).await
        }
    }
    let folder = Folder::new();
    for n in 0..100 {
        folder.write(&format!("{n:03}"), "text");
    }
    let (asked, asks) = std::sync::mpsc::sync_channel(0);
    let context = CallContext { host: Arc::new(Slow(asked)), ..NullHost::context() };
    let driver = folder.driver("import_dir");
    let task = tokio::spawn(async move { driver.call(&request(0, "import_dir", json!({})), &context).await });
    let asks = tokio::task::spawn_blocking(move || {
        asks.recv().unwrap();
        asks
    })
    .await
    .unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    // The channel closes when the work has dropped its host: after at most one more path.
    let left = tokio::task::spawn_blocking(move || asks.iter().count()).await.unwrap();
    assert!(left <= 2, "{left} more paths were walked");
}
