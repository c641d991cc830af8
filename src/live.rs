//! Live replication: listen, confirm, then scan; what changes goes through the same lanes, until the end is proved.

mod ears;
mod ending;
mod feed;
mod guard;
mod pass;
mod posts;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use self::ears::Ears;
use self::feed::Feed;
use self::guard::Guard;
use self::pass::{Pass, What};
use self::posts::{Places, Posts};
use crate::changed::Changed;
use crate::config::Live;
use crate::copy;
use crate::deal::Inlets;
use crate::entry::{Cause, Key, Mark};
use crate::error::RunError;
use crate::filter::Filter;
use crate::follow::Follow;
use crate::server::{Alarm, Choice, Wanted, Watched, Way};
use crate::session::Session;
use crate::signal::Stop;
use crate::slots::SlotSet;
use crate::stage::scan::Ended;
use crate::stage::watch::{Net, Report};
use crate::stats::Phase;

/// How often the run looks at itself.
const TICK: Duration = Duration::from_millis(100);
/// A scan that waits for the source is told of so often.
const TELL_WAITING: Duration = Duration::from_secs(5);
/// Streams with groups that are looked at in a second, and their bytes.
const STREAMS: usize = 100;
const STREAM_BYTES: usize = 1024 * 1024;

/// One live run.
struct Run<'s> {
    session: &'s Session<'s>,
    live: &'s Live,
    follow: Arc<Follow>,
    choice: Choice,
    ears: Ears,
    guard: Guard,
    /// Ways in which every node is to be heard.
    ways: Vec<Way>,
    posts: Posts,
    places: Places,
    lanes: Inlets<Vec<Key>>,
    stages: JoinSet<anyhow::Result<()>>,
    feed: Feed,
    /// The initial scan has come to its end, or there is none.
    scanned: bool,
    pass: Option<Pass<'s>>,
    /// No way to learn of changes is left.
    deaf: bool,
    heard: u64,
    quiet_since: Instant,
    streams_due: Instant,
    /// Keys that were taken in when the first scan ended: its bar ends when they have their fate.
    first_ends: Option<u64>,
    /// Since when a scan waits for the source.
    waits_since: Option<Instant>,
}

/// Why the loop ended.
enum Over {
    /// A signal, or nothing has changed for so long.
    Wished,
    /// A side is lost, or too many keys failed.
    Failed,
    /// Nothing tells of changes any more.
    Deaf,
}

/// Runs until a signal, the idle timeout or a failure, and through the end to its proof.
pub async fn run(session: &Session<'_>, live: &Live, signal: &Stop) -> Result<Ended, RunError> {
    let Some(follow) = session.context.follow.clone() else {
        return Err(RunError::Internal("a live run without its set".into()));
    };
    let mut run = Run::start(session, live, follow).await?;
    tokio::select! {
        listening = run.listen() => listening?,
        () = signal.draining() => return Ok(Ended::Early),
    }
    let over = run.until_over(signal).await?;
    let ended = run.end(over).await?;
    match session.context.take_failure() {
        Some(failure) => Err(failure),
        None => Ok(ended),
    }
}

impl<'s> Run<'s> {
    async fn start(
        session: &'s Session<'s>,
        live: &'s Live,
        follow: Arc<Follow>,
    ) -> Result<Self, RunError> {
        let config = session.config;
        let selection = &config.selection;
        let wanted = Wanted::of(&selection.types);
        let choice = session
            .choice
            .clone()
            .ok_or_else(|| RunError::Internal("a live run that listens in no way".into()))?;
        for notice in &choice.notices {
            if session.tells(notice) {
                warn!("{notice}");
            }
        }
        let net = Net {
            changed: follow.changed.clone(),
            rename: session.rename.clone(),
            pattern: selection.pattern.clone(),
            filter: Filter::new(selection),
            torn: follow.torn.clone(),
            stats: session.context.stats.clone(),
            seen: Arc::default(),
        };
        let flow = &config.flow;
        let patience = (flow.reconnect, flow.reconnect_timeout);
        let ears = Ears::start(session.source.clone(), net, patience)?;
        let places = Places::of(&session.source.routes().readers());
        let watched = Watched {
            wanted,
            whole: selection.pattern == b"*",
            notified: choice.ways == [Way::Keyspace],
            setting_is_known: choice.setting_is_known,
            tracked: choice.ways.contains(&Way::Tracking),
        };
        // The first look comes before anything is listened to: what happens after it is seen by the next.
        let guard = Guard::start(watched, places.clone(), session.target.clone()).await;
        let (lanes, stages) = copy::lanes(session);
        let feed = Feed::start(&session.context, &lanes.lanes, live.flush_interval);
        let now = Instant::now();
        Ok(Self {
            session,
            live,
            follow,
            ways: choice.ways.clone(),
            choice,
            ears,
            guard,
            posts: Posts::default(),
            places,
            lanes,
            stages,
            feed,
            scanned: !live.scans,
            pass: None,
            deaf: false,
            heard: 0,
            quiet_since: now,
            streams_due: now,
            first_ends: None,
            waits_since: None,
        })
    }

