//! What a command's stages stand on: both sides probed, their links, the shared context, and the end with its report.

mod by_type;
mod form;
mod lanes;
mod needs;
mod pick_up;
mod refuse;
mod sides;
mod together;
mod told;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use self::by_type::payloads_go;
pub use self::lanes::Lanes;
pub(crate) use self::needs::{source_needs, target_needs};
use self::pick_up::pick_up;
use self::refuse::without_echo;
pub(crate) use self::refuse::{left_behind, refuse_in_clusters, refuse_same_database};
pub(crate) use self::sides::{Found, reach, used};
pub use self::together::Together;
pub(crate) use self::together::conclude;
use self::together::{brake, counters};
use self::told::{learnt, show};
use crate::changed::Changed;
use crate::config::{self, Carriage, Config, Side};
use crate::deal::{Deal, Inlets};
use crate::entry::Key;
use crate::error::RunError;
use crate::filter::Filter;
use crate::follow::Follow;
use crate::nodes::Nodes;
use crate::output::Printer;
use crate::server::{Choice, Monitor, Profile, Wanted, choose, keep_share};
use crate::signal::Stop;
use crate::slots::SlotSet;
use crate::stage::scan::{Ended, Purpose, ScanStage, Sieve};
use crate::stage::verify::Terms;
use crate::stage::{Context, read, scan, write};
use crate::state::State;
use crate::stats::Phase;
use crate::transform::Rename;
use crate::types;

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done, equal where it was verified.
    Equal,
    /// Done, with differences or failed keys.
    Different,
    /// A stop signal came before all keys were taken in.
    Interrupted,
}

/// What is known of a cluster is looked at again so often; live, where keys must not be missed on a node that joins.
const KNOWN_FOR: Duration = Duration::from_secs(30);
const KNOWN_FOR_LIVE: Duration = Duration::from_secs(1);

/// One run between two servers.
pub struct Session<'a> {
    /// What was told.
    pub config: &'a Config,
    /// Standard output and standard error.
    pub printer: &'a Printer,
    /// What the stages share.
    pub context: Arc<Context>,
    /// How many lanes there are.
    pub lanes: Lanes,
    /// Names at the target.
    pub rename: Arc<Rename>,
    /// The source's servers.
    pub source: Arc<Nodes>,
    /// The target's servers.
    pub target: Arc<Nodes>,
    /// How keys are dealt to the read lanes, and to the write lanes.
    pub deals: (Deal, Deal),
    /// What was learnt of the source.
    pub source_profile: Profile,
    /// What was learnt of the target.
    pub target_profile: Profile,
    /// How a live run learns of changes.
    pub choice: Option<Choice>,
    /// The run has several databases, of which this is one.
    pub together: Option<Arc<Together>>,
}

impl<'a> Session<'a> {
    /// Probes both sides and says what is fatal, before anything is written. With a state, the copy goes on from there.
    pub async fn start(
        config: &'a Config,
        printer: &'a Printer,
        stop: &Stop,
        kept: Option<&State>,
        together: Option<&Arc<Together>>,
    ) -> Result<Self, RunError> {
        let rename = Rename::new(
            &config.rewrite,
            config.source.database,
            config.target.database,
        );
        let (source, target) = (config.source.database, config.target.database);
        let stats = together.map_or_else(|| counters(config), |all| all.stats.part(source, target));
        let brake = together.map_or_else(|| brake(config), |all| all.brake.clone());
        let source = reach(
            &config.source,
            source_needs(config, &rename),
            &config.flow,
            &stats,
            brake,
        )
        .await?;
        if together.is_none() {
            show(printer, &config.source, &source.profile);
        }
        let needs = target_needs(config);
        let target = reach(&config.target, needs, &config.flow, &stats, None).await?;
        if together.is_none() {
            show(printer, &config.target, &target.profile);
        }
        refuse_same_database(config, &source, &target)?;
        refuse_in_clusters(config, &source, &target, &rename)?;
        if let Some(line) = left_behind(config, &source, &target).filter(|_| together.is_none()) {
            printer.line(&line);
            stats.note(line);
        }
        let track = kept
            .map(|kept| pick_up(kept, config, (&source, &target), printer, &stats))
            .transpose()?;
        let choice = match &config.live {
            None => None,
            Some(live) => {
                let wanted = Wanted::of(&config.selection.types);
                let pattern = &config.selection.pattern;
                let choice = choose(&source.nodes, live.events, &wanted, pattern).await?;
                Some(without_echo(config, (&source, &target), choice)?)
            }
        };
        let (source_profile, target_profile) = (source.profile, target.profile);
        let (source, target) = (source.nodes, target.nodes);
        let lanes = Lanes::of(config, &source_profile, &target_profile);
        let deals = (
            Deal::by_node(source.routes().read_homes().0, lanes.read),
            Deal::by_node(target.routes().write_homes().0, lanes.write),
        );
        let follow = config
            .live
            .as_ref()
            .map(|live| Arc::new(follow(config, live, &source_profile, deals.0.clone())));
        let context = Context::new(stats.clone(), config.flow.clone(), stop.clone(), follow);
        let shared = together.map(|all| all.shared.clone());
        let context = Arc::new(context.sharing(shared).tracked_by(track));
        let profiles = (&source_profile, &target_profile);
        let tells = |line: &str| together.is_none_or(|all| all.tells(line));
        payloads_go(config, &context, profiles, tells);
        learnt(config, &context, profiles, together);
        stats.set_total_keys(source_profile.keys.filter(|_| takes_all(config)));
        Ok(Self {
            config,
            printer,
            lanes,
            rename: Arc::new(rename),
            source,
            target,
            deals,
            context,
            source_profile,
            target_profile,
            choice,
            together: together.cloned(),
        })
    }

