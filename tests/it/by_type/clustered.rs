//! Clusters: temporary names have the slots of their keys, whatever those are called.

use super::filling::{fill, fill_big};
use super::{TEMPORARY, assert_carried, assert_no_rubbish, count, temporary, told};
use crate::clusters::{Cluster, each_version, key_in, slot, together};
use crate::data;
use crate::proxy::{Direction, Proxy};
use crate::riot::riot;
use crate::servers::{Server, Version};
use crate::store::Store;
use crate::wait;

each_version![every_type_by_its_commands, big_keys_with_names_of_all_kinds,];

/// Names whose braces make a temporary name with the same slot hard to find.
const NAMES: [&[u8]; 16] = [
    b"",
    b"a}b",
    b"}x",
    b"{}x",
    b"{}",
    b"}",
    b"{",
    b"{tag}x",
    b"x{tag}",
    b"{a}{b}",
    b"{{a}}",
    b"a{b",
    b"}{a}",
    b"{}{a}",
    b"{\r\n\0}\xff",
    b"\xff}\xfe",
];

/// Elements of a value that no single command reads.
const ELEMENTS: u32 = 6_000;

/// Big keys: under each name a hash, and two more under names that begin so.
fn fill_names(store: &dyn Store) {
    let mut c = store.client();
    for (seed, name) in (0..).zip(NAMES) {
        fill_big(&mut c, "hash", name, ELEMENTS, seed);
        for kind in ["zset", "stream"] {
            let name = [name, b" ", kind.as_bytes()].concat();
            fill_big(&mut c, kind, &name, ELEMENTS, seed);
        }
    }
}

fn every_type_by_its_commands(version: Version) {
    let start = || Cluster::start(version, 3, 0);
    let (source, target) = together(start, start);
    fill(&source);
    data::fill_slots(&source);
    let output = told(&source, &target)
        .words(["--type", "struct"])
        .run()
        .exits(0);
    assert_eq!(count(&output, "written"), source.count(), "{output}");
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
}

fn big_keys_with_names_of_all_kinds(version: Version) {
    let (source, target) = together(
        || Cluster::start(version, 3, 0),
        || Cluster::start(version, 5, 0),
    );
    fill_names(&source);
    let keys = source.count();
    assert_eq!(keys, NAMES.len() as u64 * 3);
    for _ in 0..2 {
        let output = told(&source, &target)
            .words(["--big-key", "500KB"])
            .run()
            .exits(0);
        assert_eq!(count(&output, "in_chunks"), keys, "{output}");
        assert_carried(&source, &target);
        assert_no_rubbish(&target);
    }
    let alone = Server::start(version);
    told(&source, &alone)
        .words(["--big-key", "500KB"])
        .run()
        .exits(0);
    assert_carried(&source, &alone);
    assert_no_rubbish(&alone);
}

#[test]
fn from_one_server_into_a_cluster_of_an_older_version() {
    let (source, target) = together(
        || Server::start(Version::Redis80),
        || Cluster::start(Version::Redis70, 3, 0),
    );
    data::fill_mixed(&source, "mixed:", 1000);
    fill_names(&source);
    let output = told(&source, &target)
        .words(["--big-key", "500KB"])
        .run()
        .exits(0);
    let big = NAMES.len() as u64 * 3;
    assert_eq!(count(&output, "in_chunks"), big, "{output}");
    assert!(count(&output, "payload_refused") > 0, "{output}");
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
}

#[test]
fn a_run_that_was_killed_leaves_nothing_on_any_node() {
    let (source, target) = together(
        || Server::start(Version::Redis70),
        || Cluster::start(Version::Redis70, 3, 0),
    );
    let mut c = source.connection();
    let masters = target.masters();
    // One for each node.
    let keys = masters.iter().map(|node| {
        let slots = target.slots_of(node);
        key_in(|slot| slots.contains(&slot), "a}b")
    });
    let keys: Vec<String> = keys.collect();
    for (seed, key) in (0..).zip(&keys) {
        fill_big(&mut c, "zset", key.as_bytes(), 60_000, seed);
    }
    // The cluster tells its nodes' own addresses: the source is what can be held up.
    let to_source = Proxy::to(&source.address());
    to_source.stall_after(Direction::Down, 9 << 20);
    let mut running = riot(["replicate".into(), to_source.address(), target.uri()])
        .words(["--big-key", "1MB", "--read-threads", "3", "--threads", "3"])
        .spawn();
    wait::until("there are temporary names", || {
        assert!(running.is_running(), "{}", running.stderr());
        let names = temporary(&target);
        (to_source.is_stalled(Direction::Down) && !names.is_empty()).then_some(())
    });
    running.signal("KILL");
    assert_eq!(running.finish().code(), None);
    for name in target.holders(0).into_iter().flat_map(super::temporary_of) {
        let (tag, digits) = name.split_once(TEMPORARY).unwrap();
        assert!(
            digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{name}"
        );
        let slots: Vec<u16> = keys.iter().map(|key| slot(key.as_bytes())).collect();
        assert!(slots.contains(&slot(tag.as_bytes())), "{name}");
    }
    told(&source, &target)
        .words(["--big-key", "1MB"])
        .run()
        .exits(0);
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
}
