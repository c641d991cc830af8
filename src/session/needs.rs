//! What a run will ask of each server: tried before anything is written.

use crate::config::{Carriage, Command, Config, Depth};
use crate::server::Needs;
use crate::transform::Rename;

/// What the source is asked.
pub(crate) fn source_needs(config: &Config, rename: &Rename) -> Needs {
    let copies = config.command == Command::Replicate || config.verification.repair;
    let full = config.verification.depth == Depth::Full;
    let verifies = config.verification.depth != Depth::None;
    Needs {
        expiries: true,
        scans: true,
        searches: config.live.is_some(),
        reads: copies || full,
        payloads: copies && config.flow.carriage != Carriage::Struct,
        dumps: full,
        weighs: copies && config.flow.big_key.is_some(),
        texts: full || (copies && config.flow.carriage != Carriage::Dump),
        memory: config.selection.memory_limit.is_some(),
        kinds: verifies || rename.needs_type() || !config.selection.types.is_empty(),
        scan_type: config.selection.types.len() == 1,
        ..Needs::default()
    }
}

/// What the target is asked.
pub(crate) fn target_needs(config: &Config) -> Needs {
    let copies = config.command == Command::Replicate || config.verification.repair;
    let writes = copies && !config.flow.dry_run;
    let full = config.verification.depth == Depth::Full;
    Needs {
        expiries: true,
        writes,
        payloads: config.flow.carriage != Carriage::Struct,
        reads: full,
        dumps: full,
        scans: config.verification.both,
        searches: config.live.is_some(),
        texts: full || config.flow.carriage != Carriage::Dump,
        kinds: config.verification.depth != Depth::None && !config.flow.dry_run,
        multi: writes && config.flow.multi_exec,
        waits: writes && config.flow.wait_replicas > 0,
        ..Needs::default()
    }
}