    /// Enters a phase, and shows it.
    pub fn begin(&self, phase: Phase) {
        self.context.stats.enter(phase);
        if self.together.is_none() {
            self.printer.start(self.context.stats.clone(), phase);
        }
    }

    /// The phase is over, and shown as it ended; that of several databases is over when it is in all of them.
    pub fn end_phase(&self) {
        if self.together.is_none() {
            self.printer.finish_phase();
        }
    }

    /// Whether this line is told: of several databases the first tells it.
    #[must_use]
    pub fn tells(&self, line: &str) -> bool {
        self.together.as_ref().is_none_or(|all| all.tells(line))
    }

    /// The source's slots of what has these slots at the target.
    #[must_use]
    pub fn source_slots(&self, slots: &SlotSet) -> SlotSet {
        if self.target.is_cluster() && self.rename.is_identity() {
            slots.clone()
        } else {
            SlotSet::all()
        }
    }

    /// Whether keys that only the target has may be looked for: SCAN and EXISTS are allowed on both sides.
    #[must_use]
    pub fn may_search(&self) -> bool {
        self.source_profile.searches && self.target_profile.searches
    }

    /// The one type that SCAN itself can filter by.
    #[must_use]
    pub fn scanned_type(&self) -> Option<&str> {
        match self.config.selection.types.as_slice() {
            [only] if self.source_profile.scan_type => Some(only),
            _ => None,
        }
    }

    /// Types that keys must be looked at for, because SCAN cannot filter by them; empty takes all.
    #[must_use]
    pub fn inspected_types(&self) -> &[String] {
        match self.scanned_type() {
            Some(_) => &[],
            None => &self.config.selection.types,
        }
    }

    /// The scan that deals keys to `outputs`.
    #[must_use]
    pub fn scan(&self, purpose: Purpose, inlets: Inlets<Vec<Key>>) -> ScanStage {
        let selection = &self.config.selection;
        let sieve = Sieve {
            pattern: selection.pattern.clone(),
            kind: self.scanned_type().map(str::to_owned),
            count: selection.scan_count,
            filter: Filter::new(selection),
        };
        let scan = ScanStage::new(
            self.context.clone(),
            self.source.clone(),
            sieve,
            self.rename.clone(),
            purpose,
            inlets,
            scanned(&self.source_profile),
        );
        if self.source.is_cluster() {
            // Nodes that have none of the slots are not scanned.
            return scan.within(&SlotSet::of(&selection.slots));
        }
        scan
    }

    /// The scan of the target's own keys, for those that the source does not have.
    #[must_use]
    pub fn scan_target(&self, inlets: Inlets<Vec<Key>>) -> ScanStage {
        let selection = &self.config.selection;
        let sieve = Sieve {
            pattern: if self.rename.is_identity() {
                selection.pattern.clone()
            } else {
                b"*".to_vec()
            },
            kind: None,
            count: selection.scan_count,
            filter: Filter::open(),
        };
        ScanStage::new(
            self.context.clone(),
            self.target.clone(),
            sieve,
            Arc::new(Rename::none()),
            Purpose::Search,
            inlets,
            scanned(&self.target_profile),
        )
    }

