//! What a live run counts beside: events, the keys that wait, the lag, gaps, hot keys, and what could not be proved.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use super::lock;
use super::summary::Latency;
use super::times::Times;
use crate::text::printable;

/// Keys whose bytes are counted at once: the costly ones stay, the others make room.
const COUNTED: usize = 1024;
/// Hot keys that are reported.
const HOT: usize = 5;
/// Bytes of a key that cost much though it was copied once.
const LARGE: u64 = 1 << 20;
/// Gaps that are told one by one; beyond that they are only counted.
const KEPT_GAPS: usize = 100;

/// The live part of a run's counters. Where it has several databases, each has its own, and the run's are their sum.
#[derive(Debug, Default)]
pub struct Live {
    heard: Arc<Heard>,
    /// The source's database, where the run has several.
    database: Option<u32>,
    parts: Mutex<Vec<Arc<Live>>>,
    changes: AtomicU64,
    waiting: AtomicU64,
    most_waiting: AtomicU64,
    gaps: AtomicU64,
    closed: AtomicU64,
    told: Mutex<Vec<Gap>>,
    hot: Mutex<HashMap<Vec<u8>, Cost>>,
    obstacle: Mutex<Option<&'static str>>,
}

/// What is counted once for all databases of a run.
#[derive(Debug, Default)]
struct Heard {
    listens: AtomicBool,
    ways: Mutex<Vec<&'static str>>,
    since: Mutex<Option<Instant>>,
    events: AtomicU64,
    overflowed: AtomicU64,
    lag: Mutex<Lags>,
    unproven: Mutex<Vec<String>>,
}

/// Something between the source and riot that may have swallowed changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// What happened.
    pub cause: String,
    /// Everything was looked at again since.
    pub closed: bool,
}

/// A key that was copied again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HotKey {
    /// The source's database, where the run has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<u32>,
    /// The source's name.
    #[serde(serialize_with = "as_printable")]
    pub key: Vec<u8>,
    /// Bytes of its values.
    pub bytes: u64,
    /// How often it was copied because it had changed.
    pub copies: u64,
}

fn as_printable<S: Serializer>(key: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&printable(key))
}

#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    bytes: u64,
    copies: u64,
}

/// Microseconds from an event to the acknowledged write: of the whole run, and since they were last shown.
#[derive(Debug)]
struct Lags {
    all: Histogram<u64>,
    recent: Histogram<u64>,
}

impl Default for Lags {
    fn default() -> Self {
        let histogram = || {
            // Whole microseconds up to an hour, each to 1 %; beyond that the hour is counted. The bounds are constants.
            Histogram::new_with_bounds(1, 3_600_000_000, 2).unwrap_or_else(|_| unreachable!())
        };
        Self {
            all: histogram(),
            recent: histogram(),
        }
    }
}

/// What a live run came to, as it is reported.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveSummary {
    /// `keyspace`, `tracking`.
    pub ways: Vec<&'static str>,
    /// Events of keys that the run wants.
    pub events: u64,
    /// Changed keys that were taken to be copied.
    pub changes: u64,
    /// Changed keys that wait.
    pub waiting: u64,
    /// The most that waited at once.
    pub most_waiting: u64,
    /// Changed keys that were remembered by slot because `--event-queue` was full.
    pub overflowed: u64,
    /// Since it listens.
    pub listen_seconds: f64,
    /// From the event to the acknowledged write.
    pub lag: Latency,
    /// All gaps.
    pub gap_count: u64,
    /// Those that are not closed.
    pub open_gaps: u64,
    /// The first gaps, one by one.
    pub gaps: Vec<Gap>,
    /// The keys that cost the most bytes.
    pub hot_keys: Vec<HotKey>,
    /// Guarantees that could not be proved, each with what would mend it.
    pub unproven: Vec<String>,
}

impl Live {
    /// What a database of the source counts, which is the run's, too.
    pub(super) fn part(&self, database: u32) -> Arc<Self> {
        let part = Arc::new(Self {
            heard: self.heard.clone(),
            database: Some(database),
            ..Self::default()
        });
        lock(&self.parts).push(part.clone());
        part
    }

