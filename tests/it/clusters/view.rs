//! What one node knows of its cluster: CLUSTER NODES and CLUSTER INFO.

use std::collections::BTreeMap;

use redis::{Connection, RedisResult};

use super::SLOTS;

/// One line of CLUSTER NODES.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    port: u16,
    hostname: String,
    flags: Vec<String>,
    master: Option<String>,
    linked: bool,
}

impl Seen {
    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|found| found == flag)
    }

    fn is_well(&self) -> bool {
        let ill = ["fail", "fail?", "handshake", "noaddr"];
        self.linked && !ill.iter().any(|flag| self.has(flag))
    }
}

/// The cluster in the eyes of one node.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// By their ids.
    nodes: BTreeMap<String, Seen>,
    /// Ids, in the order of the answer.
    ids: Vec<String>,
    /// By slot, the master's place among those.
    owners: Vec<Option<usize>>,
    is_ok: bool,
}

impl View {
    /// Asks a node.
    pub(super) fn of(connection: &mut Connection) -> RedisResult<Self> {
        let (nodes, info): (String, String) = redis::pipe()
            .cmd("CLUSTER")
            .arg("NODES")
            .cmd("CLUSTER")
            .arg("INFO")
            .query(connection)?;
        let mut view = Self::parse(&nodes);
        view.is_ok = info.lines().any(|line| line == "cluster_state:ok");
        Ok(view)
    }

    /// Reads lines such as `ID 127.0.0.1:7000@17000,host myself,master - 0 0 1 connected 0-5460 [17->-ID]`.
    pub(super) fn parse(text: &str) -> Self {
        let mut nodes = BTreeMap::new();
        let mut ids = Vec::new();
        let mut owners = vec![None; usize::from(SLOTS)];
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [id, address, flags, master, _, _, _, link, slots @ ..] = &words[..] else {
                panic!("not a node: {line}");
            };
            let (place, rest) = address.split_once('@').unwrap();
            let seen = Seen {
                port: place.rsplit_once(':').unwrap().1.parse().unwrap(),
                hostname: rest.split(',').nth(1).unwrap_or_default().to_owned(),
                flags: flags.split(',').map(str::to_owned).collect(),
                master: (*master != "-").then(|| (*master).to_owned()),
                linked: *link == "connected",
            };
            nodes.insert((*id).to_owned(), seen);
            ids.push((*id).to_owned());
            for range in slots.iter().filter(|range| !range.starts_with('[')) {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
                owners[first..=last].fill(Some(ids.len() - 1));
            }
        }
        Self {
            nodes,
            ids,
            owners,
            is_ok: false,
        }
    }

    /// Whether every slot has a master and the cluster takes commands.
    pub(super) fn is_whole(&self) -> bool {
        self.is_ok && self.owners.iter().all(Option::is_some)
    }

    /// Whether it knows all of these, each well; where nodes have names, by their names too.
    pub(super) fn knows(&self, ids: &[String], named: bool) -> bool {
        let known = |id: &String| {
            self.nodes
                .get(id)
                .is_some_and(|seen| seen.is_well() && (!named || !seen.hostname.is_empty()))
        };
        ids.iter().all(known)
    }

    /// Whether two nodes see the same masters of the slots, and the same replicas.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let masters = |view: &Self| {
            let nodes = view.nodes.iter();
            nodes
                .filter(|(_, seen)| seen.is_well())
                .map(|(id, seen)| (id.clone(), seen.master.clone()))
                .collect::<Vec<_>>()
        };
        let mut slots = 0..SLOTS;
        slots.all(|slot| self.owner(slot) == other.owner(slot)) && masters(self) == masters(other)
    }

    /// Whether no slot has a master that is none of these.
    pub(super) fn owners_are_among(&self, ids: &[String]) -> bool {
        let owners = self.ids.iter().filter(|id| self.owns_slots(id));
        owners.into_iter().all(|owner| ids.contains(owner))
    }

    /// The master of a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<&str> {
        self.owners[usize::from(slot)].map(|place| self.ids[place].as_str())
    }

    /// Whether this node is the master of any slot.
    pub(super) fn owns_slots(&self, id: &str) -> bool {
        let place = self.ids.iter().position(|known| known == id);
        place.is_some() && self.owners.contains(&place)
    }

    /// The master that this node follows.
    pub(super) fn master_of(&self, id: &str) -> Option<&String> {
        self.nodes.get(id)?.master.as_ref()
    }

    /// For each slot the place of its master among these.
    pub(super) fn places(&self, ids: &[&str]) -> Vec<Option<usize>> {
        let place = |id: &String| ids.iter().position(|known| known == id);
        let places: Vec<Option<usize>> = self.ids.iter().map(place).collect();
        let owners = self.owners.iter();
        owners.map(|owner| places[(*owner)?]).collect()
    }

    /// The port of the other nodes to this one: from its own line.
    pub(super) fn bus_port(text: &str) -> u16 {
        let own = text.lines().find(|line| line.contains("myself")).unwrap();
        let address = own.split(' ').nth(1).unwrap();
        let port = address.split_once('@').unwrap().1;
        port.split(',').next().unwrap().parse().unwrap()
    }
}
