//! Tools over a workspace: to list, read, search and import files, and to write them where that was allowed.

mod import_dir;
mod list_dir;
mod read_file;
mod search_files;
mod write_file;

use std::sync::Arc;

use crate::path::normalize;
use crate::workspace::{OpenError, Workspace};
use crate::{Driver, Host, ToolError, ToolErrorKind, ToolOutput};

pub use import_dir::ImportDir;
pub use list_dir::ListDir;
pub use read_file::ReadFile;
pub use search_files::SearchFiles;
pub use write_file::WriteFile;

/// The drivers that only read: `list_dir`, `read_file`, `search_files` and `import_dir`.
#[must_use]
pub fn files_read(workspace: &Workspace) -> Vec<Arc<dyn Driver>> {
    vec![
        Arc::new(ImportDir::new(workspace.clone())),
        Arc::new(ListDir::new(workspace.clone())),
        Arc::new(ReadFile::new(workspace.clone())),
        Arc::new(SearchFiles::new(workspace.clone())),
    ]
}

/// The driver that writes, `write_file`: to be registered only where writing was allowed.
#[must_use]
pub fn files_write(workspace: &Workspace) -> Arc<dyn Driver> {
    Arc::new(WriteFile::new(workspace.clone()))
}

/// A path argument in normal form, which the process may read.
fn readable(tool: &str, host: &dyn Host, path: &str) -> Result<String, ToolError> {
    let path = normal(tool, path)?;
    if host.may_read(&path) {
        return Ok(path);
    }
    Err(ToolError::new(ToolErrorKind::Denied, tool, format!("no capability to read {path}")))
}

fn normal(tool: &str, path: &str) -> Result<String, ToolError> {
    normalize(path).map_err(|e| ToolError::new(ToolErrorKind::InvalidArguments, tool, e.to_string()))
}

/// What is not there or is of the wrong kind is an answer for the model.
impl From<OpenError> for ToolOutput {
    fn from(error: OpenError) -> Self {
        Self::failed(error.to_string())
    }
}

/// `1 file`, `2 files`.
fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The default of a path argument.
fn here() -> String {
    ".".to_owned()
}
