//! The lanes that copy keys: built for a whole scan, or for a list of keys.

pub mod kept;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::config::Auto;
use crate::deal::Inlets;
use crate::entry::{Key, Parcel};
use crate::error::RunError;
use crate::queue::queue;
use crate::session::{Session, join_all};
use crate::slots::SlotSet;
use crate::stage::carry::CarryLane;
use crate::stage::read::{Inspection, ReadLane};
use crate::stage::scan::{Ended, Purpose};
use crate::stage::write::{self, WriteLane};
use crate::stage::{Handover, Home, Load};

/// Keys of the scan that wait for each lane: few, so that the source still has in its cache what SCAN has just touched.
const QUEUED_KEYS: usize = 500;
/// Batches that may wait for each write lane.
const QUEUED_BATCHES: usize = 4;
/// Bytes that may wait for each write lane: few, so that they are written while they are in the cache.
const QUEUED_BYTES: usize = 256 * 1024;

/// Copies every key once. What a failover of the target's cluster may have lost is copied again.
pub async fn scan(session: &Session<'_>) -> Result<Ended, RunError> {
    let mut slots = SlotSet::all();
    loop {
        let before = session.target.version();
        let (keys, stages) = lanes(session);
        let scan = session.scan(Purpose::Replicate, keys).within(&slots);
        let (ended, joined) = tokio::join!(scan.run(), join_all(stages));
        joined?;
        if let Some(failure) = session.context.take_failure() {
            return Err(failure);
        }
        if let Err(why) = session.target.refresh().await {
            tracing::debug!("target: {why}");
        }
        let lost = session.target.routes().failed_over_since(before);
        if ended == Ended::Early || session.context.has_failed() || lost.is_empty() {
            return Ok(ended);
        }
        slots = session.source_slots(&lost);
        let line = format!(
            "a failover at the target: what it had confirmed may be lost, and {} slots are copied again",
            slots.len()
        );
        tracing::warn!("{line}");
        session.context.stats.note(line);
    }
}

/// Copies these keys: what the source does not have is deleted at the target.
pub async fn list(session: &Session<'_>, keys: Vec<Key>) -> Result<(), RunError> {
    let (outputs, stages) = lanes(session);
    session.context.stats.scanned(keys.len() as u64);
    let ((), joined) = tokio::join!(outputs.send_all(keys), join_all(stages));
    joined?;
    match session.context.take_failure() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// Read and write lanes, and where their keys go in.
pub(crate) fn lanes(session: &Session<'_>) -> (Inlets<Vec<Key>>, JoinSet<anyhow::Result<()>>) {
    let config = session.config;
    let context = &session.context;
    let batch = match config.flow.write_batch {
        Auto::Fixed(keys) => keys.max(1),
        Auto::Measured => write::BATCH_KEYS,
    };
    let between = match config.flow.read_queue {
        Auto::Fixed(keys) => keys.max(1),
        Auto::Measured => batch * QUEUED_BATCHES,
    };
    let mut stages = JoinSet::new();
    let terms = Arc::new(session.copy_terms());
    let mut parcels = Vec::new();
    let (read_deal, write_deal) = &session.deals;
    for lane in 0..write_deal.lanes() {
        let (sender, receiver) = queue::<Parcel>(between, QUEUED_BYTES);
        context.queues.add("write", &sender);
        parcels.push(sender);
        let handover = Arc::new(Handover::default());
        for load in [Load::Small, Load::Large] {
            let carrier = CarryLane::new(
                context.clone(),
                (session.source.clone(), session.target.clone()),
                terms.clone(),
                handover.clone(),
                load,
            );
            stages.spawn(carrier.run());
        }
        let lane = WriteLane::new(
            context.clone(),
            Home {
                nodes: session.target.clone(),
                deal: write_deal.clone(),
                lane,
            },
            session.write_dialect(),
            receiver,
            handover,
        );
        stages.spawn(lane.run());
    }
    let mut keys = Vec::new();
    let parcels = Inlets {
        lanes: parcels,
        deal: write_deal.clone(),
    };
    for lane in 0..read_deal.lanes() {
        let (sender, receiver) = queue::<Vec<Key>>(QUEUED_KEYS, usize::MAX);
        context.queues.add("read", &sender);
        keys.push(sender);
        let lane = ReadLane::new(
            context.clone(),
            Home {
                nodes: session.source.clone(),
                deal: read_deal.clone(),
                lane,
            },
            session.read_dialect(),
            inspection(session),
            session.rename.clone(),
            receiver,
            parcels.clone(),
        );
        stages.spawn(lane.run());
    }
    let keys = Inlets {
        lanes: keys,
        deal: read_deal.clone(),
    };
    (keys, stages)
}

/// Types and sizes that are looked at before a key is read: what SCAN could not filter.
fn inspection(session: &Session<'_>) -> Inspection {
    let live = session.config.live.is_some();
    let types = &session.config.selection.types;
    Inspection {
        kinds: if live {
            types.clone()
        } else {
            session.inspected_types().to_vec()
        },
        scan_knows_kind: live && session.scanned_type().is_some(),
        memory_limit: session.config.selection.memory_limit,
        big_key: session.big_key(),
        scouts: session.source_is_far(),
    }
}