    /// Subscribes, and waits until the source has confirmed it.
    async fn listen(&mut self) -> Result<(), RunError> {
        self.learn_versions();
        self.take_up_posts(false);
        while !self.is_listening() {
            tokio::select! {
                report = self.ears.next() => self.report(report),
                (node, alarm) = self.guard.next() => self.alarm(node, alarm),
            }
            if let Some(failure) = self.session.context.take_failure() {
                return Err(failure);
            }
        }
        let names: Vec<&str> = self.ways.iter().map(|way| way.name()).collect();
        let ways: Vec<String> = self.ways.iter().map(ToString::to_string).collect();
        self.session.context.stats.live.listens(&names);
        self.session.printer.line(&format!(
            "listening: {}, database {}",
            ways.join(" and "),
            self.session.config.source.database
        ));
        Ok(())
    }

    fn is_listening(&self) -> bool {
        self.posts.are_listening(&self.ways)
    }

    async fn until_over(&mut self, signal: &Stop) -> Result<Over, RunError> {
        let session = self.session;
        session.begin(if self.scanned {
            Phase::Listening
        } else {
            Phase::Scanning
        });
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.quiet_since = Instant::now();
        loop {
            self.begin_pass();
            tokio::select! {
                ended = pass::ended(&mut self.pass) => self.end_pass(ended?),
                report = self.ears.next() => self.report(report),
                (node, alarm) = self.guard.next() => self.alarm(node, alarm),
                Some(joined) = self.stages.join_next() => fell(joined)?,
                _ = ticks.tick() => self.look(),
                () = signal.draining() => return Ok(Over::Wished),
                () = session.context.stop.draining() => return Ok(Over::Failed),
            }
            if self.deaf {
                return Ok(Over::Deaf);
            }
            if self.is_idle() {
                info!("nothing changed for the time of --idle-timeout");
                return Ok(Over::Wished);
            }
        }
    }

    /// Begins the scan that is due, if one is and the source can be read.
    fn begin_pass(&mut self) {
        if self.pass.is_some() || !self.is_listening() {
            return;
        }
        if !self.guard.is_ready() {
            self.tell_waiting();
            return;
        }
        self.waits_since = None;
        let live = &self.session.context.stats.live;
        if !self.scanned {
            let (_, gaps) = self.follow.torn.take(live);
            self.pass = Some(Pass::begin(self.session, &self.lanes, What::First(gaps)));
        } else if live.open_gaps() > 0 {
            warn!("scanning again, because changes may have been missed");
            let again = self.again();
            self.pass = Some(Pass::begin(self.session, &self.lanes, again));
        } else if self.follow.changed.len() < self.room()
            && let Some(overflow) = self.follow.changed.take_overflow()
        {
            self.begin_overflow(overflow);
        }
    }

    /// The scan that closes all gaps so far.
    fn again(&self) -> What {
        let (slots, gaps) = self.follow.torn.take(&self.session.context.stats.live);
        What::Again(Arc::new(slots), gaps)
    }

