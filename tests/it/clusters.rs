//! Real clusters: masters and replicas on loopback, formed by CLUSTER commands alone, each node a server of its own.

mod changes;
mod client;
mod plan;
mod tests;
mod view;

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use redis::{Connection, RedisResult};

pub(crate) use self::changes::Move;
pub(crate) use self::client::ClusterClient;
pub(crate) use self::plan::Plan;
use self::view::View;
use crate::servers::{Server, Version};
use crate::store::{Client, Store};
use crate::wait;

/// A test for each version that clusters are tried on: `name::redis_7_0` and so on.
macro_rules! each_version {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            use crate::servers::Version;

            #[test]
            fn redis_7_0() {
                super::$name(Version::Redis70);
            }

            #[test]
            fn redis_8_0() {
                super::$name(Version::Redis80);
            }

            #[test]
            fn valkey_8_1() {
                super::$name(Version::Valkey81);
            }
        })*
    };
}
pub(crate) use each_version;

/// Hash slots of a cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// Milliseconds by which the expiry of a key may have moved that MIGRATE took along: it sends what is left of it.
const MIGRATED: i64 = 100;

/// The slot of a key: of what stands between its first `{` and the next `}`, where there is anything.
pub(crate) fn slot(key: &[u8]) -> u16 {
    let open = key.iter().position(|byte| *byte == b'{');
    let tag = open.and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16::State::<crc16::XMODEM>::calculate(tag.unwrap_or(key)) % SLOTS
}

/// A name that begins with `prefix` and has its slot among these.
pub(crate) fn key_in(slots: impl Fn(u16) -> bool, prefix: &str) -> String {
    (0..1_000_000)
        .map(|number: u32| format!("{prefix}{number}"))
        .find(|key| slots(slot(key.as_bytes())))
        .unwrap()
}

/// A node: a server, and what the others call it.
#[derive(Debug)]
pub(crate) struct Node {
    server: Server,
    id: String,
}

impl Node {
    fn of(server: Server) -> Self {
        let id = server.run("CLUSTER MYID");
        Self { server, id }
    }

    /// Its id in CLUSTER NODES.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Deref for Node {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// All nodes that were ever started, in that order: the list only grows.
type Nodes = Arc<RwLock<Vec<Arc<Node>>>>;

/// A running cluster. Its nodes go with it.
#[derive(Debug)]
pub(crate) struct Cluster {
    plan: Plan,
    nodes: Nodes,
    /// Whether keys were moved between its nodes.
    moved: AtomicBool,
}

impl Cluster {
    /// A cluster with nothing special: `masters` of equal ranges of slots, each with so many replicas, whole and known to all.
    pub(crate) fn start(version: Version, masters: usize, replicas: usize) -> Self {
        Self::with(version, masters, replicas).start()
    }

    /// The same, to be told more before it starts.
    pub(crate) fn with(version: Version, masters: usize, replicas: usize) -> Plan {
        Plan::new(version, masters, replicas)
    }

    /// Every node that was started, those too that were killed: first the masters, then the replicas, in the order of their
    /// masters, then those that were added.
    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.read().unwrap().clone()
    }

    /// One of them.
    pub(crate) fn node(&self, index: usize) -> Arc<Node> {
        Arc::clone(&self.nodes.read().unwrap()[index])
    }

    /// The nodes whose processes are there and not held still.
    pub(crate) fn running(&self) -> Vec<Arc<Node>> {
        let nodes = self.nodes().into_iter();
        nodes.filter(|node| node.is_running()).collect()
    }

    /// Those that own slots now, in the order of `nodes`.
    pub(crate) fn masters(&self) -> Vec<Arc<Node>> {
        let view = self.view();
        let nodes = self.running().into_iter();
        nodes.filter(|node| view.owns_slots(&node.id)).collect()
    }

    /// Those that follow another one now, in the order of `nodes`.
    pub(crate) fn replicas(&self) -> Vec<Arc<Node>> {
        let view = self.view();
        let nodes = self.running().into_iter();
        nodes
            .filter(|node| view.master_of(&node.id).is_some())
            .collect()
    }

    /// A running replica of this master.
    pub(crate) fn replica_of(&self, master: &Node) -> Arc<Node> {
        let view = self.view();
        let nodes = self.running().into_iter();
        nodes
            .into_iter()
            .find(|node| view.master_of(&node.id) == Some(&master.id))
            .unwrap_or_else(|| panic!("no replica of {}", master.address()))
    }

    /// The node that owns this slot.
    pub(crate) fn owner(&self, slot: u16) -> Arc<Node> {
        let view = self.view();
        let id = view.owner(slot).expect("somebody owns the slot");
        let nodes = self.nodes().into_iter();
        nodes.into_iter().find(|node| node.id == id).unwrap()
    }

    /// The slots that a node owns, in order.
    pub(crate) fn slots_of(&self, node: &Node) -> Vec<u16> {
        let view = self.view();
        (0..SLOTS)
            .filter(|slot| view.owner(*slot) == Some(node.id()))
            .collect()
    }

