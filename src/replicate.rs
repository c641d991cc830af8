//! The command: probe both sides, copy, verify, report; again, where that is wished.

use std::sync::Arc;

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
use crate::state::{State, Track};
use crate::stats::Phase;

/// Runs replicate or compare as the configuration says.
pub async fn run(
    config: &Config,
    printer: &Printer,
    board: &Board,
    stop: &Stop,
) -> Result<Outcome, RunError> {
    let state = State::open(config)?;
    loop {
        // A live run decides itself what the wish to stop means to each of its parts.
        let inner = if config.live.is_some() {
            Stop::default()
        } else {
            stop.clone()
        };
        let session = Session::start(config, printer, &inner, state.as_ref()).await?;
        board.begin(config, session.context.clone());
        let outcome = session
            .watch(Box::pin(once(&session, stop, state.as_ref())))
            .await;
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

async fn once(
    session: &Session<'_>,
    stop: &Stop,
    state: Option<&State>,
) -> Result<Ended, RunError> {
    if session.config.command == Command::Compare {
        return compare::run(session).await;
    }
    if let Some(live) = &session.config.live {
        return live::run(session, live, stop).await;
    }
    if let (Some(state), Some(track)) = (state, &session.context.track) {
        let ended = picked_up(session, state, track).await?;
        copy::kept::end(session, state, track, ended);
        return Ok(ended);
    }
    session.begin(Phase::Scanning);
    let ended = copy::scan(session).await?;
    verified(session, ended).await
}

/// A copy whose place is kept.
async fn picked_up(
    session: &Session<'_>,
    state: &State,
    track: &Arc<Track>,
) -> Result<Ended, RunError> {
    session.begin(Phase::Scanning);
    let ended = copy::kept::run(session, state, track).await?;
    verified(session, ended).await
}

/// The verification after a copy.
async fn verified(session: &Session<'_>, ended: Ended) -> Result<Ended, RunError> {
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