    /// A scan waits for the source: that is told after a while.
    fn tell_waiting(&mut self) {
        let due = !self.scanned || self.session.context.stats.live.open_gaps() > 0;
        let now = Instant::now();
        let since = *self.waits_since.get_or_insert(now);
        if due && now - since >= TELL_WAITING {
            self.waits_since = Some(now);
            warn!(
                "the scan waits: the source loads its keys, has lost its master, or cannot be asked (INFO)"
            );
        }
    }

    /// Marked slots are scanned when there is room again.
    fn room(&self) -> usize {
        self.live.queue.div_ceil(2)
    }

    fn begin_overflow(&mut self, overflow: crate::changed::Overflow) {
        info!(
            "{} changed keys were more than --event-queue holds: their slots are scanned",
            overflow.keys()
        );
        let session = self.session;
        if overflow.is_blind() || !session.may_search() || !session.rename.can_be_inverted() {
            // Which of the target's keys were deleted at the source cannot be told from the slots.
            let slots = overflow.slots().clone();
            self.gap(
                "more keys changed at once than are remembered by their names",
                &slots,
            );
            return;
        }
        let what = What::Overflow(Arc::new(overflow));
        self.pass = Some(Pass::begin(self.session, &self.lanes, what));
    }

    fn end_pass(&mut self, ended: Ended) {
        let Some(pass) = self.pass.take() else {
            return;
        };
        if ended == Ended::Early {
            if let What::Again(slots, _) = pass.what() {
                self.follow.torn.put_back(slots);
            }
            return;
        }
        let stats = &self.session.context.stats;
        match pass.what() {
            What::First(gaps) => {
                self.scanned = true;
                stats.live.closed(*gaps);
                self.first_ends = Some(stats.counts().taken());
            }
            What::Again(_, gaps) => {
                stats.live.closed(*gaps);
                warn!("scanned again: every key was looked at");
            }
            What::Overflow(_) => {}
        }
        self.quiet_since = Instant::now();
    }

    /// Changes in these slots of the source may have been missed.
    fn gap(&self, cause: &str, slots: &SlotSet) {
        let stats = &self.session.context.stats;
        let cause = stats.label() + cause;
        warn!("gap: {cause}");
        self.follow.torn.open(&stats.live, &cause, slots);
    }

    /// What happened at a node, with its address where there are several.
    fn at(&self, node: usize, what: &str) -> String {
        match self.places.node(node) {
            Some(node) if self.session.source.is_cluster() => {
                format!("{}: {what}", node.address())
            }
            _ => what.to_owned(),
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Listening(post, heard) => self.listens(post, heard),
            Report::Lost(post, cause) => {
                if self.falls_silent(post) {
                    let cause = self.at(post.node, &format!("{}: {cause}", post.way));
                    self.gap(&cause, &self.slots_of(post.node));
                }
            }
            Report::Left(post) => self.leaves(post),
            Report::Dead(post, why) => {
                if self.posts.expects(post, &self.ways) {
                    let why = self.at(post.node, &format!("{}: {why}", post.way));
                    let failure = self.session.source.unusable(&why);
                    self.session.context.give_up(failure);
                }
            }
            Report::Fenced(_) | Report::Unfenced(_) => {}
        }
    }

    /// `node`: the source's node that was looked at; `None` is the target.
    fn alarm(&mut self, node: Option<usize>, alarm: Alarm) {
        let live = &self.session.context.stats.live;
        match alarm {
            Alarm::Gap(cause) => match node {
                Some(node) => self.gap(&self.at(node, &cause), &self.slots_of(node)),
                None => self.gap(&cause, &SlotSet::all()),
            },
            Alarm::Lost(cause, slots) => self.gap(&cause, &self.session.source_slots(&slots)),
            Alarm::Backlog(bytes) => {
                warn!("the source holds {bytes} bytes that riot has not read: listening anew");
                self.ears.drop_connections();
            }
            Alarm::Streams => self.look_at_streams(&self.follow.streams.all(false)),
            Alarm::OtherDatabases => self.other_databases(),
            Alarm::Unproven(words) => live.unproven(words),
            Alarm::Deaf(why) | Alarm::Silent(why) if self.choice.tracking => {
                error!("{why}: listening by client tracking instead, and scanning again");
                self.gap(&why, &SlotSet::all());
                self.ways = vec![Way::Tracking];
                self.take_up_posts(false);
                self.guard.is_tracked_now();
                live.listens(&[Way::Keyspace.name(), Way::Tracking.name()]);
            }
            Alarm::Silent(why) => {
                error!("{why}, and there is no other way to learn of changes");
                live.unproven(format!(
                    "{why}: notifications may be off (ACL rule +config|get tells)"
                ));
            }
            Alarm::Deaf(why) => {
                error!("{why}, and there is no other way to learn of changes: the run ends");
                self.gap(&why, &SlotSet::all());
                self.deaf = true;
            }
        }
    }

