//! The program from its words to its exit status.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::config::Config;
use crate::error::RunError;
use crate::logging;
use crate::output::Printer;
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
        Parsed::Run { config, notices } => ExitCode::from(go(&config, &notices)),
    }
}

fn go(config: &Config, notices: &[String]) -> u8 {
    let printer = Printer::new(&config.console);
    if let Err(error) = logging::init(&config.console.log, &printer) {
        printer.line(&format!("error: {error}"));
        return UNFIT;
    }
    for notice in notices {
        printer.line(notice);
    }
    let ended = runtime(config)
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(until_done(config, &printer)));
    match ended {
        Ok(Outcome::Equal) => 0,
        Ok(Outcome::Different) => DIFFERENT,
        Ok(Outcome::Interrupted) => INTERRUPTED,
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
fn runtime(config: &Config) -> std::io::Result<tokio::runtime::Runtime> {
    if config.source.tls.is_some() || config.target.tls.is_some() {
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
async fn until_done(config: &Config, printer: &Printer) -> anyhow::Result<Outcome> {
    let stop = Stop::default();
    let mut signals = Signals::new()?;
    let run = replicate::run(config, printer, &stop);
    tokio::pin!(run);
    loop {
        tokio::select! {
            outcome = &mut run => return Ok(outcome?),
            () = signals.next() => {
                if stop.is_draining() {
                    printer.finish_phase();
                    return Err(RunError::Aborted.into());
                }
                printer.line("stopping: what was taken in is written first; once more to abort");
                stop.drain();
            }
        }
    }
}
