//! Takes the source's keys in, page by page, and deals them to the lanes. The only stage that watches the wish to stop.
//!
//! Of a cluster every node is scanned at the same time. What it has of slots that are not its own is taken too: keys that
//! are on their way from node to node. A slot that moves meanwhile may have been missed by both: it is scanned again where
//! it is then. So is, once, a slot that is still on its way at the end: keys go one way, so what the node that they leave
//! has not shown stands at the other before that is scanned again.

mod node;
mod pages;
mod parts;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use self::node::{Common, NodeScan};
use super::Context;
use crate::changed::Overflow;
use crate::config::Auto;
use crate::deal::Inlets;
use crate::entry::Key;
use crate::error::RunError;
use crate::filter::Filter;
use crate::nodes::{Node, Nodes, own_slots};
use crate::retry::Backoff;
use crate::signal::Stop;
use crate::slots::SlotSet;
use crate::transform::Rename;
use crate::wire::connect;

/// What SCAN is asked for.
#[derive(Debug, Clone)]
pub struct Sieve {
    /// MATCH; `*` is left out.
    pub pattern: Vec<u8>,
    /// TYPE, where one type is wanted and the server has the option.
    pub kind: Option<String>,
    /// COUNT.
    pub count: Auto<u32>,
    /// What the server cannot filter.
    pub filter: Filter,
}

/// What becomes of the keys' count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Keys that are taken in are counted as scanned.
    Replicate,
    /// Keys are looked at: counted as compared.
    Compare,
    /// The target's keys are looked for at the source.
    Search,
}

/// The stage.
pub struct ScanStage {
    common: Common,
    nodes: Arc<Nodes>,
    server: Server,
    slots: SlotSet,
}

/// What is known of a server that is scanned, where it is one.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// Its own name for its process.
    pub run_id: Option<String>,
    /// How far away it is.
    pub round_trip: Option<Duration>,
    /// How many keys it has, about.
    pub keys: Option<u64>,
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every key was taken in.
    Complete,
    /// The wish to stop, or a failure, came first.
    Early,
}

