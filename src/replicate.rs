//! The command: probe both sides, copy, verify, report; again, where that is wished.

use crate::compare;
use crate::config::{Command, Config, Depth};
use crate::copy;
use crate::databases;
use crate::error::RunError;
use crate::live;
use crate::metrics::Board;
use crate::output::Printer;
use crate::session::{Outcome, Session};
use crate::signal::Stop;
use crate::stage::scan::Ended;
use crate::state::State;
use crate::stats::Phase;

/// Runs replicate or compare as the configuration says.
pub async fn run(
    config: &Config,
    printer: &Printer,
    board: &Board,
    stop: &Stop,
) -> Result<Outcome, RunError> {
    if let Some(databases) = &config.databases {
        return databases::run(config, databases, printer, board, stop).await;
    }
    let state = State::open(config)?;
    loop {
        // A live run decides itself what the wish to stop means to each of its parts.
        let inner = if config.live.is_some() {
            Stop::default()
        } else {
            stop.clone()
        };
        let session = Session::start(config, printer, &inner, state.as_ref(), None).await?;
        board.begin(config, session.context.clone());
        let outcome = session
            .watch(Box::pin(once(&session, stop, state.as_ref())))
            .await;
        let outcome = session.close(outcome)?;
        if !stop.lets_repeat(config.flow.repeat).await {
            return Ok(outcome);
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
    let ended = copied(session, state).await?;
    session.end_phase();
    let ended = if verifies(session, ended) {
        compare::run(session).await?
    } else {
        ended
    };
    if let (Some(state), Some(track)) = (state, &session.context.track) {
        copy::kept::end(session, state, track, ended);
    }
    Ok(ended)
}

/// Copies every key once; with a state, the place is kept.
pub(crate) async fn copied(
    session: &Session<'_>,
    state: Option<&State>,
) -> Result<Ended, RunError> {
    session.begin(Phase::Scanning);
    match (state, &session.context.track) {
        (Some(state), Some(track)) => copy::kept::run(session, state, track).await,
        _ => copy::scan(session).await,
    }
}

/// Whether a copy that ended so is verified.
pub(crate) fn verifies(session: &Session<'_>, ended: Ended) -> bool {
    session.config.verification.depth != Depth::None
        && !session.config.flow.dry_run
        && ended == Ended::Complete
        && !session.context.is_over_limit()
}
