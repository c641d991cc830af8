//! Recorded times as a histogram of few buckets: what is summed over hosts and over time.

use hdrhistogram::Histogram;

use super::{Stats, lock};
use crate::config::Side;

/// Times up to each of some bounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Times {
    /// How many times were recorded.
    pub count: u64,
    /// Their sum, to 1 %.
    pub seconds: f64,
    /// How many lie above the bound before and not above this one, for each bound in its order.
    pub within: Vec<u64>,
}

/// The times of one command on one side.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Where it was sent.
    pub side: Side,
    /// Its name.
    pub name: &'static str,
    /// From sending a batch of it until all its answers were there.
    pub times: Times,
}

impl Times {
    /// Microseconds that were recorded, by `bounds` in seconds, which grow.
    pub(super) fn of(recorded: &Histogram<u64>, bounds: &[f64]) -> Self {
        let mut times = Self {
            count: 0,
            seconds: 0.0,
            within: vec![0; bounds.len()],
        };
        for step in recorded.iter_recorded() {
            let count = step.count_at_value();
            let seconds = recorded.median_equivalent(step.value_iterated_to()) as f64 / 1e6;
            times.count += count;
            times.seconds += seconds * count as f64;
            let bucket = bounds.partition_point(|bound| *bound < seconds);
            if let Some(within) = times.within.get_mut(bucket) {
                *within += count;
            }
        }
        times
    }
}

impl Stats {
    /// Commands whose times are kept, by `bounds` in seconds, which grow.
    #[must_use]
    pub fn commands(&self, bounds: &[f64]) -> Vec<Command> {
        let Some(histograms) = &self.latency else {
            return Vec::new();
        };
        let histograms = lock(histograms);
        let mut found = Vec::new();
        for side in [Side::Source, Side::Target] {
            let commands = histograms.get(super::latency::name(side));
            for (name, recorded) in commands.into_iter().flatten() {
                found.push(Command {
                    side,
                    name,
                    times: Times::of(recorded, bounds),
                });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_lie_within_their_bounds() {
        let stats = Stats::new(true);
        for (micros, count) in [(100, 3), (101, 1), (50_000, 2), (2_000_000, 1)] {
            stats.latency(Side::Target, "SET", Duration::from_micros(micros), count);
        }
        let found = stats.commands(&[0.0001, 0.01, 0.1]);
        let [set] = &found[..] else {
            panic!("one command was sent: {found:?}")
        };
        assert_eq!((set.side, set.name), (Side::Target, "SET"));
        assert_eq!(
            (set.times.count, &set.times.within[..]),
            (7, &[3, 1, 2][..])
        );
        let seconds = 0.0003 + 0.000_101 + 0.1 + 2.0;
        assert!((set.times.seconds / seconds - 1.0).abs() < 0.01, "{set:?}");
    }
}
