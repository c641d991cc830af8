//! How far a snapshot is: which pages of which node's scan are done.
//!
//! A page is what one SCAN answered. Its keys carry its number, and each is settled when it has its fate. The cursor that a
//! page ended with is kept once the page and all before it are settled: whoever goes on from there misses none of them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::record::{NodeRecord, Record, set, to_hex};
use crate::entry::Mark;
use crate::slots::SlotSet;

/// Failed keys that are kept by name, and bytes of their names. A page with more of them stays undone.
const MOST_FAILED: usize = 1000;
const MOST_FAILED_BYTES: usize = 1 << 20;

/// Where in a page's number that of its scan lies.
const SCAN: u32 = 40;

/// How far a snapshot is.
#[derive(Debug)]
pub struct Track {
    inner: Mutex<Inner>,
    /// Changes with all that is kept.
    changes: AtomicU64,
}

/// Where the scan of a node begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The scan's number, for [`Track::page`].
    pub scan: u64,
    /// The cursor to begin with.
    pub cursor: Vec<u8>,
    /// Nothing is left to be scanned.
    pub done: bool,
    /// Slots that it will not have seen whole.
    pub rest: SlotSet,
}

impl Default for Start {
    /// From the start, all of it, without a number.
    fn default() -> Self {
        Self {
            scan: 0,
            cursor: b"0".to_vec(),
            done: false,
            rest: SlotSet::default(),
        }
    }
}

#[derive(Debug)]
struct Inner {
    /// What stays as it is.
    record: Record,
    /// The first has pages that are not done; what follows it scans slots again that are among its own `again`.
    passes: VecDeque<Pass>,
    /// All scans of this run, by their numbers.
    scans: Vec<Scan>,
    /// The pass that an earlier run was in, until this one begins it.
    earlier: Option<Pass>,
    /// Keys that failed in an earlier run, until they were tried again.
    retried: Vec<Bytes>,
    failed: Vec<Bytes>,
    failed_bytes: usize,
    /// A failed key was not kept: its page stays undone.
    overflowed: bool,
}

/// A scan of some slots on all nodes.
#[derive(Debug)]
struct Pass {
    slots: SlotSet,
    again: SlotSet,
    /// Nodes as an earlier run left them, until this one takes them up.
    earlier: Vec<NodeRecord>,
    /// The numbers of its scans.
    scans: Vec<usize>,
    /// No more scans will join it.
    over: bool,
    /// The version of the routes that it began with.
    version: u64,
}

#[derive(Debug)]
struct Scan {
    run_id: Option<String>,
    slots: SlotSet,
    cursor: Vec<u8>,
    done: bool,
    keys: u64,
    pages: VecDeque<Page>,
    /// The number of the first of `pages`.
    first: u64,
    /// The server was another one in the middle of it: another scan has taken its place.
    replaced: bool,
}

#[derive(Debug)]
struct Page {
    /// What follows it.
    cursor: Vec<u8>,
    keys: u64,
    /// Keys without a fate.
    left: u64,
}

