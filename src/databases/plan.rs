//! Which database goes where, and what of it cannot be.

use std::collections::BTreeSet;

use super::census::{Census, Keys};
use crate::config::{Config, Databases, Which};
use crate::error::RunError;
use crate::text::thousands;

/// A server that does not tell how many databases it has is taken to have so many.
const USUAL: u32 = 16;

/// A database of the source, and where it goes.
pub(crate) type Pair = (u32, u32);

/// The databases that have to be there, on each side: those that were named.
pub(crate) fn named(databases: &Databases) -> (BTreeSet<u32>, BTreeSet<u32>) {
    match &databases.which {
        Which::All => (
            databases.map.keys().copied().collect(),
            databases.map.values().copied().collect(),
        ),
        Which::Listed(listed) => {
            let targets = listed.iter().map(|number| databases.target_of(*number));
            (listed.clone(), targets.collect())
        }
    }
}

/// Databases of the source that are taken without keys, as those of the target where theirs would go have some.
pub(crate) fn without_keys(
    config: &Config,
    databases: &Databases,
    source: &Census,
    target: &Census,
) -> BTreeSet<u32> {
    let mut without = BTreeSet::new();
    if !config.verification.both {
        return without;
    }
    for number in target.keys.keys() {
        let mut with_keys = source.keys.keys();
        if with_keys.any(|one| databases.takes(*one) && databases.target_of(*one) == *number) {
            continue;
        }
        if source.profile.is_cluster && databases.takes(0) && databases.target_of(0) == *number {
            continue;
        }
        let last = source.total.unwrap_or(USUAL).saturating_sub(1).max(*number);
        let mapped = databases.sources_of(*number, last);
        // One that was sent there by name comes first.
        without.extend(mapped.max_by_key(|one| databases.map.contains_key(one)));
    }
    without
}

/// The target's keys have no counterpart that could be asked for them: they are `extra`, all of them, and none would be told.
pub(crate) fn refuse_beyond(
    databases: &Databases,
    without: &BTreeSet<u32>,
    source: &Census,
    target: &Census,
) -> Result<(), RunError> {
    let is_absent = |number: &&u32| {
        let cluster = source.profile.is_cluster && **number != 0;
        cluster || source.is_absent(**number)
    };
    let Some(number) = without.iter().find(is_absent) else {
        return Ok(());
    };
    let (why, those) = if source.profile.is_cluster {
        let why = "the source is a cluster, which has database 0 alone".to_owned();
        (why, "0".to_owned())
    } else {
        let why = format!("the source has no database {number}{}", has(source));
        let last = source.total.map(|total| total.saturating_sub(1));
        (
            why,
            last.map_or("A-B".to_owned(), |last| format!("0-{last}")),
        )
    };
    Err(target.unusable(format!(
        "it has keys in its database {}, which --both is to look at, and {why}, so all of them are extra: --source-db {those} leaves them out",
        databases.target_of(*number)
    )))
}

/// What is taken now, where it can be; `without`: databases that are taken without keys.
pub(crate) fn pairs(
    config: &Config,
    databases: &Databases,
    without: &BTreeSet<u32>,
    (source, target): (&Census, &Census),
) -> Result<Vec<Pair>, RunError> {
    let mut sources: BTreeSet<u32> = BTreeSet::new();
    if source.profile.is_cluster {
        refuse_cluster_source(databases, source)?;
        sources.insert(0);
    } else {
        refuse_absent(databases, source)?;
        let with_keys = source.keys.keys().copied();
        sources.extend(with_keys.filter(|number| databases.takes(*number)));
        sources.extend(without);
    }
    if sources.is_empty() {
        sources.insert(stand_in(databases, source, target));
    }
    let pairs: Vec<Pair> = sources
        .into_iter()
        .map(|number| (number, databases.target_of(number)))
        .collect();
    refuse_mixing(&pairs, target)?;
    if target.profile.is_cluster {
        refuse_several(&pairs, source, target)?;
    }
    if is_one_server(config, source, target) {
        refuse_one_server(config, databases, &pairs, target)?;
    }
    Ok(pairs)
}

/// Somebody has to look at a source without keys: a database that stands in the way of no other which gets its first keys later.
fn stand_in(databases: &Databases, source: &Census, target: &Census) -> u32 {
    let sent = |wanted: Option<u32>| {
        let mut map = databases.map.iter();
        map.find(|(one, to)| databases.takes(**one) && wanted.is_none_or(|wanted| wanted == **to))
            .map(|(one, _)| *one)
    };
    let found = if target.profile.is_cluster {
        sent(Some(0))
    } else if databases.map.is_empty() {
        None
    } else {
        let total = source.total.zip(target.total);
        let last = total.map(|(one, other)| one.min(other).saturating_sub(1));
        let alone = last.and_then(|last| {
            let most = source.total.unwrap_or(USUAL).saturating_sub(1);
            (0..=last).find(|one| {
                let to = databases.target_of(*one);
                databases.takes(*one) && to <= last && databases.sources_of(to, most).count() == 1
            })
        });
        alone.or_else(|| sent(None))
    };
    found.unwrap_or_else(|| databases.first())
}

