//! Which lane of a stage a key takes: always the same, so that what is read of it first is written first.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::Side;
use crate::entry::{Key, lane};
use crate::queue::Sender;
use crate::slots::{SLOTS, slot};
use crate::transform::Rename;

/// Keys that are given to the lanes together.
const PIECE: usize = 500;

/// Where each slot is at home: a number for each node, from 0 without a gap.
#[derive(Debug, Clone)]
pub struct Homes {
    nodes: usize,
    /// Empty where there is one node.
    slots: Arc<[u16]>,
}

impl Homes {
    /// One node has everything.
    #[must_use]
    pub fn single() -> Self {
        Self {
            nodes: 1,
            slots: Arc::default(),
        }
    }

    /// The node of each of the 16,384 slots.
    #[must_use]
    pub fn of(slots: Vec<u16>) -> Self {
        let nodes = slots.iter().max().map_or(1, |last| usize::from(*last) + 1);
        Self {
            nodes,
            slots: if nodes == 1 {
                Arc::default()
            } else {
                slots.into()
            },
        }
    }

    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// The node of a slot.
    #[must_use]
    pub fn of_slot(&self, slot: u16) -> usize {
        self.slots
            .get(usize::from(slot))
            .map_or(0, |node| usize::from(*node))
    }

    fn of_key(&self, name: &[u8]) -> usize {
        if self.slots.is_empty() {
            return 0;
        }
        self.of_slot(slot(name))
    }
}

/// Deals keys to lanes.
#[derive(Debug, Clone)]
pub struct Deal {
    lanes: usize,
    by: By,
}

#[derive(Debug, Clone)]
enum By {
    /// The hash of the name at the target alone.
    Road,
    /// The slot's node, and among that node's lanes the hash.
    Node { homes: Homes, each: usize },
    /// The nodes of the name at the source and at the target.
    Nodes(Arc<Pairs>),
}

#[derive(Debug)]
struct Pairs {
    /// Where the names are from that are dealt.
    side: Side,
    source: Homes,
    target: Homes,
    rename: Arc<Rename>,
    lanes: HashMap<(usize, usize), usize>,
}

impl Deal {
    /// By hash, to so many lanes.
    #[must_use]
    pub fn by_road(lanes: usize) -> Self {
        Self {
            lanes: lanes.max(1),
            by: By::Road,
        }
    }

    /// So many lanes for each node: a key takes one of the lanes of its slot's home.
    #[must_use]
    pub fn by_node(homes: Homes, each: usize) -> Self {
        let each = each.max(1);
        if homes.nodes() == 1 {
            return Self::by_road(each);
        }
        Self {
            lanes: homes.nodes() * each,
            by: By::Node { homes, each },
        }
    }

    /// A lane for each pair of nodes, a source's and a target's, that can have a key in common.
    ///
    /// The pairs come back in the order of their lanes. `side` is where the names are from that will be dealt.
    #[must_use]
    pub fn by_nodes(
        side: Side,
        source: Homes,
        target: Homes,
        rename: Arc<Rename>,
    ) -> (Self, Vec<(usize, usize)>) {
        let mut pairs: Vec<(usize, usize)> = if rename.is_identity() {
            (0..SLOTS)
                .map(|slot| (source.of_slot(slot), target.of_slot(slot)))
                .collect()
        } else {
            (0..source.nodes())
                .flat_map(|from| (0..target.nodes()).map(move |to| (from, to)))
                .collect()
        };
        pairs.sort_unstable();
        pairs.dedup();
        let lanes = pairs
            .iter()
            .enumerate()
            .map(|(lane, pair)| (*pair, lane))
            .collect();
        let deal = Self {
            lanes: pairs.len(),
            by: By::Nodes(Arc::new(Pairs {
                side,
                source,
                target,
                rename,
                lanes,
            })),
        };
        (deal, pairs)
    }

    /// How many lanes there are.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// The lane of a key of this name and road.
    #[must_use]
    #[inline]
    pub fn lane(&self, name: &[u8], road: u64) -> usize {
        match &self.by {
            By::Road => lane(road, self.lanes),
            By::Node { homes, each } => homes.of_key(name) * each + lane(road, *each),
            By::Nodes(pairs) => pairs.lane(name),
        }
    }

