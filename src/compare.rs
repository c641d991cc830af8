//! The command, and the verification after a replicate: look at every key, then again at those that differ; where it is
//! wished, mend them.

mod asked;
mod nothing;

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::changed::Overflow;
use crate::config::{Command, Depth, Side};
use crate::copy;
use crate::deal::{Deal, Inlets};
use crate::entry::Key;
use crate::error::RunError;
use crate::nodes::Nodes;
use crate::queue::{Receiver, queue};
use crate::retry::Backoff;
use crate::session::{Session, join_all};
use crate::stage::scan::{Ended, Purpose};
use crate::stage::verify::{Extra, ExtraLane, FullLane, Suspect, Suspects, VerifyLane};
use crate::stats::{DifferenceKind, Found, Phase, Step};
use crate::wire::Link;

/// Keys that wait for each lane.
const QUEUED_KEYS: usize = 1000;
/// Keys that are looked at again; of more than these the first look counts, so that memory stays bounded.
const MOST_SUSPECTS: usize = 1_000_000;

/// Where a lane's keys come from, and the servers that it speaks to.
type Place = (Receiver<Vec<Key>>, (Arc<Link>, Arc<Link>));
type Stages = JoinSet<anyhow::Result<()>>;

/// What a comparison looks at.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The source's keys, each with the target's.
    pub pairs: bool,
    /// The target's keys, for those that the source does not have.
    pub both: bool,
    /// Keys of the target that are looked for at the source though not all are.
    pub doubts: Vec<Bytes>,
}

/// Compares what the run selects, in rounds.
pub async fn run(session: &Session<'_>) -> Result<Ended, RunError> {
    let scope = Scope {
        pairs: true,
        both: session.config.verification.both,
        doubts: Vec::new(),
    };
    run_within(session, scope).await
}

/// Compares what the run selects within this scope, in rounds.
pub async fn run_within(session: &Session<'_>, scope: Scope) -> Result<Ended, RunError> {
    let verification = &session.config.verification;
    session.begin(Phase::Comparing);
    let suspects = Suspects::default();
    let mut ended = Ended::Complete;
    if scope.pairs {
        let (keys, stages) = lanes(session, &suspects);
        let scan = session.scan(Purpose::Compare, keys);
        let (scanned, joined) = tokio::join!(scan.run(), join_all(stages));
        joined?;
        look_elsewhere(session, &suspects, Looks::Pairs).await?;
        ended = scanned;
    }
    if (scope.both || !scope.doubts.is_empty()) && ended == Ended::Complete {
        session.context.stats.looks_both_ways();
        if scope.both {
            ended = search(session, &suspects, None).await?;
        } else {
            let keys = scope.doubts.into_iter().map(|name| {
                let road = name.clone();
                Key::new(name, &road)
            });
            let (outputs, stages) = extra_lanes(session, &suspects, None);
            let ((), joined) = tokio::join!(outputs.send_all(keys.collect()), join_all(stages));
            joined?;
            look_elsewhere(session, &suspects, Looks::Extras(None)).await?;
        }
    }
    let found = nothing::leave_out(session, suspects.take()).await?;
    let mut left = settle(session, found).await?;
    left = nothing::leave_out(session, left).await?;
    if verification.repair && ended == Ended::Complete && !session.context.stop.is_draining() {
        left = repair(session, left).await?;
    }
    report(session, left)?;
    session.end_phase();
    match session.context.take_failure() {
        Some(failure) => Err(failure),
        None => Ok(ended),
    }
}

/// Looks for keys that only the target has: all, or those alone that are among `only`.
pub async fn search(
    session: &Session<'_>,
    suspects: &Suspects,
    only: Option<Arc<Overflow>>,
) -> Result<Ended, RunError> {
    let (keys, stages) = extra_lanes(session, suspects, only.as_ref());
    let scan = session.scan_target(keys);
    let (ended, joined) = tokio::join!(scan.run(), join_all(stages));
    joined?;
    look_elsewhere(session, suspects, Looks::Extras(only)).await?;
    Ok(ended)
}

/// What lanes look at.
#[derive(Debug, Clone)]
enum Looks {
    /// The source's keys, each with the target's.
    Pairs,
    /// The target's keys, for those that the source does not have: all, or those alone that are among these.
    Extras(Option<Arc<Overflow>>),
}