/// Why a database that has its first keys now cannot be taken too.
pub(crate) fn late(
    (source, target): Pair,
    taken: &[Pair],
    target_is_cluster: bool,
) -> Option<String> {
    if target_is_cluster {
        return Some(format!(
            "database {source} of the source has its first keys, and the target is a cluster, which has database 0 alone: they are not copied"
        ));
    }
    let other = taken.iter().find(|(_, other)| *other == target)?;
    Some(format!(
        "database {source} of the source has its first keys, and database {target} of the target has those of database {}: they are not copied (--db-map {source}=N)",
        other.0
    ))
}

fn refuse_cluster_source(databases: &Databases, source: &Census) -> Result<(), RunError> {
    let Which::Listed(listed) = &databases.which else {
        return Ok(());
    };
    match listed.iter().find(|number| **number != 0) {
        None => Ok(()),
        Some(number) => Err(source.unusable(format!(
            "it is a cluster, which has database 0 alone: leave --source-db {number} out"
        ))),
    }
}

fn refuse_absent(databases: &Databases, source: &Census) -> Result<(), RunError> {
    let Some((number, why)) = source.absent() else {
        return Ok(());
    };
    let has = has(source);
    let option = match databases.which {
        Which::All => "--db-map",
        Which::Listed(_) => "--source-db",
    };
    Err(source.unusable(format!(
        "it has no database {number} ({why}){has}: {option} is to name those that it has"
    )))
}

/// Databases of the target that keys would go to and that are not there.
pub(crate) fn refuse_absent_at_target(pairs: &[Pair], target: &Census) -> Result<(), RunError> {
    let Some((number, why)) = target.absent().filter(|_| !target.profile.is_cluster) else {
        return Ok(());
    };
    let of = pairs.iter().find(|(_, to)| *to == number);
    let from = of.map_or(number, |(from, _)| *from);
    Err(target.unusable(format!(
        "it has no database {number} ({why}){}, where keys of the source's database {from} would go: --db-map {from}=N sends them elsewhere, --source-db leaves them out",
        has(target)
    )))
}

fn has(side: &Census) -> String {
    side.total
        .map(|total| format!("; it has {total}, from 0 on"))
        .unwrap_or_default()
}

fn refuse_mixing(pairs: &[Pair], target: &Census) -> Result<(), RunError> {
    for (at, (source, to)) in pairs.iter().enumerate() {
        let before = pairs.iter().take(at).find(|(_, other)| other == to);
        if let Some((other, _)) = before {
            return Err(target.unusable(format!(
                "databases {other} and {source} of the source would both go to its database {to}, and overwrite each other there: --db-map {source}=N sends one elsewhere"
            )));
        }
    }
    Ok(())
}

fn refuse_several(pairs: &[Pair], source: &Census, target: &Census) -> Result<(), RunError> {
    match pairs {
        [(_, 0)] => Ok(()),
        [(from, _)] => Err(target.unusable(format!(
            "it is a cluster, which has database 0 alone: --db-map {from}=0 sends the source's database {from} there"
        ))),
        many => Err(target.unusable(format!(
            "it is a cluster, which has database 0 alone, and the source has keys in {}: --source-db N with --db-map N=0 copies one of them",
            names(many, &source.keys)
        ))),
    }
}

/// Both sides are one server, as far as that can be known.
fn is_one_server(config: &Config, source: &Census, target: &Census) -> bool {
    match (&source.profile.run_id, &target.profile.run_id) {
        (Some(one), Some(other)) => one == other,
        _ => config.source.address == config.target.address,
    }
}

/// What is written must not be read again.
fn refuse_one_server(
    config: &Config,
    databases: &Databases,
    pairs: &[Pair],
    target: &Census,
) -> Result<(), RunError> {
    let read: BTreeSet<u32> = match &databases.which {
        Which::All => pairs.iter().map(|(source, _)| *source).collect(),
        Which::Listed(listed) => listed.clone(),
    };
    for source in &read {
        let to = databases.target_of(*source);
        if to == *source {
            let address = format!("{} database {source}", config.target.address);
            return Err(RunError::SameDatabase(address));
        }
        if read.contains(&to) {
            return Err(target.unusable(format!(
                "it is the source, too, and its database {to} would be read and, with the keys of database {source}, written: --source-db leaves one out"
            )));
        }
    }
    let goes_on = config.live.is_some() || config.flow.repeat.is_some();
    if goes_on && databases.which == Which::All {
        return Err(target.unusable(
            "it is the source, too, and with all of its databases a run that goes on would take what it writes for the source's: --source-db is to name them"
                .to_owned(),
        ));
    }
    Ok(())
}

/// `0 (1,000 keys), 3 to 1 (20 keys)`.
pub(crate) fn names(pairs: &[Pair], keys: &Keys) -> String {
    let one = |(source, target): &Pair| {
        let to = if source == target {
            String::new()
        } else {
            format!(" to {target}")
        };
        let keys = match keys.get(source) {
            None => "no keys".to_owned(),
            Some(None) => "keys not counted".to_owned(),
            Some(Some(1)) => "1 key".to_owned(),
            Some(Some(number)) => format!("{} keys", thousands(*number)),
        };
        format!("{source}{to} ({keys})")
    };
    pairs.iter().map(one).collect::<Vec<_>>().join(", ")
}
