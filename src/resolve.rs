//! What the words mean: the command line and the environment become one validated [`Config`], or one line that says why
//! not. Nothing is printed here; only a password is asked for, when the words say so.

mod carriage;
mod cluster;
mod completion;
mod console;
mod databases;
mod endpoint;
mod flow;
mod glob;
mod keys;
mod live;
mod metrics;
mod ping;
mod prompt;
mod refuse;
mod rewrite;
mod shard;
mod uri;
mod usage;
mod value;
mod words;

#[cfg(test)]
mod tests;

use std::env::VarError;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal};

use clap::error::ErrorKind;
use clap::{ArgMatches, FromArgMatches};

use crate::cli::{self, Cli, Global, Job};
use crate::config::{
    Address, Command, Config, Databases, Endpoint, Password, Rewrite, Side, Verification, Which,
};
use crate::ping::Ping;
use crate::transform::Rename;
use databases::Db;
use words::Words;

/// A scan, a reader, and what measures the source.
const LEAST_MEASURED: usize = 3;

/// What a command line comes to.
#[derive(Debug)]
pub enum Parsed {
    /// A run.
    Run {
        /// Everything it was told.
        config: Box<Config>,
        /// Lines for the operator, without a newline, for standard error.
        notices: Vec<String>,
    },
    /// A look at whether such a run could start.
    Check {
        /// Everything that the run would be told.
        config: Box<Config>,
        /// Lines for the operator, without a newline, for standard error.
        notices: Vec<String>,
    },
    /// Round trips.
    Ping {
        /// To what, how often, how shown.
        ping: Box<Ping>,
        /// Lines for the operator, without a newline, for standard error.
        notices: Vec<String>,
    },
    /// Help, version, or a usage error: print and end.
    Exit {
        /// Exit status.
        status: u8,
        /// For standard output, newlines included.
        stdout: String,
        /// For standard error, newlines included.
        stderr: String,
    },
}

/// One line about what is wrong with the words: it names the option, and holds no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

impl UsageError {
    fn new(option: &str, reason: impl fmt::Display) -> Self {
        Self::of(format!("{option}: {reason}"))
    }

    /// Control characters that were typed do not break the line; an address that stands where none is expected keeps its
    /// password for itself.
    fn of(mut line: String) -> Self {
        if let Some(start) = line.find("://")
            && let Some(end) = line.rfind('@').filter(|end| *end > start)
        {
            line.replace_range(start + 3..end, "***");
        }
        if line.contains(char::is_control) {
            return Self(
                line.chars()
                    .map(|c| if c.is_control() { '?' } else { c })
                    .collect(),
            );
        }
        Self(line)
    }

    fn and(self, hint: &str) -> Self {
        Self(format!("{}; {hint}", self.0))
    }
}

/// What resolving needs of the world.
pub struct Surroundings<'a> {
    /// A variable of the environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Whether standard error is a terminal.
    pub terminal: bool,
    /// Asks for a password, under this prompt, on the terminal.
    pub ask: &'a dyn Fn(&str) -> io::Result<String>,
}

/// Reads the command line, the program's name first, and this process' environment and terminal.
pub fn from_args(args: impl Iterator<Item = OsString>) -> Parsed {
    for name in endpoint::VARIABLES.into_iter().chain([shard::VARIABLE]) {
        if let Err(VarError::NotUnicode(_)) = std::env::var(name) {
            return refused(&UsageError::new(name, "is not UTF-8"));
        }
    }
    let surroundings = Surroundings {
        environment: &|name| std::env::var(name).ok(),
        terminal: io::stderr().is_terminal(),
        ask: &prompt::ask,
    };
    parse(args, &surroundings)
}

