//! The folder that agents work in, opened once; whatever is read or written in it is opened through that handle.
//!
//! No path is ever resolved from the outside again, and links are not followed, not even to another place in the
//! workspace: a capability names paths, so a path must mean what it says.

mod rules;
mod walk;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, FileType, Metadata, OpenOptions};

use crate::path::shown;
use crate::{ToolError, ToolErrorKind};

pub(crate) use walk::{Entry, Kind, Met, Walk, compare};

/// A NUL within this many first bytes makes a file binary.
const BINARY_PROBE: usize = 8 * 1024;

/// A folder whose content agents may be given. Clones share the handle.
#[derive(Clone)]
pub struct Workspace {
    root: Arc<Dir>,
    path: PathBuf,
}

impl Workspace {
    /// Opens a folder. What is moved to its path later is not followed.
    ///
    /// # Errors
    /// [`ToolErrorKind::NotFound`] if nothing is there, [`ToolErrorKind::InvalidArguments`] if it is not a folder,
    /// [`ToolErrorKind::Denied`] or [`ToolErrorKind::Io`] if it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ToolError> {
        let path = path.as_ref();
        let refuse =
            |kind, reason: String| ToolError::new(kind, "workspace", format!("{} {reason}", path.display()));
        let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => refuse(ToolErrorKind::NotFound, "does not exist".to_owned()),
            _ => refuse(ToolErrorKind::Io, format!("cannot be opened: {e}")),
        })?;
        if !metadata.is_dir() {
            return Err(refuse(ToolErrorKind::InvalidArguments, "is not a folder".to_owned()));
        }
        let root = Dir::open_ambient_dir(path, ambient_authority()).and_then(|root| {
            root.entries()?;
            Ok(root)
        });
        let root = root.map_err(|e| match e.kind() {
            io::ErrorKind::PermissionDenied => {
                refuse(ToolErrorKind::Denied, "may not be read by this user".to_owned())
            }
            _ => refuse(ToolErrorKind::Io, format!("cannot be opened: {e}")),
        })?;
        Ok(Self { root: Arc::new(root), path: path.to_owned() })
    }

    /// The path it was opened by, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a folder by its normal path.
    pub(crate) fn folder(&self, path: &str) -> Result<Arc<Dir>, OpenError> {
        let mut folder = self.root.clone();
        let mut so_far = 0;
        for name in path.split('/').filter(|name| *name != ".") {
            so_far += name.len() + usize::from(so_far > 0);
            folder = Arc::new(open_folder(&folder, name).map_err(|e| e.at(&path[..so_far]))?);
        }
        Ok(folder)
    }

    /// Opens the folder that holds `path`; with the last name of `path`.
    pub(crate) fn parent<'a>(&self, path: &'a str) -> Result<(Arc<Dir>, &'a str), OpenError> {
        match path.rsplit_once('/') {
            Some((folder, name)) => Ok((self.folder(folder)?, name)),
            None => Ok((self.root.clone(), path)),
        }
    }

    /// Opens a regular file by its normal path.
    pub(crate) fn file(&self, path: &str) -> Result<(File, Metadata), OpenError> {
        let (folder, name) = self.parent(path)?;
        open_file(&folder, name).map_err(|e| e.at(path))
    }
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workspace").field(&self.path).finish()
    }
}

/// Why something in the workspace was not opened.
#[derive(Debug)]
pub(crate) struct OpenError {
    path: String,
    reason: Refused,
}

/// The reason alone, for where the path is known.
#[derive(Debug)]
pub(crate) enum Refused {
    Missing,
    Link(Option<PathBuf>),
    Is(&'static str, &'static str),
    TooMany(usize),
    Io(io::Error),
}

