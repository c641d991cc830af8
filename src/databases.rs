//! Several databases in one run: which are taken, and one session for each: one after the other in a snapshot and in a
//! comparison, all at once in a live run.

mod census;
mod live;
mod lookout;
mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use self::census::Census;
pub(crate) use self::plan::{Pair, names};
use crate::compare;
use crate::config::{Command, Config, Databases, Endpoint};
use crate::copy::kept;
use crate::error::RunError;
use crate::metrics::Board;
use crate::output::{Printer, server_line};
use crate::replicate::{copied, verifies};
use crate::server::keep_share;
use crate::session::{Outcome, Session, Together, conclude};
use crate::signal::Stop;
use crate::stage::scan::Ended;
use crate::state::State;
use crate::stats::Phase;
use crate::text::thousands;

/// Both sides as they were found, and what goes where.
pub(crate) struct Survey {
    pub(crate) source: Census,
    pub(crate) target: Census,
    pub(crate) pairs: Vec<Pair>,
}

impl Survey {
    /// Reaches both sides. What cannot be is refused, before anything is written.
    pub(crate) async fn take(config: &Config, databases: &Databases) -> Result<Self, RunError> {
        let (of_source, of_target) = plan::named(databases);
        let mut source = Census::take(&config.source, config, &of_source).await?;
        let mut target = Census::take(&config.target, config, &of_target).await?;
        let without = plan::without_keys(config, databases, &source, &target);
        source.look_for(without.iter().copied()).await?;
        plan::refuse_beyond(databases, &without, &source, &target)?;
        let pairs = plan::pairs(config, databases, &without, (&source, &target))?;
        let targets: BTreeSet<u32> = pairs.iter().map(|(_, target)| *target).collect();
        target.look_for(targets.into_iter()).await?;
        plan::refuse_absent_at_target(&pairs, &target)?;
        Ok(Self {
            source,
            target,
            pairs,
        })
    }

    /// Keys at the source that are taken, where all are counted.
    pub(crate) fn keys(&self) -> Option<u64> {
        let keys = &self.source.keys;
        let of = |(source, _): &Pair| keys.get(source).copied().unwrap_or(Some(0));
        self.pairs.iter().map(of).sum()
    }

    /// The same at the target.
    pub(crate) fn keys_at_target(&self) -> Option<u64> {
        let keys = &self.target.keys;
        let of = |(_, target): &Pair| keys.get(target).copied().unwrap_or(Some(0));
        self.pairs.iter().map(of).sum()
    }

    /// Tells the operator.
    fn show(&self, config: &Config, printer: &Printer) {
        let side = |endpoint: &Endpoint, census: &Census, keys| {
            let profile = &census.profile;
            let (memory, round_trip) = (profile.memory, profile.round_trip);
            let (side, address) = (endpoint.side, &endpoint.address);
            let description = &profile.description;
            printer.line(&server_line(
                side,
                address,
                description,
                keys,
                memory,
                round_trip,
            ));
        };
        side(&config.source, &self.source, self.keys());
        side(&config.target, &self.target, self.keys_at_target());
        printer.line(&format!(
            "databases: {}",
            names(&self.pairs, &self.source.keys)
        ));
        for unknown in [self.source.unknown, self.target.unknown]
            .into_iter()
            .flatten()
        {
            printer.line(unknown);
        }
    }
}

/// Runs replicate or compare over several databases.
pub(crate) async fn run(
    config: &Config,
    databases: &Databases,
    printer: &Printer,
    board: &Board,
    stop: &Stop,
) -> Result<Outcome, RunError> {
    loop {
        let survey = Survey::take(config, databases).await?;
        survey.show(config, printer);
        let outcome = round(config, databases, survey, (printer, board, stop)).await?;
        if !stop.lets_repeat(config.flow.repeat).await {
            return Ok(outcome);
        }
    }
}

