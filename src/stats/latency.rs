//! How long commands took, by side and command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::summary::{Latencies, Latency};
use super::{Stats, lock};
use crate::config::Side;

pub(super) type Histograms = BTreeMap<&'static str, BTreeMap<&'static str, Histogram<u64>>>;

impl Stats {
    /// Times of commands are kept: it is worth taking them.
    #[must_use]
    pub fn keeps_latency(&self) -> bool {
        self.latency.is_some()
    }

    /// The times of commands are kept, whether or not they are reported.
    #[must_use]
    pub fn keeping_latency(mut self) -> Self {
        self.latency.get_or_insert_with(Arc::default);
        self
    }

    /// `count` commands of this name were answered after `time`. Nothing happens unless latency is kept.
    pub fn latency(&self, side: Side, command: &'static str, time: Duration, count: u64) {
        let Some(histograms) = &self.latency else {
            return;
        };
        let mut histograms = lock(histograms);
        let commands = histograms.entry(name(side)).or_default();
        if !commands.contains_key(command)
            // Whole microseconds up to an hour, each to 1 %; beyond that the hour is counted.
            && let Ok(new) = Histogram::new_with_bounds(1, 3_600_000_000, 2)
        {
            commands.insert(command, new);
        }
        if let Some(histogram) = commands.get_mut(command) {
            histogram
                .saturating_record_n(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), count);
        }
    }

    /// Latency by side and command; empty unless it is kept for the report.
    #[must_use]
    pub fn latencies(&self) -> Latencies {
        let Some(histograms) = self.latency.as_ref().filter(|_| self.reports_latency) else {
            return Latencies::new();
        };
        let histograms = lock(histograms);
        histograms
            .iter()
            .map(|(side, commands)| {
                (
                    *side,
                    commands
                        .iter()
                        .map(|(command, times)| (*command, Latency::of(times)))
                        .collect(),
                )
            })
            .collect()
    }
}

pub(super) fn name(side: Side) -> &'static str {
    match side {
        Side::Source => "source",
        Side::Target => "target",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_kept_by_side_and_command() {
        let stats = Stats::new(true);
        stats.latency(Side::Source, "MGET", Duration::from_micros(100), 99);
        stats.latency(Side::Source, "MGET", Duration::from_millis(20), 1);
        stats.latency(Side::Target, "SET", Duration::from_secs(1_000_000), 1);
        let latencies = stats.latencies();
        let mget = latencies["source"]["MGET"];
        assert_eq!((mget.count, mget.p50_us, mget.p99_us), (100, 100, 100));
        assert!((20_000..20_300).contains(&mget.max_us), "{mget:?}");
        assert_eq!(latencies["target"]["SET"].count, 1);
        let off = Stats::new(false);
        off.latency(Side::Source, "MGET", Duration::from_micros(100), 99);
        assert!(off.latencies().is_empty());
        let kept = Stats::new(false).keeping_latency();
        kept.latency(Side::Source, "MGET", Duration::from_micros(100), 99);
        assert!(kept.latencies().is_empty());
        assert_eq!(kept.commands(&[1.0]).len(), 1);
    }
}
