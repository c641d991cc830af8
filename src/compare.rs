//! The command, and the verification after a replicate: look at every key, then again at those that differ; where it is
//! wished, mend them.

use tokio::task::JoinSet;

use crate::config::Depth;
use crate::copy;
use crate::entry::Key;
use crate::error::RunError;
use crate::queue::{Receiver, Sender, queue};
use crate::session::{Session, deal, join_all};
use crate::stage::scan::{Ended, Purpose};
use crate::stage::verify::{Extra, ExtraLane, FullLane, Suspect, Suspects, VerifyLane};
use crate::stats::{Difference, DifferenceKind, Phase};

/// Keys that wait for each lane.
const QUEUED_KEYS: usize = 1000;
/// Keys that are looked at again; of more than these the first look counts, so that memory stays bounded.
const MOST_SUSPECTS: usize = 1_000_000;

/// Both ends of a lane's queue of keys.
type Ends = (Sender<Vec<Key>>, Receiver<Vec<Key>>);
type Stages = JoinSet<anyhow::Result<()>>;

/// Compares what the run selects, in rounds.
pub async fn run(session: &Session<'_>) -> Result<Ended, RunError> {
    let verification = &session.config.verification;
    session.begin(Phase::Comparing);
    let suspects = Suspects::default();
    let (keys, stages) = lanes(session, &suspects);
    let scan = session.scan(Purpose::Compare, keys);
    let (mut ended, joined) = tokio::join!(scan.run(), join_all(stages));
    joined?;
    if verification.both && ended == Ended::Complete {
        session.context.stats.looks_both_ways();
        let (keys, stages) = extra_lanes(session, &suspects);
        let scan = session.scan_target(keys);
        let (searched, joined) = tokio::join!(scan.run(), join_all(stages));
        joined?;
        ended = searched;
    }
    let mut left = settle(session, suspects.take()).await?;
    if verification.repair && ended == Ended::Complete && !session.context.stop.is_draining() {
        left = repair(session, left).await?;
    }
    report(session, left)?;
    session.printer.finish_phase();
    match session.context.take_failure() {
        Some(failure) => Err(failure),
        None => Ok(ended),
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
            () = tokio::time::sleep(verification.round_interval) => {}
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

/// How many lanes, and their inputs.
fn inputs(session: &Session<'_>) -> Vec<Ends> {
    (0..session.lanes.compare)
        .map(|_| queue::<Vec<Key>>(QUEUED_KEYS, usize::MAX))
        .collect()
}

fn lanes(session: &Session<'_>, suspects: &Suspects) -> (Vec<Sender<Vec<Key>>>, Stages) {
    let mut stages = JoinSet::new();
    let mut keys = Vec::new();
    for (sender, receiver) in inputs(session) {
        keys.push(sender);
        let links = (session.source.clone(), session.target.clone());
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
    (keys, stages)
}

/// Lanes that take the target's keys and look for them at the source.
fn extra_lanes(session: &Session<'_>, suspects: &Suspects) -> (Vec<Sender<Vec<Key>>>, Stages) {
    let mut stages = JoinSet::new();
    let mut keys = Vec::new();
    for (sender, receiver) in inputs(session) {
        keys.push(sender);
        let lane = ExtraLane::new(
            session.context.clone(),
            (session.source.clone(), session.target.clone()),
            Extra::new(&session.config.selection, session.rename.clone()),
            receiver,
            suspects.clone(),
        );
        stages.spawn(lane.run());
    }
    (keys, stages)
}

/// Reads both sides of the suspects again: those that still differ come back.
async fn look_again(session: &Session<'_>, left: Vec<Suspect>) -> Result<Vec<Suspect>, RunError> {
    let suspects = Suspects::default();
    let (extra, known): (Vec<_>, Vec<_>) = left
        .into_iter()
        .partition(|suspect| suspect.difference.kind == DifferenceKind::Extra);
    let known = known.into_iter().map(|suspect| suspect.key).collect();
    let (outputs, stages) = lanes(session, &suspects);
    let ((), joined) = tokio::join!(deal(outputs, known), join_all(stages));
    joined?;
    if !extra.is_empty() {
        let names = extra.into_iter().map(|suspect| {
            let name = suspect.difference.key;
            Key::new(name.clone().into(), &name)
        });
        let (outputs, stages) = extra_lanes(session, &suspects);
        let ((), joined) = tokio::join!(deal(outputs, names.collect()), join_all(stages));
        joined?;
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
    let differences: Vec<Difference> = suspects
        .into_iter()
        .map(|suspect| suspect.difference)
        .collect();
    if session.config.verification.show_differences {
        session
            .printer
            .differences(&differences)
            .map_err(|error| RunError::Internal(format!("standard output: {error}")))?;
    }
    for difference in differences {
        session.context.stats.differs(difference);
    }
    Ok(())
}
