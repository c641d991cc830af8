//! A copy that was begun before goes on: what its file says is held against the servers that were found.

use std::sync::Arc;

use super::sides::Found;
use super::takes_all;
use crate::config::Config;
use crate::error::RunError;
use crate::output::Printer;
use crate::state::{Admission, Servers, State, Track};
use crate::stats::Stats;
use crate::text::thousands;

/// Where the copy goes on from; the operator is told.
pub(super) fn pick_up(
    kept: &State,
    config: &Config,
    (source, target): (&Found, &Found),
    printer: &Printer,
    stats: &Stats,
) -> Result<Arc<Track>, RunError> {
    for side in [source, target] {
        if side.run_ids.is_empty() {
            return Err(side.nodes.unusable(
                "it does not tell its run id, by which --state knows it again (ACL rule +info)",
            ));
        }
    }
    let empty = target.profile.keys == Some(0);
    let servers = |side: &Found| Servers {
        cluster: side.profile.is_cluster,
        run_ids: side.run_ids.clone(),
    };
    let Admission { track, mut lines } = kept.admit(servers(source), servers(target), empty)?;
    let done = track.done();
    let total = source.profile.keys.filter(|_| takes_all(config));
    if track.is_copied() {
        lines.push("picked up: all keys were copied before".to_owned());
    } else if done > 0 {
        let at = total.map(|total| {
            let percent = u128::from(done) * 100 / u128::from(total.max(1));
            format!(" at {} %", percent.min(99))
        });
        lines.push(format!(
            "picked up{}: {} keys were done before",
            at.unwrap_or_default(),
            thousands(done)
        ));
    }
    match track.failures() {
        0 => {}
        1 => lines.push("1 key that failed before is tried again".to_owned()),
        failed => lines.push(format!("{failed} keys that failed before are tried again")),
    }
    for line in lines {
        let line = stats.label() + &line;
        printer.line(&line);
        stats.note(line);
    }
    stats.set_done_before(done);
    Ok(Arc::new(track))
}