impl ScanStage {
    /// A scan that deals keys to `inlets` by their names at the target.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        nodes: Arc<Nodes>,
        sieve: Sieve,
        rename: Arc<Rename>,
        purpose: Purpose,
        inlets: Inlets<Vec<Key>>,
        server: Server,
    ) -> Self {
        Self {
            common: Common {
                halt: context.stop.clone(),
                only: None,
                repeated: false,
                track: context
                    .track
                    .clone()
                    .filter(|_| purpose == Purpose::Replicate),
                paid_until: context.shared.paid_until.clone(),
                context,
                sieve,
                rename,
                purpose,
                inlets,
            },
            nodes,
            server,
            slots: SlotSet::all(),
        }
    }

    /// A wish of its own to stop, in place of the run's.
    #[must_use]
    pub fn halted_by(mut self, halt: Stop) -> Self {
        self.common.halt = halt;
        self
    }

    /// Takes those keys alone that are among these.
    #[must_use]
    pub fn only(mut self, only: Option<Arc<Overflow>>) -> Self {
        self.common.only = only;
        self
    }

    /// Takes the keys of these slots alone; the nodes of a cluster that have none of them are not scanned.
    #[must_use]
    pub fn within(mut self, slots: &SlotSet) -> Self {
        self.slots.retain(slots);
        self
    }

    /// A scan of what was copied before: a key may have stopped to be wanted, so the types are left to the lanes, which
    /// take it as one that an event has named.
    #[must_use]
    pub fn repeated(mut self, repeated: bool) -> Self {
        let picks = |context: &Context| context.follow.as_ref().is_some_and(|follow| follow.picks);
        if repeated && picks(&self.common.context) {
            self.common.repeated = true;
            self.common.sieve.kind = None;
        }
        self
    }

    /// Scans until all was seen. A source that is lost is told to the context.
    pub async fn run(self) -> Ended {
        let (context, purpose) = (self.common.context.clone(), self.common.purpose);
        match self.scan().await {
            Ok(ended) => {
                if ended == Ended::Complete && purpose != Purpose::Search {
                    context.stats.scan_ended();
                }
                ended
            }
            Err(error) => {
                context.give_up(error);
                Ended::Early
            }
        }
    }

    async fn scan(mut self) -> Result<Ended, RunError> {
        if self.nodes.is_cluster() {
            return self.scan_cluster().await;
        }
        let mut left = self.slots.clone();
        loop {
            left = self.begin(&left, 0);
            let scan = NodeScan {
                link: self.nodes.seed().clone(),
                run_id: self.server.run_id.take(),
                round_trip: self.server.round_trip,
                keys: self.server.keys,
                own: left.clone(),
                slots: Some(left).filter(|slots| !slots.is_all()),
                common: self.common.clone(),
            };
            let (ended, rest) = scan.run().await?;
            if ended == Ended::Early || rest.is_empty() {
                return Ok(ended);
            }
            left = rest;
        }
    }

    /// Begins to scan these slots: those come back that are left, where an earlier run has scanned some.
    fn begin(&self, slots: &SlotSet, version: u64) -> SlotSet {
        match &self.common.track {
            Some(track) => track.begin(slots, version),
            None => slots.clone(),
        }
    }

    async fn scan_cluster(self) -> Result<Ended, RunError> {
        let mut left = self.slots.clone();
        let mut half_moved = SlotSet::default();
        loop {
            // What is no longer so is seen at the end.
            let routes = self.nodes.routes();
            left = self.begin(&left, routes.version());
            let mut scans = JoinSet::new();
            let idle = routes.idle().iter().cloned();
            for master in routes.masters().into_iter().chain(idle) {
                let mut own = routes.written_at(&master);
                let reader = own.iter().next().and_then(|slot| routes.reader(slot));
                let reader = reader.unwrap_or(&master).clone();
                own.retain(&left);
                if own.is_empty() && !self.holds_some(&master, &left).await {
                    continue;
                }
                let scan = NodeScan {
                    common: self.common.clone(),
                    link: reader.link().clone(),
                    run_id: None,
                    round_trip: None,
                    keys: None,
                    own: own.clone(),
                    slots: Some(left.clone()).filter(|left| !left.is_all()),
                };
                scans.spawn(async move { (own, scan.run().await) });
            }
            let mut again = SlotSet::default();
            let mut unseen = SlotSet::default();
            let mut over: Option<Result<Ended, RunError>> = None;
            while let Some(joined) = scans.join_next().await {
                let (own, ended) = joined.map_err(|error| {
                    RunError::Internal(format!("a scan ended in a panic: {error}"))
                })?;
                match ended {
                    Ok((Ended::Complete, rest)) => unseen.extend(&rest),
                    Err(RunError::Left { .. }) => again.extend(&own),
                    Ok((Ended::Early, _)) => {
                        over.get_or_insert(Ok(Ended::Early));
                    }
                    Err(error) => {
                        // The others end as they do at a signal, so that what they have counted is dealt.
                        self.common.halt.drain();
                        over = Some(Err(error));
                    }
                }
            }
            if let Some(over) = over {
                return over;
            }
            // Before the routes: what arrives in between is a change of them.
            let coming = self.nodes.coming().await;
            self.refresh(&left).await?;
            if !unseen.is_empty() {
                let line = format!(
                    "{} slots have moved since the copy was begun: they are scanned from the start",
                    unseen.len()
                );
                warn!("{line}");
                self.common.context.stats.note(line);
                again.extend(&unseen);
            }
            again.extend(&self.nodes.routes().changed_since(routes.version()));
            let mut new = coming.clone();
            new.remove(&half_moved);
            again.extend(&new);
            half_moved = coming;
            again.retain(&left);
            if again.is_empty() {
                return Ok(Ended::Complete);
            }
            info!(
                "{} slots moved while they were scanned, or move still: they are scanned again",
                again.len()
            );
            left = again;
        }
    }

    /// Whether a node that is not known to have any of these slots has some after all, or will.
    async fn holds_some(&self, node: &Node, slots: &SlotSet) -> bool {
        let Ok(mut connection) = connect(node.link().endpoint()).await else {
            return false;
        };
        let own = own_slots(&mut connection).await.unwrap_or_default();
        own.all().iter().any(|slot| slots.contains(slot))
    }

    /// What is known of the cluster is what it is now, and somebody has each of these slots.
    async fn refresh(&self, slots: &SlotSet) -> Result<(), RunError> {
        let began = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            let why = match self.nodes.refresh().await {
                Ok(()) => {
                    let mut unserved = self.nodes.routes().unserved();
                    unserved.retain(slots);
                    if unserved.is_empty() {
                        return Ok(());
                    }
                    format!("{} slots have no node", unserved.len())
                }
                Err(why) => why,
            };
            if began.elapsed() >= self.common.context.flow.reconnect_timeout
                || self.common.halt.is_draining()
            {
                return Err(self.nodes.unusable(&why));
            }
            sleep(backoff.pause()).await;
        }
    }
}
