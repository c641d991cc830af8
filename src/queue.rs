//! What bounds the memory of a run: queues counted in keys, and one budget of bytes for all values.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How much of a queue's room an item takes.
pub trait Weight {
    /// Keys in the item.
    fn keys(&self) -> usize;
    /// Bytes of values in the item.
    fn bytes(&self) -> usize;
}

impl<T> Weight for Vec<T> {
    fn keys(&self) -> usize {
        self.len()
    }

    fn bytes(&self) -> usize {
        0
    }
}

struct State<T> {
    items: VecDeque<T>,
    keys: usize,
    bytes: usize,
    senders: usize,
    receiver: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    most_keys: usize,
    most_bytes: usize,
    filled: Notify,
    drained: Notify,
}

impl<T> Shared<T> {
    fn has_room(&self, state: &State<T>) -> bool {
        state.keys < self.most_keys && state.bytes < self.most_bytes
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A panic while the lock was held leaves plain data that is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that items are put in at.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The end that items are taken out at.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

/// What a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Keys.
    pub keys: usize,
    /// Bytes of values.
    pub bytes: usize,
}

trait Holds: Send + Sync {
    fn depth(&self) -> Depth;
}

impl<T: Send> Holds for Shared<T> {
    fn depth(&self) -> Depth {
        let state = self.lock();
        Depth {
            keys: state.keys,
            bytes: state.bytes,
        }
    }
}

/// The queues of a run, by what they are for: looked at from outside, and not kept by that.
#[derive(Debug, Default)]
pub struct Queues(Mutex<Vec<(&'static str, Weak<dyn Holds>)>>);

impl Queues {
    fn lock(&self) -> MutexGuard<'_, Vec<(&'static str, Weak<dyn Holds>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more queue.
    pub fn add<T: Send + 'static>(&self, purpose: &'static str, queue: &Sender<T>) {
        let shared: Arc<dyn Holds> = queue.shared.clone();
        let mut queues = self.lock();
        queues.retain(|(_, queue)| queue.strong_count() > 0);
        queues.push((purpose, Arc::downgrade(&shared)));
    }

    /// What all queues for this hold together.
    #[must_use]
    pub fn depth(&self, purpose: &str) -> Depth {
        let mut all = Depth::default();
        let queues = self.lock();
        let queues = queues.iter().filter(|(known, _)| *known == purpose);
        for queue in queues.filter_map(|(_, queue)| queue.upgrade()) {
            let Depth { keys, bytes } = queue.depth();
            all.keys += keys;
            all.bytes += bytes;
        }
        all
    }
}

/// The other end is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue's receiver is gone")]
pub struct Closed;

/// A queue that takes items while it holds less than `most_keys` keys and less than `most_bytes` bytes.
#[must_use]
pub fn queue<T: Weight>(most_keys: usize, most_bytes: usize) -> (Sender<T>, Receiver<T>) {
    let state = State {
        items: VecDeque::new(),
        keys: 0,
        bytes: 0,
        senders: 1,
        receiver: true,
    };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        most_keys,
        most_bytes,
        filled: Notify::new(),
        drained: Notify::new(),
    });
    (
        Sender {
            shared: shared.clone(),
        },
        Receiver { shared },
    )
}

impl<T: Weight> Sender<T> {
    /// Puts an item in, once there is room.
    pub async fn send(&self, item: T) -> Result<(), Closed> {
        loop {
            let drained = self.shared.drained.notified();
            {
                let mut state = self.shared.lock();
                if !state.receiver {
                    return Err(Closed);
                }
                if self.shared.has_room(&state) {
                    state.keys += item.keys();
                    state.bytes += item.bytes();
                    state.items.push_back(item);
                    self.shared.filled.notify_one();
                    if self.shared.has_room(&state) {
                        // Another sender may be waiting for the room that is left.
                        self.shared.drained.notify_one();
                    }
                    return Ok(());
                }
            }
            drained.await;
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.lock().senders -= 1;
        self.shared.filled.notify_one();
    }
}

impl<T: Weight> Receiver<T> {
    /// The next item, or `None` when no sender is left and all is taken. Cancel safe.
    pub async fn receive(&mut self) -> Option<T> {
        loop {
            let filled = self.shared.filled.notified();
            {
                let mut state = self.shared.lock();
                if let Some(item) = take(&mut state) {
                    self.shared.drained.notify_one();
                    return Some(item);
                }
                if state.senders == 0 {
                    return None;
                }
            }
            filled.await;
        }
    }

