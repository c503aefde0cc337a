//! The laws of tools that name paths: nothing outside of the workspace, nothing that the host denies.

use std::sync::Arc;

use async_trait::async_trait;
use kernel_types::JsonText;
use serde_json::json;

use super::{Subject, request};
use crate::{CallContext, Host, HostExec, HostExit, NullHost, ToolError, ToolOutput};

/// No path leads out of the workspace: not by `..`, not absolute, not through a link.
pub async fn no_path_leads_out_of_the_workspace(make: impl Fn() -> Subject) {
    let subject = make();
    let Some(workspace) = &subject.workspace else { return };
    let outside = workspace.parent().expect("a workspace lies in a private folder").join("outside");
    std::fs::create_dir_all(&outside).expect("the private folder can be written");
    std::fs::write(outside.join("file.txt"), SECRET).expect("the private folder can be written");
    link(&outside, &workspace.join("way-out"));
    link(&outside.join("file.txt"), &workspace.join("way-out.txt"));
    let absolute = outside.to_string_lossy().into_owned();
    let paths = [
        "../outside",
        "way-out",
        "way-out/..",
        "./way-out/../../outside",
        "a/../../outside",
        absolute.as_str(),
    ];
    let files = paths
        .iter()
        .flat_map(|path| [(*path).to_owned(), format!("{path}/file.txt"), format!("{path}/new.txt")]);
    let files: Vec<String> =
        files.chain(["way-out.txt".to_owned(), "..".to_owned(), "/".to_owned()]).collect();
    for (spec, args) in subject.specs_of_samples() {
        for argument in spec.reads.iter().chain(&spec.writes) {
            for (seq, path) in (1000..).zip(&files) {
                let mut args = args.value();
                args[argument] = json!(path);
                // A sample that would find the secret if it could be reached.
                if args.get("pattern").is_some() {
                    args["pattern"] = json!(SECRET);
                }
                let request = request(seq, &spec.name, JsonText::from(args));
                let answer = subject.call(&request, &NullHost::context()).await;
                assert!(!tells_secret(&answer), "{} reads {path}", spec.name);
            }
        }
    }
    let names: Vec<_> =
        std::fs::read_dir(&outside).expect("it is there").map(|e| e.expect("readable").file_name()).collect();
    assert_eq!(names, ["file.txt"], "something was made outside of the workspace");
    assert_eq!(
        std::fs::read_to_string(outside.join("file.txt")).expect("it is there"),
        SECRET,
        "it was changed"
    );
}

/// What the host denies is neither read nor written, also if it is met on a walk.
pub async fn the_host_is_asked(make: impl Fn() -> Subject) {
    let subject = make();
    let Some(workspace) = &subject.workspace else { return };
    std::fs::create_dir_all(workspace.join("denied")).expect("the workspace can be written");
    std::fs::write(workspace.join("denied/file.txt"), SECRET).expect("the workspace can be written");
    std::fs::write(workspace.join("denied.txt"), SECRET).expect("the workspace can be written");
    let before = (subject.effects)();
    let context = CallContext { host: Arc::new(DenyNamed), ..NullHost::context() };
    for (spec, args) in subject.specs_of_samples() {
        for argument in spec.reads.iter().chain(&spec.writes) {
            for (seq, path) in
                (2000..).zip([".", "denied", "denied.txt", "denied/file.txt", "./denied//file.txt"])
            {
                let mut args = args.value();
                args[argument] = json!(path);
                if args.get("pattern").is_some() {
                    args["pattern"] = json!(SECRET);
                }
                let answer = subject.call(&request(seq, &spec.name, JsonText::from(args)), &context).await;
                assert!(!tells_secret(&answer), "{} reads {path}, which is denied", spec.name);
            }
        }
    }
    assert_eq!(before, (subject.effects)(), "something denied was written");
}

const SECRET: &str = "quartz-heron-41\n";

fn tells_secret(answer: &Result<ToolOutput, ToolError>) -> bool {
    let secret = SECRET.trim_end();
    // The arguments may be quoted, so the text alone is no proof; a line of the file is.
    answer.as_ref().is_ok_and(|output| {
        let told = |text: &str| text.lines().any(|line| line.trim_end().ends_with(secret));
        output.success && (told(&output.text) || output.attachments.iter().any(|a| told(a)))
    })
}

#[cfg(unix)]
fn link(target: &std::path::Path, at: &std::path::Path) {
    std::os::unix::fs::symlink(target, at).expect("the workspace can be written");
}

#[cfg(not(unix))]
fn link(_target: &std::path::Path, _at: &std::path::Path) {}

/// Denies every path with `denied` in it.
struct DenyNamed;

#[async_trait]
impl Host for DenyNamed {
    fn may_read(&self, path: &str) -> bool {
        !path.contains("denied")
    }

    fn may_write(&self, path: &str) -> bool {
        !path.contains("denied")
    }

    async fn exec(&self, exec: HostExec) -> Result<HostExit, ToolError> {
        NullHost.exec(exec).await
    }
}