/// Reads the command line in the given surroundings.
pub fn parse(args: impl Iterator<Item = OsString>, surroundings: &Surroundings<'_>) -> Parsed {
    let read = cli::command()
        .try_get_matches_from(args)
        .and_then(|matches| {
            let mut typed = Cli::from_arg_matches(&matches)?;
            take_addresses(&mut typed, &matches);
            Ok(typed)
        });
    let typed = match read {
        Ok(typed) => typed,
        Err(error) => {
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Parsed::Exit {
                    status: 0,
                    stdout: error.render().to_string(),
                    stderr: String::new(),
                },
                _ => refused(&usage::line(&error)),
            };
        }
    };
    resolve(typed, surroundings).unwrap_or_else(|error| refused(&error))
}

fn refused(error: &UsageError) -> Parsed {
    Parsed::Exit {
        status: 2,
        stdout: String::new(),
        stderr: format!("error: {error}\n"),
    }
}

/// Where no positional is left and no bare connection option was given, the last two of the words after `--key-include`,
/// `--key-exclude` or `--key-slots` are SOURCE and TARGET.
fn take_addresses(typed: &mut Cli, matches: &ArgMatches) {
    let bare = typed.bare.clone();
    let (
        Some(cli::Command::Replicate(job) | cli::Command::Compare(job) | cli::Command::Check(job)),
        Some((_, matches)),
    ) = (&mut typed.command, matches.subcommand())
    else {
        return;
    };
    let any_bare = [bare, job.bare.clone()]
        .into_iter()
        .any(|bare| Words::bare(bare).map_or(true, |(words, _)| !words.options().is_empty()));
    if job.source.is_some() || job.target.is_some() || any_bare {
        return;
    }
    // The words of each time an option was given, and where they stand on the command line.
    let mut last: Option<(usize, &str, usize, usize)> = None;
    for id in ["key_include", "key_exclude", "key_slots"] {
        let Some(times) = matches.get_occurrences::<String>(id) else {
            continue;
        };
        let places: Vec<usize> = matches.indices_of(id).into_iter().flatten().collect();
        let mut start = 0;
        for words in times {
            let count = words.len();
            let place = places.get(start).copied().unwrap_or_default();
            if count > 2 && last.is_none_or(|(other, ..)| place > other) {
                last = Some((place, id, start, count));
            }
            start += count;
        }
    }
    let Some((_, id, start, count)) = last else {
        return;
    };
    let words = match id {
        "key_include" => &mut job.keys.key_include,
        "key_exclude" => &mut job.keys.key_exclude,
        _ => &mut job.keys.key_slots,
    };
    let end = start + count;
    let mut taken = words.drain(end.saturating_sub(2)..end).map(cli::Hidden);
    job.source = taken.next();
    job.target = taken.next();
}

/// The words become what is to be done, and lines for the operator.
pub fn resolve(typed: Cli, surroundings: &Surroundings<'_>) -> Result<Parsed, UsageError> {
    let Cli {
        global,
        bare,
        command,
    } = typed;
    let runs = matches!(
        command,
        None | Some(cli::Command::Replicate(_) | cli::Command::Compare(_))
    );
    if !runs && global.metrics.is_some() {
        return Err(UsageError::new(
            "--metrics",
            "is of riot replicate and riot compare: nothing else has metrics",
        ));
    }
    let (command, job, checks) = match command {
        Some(cli::Command::Replicate(job)) => (Command::Replicate, job, false),
        Some(cli::Command::Compare(job)) => (Command::Compare, job, false),
        Some(cli::Command::Check(job)) => (Command::Replicate, job, true),
        Some(cli::Command::Ping(words)) => {
            let (ping, notices) = ping::resolve(*words, bare, &global, surroundings)?;
            let ping = Box::new(ping);
            return Ok(Parsed::Ping { ping, notices });
        }
        Some(cli::Command::GenerateCompletion(asked)) => {
            return Ok(Parsed::Exit {
                status: 0,
                stdout: completion::script(&asked, bare)?,
                stderr: String::new(),
            });
        }
        None => {
            return Err(UsageError::of(
                "no command: riot replicate SOURCE TARGET, or see riot --help".to_owned(),
            ));
        }
    };
    let (config, notices) = run(command, *job, bare, &global, surroundings)?;
    let config = Box::new(config);
    Ok(if checks {
        Parsed::Check { config, notices }
    } else {
        Parsed::Run { config, notices }
    })
}

