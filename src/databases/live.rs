//! All databases of a live run at once, those too that get their first keys while it goes on; and one end for all.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use super::Survey;
use super::lookout::{Lookout, Seen};
use super::plan::{Pair, late};
use crate::config::{Config, Databases};
use crate::error::RunError;
use crate::live;
use crate::metrics::Board;
use crate::output::Printer;
use crate::session::{Session, Together};
use crate::signal::Stop;
use crate::stage::Context;
use crate::stage::scan::Ended;
use crate::stats::Phase;

/// How often the run looks at its parts.
const TICK: Duration = Duration::from_millis(100);
/// Databases that come late and wait to be told.
const ARRIVALS: usize = 64;

/// A database, and what became of it; nothing where it could not be begun.
type Part<'r> = Pin<Box<dyn Future<Output = (Pair, Option<Result<Ended, RunError>>)> + 'r>>;

/// A live run over several databases.
pub(super) struct Run<'r> {
    config: &'r Config,
    databases: &'r Databases,
    printer: &'r Printer,
    board: &'r Board,
    together: &'r Arc<Together>,
    parts: FuturesUnordered<Part<'r>>,
    target_is_cluster: bool,
    /// Databases that are followed.
    taken: Vec<Pair>,
    /// Those that cannot be, and were told.
    refused: BTreeSet<u32>,
    contexts: Vec<Arc<Context>>,
    /// Databases that came late, until they were scanned.
    behind: BTreeSet<Pair>,
    /// The wish to end, for all parts.
    end: Stop,
    shown: Phase,
    ended: Result<Ended, RunError>,
}

/// A database that came late has reached both sides.
type Arrival = (Pair, Arc<Context>);

impl<'r> Run<'r> {
    pub(super) fn new(
        config: &'r Config,
        databases: &'r Databases,
        (printer, board): (&'r Printer, &'r Board),
        together: &'r Arc<Together>,
    ) -> Self {
        Self {
            config,
            databases,
            printer,
            board,
            together,
            parts: FuturesUnordered::new(),
            target_is_cluster: false,
            taken: Vec::new(),
            refused: BTreeSet::new(),
            contexts: Vec::new(),
            behind: BTreeSet::new(),
            end: Stop::default(),
            shown: Phase::Connecting,
            ended: Ok(Ended::Complete),
        }
    }

