//! Keys that wait to be read, sorted by road, and the batches that are cut from them.

use std::collections::VecDeque;

use super::batch::{Batch, Road};
use crate::config::Carriage;
use crate::entry::Key;
use crate::shape::{Guess, Shapes};

/// Most keys and predicted bytes of one batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) keys: usize,
    /// Keys that are asked for one by one: looked at, then read by DUMP.
    pub(crate) singly: usize,
    pub(crate) bytes: usize,
}

impl Limits {
    /// Most keys of a batch of this road.
    fn of(self, road: Road) -> usize {
        match road {
            Road::Texts | Road::Doubts => self.keys,
            Road::Inspect | Road::Weigh | Road::Payloads => self.singly,
        }
    }
}

/// Full batches that go before the keys of a pile that does not fill.
const PATIENCE: u32 = 16;
/// What a key that is tried again is taken for.
const RETRY_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
struct Pile {
    keys: Vec<Key>,
    bytes: usize,
    /// Batches of others that went while these keys waited.
    passed: u32,
}

impl Pile {
    fn take(&mut self, road: Road) -> Batch {
        let bytes = std::mem::take(&mut self.bytes);
        self.passed = 0;
        Batch::new(road, std::mem::take(&mut self.keys), bytes)
    }
}

/// All keys of a lane that are not in flight.
#[derive(Debug)]
pub(crate) struct Waiting {
    limits: Limits,
    ready: VecDeque<Batch>,
    /// Keys of those batches.
    ready_keys: usize,
    /// Keys of shapes that nothing is known of.
    strangers: VecDeque<Key>,
    inspect: Pile,
    weigh: Pile,
    texts: Pile,
    doubts: Pile,
    payloads: Pile,
}

