//! What the report says of a live run: events, lag, gaps, hot keys, and whether it is proved that nothing was missed.

use super::{NAMED, count, database};
use crate::output::progress::lag_time;
use crate::stats::{HotKey, LiveSummary};
use crate::text::{bytes, printable, thousands};

/// A hot key is named that cost so many bytes, or was copied so often.
const COSTLY_BYTES: u64 = 1 << 20;
const COSTLY_COPIES: u64 = 100;

/// Lines of a live run, the proof last. `scanned`: no scan was ended before its last page.
pub(super) fn lines(live: &LiveSummary, scanned: bool) -> Vec<String> {
    let mut lines = vec![events_line(live)];
    let lag = live.lag;
    if lag.count > 0 {
        lines.push(format!(
            "lag p50 {}, p99 {}, max {}",
            lag_time(lag.p50_us),
            lag_time(lag.p99_us),
            lag_time(lag.max_us)
        ));
    }
    match live.overflowed {
        0 => {}
        1 => lines.push(
            "1 changed key was more than --event-queue holds: its slot was scanned again"
                .to_owned(),
        ),
        many => lines.push(format!(
            "{} changed keys were more than --event-queue holds: their slots were scanned again",
            thousands(many)
        )),
    }
    lines.extend(gap_lines(live));
    for hot in live.hot_keys.iter().filter(|hot| is_costly(hot)) {
        lines.push(format!(
            "hot key {}{}: {} in {}",
            database(hot.database),
            printable(&hot.key),
            bytes(hot.bytes),
            count(hot.copies, "copy", "copies")
        ));
    }
    for line in &live.unproven {
        lines.push(format!("not proved: {}", printable(line.as_bytes())));
    }
    lines.push(proof_line(live, scanned));
    lines
}

fn events_line(live: &LiveSummary) -> String {
    let ways: Vec<&str> = live
        .ways
        .iter()
        .map(|way| match *way {
            "keyspace" => "keyspace notifications",
            "tracking" => "client tracking",
            other => other,
        })
        .collect();
    let by = if ways.is_empty() {
        String::new()
    } else {
        format!(" by {}", ways.join(" and "))
    };
    format!(
        "{}{by}, {} read, at most {} waiting",
        count(live.events, "event", "events"),
        count(live.changes, "changed key", "changed keys"),
        thousands(live.most_waiting)
    )
}

/// One line a gap, those that are open first: where there are many, they are not the ones left out.
fn gap_lines(live: &LiveSummary) -> Vec<String> {
    let open = live.gaps.iter().filter(|gap| !gap.closed);
    let closed = live.gaps.iter().filter(|gap| gap.closed);
    let mut lines: Vec<String> = open
        .chain(closed)
        .take(NAMED)
        .map(|gap| {
            let state = if gap.closed { "closed" } else { "NOT closed" };
            format!("gap, {state}: {}", printable(gap.cause.as_bytes()))
        })
        .collect();
    let named = lines.len() as u64;
    if live.gap_count > named && named > 0 {
        lines.push(format!("gap: {} more", thousands(live.gap_count - named)));
    }
    lines
}

/// A few bytes, a few times, are no matter to an operator.
fn is_costly(hot: &HotKey) -> bool {
    hot.bytes >= COSTLY_BYTES || hot.copies >= COSTLY_COPIES
}

fn proof_line(live: &LiveSummary, scanned: bool) -> String {
    let gaps = |number| count(number, "gap", "gaps");
    let proof = match (live.gap_count, live.open_gaps) {
        _ if !scanned => "no proof: the scan was not complete".to_owned(),
        (0, 0) => "proof: listened without a break".to_owned(),
        (1, 0) => "proof: 1 gap, closed".to_owned(),
        (all, 0) => format!("proof: {}, all closed", gaps(all)),
        (_, open) => format!("no proof: {} not closed", gaps(open)),
    };
    let waiting = match live.waiting {
        0 => "no changed key waits".to_owned(),
        1 => "1 changed key still waits".to_owned(),
        many => format!("{} changed keys still wait", thousands(many)),
    };
    let unproven = match live.unproven.len() as u64 {
        0 => String::new(),
        number => format!(", {} not proved", count(number, "guarantee", "guarantees")),
    };
    format!("{proof}, {waiting}{unproven}")
}
