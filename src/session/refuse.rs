//! What is refused once both sides were reached, and what is told.

use super::sides::Found;
use crate::config::{self, Address, Config};
use crate::error::RunError;
use crate::server::{Choice, Way};
use crate::transform::Rename;

/// Both sides are one database.
pub(crate) fn refuse_same_database(
    config: &Config,
    source: &Found,
    target: &Found,
) -> Result<(), RunError> {
    let same_server = is_one_server(config, source, target);
    let same_cluster = source.profile.is_cluster && target.profile.is_cluster && {
        let masters = target.nodes.routes().masters();
        let routes = source.nodes.routes();
        routes.masters().iter().any(|master| {
            masters
                .iter()
                .any(|other| other.address() == master.address())
        })
    };
    if same_cluster || same_server && config.source.database == config.target.database {
        let address = format!(
            "{} database {}",
            config.target.address, config.target.database
        );
        return Err(RunError::SameDatabase(address));
    }
    Ok(())
}

fn is_one_server(config: &Config, source: &Found, target: &Found) -> bool {
    if source.run_ids.is_empty() || target.run_ids.is_empty() {
        config.source.address == config.target.address
            && !matches!(config.source.address, Address::Sentinel { .. })
    } else {
        source.run_ids.iter().any(|id| target.run_ids.contains(id))
    }
}

/// Tracking names keys without their database: where one server is both sides, it would tell of the run's own writes, for ever.
pub(super) fn without_echo(
    config: &Config,
    (source, target): (&Found, &Found),
    choice: Choice,
) -> Result<Choice, RunError> {
    if !is_one_server(config, source, target) {
        return Ok(choice);
    }
    if choice.ways.contains(&Way::Tracking) {
        return Err(source.nodes.unusable(
            "it is the target, too, and client tracking would tell of riot's own writes: CONFIG SET notify-keyspace-events KA there, and --events keyspace",
        ));
    }
    Ok(Choice {
        tracking: false,
        ..choice
    })
}

/// A cluster has one database: what the source has in others stays there.
pub(crate) fn left_behind(config: &Config, source: &Found, target: &Found) -> Option<String> {
    let own = config.source.database;
    let others = source.profile.databases.iter();
    let others: Vec<String> = others
        .filter(|number| **number != own)
        .map(ToString::to_string)
        .collect();
    (target.profile.is_cluster && !others.is_empty()).then(|| {
        format!(
            "the target is a cluster, which has database 0 alone: it gets the keys of the source's database {own}, and those of {} are left out",
            match others.as_slice() {
                [one] => format!("database {one}"),
                many => format!("databases {}", many.join(", ")),
            }
        )
    })
}

/// What cannot be had where keys lie on several nodes.
pub(crate) fn refuse_in_clusters(
    config: &Config,
    source: &Found,
    target: &Found,
    rename: &Rename,
) -> Result<(), RunError> {
    if target.profile.is_cluster && config.flow.multi_exec {
        return Err(target.nodes.unusable(
            "it is a cluster, which has no transactions over several slots: leave --multi-exec out",
        ));
    }
    let verifies = config.command == config::Command::Compare
        || config.verification.depth != config::Depth::None && !config.flow.dry_run;
    if rename.needs_type() && verifies && (source.profile.is_cluster || target.profile.is_cluster) {
        return Err(target.nodes.unusable(
            "names with #{type} cannot be compared where keys lie on the nodes of a cluster: --no-verify leaves the comparison out",
        ));
    }
    Ok(())
}
