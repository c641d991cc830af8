//! Which node has which slot, as it was known at one moment.

use std::collections::HashSet;
use std::sync::Arc;

use super::view::View;
use super::{Node, Place};
use crate::config::ReadFrom;
use crate::deal::Homes;
use crate::slots::{SLOTS, SlotSet};

/// A moment's knowledge of a cluster; of a single server, that it has everything.
#[derive(Debug, Clone)]
pub struct Routes {
    version: u64,
    /// All nodes that were ever known, by their numbers.
    nodes: Vec<Arc<Node>>,
    /// By slot; empty where there is one server.
    slots: Vec<Slot>,
    /// Masters without slots.
    idle: Vec<Arc<Node>>,
}

/// What is known of a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Slot {
    master: u16,
    /// The node of its shard that is read.
    reader: u16,
    /// The version in which one of the two changed last.
    since: u64,
    /// The version in which a master took over from the one before that had not given it the slot.
    failed_over: u64,
    /// Its master in the last view, which a redirection may have overtaken.
    viewed: Option<u16>,
    /// Somebody has it.
    served: bool,
}

impl Routes {
    /// One server has everything.
    pub(super) fn single(node: Arc<Node>) -> Self {
        Self {
            version: 0,
            nodes: vec![node],
            slots: Vec::new(),
            idle: Vec::new(),
        }
    }

    /// Nothing is known yet.
    pub(super) fn unknown() -> Self {
        Self {
            version: 0,
            nodes: Vec::new(),
            slots: vec![Slot::default(); usize::from(SLOTS)],
            idle: Vec::new(),
        }
    }

