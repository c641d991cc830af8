//! What is told of both sides before a run begins.

use std::sync::Arc;

use tracing::warn;

use super::Together;
use crate::clock::SAME;
use crate::config::{Config, Endpoint, Side};
use crate::output::{Printer, server_line};
use crate::server::Profile;
use crate::stage::Context;

/// The servers' clocks, and what they do not allow; what each of several databases finds is told once.
pub(super) fn learnt(
    config: &Config,
    context: &Context,
    (source, target): (&Profile, &Profile),
    together: Option<&Arc<Together>>,
) {
    let stats = &context.stats;
    let tells = |line: &str| together.is_none_or(|all| all.tells(line));
    for (side, profile) in [(Side::Source, source), (Side::Target, target)] {
        if let Some(offset) = profile.clock_offset {
            context.clocks.set(side, offset);
        }
        for line in &profile.unproven {
            if config.live.is_some() {
                stats.live.unproven(line.as_str());
            } else {
                stats.note(line.as_str());
            }
        }
        for line in &profile.warnings {
            if tells(line) {
                warn!("{line}");
            }
        }
    }
    if context.clocks.shift().abs() > SAME {
        let line = format!(
            "the servers' clocks differ by {} ms: expiries are corrected for it",
            context.clocks.shift()
        );
        if tells(&line) {
            warn!("{line}");
        }
        stats.note(line);
    }
}

/// A side that was reached.
pub(super) fn show(printer: &Printer, endpoint: &Endpoint, profile: &Profile) {
    let line = server_line(
        endpoint.side,
        &endpoint.address,
        &profile.description,
        profile.keys,
        profile.memory,
        profile.round_trip,
    );
    printer.line(&line);
    if profile.is_cluster && !endpoint.cluster {
        printer.line(&format!(
            "{} {}: it is a cluster (cluster_enabled:1) and is treated as one",
            endpoint.side, endpoint.address
        ));
    }
}
