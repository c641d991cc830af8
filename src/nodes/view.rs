//! A cluster as one of its nodes tells it: CLUSTER SLOTS.

use crate::config::{Address, Endpoint, TlsVerify};
use crate::error::{ConnectError, Lost};
use crate::slots::{SLOTS, SlotSet};
use crate::wire::{Connection, Reply};

/// Where a node listens.
pub(super) type Place = (String, u16);

/// Slots that one master has, and where it and its replicas are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) master: Place,
    pub(super) replicas: Vec<Place>,
}

/// What a node knows of its cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) ranges: Vec<Range>,
    /// Masters without slots: some may be on their way to them.
    pub(super) idle: Vec<Place>,
    /// Other places of nodes: what redirections call them, and what they are reached by.
    pub(super) aliases: Vec<(Place, Place)>,
    /// The node itself finds its cluster whole.
    pub(super) is_ok: bool,
    /// How new its knowledge is: the configuration epoch of the cluster.
    pub(super) epoch: u64,
}

/// Asks a node for its view. An error is the server's word, or the connection's.
pub(super) async fn ask(
    connection: &mut Connection,
    endpoint: &Endpoint,
) -> Result<View, ConnectError> {
    let info = match connection.request(&[b"CLUSTER", b"INFO"]).await? {
        Reply::Bytes(info) => String::from_utf8_lossy(&info).into_owned(),
        _ => String::new(),
    };
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let nodes = match connection.request(&[b"CLUSTER", b"NODES"]).await? {
        Reply::Bytes(nodes) => String::from_utf8_lossy(&nodes).into_owned(),
        _ => String::new(),
    };
    let mut aliases = Vec::new();
    match connection.request(&[b"CLUSTER", b"SLOTS"]).await? {
        Reply::Array(entries) => Ok(View {
            ranges: entries
                .iter()
                .filter_map(|entry| range(entry, endpoint, &mut aliases))
                .collect(),
            idle: idle(&nodes, endpoint),
            aliases,
            is_ok: field("cluster_state") == Some("ok"),
            epoch: field("cluster_current_epoch")
                .and_then(|epoch| epoch.parse().ok())
                .unwrap_or(0),
        }),
        Reply::Error(error) => Err(ConnectError::Refused(format!("CLUSTER SLOTS: {error}"))),
        _ => Err(ConnectError::NotRedis(
            "no array in the answer to CLUSTER SLOTS".into(),
        )),
    }
}

fn range(entry: &Reply, asked: &Endpoint, aliases: &mut Vec<(Place, Place)>) -> Option<Range> {
    let Reply::Array(parts) = entry else {
        return None;
    };
    let slot = |part: &Reply| match part {
        Reply::Integer(slot) => u16::try_from(*slot).ok().filter(|slot| *slot < SLOTS),
        _ => None,
    };
    let [first, last, nodes @ ..] = parts.as_slice() else {
        return None;
    };
    let mut places = nodes.iter().filter_map(|node| place(node, asked, aliases));
    Some(Range {
        first: slot(first)?,
        last: slot(last)?,
        master: places.next()?,
        replicas: places.collect(),
    })
}

/// `[host, port, id, [name, value, …]]`; a host that is empty or unknown is the one that was asked.
fn place(node: &Reply, asked: &Endpoint, aliases: &mut Vec<(Place, Place)>) -> Option<Place> {
    let Reply::Array(parts) = node else {
        return None;
    };
    let [host, Reply::Integer(port), more @ ..] = parts.as_slice() else {
        return None;
    };
    let port = u16::try_from(*port).ok().filter(|port| *port != 0)?;
    let host = host
        .text()
        .filter(|host| !host.is_empty() && host != "?")
        .unwrap_or_else(|| own_host(asked));
    let verified = asked
        .tls
        .as_ref()
        .is_some_and(|tls| tls.verify == TlsVerify::Full);
    if verified && host.parse::<std::net::IpAddr>().is_ok() {
        // A certificate is for a name: where the node announces one, that is what it is reached by.
        if let Some(name) = more.iter().find_map(hostname) {
            aliases.push(((host, port), (name.clone(), port)));
            return Some((name, port));
        }
    }
    Some((host, port))
}

/// Masters that CLUSTER NODES tells to have no slots: `id host:port@bus[,name] flags master ping pong epoch link [slots]`.
fn idle(nodes: &str, asked: &Endpoint) -> Vec<Place> {
    let lines = nodes.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, address, flags, _, _, _, _, "connected", slots @ ..] = words.as_slice() else {
            return None;
        };
        let mut flags = flags.split(',');
        let is_whole = flags
            .clone()
            .all(|flag| matches!(flag, "myself" | "master"));
        let has_slots = slots.iter().any(|slots| !slots.starts_with('['));
        if !flags.any(|flag| flag == "master") || !is_whole || has_slots {
            return None;
        }
        let (address, _) = address.split_once('@')?;
        parse_place(address, asked)
    });
    lines.collect()
}

fn hostname(metadata: &Reply) -> Option<String> {
    let Reply::Array(pairs) = metadata else {
        return None;
    };
    let pairs = pairs.chunks_exact(2);
    pairs
        .filter_map(|pair| match pair {
            [name, value] => Some((name.text()?, value.text()?)),
            _ => None,
        })
        .find(|(name, value)| name == "hostname" && !value.is_empty())
        .map(|(_, value)| value)
}