impl Track {
    /// A track that goes on from a record.
    #[must_use]
    pub fn new(mut record: Record) -> Self {
        let mut again = set(&record.again);
        let nodes = std::mem::take(&mut record.nodes).into_iter();
        let earlier: Vec<NodeRecord> = nodes
            .map(|node| {
                let mut slots = set(&node.slots);
                slots.remove(&again);
                NodeRecord {
                    slots: slots.ranges(),
                    ..node
                }
            })
            .collect();
        let slots = set(&record.slots);
        again.retain(&slots);
        let earlier = Pass {
            again,
            earlier,
            ..Pass::new(slots, 0)
        };
        let retried = record.failed_keys();
        Self {
            inner: Mutex::new(Inner {
                record,
                passes: VecDeque::new(),
                scans: Vec::new(),
                earlier: Some(earlier),
                retried,
                failed: Vec::new(),
                failed_bytes: 0,
                overflowed: false,
            }),
            changes: AtomicU64::new(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held leaves plain data; what is not settled then stays so.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Relaxed);
    }

    /// Changes with all that is kept.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    /// Begins to scan these slots on all nodes; `version` is that of the routes. Those come back that are left to be scanned:
    /// fewer, where an earlier run has scanned some.
    #[must_use]
    pub fn begin(&self, slots: &SlotSet, version: u64) -> SlotSet {
        let mut inner = self.lock();
        let pass = match inner.earlier.take() {
            Some(earlier) => {
                let mut left = earlier.slots.clone();
                left.retain(slots);
                Pass {
                    slots: left,
                    version,
                    ..earlier
                }
            }
            None => Pass::new(slots.clone(), version),
        };
        if let Some(before) = inner.passes.back_mut() {
            // Until its last key has its fate, the pass before is what is kept: with these slots to be scanned again.
            before.again.extend(slots);
            before.over = true;
        }
        let left = pass.slots.clone();
        inner.passes.push_back(pass);
        inner.leave_passes();
        drop(inner);
        self.changed();
        left
    }

    /// The scan of a node begins that has these slots of its own: where an earlier run has left it, or from the start.
    #[must_use]
    pub fn start(&self, run_id: Option<&str>, own: &SlotSet) -> Start {
        let mut inner = self.lock();
        let known = inner.passes.back_mut().and_then(|pass| {
            let same = |node: &NodeRecord| Some(node.run_id.as_str()) == run_id;
            let place = pass.earlier.iter().position(same)?;
            Some(pass.earlier.swap_remove(place))
        });
        let mut scan = Scan::new(run_id, own.clone());
        let mut rest = SlotSet::default();
        if let Some(known) = known {
            let mut kept = set(&known.slots);
            kept.retain(own);
            if !kept.is_empty() {
                rest.extend(own);
                rest.remove(&kept);
                scan.slots = kept;
                scan.cursor = known.cursor.into_bytes();
                scan.done = known.done;
                scan.keys = known.keys;
            }
        }
        let start = Start {
            scan: inner.scans.len() as u64 + 1,
            cursor: scan.cursor.clone(),
            done: scan.done,
            rest,
        };
        inner.add(scan);
        drop(inner);
        self.changed();
        start
    }

    /// The server is another one now: the scan begins again, under the number that comes back. What was dealt of it so far is
    /// dealt again.
    #[must_use]
    pub fn restart(&self, scan: u64, run_id: Option<&str>, own: &SlotSet) -> u64 {
        let mut inner = self.lock();
        if let Some(scan) = inner.scan(scan) {
            scan.replaced = true;
            scan.pages.clear();
        }
        inner.add(Scan::new(run_id, own.clone()));
        let number = inner.scans.len() as u64;
        drop(inner);
        self.changed();
        number
    }

    /// A page of so many keys, after which a scan goes on from `cursor`: the mark of its keys.
    #[must_use]
    pub fn page(&self, scan: u64, cursor: &[u8], keys: u64) -> Mark {
        let mut inner = self.lock();
        let Some(known) = inner.scan(scan).filter(|scan| !scan.replaced) else {
            return Mark::default();
        };
        let page = known.first + known.pages.len() as u64;
        known.pages.push_back(Page {
            cursor: cursor.to_owned(),
            keys,
            left: keys,
        });
        let moved = known.advance();
        inner.leave_passes();
        drop(inner);
        if moved {
            self.changed();
        }
        Mark::of_page(scan << SCAN | page)
    }

    /// Keys with these marks have their fates.
    pub fn settle(&self, marks: impl IntoIterator<Item = Mark>) {
        let mut inner = self.lock();
        let mut moved = false;
        let mut run = (0, 0);
        for mark in marks {
            let page = mark.page();
            if page != run.0 {
                moved |= inner.settle(run);
                run = (page, 0);
            }
            run.1 += 1;
        }
        moved |= inner.settle(run);
        if moved {
            inner.leave_passes();
        }
        drop(inner);
        if moved {
            self.changed();
        }
    }

    /// A key of the source failed for good. It is kept by name; where there is no room, its page stays undone.
    pub fn failed(&self, name: &Bytes, mark: Mark) {
        let mut inner = self.lock();
        let full = inner.failed.len() >= MOST_FAILED
            || inner.failed_bytes + name.len() > MOST_FAILED_BYTES;
        // One that is tried again is of no page: there was room for it before.
        if full && mark.page() != 0 {
            inner.overflowed = true;
            return;
        }
        inner.failed_bytes += name.len();
        // Not a piece of all that was read with it.
        inner.failed.push(Bytes::copy_from_slice(name));
        inner.settle((mark.page(), 1));
        inner.leave_passes();
        drop(inner);
        self.changed();
    }

    /// The keys that failed in an earlier run, to be tried again.
    #[must_use]
    pub fn to_retry(&self) -> Vec<Bytes> {
        self.lock().retried.clone()
    }

    /// They have their fates: those that failed again were told as such.
    pub fn has_retried(&self) {
        self.lock().retried.clear();
        self.changed();
    }

    /// Keys that failed and are kept.
    #[must_use]
    pub fn failures(&self) -> usize {
        let inner = self.lock();
        inner.retried.len() + inner.failed.len()
    }

    /// Keys done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.record(&SlotSet::default(), 0).done()
    }