impl Refused {
    fn at(self, path: &str) -> OpenError {
        OpenError { path: path.to_owned(), reason: self }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("does not exist"),
            Self::Link(Some(target)) => {
                write!(
                    f,
                    "is a symbolic link to {}; links are not followed",
                    shown(&target.to_string_lossy())
                )
            }
            Self::Link(None) => f.write_str("is a symbolic link; links are not followed"),
            Self::Is(what, wanted) => write!(f, "is {what}, not {wanted}"),
            Self::TooMany(limit) => write!(f, "is a folder of more than {limit} entries"),
            Self::Io(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                f.write_str("may not be read by this user")
            }
            Self::Io(e) => write!(f, "cannot be read: {e}"),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", shown(&self.path), self.reason)
    }
}

/// What a file that is neither regular nor a folder is.
pub(crate) fn kind_name(kind: FileType) -> &'static str {
    use cap_fs_ext::FileTypeExt;
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_file() => "a file",
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "a special file",
    }
}

/// Opens the folder `name` in `folder`.
pub(crate) fn open_folder(folder: &Dir, name: &str) -> Result<Dir, Refused> {
    folder.open_dir_nofollow(name).map_err(|e| refused(folder, name, e, "a folder"))
}

/// Opens the regular file `name` in `folder`; never waits for the other end of a pipe.
pub(crate) fn open_file(folder: &Dir, name: &str) -> Result<(File, Metadata), Refused> {
    let kind = folder.symlink_metadata(name).map_err(|e| refused(folder, name, e, "a file"))?.file_type();
    if kind.is_symlink() {
        return Err(Refused::Link(folder.read_link_contents(name).ok()));
    }
    if !kind.is_file() {
        return Err(Refused::Is(kind_name(kind), "a file"));
    }
    // It may have been replaced since: the handle is checked again.
    let mut options = OpenOptions::new();
    options.read(true).follow(FollowSymlinks::No).nonblock(true);
    let file = folder.open_with(name, &options).map_err(|e| refused(folder, name, e, "a file"))?;
    let metadata = file.metadata().map_err(Refused::Io)?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(Refused::Is(kind_name(metadata.file_type()), "a file"))
    }
}

fn refused(folder: &Dir, name: &str, error: io::Error, wanted: &'static str) -> Refused {
    if error.kind() == io::ErrorKind::NotFound {
        return Refused::Missing;
    }
    match folder.symlink_metadata(name).map(|metadata| metadata.file_type()) {
        Ok(kind) if kind.is_symlink() => Refused::Link(folder.read_link_contents(name).ok()),
        Ok(kind) if kind.is_dir() != (wanted == "a folder") => Refused::Is(kind_name(kind), wanted),
        _ => Refused::Io(error),
    }
}

/// Why a file is not text that can be shown.
#[derive(Debug)]
pub(crate) enum NotText {
    TooLarge { bytes: u64, limit: u64 },
    Binary,
    InvalidUtf8 { at: usize },
    Io(io::Error),
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes, limit } => {
                write!(f, "has {bytes} bytes, more than the {limit} that are read")
            }
            Self::Binary => f.write_str("is binary (it holds a NUL byte)"),
            Self::InvalidUtf8 { at } => write!(f, "is not valid UTF-8 (at byte {at})"),
            Self::Io(e) => write!(f, "cannot be read: {e}"),
        }
    }
}

/// Reads a file of at most `limit` bytes as text. A larger one is refused by its size, without being read.
pub(crate) fn read_text(file: File, metadata: &Metadata, limit: u64) -> Result<String, NotText> {
    if metadata.len() > limit {
        return Err(NotText::TooLarge { bytes: metadata.len(), limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    let mut file = file.take(limit + 1);
    file.by_ref().take(BINARY_PROBE as u64).read_to_end(&mut bytes).map_err(NotText::Io)?;
    if bytes.contains(&0) {
        return Err(NotText::Binary);
    }
    file.read_to_end(&mut bytes).map_err(NotText::Io)?;
    if bytes.len() as u64 > limit {
        return Err(NotText::TooLarge { bytes: bytes.len() as u64, limit });
    }
    String::from_utf8(bytes).map_err(|e| NotText::InvalidUtf8 { at: e.utf8_error().valid_up_to() })
}
