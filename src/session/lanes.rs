//! How many lanes read and write: as told, or as the way to each server suits.

use tracing::warn;

use crate::config::{Auto, Config, Side};
use crate::server::Profile;
use crate::window::FAR_AWAY;

/// Lanes to a server that is near: it answers from one thread, and one connection keeps that busy.
const NEAR: usize = 1;
/// With TLS there is work for another core.
const ENCRYPTED: usize = 2;
/// One TCP connection does not fill a long way.
const FAR: usize = 4;
/// A scan and a read lane.
const LEAST_AT_SOURCE: usize = 2;
/// A write lane.
const LEAST_AT_TARGET: usize = 1;
/// Two ways of events, and what watches the source beside them.
const LISTENING: usize = 3;

/// Lanes, and the connections that they may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    /// Lanes that read.
    pub read: usize,
    /// Lanes that write.
    pub write: usize,
    /// Lanes that compare, each on both sides.
    pub compare: usize,
    /// Each of them may have another connection to each side.
    pub compare_twice: bool,
}

impl Lanes {
    /// What the configuration wishes and the servers suit.
    #[must_use]
    pub fn of(config: &Config, source: &Profile, target: &Profile) -> Self {
        let suited = [
            suited(source, config.source.tls.is_some()),
            suited(target, config.target.tls.is_some()),
        ];
        let [to_source, to_target] = suited;
        // One connection scans.
        let readers = pool(config, Side::Source).saturating_sub(1).max(1);
        let writers = pool(config, Side::Target).max(1);
        let listening = if config.live.is_some() { LISTENING } else { 0 };
        let flow = &config.flow;
        let beside = readers.saturating_sub(listening).max(1);
        let compare = match flow.write_lanes {
            Auto::Fixed(lanes) => lanes.max(1),
            Auto::Measured => to_source.max(to_target),
        };
        let compare = compare.min(readers).min(writers);
        Self {
            read: count(flow.read_lanes, to_source, beside, "--read-threads"),
            write: count(flow.write_lanes, to_target, writers, "--threads"),
            compare,
            compare_twice: !(source.is_cluster || target.is_cluster)
                && 2 * compare <= beside.min(writers),
        }
    }

    /// Whether each side's pool has a connection left beside the scan's and the lanes'.
    #[must_use]
    pub fn leave_one(&self, config: &Config) -> bool {
        let listening = if config.live.is_some() { LISTENING } else { 0 };
        pool(config, Side::Source) > self.read + 1 + listening
            && pool(config, Side::Target) > self.write
    }
}

/// Connections that the stages may open to a side: the monitor has one, where there is more than the least.
fn pool(config: &Config, side: Side) -> usize {
    let pool = match side {
        Side::Source => config.source.pool,
        Side::Target => config.target.pool,
    };
    pool - usize::from(monitors(config, side)) - usize::from(measures(config, side))
}

/// Whether a connection measures what the run costs a side (`--source-cpu`).
fn measures(config: &Config, side: Side) -> bool {
    side == Side::Source && config.flow.source_cpu.is_some()
}

/// Whether a side's pool has a connection for the monitor.
pub(super) fn monitors(config: &Config, side: Side) -> bool {
    match side {
        Side::Source => config.source.pool > LEAST_AT_SOURCE + usize::from(measures(config, side)),
        Side::Target => config.target.pool > LEAST_AT_TARGET,
    }
}

fn suited(profile: &Profile, encrypted: bool) -> usize {
    if profile.round_trip >= FAR_AWAY {
        FAR
    } else if encrypted {
        ENCRYPTED
    } else {
        NEAR
    }
}

fn count(told: Auto<usize>, suited: usize, pool: usize, option: &str) -> usize {
    let wanted = match told {
        Auto::Fixed(lanes) => lanes.max(1),
        Auto::Measured => return suited.min(pool),
    };
    if wanted > pool {
        warn!(
            "{option} {wanted} is more than the pool has left for it: {pool} lanes are used (raise --pool)"
        );
    }
    wanted.min(pool)
}
