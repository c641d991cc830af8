//! What happens to a cluster: masters die or step down, slots move, nodes come.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::Connection;

use super::plan::meet;
use super::view::View;
use super::{Cluster, Node};
use crate::wait;

/// Keys that one MIGRATE takes along.
const BATCH: usize = 100;
/// Milliseconds that one MIGRATE may take.
const MIGRATION: u32 = 20_000;

/// After how long a failover by command is over, if it did not succeed: 5 s in the servers' own code.
const GIVEN_UP: Duration = Duration::from_secs(6);

/// A slot on its way from one master to another.
#[derive(Debug)]
pub(crate) struct Move {
    slot: u16,
    from: Arc<Node>,
    to: Arc<Node>,
    /// Keys that are there already.
    pub(crate) moved: usize,
}

impl Cluster {
    /// Ends a master's process as a crash does, and waits until its replica has taken over for everyone: the new master.
    pub(crate) fn failover_by_kill(&self, master: &Node) -> Arc<Node> {
        let heir = self.replica_of(master);
        master.kill();
        self.settle();
        heir
    }

    /// Makes a replica the master with CLUSTER FAILOVER, and waits until it is for everyone. It takes over what its master has.
    /// A server gives one try up after 5 s, or where a vote is refused, and says nothing: it is asked again, as an operator would.
    pub(crate) fn failover_by_command(&self, replica: &Node) {
        let mut asked: Option<Instant> = None;
        wait::until("the replica is the master", || {
            if self.view().owns_slots(replica.id()) {
                return Some(());
            }
            if asked.is_none_or(|asked| asked.elapsed() > GIVEN_UP) {
                replica.tell("CLUSTER FAILOVER");
                asked = Some(Instant::now());
            }
            None
        });
        self.settle();
    }

    /// Starts a killed node again, and waits until it follows the one that took over.
    pub(crate) fn restart(&self, node: &Node) {
        node.restart();
        self.settle();
    }

    /// Starts an empty master and makes it known to all.
    pub(crate) fn add_node(&self) -> Arc<Node> {
        let node = Arc::new(self.plan.node());
        meet(&node, &self.running());
        self.nodes.write().unwrap().push(Arc::clone(&node));
        self.settle();
        node
    }

    /// Moves so many slots and their keys from one master to another, as `redis-cli --cluster reshard` does. Half of them have
    /// keys, where there are so many: afterwards both masters have some.
    pub(crate) fn reshard(&self, from: &Node, to: &Node, slots: usize) {
        self.moved.store(true, Ordering::Relaxed);
        let chosen = self.choose(from, slots);
        assert!(
            chosen.len() == slots,
            "{} slots are to be had",
            chosen.len()
        );
        let mut others: Vec<Connection> = self
            .masters()
            .into_iter()
            .filter(|node| ![from.id(), to.id()].contains(&node.id()))
            .map(|node| node.connection())
            .collect();
        let (mut source, mut target) = (from.connection(), to.connection());
        for slot in chosen {
            set_slot(&mut target, slot, "IMPORTING", from);
            set_slot(&mut source, slot, "MIGRATING", to);
            migrate_all(&mut source, slot, to);
            // The new owner first: no moment has none.
            set_slot(&mut target, slot, "NODE", to);
            set_slot(&mut source, slot, "NODE", to);
            for other in &mut others {
                set_slot(other, slot, "NODE", to);
            }
        }
        self.settle();
    }

    /// Takes a slot from its master, and from what all nodes know.
    pub(crate) fn lose_slot(&self, slot: u16) {
        let owner = self.owner(slot);
        owner.tell(&format!("CLUSTER DELSLOTS {slot}"));
        wait::until("no node knows a master of the slot", || {
            let mut known = false;
            for node in self.running() {
                let mut connection = node.connection();
                if View::of(&mut connection).unwrap().owner(slot).is_some() {
                    // What the master said before can still be on its way.
                    known = true;
                    node.tell(&format!("CLUSTER DELSLOTS {slot}"));
                }
            }
            (!known).then_some(())
        });
    }

