//! The command: probe both sides, build the queues, start the stages, drain, verify, report.

use tokio::task::JoinSet;
use tracing::warn;

use crate::compare;
use crate::config::{Auto, Command, Config, Depth, Side};
use crate::entry::{Key, Parcel};
use crate::error::RunError;
use crate::output::Printer;
use crate::queue::queue;
use crate::session::{Outcome, Session, join_all};
use crate::signal::Stop;
use crate::stage::read::{Inspection, ReadLane};
use crate::stage::scan::{Ended, Purpose};
use crate::stage::write::{self, WriteLane};
use crate::stats::Phase;

/// Lanes where none were told: one source thread feeds them all, more only share its answers out thinner.
const LANES: usize = 2;
/// Keys of the scan that wait for each lane: few, so that the source still has in its cache what SCAN has just touched.
const QUEUED_KEYS: usize = 500;
/// Batches that may wait for each write lane.
const QUEUED_BATCHES: usize = 4;
/// Bytes that may wait for each write lane: few, so that they are written while they are in the cache.
const QUEUED_BYTES: usize = 256 * 1024;

/// Runs replicate or compare as the configuration says.
pub async fn run(config: &Config, printer: &Printer, stop: &Stop) -> Result<Outcome, RunError> {
    loop {
        let session = Session::start(config, printer, stop).await?;
        let outcome = session.watch(once(&session)).await;
        let outcome = session.close(outcome)?;
        let Some(pause) = config.flow.repeat else {
            return Ok(outcome);
        };
        if stop.is_draining() {
            return Ok(outcome);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.draining() => return Ok(outcome),
        }
    }
}

async fn once(session: &Session<'_>) -> Result<Ended, RunError> {
    if session.config.command == Command::Compare {
        return compare::run(session).await;
    }
    let ended = copy(session).await?;
    let verifies = session.config.verification.depth != Depth::None
        && !session.config.flow.dry_run
        && ended == Ended::Complete
        && !session.context.is_over_limit();
    if verifies {
        compare::run(session).await
    } else {
        Ok(ended)
    }
}

/// Copies every key once.
async fn copy(session: &Session<'_>) -> Result<Ended, RunError> {
    session.begin(Phase::Scanning);
    let config = session.config;
    let context = &session.context;
    let readers = lanes(
        config.flow.read_lanes,
        // One connection scans.
        session.pool(Side::Source).saturating_sub(1),
        "--read-threads",
    );
    let writers = lanes(
        config.flow.write_lanes,
        session.pool(Side::Target),
        "--threads",
    );
    let batch = match config.flow.write_batch {
        Auto::Fixed(keys) => keys.max(1),
        Auto::Measured => write::BATCH_KEYS,
    };
    let between = match config.flow.read_queue {
        Auto::Fixed(keys) => keys.max(1),
        Auto::Measured => batch * QUEUED_BATCHES,
    };
    let mut stages = JoinSet::new();
    let mut parcels = Vec::new();
    for _ in 0..writers {
        let (sender, receiver) = queue::<Parcel>(between, QUEUED_BYTES);
        parcels.push(sender);
        let lane = WriteLane::new(
            context.clone(),
            session.target.clone(),
            session.write_dialect(),
            receiver,
        );
        stages.spawn(lane.run());
    }
    let mut keys = Vec::new();
    for _ in 0..readers {
        let (sender, receiver) = queue::<Vec<Key>>(QUEUED_KEYS, usize::MAX);
        keys.push(sender);
        let lane = ReadLane::new(
            context.clone(),
            session.source.clone(),
            session.read_dialect(),
            inspection(session),
            session.rename.clone(),
            receiver,
            parcels.clone(),
        );
        stages.spawn(lane.run());
    }
    drop(parcels);
    let scan = session.scan(Purpose::Replicate, keys);
    let (ended, joined) = tokio::join!(scan.run(), join_all(stages));
    joined?;
    session.printer.finish_phase();
    match context.take_failure() {
        Some(failure) => Err(failure),
        None => Ok(ended),
    }
}

/// Types and sizes that are looked at before a key is read: what SCAN could not filter.
fn inspection(session: &Session<'_>) -> Inspection {
    Inspection {
        kinds: session.inspected_types().to_vec(),
        memory_limit: session.config.selection.memory_limit,
    }
}

fn lanes(told: Auto<usize>, pool: usize, option: &str) -> usize {
    let wanted = match told {
        Auto::Fixed(lanes) => lanes.max(1),
        Auto::Measured => return LANES.min(pool.max(1)),
    };
    if wanted > pool.max(1) {
        warn!(
            "{option} {wanted} is more than the pool has left for it: {} lanes are used (raise --pool)",
            pool.max(1)
        );
    }
    wanted.min(pool.max(1))
}
