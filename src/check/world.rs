//! What the two sides are to each other: one database or two, their versions, their clocks, and what is not copied.

use super::report::{Level, Place};
use super::rights::Share;
use super::{
    Findings, Reached, Span, by_type_at_most, compared_at_most, copies, payload, survey, writes,
};
use crate::clock::SAME;
use crate::config::{Address, Carriage, Config, Endpoint, Side};
use crate::error::RunError;
use crate::server::Tried;
use crate::session::{left_behind, refuse_in_clusters, refuse_same_database};
use crate::text::thousands;
use crate::transform::Rename;

/// What cannot be, whatever the rights.
pub(super) fn sides(
    config: &Config,
    rename: &Rename,
    (source, target): (&Reached<'_>, &Reached<'_>),
    span: Span,
    findings: &mut Findings,
) {
    if let Err(error) = refuse_same_database(config, &source.found, &target.found) {
        findings.cured(
            Level::NotReady,
            Place::Both,
            "same database",
            error.to_string(),
            "name another server, or another database of it",
        );
    }
    if let Err(error) = refuse_in_clusters(config, &source.found, &target.found, rename) {
        let reason = match error {
            RunError::Unusable { reason, .. } => reason,
            other => other.to_string(),
        };
        findings.add(Level::NotReady, Side::Target, "cluster", reason);
    }
    if matches!(span, Span::Several) {
        // Which are taken is told, and which cannot be.
    } else if let Some(line) = left_behind(config, &source.found, &target.found) {
        findings.add(Level::Note, Side::Source, "databases", line);
    } else {
        other_databases(config, source, findings);
    }
    if writes(config) {
        takes_writes(target, findings);
    }
}

fn other_databases(config: &Config, source: &Reached<'_>, findings: &mut Findings) {
    let own = config.source.database;
    let others: Vec<String> = source
        .found
        .profile
        .databases
        .iter()
        .filter(|number| **number != own)
        .map(ToString::to_string)
        .collect();
    if others.is_empty() {
        return;
    }
    findings.cured(
        Level::Note,
        Side::Source,
        "databases",
        format!(
            "other databases have keys, too, which this run leaves out: {}",
            others.join(", ")
        ),
        "--source-db all copies them, too",
    );
}

/// A replica, a full server, one that cannot save: it says so of any write.
fn takes_writes(target: &Reached<'_>, findings: &mut Findings) {
    let refused = target.surveys.iter().find_map(|survey| {
        let Some(Tried::Said(said)) = survey.tried.get("SET") else {
            return None;
        };
        let code = said.split(' ').next().unwrap_or_default();
        let refuses = matches!(code, "READONLY" | "OOM" | "MISCONF" | "NOREPLICAS");
        refuses.then_some((&survey.address, said))
    });
    let role = target.text("role") == Some("slave") && !target.found.profile.is_cluster;
    if let Some((address, said)) = refused
        && !said.starts_with("READONLY")
    {
        let text = format!("{address} takes no writes now: {said}");
        findings.add(Level::NotReady, Side::Target, "writes", text);
    } else if refused.is_some() || role && target.text("slave_read_only") == Some("1") {
        let master = target.text("master_host").zip(target.text("master_port"));
        let cure = master.map_or_else(
            || "name its master".to_owned(),
            |(host, port)| format!("name its master, {host}:{port}"),
        );
        let text = "it is a read-only replica".to_owned();
        findings.cured(Level::NotReady, Side::Target, "role", text, cure);
    }
}

/// How many keys go by the commands of their types.
pub(super) struct Shares {
    pub(super) by_type: Share,
    pub(super) compared: Share,
}

/// Whether payloads go from the source to the target, and what becomes of keys where they do not.
pub(super) async fn payloads(
    config: &Config,
    source: &Reached<'_>,
    target: &Reached<'_>,
    findings: &mut Findings,
) -> Result<Shares, RunError> {
    let mut shares = Shares {
        by_type: by_type_at_most(config),
        compared: compared_at_most(config),
    };
    let version = source
        .surveys
        .iter()
        .filter_map(|survey| survey.version)
        .max()
        .or_else(|| payload::version_of(source.found.profile.product()));
    let own = payload::version_of(target.found.profile.product());
    if let (Some(version), Some(own)) = (version, own)
        && version != own
        && shares.compared > Share::Nothing
    {
        shares.compared = Share::Everything;
    }
    let may = |reached: &Reached<'_>, name| {
        let mut surveys = reached.surveys.iter();
        surveys.all(|survey| survey.tried.get(name).is_none_or(Tried::may))
    };
    if !copies(config) || config.flow.carriage == Carriage::Struct {
        return Ok(shares);
    }
    if !may(source, "DUMP") || (writes(config) && !may(target, "RESTORE")) {
        // Told with the rights.
        shares.by_type = Share::Everything;
        return Ok(shares);
    }
    if !writes(config) {
        return Ok(shares);
    }
    let name = "payload";
    let Some(version) = version else {
        findings.add(
            Level::Note,
            Place::Both,
            name,
            "whether the target reads the source's DUMP format cannot be known: no small key is there to look at. What it refuses is copied by the commands of its type".to_owned(),
        );
        return Ok(shares);
    };
    match survey::reads_version(&target.found.nodes, version).await? {
        Some(true) => findings.add(
            Level::Ok,
            Place::Both,
            name,
            format!("the target reads the source's DUMP format (RDB version {version})"),
        ),
        Some(false) => {
            shares.by_type = Share::Everything;
            findings.add(
                Level::Note,
                Place::Both,
                name,
                format!(
                    "the target does not read the source's DUMP format (RDB version {version}): every key other than a string is copied by the commands of its type, by itself, which is slower"
                ),
            );
        }
        None => findings.add(
            Level::Note,
            Place::Both,
            name,
            format!(
                "whether the target reads the source's DUMP format (RDB version {version}) cannot be known. What it refuses is copied by the commands of its type"
            ),
        ),
    }
    Ok(shares)
}