    /// Begins to move a slot: half of its keys are there, and it stays so until the move is finished.
    pub(crate) fn half_move(&self, slot: u16, to: &Arc<Node>) -> Move {
        self.moved.store(true, Ordering::Relaxed);
        let (from, to) = (self.owner(slot), Arc::clone(to));
        let (mut source, mut target) = (from.connection(), to.connection());
        set_slot(&mut target, slot, "IMPORTING", &from);
        set_slot(&mut source, slot, "MIGRATING", &to);
        let keys = keys_in(&mut source, slot, 10 * BATCH);
        let half: Vec<_> = keys.into_iter().step_by(2).collect();
        let moved = half.len();
        migrate(&mut source, half, &to);
        Move {
            slot,
            from,
            to,
            moved,
        }
    }

    /// The same, to any other node.
    pub(crate) fn half_move_away(&self, slot: u16) -> Move {
        let owner = self.owner(slot);
        let mut nodes = self.nodes().into_iter();
        let to = nodes.find(|node| node.id() != owner.id()).unwrap();
        self.half_move(slot, &to)
    }

    /// Moves the rest of a slot's keys, and gives it to its new master.
    pub(crate) fn finish_move(&self, begun: &Move) {
        let (mut source, mut target) = (begun.from.connection(), begun.to.connection());
        migrate_all(&mut source, begun.slot, &begun.to);
        for connection in [&mut target, &mut source] {
            set_slot(connection, begun.slot, "NODE", &begun.to);
        }
        self.settle();
    }

    /// Slots to be moved: every second one that has keys, then those without, then the others.
    fn choose(&self, from: &Node, slots: usize) -> Vec<u16> {
        let owned = self.slots_of(from);
        let mut pipe = redis::pipe();
        for slot in &owned {
            pipe.cmd("CLUSTER").arg("COUNTKEYSINSLOT").arg(slot);
        }
        let counts: Vec<u64> = pipe.query(&mut from.connection()).unwrap();
        let (full, empty): (Vec<_>, Vec<_>) = owned
            .into_iter()
            .zip(counts)
            .partition(|(_, keys)| *keys > 0);
        let (one, other): (Vec<_>, Vec<_>) = full
            .into_iter()
            .enumerate()
            .partition(|(index, _)| index % 2 == 0);
        let full = |part: Vec<(usize, (u16, u64))>| part.into_iter().map(|(_, pair)| pair);
        full(one)
            .take(slots.div_ceil(2))
            .chain(empty)
            .chain(full(other))
            .map(|(slot, _)| slot)
            .take(slots)
            .collect()
    }
}

fn set_slot(connection: &mut Connection, slot: u16, what: &str, node: &Node) {
    redis::cmd("CLUSTER")
        .arg("SETSLOT")
        .arg(slot)
        .arg(what)
        .arg(node.id())
        .exec(connection)
        .unwrap();
}

/// Some keys of a slot.
fn keys_in(connection: &mut Connection, slot: u16, count: usize) -> Vec<Vec<u8>> {
    redis::cmd("CLUSTER")
        .arg("GETKEYSINSLOT")
        .arg(slot)
        .arg(count)
        .query(connection)
        .unwrap()
}

/// Moves all keys of a slot to a node.
fn migrate_all(from: &mut Connection, slot: u16, to: &Node) {
    loop {
        let keys = keys_in(from, slot, BATCH);
        if keys.is_empty() {
            return;
        }
        migrate(from, keys, to);
    }
}

/// Moves these keys to a node.
fn migrate(from: &mut Connection, keys: Vec<Vec<u8>>, to: &Node) {
    redis::cmd("MIGRATE")
        .arg("127.0.0.1")
        .arg(to.port())
        .arg("")
        .arg(0)
        .arg(MIGRATION)
        .arg("KEYS")
        .arg(keys)
        .exec(from)
        .unwrap();
}
