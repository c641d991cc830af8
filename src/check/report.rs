//! What was found, as lines for people and as JSON.

use std::fmt;

use serde::Serialize;

use crate::config::{Address, ReportFormat, Side};
use crate::output::server_line;
use crate::server::Profile;
use crate::text::thousands;

/// How a finding bears on the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// To be known; the run goes all the same.
    Note,
    /// The run would fail, or end with a status that is not 0.
    NotReady,
    /// A side cannot be reached.
    Unreachable,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::NotReady => "not ready",
            Self::Unreachable => "unreachable",
        })
    }
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// The source.
    Source,
    /// The target.
    Target,
    /// The one against the other.
    Both,
}

impl From<Side> for Place {
    fn from(side: Side) -> Self {
        match side {
            Side::Source => Self::Source,
            Side::Target => Self::Target,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::Both => "both",
        })
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) side: Place,
    /// What was looked at: `connection`, `rights`, a command's name, `memory` …
    pub(super) name: String,
    pub(super) level: Level,
    pub(super) text: String,
    /// What to do, where there is something to do.
    pub(super) cure: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9}  {:<6}  {}", self.level, self.side, self.text)?;
        match &self.cure {
            Some(cure) => write!(f, ": {cure}"),
            None => Ok(()),
        }
    }
}

/// What a side is.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Facts {
    pub(super) address: String,
    /// `Redis 7.0.15, standalone`
    pub(super) server: String,
    pub(super) cluster: bool,
    /// Servers that the run would speak to.
    pub(super) nodes: usize,
    pub(super) user: String,
    /// Databases that have keys, where INFO is allowed.
    pub(super) databases: Vec<u32>,
    /// In the run's database, where DBSIZE is allowed.
    pub(super) keys: Option<u64>,
    /// Bytes, where INFO is allowed.
    pub(super) used_memory: Option<u64>,
    /// Bytes of all nodes together; 0 is no limit.
    pub(super) maxmemory: Option<u64>,
    pub(super) maxmemory_policy: Option<String>,
    /// As it is set, where CONFIG GET is allowed.
    pub(super) notify_keyspace_events: Option<String>,
    pub(super) round_trip_us: u64,
    /// Its clock minus this machine's, milliseconds, where TIME is allowed.
    pub(super) clock_offset_ms: Option<i64>,
    /// Its line in the text.
    #[serde(skip)]
    pub(super) line: String,
}

impl Facts {
    /// The line that a run shows of the side.
    pub(super) fn line(side: Side, address: &Address, profile: &Profile) -> String {
        server_line(
            side,
            address,
            &profile.description,
            profile.keys,
            profile.memory,
            profile.round_trip,
        )
    }
}

/// What a check comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The run can start.
    Ready,
    /// It would fail, or end with a status that is not 0.
    NotReady,
    /// A side cannot be reached.
    Unreachable,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) verdict: Verdict,
    pub(super) source: Option<Facts>,
    pub(super) target: Option<Facts>,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(
        source: Option<Facts>,
        target: Option<Facts>,
        mut findings: Vec<Finding>,
    ) -> Self {
        findings.sort_by_key(|finding| finding.side);
        let verdict = match findings.iter().map(|finding| finding.level).max() {
            Some(Level::Unreachable) => Verdict::Unreachable,
            Some(Level::NotReady) => Verdict::NotReady,
            Some(Level::Ok | Level::Note) | None => Verdict::Ready,
        };
        Self {
            verdict,
            source,
            target,
            findings,
        }
    }

    /// The text, or one JSON object; without the last line's end.
    pub(super) fn show(&self, format: ReportFormat) -> String {
        match format {
            ReportFormat::Json => serde_json::to_string(self)
                .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")),
            ReportFormat::Text | ReportFormat::Short => self.text(),
        }
    }

    fn text(&self) -> String {
        let sides = self.source.iter().chain(&self.target);
        let mut lines: Vec<String> = sides.map(|facts| facts.line.clone()).collect();
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(self.findings.iter().map(ToString::to_string));
        lines.push(String::new());
        let count = |level| {
            let found = self.findings.iter();
            found.filter(|finding| finding.level == level).count() as u64
        };
        let notes = match count(Level::Note) {
            0 => "no notes".to_owned(),
            1 => "1 note".to_owned(),
            many => format!("{} notes", thousands(many)),
        };
        lines.push(match self.verdict {
            Verdict::Ready => format!("ready, {notes}"),
            Verdict::NotReady => {
                format!("not ready: {} to mend, {notes}", count(Level::NotReady))
            }
            Verdict::Unreachable => "not ready: a side cannot be reached".to_owned(),
        });
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(level: Level, cure: Option<&str>) -> Finding {
        Finding {
            side: Place::Target,
            name: "restore".into(),
            level,
            text: "RESTORE is not allowed to user few".into(),
            cure: cure.map(str::to_owned),
        }
    }

    #[test]
    fn the_worst_finding_is_the_verdict() {
        for (levels, verdict) in [
            (&[][..], Verdict::Ready),
            (&[Level::Ok, Level::Note], Verdict::Ready),
            (&[Level::NotReady, Level::Ok], Verdict::NotReady),
            (&[Level::Unreachable, Level::NotReady], Verdict::Unreachable),
        ] {
            let findings = levels.iter().map(|level| finding(*level, None)).collect();
            assert_eq!(
                Report::new(None, None, findings).verdict,
                verdict,
                "{levels:?}"
            );
        }
    }

    #[test]
    fn a_finding_is_a_line_and_a_json_object() {
        let finding = finding(Level::NotReady, Some("ACL SETUSER few +restore"));
        let report = Report::new(None, None, vec![finding]);
        insta::assert_snapshot!(report.show(ReportFormat::Text), @r"
        not ready  target  RESTORE is not allowed to user few: ACL SETUSER few +restore

        not ready: 1 to mend, no notes
        ");
        insta::assert_snapshot!(report.show(ReportFormat::Json), @r#"{"verdict":"not_ready","source":null,"target":null,"findings":[{"side":"target","name":"restore","level":"not_ready","text":"RESTORE is not allowed to user few","cure":"ACL SETUSER few +restore"}]}"#);
    }
}
