//! What a live run shows beside its keys: events, what waits, the lag.

use std::time::Duration;

use crate::stats::{Latency, Live};
use crate::text::{elapsed, milliseconds, thousands};

/// The changes at the source and what became of them, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::output) struct Following {
    /// Events so far.
    pub(in crate::output) events: u64,
    /// Changed keys that wait.
    pub(in crate::output) waiting: u64,
    /// From the event to the acknowledged write.
    pub(in crate::output) lag: Option<Latency>,
}

impl Following {
    /// A live run as its counters have it. A lag of no changes is none.
    pub(in crate::output) fn new(live: &Live, lag: Option<Latency>) -> Self {
        Self {
            events: live.events(),
            waiting: live.waiting(),
            lag: lag.filter(|lag| lag.count > 0),
        }
    }

    /// `12,345 events`, `4,321 waiting`.
    pub(super) fn counts(&self) -> [String; 2] {
        [
            format!("{} events", thousands(self.events)),
            format!("{} waiting", thousands(self.waiting)),
        ]
    }

    /// `lag p50 12 ms p99 41 ms`.
    pub(super) fn lag(&self) -> Option<String> {
        let lag = self.lag?;
        Some(format!(
            "lag p50 {} p99 {}",
            time(lag.p50_us),
            time(lag.p99_us)
        ))
    }
}

/// A lag of so many microseconds: `0.3 ms`, `41 ms`, `2 min 5 s`.
pub(in crate::output) fn time(micros: u64) -> String {
    let time = Duration::from_micros(micros);
    if time < Duration::from_secs(10) {
        milliseconds(time)
    } else {
        elapsed(time)
    }
}
