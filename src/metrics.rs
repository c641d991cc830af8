//! What Prometheus is told: the run's own counters, read when they are asked for, and whether the target is ready.
//!
//! Nothing is counted for the metrics alone but what a batch tells, so a run without `--metrics` does the same work. They are
//! served from a thread of their own: whoever asks slowly, or often, does not hold the lanes up.

mod collect;
mod family;
mod plain;
mod ready;
mod server;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use self::family::Family;
pub use self::server::serve;
use crate::config::{Command, Config};
use crate::stage::Context;
use crate::stats::{Phase, Stats};

/// What a run is for, as far as its readiness goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// One copy.
    Snapshot,
    /// A copy that is kept up to date.
    Live,
    /// No copy.
    Compare,
}

impl Task {
    fn of(config: &Config) -> Self {
        match (config.command, &config.live) {
            (Command::Compare, _) => Self::Compare,
            (Command::Replicate, Some(_)) => Self::Live,
            (Command::Replicate, None) => Self::Snapshot,
        }
    }
}

/// The run that is looked at.
#[derive(Debug)]
struct View {
    task: Task,
    /// Another follows.
    repeats: bool,
    stats: Arc<Stats>,
    /// One for each database, where there are several.
    contexts: Vec<Arc<Context>>,
}

impl View {
    /// How long the oldest change has waited that the target does not have.
    fn lag(&self) -> Duration {
        let follows = self.contexts.iter().filter_map(|one| one.follow.as_ref());
        let lags = follows.map(|follow| follow.lag());
        lags.max().unwrap_or(Duration::ZERO)
    }
}

/// Where the runs of this process are seen from outside: one after the other, with `--repeat`.
#[derive(Debug)]
pub struct Board {
    born: SystemTime,
    runs: Mutex<Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    now: Option<View>,
    /// What those before came to.
    earlier: Vec<Family>,
    begun: u64,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            born: SystemTime::now(),
            runs: Mutex::default(),
        }
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Runs> {
        // A panic while the lock was held leaves plain data that is whole between any two statements.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run begins: it is looked at from now on.
    pub fn begin(&self, config: &Config, context: Arc<Context>) {
        self.begin_with(config, context.stats.clone());
        self.join(context);
    }

    /// A run of several databases begins, each of which joins it.
    pub fn begin_with(&self, config: &Config, stats: Arc<Stats>) {
        let mut runs = self.lock();
        runs.earlier = runs.families();
        runs.now = Some(View {
            task: Task::of(config),
            repeats: config.flow.repeat.is_some(),
            stats,
            contexts: Vec::new(),
        });
        runs.begun += 1;
    }

    /// A database is looked at as a part of the run that goes on.
    pub fn join(&self, context: Arc<Context>) {
        if let Some(view) = &mut self.lock().now {
            view.contexts.push(context);
        }
    }

    fn runs(&self) -> u64 {
        self.lock().begun
    }

    fn phase(&self) -> Phase {
        let runs = self.lock();
        runs.now
            .as_ref()
            .map_or(Phase::Connecting, |view| view.stats.phase())
    }

    fn readiness(&self, limit: Duration) -> Result<&'static str, String> {
        ready::readiness(self.lock().now.as_ref(), limit)
    }
}

impl Runs {
    /// The run that goes on, and in its counters those before.
    fn families(&self) -> Vec<Family> {
        let mut families = self.now.as_ref().map(collect::run).unwrap_or_default();
        family::add(&mut families, self.earlier.clone());
        families
    }
}

/// The board as the exporter reads it.
#[derive(Debug)]
struct Exported {
    board: Arc<Board>,
    ready_lag: Duration,
}

impl Collector for Exported {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let board = &self.board;
        let ready = board.readiness(self.ready_lag).is_ok();
        let process = collect::process(board, ready, board.phase());
        for family in process.into_iter().chain(board.lock().families()) {
            family.encode(&mut encoder)?;
        }
        Ok(())
    }
}
