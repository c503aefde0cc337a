//! The tool `write_file`: makes or replaces one text file, whole or not at all.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use cap_std::fs::{Dir, OpenOptions};
use kernel_types::{CallKey, JsonText, Recovery, ToolCallRequest, ToolSpec};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use super::{counted, normal};
use crate::arguments::{read, spec};
use crate::blocking::{self, Stop};
use crate::path::{join, shown};
use crate::workspace::{OpenError, Refused, Workspace, kind_name, open_file, open_folder, read_text};
use crate::{CallContext, Driver, Host, ToolError, ToolErrorKind, ToolOutput};

const TOOL: &str = "write_file";
/// The largest content, in bytes.
const MAX_CONTENT: usize = 4 * 1024 * 1024;
/// How many answers are remembered, to be given again for the same key.
const REMEMBERED: usize = 1024;

/// The [`Driver`] of the tool `write_file`.
///
/// The tool is `keyed`. A key that was answered is answered again from memory. After a restart a file that already holds
/// the content is left alone, so that a repetition does nothing unless the file was changed in between.
#[derive(Clone, Debug)]
pub struct WriteFile {
    workspace: Workspace,
    done: Arc<Mutex<Done>>,
}

impl WriteFile {
    /// The driver over a workspace.
    #[must_use]
    pub fn new(workspace: Workspace) -> Self {
        Self { workspace, done: Arc::default() }
    }
}

/// The latest successful answers. Locked during a write, so that writes happen one after the other.
#[derive(Debug, Default)]
struct Done(VecDeque<(CallKey, ToolOutput)>);

impl Done {
    fn answer(&self, key: &CallKey) -> Option<&ToolOutput> {
        self.0.iter().find(|(done, _)| done == key).map(|(_, output)| output)
    }

    fn remember(&mut self, key: CallKey, output: &ToolOutput) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((key, output.clone()));
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Create,
    Overwrite,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    path: String,
    content: String,
    #[serde(default)]
    mode: Mode,
}

#[async_trait]
impl Driver for WriteFile {
    fn tools(&self) -> Vec<ToolSpec> {
        let description =
            "Writes a text file in the workspace: all of its content at once. Folders on the way are made.";
        let properties = json!({
            "path": {"type": "string", "description": "the file, relative to the workspace"},
            "content": {"type": "string", "maxLength": MAX_CONTENT, "description": "the whole content of the file"},
            "mode": {"type": "string", "enum": ["create", "overwrite"], "default": "create",
                "description": "create fails if the file exists, overwrite replaces it"},
        });
        let spec = spec(TOOL, description, properties, &["path", "content"], Recovery::Keyed);
        vec![ToolSpec { writes: vec!["path".to_owned()], ..spec }]
    }

    async fn call(&self, request: &ToolCallRequest, context: &CallContext) -> Result<ToolOutput, ToolError> {
        let args: Args = read(TOOL, request)?;
        let path = normal(TOOL, &args.path)?;
        let denied = |reason| Err(ToolError::new(ToolErrorKind::Denied, TOOL, format!("{reason} {path}")));
        if !context.host.may_write(&path) {
            return denied("no capability to write");
        }
        // Hooks and configuration in there are programs that others run.
        if path.split('/').any(|part| part.eq_ignore_ascii_case(".git")) {
            return denied("git's own files are not written:");
        }
        let write = Writing {
            workspace: self.workspace.clone(),
            host: context.host.clone(),
            key: request.key,
            path,
            content: args.content,
            mode: args.mode,
        };
        let done = self.done.clone();
        blocking::run(TOOL, move |stop| write.once(&mut done.lock(), stop)).await
    }
}

/// Why a write came to nothing.
enum Failure {
    /// For the model.
    Told(String),
    Stopped(ToolError),
}

impl Failure {
    fn io(path: &str, error: &io::Error) -> Self {
        Self::Told(format!("{} cannot be written: {error}", shown(path)))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Told(error.to_string())
    }
}

/// One call.
struct Writing {
    workspace: Workspace,
    host: Arc<dyn Host>,
    key: CallKey,
    path: String,
    content: String,
    mode: Mode,
}

impl Writing {
    fn once(&self, done: &mut Done, stop: &Stop) -> Result<ToolOutput, ToolError> {
        if let Some(output) = done.answer(&self.key) {
            return Ok(output.clone());
        }
        match self.write(stop) {
            Ok(what) => {
                let data = json!({"path": self.path, "bytes": self.content.len(), "done": what});
                let size = counted(self.content.len() as u64, "byte");
                let output =
                    ToolOutput::ok(JsonText::from(data), format!("{what} {} ({size})", shown(&self.path)));
                done.remember(self.key, &output);
                Ok(output)
            }
            Err(Failure::Told(reason)) => Ok(ToolOutput::failed(reason)),
            Err(Failure::Stopped(error)) => Err(error),
        }
    }