/// The host that a node was reached by.
pub(super) fn own_host(endpoint: &Endpoint) -> String {
    match &endpoint.address {
        Address::Tcp { host, .. } => host.clone(),
        Address::Unix(_) | Address::Sentinel { .. } => "127.0.0.1".into(),
    }
}

/// `host:port` of MOVED and ASK; an empty host is that of the node that said it.
pub(super) fn parse_place(text: &str, said_by: &Endpoint) -> Option<Place> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host == "?" {
        return Some((own_host(said_by), port));
    }
    Some((host.to_owned(), port))
}

/// The slots of a node, by its own word.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// What it has.
    pub held: SlotSet,
    /// What is on its way to it from another node.
    pub coming: SlotSet,
}

/// Slots that the node at the other end has, by its own word, and those that are on their way to it.
///
/// Who asks before it listens hears of what begins to come after that.
pub async fn own_slots(connection: &mut Connection) -> Result<Own, Lost> {
    let Reply::Bytes(nodes) = connection.request(&[b"CLUSTER", b"NODES"]).await? else {
        return Ok(Own::default());
    };
    Ok(Own::parse(&String::from_utf8_lossy(&nodes)))
}

impl Own {
    /// All that may have keys on the node.
    #[must_use]
    pub fn all(mut self) -> SlotSet {
        self.held.extend(&self.coming);
        self.held
    }

    /// `… myself,master - 0 0 1 connected 0-99 105 [93-<-id]`
    fn parse(nodes: &str) -> Self {
        let line = nodes.lines().find(|line| line.contains("myself"));
        let words = line.unwrap_or_default().split_ascii_whitespace().skip(8);
        let mut own = Self::default();
        for word in words {
            if let Some(moving) = word.strip_prefix('[') {
                let coming = moving.split_once("-<-");
                if let Some(slot) = coming.and_then(|(slot, _)| slot.parse().ok()) {
                    own.coming.insert(slot);
                }
                continue;
            }
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            if let (Ok(first), Ok(last)) = (first.parse(), last.parse()) {
                own.held.extend(&SlotSet::of(&[(first, last)]));
            }
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::tests::endpoint;

    fn text(text: &str) -> Reply {
        Reply::Bytes(text.to_owned().into())
    }

    #[test]
    fn a_range_names_its_master_and_its_replicas() {
        let node = |host: Reply, port: i64| {
            Reply::Array(vec![
                host,
                Reply::Integer(port),
                text("id"),
                Reply::Array(vec![text("hostname"), text("a.example")]),
            ])
        };
        let entry = Reply::Array(vec![
            Reply::Integer(0),
            Reply::Integer(5460),
            node(text("10.0.0.1"), 7000),
            node(Reply::Nil, 7003),
            node(text(""), 7004),
        ]);
        let found = range(&entry, &endpoint(), &mut Vec::new()).unwrap();
        assert_eq!((found.first, found.last), (0, 5460));
        assert_eq!(found.master, ("10.0.0.1".to_owned(), 7000));
        let here = |port| ("127.0.0.1".to_owned(), port);
        assert_eq!(found.replicas, [here(7003), here(7004)]);
    }

    #[test]
    fn a_redirection_may_leave_its_host_out() {
        let place = |text: &str| parse_place(text, &endpoint());
        assert_eq!(place("10.0.0.2:7001"), Some(("10.0.0.2".into(), 7001)));
        assert_eq!(place(":7001"), Some(("127.0.0.1".into(), 7001)));
        assert_eq!(place("::1:7001"), Some(("::1".into(), 7001)));
        assert_eq!(place("nonsense"), None);
    }

    #[test]
    fn a_node_tells_what_it_has_and_what_is_coming() {
        let nodes = "a 127.0.0.1:1@2 master - 0 1 1 connected 0-5 [7-<-x]\n\
            b 127.0.0.1:3@4 myself,master - 0 1 2 connected 6-8 10 [93-<-a] [94->-a] [95-<-a]\n";
        let slots = |slots: &SlotSet| slots.iter().collect::<Vec<u16>>();
        let own = Own::parse(nodes);
        assert_eq!(slots(&own.held), [6, 7, 8, 10]);
        assert_eq!(slots(&own.coming), [93, 95]);
        assert_eq!(slots(&own.all()), [6, 7, 8, 10, 93, 95]);
    }

    #[test]
    fn a_master_without_slots_is_idle() {
        let nodes = "a 10.0.0.1:1@2 myself,master - 0 1 1 connected 0-16383 [7->-c]\n\
            b 10.0.0.2:3@4 slave a 0 1 1 connected\n\
            c 10.0.0.3:5@6,name master - 0 1 3 connected [7-<-a]\n\
            d 10.0.0.4:7@8 master,fail - 0 1 4 connected\n\
            e :9@10 master - 0 1 5 connected\n";
        let place = |host: &str, port| (host.to_owned(), port);
        assert_eq!(
            idle(nodes, &endpoint()),
            [place("10.0.0.3", 5), place("127.0.0.1", 9)]
        );
    }
}