    /// Something of each database, or of the run where it has one.
    fn each<T>(&self, of: impl Fn(&Self) -> T) -> Vec<T> {
        let parts = lock(&self.parts);
        if parts.is_empty() {
            return vec![of(self)];
        }
        parts.iter().map(|part| of(part)).collect()
    }

    fn sum(&self, of: impl Fn(&Self) -> u64) -> u64 {
        self.each(of).into_iter().sum()
    }

    /// The run listens from now on, in these ways.
    pub fn listens(&self, ways: &[&'static str]) {
        self.heard.listens.store(true, Relaxed);
        *lock(&self.heard.ways) = ways.to_vec();
        lock(&self.heard.since).get_or_insert_with(Instant::now);
    }

    /// Whether the run is live.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.heard.listens.load(Relaxed)
    }

    /// Events of keys that the run wants.
    pub fn heard(&self, events: u64) {
        self.heard.events.fetch_add(events, Relaxed);
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.heard.events.load(Relaxed)
    }

    /// Changed keys were taken to be copied.
    pub fn took(&self, keys: u64) {
        self.changes.fetch_add(keys, Relaxed);
    }

    /// Changed keys taken so far.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.sum(|part| part.changes.load(Relaxed))
    }

    /// So many changed keys wait.
    pub fn set_waiting(&self, keys: u64) {
        self.waiting.store(keys, Relaxed);
        self.most_waiting.fetch_max(keys, Relaxed);
    }

    /// Changed keys that wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.sum(|part| part.waiting.load(Relaxed))
    }

    /// Changed keys found no room, and were remembered by slot.
    pub fn overflowed(&self, keys: u64) {
        self.heard.overflowed.fetch_add(keys, Relaxed);
    }

    /// Changes were written this long after their events.
    pub fn lag(&self, times: impl Iterator<Item = Duration>) {
        let mut lags = lock(&self.heard.lag);
        for time in times {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            lags.all.saturating_record(micros);
            lags.recent.saturating_record(micros);
        }
    }

    /// The lag since it was asked for last.
    #[must_use]
    pub fn recent_lag(&self) -> Latency {
        let mut lags = lock(&self.heard.lag);
        let recent = Latency::of(&lags.recent);
        lags.recent.reset();
        recent
    }

    /// The lag of the whole run, by `bounds` in seconds, which grow.
    #[must_use]
    pub fn lags(&self, bounds: &[f64]) -> Times {
        Times::of(&lock(&self.heard.lag).all, bounds)
    }

    /// Why the target cannot be up to date for now, though no gap is open.
    pub fn set_obstacle(&self, why: Option<&'static str>) {
        *lock(&self.obstacle) = why;
    }

    /// What was told of that last.
    #[must_use]
    pub fn obstacle(&self) -> Option<&'static str> {
        let obstacles = self.each(|part| *lock(&part.obstacle));
        obstacles.into_iter().flatten().next()
    }

    /// Changed keys that found no room, so far.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.heard.overflowed.load(Relaxed)
    }

    /// Guarantees that could not be proved, so far.
    #[must_use]
    pub fn unproven_count(&self) -> usize {
        lock(&self.heard.unproven).len()
    }

    /// Changes may have been missed.
    pub fn gap(&self, cause: &str) {
        self.gaps.fetch_add(1, Relaxed);
        let mut told = lock(&self.told);
        if told.len() < KEPT_GAPS {
            told.push(Gap {
                cause: cause.to_owned(),
                closed: false,
            });
        }
    }

    /// Gaps so far.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.sum(|part| part.gaps.load(Relaxed))
    }

    /// Everything was looked at again after the first `gaps` of them.
    pub fn closed(&self, gaps: u64) {
        self.closed.fetch_max(gaps, Relaxed);
        let closed = usize::try_from(gaps).unwrap_or(usize::MAX);
        for gap in lock(&self.told).iter_mut().take(closed) {
            gap.closed = true;
        }
    }

    /// Gaps that are not closed.
    #[must_use]
    pub fn open_gaps(&self) -> u64 {
        self.sum(|part| {
            let gaps = part.gaps.load(Relaxed);
            gaps.saturating_sub(part.closed.load(Relaxed))
        })
    }

    /// A changed key was copied: its name, and the bytes of its value.
    pub fn copied<'k>(&self, keys: impl Iterator<Item = (&'k [u8], u64)>) {
        let mut hot = lock(&self.hot);
        for (key, bytes) in keys {
            if let Some(cost) = hot.get_mut(key) {
                cost.bytes += bytes;
                cost.copies += 1;
                continue;
            }
            if hot.len() >= COUNTED {
                make_room(&mut hot);
            }
            hot.insert(key.to_vec(), Cost { bytes, copies: 1 });
        }
    }

    /// A guarantee that could not be proved, with what would mend it; one that is there already is not added again.
    pub fn unproven(&self, line: impl Into<String>) {
        let line = line.into();
        let mut unproven = lock(&self.heard.unproven);
        if !unproven.contains(&line) {
            unproven.push(line);
        }
    }

    /// Everything, as of now; `None` where the run is not live.
    #[must_use]
    pub fn summary(&self) -> Option<LiveSummary> {
        if !self.is_live() {
            return None;
        }
        Some(LiveSummary {
            ways: lock(&self.heard.ways).clone(),
            events: self.events(),
            changes: self.changes(),
            waiting: self.waiting(),
            most_waiting: self.sum(|part| part.most_waiting.load(Relaxed)),
            overflowed: self.heard.overflowed.load(Relaxed),
            listen_seconds: lock(&self.heard.since)
                .map_or(0.0, |since| since.elapsed().as_secs_f64()),
            lag: Latency::of(&lock(&self.heard.lag).all),
            gap_count: self.gaps(),
            open_gaps: self.open_gaps(),
            gaps: self.each(|part| lock(&part.told).clone()).concat(),
            hot_keys: self.hot_keys(),
            unproven: lock(&self.heard.unproven).clone(),
        })
    }

    fn hot_keys(&self) -> Vec<HotKey> {
        let mut hot: Vec<HotKey> = self.each(Self::own_hot_keys).concat();
        hot.sort_by(|one, other| {
            let cost = |hot: &HotKey| (hot.bytes, hot.copies);
            cost(other).cmp(&cost(one)).then(other.key.cmp(&one.key))
        });
        hot.truncate(HOT);
        hot
    }

    fn own_hot_keys(&self) -> Vec<HotKey> {
        let hot = lock(&self.hot);
        // What was copied once is not hot, unless it is large.
        let by_cost: BTreeSet<_> = hot
            .iter()
            .filter(|(_, cost)| cost.copies > 1 || cost.bytes >= LARGE)
            .map(|(key, cost)| (cost.bytes, cost.copies, key))
            .collect();
        by_cost
            .into_iter()
            .rev()
            .take(HOT)
            .map(|(bytes, copies, key)| HotKey {
                database: self.database,
                key: key.clone(),
                bytes,
                copies,
            })
            .collect()
    }
}