fn run(
    command: Command,
    mut job: Job,
    bare: cli::Bare,
    global: &Global,
    surroundings: &Surroundings<'_>,
) -> Result<(Config, Vec<String>), UsageError> {
    let mut notices = Vec::new();
    let mode = refuse::job(command, &mut job)?;
    let command = mode.command();
    let console = console::resolve(global, surroundings.terminal, &mut notices)?;
    let metrics = metrics::resolve(global, &mut notices)?;
    let (source_words, target_words) = sides(&job, bare)?;
    let shard = shard::resolve(job.keys.shard.as_deref(), surroundings, &mut notices)?;
    let selection = keys::resolve(&job.keys, shard.as_ref(), &mut notices)?;
    let rewrite = rewrite::resolve(&job.changes)?;
    let carried = carriage::resolve(mode, &job)?;
    let flow = flow::flow(&job, &carried, global, &mut notices)?;
    let state = flow::state(&job)?;
    let live = live::resolve(mode, &job.live, &mut notices)?;
    let verification = flow::verification(command, &job, &carried, live.as_ref(), &mut notices)?;
    if live.is_some() {
        live::refuse_type_in_names(&rewrite)?;
    }
    refuse_lost_names(&verification, &rewrite)?;

    let anything_said = job.source.is_some()
        || !source_words.options().is_empty()
        || !target_words.options().is_empty();
    let place = |side, positional| endpoint::Place {
        side,
        positional,
        surroundings,
    };
    let source = endpoint::resolve(
        &place(Side::Source, job.source),
        &source_words,
        &mut notices,
    )?;
    let target = endpoint::resolve(
        &place(Side::Target, job.target),
        &target_words,
        &mut notices,
    )?;
    let databases = databases::resolve(&source.database, &target.database, &job.keys.db_map)?;
    refuse_same(
        &source.endpoint,
        &target.endpoint,
        databases.as_ref(),
        anything_said,
    )?;
    if flow.source_cpu.is_some() && source.endpoint.pool < LEAST_MEASURED {
        return Err(UsageError::new(
            "--source-cpu",
            format!(
                "measures on a connection of its own: --source-pool must be {LEAST_MEASURED} or more"
            ),
        ));
    }
    if let (Some(live), Some(resp)) = (&live, &source_words.resp) {
        live::refuse_tracking_without_resp3(live, &source.endpoint, &resp.option)?;
    }
    // Last, so that nobody types a password for words that are wrong.
    let source = ask(source, surroundings)?;
    let target = ask(target, surroundings)?;
    Ok((
        Config {
            command,
            source,
            target,
            databases,
            selection,
            rewrite,
            flow,
            live,
            verification,
            state,
            console,
            metrics,
        },
        notices,
    ))
}

/// What is to be looked for by its name at the target needs a name that tells the source's.
fn refuse_lost_names(verification: &Verification, rewrite: &Rewrite) -> Result<(), UsageError> {
    let option = if verification.both {
        "--both"
    } else if verification.delete_extra {
        "--delete-extra"
    } else {
        return Ok(());
    };
    // Which databases they go between does not matter to that.
    if Rename::new(rewrite, 0, 0).can_be_inverted() {
        return Ok(());
    }
    Err(UsageError::new(
        option,
        "needs names that can be told back to the source's: no --key-replace, and exactly one #{key} in --key-process",
    ))
}

