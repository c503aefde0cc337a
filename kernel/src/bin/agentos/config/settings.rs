//! What a configuration file may say: each key and the flag whose value it is. A further one is a further row.

/// What kind of value a key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Flag,
    Number,
    Text,
    /// Relative to the folder of the file.
    Path,
    /// Money: a text or a number.
    Dollars,
}

impl Kind {
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Number => "a whole number",
            Self::Text => "a text in quotes",
            Self::Path => "a path in quotes",
            Self::Dollars => "an amount such as 0.25",
        }
    }
}

/// A key of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// With the name of its table.
    pub(super) key: &'static str,
    /// The flag's name as clap has it.
    pub(super) flag: &'static str,
    /// The commands that have the flag; all without.
    pub(super) commands: &'static [&'static str],
    pub(super) kind: Kind,
}

const RUN: &[&str] = &["run"];
const RUNS: &[&str] = &["run", "resume"];
const MODELS: &[&str] = &["run", "import"];

const fn setting(
    key: &'static str,
    flag: &'static str,
    commands: &'static [&'static str],
    kind: Kind,
) -> Setting {
    Setting { key, flag, commands, kind }
}

/// All keys.
pub(super) const SETTINGS: &[Setting] = &[
    setting("data_dir", "data_dir", &[], Kind::Path),
    setting("store", "store", &[], Kind::Text),
    setting("verbose", "verbose", &[], Kind::Flag),
    setting("quiet", "quiet", &[], Kind::Flag),
    setting("agent", "agent", RUN, Kind::Text),
    setting("priority", "priority", RUN, Kind::Number),
    setting("cpu", "cpu", MODELS, Kind::Text),
    setting("model", "model", MODELS, Kind::Text),
    setting("window", "window", RUN, Kind::Number),
    setting("slots", "slots", RUNS, Kind::Number),
    setting("threads", "threads", RUN, Kind::Number),
    setting("embeddings", "embeddings", RUNS, Kind::Path),
    setting("no_keep_warm", "no_keep_warm", RUN, Kind::Flag),
    setting("no_install", "no_install", RUN, Kind::Flag),
    setting("budget.tokens", "max_tokens", RUN, Kind::Number),
    setting("budget.cost", "max_cost", RUN, Kind::Dollars),
    setting("budget.steps", "max_steps", RUN, Kind::Number),
    setting("budget.calls", "max_calls", RUN, Kind::Number),
    setting("budget.tool_calls", "max_tool_calls", RUN, Kind::Number),
    setting("budget.time", "max_time", RUN, Kind::Text),
    setting("budget.children", "max_children", RUN, Kind::Number),
    setting("rate", "rate", RUN, Kind::Text),
    setting("tenant", "tenant", RUN, Kind::Text),
    setting("provider.rpm", "rpm", RUNS, Kind::Number),
    setting("provider.tpm", "tpm", RUNS, Kind::Number),
    setting("system.tokens", "system_tokens", RUNS, Kind::Number),
    setting("system.cost", "system_cost", RUNS, Kind::Dollars),
    setting("system.calls", "system_calls", RUNS, Kind::Number),
    setting("system.rate", "system_rate", RUNS, Kind::Text),
    setting("scheduler.policy", "scheduler", RUNS, Kind::Text),
    setting("scheduler.slack", "slack", RUNS, Kind::Number),
];

/// A setting by its key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// Whether some keys are in a table of this name.
pub(super) fn is_table(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.split_once('.').is_some_and(|(table, _)| table == name))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_key_is_a_flag_of_its_commands() {
        let command = crate::args::Cli::command();
        for setting in SETTINGS {
            let has =
                |command: &clap::Command| command.get_arguments().any(|arg| arg.get_id() == setting.flag);
            if setting.commands.is_empty() {
                assert!(has(&command), "{}", setting.key);
            }
            for name in setting.commands {
                assert!(command.find_subcommand(name).is_some_and(has), "{} of {name}", setting.key);
            }
        }
    }
}
