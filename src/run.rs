//! The program from its words to its exit status.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use crate::check::{self, Verdict};
use crate::config::{Config, Console};
use crate::error::RunError;
use crate::logging;
use crate::metrics::{self, Board};
use crate::output::Printer;
use crate::ping::{self, Ended, Ping};
use crate::replicate;
use crate::resolve::{Parsed, from_args};
use crate::session::Outcome;
use crate::signal::{Signals, Stop};

/// Done, with differences or failed keys; or a bug of ours.
const DIFFERENT: u8 = 1;
/// A file that the command line names does not do.
const UNFIT: u8 = 2;
/// It needed the network to be known.
const UNUSABLE: u8 = 3;
/// A stop signal came first.
const INTERRUPTED: u8 = 130;

/// Runs the program on a command line, its own name first.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    match from_args(args) {
        Parsed::Exit {
            status,
            stdout,
            stderr,
        } => {
            // Nobody is left to tell when a stream is closed.
            let _ = std::io::stdout().write_all(stdout.as_bytes());
            let _ = std::io::stderr().write_all(stderr.as_bytes());
            ExitCode::from(status)
        }
        Parsed::Run { config, notices } => {
            ExitCode::from(go(&Task::Run(&config, Arc::default()), &notices))
        }
        Parsed::Check { config, notices } => ExitCode::from(go(&Task::Check(&config), &notices)),
        Parsed::Ping { ping, notices } => ExitCode::from(go(&Task::Ping(&ping), &notices)),
    }
}

/// What is to be done.
enum Task<'a> {
    Run(&'a Config, Arc<Board>),
    Check(&'a Config),
    Ping(&'a Ping),
}

impl Task<'_> {
    fn console(&self) -> &Console {
        match self {
            Self::Run(config, _) | Self::Check(config) => &config.console,
            Self::Ping(ping) => &ping.console,
        }
    }

    /// Does it, to its exit status.
    async fn run(&self, printer: &Printer, stop: &Stop) -> Result<u8, RunError> {
        Ok(match self {
            Self::Run(config, board) => match replicate::run(config, printer, board, stop).await? {
                Outcome::Equal => 0,
                Outcome::Different => DIFFERENT,
                Outcome::Interrupted => INTERRUPTED,
            },
            Self::Check(config) => tokio::select! {
                verdict = check::run(config, printer) => match verdict? {
                    Verdict::Ready => 0,
                    Verdict::NotReady => DIFFERENT,
                    Verdict::Unreachable => UNUSABLE,
                },
                () = stop.draining() => INTERRUPTED,
            },
            Self::Ping(ping) => match ping::run(ping, printer, stop).await? {
                Ended::Done => 0,
                Ended::Interrupted => INTERRUPTED,
                Ended::Unreachable => UNUSABLE,
            },
        })
    }
}

fn go(task: &Task<'_>, notices: &[String]) -> u8 {
    let console = task.console();
    let printer = Printer::new(console);
    if let Err(error) = logging::init(&console.log, &printer) {
        printer.line(&format!("error: {error}"));
        return UNFIT;
    }
    for notice in notices {
        printer.line(notice);
    }
    if let Task::Run(config, board) = task
        && let Some(wanted) = &config.metrics
    {
        match metrics::serve(wanted, board.clone()) {
            Ok(address) => printer.line(&format!("metrics: http://{address}/metrics")),
            Err(why) => {
                printer.line(&format!("error: {why}"));
                return UNUSABLE;
            }
        }
    }
    let ended = runtime(task)
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(until_done(task, &printer)));
    match ended {
        Ok(status) => status,
        Err(error) => {
            printer.line(&format!("error: {error:#}"));
            match error.downcast_ref::<RunError>() {
                Some(
                    RunError::Unusable { .. } | RunError::Left { .. } | RunError::SameDatabase(_),
                ) => UNUSABLE,
                Some(RunError::State { .. }) => UNFIT,
                Some(RunError::Aborted) => INTERRUPTED,
                Some(RunError::Internal(_)) | None => DIFFERENT,
            }
        }
    }
}

/// One thread serves ten lanes of plain connections; encryption is worth a second.
fn runtime(task: &Task<'_>) -> std::io::Result<tokio::runtime::Runtime> {
    let encrypted = match task {
        Task::Run(config, _) => config.source.tls.is_some() || config.target.tls.is_some(),
        Task::Check(_) | Task::Ping(_) => false,
    };
    if encrypted {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
    } else {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    }
}

/// The first signal lets what was taken in drain, the second ends the run at once.
async fn until_done(task: &Task<'_>, printer: &Printer) -> anyhow::Result<u8> {
    let stop = Stop::default();
    let mut signals = Signals::new()?;
    let run = task.run(printer, &stop);
    tokio::pin!(run);
    loop {
        tokio::select! {
            status = &mut run => return Ok(status?),
            () = signals.next() => {
                if stop.is_draining() {
                    printer.finish_phase();
                    return Err(RunError::Aborted.into());
                }
                if matches!(task, Task::Run(..)) {
                    printer.line("stopping: what was taken in is written first; once more to abort");
                }
                stop.drain();
            }
        }
    }
}