    /// Tracking names keys without their database.
    fn other_databases(&self) {
        // A run of several knows it from the start.
        let known = self.follow.has_other_databases() && self.session.together.is_none();
        self.follow.other_databases();
        let line = "other databases of the source have keys, and tracking does not tell which database an event is of: \
            a key deleted here may stay at the target, counted as extra (--events keyspace tells, --delete-extra deletes)";
        if !known && !self.ways.contains(&Way::Keyspace) && self.session.tells(line) {
            warn!("{line}");
        }
    }

    /// Why the target cannot be up to date for now, though no gap may be open.
    fn obstacle(&self) -> Option<&'static str> {
        if !self.is_listening() {
            Some("the source is not listened to")
        } else if !self.guard.is_ready() {
            Some("the source loads its keys, has lost its master, or cannot be asked")
        } else if self.follow.changed.has_overflow() || self.pass.is_some() && self.scanned {
            Some("changed keys are scanned for")
        } else {
            None
        }
    }

    /// What is due each tick.
    fn look(&mut self) {
        self.follow_clusters();
        let changed = &self.follow.changed;
        let live = &self.session.context.stats.live;
        live.set_waiting(changed.len() as u64);
        live.set_obstacle(self.obstacle());
        let events = live.events();
        if events != self.heard {
            self.heard = events;
            self.quiet_since = Instant::now();
        }
        if self.follow.take_strayed() {
            self.gap(
                "values are read at another server than events are heard at",
                &SlotSet::all(),
            );
            self.ears.drop_connections();
        }
        let counts = self.session.context.stats.counts();
        if self
            .first_ends
            .is_some_and(|taken| counts.finished() >= taken)
        {
            self.first_ends = None;
            self.session.end_phase();
            self.session.begin(Phase::Listening);
        }
        let quiet = self.is_quiet().then(|| self.quiet_since.into_std());
        self.follow.set_quiet(quiet);
        let now = Instant::now();
        if now >= self.streams_due && changed.len() < self.room() {
            self.streams_due = now + Duration::from_secs(1);
            self.look_at_streams(&self.follow.streams.next(STREAMS, STREAM_BYTES));
        }
    }

    fn look_at_streams(&self, names: &[bytes::Bytes]) {
        let changed: &Changed = &self.follow.changed;
        let mark = Mark::new(Cause::Turn, changed.now());
        for name in names {
            changed.mark(name, &self.session.rename, 0, mark);
        }
    }

    fn is_idle(&self) -> bool {
        let limit = self.live.idle_timeout;
        limit.is_some_and(|limit| self.is_quiet() && self.quiet_since.elapsed() >= limit)
    }

    /// Nothing is to be done.
    fn is_quiet(&self) -> bool {
        let changed = &self.follow.changed;
        self.scanned
            && self.first_ends.is_none()
            && self.pass.is_none()
            && self.session.context.stats.live.open_gaps() == 0
            // A replica without its master has nothing to tell, and will have.
            && self.guard.is_ready()
            && changed.is_empty()
            && !changed.has_overflow()
    }
}

/// A lane that ends before its input is closed has failed.
fn fell(joined: Result<anyhow::Result<()>, tokio::task::JoinError>) -> Result<(), RunError> {
    match joined {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(RunError::Internal(format!("{error:#}"))),
        Err(error) => Err(RunError::Internal(format!(
            "a stage ended in a panic: {error}"
        ))),
    }
}