impl Waiting {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ready: VecDeque::new(),
            ready_keys: 0,
            strangers: VecDeque::new(),
            inspect: Pile::default(),
            weigh: Pile::default(),
            texts: Pile::default(),
            doubts: Pile::default(),
            payloads: Pile::default(),
        }
    }

    /// Keys that wait.
    pub(crate) fn len(&self) -> usize {
        self.ready_keys
            + self.strangers.len()
            + self.inspect.keys.len()
            + self.weigh.keys.len()
            + self.texts.keys.len()
            + self.doubts.keys.len()
            + self.payloads.keys.len()
    }

    /// Keys of shapes that nothing is known of.
    pub(crate) fn strangers(&self) -> usize {
        self.strangers.len()
    }

    /// Keys of a full batch.
    pub(crate) fn limit(&self) -> usize {
        self.limits.keys
    }

    /// A key joins its road's pile.
    pub(crate) fn add(&mut self, key: Key, road: Road, bytes: usize) {
        let most = self.limits.of(road);
        let pile = match road {
            Road::Inspect => &mut self.inspect,
            Road::Weigh => &mut self.weigh,
            Road::Texts => &mut self.texts,
            Road::Doubts => &mut self.doubts,
            Road::Payloads => &mut self.payloads,
        };
        if !pile.keys.is_empty()
            && (pile.bytes + bytes > self.limits.bytes || pile.keys.len() >= most)
        {
            self.ready_keys += pile.keys.len();
            self.ready.push_back(pile.take(road));
        }
        if pile.keys.is_empty() {
            pile.keys
                .reserve(most.min(self.limits.bytes / bytes.max(1) + 1));
        }
        pile.keys.push(key);
        pile.bytes += bytes;
    }

    /// A key joins the pile of the road that is guessed for it, or the strangers.
    pub(crate) fn add_guessed(&mut self, key: Key, guess: Guess, carriage: Carriage) {
        if !guess.known {
            return self.strangers.push_back(key);
        }
        let bytes = cost(guess, &key);
        self.add(key, road(guess, carriage), bytes);
    }

    /// The next few strangers; those of which something is known by now join their piles.
    pub(crate) fn next_strangers(&mut self, shapes: &Shapes, carriage: Carriage) -> Option<Batch> {
        let mut batch: Option<Batch> = None;
        for _ in 0..self.strangers.len() {
            let Some(key) = self.strangers.pop_front() else {
                break;
            };
            let guess = shapes.guess(&key);
            if guess.known {
                let bytes = cost(guess, &key);
                self.add(key, road(guess, carriage), bytes);
                continue;
            }
            let batch =
                batch.get_or_insert_with(|| Batch::new(road(guess, carriage), Vec::new(), 0));
            if batch.keys.len() < shapes.strangers_at_once().min(self.limits.keys) {
                batch.bytes += cost(guess, &key);
                batch.keys.push(key);
            } else {
                self.strangers.push_back(key);
            }
        }
        if let Some(batch) = &mut batch {
            batch.strange = true;
        }
        batch
    }

    /// A batch of its own, for a key that was tried before.
    pub(crate) fn retry(&mut self, key: Key, road: Road, failed: u32) {
        let mut batch = Batch::new(road, vec![key], RETRY_BYTES);
        batch.failed = failed;
        self.ready_keys += 1;
        self.ready.push_back(batch);
    }

    /// A batch whose answers did not count.
    pub(crate) fn again(&mut self, batch: Batch) {
        self.ready_keys += batch.keys.len();
        self.ready.push_front(batch);
    }

    /// The next batch: a full one or one that has waited long, or where `partial` is wanted the fullest there is.
    pub(crate) fn next(&mut self, partial: bool) -> Option<Batch> {
        let batch = self.pick(partial)?;
        for (_, pile) in self.piles() {
            pile.passed += u32::from(!pile.keys.is_empty());
        }
        Some(batch)
    }

    fn pick(&mut self, partial: bool) -> Option<Batch> {
        let is_due = |(_, pile): &(Road, &mut Pile)| pile.passed >= PATIENCE;
        if let Some((road, pile)) = self.piles().into_iter().find(is_due) {
            return Some(pile.take(road));
        }
        if let Some(batch) = self.ready.pop_front() {
            self.ready_keys -= batch.keys.len();
            return Some(batch);
        }
        let limits = self.limits;
        let is_full = |road: Road, pile: &Pile| {
            pile.keys.len() >= limits.of(road) || pile.bytes >= limits.bytes
        };
        let mut piles = self.piles();
        if let Some((road, pile)) = piles.iter_mut().find(|(road, pile)| is_full(*road, pile)) {
            return Some(pile.take(*road));
        }
        let (road, pile) = piles.into_iter().max_by_key(|(_, pile)| pile.keys.len())?;
        (partial && !pile.keys.is_empty()).then(|| pile.take(road))
    }

    /// First what was looked at: the source has it in its cache.
    fn piles(&mut self) -> [(Road, &mut Pile); 5] {
        [
            (Road::Payloads, &mut self.payloads),
            (Road::Weigh, &mut self.weigh),
            (Road::Inspect, &mut self.inspect),
            (Road::Doubts, &mut self.doubts),
            (Road::Texts, &mut self.texts),
        ]
    }

    /// Everything, for a lane that has no hope left.
    pub(crate) fn drain(&mut self) -> Vec<Key> {
        let rest = self.piles().map(|(road, pile)| pile.take(road));
        self.ready_keys = 0;
        let batches = self.ready.drain(..).chain(rest);
        let keys = batches.flat_map(Batch::into_unsettled);
        keys.chain(self.strangers.drain(..)).collect()
    }
}

fn cost(guess: Guess, key: &Key) -> usize {
    usize::try_from(guess.bytes)
        .unwrap_or(usize::MAX)
        .saturating_add(key.name.len())
}

fn road(guess: Guess, carriage: Carriage) -> Road {
    match carriage {
        Carriage::Auto if guess.text => Road::Texts,
        // What is no string is not read by the lanes.
        Carriage::Struct => Road::Texts,
        Carriage::Auto | Carriage::Dump => Road::Payloads,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_keys_are_not_passed_for_ever() {
        let mut waiting = Waiting::new(Limits {
            keys: 10,
            singly: 10,
            bytes: 1 << 20,
        });
        let key = || Key::new("k".into(), b"k");
        waiting.add(key(), Road::Inspect, 10);
        let mut batches = 0;
        loop {
            while waiting.texts.keys.len() < 10 {
                waiting.add(key(), Road::Texts, 10);
            }
            batches += 1;
            if waiting.next(false).expect("a batch").road == Road::Inspect {
                break;
            }
        }
        assert!(batches < 20, "{batches}");
    }
}