/// Leaves the cheaper half out.
fn make_room(hot: &mut HashMap<Vec<u8>, Cost>) {
    let mut costs: Vec<u64> = hot.values().map(|cost| cost.bytes).collect();
    let middle = costs.len() / 2;
    let (_, median, _) = costs.select_nth_unstable(middle);
    let median = *median;
    hot.retain(|_, cost| cost.bytes > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costly_keys_are_found_among_many() {
        let live = Live::default();
        live.listens(&["tracking"]);
        for round in 0..50_u32 {
            live.copied([(b"hot".as_slice(), 1000)].into_iter());
            let cold: Vec<String> = (0..100).map(|key| format!("{round}:{key}")).collect();
            live.copied(cold.iter().map(|key| (key.as_bytes(), 10)));
        }
        live.copied([(b"once".as_slice(), 10_000)].into_iter());
        live.copied([(b"large".as_slice(), 1 << 30)].into_iter());
        let found = live.summary().unwrap().hot_keys;
        let found: Vec<_> = found.iter().map(|hot| (&hot.key[..], hot.copies)).collect();
        assert_eq!(found, [(&b"large"[..], 1), (b"hot", 50)]);
    }

    #[test]
    fn gaps_are_closed_in_their_order() {
        let live = Live::default();
        live.gap("one");
        live.gap("two");
        live.closed(1);
        assert_eq!((live.gaps(), live.open_gaps()), (2, 1));
        live.listens(&[]);
        let gaps = live.summary().unwrap().gaps;
        assert_eq!([gaps[0].closed, gaps[1].closed], [true, false]);
    }
}
