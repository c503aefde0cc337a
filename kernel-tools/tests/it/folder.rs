//! A workspace in a temporary folder, and calls on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use kernel_tools::{
    CallContext, Driver, Host, HostExec, HostExit, ImportDir, ListDir, NullHost, ReadFile, SearchFiles,
    ToolError, ToolErrorKind, ToolOutput, Workspace, WriteFile,
};
use kernel_types::{CallKey, JsonText, Pid, Seq, StepNo, ToolCallRequest};
use serde_json::Value;
use tempfile::TempDir;

/// A workspace `w` within a private folder.
pub(crate) struct Folder {
    private: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let private = TempDir::new().unwrap();
        std::fs::create_dir(private.path().join("w")).unwrap();
        Self { private }
    }

    /// A workspace of these files.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        for (path, content) in files {
            folder.write(path, content);
        }
        folder
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.private.path().join("w")
    }

    pub(crate) fn private(&self) -> &Path {
        self.private.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap()
    }

    pub(crate) fn link(&self, target: impl AsRef<Path>, path: &str) {
        std::os::unix::fs::symlink(target, self.at(path)).unwrap();
    }

    pub(crate) fn open(&self) -> Workspace {
        Workspace::open(self.path()).unwrap()
    }

    pub(crate) fn driver(&self, tool: &str) -> Arc<dyn Driver> {
        let workspace = self.open();
        match tool {
            "list_dir" => Arc::new(ListDir::new(workspace)),
            "read_file" => Arc::new(ReadFile::new(workspace)),
            "search_files" => Arc::new(SearchFiles::new(workspace)),
            "import_dir" => Arc::new(ImportDir::new(workspace)),
            "write_file" => Arc::new(WriteFile::new(workspace)),
            tool => panic!("no tool {tool}"),
        }
    }

    /// Calls a tool that may do anything.
    pub(crate) async fn call(&self, tool: &str, args: Value) -> Result<ToolOutput, ToolError> {
        self.driver(tool).call(&request(0, tool, args), &NullHost::context()).await
    }

    /// Calls a tool that may not touch paths that hold `secret`.
    pub(crate) async fn call_denied(&self, tool: &str, args: Value) -> Result<ToolOutput, ToolError> {
        let context = CallContext { host: Arc::new(NoSecrets), ..NullHost::context() };
        self.driver(tool).call(&request(0, tool, args), &context).await
    }

    /// Calls a tool; it succeeds with this text.
    pub(crate) async fn check(&self, tool: &str, args: Value, text: &str) {
        let output = self.call(tool, args).await.unwrap();
        assert!(output.success, "{}", output.text);
        assert_eq!(output.text, text);
    }

    /// Calls a tool; it says that it could not do it, and why.
    pub(crate) async fn check_fails(&self, tool: &str, args: Value, reason: &str) {
        let output = self.call(tool, args).await.unwrap();
        assert!(!output.success, "{}", output.text);
        assert!(output.text.contains(reason), "{}", output.text);
    }

    /// Calls a tool; the call is refused.
    pub(crate) async fn check_refused(&self, tool: &str, args: Value, kind: ToolErrorKind) {
        let error = self.call(tool, args).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

pub(crate) fn request(seq: u32, tool: &str, args: Value) -> ToolCallRequest {
    let key = CallKey { pid: Pid::INIT, step: StepNo(1), seq: Seq(seq) };
    ToolCallRequest { key, tool: tool.to_owned(), args: JsonText::from(args) }
}

/// Denies every path with `secret` in it.
pub(crate) struct NoSecrets;

#[async_trait]
impl Host for NoSecrets {
    fn may_read(&self, path: &str) -> bool {
        !path.contains("secret")
    }

    fn may_write(&self, path: &str) -> bool {
        !path.contains("secret")
    }

    async fn exec(&self, exec: HostExec) -> Result<HostExit, ToolError> {
        NullHost.exec(exec).await
    }
}