    /// Changes with each change of what is known.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    fn node(&self, number: u16) -> Option<&Arc<Node>> {
        self.nodes.get(usize::from(number))
    }

    fn slot(&self, slot: u16) -> Slot {
        self.slots
            .get(usize::from(slot))
            .copied()
            .unwrap_or_default()
    }

    /// The node that is written to for a slot.
    #[must_use]
    pub fn master(&self, slot: u16) -> Option<&Arc<Node>> {
        self.node(self.slot(slot).master)
    }

    /// The node that is read for a slot.
    #[must_use]
    pub fn reader(&self, slot: u16) -> Option<&Arc<Node>> {
        self.node(self.slot(slot).reader)
    }

    /// Whether a slot is read at another node than it is written to.
    #[must_use]
    pub fn reads_replica(&self, slot: u16) -> bool {
        let slot = self.slot(slot);
        slot.reader != slot.master
    }

    /// Every node that has slots, as a master.
    #[must_use]
    pub fn masters(&self) -> Vec<Arc<Node>> {
        self.distinct(|slot| slot.master)
    }

    /// Masters that have no slots, and may be on their way to some.
    #[must_use]
    pub fn idle(&self) -> &[Arc<Node>] {
        &self.idle
    }

    /// Every node that is read.
    #[must_use]
    pub fn readers(&self) -> Vec<Arc<Node>> {
        self.distinct(|slot| slot.reader)
    }

    /// Nodes that lanes may speak to: also those whose slots nobody serves for now.
    pub(super) fn in_use(&self) -> HashSet<usize> {
        let known = self.slots.iter().filter(|slot| slot.since > 0);
        known
            .flat_map(|slot| [usize::from(slot.master), usize::from(slot.reader)])
            .collect()
    }

    fn distinct(&self, of: impl Fn(&Slot) -> u16) -> Vec<Arc<Node>> {
        if self.slots.is_empty() {
            return self.nodes.clone();
        }
        let mut found: Vec<u16> = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.served) {
            let number = of(slot);
            if !found.contains(&number) {
                found.push(number);
            }
        }
        found
            .into_iter()
            .filter_map(|number| self.node(number).cloned())
            .collect()
    }

    /// Slots that a node is read for.
    #[must_use]
    pub fn read_at(&self, node: &Node) -> SlotSet {
        self.of_node(node, |slot| slot.reader)
    }

    /// Slots that the node of this number is read for.
    #[must_use]
    pub fn read_at_number(&self, number: usize) -> SlotSet {
        self.nodes
            .get(number)
            .map_or_else(SlotSet::default, |node| self.read_at(node))
    }

    /// Slots that a node has as their master.
    #[must_use]
    pub fn written_at(&self, node: &Node) -> SlotSet {
        self.of_node(node, |slot| slot.master)
    }

    fn of_node(&self, node: &Node, of: impl Fn(Slot) -> u16) -> SlotSet {
        if self.slots.is_empty() {
            return SlotSet::all();
        }
        let number = node.number();
        (0..SLOTS)
            .filter(|slot| {
                let slot = self.slot(*slot);
                slot.served && usize::from(of(slot)) == number
            })
            .collect()
    }

    /// Slots that nobody has.
    #[must_use]
    pub fn unserved(&self) -> SlotSet {
        let served = |slot: &u16| {
            self.slots
                .get(usize::from(*slot))
                .is_none_or(|slot| slot.served)
        };
        (0..SLOTS).filter(|slot| !served(slot)).collect()
    }

    /// Slots that are read at another node than in `version`.
    #[must_use]
    pub fn changed_since(&self, version: u64) -> SlotSet {
        let changed = |slot: &u16| self.slot(*slot).since > version;
        (0..SLOTS).filter(changed).collect()
    }

    /// Slots whose master since `version` is one that took over from another, which may have confirmed more than it has.
    #[must_use]
    pub fn failed_over_since(&self, version: u64) -> SlotSet {
        let failed = |slot: &u16| self.slot(*slot).failed_over > version;
        (0..SLOTS).filter(failed).collect()
    }

    /// Where the slots are at home, by the nodes that are read.
    #[must_use]
    pub fn read_homes(&self) -> (Homes, Vec<Arc<Node>>) {
        self.homes(|slot| slot.reader)
    }

    /// Where the slots are at home, by their masters.
    #[must_use]
    pub fn write_homes(&self) -> (Homes, Vec<Arc<Node>>) {
        self.homes(|slot| slot.master)
    }

    fn homes(&self, of: impl Fn(&Slot) -> u16) -> (Homes, Vec<Arc<Node>>) {
        if self.slots.is_empty() {
            return (Homes::single(), self.nodes.clone());
        }
        let nodes = self.distinct(&of);
        let place = |number: u16| {
            let place = nodes
                .iter()
                .position(|node| node.number() == usize::from(number));
            u16::try_from(place.unwrap_or_default()).unwrap_or_default()
        };
        let slots = self.slots.iter().map(|slot| place(of(slot))).collect();
        (Homes::of(slots), nodes)
    }

    /// Takes over what a node has told; `node` gives a place its node. `false`: it was all known.
    pub(super) fn learn(
        &mut self,
        view: &View,
        read_from: ReadFrom,
        mut node: impl FnMut(&Place) -> Arc<Node>,
    ) -> bool {
        let version = self.version + 1;
        let mut slots = self.slots.clone();
        let mut told = SlotSet::default();
        let (mut owners, mut followers) = (Vec::new(), Vec::new());
        let masters: HashSet<u16> = view
            .ranges
            .iter()
            .map(|range| short(&node(&range.master)))
            .collect();
        let before: HashSet<u16> = self.slots.iter().filter_map(|slot| slot.viewed).collect();
        for range in &view.ranges {
            let owner = node(&range.master);
            let replicas: Vec<Arc<Node>> = range.replicas.iter().map(&mut node).collect();
            let master = short(&owner);
            let of_shard = |slot: &&Slot| slot.served && slot.master == master;
            let first = slots.get(usize::from(range.first));
            let read_before = slots
                .iter()
                .find(of_shard)
                .or(first.filter(|slot| slot.served))
                .map(|slot| usize::from(slot.reader));
            let reader = short(pick(read_from, &owner, &replicas, read_before));
            let follows = owner.was_replica_of();
            owners.push(owner);
            for number in range.first..=range.last {
                told.insert(number);
                let Some(slot) = slots.get_mut(usize::from(number)) else {
                    continue;
                };
                // A replica of the master before; or, where nobody has told of replicas, a node that had nothing and has
                // taken the place of one that has nothing now.
                let took_over = slot.viewed.is_some_and(|viewed| {
                    viewed != master
                        && (follows == Some(usize::from(viewed))
                            || !masters.contains(&viewed) && !before.contains(&master))
                });
                let known = (slot.master, slot.reader, slot.served) == (master, reader, true);
                *slot = Slot {
                    master,
                    reader,
                    since: if known { slot.since } else { version },
                    failed_over: if took_over { version } else { slot.failed_over },
                    viewed: Some(master),
                    served: true,
                };
            }
            followers.extend(replicas.into_iter().map(|replica| (replica, master)));
        }
        for owner in owners {
            owner.follows(None);
        }
        for (replica, master) in followers {
            replica.follows(Some(usize::from(master)));
        }
        for number in 0..SLOTS {
            if !told.contains(number)
                && let Some(slot) = slots.get_mut(usize::from(number))
                && slot.served
            {
                // Its last master is still the one to ask.
                slot.served = false;
            }
        }
        let idle: Vec<Arc<Node>> = view.idle.iter().map(&mut node).collect();
        let numbers = |nodes: &[Arc<Node>]| -> Vec<u16> { nodes.iter().map(short).collect() };
        let changed = slots != self.slots || numbers(&idle) != numbers(&self.idle);
        if changed {
            self.slots = slots;
            self.idle = idle;
            self.version = version;
        }
        changed
    }

    /// A slot's master is this node: MOVED says so.
    pub(super) fn moved(&mut self, slot: u16, to: &Arc<Node>) -> bool {
        let version = self.version + 1;
        let master = short(to);
        // What is read of the new master's other slots is where this one is read.
        let reader = self
            .slots
            .iter()
            .find(|slot| slot.served && slot.master == master)
            .map_or(master, |slot| slot.reader);
        let Some(known) = self.slots.get_mut(usize::from(slot)) else {
            return false;
        };
        if known.master == master && known.served {
            return false;
        }
        *known = Slot {
            master,
            reader,
            since: version,
            served: true,
            ..*known
        };
        self.version = version;
        true
    }

    /// Which node of a shard is read is chosen anew with the next view.
    pub(super) fn forget(&mut self) {
        self.slots = vec![Slot::default(); usize::from(SLOTS)];
    }

    /// How many nodes it knows.
    pub(super) fn known(&self) -> usize {
        self.nodes.len()
    }

    /// A node joins those that are known.
    pub(super) fn add(&mut self, node: Arc<Node>) {
        self.nodes.push(node);
    }
}