    /// Runs until the wish to stop, until nothing changes for as long as was told, or until a part fails.
    pub(super) async fn run(
        mut self,
        sessions: &'r [Session<'r>],
        survey: Survey,
        stop: &Stop,
    ) -> Result<Ended, RunError> {
        let Survey {
            source,
            target,
            pairs,
        } = survey;
        for (session, pair) in sessions.iter().zip(&pairs) {
            let (pair, end) = (*pair, self.end.clone());
            self.contexts.push(session.context.clone());
            self.parts.push(Box::pin(async move {
                let Some(live) = &session.config.live else {
                    return (pair, None);
                };
                let run = live::run(session, live, &end);
                (pair, Some(session.watch(Box::pin(run)).await))
            }));
        }
        self.taken = pairs;
        self.know_each_other();
        self.target_is_cluster = target.profile.is_cluster;
        // A cluster has database 0 alone.
        let mut lookout = (!source.profile.is_cluster).then(|| Lookout::start(source.counter));
        let (arrivals, mut arrived) = mpsc::channel(ARRIVALS);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wished = false;
        self.show();
        loop {
            let over = tokio::select! {
                Some((pair, ended)) = self.parts.next() => {
                    self.behind.remove(&pair);
                    if let Some(ended) = ended {
                        self.part_ended(pair, ended);
                    }
                    if self.parts.is_empty() {
                        return self.ended;
                    }
                    false
                }
                Some((pair, context)) = arrived.recv() => {
                    self.arrive(pair, context);
                    false
                }
                seen = seen(&mut lookout) => {
                    match seen {
                        Seen::Now(numbers) => self.follow_too(&numbers, &arrivals),
                        Seen::Last(last) => {
                            lookout = None;
                            self.last_look(last, &arrivals);
                        }
                    }
                    false
                }
                _ = ticks.tick() => {
                    self.show();
                    self.catch_up();
                    self.is_idle()
                }
                () = stop.draining(), if !wished => true,
            };
            if over && !wished {
                wished = true;
                match &lookout {
                    // What came before the wish to end is copied, too.
                    Some(lookout) if self.are_scanned() => lookout.ask(),
                    // A copy that is not complete proves nothing: nobody is waited for.
                    _ => {
                        lookout = None;
                        self.behind.clear();
                    }
                }
            }
            if wished && lookout.is_none() && self.behind.is_empty() {
                self.end.drain();
            }
        }
    }

    /// A part is over, and with it the run.
    fn part_ended(&mut self, pair: Pair, ended: Result<Ended, RunError>) {
        let was_wished = self.end.is_draining();
        match (ended, &self.ended) {
            (Err(why), Ok(_)) => self.ended = Err(why),
            (Err(why), Err(_)) => error!("database {}: {why}", pair.0),
            (Ok(Ended::Early), Ok(_)) => self.ended = Ok(Ended::Early),
            (Ok(_), _) => {}
        }
        if !was_wished && !self.parts.is_empty() {
            info!(
                "the run ends, as database {} cannot be followed any more",
                pair.0
            );
        }
        self.end.drain();
    }

    fn arrive(&mut self, pair: Pair, context: Arc<Context>) {
        self.printer.line(&format!(
            "database {} of the source has its first keys, and is followed too",
            pair.0
        ));
        self.board.join(context.clone());
        self.contexts.push(context);
        self.know_each_other();
    }

    /// Tracking names keys without their database. A source that does not tell in each batch whether others have keys is taken to
    /// have some: no name that is gone is certain to have been here.
    fn know_each_other(&self) {
        let follows = self.contexts.iter().filter_map(|one| one.follow.as_ref());
        let follows = follows.filter(|follow| !follow.asks_databases);
        follows.for_each(|follow| follow.other_databases());
    }

    /// Databases that came late and were scanned are as all others.
    fn catch_up(&mut self) {
        let contexts = &self.contexts;
        self.behind.retain(|pair| {
            let own = contexts.iter().find(|context| context.stats.is_of(pair.0));
            own.is_none_or(|context| !context.stats.counts().scan_complete && !context.has_failed())
        });
    }

    /// Whether the first scans are over; databases that came late are waited for anyway.
    fn are_scanned(&self) -> bool {
        let scans = self.config.live.as_ref().is_some_and(|live| live.scans);
        let is_late =
            |context: &Context| self.behind.iter().any(|pair| context.stats.is_of(pair.0));
        let mut contexts = self.contexts.iter();
        !scans || contexts.all(|one| one.stats.counts().scan_complete || is_late(one))
    }

    /// The last look for first keys.
    fn last_look(&mut self, last: Result<Vec<u32>, String>, arrivals: &mpsc::Sender<Arrival>) {
        match last {
            Ok(numbers) => self.follow_too(&numbers, arrivals),
            Err(why) => self.together.stats.live.unproven(format!(
                "whether other databases of the source have their first keys is not known: {why}"
            )),
        }
    }

    /// Databases that have keys now are followed, too.
    fn follow_too(&mut self, numbers: &[u32], arrivals: &mpsc::Sender<Arrival>) {
        if self.end.is_draining() {
            return;
        }
        for source in numbers {
            let pair = (*source, self.databases.target_of(*source));
            let known = self.taken.contains(&pair) || self.refused.contains(source);
            if known || !self.databases.takes(*source) {
                continue;
            }
            if let Some(why) = late(pair, &self.taken, self.target_is_cluster) {
                self.refused.insert(*source);
                error!("{why}");
                self.together.stats.live.unproven(why);
            } else {
                self.taken.push(pair);
                self.behind.insert(pair);
                self.parts.push(self.late_part(pair, arrivals.clone()));
            }
        }
    }

    /// A database that gets its first keys now: it is scanned as a whole, however the run began.
    fn late_part(&self, pair: Pair, arrivals: mpsc::Sender<Arrival>) -> Part<'r> {
        let mut config = self.config.of_database(pair, self.taken.len());
        if let Some(live) = &mut config.live {
            live.scans = true;
        }
        let (printer, together, end) = (self.printer, self.together, self.end.clone());
        Box::pin(async move {
            let inner = Stop::default();
            let session = Session::start(&config, printer, &inner, None, Some(together)).await;
            let (session, live) = match (session, &config.live) {
                (Ok(session), Some(live)) => (session, live),
                (Ok(_), None) => return (pair, None),
                (Err(why), _) => {
                    let line = format!("database {} of the source is not copied: {why}", pair.0);
                    error!("{line}");
                    together.stats.live.unproven(line);
                    return (pair, None);
                }
            };
            // The run lives as long as its parts.
            let _ = arrivals.send((pair, session.context.clone())).await;
            let run = live::run(&session, live, &end);
            (pair, Some(session.watch(Box::pin(run)).await))
        })
    }

    /// Shows the phase that all databases have reached.
    fn show(&mut self) {
        let phases = self.contexts.iter().map(|context| context.stats.phase());
        let Some(phase) = phases.min().filter(|phase| *phase > self.shown) else {
            return;
        };
        self.shown = phase;
        self.together.stats.enter(phase);
        self.printer.start(self.together.stats.clone(), phase);
    }

    /// Nothing has changed in any of them for as long as was told.
    fn is_idle(&self) -> bool {
        let limit = self.config.live.as_ref().and_then(|live| live.idle_timeout);
        let Some(limit) = limit.filter(|_| self.behind.is_empty()) else {
            return false;
        };
        self.contexts.iter().all(|context| {
            let follow = context.follow.as_ref();
            let since = follow.and_then(|follow| follow.quiet_since());
            since.is_some_and(|since| since.elapsed() >= limit)
        })
    }
}

/// What the lookout sees; where there is none, nothing ever. Cancel safe.
async fn seen(lookout: &mut Option<Lookout>) -> Seen {
    match lookout {
        Some(lookout) => lookout.next().await,
        None => std::future::pending().await,
    }
}
