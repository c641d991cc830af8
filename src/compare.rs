//! The command, and the verification after a replicate: look at every key, then again at those that differ.

use tokio::task::JoinSet;

use crate::config::{Auto, Side};
use crate::entry::Key;
use crate::error::RunError;
use crate::queue::{Sender, queue};
use crate::session::{Session, join_all};
use crate::stage::scan::{Ended, Purpose};
use crate::stage::verify::{Suspect, Suspects, Terms, VerifyLane};
use crate::stats::{Difference, Phase};

/// Lanes where none were told.
const LANES: usize = 2;
/// Keys that wait for each lane.
const QUEUED_KEYS: usize = 4000;
/// Keys that are looked at again; of more than these the first look counts, so that memory stays bounded.
const MOST_SUSPECTS: usize = 1_000_000;

/// Compares what the run selects, in rounds.
pub async fn run(session: &Session<'_>) -> Result<Ended, RunError> {
    let verification = &session.config.verification;
    session.begin(Phase::Comparing);
    let suspects = Suspects::default();
    let (keys, stages) = lanes(session, &suspects);
    let scan = session.scan(Purpose::Compare, keys);
    let (ended, joined) = tokio::join!(scan.run(), join_all(stages));
    joined?;
    let mut left = suspects.take();
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
    report(session, left)?;
    session.printer.finish_phase();
    match session.context.take_failure() {
        Some(failure) => Err(failure),
        None => Ok(ended),
    }
}

fn lanes(
    session: &Session<'_>,
    suspects: &Suspects,
) -> (Vec<Sender<Vec<Key>>>, JoinSet<anyhow::Result<()>>) {
    let config = session.config;
    let count = match config.flow.write_lanes {
        Auto::Fixed(lanes) => lanes.max(1),
        Auto::Measured => LANES,
    };
    let count = count
        .min(session.pool(Side::Source).saturating_sub(1).max(1))
        .min(session.pool(Side::Target).max(1));
    let selection = &config.selection;
    let terms = Terms {
        source_pexpiretime: session.source_profile.pexpiretime,
        target_pexpiretime: session.target_profile.pexpiretime,
        source_time: session.source_profile.time,
        target_time: session.target_profile.time,
        expiry: !config.rewrite.drop_expiry,
        tolerance: config.verification.expiry_tolerance,
        kinds: selection.types.clone(),
        memory_limit: selection.memory_limit,
        memory_samples: selection.memory_samples,
    };
    let mut stages = JoinSet::new();
    let mut keys = Vec::new();
    for _ in 0..count {
        let (sender, receiver) = queue::<Vec<Key>>(QUEUED_KEYS, usize::MAX);
        keys.push(sender);
        let lane = VerifyLane::new(
            session.context.clone(),
            (session.source.clone(), session.target.clone()),
            terms.clone(),
            session.rename.clone(),
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
    let (outputs, stages) = lanes(session, &suspects);
    let deal = async {
        let mut hands: Vec<Vec<Key>> = Vec::new();
        hands.resize_with(outputs.len(), Vec::new);
        let lanes = hands.len();
        for suspect in left {
            if let Some(hand) = hands.get_mut(suspect.key.lane(lanes)) {
                hand.push(suspect.key);
            }
        }
        for (output, hand) in outputs.into_iter().zip(hands) {
            for piece in hand.chunks(500) {
                // A lane that has ended has said why.
                let _ = output.send(piece.to_vec()).await;
            }
        }
        Ok(())
    };
    tokio::try_join!(deal, join_all(stages))?;
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
