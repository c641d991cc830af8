//! The set of changed keys: what changes a thousand times while it waits is copied once, and nothing is dropped.
//!
//! Each read lane has a shard of its own, so that a lane that is busy holds no other up. What exceeds the capacity is
//! remembered by its slot and a hash of its name, and found again by a scan.

mod costs;
mod overflow;
mod ring;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hashbrown::HashTable;
use tokio::sync::Notify;

use self::costs::{Costs, UNTIL_WRITTEN};
pub use self::overflow::Overflow;
use self::ring::{Place, Ring};
use crate::deal::Deal;
use crate::entry::{Cause, Key, Mark, source_road};
use crate::transform::Rename;

/// Ranks of `--event-order priority`; a key of unknown type is the last.
pub const RANKS: u8 = 9;
/// The set.
#[derive(Debug)]
pub struct Changed {
    shards: Vec<Shard>,
    deal: Deal,
    costs: Costs,
    held: AtomicUsize,
    capacity: usize,
    ranked: bool,
    overflow: Mutex<Overflow>,
    born: Instant,
}

#[derive(Debug)]
struct Shard {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug)]
struct State {
    /// By rank; a single one where the order is that of the changes.
    rings: Vec<Ring>,
    /// Where the names lie.
    places: HashTable<(u8, Place)>,
    /// Costly keys that changed again and rest.
    resting: HashMap<Bytes, (u64, Mark)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock was held leaves plain data that is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Changed {
    /// An empty set for the read lanes that keys are dealt to, of so many names; `ranked` takes them out by rank. Marks
    /// count from `born`.
    #[must_use]
    pub fn new(deal: Deal, capacity: usize, ranked: bool, born: Instant) -> Self {
        let rings = if ranked { RANKS } else { 1 };
        let shard = || Shard {
            state: Mutex::new(State {
                rings: (0..rings).map(|_| Ring::default()).collect(),
                places: HashTable::new(),
                resting: HashMap::new(),
            }),
            filled: Notify::new(),
        };
        Self {
            shards: (0..deal.lanes()).map(|_| shard()).collect(),
            deal,
            costs: Costs::default(),
            held: AtomicUsize::new(0),
            capacity,
            ranked,
            overflow: Mutex::default(),
            born,
        }
    }

    /// Time since the run began: what marks are made of.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.born.elapsed()
    }

    /// Keys that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A key changed. `false`: there was no room for its name, and its slot was marked.
    pub fn mark(&self, name: &[u8], rename: &Rename, rank: u8, mark: Mark) -> bool {
        let road = source_road(name, rename);
        let Some(shard) = self.shards.get(self.deal.lane(name, road)) else {
            return false;
        };
        let mut state = lock(&shard.state);
        if state.known(name, road, mark) {
            return true;
        }
        if self.held.load(Relaxed) >= self.capacity {
            drop(state);
            let doubtful = mark.cause() == Cause::DoubtfulEvent;
            lock(&self.overflow).add(name, road, doubtful);
            return false;
        }
        self.held.fetch_add(1, Relaxed);
        let rank = if self.ranked { rank.min(RANKS - 1) } else { 0 };
        state.insert(name, road, rank, mark);
        drop(state);
        shard.filled.notify_one();
        true
    }

    /// Takes up to `most` keys of a lane out; those that rest stay, unless there is a `hurry`.
    #[must_use]
    pub fn take(&self, lane: usize, most: usize, hurry: bool) -> Vec<Key> {
        let Some(shard) = self.shards.get(lane) else {
            return Vec::new();
        };
        let mut state = lock(&shard.state);
        let mut found = state.rested(&self.costs, hurry);
        let mut kept = 0;
        while found.len() < most {
            let Some((name, road, mark)) = state.pop() else {
                break;
            };
            let name = Bytes::from(name);
            if !hurry && self.costs.must_rest(road) {
                state.resting.insert(name, (road, mark));
                kept += 1;
                // What rests is no reason to look through all that waits at once.
                if kept >= most {
                    break;
                }
                continue;
            }
            found.push(Key {
                name,
                road,
                mark,
                ..Key::default()
            });
        }
        drop(state);
        self.costs.hold(&found);
        self.held.fetch_sub(found.len(), Relaxed);
        found
    }

    /// When the first key of those that wait changed, since the run began.
    #[must_use]
    pub fn oldest(&self) -> Option<Duration> {
        let shards = self.shards.iter();
        shards.filter_map(|shard| lock(&shard.state).oldest()).min()
    }

    /// Names that the set holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Keys of a lane that wait without resting.
    #[must_use]
    pub fn ready(&self, lane: usize) -> usize {
        self.shards
            .get(lane)
            .map_or(0, |shard| lock(&shard.state).places.len())
    }

    /// Keys of a lane that wait, those that rest among them.
    #[must_use]
    pub fn waiting(&self, lane: usize) -> usize {
        self.shards.get(lane).map_or(0, |shard| {
            let state = lock(&shard.state);
            state.places.len() + state.resting.len()
        })
    }