    /// Says what was done.
    fn write(&self, stop: &Stop) -> Result<&'static str, Failure> {
        if self.content.len() > MAX_CONTENT {
            return Err(Failure::Told(format!(
                "{} bytes exceed the {MAX_CONTENT} of one file",
                self.content.len()
            )));
        }
        if self.path == "." {
            return Err(Failure::Told("the workspace is a folder, not a file".to_owned()));
        }
        let stopped = |e: blocking::Stopped| Failure::Stopped(e.into());
        stop.check().map_err(stopped)?;
        let (folder, name) = self.folder()?;
        let exists = self.look(&folder, name)?;
        if exists && self.is_done(&folder, name) {
            return Ok("unchanged");
        }
        if exists && self.mode == Mode::Create {
            return Err(Failure::Told(format!(
                "{} exists already: read it first, then mode \"overwrite\" replaces it",
                shown(&self.path)
            )));
        }
        let draft =
            Draft::write(&folder, &self.key, &self.content).map_err(|e| Failure::io(&self.path, &e))?;
        stop.check().map_err(stopped)?;
        if exists { draft.replace(name) } else { draft.publish(name) }
            .map_err(|e| Failure::io(&self.path, &e))?;
        Ok(if exists { "replaced" } else { "created" })
    }

    /// Opens the folder of the file and makes what is missing of it.
    fn folder(&self) -> Result<(Arc<Dir>, &str), Failure> {
        let (above, name) = self.path.rsplit_once('/').unwrap_or((".", &self.path));
        let mut folder = self.workspace.folder(".")?;
        let mut so_far = ".".to_owned();
        for part in above.split('/').filter(|part| *part != ".") {
            so_far = join(&so_far, part);
            let opened = match open_folder(&folder, part) {
                Err(Refused::Missing) if !self.host.may_write(&so_far) => {
                    let so_far = shown(&so_far);
                    return Err(Failure::Told(format!(
                        "the folder {so_far} does not exist and may not be made"
                    )));
                }
                Err(Refused::Missing) => {
                    folder.create_dir(part).map_err(|e| Failure::io(&so_far, &e))?;
                    open_folder(&folder, part)
                }
                opened => opened,
            };
            folder =
                Arc::new(opened.map_err(|reason| Failure::Told(format!("{} {reason}", shown(&so_far))))?);
        }
        Ok((folder, name))
    }

    /// Whether a regular file is there; anything else is refused.
    fn look(&self, folder: &Dir, name: &str) -> Result<bool, Failure> {
        match folder.symlink_metadata(name) {
            Ok(metadata) if metadata.is_file() => Ok(true),
            Ok(metadata) => {
                let what = kind_name(metadata.file_type());
                Err(Failure::Told(format!("{} is {what}: it is not replaced", shown(&self.path))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Failure::io(&self.path, &error)),
        }
    }

    fn is_done(&self, folder: &Dir, name: &str) -> bool {
        let Ok((file, metadata)) = open_file(folder, name) else { return false };
        metadata.len() == self.content.len() as u64
            && read_text(file, &metadata, metadata.len()).is_ok_and(|text| text == self.content)
    }
}

/// The content beside its final place. It goes away again unless it is put there.
struct Draft<'a> {
    folder: &'a Dir,
    name: String,
}

impl<'a> Draft<'a> {
    /// The name follows from the key, so that what a killed kernel left is cleared by the repetition of its call.
    fn write(folder: &'a Dir, key: &CallKey, content: &str) -> io::Result<Self> {
        let name = format!(".write-{}", &blake3::hash(key.to_string().as_bytes()).to_hex()[..16]);
        match folder.remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = folder.open_with(&name, OpenOptions::new().write(true).create_new(true))?;
        let draft = Self { folder, name };
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        Ok(draft)
    }

    /// Takes the place of a file, whose permissions it keeps.
    fn replace(self, name: &str) -> io::Result<()> {
        let permissions = self.folder.symlink_metadata(name)?.permissions();
        self.folder.set_permissions(&self.name, permissions)?;
        self.folder.rename(&self.name, self.folder, name)?;
        self.sync_folder()
    }

    /// Becomes a file of this name; if there is one by now, that one stays.
    fn publish(self, name: &str) -> io::Result<()> {
        self.folder.hard_link(&self.name, self.folder, name)?;
        self.sync_folder()
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.folder.open(".")?.sync_all()
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        let _gone_already = self.folder.remove_file(&self.name);
    }
}