/// Keys that the target has, and what of the source is no key.
pub(super) fn contents(
    config: &Config,
    source: &Reached<'_>,
    target: &Reached<'_>,
    findings: &mut Findings,
) {
    for reached in [source, target] {
        if reached.found.profile.keys.is_none() {
            let user = reached.user();
            findings.cured(
                Level::Note,
                reached.side(),
                "dbsize",
                "how many keys it has cannot be known: DBSIZE is not allowed".to_owned(),
                format!("ACL SETUSER {user} +dbsize"),
            );
        }
    }
    if !copies(config) {
        return;
    }
    match target.found.profile.keys {
        Some(0) => findings.add(Level::Ok, Side::Target, "keys", "it has no keys yet".to_owned()),
        Some(keys) if writes(config) => findings.cured(
            Level::Note,
            Side::Target,
            "keys",
            format!(
                "it has {} of its own, of which those with a name of the source's are replaced, and the others stay",
                if keys == 1 { "1 key".to_owned() } else { format!("{} keys", thousands(keys)) }
            ),
            "FLUSHDB at the target where none of them is wanted; riot compare --both counts those that stay",
        ),
        Some(_) | None => {}
    }
    beside(source, target, findings);
}

/// Functions, scripts and users are no keys.
fn beside(source: &Reached<'_>, target: &Reached<'_>, findings: &mut Findings) {
    let (from, to) = (client(source.endpoint), client(target.endpoint));
    let not_copied = |number: u64, one: &str, many: &str| match number {
        1 => format!("1 {one} is not copied"),
        number => format!("{} {many} are not copied", thousands(number)),
    };
    let libraries = source.most("number_of_libraries");
    if libraries > 0 {
        let cure = if target.text("number_of_libraries").is_some() {
            format!("{from} FUNCTION DUMP | head -c -1 | {to} -x FUNCTION RESTORE")
        } else {
            "FUNCTION DUMP and FUNCTION RESTORE, where the target is Redis 7.0 or newer".to_owned()
        };
        findings.cured(
            Level::Note,
            Side::Source,
            "functions",
            not_copied(libraries, "library of functions", "libraries of functions"),
            cure,
        );
    }
    let scripts = source.most("number_of_cached_scripts");
    if scripts > 0 {
        findings.cured(
            Level::Note,
            Side::Source,
            "scripts",
            not_copied(scripts, "cached script", "cached scripts"),
            "no server lists them; clients that call them by EVALSHA load them again (SCRIPT LOAD)",
        );
    }
    let users = source
        .surveys
        .iter()
        .filter_map(|survey| survey.users)
        .max();
    match users {
        Some(0) => {}
        Some(users) => findings.cured(
            Level::Note,
            Side::Source,
            "acl users",
            not_copied(users, "ACL user", "ACL users"),
            format!("{from} ACL LIST, and each line at the target as ACL SETUSER, without its first word"),
        ),
        None => findings.cured(
            Level::Note,
            Side::Source,
            "acl users",
            "ACL users are not copied, and how many there are cannot be known: ACL LIST is not to be had".to_owned(),
            format!("{from} ACL LIST, as a user who may"),
        ),
    }
}

/// How redis-cli is called for a side.
fn client(endpoint: &Endpoint) -> String {
    let address = match &endpoint.address {
        Address::Tcp { host, port } => format!("-h {host} -p {port}"),
        Address::Unix(path) => format!("-s {}", path.display()),
        Address::Sentinel { .. } => format!("-h {}", endpoint.side.to_string().to_uppercase()),
    };
    let tls = if endpoint.tls.is_some() { " --tls" } else { "" };
    format!("redis-cli {address}{tls}")
}

/// Expiries are instants on the servers' clocks.
pub(super) fn clocks(source: &Reached<'_>, target: &Reached<'_>, findings: &mut Findings) {
    let (Some(of_source), Some(of_target)) = (
        source.found.profile.clock_offset,
        target.found.profile.clock_offset,
    ) else {
        // Told with the right to TIME.
        return;
    };
    let ahead = of_target.ahead_of(of_source);
    if ahead == 0 {
        let text = format!("the servers' clocks agree, to {SAME} ms and the way to them");
        findings.add(Level::Ok, Place::Both, "clock", text);
    } else {
        let which = if ahead > 0 { "ahead of" } else { "behind" };
        findings.cured(
            Level::Note,
            Place::Both,
            "clock",
            format!(
                "the target's clock is {} ms {which} the source's: expiries are corrected for it",
                thousands(ahead.unsigned_abs())
            ),
            "set both by NTP before the run: a clock that is set later moves all expiries of its server",
        );
    }
}
