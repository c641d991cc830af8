//! The command: whether a run of these words could start, and what stands in its way. It writes nothing to either side.

mod events;
mod modules;
mod payload;
mod report;
mod rights;
mod room;
mod rules;
mod several;
mod survey;
mod world;

use std::sync::Arc;

pub use self::report::Verdict;
use self::report::{Facts, Finding, Level, Place, Report};
use self::rights::{Plan, Right, Share, asked_for};
use self::survey::{Survey, survey};
use crate::config::{Carriage, Command, Config, Depth, Endpoint, ReadFrom, Side};
use crate::error::RunError;
use crate::output::Printer;
use crate::server::{Control, Needs};
use crate::session::{Found, reach, source_needs, target_needs};
use crate::stats::Stats;
use crate::transform::Rename;

/// A side that was reached.
struct Reached<'a> {
    endpoint: &'a Endpoint,
    found: Found,
    /// One of each node that the run would speak to; at least one.
    surveys: Vec<Survey>,
}

impl Reached<'_> {
    fn side(&self) -> Side {
        self.endpoint.side
    }

    fn user(&self) -> &str {
        self.endpoint.user.as_deref().unwrap_or("default")
    }

    /// A field of INFO, added up over the nodes; `None` where one does not tell it.
    fn sum(&self, field: &str) -> Option<u64> {
        self.surveys
            .iter()
            .map(|survey| survey.info.number(field))
            .sum()
    }

    /// A field of INFO on the node that has most of it; 0 where none tells it.
    fn most(&self, field: &str) -> u64 {
        let numbers = self.surveys.iter();
        numbers
            .filter_map(|survey| survey.info.number(field))
            .max()
            .unwrap_or(0)
    }

    /// The first text that a node's INFO has in this field.
    fn text(&self, field: &str) -> Option<&str> {
        self.surveys
            .iter()
            .find_map(|survey| survey.info.text(field))
    }

    /// All nodes' limits on their memory together; 0 where one has none.
    fn limit(&self) -> Option<u64> {
        let limits: Option<Vec<u64>> = self
            .surveys
            .iter()
            .map(|survey| survey.info.number("maxmemory"))
            .collect();
        limits.map(|limits| {
            if limits.contains(&0) {
                0
            } else {
                limits.iter().sum()
            }
        })
    }

    fn facts(&self) -> Facts {
        let profile = &self.found.profile;
        let setting = self
            .surveys
            .iter()
            .find_map(|survey| survey.setting.as_ref().ok());
        Facts {
            address: self.endpoint.address.to_string(),
            server: profile.description.clone(),
            cluster: profile.is_cluster,
            nodes: self.surveys.len(),
            user: self.user().to_owned(),
            databases: profile.databases.clone(),
            keys: profile.keys,
            used_memory: profile.memory,
            maxmemory: self.limit(),
            maxmemory_policy: self.text("maxmemory_policy").map(str::to_owned),
            notify_keyspace_events: setting.cloned(),
            round_trip_us: u64::try_from(profile.round_trip.as_micros()).unwrap_or(u64::MAX),
            clock_offset_ms: profile.clock_offset.map(|offset| offset.millis),
            line: Facts::line(self.side(), &self.endpoint.address, profile),
        }
    }
}

/// The findings so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, side: impl Into<Place>, name: &str, text: String) {
        self.push(level, side, name, text, None);
    }

    /// With what to do.
    fn cured(
        &mut self,
        level: Level,
        side: impl Into<Place>,
        name: &str,
        text: String,
        cure: impl Into<String>,
    ) {
        self.push(level, side, name, text, Some(cure.into()));
    }

    fn push(
        &mut self,
        level: Level,
        side: impl Into<Place>,
        name: &str,
        text: String,
        cure: Option<String>,
    ) {
        self.0.push(Finding {
            side: side.into(),
            name: name.to_owned(),
            level,
            text,
            cure,
        });
    }
}

/// How a side was found.
enum Looked<'a> {
    Reached(Box<Reached<'a>>),
    /// It answers, but cannot be used, for this reason.
    Unusable(String),
    Unreachable(String),
}

/// Looks at both sides, and prints what was found.
pub async fn run(config: &Config, printer: &Printer) -> Result<Verdict, RunError> {
    let rename = Rename::new(
        &config.rewrite,
        config.source.database,
        config.target.database,
    );
    let (of_source, of_target) = (source_needs(config, &rename), target_needs(config));
    let (source, target) = tokio::join!(
        look(config, &config.source, of_source),
        look(config, &config.target, of_target)
    );
    let mut findings = Findings::default();
    let mut source = taken(source?, &config.source, &mut findings);
    let mut target = taken(target?, &config.target, &mut findings);
    if let (Some(source), Some(target)) = (&mut source, &mut target) {
        match &config.databases {
            None => {
                let sides: (&Reached<'_>, &Reached<'_>) = (source, target);
                judge(config, &rename, sides, Span::One, &mut findings).await?;
            }
            Some(databases) => {
                several::judge(config, databases, (source, target), &mut findings).await?;
            }
        }
    }
    let facts = |side: &Option<Box<Reached<'_>>>| side.as_ref().map(|side| side.facts());
    let report = Report::new(facts(&source), facts(&target), findings.0);
    printer
        .write_out(&report.show(config.console.report))
        .map_err(|error| RunError::Internal(format!("standard output: {error}")))?;
    Ok(report.verdict)
}