fn short(node: &Arc<Node>) -> u16 {
    u16::try_from(node.number()).unwrap_or(u16::MAX)
}

/// The node of a shard that is read: the one before, as long as it may be.
fn pick<'n>(
    read_from: ReadFrom,
    master: &'n Arc<Node>,
    replicas: &'n [Arc<Node>],
    before: Option<usize>,
) -> &'n Arc<Node> {
    let was = |node: &&Arc<Node>| Some(node.number()) == before;
    let kept = replicas.iter().find(was);
    let fastest = || {
        let all = std::iter::once(master).chain(replicas);
        all.min_by_key(|node| node.round_trip()).unwrap_or(master)
    };
    let answering = || kept.or_else(|| replicas.iter().find(|node| node.answers()));
    match read_from {
        ReadFrom::Upstream => master,
        ReadFrom::UpstreamPreferred if master.answers() => master,
        ReadFrom::Any | ReadFrom::LowestLatency if was(&master) => master,
        ReadFrom::LowestLatency => kept.unwrap_or_else(fastest),
        // One that does not answer yet is waited for.
        ReadFrom::Replica | ReadFrom::AnyReplica => {
            answering().or(replicas.first()).unwrap_or(master)
        }
        ReadFrom::UpstreamPreferred | ReadFrom::ReplicaPreferred | ReadFrom::Any => {
            answering().unwrap_or(master)
        }
    }
}
