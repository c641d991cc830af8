//! What was typed: clap's types, word for word. What the words mean is `resolve`'s.

mod completion;
mod connect;
mod foreign;
mod job;
mod live;
mod ping;

use std::fmt;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};

pub use completion::{Completion, script};
pub use connect::{Bare, SourceSide, TargetSide};
pub use foreign::Foreign;
pub use job::{Changes, Checking, Job, Keys, Pace, Trouble};
pub use live::Live;
pub use ping::Ping;

/// The program.
#[derive(Debug, Parser)]
#[command(
    name = "riot",
    version,
    about = "Copies a Redis or Valkey database to another server or cluster, and proves that both hold the same",
    disable_help_flag = true,
    disable_help_subcommand = true,
    subcommand_precedence_over_arg = true,
    subcommand_value_name = "COMMAND",
    max_term_width = 120,
    override_usage = PROGRAM_USAGE,
    after_help = PROGRAM_NOTES
)]
pub struct Cli {
    /// Logs, progress, report.
    #[command(flatten)]
    pub global: Global,
    /// The source, in the spelling of RIOT 3.
    #[command(flatten)]
    pub bare: Bare,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const PROGRAM_USAGE: &str = "riot replicate [OPTIONS] SOURCE TARGET
       riot compare [OPTIONS] SOURCE TARGET
       riot check [OPTIONS] SOURCE TARGET
       riot [SOURCE CONNECTION] replicate [OPTIONS] [TARGET CONNECTION]
       riot ping [OPTIONS] [URI]";

const PROGRAM_NOTES: &str = "\
Examples:
  riot replicate redis://10.0.0.5:6379 rediss://user:secret@cache.example.com:6380/2
  riot replicate --mode live 10.0.0.5:6379 10.1.0.9:6379
  riot compare 10.0.0.5:6379 10.1.0.9:6379
  riot -h 10.0.0.5 -n 1 replicate -h 10.1.0.9 -n 1

-h is the host, as in redis-cli. Every option of a command: riot COMMAND --help

Exit status: 0 done and equal; 1 differences, failed keys or an open gap; 2 the command line; 3 a server; 130 interrupted";

const JOB_NOTES: &str = "\
SOURCE and TARGET: host, host:port, redis://[[user:]password@]host[:port][/db], rediss:// for TLS,
unix:///path, redis-sentinel://host:26379,host:26379/0#mymaster (rediss-sentinel:// for TLS)

Environment: RIOT_SOURCE_URI, RIOT_SOURCE_USER, RIOT_SOURCE_PASS, RIOT_TARGET_URI, RIOT_TARGET_USER,
RIOT_TARGET_PASS; RIOT_SHARD for --shard. A password on the command line can be seen in ps.

Durations: 100ms, 5s, 2m, 1h, 1d; a bare number is milliseconds. Sizes: 512KB, 5MB, 1GB.";

const CHECK_NOTES: &str = "\
Takes the options of replicate, and looks at what such a run would need: --mode live for what live needs, --type struct for
the commands of each type, --mode compare for riot compare. Addresses, environment, durations: see riot replicate --help.

Exit status: 0 ready, notes or none; 1 not ready, each line with what to do; 2 the command line; 3 a side cannot be reached";

const PING_NOTES: &str = "\
URI: host, host:port, redis://[[user:]password@]host[:port][/db], rediss:// for TLS, unix:///path,
redis-sentinel://host:26379,host:26379/0#mymaster [default: 127.0.0.1:6379]

Environment: RIOT_SOURCE_URI, RIOT_SOURCE_USER, RIOT_SOURCE_PASS.

Exit status: 0; 2 the command line; 3 a server cannot be reached; 130 interrupted";

const COMPLETION_NOTES: &str = "\
Examples:
  eval \"$(riot generate-completion)\"
  riot generate-completion zsh >~/.zfunc/_riot
  riot generate-completion fish >~/.config/fish/completions/riot.fish

The script completes riot and riot-redis.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Copy the source's keys to the target, once or live, then compare
    #[command(alias = "sync", override_usage = "riot replicate [OPTIONS] SOURCE TARGET
       riot [SOURCE CONNECTION] replicate [OPTIONS] [TARGET CONNECTION]", after_help = JOB_NOTES)]
    Replicate(Box<Job>),
    /// Compare the source's keys with the target's
    #[command(override_usage = "riot compare [OPTIONS] SOURCE TARGET
       riot [SOURCE CONNECTION] compare [OPTIONS] [TARGET CONNECTION]", after_help = JOB_NOTES)]
    Compare(Box<Job>),
    /// Say whether a migration can start, and what stands in its way; writes nothing
    #[command(override_usage = "riot check [OPTIONS] SOURCE TARGET
       riot [SOURCE CONNECTION] check [OPTIONS] [TARGET CONNECTION]", after_help = CHECK_NOTES)]
    Check(Box<Job>),
    /// Measure round trips to one server, or to each master of a cluster
    #[command(override_usage = "riot ping [OPTIONS] [URI]
       riot [CONNECTION] ping [OPTIONS]", after_help = PING_NOTES)]
    Ping(Box<Ping>),
    /// Print the completion script of a shell
    #[command(override_usage = "riot generate-completion [SHELL]", after_help = COMPLETION_NOTES)]
    GenerateCompletion(Completion),
}

