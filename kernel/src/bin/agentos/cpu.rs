//! `--cpu`: whose model.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The provider asked for. Its text form is what the flag takes and what a process is labelled with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum CpuChoice {
    Auto,
    Anthropic,
    /// At this address, or at the one in the environment.
    OpenAi(Option<String>),
    Local,
    Scripted(PathBuf),
}

impl FromStr for CpuChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once(':') {
            None if text == "auto" => Self::Auto,
            None if text == "anthropic" => Self::Anthropic,
            None if text == "openai" => Self::OpenAi(None),
            None if text == "local" => Self::Local,
            Some(("openai", url)) if !url.is_empty() => Self::OpenAi(Some(url.to_owned())),
            Some(("scripted", file)) if !file.is_empty() => {
                let Ok::<PathBuf, Infallible>(path) = file.parse();
                Self::Scripted(path)
            }
            _ => return Err("one of auto, anthropic, openai, openai:URL, local, scripted:FILE".to_owned()),
        })
    }
}

impl fmt::Display for CpuChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Anthropic => f.write_str("anthropic"),
            Self::OpenAi(None) => f.write_str("openai"),
            Self::OpenAi(Some(url)) => write!(f, "openai:{url}"),
            Self::Local => f.write_str("local"),
            Self::Scripted(path) => write!(f, "scripted:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_reads_as_it_is_written() {
        for text in
            ["auto", "anthropic", "openai", "openai:http://127.0.0.1:8080/v1", "local", "scripted:/a/b.toml"]
        {
            assert_eq!(text.parse::<CpuChoice>().unwrap().to_string(), text);
        }
        for wrong in ["", "claude", "scripted", "scripted:", "openai:", "local:x"] {
            assert!(wrong.parse::<CpuChoice>().is_err(), "{wrong}");
        }
    }
}
