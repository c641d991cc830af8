//! What the stages waited for: where the time of a run goes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Stats;

/// A stage, and what it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The scan: for the source's answer.
    ScanForSource,
    /// The scan: until the read lanes take more keys.
    ScanForRoom,
    /// A read lane: for keys, with nothing asked for.
    ReadForKeys,
    /// A read lane: for the source's answers.
    ReadForSource,
    /// A read lane: until the write lanes, or the memory, have room.
    ReadForRoom,
    /// A write lane: for values, with nothing in flight.
    WriteForValues,
    /// A write lane: for the target's answers.
    WriteForTarget,
}

const KINDS: usize = 7;

/// The times, of all lanes of a stage together.
#[derive(Debug, Default)]
pub(super) struct Waits([AtomicU64; KINDS]);

impl Stats {
    /// A lane has waited for this since then.
    pub fn waited(&self, wait: Wait, since: Instant) {
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(sum) = self.waits.0.get(wait as usize) {
            sum.fetch_add(nanos, Relaxed);
        }
    }

    /// All waits on one line, where there were any.
    #[must_use]
    pub fn waits(&self) -> Option<String> {
        let of = |wait: Wait| {
            let nanos = self.waits.0.get(wait as usize)?.load(Relaxed);
            Some(Duration::from_nanos(nanos).as_secs_f64())
        };
        let shown = |wait| format!("{:.2} s", of(wait).unwrap_or_default());
        let any = self.waits.0.iter().any(|sum| sum.load(Relaxed) > 0);
        any.then(|| {
            format!(
                "waited: the scan {} for the source, {} for readers; readers {} for keys, {} for the source, \
                 {} for writers; writers {} for values, {} for the target",
                shown(Wait::ScanForSource),
                shown(Wait::ScanForRoom),
                shown(Wait::ReadForKeys),
                shown(Wait::ReadForSource),
                shown(Wait::ReadForRoom),
                shown(Wait::WriteForValues),
                shown(Wait::WriteForTarget),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_where_there_were_any() {
        let stats = Stats::new(false);
        assert_eq!(stats.waits(), None);
        let since = Instant::now()
            .checked_sub(Duration::from_millis(1500))
            .unwrap();
        stats.waited(Wait::ReadForSource, since);
        let line = stats.waits().unwrap();
        assert!(
            line.contains("0.00 s for keys, 1.50 s for the source"),
            "{line}"
        );
    }
}
