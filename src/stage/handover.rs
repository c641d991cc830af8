//! Keys that a write lane has handed over to be copied by the commands of their types.
//!
//! While a key is handed over, the lane writes nothing of it: what still comes is attached, and says that the key must be
//! looked at again. So an older value never overwrites a newer one.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::entry::{Entry, Value};

/// Keys that may be handed over at once; a lane with more waits.
const MOST: usize = 4096;

/// A key that is copied by the commands of its type.
#[derive(Debug)]
pub(super) struct Job {
    /// The key as the lane has it.
    pub entry: Entry,
    /// Tries that failed for a reason that may pass.
    pub failed: u32,
    /// How often it has changed while it was read.
    pub changed: u32,
    /// A replica does not have it: its master is asked.
    pub at_master: bool,
    /// Since when its cluster cannot take it, or give it.
    pub down: Option<Instant>,
}

impl Job {
    fn new(entry: Entry) -> Self {
        Self {
            entry,
            failed: 0,
            changed: 0,
            at_master: false,
            down: None,
        }
    }
}

/// How large the keys are that a carrier takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Those that one answer holds.
    Small,
    /// Those that are copied in chunks.
    Large,
}

#[derive(Debug, Default)]
struct State {
    small: VecDeque<Job>,
    large: VecDeque<Job>,
    /// What came later of each key, by its name at the target.
    held: HashMap<Bytes, Vec<Entry>>,
    /// Keys of which something is in flight.
    reserved: Vec<Entry>,
    returned: Vec<Entry>,
    closed: bool,
}

/// Where a write lane and its carriers meet.
#[derive(Debug, Default)]
pub struct Handover {
    state: Mutex<State>,
    /// Keys that are held: mostly none, and then nobody waits for the lock.
    held: AtomicUsize,
    given: [Notify; 2],
    moved: Notify,
}

impl Handover {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves plain data that is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bell(&self, load: Load) -> &Notify {
        let [small, large] = &self.given;
        match load {
            Load::Small => small,
            Load::Large => large,
        }
    }

    /// A key is to be copied; nothing of it is in flight.
    pub(super) fn give(&self, entry: Entry) {
        let mut state = self.lock();
        state.held.insert(entry.key.name.clone(), Vec::new());
        self.held.store(state.held.len(), Relaxed);
        state.small.push_back(Job::new(entry));
        drop(state);
        self.bell(Load::Small).notify_one();
    }

    /// A key is to be copied when all that is in flight is answered.
    pub(super) fn reserve(&self, entry: Entry) {
        let mut state = self.lock();
        state.held.insert(entry.key.name.clone(), Vec::new());
        self.held.store(state.held.len(), Relaxed);
        state.reserved.push(entry);
    }

    /// Whether keys wait for what is in flight.
    pub(super) fn has_reserved(&self) -> bool {
        self.holds_any() && !self.lock().reserved.is_empty()
    }

    /// Nothing is in flight: these keys are to be copied.
    pub(super) fn give_reserved(&self) -> Vec<Entry> {
        if !self.has_reserved() {
            return Vec::new();
        }
        let mut state = self.lock();
        let given = std::mem::take(&mut state.reserved);
        state.small.extend(given.iter().cloned().map(Job::new));
        drop(state);
        self.bell(Load::Small).notify_one();
        given
    }

    /// Whether any key is handed over.
    pub(super) fn holds_any(&self) -> bool {
        self.held.load(Relaxed) > 0
    }

    /// What comes of a key while it is handed over waits with it; all else comes back.
    pub(super) fn attach(&self, entry: Entry) -> Option<Entry> {
        let mut state = self.lock();
        match state.held.get_mut(&entry.key.name) {
            Some(later) => {
                later.push(entry);
                None
            }
            None => Some(entry),
        }
    }

    /// Whether more keys may be handed over.
    pub(super) fn has_room(&self) -> bool {
        self.held.load(Relaxed) < MOST
    }

