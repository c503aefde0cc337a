//! The configuration file: values for flags that neither the command line nor the environment gives.
//!
//! Built-in < file < environment < command line. The file's values become the defaults of the flags, so that everything which
//! holds for a flag holds for them. A file that is wrong anywhere stops every command before it does anything.

mod file;
mod settings;
mod show;

use std::path::PathBuf;

use clap::{ArgMatches, Command};
use etcetera::base_strategy::{BaseStrategy, choose_base_strategy};

use crate::failure::Failure;

pub(crate) use self::file::ConfigFile;
pub(crate) use self::show::show;

/// The file that these flags mean, if there is one.
pub(crate) fn read(command: &Command, matches: &ArgMatches) -> Result<Option<ConfigFile>, Failure> {
    if matches.get_flag("no_config") {
        return Ok(None);
    }
    match matches.get_one::<std::ffi::OsString>("config") {
        Some(path) if path.is_empty() => Ok(None),
        Some(path) => ConfigFile::read(PathBuf::from(path), command).map(Some),
        None => match usual() {
            Some(path) if path.exists() => ConfigFile::read(path, command).map(Some),
            _ => Ok(None),
        },
    }
}

/// Where it is if nobody says: among the user's configuration.
fn usual() -> Option<PathBuf> {
    let user = choose_base_strategy().ok()?;
    Some(user.config_dir().join("agentos").join("config.toml"))
}