    /// The next item, if there is one now.
    pub fn try_receive(&mut self) -> Option<T> {
        let item = take(&mut self.shared.lock())?;
        self.shared.drained.notify_one();
        Some(item)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.lock().receiver = false;
        self.shared.drained.notify_waiters();
        self.shared.drained.notify_one();
    }
}

fn take<T: Weight>(state: &mut State<T>) -> Option<T> {
    let item = state.items.pop_front()?;
    state.keys -= item.keys();
    state.bytes -= item.bytes();
    Some(item)
}

/// Bytes to one permit: a semaphore counts to 2³², a budget may be larger.
const UNIT: usize = 64;

/// The bytes of values that may be held at once.
#[derive(Debug, Clone)]
pub struct Budget {
    semaphore: Arc<Semaphore>,
    units: u32,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug, Default)]
pub struct Lease {
    permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let units = u32::try_from((bytes / UNIT as u64).max(1)).unwrap_or(u32::MAX);
        let permits = usize::try_from(units)
            .unwrap_or(usize::MAX)
            .min(Semaphore::MAX_PERMITS);
        Self {
            semaphore: Arc::new(Semaphore::new(permits)),
            units,
        }
    }

    /// Waits until so many bytes are free, first come first served; more than the whole budget passes alone.
    pub async fn lease(&self, bytes: usize) -> Lease {
        let units = u32::try_from(bytes.div_ceil(UNIT))
            .unwrap_or(u32::MAX)
            .min(self.units);
        // The semaphore is never closed.
        Lease {
            permit: self.semaphore.clone().acquire_many_owned(units).await.ok(),
        }
    }

    /// Bytes of the whole budget.
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::from(self.units) * UNIT as u64
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn held(&self) -> u64 {
        let free = u64::try_from(self.semaphore.available_permits()).unwrap_or_default();
        u64::from(self.units).saturating_sub(free) * UNIT as u64
    }
}

impl Lease {
    /// Takes another lease's part over.
    pub fn merge(&mut self, other: Self) {
        match (&mut self.permit, other.permit) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (mine @ None, theirs) => *mine = theirs,
            (Some(_), None) => {}
        }
    }

    /// Splits `bytes` off, as many as there are.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        let Some(permit) = &mut self.permit else {
            return Self::default();
        };
        let units = bytes.div_ceil(UNIT).min(permit.num_permits());
        Self {
            permit: permit.split(units),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_holds_its_sender_up() {
        let (sender, mut receiver) = queue::<Vec<u8>>(4, usize::MAX);
        sender.send(vec![0; 3]).await.unwrap();
        sender.send(vec![0; 3]).await.unwrap();
        assert!(
            timeout(SOON, sender.send(vec![0])).await.is_err(),
            "six keys are more than four"
        );
        assert_eq!(receiver.receive().await.unwrap().len(), 3);
        timeout(SOON, sender.send(vec![0]))
            .await
            .expect("room")
            .unwrap();
    }

    #[tokio::test]
    async fn queues_are_looked_at_from_outside() {
        let queues = Queues::default();
        let (one, mut receiver) = queue::<Vec<u8>>(4, usize::MAX);
        let (other, _open) = queue::<Vec<u8>>(4, usize::MAX);
        queues.add("read", &one);
        queues.add("read", &other);
        one.send(vec![0; 3]).await.unwrap();
        other.send(vec![0; 2]).await.unwrap();
        assert_eq!(queues.depth("read"), Depth { keys: 5, bytes: 0 });
        assert_eq!(queues.depth("write"), Depth::default());
        receiver.receive().await.unwrap();
        drop((one, receiver));
        assert_eq!(queues.depth("read").keys, 2);
    }

    #[tokio::test]
    async fn a_queue_ends_after_its_last_item() {
        let (sender, mut receiver) = queue::<Vec<u8>>(4, usize::MAX);
        sender.clone().send(vec![1]).await.unwrap();
        drop(sender);
        assert_eq!(receiver.receive().await, Some(vec![1]));
        assert_eq!(receiver.receive().await, None);
    }

    #[tokio::test]
    async fn a_sender_learns_that_nobody_receives() {
        let (sender, receiver) = queue::<Vec<u8>>(1, usize::MAX);
        sender.send(vec![1]).await.unwrap();
        let waiting = sender.send(vec![2]);
        drop(receiver);
        assert_eq!(waiting.await, Err(Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_lets_a_value_over_it_pass_alone() {
        let budget = Budget::new(64 * 1024);
        let small = budget.lease(1024).await;
        assert!(timeout(SOON, budget.lease(1024 * 1024)).await.is_err());
        drop(small);
        let large = timeout(SOON, budget.lease(1024 * 1024))
            .await
            .expect("alone");
        assert!(timeout(SOON, budget.lease(1)).await.is_err());
        drop(large);
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn leases_split_and_merge_without_losing_bytes() {
        let budget = Budget::new(64 * 1024);
        let mut first = budget.lease(6400).await;
        let second = first.split(640);
        assert_eq!(budget.held(), 6400);
        drop(first);
        assert_eq!(budget.held(), 640);
        let mut third = budget.lease(64).await;
        third.merge(second);
        assert_eq!(budget.held(), 704);
        drop(third);
        assert_eq!(budget.held(), 0);
    }
}
