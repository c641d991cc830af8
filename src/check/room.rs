//! Memory and eviction: whether the target has room, and what either side evicts meanwhile.

use super::report::Level;
use super::{Findings, Reached, writes};
use crate::config::{Config, Side};
use crate::session::takes_all;
use crate::text::bytes;

/// Tells about memory, where the run writes.
pub(super) fn judge(
    config: &Config,
    source: &Reached<'_>,
    target: &Reached<'_>,
    findings: &mut Findings,
) {
    if writes(config) {
        target_room(config, source, target, findings);
        target_policy(target, findings);
    }
    source_policy(source, findings);
}

/// What a side's keys take, without what the server takes when it is empty.
fn data(reached: &Reached<'_>) -> Option<u64> {
    let used = reached.sum("used_memory")?;
    Some(used.saturating_sub(reached.sum("used_memory_startup").unwrap_or(0)))
}

fn target_room(
    config: &Config,
    source: &Reached<'_>,
    target: &Reached<'_>,
    findings: &mut Findings,
) {
    let name = "memory";
    let (Some(limit), Some(used), Some(wanted)) =
        (target.limit(), target.sum("used_memory"), data(source))
    else {
        let side = if data(source).is_none() {
            source
        } else {
            target
        };
        let user = side.user();
        findings.cured(
            Level::Note,
            Side::Target,
            name,
            format!(
                "whether it has room cannot be known, as INFO of the {} does not tell",
                side.side()
            ),
            format!("ACL SETUSER {user} +info"),
        );
        return;
    };
    let shown = bytes(wanted);
    if limit == 0 {
        let text = format!("it has no maxmemory; the source's keys take {shown}");
        findings.add(Level::Ok, Side::Target, name, text);
        return;
    }
    let free = limit.saturating_sub(used);
    let empty = limit.saturating_sub(target.sum("used_memory_startup").unwrap_or(0));
    let text = format!(
        "the source's keys take {shown}, and of its maxmemory of {} there are {} free",
        bytes(limit),
        bytes(free)
    );
    let cure = format!(
        "CONFIG SET maxmemory {} at the target (a managed service: a larger node), or copy fewer keys",
        format_args!("{}mb", ((used + wanted + wanted / 5) >> 20) + 1)
    );
    let level = if wanted <= free / 10 * 9 {
        findings.add(Level::Ok, Side::Target, name, text);
        return;
    } else if !takes_all(config) || config.selection.memory_limit.is_some() || wanted <= free {
        // A part of them, or just about.
        Level::Note
    } else if wanted <= empty {
        let text = format!("{text}: they fit where they replace the target's own");
        findings.cured(Level::Note, Side::Target, name, text, cure);
        return;
    } else {
        Level::NotReady
    };
    findings.cured(level, Side::Target, name, text, cure);
}

fn target_policy(target: &Reached<'_>, findings: &mut Findings) {
    let Some(policy) = target.text("maxmemory_policy") else {
        return;
    };
    if policy == "noeviction" || target.limit() == Some(0) {
        return;
    }
    findings.cured(
        Level::Note,
        Side::Target,
        "eviction",
        format!("it evicts keys when it is full (maxmemory-policy {policy}), and a run that sees that ends with 1"),
        "for the migration CONFIG SET maxmemory-policy noeviction (a managed service: in its parameter group)",
    );
}

/// Reads make keys look used where the server does not let riot read without.
fn source_policy(source: &Reached<'_>, findings: &mut Findings) {
    let profile = &source.found.profile;
    let Some(policy) = source.text("maxmemory_policy") else {
        return;
    };
    let used = if policy.contains("lru") {
        "idle times"
    } else if policy.contains("lfu") {
        "counts of use"
    } else {
        return;
    };
    if profile.no_touch || source.limit() == Some(0) {
        return;
    }
    let cure = if profile.is_cluster {
        "--read-from replica"
    } else {
        "name a replica as the source"
    };
    findings.cured(
        Level::Note,
        Side::Source,
        "eviction",
        format!(
            "it evicts by {used} (maxmemory-policy {policy}), which riot's reads change, as CLIENT NO-TOUCH is not to be had: it may evict what the application uses"
        ),
        cure,
    );
}
