//! Every driver keeps the laws of the contract.

use std::path::Path;
use std::sync::Arc;

use kernel_tools::conformance::Subject;
use kernel_tools::{
    Behaviour, Calculator, Driver, FnTool, ImportDir, ListDir, ReadFile, ScriptedDriver, SearchFiles,
    ToolOutput, WriteFile, driver_conformance,
};
use kernel_types::{JsonText, Recovery};

use crate::folder::Folder;

driver_conformance!(calculator, || Subject::new(Calculator::new())
    .sample("calculator", r#"{"expression":"6*7"}"#));
driver_conformance!(list_dir, || on_folder(|f| ListDir::new(f.open()))
    .sample("list_dir", r#"{"path":"docs"}"#));
driver_conformance!(read_file, || on_folder(|f| ReadFile::new(f.open()))
    .sample("read_file", r#"{"path":"docs/a.md"}"#));
driver_conformance!(search_files, || on_folder(|f| SearchFiles::new(f.open()))
    .sample("search_files", r#"{"pattern":"line"}"#)
    .sample("search_files", r#"{"pattern":"LINE","ignore_case":true,"path":"docs","max":1.0}"#));
driver_conformance!(import_dir, || on_folder(|f| ImportDir::new(f.open()))
    .sample("import_dir", "{}")
    .sample("import_dir", r#"{"path":"docs","max_bytes":4096}"#));
driver_conformance!(write_file, || on_folder(|f| WriteFile::new(f.open()))
    .sample("write_file", r#"{"path":"new/file.md","content":"new"}"#)
    .sample("write_file", r#"{"path":"docs/a.md","content":"other","mode":"overwrite"}"#));
driver_conformance!(scripted, scripted);
driver_conformance!(function, || {
    let answer = |_, _| async { Ok(ToolOutput::ok(JsonText::empty_object(), "done")) };
    Subject::new(FnTool::new(ScriptedDriver::spec("plain", Recovery::Reread), answer)).sample("plain", "{}")
});
driver_conformance!(shared, || {
    let driver: Arc<dyn Driver> = Arc::new(Calculator::new());
    Subject::new(driver).sample("calculator", r#"{"expression":"1"}"#)
});

fn scripted() -> Subject {
    let answer = || Behaviour::Answer(ToolOutput::ok(JsonText::empty_object(), "done"));
    let driver = ScriptedDriver::new()
        .with("look", Recovery::Reread, Behaviour::Echo)
        .with("once", Recovery::Keyed, answer())
        .with("never_twice", Recovery::Unsafe, answer());
    let counters = driver.clone();
    let effect = move || {
        let calls = counters.calls();
        let effective = calls.iter().filter(|call| call.tool != "look");
        effective
            .map(|call| format!("{} {};", call.key, counters.works(&call.key)))
            .collect::<std::collections::BTreeSet<_>>()
    };
    Subject::new(driver)
        .sample("look", r#"{"any":["thing"]}"#)
        .sample("once", "{}")
        .sample("never_twice", "{}")
        .effects(move || format!("{:?}", effect()))
}

/// A driver over a small folder; its effects are the content of the folder.
pub(crate) fn on_folder<D: Driver + 'static>(make: impl Fn(&Folder) -> D) -> Subject {
    let folder = Folder::of(&[
        ("docs/a.md", "# A\n\na line\nanother line\n"),
        ("docs/b/c.md", "c\n"),
        ("top.txt", "line\n"),
    ]);
    let path = folder.path();
    let seen = path.clone();
    Subject::new(make(&folder)).effects(move || content(&seen)).workspace(path).keep(folder)
}

/// All paths below, with their content.
fn content(folder: &Path) -> String {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    let mut all = String::new();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let kind = path.symlink_metadata().unwrap();
        if kind.is_dir() {
            all += &format!("{name}/ [{}]", content(&path));
        } else if kind.is_file() {
            all += &format!("{name} = {:?}; ", std::fs::read(&path).unwrap());
        }
    }
    all
}