/// One run over all of them, with its report.
async fn round(
    config: &Config,
    databases: &Databases,
    survey: Survey,
    (printer, board, stop): (&Printer, &Board, &Stop),
) -> Result<Outcome, RunError> {
    let together = Arc::new(Together::new(config));
    let of = |pair: &Pair| config.of_database(*pair, survey.pairs.len());
    let configs: Vec<Config> = survey.pairs.iter().map(of).collect();
    let states = configs
        .iter()
        .map(State::open)
        .collect::<Result<Vec<_>, _>>()?;
    let mut sessions = Vec::new();
    for (config, state) in configs.iter().zip(&states) {
        // Each part of a live run decides itself what the wish to stop means to it.
        let inner = if config.live.is_some() {
            Stop::default()
        } else {
            stop.clone()
        };
        let kept = state.as_ref();
        sessions.push(Session::start(config, printer, &inner, kept, Some(&together)).await?);
    }
    board.begin_with(config, together.stats.clone());
    for session in &sessions {
        board.join(session.context.clone());
    }
    let Some(first) = sessions.first() else {
        return Err(RunError::Internal("no database".into()));
    };
    let work = async {
        if config.live.is_some() {
            let run = live::Run::new(config, databases, (printer, board), &together);
            run.run(&sessions, survey, stop).await
        } else {
            one_by_one(config, &sessions, &states, &together).await
        }
    };
    let ended = tokio::select! {
        ended = Box::pin(work) => ended,
        () = printer.run() => unreachable!("the printer never ends"),
        () = keep_share(first.source.clone()) => unreachable!("a brake is kept for ever"),
        () = first.keep_form() => unreachable!("the form is decided for ever"),
    };
    let readers = first.source.routes().readers();
    let brakes = readers
        .iter()
        .filter_map(|node| node.link().brake().cloned());
    conclude(
        (config, printer),
        &together.stats,
        &brakes.collect::<Vec<_>>(),
        together.shared.is_over_limit(),
        ended,
    )
}

/// Copies all of them, then compares all.
async fn one_by_one(
    config: &Config,
    sessions: &[Session<'_>],
    states: &[Option<State>],
    together: &Together,
) -> Result<Ended, RunError> {
    let mut ended = Ended::Complete;
    let begin = |session: &Session<'_>, phase| {
        together.stats.enter(phase);
        session.printer.start(together.stats.clone(), phase);
    };
    if config.command == Command::Replicate {
        for (at, (session, state)) in sessions.iter().zip(states).enumerate() {
            if at == 0 {
                begin(session, Phase::Scanning);
            }
            ended = session
                .watch(Box::pin(copied(session, state.as_ref())))
                .await?;
            if ended == Ended::Early || session.context.has_failed() {
                break;
            }
        }
    }
    let mut first = true;
    for session in sessions {
        if config.command == Command::Compare || verifies(session, ended) {
            if std::mem::take(&mut first) {
                begin(session, Phase::Comparing);
            }
            ended = session.watch(Box::pin(compare::run(session))).await?;
        }
        if ended == Ended::Early {
            break;
        }
    }
    keep_places(sessions, states, ended);
    Ok(ended)
}

/// The files are kept until all databases are done: those that were copied need not be copied again.
fn keep_places(sessions: &[Session<'_>], states: &[Option<State>], ended: Ended) {
    let kept = || {
        let places = sessions.iter().zip(states);
        places.filter_map(|(session, state)| {
            Some((session, state.as_ref()?, session.context.track.as_ref()?))
        })
    };
    let mut done = 0;
    let mut left = 0;
    for (_, _, track) in kept() {
        if track.is_copied() && track.failures() == 0 {
            done += 1;
        } else {
            left += 1;
        }
    }
    let over = left == 0 && ended == Ended::Complete;
    for (session, state, track) in kept() {
        if over || !track.is_copied() || track.failures() > 0 {
            kept::end(session, state, track, ended);
        }
    }
    if !over
        && done > 0
        && let Some((session, ..)) = kept().next()
    {
        session.context.stats.note(format!(
            "{} of {} databases are copied, which their files keep, too",
            thousands(done),
            thousands(done + left)
        ));
    }
}