    /// The lane of a key.
    #[must_use]
    #[inline]
    pub fn lane_of(&self, key: &Key) -> usize {
        self.lane(&key.name, key.road)
    }

    /// Whether keys of this slot are dealt to this lane.
    #[must_use]
    pub fn gives(&self, slot: u16, lane: usize) -> bool {
        match &self.by {
            By::Node { homes, each } => homes.of_slot(slot) == lane / each,
            By::Road | By::Nodes(_) => true,
        }
    }
}

impl Pairs {
    fn lane(&self, name: &[u8]) -> usize {
        let pair = match self.side {
            Side::Source => {
                let target = self.rename.apply(name, None);
                (self.source.of_key(name), self.target.of_key(&target))
            }
            Side::Target => {
                // A name that cannot be told back is no key of the run: any lane leaves it out.
                let source = self.rename.invert(&Bytes::copy_from_slice(name), None);
                let from = source.map_or(0, |source| self.source.of_key(&source));
                (from, self.target.of_key(name))
            }
        };
        self.lanes.get(&pair).copied().unwrap_or_default()
    }
}

/// The inputs of a stage's lanes, and which key goes into which.
pub struct Inlets<T> {
    /// The lanes' inputs.
    pub lanes: Vec<Sender<T>>,
    /// Which of them a key takes.
    pub deal: Deal,
}

impl<T> Clone for Inlets<T> {
    fn clone(&self) -> Self {
        Self {
            lanes: self.lanes.clone(),
            deal: self.deal.clone(),
        }
    }
}

impl Inlets<Vec<Key>> {
    /// Gives each key to its lane, in their order. `false`: nobody takes keys any more.
    pub async fn send(&self, keys: Vec<Key>) -> bool {
        if keys.is_empty() {
            return true;
        }
        if let [lane] = self.lanes.as_slice() {
            return lane.send(keys).await.is_ok();
        }
        let room = keys.len() / self.lanes.len().max(1) + 32;
        let mut hands: Vec<Vec<Key>> = Vec::new();
        hands.resize_with(self.lanes.len(), || {
            Vec::with_capacity(room.min(keys.len()))
        });
        for key in keys {
            if let Some(hand) = hands.get_mut(self.deal.lane_of(&key)) {
                hand.push(key);
            }
        }
        for (lane, hand) in self.lanes.iter().zip(hands) {
            if !hand.is_empty() && lane.send(hand).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Gives many keys to their lanes, a few to each at a time, as a scan would.
    pub async fn send_all(self, keys: Vec<Key>) {
        let mut keys = keys.into_iter();
        loop {
            let piece: Vec<Key> = keys.by_ref().take(PIECE).collect();
            // A lane that has ended has said why.
            if piece.is_empty() || !self.send(piece).await {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thirds() -> Homes {
        Homes::of((0..SLOTS).map(|slot| slot / 5462).collect())
    }

    #[test]
    fn a_key_takes_a_lane_of_its_node() {
        let deal = Deal::by_node(thirds(), 2);
        assert_eq!(deal.lanes(), 6);
        for number in 0..1000_u32 {
            let name = format!("key:{number}").into_bytes();
            let key = Key::new(name.clone().into(), &name);
            let lane = deal.lane_of(&key);
            assert_eq!(lane / 2, usize::from(slot(&name) / 5462));
            assert!(deal.gives(slot(&name), lane));
        }
    }

    #[test]
    fn pairs_are_those_that_share_slots() {
        let halves = Homes::of((0..SLOTS).map(|slot| slot / 8192).collect());
        let rename = Arc::new(Rename::none());
        let (deal, pairs) = Deal::by_nodes(Side::Source, thirds(), halves, rename);
        assert_eq!(pairs, [(0, 0), (1, 0), (1, 1), (2, 1)]);
        let lane = deal.lane(b"123456789", 0);
        assert_eq!(pairs[lane], (2, 1), "slot 12739");
    }
}
