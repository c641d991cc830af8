//! What the lanes of a live run share beside the set of changed keys: streams, other databases, what is reported.

mod flight;
mod streams;
mod torn;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use self::flight::Flight;
pub use self::streams::Streams;
pub use self::torn::Torn;
use crate::changed::Changed;
use crate::entry::Entry;
use crate::stats;

/// Doubtful keys that are remembered.
const MOST: usize = 1_000_000;

/// What the lanes of a live run share.
#[derive(Debug)]
pub struct Follow {
    /// The changed keys.
    pub changed: Arc<Changed>,
    /// The changed keys that were taken out of it, until their fate.
    pub flight: Flight,
    /// The streams that were read.
    pub streams: Streams,
    /// The slots of open gaps.
    pub torn: Arc<Torn>,
    /// Keys are picked by type or size: one that was copied may have stopped to be wanted.
    pub picks: bool,
    /// Each batch of reads asks INFO whether other databases have keys.
    pub asks_databases: bool,
    kinds: Vec<String>,
    others: AtomicBool,
    quiet: Mutex<Option<Instant>>,
    doubts: Mutex<HashSet<Bytes>>,
    too_many_doubts: AtomicBool,
    home: Mutex<Option<String>>,
    moves: AtomicU64,
    strayed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Follow {
    /// What lanes share that follow this set; `kinds` are the types that the run takes, none where it takes all.
    #[must_use]
    pub fn new(
        changed: Arc<Changed>,
        kinds: Vec<String>,
        limits_memory: bool,
        asks_databases: bool,
    ) -> Self {
        Self {
            picks: !kinds.is_empty() || limits_memory,
            changed,
            flight: Flight::default(),
            streams: Streams::default(),
            torn: Arc::default(),
            asks_databases,
            kinds,
            others: AtomicBool::new(false),
            quiet: Mutex::default(),
            doubts: Mutex::default(),
            too_many_doubts: AtomicBool::new(false),
            home: Mutex::default(),
            moves: AtomicU64::new(0),
            strayed: AtomicBool::new(false),
        }
    }

    /// Events are heard at the server of this `run_id`: values are to be read there. Lanes that read elsewhere move.
    pub fn listens_at(&self, server: Option<String>) {
        let Some(server) = server else { return };
        let before = lock(&self.home).replace(server.clone());
        if before.is_some_and(|before| before != server) {
            self.moves.fetch_add(1, Relaxed);
        }
    }

    /// How often the server changed at which events are heard.
    #[must_use]
    pub fn moves(&self) -> u64 {
        self.moves.load(Relaxed)
    }

    /// A connection for reading came back to the server of this `run_id`.
    pub fn reads_at(&self, server: Option<String>) {
        let home = lock(&self.home);
        if let (Some(server), Some(home)) = (server, &*home)
            && server != *home
        {
            self.strayed.store(true, Relaxed);
        }
    }

    /// Whether values are read at another server than events are heard at; told once.
    #[must_use]
    pub fn take_strayed(&self) -> bool {
        self.strayed.swap(false, Relaxed)
    }

    /// Whether keys of all types are taken.
    #[must_use]
    pub fn wants_all(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Whether keys of this type are taken.
    #[must_use]
    pub fn wants(&self, kind: &[u8]) -> bool {
        self.wants_all() || self.kinds.iter().any(|wanted| wanted.as_bytes() == kind)
    }

    /// Other databases have keys, or had.
    pub fn other_databases(&self) {
        self.others.store(true, Relaxed);
    }

    /// Whether that was seen.
    #[must_use]
    pub fn has_other_databases(&self) -> bool {
        self.others.load(Relaxed)
    }

    /// Since when nothing changes and nothing is to be done; `None` while something is.
    pub fn set_quiet(&self, since: Option<Instant>) {
        *lock(&self.quiet) = since;
    }

    /// What was told of that last.
    #[must_use]
    pub fn quiet_since(&self) -> Option<Instant> {
        *lock(&self.quiet)
    }

    /// The target has a key that the source's database has not, and the event may have been another database's.
    pub fn doubt(&self, name: &Bytes) {
        let mut doubts = lock(&self.doubts);
        if doubts.len() < MOST {
            doubts.insert(Bytes::copy_from_slice(name));
        } else {
            self.too_many_doubts.store(true, Relaxed);
        }
    }

    /// Whether there were more doubtful keys than are remembered.
    #[must_use]
    pub fn has_too_many_doubts(&self) -> bool {
        self.too_many_doubts.load(Relaxed)
    }

    /// The target's names of all such keys.
    #[must_use]
    pub fn take_doubts(&self) -> Vec<Bytes> {
        lock(&self.doubts).drain().collect()
    }

    /// How long the oldest change has waited that the target does not have; zero where none waits.
    #[must_use]
    pub fn lag(&self) -> Duration {
        let oldest = self
            .changed
            .oldest()
            .into_iter()
            .chain(self.flight.oldest());
        oldest.min().map_or(Duration::ZERO, |oldest| {
            self.changed.now().saturating_sub(oldest)
        })
    }

    /// Entries were written: their lag and their cost are counted.
    pub fn written(&self, stats: &stats::Live, entries: &[Entry]) {
        if !entries.iter().any(|entry| entry.key.mark.is_event()) {
            return;
        }
        self.flight
            .ended(entries.iter().map(|entry| entry.key.mark));
        let now = self.changed.now();
        let events = || entries.iter().filter(|entry| entry.key.mark.is_event());
        stats.lag(events().map(|entry| now.saturating_sub(entry.key.mark.at())));
        stats.copied(events().map(|entry| {
            let name: &[u8] = &entry.key.name;
            (name, entry.value_len() as u64)
        }));
    }
}
