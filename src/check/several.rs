//! Several databases in one run: which are taken, and whether each can go where it is sent.

use super::report::{Level, Place};
use super::{Findings, Reached, Span, judge as judge_one};
use crate::config::{Config, Databases};
use crate::databases::{Survey, names};
use crate::error::RunError;
use crate::transform::Rename;

/// Everything that takes both sides to know. Rights are the same in all databases: they are told of the first.
pub(super) async fn judge(
    config: &Config,
    databases: &Databases,
    (source, target): (&mut Reached<'_>, &mut Reached<'_>),
    findings: &mut Findings,
) -> Result<(), RunError> {
    let survey = match Survey::take(config, databases).await {
        Ok(survey) => survey,
        Err(RunError::Unusable { side, reason, .. }) => {
            findings.add(Level::NotReady, side, "databases", reason);
            return Ok(());
        }
        Err(error @ RunError::SameDatabase(_)) => {
            findings.cured(
                Level::NotReady,
                Place::Both,
                "same database",
                error.to_string(),
                "name another server, or send the database to another number (--db-map)",
            );
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    source.found.profile.keys = survey.keys();
    target.found.profile.keys = survey.keys_at_target();
    let taken = format!(
        "these databases are copied: {}",
        names(&survey.pairs, &survey.source.keys)
    );
    findings.add(Level::Ok, source.side(), "databases", taken);
    for census in [&survey.source, &survey.target] {
        if let Some(unknown) = census.unknown {
            let side = census.side();
            findings.add(Level::Note, side, "databases", unknown.to_owned());
        }
    }
    let first = survey.pairs.first().copied().unwrap_or_default();
    let one = config.of_database(first, survey.pairs.len());
    let rename = Rename::new(&one.rewrite, one.source.database, one.target.database);
    judge_one(&one, &rename, (source, target), Span::Several, findings).await
}