    /// Where riot finds one of its nodes.
    pub(crate) fn uri_of(&self, index: usize) -> String {
        self.node(index).uri()
    }

    /// A client of the tests' own.
    pub(crate) fn cluster_client(&self) -> ClusterClient {
        ClusterClient::new(&self.nodes)
    }

    /// Runs one command, split at spaces, at the node that owns its key.
    pub(crate) fn run<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut built = redis::cmd(words.next().unwrap());
        for word in words {
            built.arg(word);
        }
        built
            .query(&mut self.cluster_client())
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Runs a command at every running node.
    pub(crate) fn tell_all(&self, command: &str) {
        for node in self.running() {
            node.tell(command);
        }
    }

    /// Whether every running node says that the cluster is whole, all know each other by the same slots, and every replica
    /// follows its master.
    fn is_settled(&self, connections: &mut [(Arc<Node>, Connection)]) -> bool {
        let ids: Vec<String> = connections
            .iter()
            .map(|(node, _)| node.id.clone())
            .collect();
        let mut common: Option<View> = None;
        for (node, connection) in connections {
            let Ok(view) = View::of(connection) else {
                return false;
            };
            let whole = view.is_whole() && view.knows(&ids, self.plan.named());
            if !whole || common.as_ref().is_some_and(|first| !first.agrees(&view)) {
                return false;
            }
            if view.master_of(&node.id).is_some() && !follows(connection) {
                return false;
            }
            common.get_or_insert(view);
        }
        let Some(view) = common else { return false };
        ids.iter().any(|id| view.owns_slots(id)) && view.owners_are_among(&ids)
    }

    /// Waits until every running node agrees that all is well.
    pub(crate) fn settle(&self) {
        let mut connections: Vec<(Arc<Node>, Connection)> = Vec::new();
        // A vote that is missed is held again after ten seconds.
        wait::within(
            2 * wait::SOON,
            "the cluster is whole for all of its nodes",
            || {
                let running = self.running();
                if connections.len() != running.len() {
                    let opened: Option<Vec<_>> = running
                        .into_iter()
                        .map(|node| {
                            let connection = node.try_connection(0).ok()?;
                            Some((node, connection))
                        })
                        .collect();
                    connections = opened?;
                }
                self.is_settled(&mut connections).then_some(())
            },
        );
    }

    /// Waits until every replica has all that its master has, and every node tells clients of it: not before it has heard of the
    /// replica's offset. Nobody may write meanwhile.
    pub(crate) fn replicated(&self) {
        let (view, replicas) = (self.view(), self.replicas());
        for master in self.masters() {
            let wanted = master.info("master_repl_offset");
            let own = |node: &&Arc<Node>| view.master_of(&node.id) == Some(&master.id);
            for replica in replicas.iter().filter(own) {
                wait::until("the replica has everything", || {
                    (replica.info("slave_repl_offset") == wanted).then_some(())
                });
            }
        }
        for node in self.running() {
            wait::until("a node tells of every replica", || {
                let slots: redis::Value = node.run("CLUSTER SLOTS");
                let slots = format!("{slots:?}");
                let told =
                    |replica: &Arc<Node>| slots.contains(&format!("int({})", replica.port()));
                replicas.iter().all(told).then_some(())
            });
        }
    }

    /// What the first running node that answers sees.
    fn view(&self) -> View {
        wait::until("a node tells of the cluster", || {
            let mut nodes = self.running().into_iter();
            nodes.find_map(|node| View::of(&mut node.try_connection(0).ok()?).ok())
        })
    }
}

/// Whether a replica's link to its master is up and its data loaded.
fn follows(connection: &mut Connection) -> bool {
    let text: RedisResult<String> = redis::cmd("INFO").arg("replication").query(connection);
    text.is_ok_and(|text| text.contains("master_link_status:up"))
}

impl Store for Cluster {
    fn version(&self) -> Version {
        self.plan.version()
    }

    /// Of the second master, where there is one: no node is special.
    fn uri(&self) -> String {
        let masters = self.masters();
        masters.get(1).or_else(|| masters.first()).unwrap().uri()
    }

    fn try_client(&self, database: u16) -> RedisResult<Client> {
        assert!(database == 0, "a cluster has database 0 alone");
        Ok(Client::Cluster(self.cluster_client()))
    }

    fn holders(&self, database: u16) -> Vec<Connection> {
        assert!(database == 0, "a cluster has database 0 alone");
        let masters = self.masters().into_iter();
        masters.map(|master| master.connection()).collect()
    }

    fn tolerance(&self) -> i64 {
        if self.moved.load(Ordering::Relaxed) {
            MIGRATED
        } else {
            0
        }
    }
}

/// Starts two sides at once: forming a cluster is mostly waiting.
pub(crate) fn together<A: Send, B>(
    first: impl FnOnce() -> A + Send,
    second: impl FnOnce() -> B,
) -> (A, B) {
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        (first.join().unwrap(), second)
    })
}
