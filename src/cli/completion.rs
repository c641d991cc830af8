//! `generate-completion`: the words, and the scripts that clap's definitions make.

use clap::builder::PossibleValuesParser;
use clap::{Args, Command};
use clap_complete::Shell;

/// `riot generate-completion`.
#[derive(Debug, Args)]
pub struct Completion {
    /// bash, zsh, fish, elvish, powershell [default: bash]
    #[arg(value_name = "SHELL")]
    pub shell: Option<String>,
}

/// What may follow an option, where that is a few words; `--source-X` and `--target-X` take those of X. The options
/// themselves take any text, which `resolve` reads: case and hyphens make no difference to it.
const VALUES: &[(&str, &[&str])] = &[
    ("compare", &["quick", "full", "none"]),
    ("event-order", &["fifo", "priority"]),
    ("events", &["auto", "keyspace", "tracking"]),
    (
        "key-type",
        &["string", "hash", "list", "set", "zset", "stream"],
    ),
    ("log-format", &["text", "json"]),
    (
        "log-level",
        &["error", "warn", "info", "debug", "trace", "off"],
    ),
    ("mode", &["scan", "live", "liveonly", "compare"]),
    ("progress", &["bar", "block", "ascii", "log", "none"]),
    (
        "read-from",
        &[
            "upstream",
            "upstream_preferred",
            "replica",
            "replica_preferred",
            "any",
            "any_replica",
            "lowest_latency",
        ],
    ),
    ("report", &["text", "json", "short"]),
    ("resp", &["2", "3"]),
    ("retry", &["never", "always", "limit"]),
    ("skip", &["never", "always", "limit"]),
    ("tls-verify", &["full", "ca", "none"]),
    ("type", &["auto", "dump", "struct"]),
];

/// The completion script of a shell, for `riot` and for `riot-redis`, the link that packages install.
#[must_use]
pub fn script(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut shown(&super::command()), "riot", &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    match shell {
        Shell::Bash => text.replace("-o default riot\n", "-o default riot riot-redis\n"),
        Shell::Zsh => text
            .replace("#compdef riot\n", "#compdef riot riot-redis\n")
            .replace("compdef _riot riot\n", "compdef _riot riot riot-redis\n"),
        Shell::Fish => text + "complete -c riot-redis -w riot\n",
        Shell::Elvish => {
            text + "set edit:completion:arg-completer[riot-redis] = $edit:completion:arg-completer[riot]\n"
        }
        Shell::PowerShell => {
            text.replace("-CommandName 'riot' ", "-CommandName 'riot', 'riot-redis' ")
        }
        _ => text,
    }
}

/// The command without what the help does not show: some generators would offer it.
fn shown(command: &Command) -> Command {
    let arguments = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
        .cloned();
    let commands = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let copy = Command::new(command.get_name().to_owned());
    let copy = match command.get_version() {
        Some(version) => copy.version(version.to_owned()),
        None => copy,
    };
    copy.about(command.get_about().cloned().unwrap_or_default())
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .args(arguments.map(with_values))
        .subcommands(commands.map(shown))
}

fn with_values(argument: clap::Arg) -> clap::Arg {
    let long = argument.get_long().unwrap_or_default();
    let name = long
        .strip_prefix("source-")
        .or_else(|| long.strip_prefix("target-"))
        .unwrap_or(long);
    match VALUES.iter().find(|(option, _)| *option == name) {
        Some((_, values)) => argument.value_parser(PossibleValuesParser::new(*values)),
        None => argument,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::VALUES;
    use crate::resolve::{Parsed, Surroundings, parse};

    fn refusal(words: &[&str]) -> String {
        let surroundings = Surroundings {
            environment: &|_| None,
            terminal: false,
            ask: &|_| Ok(String::new()),
        };
        let words = ["riot", "replicate"].iter().chain(words);
        match parse(words.map(OsString::from), &surroundings) {
            Parsed::Run { .. } | Parsed::Check { .. } | Parsed::Ping { .. } => String::new(),
            Parsed::Exit { stderr, .. } => stderr,
        }
    }

    #[test]
    fn every_value_that_is_offered_is_taken() {
        let sides = ["127.0.0.1:1", "127.0.0.1:2"];
        for (option, values) in VALUES {
            // RIOT 3's bare options do not go with RIOT 4's addresses.
            let side = if ["resp", "tls-verify"].contains(option) {
                "source-"
            } else {
                ""
            };
            let option = format!("--{side}{option}");
            let live = option.starts_with("--event").then_some("--live");
            let said = |value| {
                let words = [option.as_str(), value].into_iter().chain(live);
                refusal(&words.chain(sides).collect::<Vec<_>>())
            };
            for value in *values {
                let said = said(value);
                assert!(!said.contains("is none of"), "{option} {value}: {said}");
            }
            // Types are asked of the server, which may have modules.
            if option == "--key-type" {
                continue;
            }
            let said = said("surely-not");
            assert!(said.contains(&option), "{option} surely-not: {said}");
        }
    }
}
