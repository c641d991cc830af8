//! Which commands the user may not run, each with what is lost and the rule to add.

use std::collections::HashSet;

use super::report::Level;
use super::rights::{Loss, Plan, Right, Share, asked_for};
use super::survey::Survey;
use super::{Findings, Reached};
use crate::config::{Config, Side};
use crate::server::Tried;
use crate::text::thousands;

/// How a command stands with a side, over all its nodes.
enum Standing<'a> {
    May,
    /// At these nodes.
    Denied(Vec<&'a str>),
    /// At these nodes.
    Missing(Vec<&'a str>),
    /// Nobody tells.
    NotKnown,
}

/// Tells each command that a plan asks for and that cannot be had.
pub(super) fn judge(config: &Config, reached: &Reached<'_>, plan: &Plan, findings: &mut Findings) {
    let (side, user) = (reached.side(), reached.user());
    let accepts = config.live.as_ref().is_none_or(|live| live.accept_unproven);
    let mut told = HashSet::new();
    let (mut needed, mut lacking) = (0, false);
    for (right, loss) in asked_for(plan) {
        let level = match loss {
            Loss::Fails => Level::NotReady,
            Loss::Unproven(_) if !accepts => Level::NotReady,
            Loss::Unproven(_) | Loss::Without(_) => Level::Note,
        };
        let name = right.name;
        let (text, cure) = match standing(reached, &right) {
            Standing::May => {
                needed += u64::from(loss == Loss::Fails);
                continue;
            }
            Standing::Denied(at) => (
                format!(
                    "{name} is not allowed to user {user}{}",
                    places(reached, &at)
                ),
                rule(user, &right),
            ),
            Standing::Missing(at) => (
                format!("the server does not have {name}{}", places(reached, &at)),
                "it was renamed in its configuration, or is not offered there".to_owned(),
            ),
            Standing::NotKnown => {
                let text = format!(
                    "whether user {user} may run {name} cannot be known: it would have to write to tell"
                );
                findings.cured(Level::Note, side, &id(name), text, rule(user, &right));
                continue;
            }
        };
        // Where it is asked for twice, the stronger reason was told first.
        if !told.insert(name) {
            continue;
        }
        lacking |= loss == Loss::Fails;
        let lost = match loss {
            Loss::Fails => "the run needs it",
            Loss::Without(lost) | Loss::Unproven(lost) => lost,
        };
        let cure = if matches!(loss, Loss::Unproven(_)) && !accepts {
            format!("{cure}; or --accept-unproven")
        } else {
            cure
        };
        findings.cured(level, side, &id(name), format!("{text}, and {lost}"), cure);
    }
    if !lacking {
        let text = format!(
            "user {user} may run every command that the run needs ({})",
            thousands(needed)
        );
        findings.add(Level::Ok, side, "rights", text);
    }
    names(reached, plan, findings);
}

/// Users who may access some keys alone.
fn names(reached: &Reached<'_>, plan: &Plan, findings: &mut Findings) {
    let (side, user) = (reached.side(), reached.user());
    let any = |told: fn(&Survey) -> bool| reached.surveys.iter().any(told);
    if any(|survey| survey.limited) {
        let text =
            format!("user {user} may not access every key: those that it may not fail by name");
        findings.cured(
            Level::Note,
            side,
            "key patterns",
            text,
            format!("ACL SETUSER {user} ~*"),
        );
    }
    if side == Side::Target && plan.by_type > Share::Nothing && any(|survey| survey.no_temporary) {
        let text = format!(
            "user {user} may not access the names under which big values are built, and keys that go in chunks fail by name"
        );
        let cure = format!("ACL SETUSER {user} ~{{*}}:riot-tmp:*");
        findings.cured(Level::Note, side, "temporary names", text, cure);
    }
}

fn rule(user: &str, right: &Right) -> String {
    format!("ACL SETUSER {user} {}", right.rule())
}

/// `memory usage`
fn id(name: &str) -> String {
    name.to_lowercase()
}

/// Where not every node of a cluster is meant: which.
fn places(reached: &Reached<'_>, at: &[&str]) -> String {
    if at.len() == reached.surveys.len() {
        return String::new();
    }
    format!(" at {}", at.join(", "))
}

fn standing<'a>(reached: &'a Reached<'_>, right: &Right) -> Standing<'a> {
    let (mut denied, mut missing, mut known) = (Vec::new(), Vec::new(), true);
    for survey in &reached.surveys {
        let other = survey.tried.get(right.instead_of);
        if other.is_some_and(Tried::may) {
            continue;
        }
        match survey.tried.get(right.name) {
            Some(Tried::Allowed | Tried::Said(_)) => {}
            Some(Tried::Denied) => denied.push(survey.address.as_str()),
            Some(Tried::Unknown) if right.may_be_missing => {}
            Some(Tried::Unknown) => missing.push(survey.address.as_str()),
            None => known = false,
        }
    }
    if !denied.is_empty() {
        Standing::Denied(denied)
    } else if !missing.is_empty() {
        Standing::Missing(missing)
    } else if known {
        Standing::May
    } else {
        Standing::NotKnown
    }
}
