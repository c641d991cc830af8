//! Waiting before another try: longer each time, never in step with others.

use std::time::Duration;

/// Pauses that double from 50 ms to a second, each cut by a random part of up to a half.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    tries: u32,
}

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

impl Backoff {
    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.tries.min(8)).min(LONGEST);
        self.tries += 1;
        whole.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

impl crate::config::RetryLimit {
    /// Whether another try may follow after so many that failed.
    #[must_use]
    pub fn allows(self, failed: u32) -> bool {
        match self {
            Self::Always => true,
            Self::Times(times) => failed <= times,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RetryLimit;

    #[test]
    fn pauses_grow_to_a_second_and_no_further() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.pause()).collect();
        assert!(pauses[0] >= FIRST / 2 && pauses[0] <= FIRST);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses[11] >= LONGEST / 2);
    }

    #[test]
    fn limits_count_tries_after_the_first() {
        assert!(RetryLimit::Times(3).allows(3));
        assert!(!RetryLimit::Times(3).allows(4));
        assert!(!RetryLimit::Times(0).allows(1));
        assert!(RetryLimit::Always.allows(1000));
    }
}
