//! How a live run would learn of changes.

use super::report::Level;
use super::{Findings, Reached};
use crate::config::{Address, Config, Endpoint, Events};
use crate::error::RunError;
use crate::server::{Choice, Control, Tried, Wanted, Way, choose};

/// Tells what the source offers; of a snapshot, what a live run would find.
pub(super) async fn judge(config: &Config, source: &Reached<'_>, findings: &mut Findings) {
    setting(source, findings);
    let selection = &config.selection;
    let events = config
        .live
        .as_ref()
        .map_or(Events::Auto, |live| live.events);
    let wanted = Wanted::of(&selection.types);
    let chosen = choose(&source.found.nodes, events, &wanted, &selection.pattern).await;
    let live = config.live.is_some();
    match chosen {
        Ok(choice) => {
            let ways: Vec<String> = choice.ways.iter().map(ToString::to_string).collect();
            let ways = ways.join(" and ");
            let text = if live {
                format!("changes are learnt by {ways}")
            } else {
                format!("a live run would learn of changes by {ways}")
            };
            findings.add(Level::Ok, source.side(), "events", text);
            if live {
                for notice in &choice.notices {
                    findings.add(Level::Note, source.side(), "events", notice.clone());
                }
                databases(config, source, &choice, findings);
            }
        }
        Err(RunError::Unusable { reason, .. }) if live => {
            findings.add(Level::NotReady, source.side(), "events", reason);
        }
        Err(error) => {
            let reason = match error {
                RunError::Unusable { reason, .. } => reason,
                other => other.to_string(),
            };
            let text = format!("a live run could not learn of changes: {reason}");
            findings.add(Level::Note, source.side(), "events", text);
        }
    }
    if live {
        master(config, source, findings).await;
    }
}

/// Whether notifications are on, or why nobody knows.
fn setting(source: &Reached<'_>, findings: &mut Findings) {
    let name = "notify-keyspace-events";
    let unknown = source
        .surveys
        .iter()
        .find_map(|survey| survey.setting.as_ref().err());
    let Some(why) = unknown else {
        let mut settings: Vec<&str> = source
            .surveys
            .iter()
            .filter_map(|survey| survey.setting.as_deref().ok())
            .collect();
        settings.sort_unstable();
        settings.dedup();
        let told: Vec<String> = settings.iter().map(|one| format!("\"{one}\"")).collect();
        let text = match settings.as_slice() {
            [""] => "keyspace notifications are off".to_owned(),
            _ => format!(
                "keyspace notifications are on: {name} is {}",
                told.join(" and ")
            ),
        };
        findings.add(Level::Ok, source.side(), name, text);
        return;
    };
    let user = source.user();
    let (why, cure) = match why {
        Tried::Denied => (
            format!("CONFIG GET is not allowed to user {user}"),
            format!("ACL SETUSER {user} +config|get, or leave it: riot then tries both ways"),
        ),
        _ => (
            "the server does not have CONFIG, as on ElastiCache".to_owned(),
            format!(
                "leave it, riot then tries both ways; on ElastiCache they are on where {name} is KA in the parameter group"
            ),
        ),
    };
    let text = format!("whether keyspace notifications are on cannot be known, as {why}");
    findings.cured(Level::Note, source.side(), name, text, cure);
}

/// Tracking tells names without their database.
fn databases(config: &Config, source: &Reached<'_>, choice: &Choice, findings: &mut Findings) {
    let own = config.source.database;
    let others = source.found.profile.databases.iter();
    if choice.ways.contains(&Way::Keyspace) || !others.into_iter().any(|number| *number != own) {
        return;
    }
    let text = "other databases have keys, and client tracking tells names without their database: what is deleted meanwhile stays at the target, and is counted as extra";
    findings.cured(
        Level::Note,
        source.side(),
        "databases",
        text.to_owned(),
        "CONFIG SET notify-keyspace-events KA at the source and --events keyspace, or --delete-extra",
    );
}

/// A replica is waited for at the end, until it has what its master has: that must be reachable, too.
async fn master(config: &Config, source: &Reached<'_>, findings: &mut Findings) {
    if source.found.profile.is_cluster || source.text("role") != Some("slave") {
        return;
    }
    let host = source.text("master_host").map(str::to_owned);
    let port = source
        .text("master_port")
        .and_then(|port| port.parse().ok());
    let (Some(host), Some(port)) = (host, port) else {
        return;
    };
    let endpoint = Endpoint {
        address: Address::Tcp { host, port },
        ..source.endpoint.clone()
    };
    let address = &endpoint.address;
    match Control::open(&endpoint).await {
        Ok(_) => findings.add(
            Level::Ok,
            source.side(),
            "replica",
            format!(
                "it is a replica, and its master {address} can be reached for the end of the run"
            ),
        ),
        Err(error) => {
            let accepts = config
                .live
                .as_ref()
                .is_some_and(|live| live.accept_unproven);
            let level = if accepts {
                Level::Note
            } else {
                Level::NotReady
            };
            findings.cured(
                level,
                source.side(),
                "replica",
                format!(
                    "it is a replica, and whether it has all that its master {address} has cannot be known in the end: {error}"
                ),
                "name the master as the source, make it reachable from here for the same user, or --accept-unproven",
            );
        }
    }
}