/// Each side's options, by the spelling that was used.
fn sides(job: &Job, before: cli::Bare) -> Result<(Words, Words), UsageError> {
    let source = Words::source(job.source_side.clone())?;
    let target = Words::target(job.target_side.clone())?;
    let (before, reading_before) = Words::bare(before)?;
    let (after, reading_after) = Words::bare(job.bare.clone())?;
    match (&job.source, &job.target) {
        (Some(_), Some(_)) => {
            before.refuse_beside_positionals(Side::Source)?;
            after.refuse_beside_positionals(Side::Target)?;
        }
        (None, None) => {}
        _ => return Err(one_positional(&[&source, &target, &before, &after])),
    }
    Ok((
        source
            .and(before)?
            .and(reading_before.and(reading_after)?)?,
        target.and(after)?,
    ))
}

/// SOURCE or TARGET is missing: perhaps a password option took it.
fn one_positional(sides: &[&Words]) -> UsageError {
    let taken = sides.iter().find_map(|words| {
        match words.secret.as_ref().map(|given| (given, &given.value)) {
            Some((given, words::Secret::Typed(word))) if uri::may_be_address(&word.0) => {
                Some(&given.option)
            }
            _ => None,
        }
    });
    match taken {
        Some(option) => UsageError::new(
            option,
            "took the address after it for a password; to be asked for the password put another option between them",
        ),
        None => UsageError::of(
            "one of SOURCE and TARGET is missing: riot replicate SOURCE TARGET".to_owned(),
        ),
    }
}

/// The same database on both sides, as far as the words tell.
fn refuse_same(
    source: &Endpoint,
    target: &Endpoint,
    databases: Option<&Databases>,
    anything_said: bool,
) -> Result<(), UsageError> {
    let database = match databases {
        None => (source.database == target.database).then_some(source.database),
        Some(databases) => same_number(databases),
    };
    let plain = |address: &Address| match address {
        Address::Tcp { host, port } => Address::Tcp {
            host: host.to_ascii_lowercase(),
            port: *port,
        },
        Address::Sentinel { nodes, master } => {
            let mut nodes: Vec<_> = nodes
                .iter()
                .map(|(host, port)| (host.to_ascii_lowercase(), *port))
                .collect();
            nodes.sort();
            Address::Sentinel {
                nodes,
                master: master.clone(),
            }
        }
        address @ Address::Unix(_) => address.clone(),
    };
    let Some(database) = database else {
        return Ok(());
    };
    if plain(&source.address) != plain(&target.address) {
        return Ok(());
    }
    let same = UsageError::of(format!(
        "SOURCE and TARGET are the same database: {}, database {database}",
        source.address
    ));
    Err(if anything_said {
        same
    } else {
        same.and("say where they are: riot replicate SOURCE TARGET")
    })
}

/// Of several databases the first that goes to its own number, as far as the words tell.
fn same_number(databases: &Databases) -> Option<u32> {
    match &databases.which {
        Which::All if databases.map.is_empty() => Some(0),
        // Which have keys only the source knows.
        Which::All => None,
        Which::Listed(listed) => {
            let mut listed = listed.iter().copied();
            listed.find(|number| databases.target_of(*number) == *number)
        }
    }
}

/// Asks for a password where one is to be asked for.
fn ask(draft: endpoint::Draft, surroundings: &Surroundings<'_>) -> Result<Endpoint, UsageError> {
    let endpoint::Draft {
        mut endpoint,
        prompt,
        database: _,
    } = draft;
    let Some(option) = prompt else {
        return Ok(endpoint);
    };
    let question = format!("Password of the {} {}: ", endpoint.side, endpoint.address);
    let password = (surroundings.ask)(&question).map_err(|_| {
        let variable = format!("RIOT_{}_PASS", endpoint.side.to_string().to_uppercase());
        UsageError::new(
            &option,
            format!("no terminal to ask for the password on; use {option}-file or {variable}"),
        )
    })?;
    endpoint.password = if password.is_empty() && endpoint.user.is_none() {
        Password::None
    } else {
        Password::Fixed(password)
    };
    Ok(endpoint)
}