    /// Whether nothing is handed over, and nothing has come back.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.held.is_empty() && state.returned.is_empty()
    }

    /// What the lane is to write or to hand over again, and what newer entries of the same keys stand for.
    pub(super) fn take_returned(&self) -> (Vec<Entry>, Vec<Entry>) {
        if !self.holds_any() {
            return Default::default();
        }
        let mut state = self.lock();
        let mut returned = std::mem::take(&mut state.returned);
        let mut overtaken = Vec::new();
        // From here on the lane itself keeps their order.
        for place in 0..returned.len() {
            let Some(name) = returned.get(place).map(|entry| entry.key.name.clone()) else {
                break;
            };
            let mut later = state.held.remove(&name).unwrap_or_default();
            if let Some(last) = later.pop() {
                returned.push(again(last));
            }
            overtaken.append(&mut later);
        }
        self.held.store(state.held.len(), Relaxed);
        (returned, overtaken)
    }

    /// Waits until a key's fate is known. Cancel safe.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// The lane is done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        for bell in &self.given {
            bell.notify_one();
        }
    }

    /// The next keys, up to `most`. None: the lane is done.
    pub(super) async fn take(&self, load: Load, most: usize) -> Vec<Job> {
        loop {
            let given = self.bell(load).notified();
            let jobs = self.try_take(load, most);
            if !jobs.is_empty() || self.lock().closed {
                return jobs;
            }
            given.await;
        }
    }

    /// The keys that wait now, up to `most`.
    pub(super) fn try_take(&self, load: Load, most: usize) -> Vec<Job> {
        let mut state = self.lock();
        let jobs = match load {
            Load::Small => &mut state.small,
            Load::Large => &mut state.large,
        };
        let most = most.min(jobs.len());
        jobs.drain(..most).collect()
    }

    /// A key waits to be copied, for the first time or again.
    pub(super) fn put(&self, load: Load, job: Job) {
        let mut state = self.lock();
        match load {
            Load::Small => state.small.push_back(job),
            Load::Large => state.large.push_back(job),
        }
        drop(state);
        self.bell(load).notify_one();
    }

    /// A key's fate is known, or `returned` is: the lane is to write that. What came of the key meanwhile says that it must be
    /// looked at again; all of it but the last is overtaken, and comes back.
    pub(super) fn settle(&self, name: &Bytes, returned: Option<Entry>) -> Vec<Entry> {
        let mut state = self.lock();
        let mut later = state
            .held
            .get_mut(name)
            .map(std::mem::take)
            .unwrap_or_default();
        let last = later.pop().map(again);
        if returned.is_none() && last.is_none() {
            state.held.remove(name);
        }
        // What is returned is held until the lane takes it: what comes meanwhile is newer.
        state.returned.extend(returned);
        state.returned.extend(last);
        self.held.store(state.held.len(), Relaxed);
        drop(state);
        self.moved.notify_one();
        later
    }
}

/// The key of an entry, to be looked at again.
fn again(entry: Entry) -> Entry {
    Entry {
        value: Value::ByType(0),
        expiry: None,
        ..entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Key;

    fn entry(name: &'static str, value: Value) -> Entry {
        Entry {
            key: Key::new(name.into(), name.as_bytes()),
            origin: None,
            value,
            expiry: None,
        }
    }

    #[tokio::test]
    async fn what_comes_meanwhile_makes_a_key_be_looked_at_again() {
        let handover = Handover::default();
        handover.give(entry("a", Value::ByType(0)));
        assert_eq!(
            handover.attach(entry("b", Value::Gone)).unwrap().value,
            Value::Gone
        );
        assert!(
            handover
                .attach(entry("a", Value::Text("1".into())))
                .is_none()
        );
        assert!(handover.attach(entry("a", Value::Gone)).is_none());
        let jobs = handover.take(Load::Small, 10).await;
        assert_eq!(jobs.len(), 1);
        let overtaken = handover.settle(&"a".into(), None);
        assert_eq!(overtaken, [entry("a", Value::Text("1".into()))]);
        assert!(!handover.is_idle());
        let newer = || entry("a", Value::Text("2".into()));
        assert!(
            handover.attach(newer()).is_none(),
            "it is held until it is taken"
        );
        assert!(handover.attach(newer()).is_none());
        let (returned, overtaken) = handover.take_returned();
        let again = || entry("a", Value::ByType(0));
        assert_eq!(returned, [again(), again()]);
        assert_eq!(overtaken, [newer()]);
        assert!(handover.is_idle());
        handover.close();
        assert!(handover.take(Load::Large, 1).await.is_empty());
    }
}
