//! What the databases of one run stand on together, and the end of a run with its report.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Outcome;
use crate::config::Config;
use crate::error::RunError;
use crate::output::Printer;
use crate::stage::Shared;
use crate::stage::scan::Ended;
use crate::stats::{Phase, Stats, Summary};
use crate::wire::Brake;

/// What several databases of one run share.
#[derive(Debug)]
pub struct Together {
    /// The run's counters, of which each database has its part.
    pub stats: Arc<Stats>,
    /// Memory, pace, failures.
    pub shared: Arc<Shared>,
    /// `--source-cpu`.
    pub brake: Option<Arc<Brake>>,
    told: Mutex<HashSet<String>>,
}

impl Together {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            stats: counters(config),
            shared: Arc::new(Shared::new(&config.flow)),
            brake: brake(config),
            told: Mutex::default(),
        }
    }

    /// Whether this line is told now: what each database finds is told once.
    #[must_use]
    pub fn tells(&self, line: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(line.to_owned())
    }
}

/// Counters for a run.
pub(super) fn counters(config: &Config) -> Arc<Stats> {
    let mut stats = Stats::new(config.console.latency);
    if config.metrics.is_some() {
        stats = stats.keeping_latency();
    }
    Arc::new(stats)
}

/// What holds the run up at the source, where that was told.
pub(super) fn brake(config: &Config) -> Option<Arc<Brake>> {
    let share = config.flow.source_cpu?;
    Some(Arc::new(Brake::new(share, config.source.command_timeout)))
}

/// The report, and what the run came to. `brakes`: those of the source's servers.
pub(crate) fn conclude(
    (config, printer): (&Config, &Printer),
    stats: &Stats,
    brakes: &[Arc<Brake>],
    over_limit: bool,
    ended: Result<Ended, RunError>,
) -> Result<Outcome, RunError> {
    stats.enter(Phase::Done);
    printer.finish_phase();
    if config.flow.dry_run {
        stats.note("dry run: nothing was written");
    }
    if matches!(ended, Ok(Ended::Early)) && !over_limit {
        stats.note("interrupted: not all keys were taken in");
    }
    if let Err(error) = &ended {
        stats.note(format!("ended early: {error}"));
    }
    tell_share(config, stats, brakes);
    if tracing::enabled!(tracing::Level::DEBUG)
        && let Some(waits) = stats.waits()
    {
        stats.note(waits);
    }
    let summary = stats.summary();
    printer
        .report(&summary, config.console.report)
        .map_err(|error| RunError::Internal(format!("standard output: {error}")))?;
    let ended = ended?;
    let clean = summary.is_clean() && is_proved(config, &summary);
    Ok(match ended {
        Ended::Early if over_limit => Outcome::Different,
        Ended::Early => Outcome::Interrupted,
        Ended::Complete if clean => Outcome::Equal,
        Ended::Complete => Outcome::Different,
    })
}

/// A live run leaves no gap open, no changed key behind, and no guarantee unproved unless that was accepted.
fn is_proved(config: &Config, summary: &Summary) -> bool {
    let (Some(live), Some(told)) = (&summary.live, &config.live) else {
        return true;
    };
    live.open_gaps == 0 && live.waiting == 0 && (told.accept_unproven || live.unproven.is_empty())
}

/// What the run has cost the source's servers, where that was limited.
fn tell_share(config: &Config, stats: &Stats, brakes: &[Arc<Brake>]) {
    let Some(limit) = config.flow.source_cpu else {
        return;
    };
    let spent = brakes.iter().filter_map(|brake| brake.spent());
    if let Some(most) = spent.max_by(f64::total_cmp) {
        stats.note(format!(
            "the source spent {:.0} % of one core on this run (--source-cpu {}%)",
            most * 100.0,
            limit * 100.0
        ));
    }
}
