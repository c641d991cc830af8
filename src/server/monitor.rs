//! Watches both servers beside the run: their clocks each minute, evictions at the target each second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, error};

use super::control::Control;
use super::info::Info;
use crate::clock::{Clocks, Offset, SAME};
use crate::config::{Endpoint, Side};
use crate::stats::Stats;

const LOOK: Duration = Duration::from_secs(1);
const CLOCK: Duration = Duration::from_secs(60);
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Two control connections that come back by themselves.
pub struct Monitor {
    source: (Arc<Endpoint>, Option<Control>),
    target: (Arc<Endpoint>, Option<Control>),
    stats: Arc<Stats>,
    evicted_before: Option<u64>,
    /// Source and target: whether their pools have a connection for the monitor while the stages run.
    beside: (bool, bool),
}

impl Monitor {
    /// Watches these two, each beside the stages where its pool is large enough; `evicted_before` is the target's count
    /// when the run began, where it is known.
    #[must_use]
    pub fn new(
        source: Arc<Endpoint>,
        target: Arc<Endpoint>,
        stats: Arc<Stats>,
        evicted_before: Option<u64>,
        beside: (bool, bool),
    ) -> Self {
        Self {
            source: (source, None),
            target: (target, None),
            stats,
            evicted_before,
            beside,
        }
    }

    /// Never ends. What it cannot learn is no error of the run.
    pub async fn run(&mut self, clocks: &Clocks) {
        let mut clocks_due = Instant::now() + CLOCK;
        let mut reconnects = 0;
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.beside.1 {
                self.look().await;
            }
            // A connection that came back may have come back to another server.
            let now = self.stats.counts().reconnects.total();
            if Instant::now() >= clocks_due || now != reconnects {
                clocks_due = Instant::now() + CLOCK;
                reconnects = now;
                if self.beside.0 {
                    read_clock(&mut self.source, clocks).await;
                }
                if self.beside.1 {
                    read_clock(&mut self.target, clocks).await;
                }
            }
        }
    }

    /// The last look, when the stages are done. A target that is gone does not hold the end up.
    pub async fn last_look(&mut self) {
        if timeout(LAST_LOOK, self.look()).await.is_err() {
            debug!("the target's evictions could not be looked at");
        }
    }

    /// One look at the target's evictions.
    async fn look(&mut self) {
        let Some(before) = self.evicted_before else {
            return;
        };
        let Some(control) = opened(&mut self.target).await else {
            return;
        };
        match control.words::<String>(&["INFO", "stats"]).await {
            Ok(text) => {
                let evicted = Info::parse(&text)
                    .number("evicted_keys")
                    .unwrap_or(before)
                    .saturating_sub(before);
                if evicted > 0 && self.stats.set_evicted_keys(evicted) == 0 {
                    error!(
                        "the target evicts keys: it is full (maxmemory), and what it evicts is lost there"
                    );
                }
            }
            Err(problem) => {
                debug!("INFO stats: {problem}");
                self.target.1 = None;
            }
        }
    }
}

async fn opened(kept: &mut (Arc<Endpoint>, Option<Control>)) -> Option<&mut Control> {
    let (endpoint, slot) = kept;
    if slot.is_none() {
        *slot = Control::open(endpoint).await.ok();
    }
    slot.as_mut()
}

async fn read_clock(kept: &mut (Arc<Endpoint>, Option<Control>), clocks: &Clocks) {
    let side = kept.0.side;
    let Some(control) = opened(kept).await else {
        return;
    };
    match control.clock_offset().await {
        Ok(offset) => tell(side, offset, clocks),
        Err(problem) => {
            debug!("TIME: {problem}");
            kept.1 = None;
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
