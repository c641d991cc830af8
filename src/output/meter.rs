//! How fast it goes now: a rate over the last seconds.

use std::collections::VecDeque;
use std::time::Duration;

/// How far back the rate looks: long enough to be steady, short enough to show a change.
const WINDOW: Duration = Duration::from_secs(10);

/// Samples closer than this replace one another, so that fast ticks do not fill the window.
const STEP: Duration = Duration::from_millis(100);

/// What was counted at one time, since the meter's start.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    keys: u64,
    bytes: u64,
}

/// The samples of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Meter {
    samples: VecDeque<Sample>,
}

/// Keys and bytes in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) keys: f64,
    pub(super) bytes: f64,
}

impl Rates {
    /// What so much in so long amounts to; nothing where no time has passed.
    pub(super) fn over(keys: u64, bytes: u64, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        if seconds <= 0.0 {
            return Self::default();
        }
        Self {
            keys: keys as f64 / seconds,
            bytes: bytes as f64 / seconds,
        }
    }
}

impl Meter {
    /// A meter that begins with these counts.
    pub(super) fn new(keys: u64, bytes: u64) -> Self {
        Self {
            samples: VecDeque::from([Sample {
                at: Duration::ZERO,
                keys,
                bytes,
            }]),
        }
    }

    /// The rates now, `at` this long after the start.
    pub(super) fn observe(&mut self, at: Duration, keys: u64, bytes: u64) -> Rates {
        // The oldest sample stays until the one after it is itself outside the window.
        while self
            .samples
            .get(1)
            .is_some_and(|second| at.saturating_sub(second.at) >= WINDOW)
        {
            self.samples.pop_front();
        }
        let Some(first) = self.samples.front().copied() else {
            return Rates::default();
        };
        if self
            .samples
            .back()
            .is_none_or(|last| at.saturating_sub(last.at) >= STEP)
        {
            self.samples.push_back(Sample { at, keys, bytes });
        }
        Rates::over(
            keys.saturating_sub(first.keys),
            bytes.saturating_sub(first.bytes),
            at.saturating_sub(first.at),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut meter = Meter::new(0, 0);
        let mut keys = 0;
        for second in 1..=60_u64 {
            keys += if second <= 30 { 1000 } else { 10 };
            let rates = meter.observe(Duration::from_secs(second), keys, keys * 100);
            match second {
                1..=30 => assert_eq!(
                    rates,
                    Rates {
                        keys: 1000.0,
                        bytes: 100_000.0
                    }
                ),
                41.. => assert_eq!(
                    rates,
                    Rates {
                        keys: 10.0,
                        bytes: 1000.0
                    }
                ),
                _ => {}
            }
        }
    }

    #[test]
    fn many_ticks_keep_few_samples() {
        let mut meter = Meter::new(0, 0);
        for milli in 0..100_000 {
            meter.observe(Duration::from_millis(milli), milli, 0);
        }
        assert!(meter.samples.len() <= 102, "{}", meter.samples.len());
    }

    #[test]
    fn no_time_is_no_rate() {
        assert_eq!(
            Meter::new(0, 0).observe(Duration::ZERO, 5, 5),
            Rates::default()
        );
        assert_eq!(
            Meter::new(9, 9).observe(Duration::from_secs(1), 5, 5),
            Rates::default()
        );
    }
}