    /// Whether an earlier run has given every key its fate.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.lock().record.copied
    }

    /// The scans have come to their ends and the lanes are done. `false`: pages are left without all their fates.
    pub fn end(&self) -> bool {
        let mut inner = self.lock();
        if let Some(pass) = inner.passes.back_mut() {
            pass.over = true;
        }
        inner.leave_passes();
        let ended = inner.passes.is_empty() && inner.earlier.is_none();
        inner.record.copied |= ended;
        drop(inner);
        self.changed();
        ended
    }

    /// Whether more keys failed than are kept by name.
    #[must_use]
    pub fn has_overflowed(&self) -> bool {
        self.lock().overflowed
    }

    /// The version of the routes with which the pass began that is kept.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.lock().passes.front().map(|pass| pass.version)
    }

    /// What is to be kept. `moved`: slots that have moved since [`Track::version`]; `written`: keys that this run has written.
    #[must_use]
    pub fn record(&self, moved: &SlotSet, written: u64) -> Record {
        let inner = self.lock();
        let mut record = inner.record.clone();
        record.written += written;
        let failed: BTreeSet<&Bytes> = inner.retried.iter().chain(&inner.failed).collect();
        record.failed = failed.into_iter().map(|name| to_hex(name)).collect();
        let Some(pass) = inner.passes.front().or(inner.earlier.as_ref()) else {
            record.slots = Vec::new();
            record.again = Vec::new();
            return record;
        };
        let mut again = pass.again.clone();
        again.extend(moved);
        again.retain(&pass.slots);
        record.slots = pass.slots.ranges();
        record.again = again.ranges();
        record.nodes.clone_from(&pass.earlier);
        let scans = pass.scans.iter().filter_map(|scan| inner.scans.get(*scan));
        record.nodes.extend(scans.filter_map(Scan::record));
        record
    }
}

impl Inner {
    fn scan(&mut self, number: u64) -> Option<&mut Scan> {
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        self.scans.get_mut(place)
    }

    fn add(&mut self, scan: Scan) {
        if let Some(pass) = self.passes.back_mut() {
            pass.scans.push(self.scans.len());
        }
        self.scans.push(scan);
    }

    /// So many keys of a page have their fates. `true`: a cursor has moved.
    fn settle(&mut self, (page, keys): (u64, u64)) -> bool {
        let (scan, page) = (page >> SCAN, page & ((1 << SCAN) - 1));
        let Some(scan) = self.scan(scan) else {
            return false;
        };
        let place = page.checked_sub(scan.first);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let Some(page) = place.and_then(|place| scan.pages.get_mut(place)) else {
            // The page of a scan that another has replaced.
            debug_assert!(scan.replaced, "a key had two fates");
            return false;
        };
        debug_assert!(page.left >= keys, "a key had two fates");
        page.left = page.left.saturating_sub(keys);
        scan.advance()
    }

    /// Leaves passes behind of which nothing is to be done any more.
    fn leave_passes(&mut self) {
        while let Some(pass) = self.passes.front() {
            let scans = || pass.scans.iter().filter_map(|scan| self.scans.get(*scan));
            // What a scan that ended early has not seen is among the slots of the pass after it.
            if !pass.over || !scans().all(|scan| scan.pages.is_empty()) {
                return;
            }
            self.record.keys += scans()
                .filter(|scan| !scan.replaced)
                .map(|scan| scan.keys)
                .sum::<u64>();
            self.passes.pop_front();
        }
    }
}

impl Pass {
    fn new(slots: SlotSet, version: u64) -> Self {
        Self {
            slots,
            again: SlotSet::default(),
            earlier: Vec::new(),
            scans: Vec::new(),
            over: false,
            version,
        }
    }
}

impl Scan {
    fn new(run_id: Option<&str>, slots: SlotSet) -> Self {
        Self {
            run_id: run_id.map(str::to_owned),
            slots,
            cursor: b"0".to_vec(),
            done: false,
            keys: 0,
            pages: VecDeque::new(),
            first: 0,
            replaced: false,
        }
    }

    /// Takes the cursor past all pages at the front that are settled. `true`: there were some.
    fn advance(&mut self) -> bool {
        let mut moved = false;
        while self.pages.front().is_some_and(|page| page.left == 0) {
            let Some(page) = self.pages.pop_front() else {
                break;
            };
            self.first += 1;
            self.keys += page.keys;
            self.done = page.cursor == b"0";
            self.cursor = page.cursor;
            moved = true;
        }
        moved
    }

    /// How far it is; `None` where it cannot be known again.
    fn record(&self) -> Option<NodeRecord> {
        let run_id = self.run_id.clone().filter(|_| !self.replaced)?;
        Some(NodeRecord {
            run_id,
            slots: self.slots.ranges(),
            cursor: String::from_utf8_lossy(&self.cursor).into_owned(),
            done: self.done,
            keys: self.keys,
        })
    }
}