    /// What is compared, and how.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let Config {
            selection,
            rewrite,
            verification,
            ..
        } = self.config;
        Terms {
            values: types::Terms {
                source_pexpiretime: self.source_profile.pexpiretime,
                target_pexpiretime: self.target_profile.pexpiretime,
                source_time: self.source_profile.time,
                target_time: self.target_profile.time,
                expiry: !rewrite.drop_expiry,
                tolerance: verification.expiry_tolerance,
                message_ids: verification.message_ids,
                prune_streams: verification.prune_streams,
            },
            expiring: (
                self.source_profile.expires != Some(0),
                self.target_profile.expires != Some(0),
            ),
            databases: (self.config.source.database, self.config.target.database),
            kinds: selection.types.clone(),
            memory_limit: selection.memory_limit,
            memory_samples: selection.memory_samples,
        }
    }

    /// How both sides are read to be compared.
    #[must_use]
    pub fn compare_dialects(&self) -> (read::Dialect, read::Dialect) {
        let source = read::Dialect {
            carriage: Carriage::Auto,
            ..self.read_dialect()
        };
        let profile = &self.target_profile;
        let target = read::Dialect {
            pexpiretime: profile.pexpiretime,
            expiring: profile.expires != Some(0),
            database: self.config.target.database,
            databases: false,
            multi: profile.multi,
            time: profile.time,
            kinds: false,
            memory: None,
            cluster: self.target.is_cluster(),
            skew: 0,
            carriage: Carriage::Auto,
        };
        (source, target)
    }

    /// How values are read.
    #[must_use]
    pub fn read_dialect(&self) -> read::Dialect {
        let selection = &self.config.selection;
        read::Dialect {
            pexpiretime: self.source_profile.pexpiretime,
            expiring: self.source_profile.expires != Some(0),
            database: self.config.source.database,
            databases: self
                .context
                .follow
                .as_ref()
                .is_some_and(|follow| follow.asks_databases),
            multi: self.source_profile.multi,
            time: self.source_profile.time,
            kinds: self.rename.needs_type()
                || !self.inspected_types().is_empty()
                || (self.context.follow.is_some() && !selection.types.is_empty()),
            memory: (selection.memory_limit.is_some() || self.big_key().is_some())
                .then_some(selection.memory_samples),
            cluster: self.source.is_cluster(),
            skew: 0,
            carriage: self.config.flow.carriage,
        }
    }

    /// How entries are written.
    #[must_use]
    pub fn write_dialect(&self) -> write::Dialect {
        let flow = &self.config.flow;
        write::Dialect {
            pxat: self.target_profile.pxat,
            multi_exec: flow.multi_exec,
            wait: (
                flow.wait_replicas,
                u64::try_from(flow.wait_timeout.as_millis()).unwrap_or(u64::MAX),
            ),
            drop_expiry: self.config.rewrite.drop_expiry,
            cluster: self.target.is_cluster(),
        }
    }

    /// Runs `work` with an eye on both servers.
    pub async fn watch<T>(&self, work: impl Future<Output = T>) -> T {
        let mut monitor = Monitor::new(
            self.source.clone(),
            self.target.clone(),
            self.context.stats.clone(),
            (
                lanes::monitors(self.config, Side::Source),
                lanes::monitors(self.config, Side::Target),
            ),
        );
        let period = match self.config.live {
            Some(_) => KNOWN_FOR_LIVE,
            None => KNOWN_FOR,
        };
        let done = tokio::select! {
            done = work => done,
            () = monitor.run(&self.context.clocks) => unreachable!("the monitor never ends"),
            () = self.beside() => unreachable!("the printer never ends"),
            () = self.source.keep(period) => unreachable!("what is known is kept for ever"),
            () = self.target.keep(period) => unreachable!("what is known is kept for ever"),
        };
        monitor.last_look().await;
        done
    }

    /// What a run has once, however many databases.
    async fn beside(&self) {
        if self.together.is_some() {
            return std::future::pending().await;
        }
        tokio::select! {
            () = self.printer.run() => {}
            () = keep_share(self.source.clone()) => {}
            () = self.keep_form() => {}
        }
    }

    /// The report, and what the run came to.
    pub fn close(&self, ended: Result<Ended, RunError>) -> Result<Outcome, RunError> {
        let readers = self.source.routes().readers();
        let brakes = readers
            .iter()
            .filter_map(|node| node.link().brake().cloned());
        let (config, context) = (self.config, &self.context);
        conclude(
            (config, self.printer),
            &context.stats,
            &brakes.collect::<Vec<_>>(),
            context.is_over_limit(),
            ended,
        )
    }
}

/// What a scan is told of the server that it scans.
fn scanned(profile: &Profile) -> scan::Server {
    scan::Server {
        run_id: profile.run_id.clone(),
        round_trip: Some(profile.round_trip),
        keys: profile.keys,
    }
}

/// Joins every stage; the first error or panic ends the run.
pub(crate) async fn join_all<T: 'static>(
    mut stages: JoinSet<anyhow::Result<T>>,
) -> Result<(), RunError> {
    while let Some(joined) = stages.join_next().await {
        match joined {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(RunError::Internal(format!("{error:#}"))),
            Err(error) => {
                return Err(RunError::Internal(format!(
                    "a stage ended in a panic: {error}"
                )));
            }
        }
    }
    Ok(())
}

/// What the lanes of a live run share.
fn follow(config: &Config, live: &config::Live, source: &Profile, deal: Deal) -> Follow {
    let ranked = live.order == config::EventOrder::Priority;
    let changed = Changed::new(deal, live.queue, ranked, Instant::now());
    Follow::new(
        Arc::new(changed),
        config.selection.types.clone(),
        config.selection.memory_limit.is_some(),
        // Without the right to INFO the watch over the source finds out by itself.
        source.run_id.is_some(),
    )
}

/// Whether DBSIZE is the number of keys to go through.
pub(crate) fn takes_all(config: &Config) -> bool {
    let selection = &config.selection;
    selection.pattern == b"*"
        && selection.types.is_empty()
        && selection.include.is_empty()
        && selection.exclude.is_empty()
        && selection.slots == [(0, 16383)]
}
