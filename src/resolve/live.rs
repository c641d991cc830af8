//! How changes are followed, and what does not go with following them.

use std::time::Duration;

use super::UsageError;
use super::refuse::Mode;
use super::value::{self, Bare};
use crate::cli;
use crate::config::{Endpoint, EventOrder, Events, Live, Resp, Rewrite, TemplatePart};

const EVENT_QUEUE: usize = 1_000_000;
const FLUSH_INTERVAL: Duration = Duration::from_millis(50);

/// Resolves "Live"; `None` where the job is not live. Options that then have no effect are read all the same: commands
/// written for RIOT carry them in every mode.
pub(super) fn resolve(
    mode: Mode,
    words: &cli::Live,
    notices: &mut Vec<String>,
) -> Result<Option<Live>, UsageError> {
    let cli::Live {
        live: _,
        events,
        event_queue,
        event_order,
        flush_interval,
        idle_timeout,
        accept_unproven,
    } = words;
    let live = Live {
        scans: mode == Mode::Live,
        events: events.as_deref().map_or(Ok(Events::Auto), |text| {
            let names = [
                ("auto", Events::Auto),
                ("keyspace", Events::Keyspace),
                ("tracking", Events::Tracking),
            ];
            value::named("--events", text, &names)
        })?,
        queue: event_queue.as_deref().map_or(Ok(EVENT_QUEUE), |text| {
            let keys = value::whole("--event-queue", text, 1, u64::MAX)?;
            usize::try_from(keys).map_err(|_| UsageError::new("--event-queue", "is too large"))
        })?,
        order: event_order
            .as_deref()
            .map_or(Ok(EventOrder::Fifo), |text| {
                let names = [
                    ("fifo", EventOrder::Fifo),
                    ("priority", EventOrder::Priority),
                ];
                value::named("--event-order", text, &names)
            })?,
        flush_interval: flush_interval
            .as_deref()
            .map_or(Ok(FLUSH_INTERVAL), |text| {
                value::positive_duration("--flush-interval", text, Bare::Milliseconds)
            })?,
        idle_timeout: idle_timeout
            .as_deref()
            .map(|text| value::positive_duration("--idle-timeout", text, Bare::Milliseconds))
            .transpose()?,
        accept_unproven: *accept_unproven,
    };
    if mode.is_live() {
        return Ok(Some(live));
    }
    let given = [
        (events.is_some(), "--events"),
        (event_queue.is_some(), "--event-queue"),
        (event_order.is_some(), "--event-order"),
        (flush_interval.is_some(), "--flush-interval"),
        (idle_timeout.is_some(), "--idle-timeout"),
        (*accept_unproven, "--accept-unproven"),
    ];
    let idle = given.into_iter().filter(|(given, _)| *given);
    notices.extend(idle.map(|(_, option)| format!("{option}: has no effect without --mode live")));
    Ok(None)
}

/// A key that is gone has no type any more, so nobody could tell what its name at the target was.
pub(super) fn refuse_type_in_names(rewrite: &Rewrite) -> Result<(), UsageError> {
    let by_type = rewrite
        .template
        .as_ref()
        .is_some_and(|template| template.parts.contains(&TemplatePart::Type));
    if by_type {
        return Err(UsageError::new(
            "--key-process",
            "#{type} does not go with live: a key that was deleted has no type, so its name at the target is not known",
        ));
    }
    Ok(())
}

/// Tracking tells of changes by messages that RESP2 does not have. `resp` is the option that said which RESP it is.
pub(super) fn refuse_tracking_without_resp3(
    live: &Live,
    source: &Endpoint,
    resp: &str,
) -> Result<(), UsageError> {
    if live.events == Events::Tracking && source.resp == Resp::Two {
        return Err(UsageError::new(
            "--events tracking",
            format!("needs RESP3, and {resp} says 2"),
        ));
    }
    Ok(())
}
