//! Copies the keys that a write lane has handed over, by the commands of their types.
//!
//! A carrier reads and writes by itself, on connections of its own: a large key holds nobody else up. Each write lane has
//! two, one for keys that one answer holds, many at once, and one for those that are copied in chunks.

mod fates;
mod line;
mod whole;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{Instant, sleep};
use tracing::warn;

use self::line::Line;
use super::Context;
use super::graves::Graves;
use super::handover::{Handover, Job, Load};
use crate::config::Side;
use crate::entry::Cause;
use crate::error::Lost;
use crate::nodes::{Node, Nodes};
use crate::retry::Backoff;
use crate::slots::slot;
use crate::types::copy::{Bench, CopyTerms, Moment, Order, large};

/// Keys that are taken at once.
const TAKEN: usize = 512;

/// One carrier.
pub struct CarryLane {
    context: Arc<Context>,
    source: Arc<Nodes>,
    target: Arc<Nodes>,
    terms: Arc<CopyTerms>,
    handover: Arc<Handover>,
    load: Load,
    /// Open connections, by the nodes at their ends.
    lines: HashMap<(usize, usize), Line>,
    graves: Graves,
    backoff: Backoff,
    /// Something is tried again that has to wait first.
    rests: bool,
    /// The target does not take writes any more on the connections there are.
    stale: AtomicBool,
}

/// A side is lost for good.
struct Gone(Side);

/// Keys on a bench, by the numbers that their fates will have.
#[derive(Default)]
struct Open {
    jobs: HashMap<usize, Job>,
    last: usize,
}

impl Open {
    fn add(&mut self, job: Job, bench: &mut Bench, context: &Context) {
        self.last += 1;
        bench.add(self.last, order(&job, context));
        self.jobs.insert(self.last, job);
    }
}

/// Both ends of a key's way.
type Ends = (Arc<Node>, Arc<Node>);