/// Keys whose slots have moved are looked at where they are now.
async fn look_elsewhere(
    session: &Session<'_>,
    suspects: &Suspects,
    looks: Looks,
) -> Result<(), RunError> {
    let context = &session.context;
    let selection = &session.config.selection;
    // What is looked at key by key is not looked at for its type and size.
    let takes_all = selection.types.is_empty() && selection.memory_limit.is_none();
    let mut since = Instant::now();
    let mut backoff = Backoff::default();
    let mut fewest = usize::MAX;
    loop {
        let mut astray = suspects.take_astray();
        if astray.is_empty() || context.has_failed() {
            return Ok(());
        }
        let again = fewest < usize::MAX;
        if astray.len() < fewest {
            fewest = astray.len();
            since = Instant::now();
        }
        if since.elapsed() >= context.flow.reconnect_timeout {
            for key in astray {
                tracing::error!(
                    "not compared: {}: its slot moves",
                    context.stats.named(&key.name)
                );
                let why = "its slot moves and has not come to rest";
                context.stats.failed(Step::Compare, &key.name, why);
            }
            return Ok(());
        }
        sleep(backoff.pause()).await;
        for side in [&session.source, &session.target] {
            if let Err(why) = side.refresh().await {
                tracing::debug!("{}: {why}", side.side());
            }
        }
        if again && takes_all {
            // A slot that is half moved may stay so.
            astray = match &looks {
                Looks::Pairs => asked::look(session, suspects, astray).await?,
                Looks::Extras(only) => {
                    let extra = extra(session, only.as_ref());
                    asked::look_for_extras(session, suspects, &extra, astray).await?
                }
            };
        }
        let (inlets, stages) = match &looks {
            Looks::Pairs => lanes(session, suspects),
            Looks::Extras(only) => extra_lanes(session, suspects, only.as_ref()),
        };
        let ((), joined) = tokio::join!(inlets.send_all(astray), join_all(stages));
        joined?;
    }
}

/// Looks at the suspects again, round by round: what is still changing is no difference.
async fn settle(session: &Session<'_>, mut left: Vec<Suspect>) -> Result<Vec<Suspect>, RunError> {
    let verification = &session.config.verification;
    for _ in 1..verification.rounds {
        if left.is_empty() || session.context.stop.is_draining() {
            break;
        }
        report_beyond(session, &mut left)?;
        tokio::select! {
            () = sleep(verification.round_interval) => {}
            () = session.context.stop.draining() => break,
        }
        left = look_again(session, left).await?;
    }
    Ok(left)
}

/// Copies what differs once more, and compares it again.
async fn repair(session: &Session<'_>, left: Vec<Suspect>) -> Result<Vec<Suspect>, RunError> {
    let deletes = session.config.verification.delete_extra;
    let is_extra = |suspect: &Suspect| suspect.difference.kind == DifferenceKind::Extra;
    let (broken, kept): (Vec<_>, Vec<_>) = left
        .into_iter()
        .partition(|suspect| deletes || !is_extra(suspect));
    if broken.is_empty() {
        return Ok(kept);
    }
    let wrong = broken.len();
    let keys = broken.iter().map(|suspect| suspect.key.clone()).collect();
    copy::list(session, keys).await?;
    let mut still = if session.config.flow.dry_run {
        broken
    } else {
        let again = look_again(session, broken).await?;
        settle(session, again).await?
    };
    session
        .context
        .stats
        .repaired((wrong - still.len().min(wrong)) as u64);
    still.extend(kept);
    Ok(still)
}

/// The lanes' inputs, and their places. Where a side is a cluster there is a lane for each pair of nodes.
fn places(session: &Session<'_>, names: Side) -> (Inlets<Vec<Key>>, Vec<Place>) {
    let (source, target) = (session.source.routes(), session.target.routes());
    let writes = session.config.command == Command::Replicate || session.config.verification.repair;
    let (from, sources) = source.read_homes();
    let (to, targets) = if writes {
        target.write_homes()
    } else {
        target.read_homes()
    };
    let is_cluster = |nodes: &Nodes| nodes.is_cluster();
    let (deal, pairs) = if is_cluster(&session.source) || is_cluster(&session.target) {
        Deal::by_nodes(names, from, to, session.rename.clone())
    } else {
        let lanes = session.lanes.compare;
        (Deal::by_road(lanes), vec![(0, 0); lanes])
    };
    let mut lanes = Vec::new();
    let mut places = Vec::new();
    for (one, other) in pairs {
        let (Some(one), Some(other)) = (sources.get(one), targets.get(other)) else {
            continue;
        };
        let (sender, receiver) = queue::<Vec<Key>>(QUEUED_KEYS, usize::MAX);
        session.context.queues.add("compare", &sender);
        lanes.push(sender);
        places.push((receiver, (one.link().clone(), other.link().clone())));
    }
    (Inlets { lanes, deal }, places)
}