    /// Waits until a lane has more keys, or a costly one has rested.
    pub async fn filled(&self, lane: usize) {
        let Some(shard) = self.shards.get(lane) else {
            return;
        };
        let filled = shard.filled.notified();
        let due = {
            let state = lock(&shard.state);
            if !state.places.is_empty() {
                return;
            }
            state.next_rested(&self.costs)
        };
        match due {
            None => filled.await,
            Some(due) => tokio::select! {
                () = filled => {}
                () = tokio::time::sleep_until(due.into()) => {}
            },
        }
    }

    /// A key turned out to cost little, or nothing is written for it: it need not rest.
    pub fn was_light(&self, key: &Key) {
        if self.costs.forget(key.road) {
            self.wake();
        }
    }

    /// A key whose copying takes long: it is not taken again before it is written.
    pub fn hold(&self, key: &Key) {
        self.costs.spend(key.road, Duration::ZERO, UNTIL_WRITTEN);
    }

    /// A costly key was read, which took so long: it rests at least until it is written.
    pub fn was_read(&self, key: &Key, took: Duration) {
        self.costs.spend(key.road, took, UNTIL_WRITTEN);
        self.wake();
    }

    /// A costly key was written, which took so long.
    pub fn was_written(&self, key: &Key, took: Duration) {
        self.costs.spend(key.road, took, Duration::ZERO);
        self.wake();
    }

    /// Whoever waits has to look when what rests has rested.
    fn wake(&self) {
        for shard in &self.shards {
            shard.filled.notify_one();
        }
    }

    /// What found no room since the last time, if anything did.
    #[must_use]
    pub fn take_overflow(&self) -> Option<Overflow> {
        let mut overflow = lock(&self.overflow);
        (overflow.keys() > 0).then(|| std::mem::take(&mut *overflow))
    }

    /// Whether something found no room.
    #[must_use]
    pub fn has_overflow(&self) -> bool {
        lock(&self.overflow).keys() > 0
    }
}

impl State {
    /// Whether the key waits already; then it takes the stronger mark.
    fn known(&mut self, name: &[u8], hash: u64, mark: Mark) -> bool {
        if let Some((_, old)) = self.resting.get_mut(name) {
            *old = stronger(*old, mark);
            return true;
        }
        let Self { rings, places, .. } = self;
        let found = places
            .find(hash, |(rank, place)| named(rings, *rank, *place) == name)
            .copied();
        let Some((rank, place)) = found else {
            return false;
        };
        if let Some(ring) = rings.get_mut(usize::from(rank)) {
            ring.mark(place, |old| stronger(old, mark));
        }
        true
    }

    fn insert(&mut self, name: &[u8], hash: u64, rank: u8, mark: Mark) {
        let Self { rings, places, .. } = self;
        let Some(ring) = rings.get_mut(usize::from(rank)) else {
            return;
        };
        // The hash stands beside the name: a table that grows need not make new names of all.
        let place = ring.push(name, hash, mark.bits());
        places.insert_unique(hash, (rank, place), |(rank, place)| {
            rings
                .get(usize::from(*rank))
                .map_or(0, |ring| ring.hash(*place))
        });
    }

    fn pop(&mut self) -> Option<(Vec<u8>, u64, Mark)> {
        let Self { rings, places, .. } = self;
        let rank = rings.iter().position(|ring| ring.front().is_some())?;
        let ring = rings.get_mut(rank)?;
        let place = ring.front()?;
        let hash = ring.hash(place);
        if let Ok(entry) = places.find_entry(hash, |found| {
            *found == (u8::try_from(rank).unwrap_or(u8::MAX), place)
        }) {
            entry.remove();
        }
        let (name, mark) = ring.pop()?;
        Some((name, hash, mark))
    }

    fn oldest(&self) -> Option<Duration> {
        let rings = self.rings.iter();
        let first = rings.filter_map(|ring| ring.marked(ring.front()?));
        let resting = self.resting.values().map(|(_, mark)| *mark);
        first.chain(resting).map(Mark::at).min()
    }

    /// Costly keys that changed and have rested.
    fn rested(&mut self, costs: &Costs, hurry: bool) -> Vec<Key> {
        if self.resting.is_empty() {
            return Vec::new();
        }
        self.resting
            .extract_if(|_, (road, _)| hurry || !costs.must_rest(*road))
            .map(|(name, (road, mark))| Key {
                name,
                road,
                mark,
                ..Key::default()
            })
            .collect()
    }

    fn next_rested(&self, costs: &Costs) -> Option<Instant> {
        let resting = self.resting.values();
        resting
            .filter_map(|(road, _)| costs.rests_until(*road))
            .min()
    }
}

fn named(rings: &[Ring], rank: u8, place: Place) -> &[u8] {
    rings
        .get(usize::from(rank))
        .map_or(&[], |ring| ring.name(place))
}

/// The mark of a key that is marked twice: the first event's time, and the most certain cause.
fn stronger(old: Mark, new: Mark) -> Mark {
    match (old.cause(), new.cause()) {
        (Cause::Turn | Cause::Scan, _) => new,
        (Cause::DoubtfulEvent, Cause::Event) => Mark::new(Cause::Event, old.at()),
        _ => old,
    }
}

#[cfg(test)]
mod tests;
