//! `agentos config`: what holds, and where it comes from.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory};
use serde_json::{Map, Value, json};

use crate::args::Cli;
use crate::disk::masked;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::ui::Ui;

use super::file::ConfigFile;
use super::settings::{SETTINGS, Setting};

/// What a run would have if it was started now, for each key.
pub(crate) fn show(given: &ArgMatches, file: Option<&ConfigFile>, ui: &Ui) -> Result<Exit, Failure> {
    let command = file.map_or_else(Cli::command, |file| file.defaults(Cli::command()));
    let line = command_line(&command, given);
    let matches = command.clone().try_get_matches_from(line).map_err(|error| {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Failure::new(Exit::Usage, first)
    })?;
    let run = matches.subcommand_matches("run").unwrap_or(&matches);
    let rows: Vec<Row> = SETTINGS.iter().map(|setting| Row::new(setting, run, file, &command)).collect();
    let path = file.map(|file| file.path.display().to_string());
    if ui.json {
        let rows: Map<String, Value> =
            rows.into_iter().map(|row| (row.key.to_owned(), row.object())).collect();
        output::line(&json!({ "file": path, "values": rows }).to_string())?;
        return Ok(Exit::Ok);
    }
    output::line(&format!("file: {}", path.as_deref().unwrap_or("none")))?;
    for Row { key, value, source } in rows {
        output::line(&format!("{key:<18}  {:<24}  {source}", value.as_deref().unwrap_or("-")))?;
    }
    Ok(Exit::Ok)
}

/// A run with the global flags of this command.
fn command_line(command: &Command, given: &ArgMatches) -> Vec<String> {
    let mut line = vec!["agentos".to_owned()];
    for setting in SETTINGS.iter().filter(|setting| setting.commands.is_empty()) {
        let Some(arg) = command.get_arguments().find(|arg| arg.get_id() == setting.flag) else { continue };
        if given.value_source(setting.flag) == Some(ValueSource::CommandLine)
            && let (Some(name), Some(value)) = (arg.get_long(), raw(given, setting))
        {
            line.push(format!("--{name}={value}"));
        }
    }
    line.extend(["run", "--", "task"].map(str::to_owned));
    line
}

fn raw(matches: &ArgMatches, setting: &Setting) -> Option<String> {
    let mut values = matches.get_raw(setting.flag)?;
    values.next().map(|value| value.to_string_lossy().into_owned())
}

/// What a flag has that may be given several times: all of it.
fn all(matches: &ArgMatches, setting: &Setting) -> Option<String> {
    let values = matches.get_raw(setting.flag)?;
    let values: Vec<String> = values.map(|value| value.to_string_lossy().trim().to_owned()).collect();
    Some(values.join("; "))
}

struct Row {
    key: &'static str,
    value: Option<String>,
    source: String,
}

impl Row {
    fn new(
        setting: &'static Setting,
        run: &ArgMatches,
        file: Option<&ConfigFile>,
        command: &Command,
    ) -> Self {
        let in_file = || {
            let file = file?;
            let value = file.values.iter().find(|value| value.setting.key == setting.key)?;
            Some(format!("{}:{}", file.path.display(), value.line))
        };
        let source = match run.value_source(setting.flag) {
            Some(ValueSource::CommandLine) => "command line".to_owned(),
            Some(ValueSource::EnvVariable) => variable(setting, command).unwrap_or("environment".to_owned()),
            _ => in_file().unwrap_or("built-in".to_owned()),
        };
        // The URL of a store may hold a password.
        let value =
            all(run, setting).map(|value| if setting.key == "store" { masked(&value) } else { value });
        Self { key: setting.key, value, source }
    }

    fn object(self) -> Value {
        json!({ "value": self.value, "source": self.source })
    }
}

/// The variable that gives a flag its value.
fn variable(setting: &Setting, command: &Command) -> Option<String> {
    let command = match setting.commands.first() {
        Some(name) => command.find_subcommand(name)?,
        None => command,
    };
    let arg = command.get_arguments().find(|arg| arg.get_id() == setting.flag)?;
    Some(format!("environment ({})", arg.get_env()?.to_string_lossy()))
}