/// "Seeing it", and what else may stand before or after the command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Seeing it")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct Global {
    /// Show this help
    #[arg(long, action = ArgAction::HelpShort, global = true, help_heading = "Seeing it")]
    help: Option<bool>,
    /// How progress is shown: bar, block, ascii, log, none [default: bar on a terminal, else log]
    #[arg(long, value_name = "STYLE", global = true)]
    pub progress: Option<String>,
    /// Time between two updates of the progress [default: 1s]
    #[arg(long, value_name = "DURATION", global = true)]
    pub progress_rate: Option<String>,
    /// Log errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log warnings and errors
    #[arg(short, long, global = true)]
    pub warn: bool,
    /// Log what the run does
    #[arg(short, long, global = true)]
    pub info: bool,
    /// Log details
    #[arg(short, long, global = true)]
    pub debug: bool,
    /// Lowest level logged: error, warn, info, debug, trace, off [default: warn]
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
    /// Log to a file, to System.err or to System.out [default: standard error]
    #[arg(long, value_name = "FILE", global = true)]
    pub log_file: Option<String>,
    /// Form of log lines: text, json [default: text]
    #[arg(long, value_name = "FORMAT", global = true)]
    pub log_format: Option<String>,
    /// Show the time in log lines, as is the default
    #[arg(long, global = true, hide = true)]
    pub log_time: bool,
    /// Leave the time out of log lines
    #[arg(long, global = true)]
    pub no_log_time: bool,
    /// Form of the time [default: "yyyy-MM-dd HH:mm:ss.SSS"]
    #[arg(long, value_name = "PATTERN", global = true)]
    pub log_time_fmt: Option<String>,
    /// Form of the closing report on standard output: text, json, short [default: text]
    #[arg(long, value_name = "FORM", global = true)]
    pub report: Option<String>,
    /// Report p50, p99 and the longest time of each command on each side
    #[arg(short, long, global = true)]
    pub latency: bool,
    /// End the run when a connection is lost, instead of connecting again
    #[arg(long, global = true)]
    pub no_auto_reconnect: bool,
    /// Serve metrics for Prometheus at /metrics, and /healthz and /readyz
    #[arg(long, value_name = "HOST:PORT", global = true)]
    pub metrics: Option<String>,
    /// /readyz says yes while no change waits for so long [default: 1s]
    #[arg(long, value_name = "DURATION", global = true)]
    pub ready_lag: Option<String>,
    /// Java logger names.
    #[arg(long, value_name = "LOGGERS", global = true, hide = true)]
    pub log: Option<String>,
}

/// A word that may hold a secret: an address with its credentials, a password. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl From<String> for Hidden {
    fn from(word: String) -> Self {
        Self(word)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Options of the one struct [`Job`] that `compare` does not have: parsed, to be refused by name.
const NOT_COMPARE: &[&str] = &[
    "mode",
    "carriage",
    "structure",
    "merge",
    "merge_policy",
    "stream_id",
    "multi_exec",
    "wait_replicas",
    "wait_timeout",
    "compare",
    "no_verify",
    "live",
    "events",
    "event_queue",
    "event_order",
    "flush_interval",
    "idle_timeout",
    "accept_unproven",
    "state",
];

/// Those that `replicate` does not have.
const NOT_REPLICATE: &[&str] = &["quick", "repair"];

/// What `compare` says of options that change the copy in `replicate`, and belong to "Checking" there.
const COMPARED: &[(&str, &str)] = &[
    (
        "no_stream_id",
        "Compare streams without the ids of their messages, as --no-stream-msg-id",
    ),
    (
        "stream_prune",
        "A stream without messages at the source need not be at the target",
    ),
];

/// What `compare` says of `--big-key`, as it has no `--type`.
const REPAIR_BIG_KEY: &str =
    "With --repair: keys of more memory than this move in chunks; 0 is off [default: 16MB]";

/// What `replicate` says of `--delete-extra`, as it has no `--repair`.
const LIVE_DELETE_EXTRA: &str =
    "Live, where changes may have been missed: delete keys that only the target has";

/// clap's command, with each command's help showing its own options alone.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
        .mut_subcommand("compare", |command| {
            let command = NOT_COMPARE.iter().fold(command, |command, id| {
                command.mut_arg(id, |argument| argument.hide(true))
            });
            COMPARED
                .iter()
                .fold(command, |command, (id, help)| {
                    // Last of their heading: they are defined under another.
                    command.mut_arg(id, |argument| {
                        argument
                            .help_heading("Checking")
                            .display_order(usize::MAX)
                            .help(help)
                    })
                })
                .mut_arg("big_key", |argument| argument.help(REPAIR_BIG_KEY))
        })
        .mut_subcommand("replicate", replicates)
        .mut_subcommand("check", replicates)
        .mut_subcommand("ping", |command| {
            command.mut_args(|argument| {
                let bare = argument
                    .get_help_heading()
                    .is_some_and(|heading| heading.starts_with("One side"));
                if bare {
                    argument.help_heading("Connection")
                } else {
                    argument
                }
            })
        })
}

/// The options of a copy.
fn replicates(command: clap::Command) -> clap::Command {
    NOT_REPLICATE
        .iter()
        .fold(command, |command, id| {
            command.mut_arg(id, |argument| argument.hide(true))
        })
        .mut_arg("delete_extra", |argument| argument.help(LIVE_DELETE_EXTRA))
}

#[cfg(test)]
mod tests;
