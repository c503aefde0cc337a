//! The command line and the configuration file, read; what is wrong with them, said.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::args::Cli;
use crate::config::{self, ConfigFile};
use crate::failure::{Exit, Failure, one_line};

/// The command line, read.
pub(crate) struct Parsed {
    pub(crate) cli: Cli,
    pub(crate) matches: ArgMatches,
    pub(crate) file: Option<ConfigFile>,
}

/// Reads the command line and the configuration file. What is wrong with them is said in one line; help goes to standard output.
pub(crate) fn parse() -> Result<Parsed, ExitCode> {
    let command = Cli::command();
    let given = command.clone().try_get_matches().map_err(|error| refused(&error))?;
    let file = config::read(&command, &given).map_err(|failure| failure.show(wants_json()))?;
    let command = match &file {
        Some(file) => file.defaults(command),
        None => command,
    };
    let matches = command.try_get_matches().map_err(|error| refused(&error))?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| refused(&error))?;
    // The file may say one and the command line the other.
    let is_given = |flag: &str| matches.value_source(flag) == Some(ValueSource::CommandLine);
    if cli.global.quiet && cli.global.verbose {
        cli.global.quiet = is_given("quiet") && !is_given("verbose");
        cli.global.verbose = !cli.global.quiet;
    }
    Ok(Parsed { cli, matches, file })
}

fn refused(error: &clap::Error) -> ExitCode {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if is_help {
        // Whoever closed the pipe has read enough.
        drop(error.print());
        return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
    }
    let text = error.render().to_string();
    let message = text.split("\n\nUsage:").next().unwrap_or_default();
    let message = message.split("\n\nFor more information").next().unwrap_or_default();
    let message = one_line(message.trim_start_matches("error:"));
    Failure::new(Exit::Usage, message).hint("see `agentos --help`").show(wants_json())
}

/// The flag, where the command line could not be read.
fn wants_json() -> bool {
    std::env::args_os().any(|arg| arg == "--json")
}
