//! The command: probe both sides, copy, verify, report; again, where that is wished.

use crate::compare;
use crate::config::{Command, Config, Depth};
use crate::copy;
use crate::error::RunError;
use crate::live;
use crate::metrics::Board;
use crate::output::Printer;
use crate::session::{Outcome, Session};
use crate::signal::Stop;
use crate::stage::scan::Ended;
use crate::stats::Phase;

/// Runs replicate or compare as the configuration says.
pub async fn run(
    config: &Config,
    printer: &Printer,
    board: &Board,
    stop: &Stop,
) -> Result<Outcome, RunError> {
    loop {
        // A live run decides itself what the wish to stop means to each of its parts.
        let inner = if config.live.is_some() {
            Stop::default()
        } else {
            stop.clone()
        };
        let session = Session::start(config, printer, &inner).await?;
        board.begin(config, session.context.clone());
        let outcome = session.watch(Box::pin(once(&session, stop))).await;
        let outcome = session.close(outcome)?;
        let Some(pause) = config.flow.repeat else {
            return Ok(outcome);
        };
        if stop.is_draining() {
            return Ok(outcome);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.draining() => return Ok(outcome),
        }
    }
}

async fn once(session: &Session<'_>, stop: &Stop) -> Result<Ended, RunError> {
    if session.config.command == Command::Compare {
        return compare::run(session).await;
    }
    if let Some(live) = &session.config.live {
        return live::run(session, live, stop).await;
    }
    session.begin(Phase::Scanning);
    let ended = copy::scan(session).await?;
    session.printer.finish_phase();
    let verifies = session.config.verification.depth != Depth::None
        && !session.config.flow.dry_run
        && ended == Ended::Complete
        && !session.context.is_over_limit();
    if verifies {
        compare::run(session).await
    } else {
        Ok(ended)
    }
}
