//! What becomes of routes as views come in.

use std::time::Duration;

use super::view::Range;
use super::*;
use crate::config::{Address, Endpoint, Password, Resp};
use crate::slots::SlotSet;

pub(super) fn endpoint() -> Endpoint {
    Endpoint {
        side: Side::Source,
        address: Address::Tcp {
            host: "127.0.0.1".into(),
            port: 7000,
        },
        tls: None,
        user: None,
        password: Password::None,
        database: 0,
        client_name: String::new(),
        resp: Resp::Auto,
        connect_timeout: Duration::from_secs(1),
        command_timeout: Duration::from_secs(1),
        pool: 8,
        cluster: true,
        read_from: ReadFrom::Upstream,
    }
}

fn nodes(read_from: ReadFrom) -> Nodes {
    let stats = Arc::new(Stats::new(false));
    let endpoint = Endpoint {
        read_from,
        ..endpoint()
    };
    let seed = Link::new(
        Arc::new(endpoint),
        true,
        Duration::from_secs(1),
        false,
        stats.clone(),
    );
    Nodes::cluster(Arc::new(seed), stats)
}

fn place(port: u16) -> Place {
    ("127.0.0.1".into(), port)
}

fn view(ranges: &[(u16, u16, u16, &[u16])]) -> View {
    let ranges = ranges.iter().map(|(first, last, master, replicas)| Range {
        first: *first,
        last: *last,
        master: place(*master),
        replicas: replicas.iter().map(|port| place(*port)).collect(),
    });
    View {
        ranges: ranges.collect(),
        idle: Vec::new(),
        aliases: Vec::new(),
        is_ok: true,
        epoch: 1,
    }
}

fn port(node: Option<&Arc<Node>>) -> u16 {
    let address = node.unwrap().address();
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[test]
fn a_view_gives_each_slot_its_node() {
    let nodes = nodes(ReadFrom::Upstream);
    nodes.take(&view(&[(0, 99, 7001, &[7003]), (100, 16383, 7002, &[])]));
    let routes = nodes.routes();
    assert_eq!(port(routes.master(99)), 7001);
    assert_eq!(port(routes.reader(100)), 7002);
    assert_eq!(routes.masters().len(), 2);
    assert!(routes.unserved().is_empty());
    let version = nodes.version();
    nodes.take(&view(&[(0, 99, 7001, &[7003]), (100, 16383, 7002, &[])]));
    assert_eq!(nodes.version(), version, "nothing new");
}

#[test]
fn a_slot_that_moves_is_told_from_one_that_fails_over() {
    let nodes = nodes(ReadFrom::Upstream);
    nodes.take(&view(&[(0, 99, 7001, &[7003]), (100, 16383, 7002, &[])]));
    let before = nodes.version();
    let from = nodes.routes().master(5).unwrap().clone();
    let told = nodes.redirect("MOVED 5 127.0.0.1:7002", &from);
    assert!(matches!(told, Redirect::Moved));
    let routes = nodes.routes();
    assert_eq!(port(routes.master(5)), 7002);
    assert_eq!(routes.changed_since(before), SlotSet::of(&[(5, 5)]));
    assert!(routes.failed_over_since(before).is_empty());
    nodes.take(&view(&[
        (0, 4, 7003, &[]),
        (5, 5, 7002, &[]),
        (6, 99, 7003, &[]),
        (100, 16383, 7002, &[]),
    ]));
    let routes = nodes.routes();
    let expected = SlotSet::of(&[(0, 4), (6, 99)]);
    assert_eq!(routes.failed_over_since(before), expected);
    assert!(routes.failed_over_since(nodes.version()).is_empty());
    assert!(from.link().is_retired(), "nobody waits for it any more");
}

#[test]
fn a_failover_needs_no_word_of_replicas() {
    let nodes = nodes(ReadFrom::Upstream);
    nodes.take(&view(&[(0, 99, 7001, &[]), (100, 16383, 7002, &[])]));
    let before = nodes.version();
    let from = nodes.routes().master(5).unwrap().clone();
    nodes.redirect("MOVED 5 127.0.0.1:7003", &from);
    nodes.take(&view(&[(0, 99, 7003, &[7001]), (100, 16383, 7002, &[])]));
    let failed = nodes.routes().failed_over_since(before);
    assert_eq!(failed, SlotSet::of(&[(0, 99)]));
    // What moves to a node that joins is no failover as long as its master has others.
    let before = nodes.version();
    nodes.take(&view(&[
        (0, 99, 7003, &[7001]),
        (100, 200, 7004, &[]),
        (201, 16383, 7002, &[]),
    ]));
    assert!(nodes.routes().failed_over_since(before).is_empty());
}

#[test]
fn replicas_are_read_where_that_is_wished() {
    let nodes = nodes(ReadFrom::Replica);
    nodes.take(&view(&[
        (0, 99, 7001, &[7003, 7004]),
        (100, 16383, 7002, &[]),
    ]));
    let routes = nodes.routes();
    assert_eq!(
        (port(routes.reader(0)), port(routes.master(0))),
        (7003, 7001)
    );
    assert!(routes.reads_replica(0) && !routes.reads_replica(100));
    nodes.take(&view(&[
        (0, 99, 7001, &[7004, 7003]),
        (100, 16383, 7002, &[]),
    ]));
    assert_eq!(port(nodes.routes().reader(0)), 7003, "it stays");
}

#[test]
fn asking_is_for_one_key_alone() {
    let nodes = nodes(ReadFrom::Upstream);
    nodes.take(&view(&[(0, 16383, 7001, &[])]));
    let (version, from) = (nodes.version(), nodes.routes().master(5).unwrap().clone());
    let Redirect::Ask(node) = nodes.redirect("ASK 5 127.0.0.1:7009", &from) else {
        panic!("not followed");
    };
    assert_eq!(node.address(), "127.0.0.1:7009");
    assert_eq!(nodes.version(), version);
    let wait = nodes.redirect("CLUSTERDOWN The cluster is down", &from);
    assert!(matches!(wait, Redirect::Wait));
}