impl CarryLane {
    /// A carrier of what is handed over there.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        (source, target): (Arc<Nodes>, Arc<Nodes>),
        terms: Arc<CopyTerms>,
        handover: Arc<Handover>,
        load: Load,
    ) -> Self {
        Self {
            context,
            source,
            target,
            terms,
            handover,
            load,
            lines: HashMap::new(),
            graves: Graves::default(),
            backoff: Backoff::default(),
            rests: false,
            stale: AtomicBool::new(false),
        }
    }

    /// Runs until the write lane is done.
    pub async fn run(mut self) -> anyhow::Result<()> {
        loop {
            let jobs = self.handover.take(self.load, TAKEN).await;
            if jobs.is_empty() {
                return Ok(());
            }
            for (ends, jobs) in self.by_ends(jobs) {
                let carried = match self.load {
                    Load::Small => self.carry_small(ends, jobs).await,
                    Load::Large => self.carry_large(ends, jobs).await,
                };
                if let Err(Gone(side)) = carried {
                    self.lines.clear();
                    tracing::debug!("a carrier has lost its {side}");
                }
            }
            if self.stale.swap(false, Ordering::Relaxed) {
                self.lines.clear();
            }
            if std::mem::take(&mut self.rests) {
                sleep(self.backoff.pause()).await;
            } else {
                self.backoff = Backoff::default();
            }
        }
    }

    /// Keys by the nodes that they are read from and written to. What has no node for now waits.
    fn by_ends(&mut self, jobs: Vec<Job>) -> Vec<(Ends, Vec<Job>)> {
        let (from, to) = (self.source.routes(), self.target.routes());
        let mut parts: Vec<(Ends, Vec<Job>)> = Vec::new();
        for job in jobs {
            let slots = (slot(job.entry.source_name()), slot(&job.entry.key.name));
            let reader = if job.at_master {
                from.master(slots.0)
            } else {
                from.reader(slots.0)
            };
            let Some(ends) = reader.cloned().zip(to.master(slots.1).cloned()) else {
                self.wait_for_server(job, Side::Source, "CLUSTERDOWN its slot has no node");
                continue;
            };
            let same = |known: &Ends| {
                known.0.number() == ends.0.number() && known.1.number() == ends.1.number()
            };
            match parts.iter_mut().find(|(known, _)| same(known)) {
                Some((_, jobs)) => jobs.push(job),
                None => parts.push((ends, vec![job])),
            }
        }
        parts
    }

    fn is_only_way(&self) -> bool {
        !self.source.is_cluster() && !self.target.is_cluster()
    }

    fn moment(&self, ends: &Ends) -> Moment {
        let skews = ends.1.link().skew() - ends.0.link().skew();
        Moment {
            source_now: self.context.clocks.earliest(Side::Source),
            shift: self.context.clocks.shift() + skews,
        }
    }

    /// Copies keys that one answer holds, many at once.
    async fn carry_small(&mut self, ends: Ends, jobs: Vec<Job>) -> Result<(), Gone> {
        let mut line = match self.line(&ends).await {
            Ok(Some(line)) => line,
            ended => return self.leave(ended.err(), jobs),
        };
        let mut bench = Bench::new(self.terms.clone(), line.abilities);
        let mut open = Open::default();
        for job in jobs {
            open.add(job, &mut bench, &self.context);
        }
        while !bench.is_empty() {
            let moment = self.moment(&ends);
            let round = bench.round(&mut line.source, &mut line.target, moment);
            match round.await {
                Ok(fates) => {
                    for (ticket, fate) in fates {
                        if let Some(job) = open.jobs.remove(&ticket) {
                            self.settle(&ends, &mut line, job, fate).await;
                        }
                    }
                    if let Some((side, lost)) = line.broken.take() {
                        line = match self.line_again(&ends, line, side, &lost).await {
                            Ok(Some(line)) => line,
                            ended => {
                                let left = open.jobs.into_values().collect();
                                return self.leave(ended.err(), left);
                            }
                        };
                    }
                }
                Err((side, lost)) => {
                    let unsure = bench.begin_again();
                    let again = self.line_again(&ends, line, side, &lost).await;
                    for (ticket, why) in unsure {
                        if let Some(job) = open.jobs.remove(&ticket) {
                            self.fail(&job, Side::Target, &why);
                        }
                    }
                    line = match again {
                        Ok(Some(line)) => line,
                        ended => return self.leave(ended.err(), open.jobs.into_values().collect()),
                    };
                    self.count_lost(&mut open, &mut bench, side, &lost);
                }
            }
            if !self.context.flow.sleep.is_zero() {
                sleep(self.context.flow.sleep).await;
            }
            // What waits for the same nodes need not wait for the last of these.
            if self.is_only_way() && !self.rests {
                for job in self.handover.try_take(self.load, bench.room()) {
                    open.add(job, &mut bench, &self.context);
                }
            }
        }
        self.keep(&ends, line);
        Ok(())
    }

    /// A connection was lost: keys that were on their way have failed once more.
    fn count_lost(&self, open: &mut Open, bench: &mut Bench, side: Side, lost: &Lost) {
        for (ticket, job) in std::mem::take(&mut open.jobs) {
            match self.lost_once(job, side, lost) {
                Some(job) => {
                    open.jobs.insert(ticket, job);
                }
                None => bench.forget(ticket),
            }
        }
    }

    /// A connection was lost while a key was copied: it comes back if it is to be tried again.
    fn lost_once(&self, mut job: Job, side: Side, lost: &Lost) -> Option<Job> {
        job.failed += 1;
        if self.may_retry(side, job.failed) {
            self.context.stats.retried(1);
            return Some(job);
        }
        let why = format!("{lost} (tried {} times)", job.failed);
        self.fail(&job, side, &why);
        None
    }

    fn may_retry(&self, side: Side, failed: u32) -> bool {
        match side {
            Side::Source => self.context.flow.read_retry.allows(failed),
            Side::Target => self.context.flow.write_retry.allows(failed),
        }
    }

    /// Copies keys in chunks, one after the other.
    async fn carry_large(&mut self, ends: Ends, jobs: Vec<Job>) -> Result<(), Gone> {
        let mut jobs: VecDeque<Job> = jobs.into();
        while let Some(job) = jobs.pop_front() {
            let mut line = match self.line(&ends).await {
                Ok(Some(line)) => line,
                ended => {
                    jobs.push_front(job);
                    return self.leave(ended.err(), jobs.into());
                }
            };
            let began = Instant::now();
            let order = order(&job, &self.context);
            let moment = self.moment(&ends);
            let sides = (&mut line.source, &mut line.target);
            let ended = large(sides, &order, &self.terms, line.abilities, moment).await;
            if let Some(follow) = &self.context.follow {
                follow.changed.was_written(&job.entry.key, began.elapsed());
            }
            match ended {
                Ok(ended) if ended.spoilt => {
                    // Half a command is never executed: with its connection it is gone.
                    drop(line);
                    match self.line(&ends).await {
                        Ok(Some(mut line)) => {
                            self.settle(&ends, &mut line, job, ended.fate).await;
                            self.keep(&ends, line);
                        }
                        ended => {
                            jobs.push_front(job);
                            return self.leave(ended.err(), jobs.into());
                        }
                    }
                }
                Ok(ended) => {
                    self.settle(&ends, &mut line, job, ended.fate).await;
                    self.keep(&ends, line);
                }
                Err((side, lost)) => {
                    let again = self.line_again(&ends, line, side, &lost).await;
                    if self.terms.merge {
                        let why = format!(
                            "{lost}: part of it may have been added, and is not added twice"
                        );
                        self.fail(&job, side, &why);
                    } else if let Some(job) = self.lost_once(job, side, &lost) {
                        jobs.push_front(job);
                    }
                    match again {
                        Ok(Some(line)) => self.keep(&ends, line),
                        ended => return self.leave(ended.err(), jobs.into()),
                    }
                }
            }
        }
        Ok(())
    }

    /// A side is lost, or a node has left its cluster: the keys fail, or go elsewhere.
    fn leave(&mut self, gone: Option<Gone>, jobs: Vec<Job>) -> Result<(), Gone> {
        match gone {
            None => {
                self.put_off(jobs);
                Ok(())
            }
            Some(gone) => {
                let side = gone.0;
                for job in jobs {
                    self.fail(&job, side, &format!("the {side} is lost"));
                }
                Err(gone)
            }
        }
    }

    /// These keys are tried again after a while, where their slots are then.
    fn put_off(&mut self, jobs: Vec<Job>) {
        self.rests = true;
        for job in jobs {
            self.handover.put(self.load, job);
        }
    }

    /// A server or its cluster cannot give or take a key now: it is tried again for as long as a server is waited for.
    fn wait_for_server(&mut self, mut job: Job, side: Side, why: &str) {
        let since = *job.down.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.context.flow.reconnect_timeout {
            return self.fail(&job, side, why);
        }
        let nodes = match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        nodes.doubt();
        if nodes.seed().may_tell() {
            warn!(
                "{side} {}: {why}; trying again",
                nodes.seed().endpoint().address
            );
        }
        self.context.stats.retried(1);
        self.put_off(vec![job]);
    }
}

/// A stream whose turn it is was copied before.
fn order(job: &Job, context: &Context) -> Order {
    let source = job.entry.source_name().clone();
    let turn = job.entry.key.mark.cause() == Cause::Turn;
    let follow = context.follow.as_ref().filter(|_| turn);
    Order {
        known: follow.and_then(|follow| follow.streams.digest(&source)),
        source,
        target: job.entry.key.name.clone(),
    }
}
