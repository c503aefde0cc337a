//! A configuration file, read and checked.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::error::ContextKind;
use clap::{Arg, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::{Exit, Failure, one_line};
use crate::format::{clipped, plain};

use super::settings::{Kind, SETTINGS, Setting, find, is_table};

/// A file longer than this is none of ours.
const LONGEST: u64 = 1 << 20;
/// Characters of a key that are shown.
const KEY: usize = 40;

/// What a configuration file says.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    pub(super) path: PathBuf,
    pub(super) values: Vec<Value>,
}

/// A value and where it is.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) setting: &'static Setting,
    /// As it would be on the command line.
    pub(super) text: String,
    pub(super) line: usize,
}

impl ConfigFile {
    /// Reads a file; everything in it must be right.
    pub(super) fn read(path: PathBuf, command: &Command) -> Result<Self, Failure> {
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
        read.map_err(|error| {
            Failure::new(Exit::Config, format!("cannot read {}: {error}", path.display()))
                .hint("name another with --config, or do without: --no-config")
        })?;
        if text.len() as u64 > LONGEST {
            return Err(Failure::new(
                Exit::Config,
                format!("{} is longer than {LONGEST} bytes", path.display()),
            ));
        }
        let reader = Reader { path: &path, text: &text, command };
        let values = reader.values()?;
        Ok(Self { path, values })
    }

    /// The command line with the file's values as its defaults.
    pub(crate) fn defaults(&self, mut command: Command) -> Command {
        for value in &self.values {
            let set = |arg: Arg| arg.default_value(value.text.clone());
            if value.setting.commands.is_empty() {
                command = command.mut_arg(value.setting.flag, set);
            }
            for name in value.setting.commands {
                command = command.mut_subcommand(name, |command| command.mut_arg(value.setting.flag, set));
            }
        }
        command
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    command: &'a Command,
}

impl Reader<'_> {
    fn values(&self) -> Result<Vec<Value>, Failure> {
        let table = DeTable::parse(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // A parser does not always say which key it is at.
            let key = self.text.lines().nth(self.line(at) - 1).and_then(|line| line.split_once('='));
            let key = key.map_or_else(String::new, |(key, _)| format!("{}: ", clipped(key, KEY)));
            self.wrong(at, &format!("{key}{}", one_line(error.message())))
        })?;
        let mut values = Vec::new();
        self.table("", table.get_ref(), &mut values)?;
        Ok(values)
    }

    fn table(&self, prefix: &str, table: &DeTable<'_>, values: &mut Vec<Value>) -> Result<(), Failure> {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let at = name.span();
            if let Some(setting) = find(&key) {
                let text = self.value(setting, &at, value)?;
                values.push(Value { setting, text, line: self.line(at.start) });
            } else if prefix.is_empty() && is_table(&key) {
                let DeValue::Table(inner) = value.get_ref() else {
                    return Err(self.wrong(at.start, &format!("{key}: this is a table: [{key}]")));
                };
                self.table(&format!("{key}."), inner, values)?;
            } else {
                return Err(self.unknown(at.start, &key));
            }
        }
        Ok(())
    }

    /// The value as a flag would have it, checked as that of a flag is.
    fn value(
        &self,
        setting: &Setting,
        at: &Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<String, Failure> {
        let wrong = |what: &str| self.wrong(at.start, &format!("{}: {what}", setting.key));
        let text = match (setting.kind, value.get_ref()) {
            (Kind::Flag, DeValue::Boolean(on)) => on.to_string(),
            (Kind::Text | Kind::Dollars, DeValue::String(text)) => text.to_string(),
            (Kind::Path, DeValue::String(text)) if text == "off" => text.to_string(),
            (Kind::Path, DeValue::String(text)) => self.beside(text),
            (Kind::Number | Kind::Dollars, DeValue::Integer(number)) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => number.to_string(),
                    Err(_) => return Err(wrong("is too large")),
                }
            }
            (Kind::Dollars, DeValue::Float(number)) => number.as_str().to_owned(),
            (kind, found) => {
                return Err(wrong(&format!(
                    "is {}, expected {}",
                    article(found.type_str()),
                    kind.expected()
                )));
            }
        };
        match self.refused(setting, &text) {
            Some(why) => Err(wrong(&why)),
            None => Ok(text),
        }
    }

    /// A path that means the same from any folder.
    fn beside(&self, path: &str) -> String {
        let whole = self.path.parent().unwrap_or(Path::new("")).join(path);
        let whole = std::path::absolute(&whole).unwrap_or(whole);
        whole.into_os_string().into_string().unwrap_or_else(|_| path.to_owned())
    }

    /// Why the flag would not take this value.
    fn refused(&self, setting: &Setting, text: &str) -> Option<String> {
        let command = match setting.commands.first() {
            Some(name) => self.command.find_subcommand(name)?,
            None => self.command,
        };
        let flag = command.get_arguments().find(|arg| arg.get_id() == setting.flag)?;
        if setting.kind == Kind::Flag {
            return None;
        }
        let alone = Command::new("agentos").arg(flag.clone().env(Resettable::Reset).global(false));
        let given = format!("--{}={text}", flag.get_long()?);
        let error = alone.try_get_matches_from(["agentos", &given]).err()?;
        let known = error.get(ContextKind::ValidValue).map(|known| format!("{text:?} is not one of {known}"));
        let source = error.source().map(|source| format!("{text:?}: {source}"));
        Some(one_line(&known.or(source).unwrap_or_else(|| format!("{text:?} is not valid"))))
    }

    fn unknown(&self, at: usize, key: &str) -> Failure {
        let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
        self.wrong(at, &format!("{}: unknown key", plain(key))).hint(format!("there is {}", known.join(", ")))
    }

    fn wrong(&self, at: usize, what: &str) -> Failure {
        Failure::new(Exit::Config, format!("{}:{}: {what}", self.path.display(), self.line(at)))
    }

    fn line(&self, at: usize) -> usize {
        self.text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
    }
}

fn article(noun: &str) -> String {
    let an = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if an { "an" } else { "a" })
}