/// Reaches a side, and asks each of its nodes for everything that the run may need.
async fn look<'a>(
    config: &Config,
    endpoint: &'a Endpoint,
    needs: Needs,
) -> Result<Looked<'a>, RunError> {
    let looked = async {
        // No right is asked for: each that is missing is to be told by itself.
        let stats = Arc::new(Stats::new(false));
        let found = reach(endpoint, Needs::default(), &config.flow, &stats, None).await?;
        let most = Plan {
            compared: compared_at_most(config),
            ..plan(config, endpoint.side, needs, &found)
        };
        let rights: Vec<Right> = asked_for(&most)
            .into_iter()
            .map(|(right, _)| right)
            .collect();
        let surveys = survey(&found.nodes, &rights).await?;
        Ok(Reached {
            endpoint,
            found,
            surveys,
        })
    };
    match looked.await {
        Ok(reached) => Ok(Looked::Reached(Box::new(reached))),
        Err(RunError::Unusable { reason, .. }) => Ok(match Control::open(endpoint).await {
            Ok(_) => Looked::Unusable(reason),
            Err(_) => Looked::Unreachable(reason),
        }),
        Err(error) => Err(error),
    }
}

/// A side that was reached; of another it is told what is wrong.
fn taken<'a>(
    looked: Looked<'a>,
    endpoint: &Endpoint,
    findings: &mut Findings,
) -> Option<Box<Reached<'a>>> {
    let (level, reason) = match looked {
        Looked::Reached(reached) => return Some(reached),
        Looked::Unusable(reason) => (Level::NotReady, reason),
        Looked::Unreachable(reason) => (Level::Unreachable, reason),
    };
    let text = format!("{}: {reason}", endpoint.address);
    findings.add(level, endpoint.side, "connection", text);
    None
}

/// Whether the run writes anything.
fn writes(config: &Config) -> bool {
    copies(config) && !config.flow.dry_run
}

fn copies(config: &Config) -> bool {
    config.command == Command::Replicate || config.verification.repair
}

fn by_type_at_most(config: &Config) -> Share {
    match (copies(config), config.flow.carriage) {
        (false, _) => Share::Nothing,
        (true, Carriage::Struct) => Share::Everything,
        (true, Carriage::Auto | Carriage::Dump) => Share::Some,
    }
}

fn compared_at_most(config: &Config) -> Share {
    if config.verification.depth == Depth::Full {
        Share::Some
    } else {
        Share::Nothing
    }
}

/// What the run asks of a side, before anything is known of the other.
fn plan(config: &Config, side: Side, needs: Needs, found: &Found) -> Plan {
    let cluster = found.profile.is_cluster;
    let replica = cluster && side == Side::Source && config.source.read_from != ReadFrom::Upstream;
    // A side that nothing is written to is asked for no rights to write.
    let by_type = if side == Side::Target && !writes(config) {
        Share::Nothing
    } else {
        by_type_at_most(config)
    };
    Plan {
        side,
        needs: Needs {
            cluster,
            replica,
            ..needs
        },
        live: config.live.is_some(),
        by_type,
        compared: Share::Nothing,
        merge: config.flow.merge,
        kinds: config.selection.types.clone(),
    }
}

/// What of the source's databases the run takes.
#[derive(Clone, Copy)]
enum Span {
    /// The one that the configuration names.
    One,
    /// Several, of which the configuration names the first.
    Several,
}

/// Everything that takes both sides to know.
async fn judge(
    config: &Config,
    rename: &Rename,
    (source, target): (&Reached<'_>, &Reached<'_>),
    span: Span,
    findings: &mut Findings,
) -> Result<(), RunError> {
    world::sides(config, rename, (source, target), span, findings);
    let shares = world::payloads(config, source, target, findings).await?;
    let sides = [
        (source, source_needs(config, rename)),
        (target, target_needs(config)),
    ];
    for (reached, needs) in sides {
        let mut plan = plan(config, reached.side(), needs, &reached.found);
        if plan.by_type > Share::Nothing {
            plan.by_type = shares.by_type;
        }
        plan.compared = shares.compared;
        rules::judge(config, reached, &plan, findings);
    }
    if copies(config) {
        events::judge(config, source, findings).await;
    }
    room::judge(config, source, target, findings);
    if writes(config) {
        modules::judge(config, source, target, findings);
    }
    world::contents(config, source, target, findings);
    world::clocks(source, target, findings);
    Ok(())
}
