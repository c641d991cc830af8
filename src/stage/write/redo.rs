//! Entries that must be written again once nothing is in flight: in their order, without those that were overtaken.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::entry::Entry;
use crate::nodes::Node;
use crate::queue::Lease;
use crate::retry::Backoff;

/// Entries in flight at once when nothing speaks against it.
const MOST: usize = 4096;
/// Entries in flight at first, after errors that left the connection whole.
const USUAL: usize = 512;
/// Bytes in flight at once.
const BYTES: usize = 1024 * 1024;

/// One entry to be done again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) entry: Entry,
    pub(super) lease: Lease,
    /// Tries that failed for a reason that may pass.
    pub(super) failed: u32,
    pub(super) why: String,
    /// Where it must be written, and how.
    pub(super) way: Way,
}

/// Where an entry is done again.
#[derive(Debug, Clone, Default)]
pub(super) enum Way {
    /// At the node that has its slot, at once.
    #[default]
    Straight,
    /// There, after a while: its cluster cannot take it for now.
    Later,
    /// At another node, to which it is on its way.
    Asking(Arc<Node>),
    /// By the commands of its type.
    ByType,
}

impl Again {
    /// An entry to be done again where its slot is.
    pub(super) fn new(entry: Entry, lease: Lease, failed: u32, why: String) -> Self {
        Self {
            entry,
            lease,
            failed,
            why,
            way: Way::Straight,
        }
    }
}

/// What waits to be written again.
#[derive(Debug)]
pub(super) struct Redo {
    entries: VecDeque<Again>,
    /// Keys that were written after the first failure.
    overtaken: HashSet<Bytes>,
    sorted: bool,
    chunk: usize,
    /// Failed tries of the entries that were waited for last.
    level: u32,
    backoff: Backoff,
}

impl Default for Redo {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            overtaken: HashSet::new(),
            sorted: true,
            chunk: USUAL,
            level: 0,
            backoff: Backoff::default(),
        }
    }
}

impl Redo {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// An entry must be done again. Entries of one key come in their order.
    pub(super) fn push(&mut self, again: Again) {
        // What was written of this key before is older than this entry.
        self.overtaken.remove(&again.entry.key.name);
        self.entries.push_back(again);
        self.sorted = false;
    }

    /// An entry was written: an older one of its key need not be any more.
    pub(super) fn written(&mut self, entry: &Entry) {
        if !self.entries.is_empty() {
            self.overtaken.insert(entry.key.name.clone());
        }
    }

    /// Leaves out what a newer entry of the same key stands for.
    pub(super) fn sort(&mut self) -> Vec<Entry> {
        if std::mem::replace(&mut self.sorted, true) {
            return Vec::new();
        }
        let overtaken = std::mem::take(&mut self.overtaken);
        let mut last: HashMap<Bytes, usize> = HashMap::new();
        for (place, again) in self.entries.iter().enumerate() {
            last.insert(again.entry.key.name.clone(), place);
        }
        let (stay, go): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.entries)
            .into_iter()
            .enumerate()
            .partition(|(place, again)| {
                let name = &again.entry.key.name;
                !overtaken.contains(name) && last.get(name) == Some(place)
            });
        self.entries = stay.into_iter().map(|(_, again)| again).collect();
        go.into_iter().map(|(_, again)| again.entry).collect()
    }

    /// How long to wait before the next chunk, and why: once for all entries that have failed so often.
    pub(super) fn pause(&mut self) -> Option<(Duration, String)> {
        let first = self.entries.front()?;
        let later = matches!(first.way, Way::Later);
        if first.failed <= self.level && !later {
            return None;
        }
        let why = first.why.clone();
        self.level = self.level.max(first.failed);
        for again in &mut self.entries {
            if matches!(again.way, Way::Later) {
                again.way = Way::Straight;
            }
        }
        Some((self.backoff.pause(), why))
    }

    /// The next entries to send, each with a command of its own.
    pub(super) fn next(&mut self) -> Vec<Again> {
        let mut chunk: Vec<Again> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.entries.front() {
            bytes += next.entry.cost();
            let fits = chunk
                .first()
                .is_none_or(|first| next.failed == first.failed && bytes < BYTES);
            if !fits || chunk.len() >= self.chunk {
                break;
            }
            chunk.extend(self.entries.pop_front());
        }
        chunk
    }

    /// A chunk was answered on a whole connection.
    pub(super) fn answered(&mut self) {
        self.chunk = (self.chunk * 2).min(MOST);
        if self.entries.is_empty() {
            self.level = 0;
        }
    }

    /// Something was written at the first try: what failed before has passed.
    pub(super) fn calm(&mut self) {
        self.backoff = Backoff::default();
    }

    /// The connection went: the next one is tried with a single entry, so that even one that never lasts moves on.
    pub(super) fn lost(&mut self) {
        self.chunk = 1;
    }

    /// Everything, for a lane that has no hope left.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        self.entries.drain(..).map(|again| again.entry).collect()
    }
}
