//! One scan of a live run: the first, one again after a gap, or of the slots that the set had no room for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::changed::Overflow;
use crate::compare;
use crate::deal::Inlets;
use crate::entry::{Cause, Key, Mark};
use crate::error::RunError;
use crate::session::Session;
use crate::signal::Stop;
use crate::slots::SlotSet;
use crate::stage::scan::{Ended, Purpose};
use crate::stage::verify::Suspects;

/// What is scanned.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// The source's keys, for the first time; it closes so many gaps.
    First(u64),
    /// The source's keys of these slots, after gaps; it closes so many.
    Again(Arc<SlotSet>, u64),
    /// The changed keys that the set had no room for.
    Overflow(Arc<Overflow>),
}

type Work<'s> = Pin<Box<dyn Future<Output = Result<Ended, RunError>> + 's>>;

/// A scan under way.
pub(super) struct Pass<'s> {
    what: What,
    halt: Stop,
    work: Work<'s>,
}

impl<'s> Pass<'s> {
    /// Begins a scan that deals to these lanes.
    pub(super) fn begin(session: &'s Session<'s>, lanes: &Inlets<Vec<Key>>, what: What) -> Self {
        let halt = session.context.stop.child();
        Self {
            work: Box::pin(scan(session, lanes.clone(), what.clone(), halt.clone())),
            what,
            halt,
        }
    }

    pub(super) fn what(&self) -> &What {
        &self.what
    }

    /// Takes no more keys in.
    pub(super) fn halt(&self) {
        self.halt.drain();
    }

    /// Waits for its end. Cancel safe.
    pub(super) async fn done(&mut self) -> Result<Ended, RunError> {
        self.work.as_mut().await
    }
}

/// Waits for the end of the scan under way; where there is none, for ever. Cancel safe.
pub(super) async fn ended(pass: &mut Option<Pass<'_>>) -> Result<Ended, RunError> {
    match pass {
        Some(pass) => pass.done().await,
        None => std::future::pending().await,
    }
}

async fn scan(
    session: &Session<'_>,
    lanes: Inlets<Vec<Key>>,
    what: What,
    halt: Stop,
) -> Result<Ended, RunError> {
    let only = match &what {
        What::Overflow(overflow) => Some(overflow.clone()),
        What::First(_) | What::Again(..) => None,
    };
    let slots = match &what {
        What::Overflow(overflow) => overflow.slots().clone(),
        What::Again(slots, _) => SlotSet::clone(slots),
        What::First(_) => SlotSet::all(),
    };
    let scan = session.scan(Purpose::Replicate, lanes.clone());
    let ended = scan
        .halted_by(halt)
        .within(&slots)
        .only(only.clone())
        .repeated(!matches!(what, What::First(_)))
        .run()
        .await;
    // After a gap nobody knows whether a key that the target alone has was deleted at the source.
    let deletes = session.may_search()
        && (only.is_some()
            || matches!(what, What::Again(..))
                && session.config.verification.delete_extra
                && !session.config.flow.dry_run);
    if ended == Ended::Complete && deletes {
        let suspects = Suspects::default();
        compare::search(session, &suspects, only).await?;
        let cause = match what {
            What::Overflow(overflow) if overflow.is_doubtful() => Cause::DoubtfulEvent,
            What::Overflow(_) => Cause::Event,
            What::First(_) | What::Again(..) => Cause::Scan,
        };
        let keys: Vec<Key> = suspects
            .take()
            .into_iter()
            .map(|suspect| Key {
                mark: Mark::new(cause, std::time::Duration::ZERO),
                ..suspect.key
            })
            .collect();
        session.context.stats.live.took(keys.len() as u64);
        lanes.send_all(keys).await;
    }
    Ok(ended)
}
