//! What a cluster is started with, and how its nodes become one.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::view::View;
use super::{Cluster, Node, SLOTS};
use crate::servers::{Server, TlsFiles, Version};
use crate::wait;

/// How long a node may be silent before the others take it for lost, where replicas can take over: longer than a busy machine
/// keeps one from its turn, or from a disk that is to have its file of nodes.
const SHORT_PATIENCE: Duration = Duration::from_millis(2500);
/// The same where nobody can: a busy machine shall not look like a lost node.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a cluster is started with.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    version: Version,
    masters: usize,
    replicas: usize,
    arguments: Vec<String>,
    tls: Option<TlsFiles>,
    password: Option<String>,
    patience: Duration,
}

impl Plan {
    pub(super) fn new(version: Version, masters: usize, replicas: usize) -> Self {
        Self {
            version,
            masters,
            replicas,
            arguments: Vec::new(),
            tls: None,
            password: None,
            patience: if replicas > 0 {
                SHORT_PATIENCE
            } else {
                PATIENCE
            },
        }
    }

    /// Adds words to the command line of every node.
    pub(crate) fn arguments<I>(mut self, words: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.arguments.extend(words.into_iter().map(Into::into));
        self
    }

    /// Every node tells of every change by keyspace notifications.
    pub(crate) fn notifying(self) -> Self {
        self.arguments(["--notify-keyspace-events", "KA"])
    }

    /// Clients are given this host name for every node, not its address.
    pub(crate) fn hostname(self, name: &str) -> Self {
        let kind = ["--cluster-preferred-endpoint-type", "hostname"];
        self.arguments(["--cluster-announce-hostname", name])
            .arguments(kind)
    }

    /// All ports speak TLS: the clients' with this certificate; the nodes show each other that of a client.
    pub(crate) fn tls(
        mut self,
        files: &TlsFiles,
        client: &(std::path::PathBuf, std::path::PathBuf),
    ) -> Self {
        self.tls = Some(files.clone());
        let file = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        self.arguments(["--tls-cluster", "yes", "--tls-replication", "yes"])
            .arguments(["--tls-client-cert-file".to_owned(), file(&client.0)])
            .arguments(["--tls-client-key-file".to_owned(), file(&client.1)])
    }

    /// Every client of every node needs this password.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self.arguments(["--masterauth", password])
    }

    /// A node may be silent for so long before the others take it for lost.
    pub(crate) fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Which servers.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Whether nodes have host names.
    pub(super) fn named(&self) -> bool {
        let mut words = self.arguments.iter();
        words.any(|word| word == "--cluster-announce-hostname")
    }

    /// A node that knows no other.
    pub(super) fn node(&self) -> Node {
        let patience = self.patience.as_millis().to_string();
        let mut builder = Server::with(self.version)
            .cluster()
            .arguments(["--cluster-node-timeout", &patience])
            .arguments(self.arguments.clone());
        if let Some(files) = &self.tls {
            builder = builder.tls(files);
        }
        if let Some(password) = &self.password {
            builder = builder.password(password);
        }
        Node::of(builder.start())
    }

    /// Starts all nodes at once, makes them one cluster, and waits until all of them agree that it is whole.
    pub(crate) fn start(self) -> Cluster {
        let count = self.masters * (1 + self.replicas);
        let nodes: Vec<Arc<Node>> = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..count).map(|_| scope.spawn(|| self.node())).collect();
            let nodes = starting.into_iter();
            nodes.map(|node| Arc::new(node.join().unwrap())).collect()
        });
        // Different from the first moment on: nodes that own slots by the same epoch have to find new ones.
        for (epoch, node) in (1..).zip(&nodes) {
            node.tell(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}"));
        }
        let (masters, replicas) = nodes.split_at(self.masters);
        for (index, master) in masters.iter().enumerate() {
            let first = |index: usize| index * usize::from(SLOTS) / self.masters;
            let (from, to) = (first(index), first(index + 1) - 1);
            master.tell(&format!("CLUSTER ADDSLOTSRANGE {from} {to}"));
        }
        for (index, node) in nodes.iter().enumerate() {
            meet(node, &nodes[..index]);
        }
        for (index, replica) in replicas.iter().enumerate() {
            follow(replica, &masters[index / self.replicas]);
        }
        let cluster = Cluster {
            plan: self,
            nodes: Arc::new(RwLock::new(nodes)),
            moved: AtomicBool::new(false),
        };
        cluster.settle();
        cluster
    }
}

/// Makes a node known to others, and them to it.
pub(super) fn meet(node: &Node, others: &[Arc<Node>]) {
    for other in others {
        let text: String = other.run("CLUSTER NODES");
        let bus = View::bus_port(&text);
        node.tell(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port()));
    }
}

/// Makes a node a replica, once it knows its master.
fn follow(replica: &Node, master: &Node) {
    let mut connection = replica.connection();
    let mut command = redis::cmd("CLUSTER");
    command.arg("REPLICATE").arg(master.id());
    wait::until("the replica knows its master", || {
        command.exec(&mut connection).ok()
    });
}
