//! Watches both sides' servers beside the run: their clocks each minute, evictions at the target each second.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, error};

use super::control::Control;
use super::info::Info;
use crate::clock::{Clocks, Offset, SAME};
use crate::config::Side;
use crate::nodes::{Node, Nodes};
use crate::stats::Stats;

const LOOK: Duration = Duration::from_secs(1);
const CLOCK: Duration = Duration::from_secs(60);
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Control connections that come back by themselves.
pub struct Monitor {
    source: Arc<Nodes>,
    target: Arc<Nodes>,
    controls: HashMap<(Side, usize), Control>,
    stats: Arc<Stats>,
    /// What each of the target's nodes has evicted, before the run and now.
    evicted: HashMap<usize, (u64, u64)>,
    /// Source and target: whether their pools have a connection for the monitor while the stages run.
    beside: (bool, bool),
}

impl Monitor {
    /// Watches these two sides, each beside the stages where its pool is large enough.
    #[must_use]
    pub fn new(
        source: Arc<Nodes>,
        target: Arc<Nodes>,
        stats: Arc<Stats>,
        beside: (bool, bool),
    ) -> Self {
        Self {
            source,
            target,
            controls: HashMap::new(),
            stats,
            evicted: HashMap::new(),
            beside,
        }
    }

    /// Never ends. What it cannot learn is no error of the run.
    pub async fn run(&mut self, clocks: &Clocks) {
        let mut clocks_due = Instant::now() + CLOCK;
        let mut before = self.moves();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.beside.1 {
                self.look().await;
            }
            // A connection that came back may have come back to another server.
            let now = self.moves();
            if Instant::now() >= clocks_due || now != before {
                clocks_due = Instant::now() + CLOCK;
                before = now;
                if self.beside.0 {
                    let nodes = self.source.routes().readers();
                    self.read_clocks(Side::Source, &nodes, clocks).await;
                }
                if self.beside.1 {
                    let nodes = self.target.routes().masters();
                    self.read_clocks(Side::Target, &nodes, clocks).await;
                }
            }
        }
    }

    fn moves(&self) -> (u64, u64, u64) {
        let reconnects = self.stats.counts().reconnects.total();
        (reconnects, self.source.version(), self.target.version())
    }

    /// The last look, when the stages are done. A target that is gone does not hold the end up.
    pub async fn last_look(&mut self) {
        if timeout(LAST_LOOK, self.look()).await.is_err() {
            debug!("the target's evictions could not be looked at");
        }
    }

    /// One look at the target's evictions.
    async fn look(&mut self) {
        for node in self.target.routes().masters() {
            if let Some(now) = self.evicted_keys(&node).await {
                let before = node.evicted_before().unwrap_or(now);
                self.evicted.insert(node.number(), (before, now));
            }
        }
        let evicted = self.evicted.values();
        let evicted: u64 = evicted
            .map(|(before, now)| now.saturating_sub(*before))
            .sum();
        if evicted > 0 && self.stats.set_evicted_keys(evicted) == 0 {
            error!(
                "the target evicts keys: it is full (maxmemory), and what it evicts is lost there"
            );
        }
    }

    /// What a node has evicted since its start; a node that joined while the run goes on had evicted nothing of it before.
    async fn evicted_keys(&mut self, node: &Node) -> Option<u64> {
        if node.evicted_before().is_none() && !self.target.is_cluster() {
            return None;
        }
        let control = self.opened(Side::Target, node).await?;
        match control.words::<String>(&["INFO", "stats"]).await {
            Ok(text) => {
                let evicted = Info::parse(&text).number("evicted_keys")?;
                node.evicts_from(evicted);
                Some(evicted)
            }
            Err(problem) => {
                debug!("INFO stats: {problem}");
                self.controls.remove(&(Side::Target, node.number()));
                None
            }
        }
    }

    async fn opened(&mut self, side: Side, node: &Node) -> Option<&mut Control> {
        match self.controls.entry((side, node.number())) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => {
                let control = Control::open(node.link().endpoint()).await.ok()?;
                Some(entry.insert(control))
            }
        }
    }

    async fn read_clocks(&mut self, side: Side, nodes: &[Arc<Node>], clocks: &Clocks) {
        let mut first: Option<Offset> = None;
        for node in nodes {
            let Some(control) = self.opened(side, node).await else {
                continue;
            };
            match control.looks().await.map(|look| look.offset) {
                Ok(Some(offset)) => match first {
                    None => {
                        tell(side, offset, clocks);
                        node.link().set_skew(0);
                        first = Some(offset);
                    }
                    Some(first) => node.link().set_skew(offset.ahead_of(first)),
                },
                // The probe has said so.
                Ok(None) => {}
                Err(problem) => {
                    debug!("TIME: {problem}");
                    self.controls.remove(&(side, node.number()));
                }
            }
        }
    }
}

fn tell(side: Side, offset: Offset, clocks: &Clocks) {
    let before = clocks.shift();
    clocks.set(side, offset);
    if (clocks.shift() - before).abs() > SAME {
        tracing::warn!(
            "the servers' clocks now differ by {} ms: expiries are corrected for it",
            clocks.shift()
        );
    }
}