fn lanes(session: &Session<'_>, suspects: &Suspects) -> (Inlets<Vec<Key>>, Stages) {
    let mut stages = JoinSet::new();
    let (inlets, places) = places(session, Side::Source);
    for (receiver, links) in places {
        if session.config.verification.depth == Depth::Full {
            let lane = FullLane::new(
                session.context.clone(),
                links,
                session.compare_dialects(),
                session.terms(),
                session.rename.clone(),
                receiver,
                suspects.clone(),
            );
            let lane = lane.looks_aside(session.lanes.compare_twice);
            stages.spawn(lane.run());
        } else {
            let lane = VerifyLane::new(
                session.context.clone(),
                links,
                session.terms(),
                session.rename.clone(),
                receiver,
                suspects.clone(),
            );
            stages.spawn(lane.run());
        }
    }
    (inlets, stages)
}

/// Which of the target's keys are looked for.
fn extra(session: &Session<'_>, only: Option<&Arc<Overflow>>) -> Extra {
    Extra::new(
        &session.config.selection,
        session.rename.clone(),
        only.cloned(),
    )
}

/// Lanes that take the target's keys and look for them at the source.
fn extra_lanes(
    session: &Session<'_>,
    suspects: &Suspects,
    only: Option<&Arc<Overflow>>,
) -> (Inlets<Vec<Key>>, Stages) {
    let mut stages = JoinSet::new();
    let (inlets, places) = places(session, Side::Target);
    for (receiver, links) in places {
        let lane = ExtraLane::new(
            session.context.clone(),
            links,
            extra(session, only),
            receiver,
            suspects.clone(),
        );
        stages.spawn(lane.run());
    }
    (inlets, stages)
}

/// Reads both sides of the suspects again: those that still differ come back.
async fn look_again(session: &Session<'_>, left: Vec<Suspect>) -> Result<Vec<Suspect>, RunError> {
    let suspects = Suspects::default();
    let (extra, known): (Vec<_>, Vec<_>) = left
        .into_iter()
        .partition(|suspect| suspect.difference.kind == DifferenceKind::Extra);
    let known = known.into_iter().map(|suspect| suspect.key).collect();
    let (outputs, stages) = lanes(session, &suspects);
    let ((), joined) = tokio::join!(outputs.send_all(known), join_all(stages));
    joined?;
    look_elsewhere(session, &suspects, Looks::Pairs).await?;
    if !extra.is_empty() {
        let names = extra.into_iter().map(|suspect| {
            let name = suspect.difference.key;
            Key::new(name.clone().into(), &name)
        });
        let (outputs, stages) = extra_lanes(session, &suspects, None);
        let ((), joined) = tokio::join!(outputs.send_all(names.collect()), join_all(stages));
        joined?;
        look_elsewhere(session, &suspects, Looks::Extras(None)).await?;
    }
    Ok(suspects.take())
}

fn report_beyond(session: &Session<'_>, left: &mut Vec<Suspect>) -> Result<(), RunError> {
    if left.len() > MOST_SUSPECTS {
        let more = left.split_off(MOST_SUSPECTS);
        session.context.stats.note(format!(
            "{} differences were looked at once only",
            more.len()
        ));
        report(session, more)?;
    }
    Ok(())
}

fn report(session: &Session<'_>, suspects: Vec<Suspect>) -> Result<(), RunError> {
    let stats = &session.context.stats;
    let differences: Vec<Found> = suspects
        .into_iter()
        .map(|suspect| stats.found(suspect.difference))
        .collect();
    if session.config.verification.show_differences {
        session
            .printer
            .differences(&differences)
            .map_err(|error| RunError::Internal(format!("standard output: {error}")))?;
    }
    for found in differences {
        stats.differs(found.difference);
    }
    Ok(())
}
