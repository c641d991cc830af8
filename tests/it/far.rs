//! A source that is far away: it is scanned in parts, several at once, or by pages that grow.

use std::time::Duration;

use redis::Commands as _;

use crate::data;
use crate::proxy::{Direction, Proxy};
use crate::riot::riot;
use crate::servers::{Server, Version};
use crate::size::size;
use crate::wait::until;

const VERSIONS: [Version; 4] = [
    Version::Redis60,
    Version::Redis70,
    Version::Redis80,
    Version::Valkey81,
];
/// Each way.
const DELAY: Duration = Duration::from_millis(30);

/// A proxy in front of a server that is `2 * DELAY` away, and its address.
fn far(server: &Server) -> (Proxy, String) {
    let proxy = Proxy::to(&server.address());
    proxy.delay(Direction::Up, DELAY);
    proxy.delay(Direction::Down, DELAY);
    let at = format!("redis://{}", proxy.address());
    (proxy, at)
}

/// The cursors of the SCANs that a server was asked for, the latest first; it must log all commands.
fn cursors(server: &Server) -> Vec<String> {
    let log: Vec<Vec<redis::Value>> = server.run("SLOWLOG GET 100000");
    let words = |entry: Vec<redis::Value>| -> Vec<String> {
        redis::from_redis_value(entry[3].clone()).unwrap()
    };
    let scans = log
        .into_iter()
        .map(words)
        .filter(|words| words[0] == "SCAN");
    scans.map(|words| words[1].clone()).collect()
}

fn log_scans(server: &Server) {
    server.tell("CONFIG SET slowlog-max-len 100000");
    server.tell("CONFIG SET slowlog-log-slower-than 0");
}

#[test]
fn every_key_of_a_far_source_is_named_once_by_the_parts_of_its_table() {
    for version in VERSIONS {
        let (source, target) = (Server::start(version), Server::start(version));
        data::fill_strings(&source, "key:", size().far_keys, 20);
        log_scans(&source);
        let (_proxy, at) = far(&source);
        let run = riot(["replicate", &at, &target.uri(), "--no-verify"]).run();
        let counts = run.exits(0).counts();
        let cursors = cursors(&source);
        data::assert_same(&source, &target);
        // A key that two parts name is taken in once; only where a table is divided anew it may be named again.
        assert_eq!(counts.scanned, u64::from(size().far_keys), "{version:?}");
        // The bucket at which a later part begins.
        assert!(
            cursors.contains(&"1".to_owned()),
            "{version:?}: {cursors:?}"
        );
    }
}

#[test]
fn no_key_is_missed_while_the_table_of_a_far_source_grows_and_shrinks() {
    for version in VERSIONS {
        let (source, target) = (Server::start(version), Server::start(version));
        let keys = size().far_keys;
        data::fill_strings(&source, "key:", keys, 20);
        let (_proxy, at) = far(&source);
        // Slow enough to be under way while the table is divided anew.
        let run = riot(["replicate", &at, &target.uri(), "--no-verify"])
            .words(["--sleep", "40"])
            .spawn();
        until("the copy to begin", || (target.keys(0) > 0).then_some(()));
        data::fill_strings(&source, "new:", 3 * keys, 20);
        let mut connection = source.connection();
        let new: Vec<String> = (0..3 * keys)
            .map(|number| format!("new:{number}"))
            .collect();
        for names in new.chunks(5000) {
            let _: u64 = connection.del(names).unwrap();
        }
        run.finish().exits(0);
        let old: Vec<String> = (0..keys).map(|number| format!("key:{number}")).collect();
        for names in old.chunks(5000) {
            let found: Vec<Option<String>> = target.connection().mget(names).unwrap();
            let expected: Vec<Option<String>> = connection.mget(names).unwrap();
            assert!(found == expected, "{version:?}");
        }
    }
}

#[test]
fn a_scan_in_parts_goes_on_where_it_was_when_the_connection_is_lost() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_strings(&source, "key:", size().far_keys, 20);
    let (proxy, at) = far(&source);
    let run = riot(["replicate", &at, &target.uri(), "--no-verify"])
        .words(["--sleep", "40"])
        .spawn();
    for part in [10, 4, 2] {
        let some = u64::from(size().far_keys / part);
        until("more keys", || (target.keys(0) > some).then_some(()));
        proxy.cut();
    }
    run.finish().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn a_far_source_is_compared_with_all_its_keys() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let keys = size().far_keys;
    data::fill_strings(&source, "key:", keys, 20);
    data::fill_strings(&target, "key:", keys, 20);
    let mut connection = target.connection();
    let _: u64 = connection.del(format!("key:{}", keys / 2)).unwrap();
    let _: () = connection.set("key:7", "another").unwrap();
    let _: () = connection.set("more", "x").unwrap();
    let (_proxy, at) = far(&source);
    riot(["compare", &at, &target.uri(), "--rounds", "1"])
        .run()
        .exits(1)
        .prints("1 missing")
        .holds("all keys are looked at", |output| {
            output
                .stdout
                .contains(&format!("{},{:03} keys", keys / 1000, keys % 1000))
        });
}

/// Copies from a source that is 60 ms away: how many keys a SCAN was asked for, on average.
fn keys_of_a_page(words: &[&str]) -> u32 {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let keys = size().far_keys;
    data::fill_strings(&source, "key:", keys, 100);
    let (_proxy, at) = far(&source);
    riot(["replicate", &at, &target.uri(), "--no-verify"])
        .words(words)
        .run()
        .exits(0);
    let pages = u32::try_from(source.calls("scan")).unwrap();
    data::assert_same(&source, &target);
    keys / pages
}

#[test]
fn pages_grow_while_the_lanes_wait_for_keys() {
    // What leaves keys out is one scan, whose next page waits for the one before.
    let page = keys_of_a_page(&["--key-pattern", "key:*"]);
    assert!(page > 2500, "{page}");
}

#[test]
fn pages_stay_as_long_as_they_are_told() {
    let page = keys_of_a_page(&["--scan-count", "1000"]);
    assert!((500..1100).contains(&page), "{page}");
}

#[test]
fn pages_do_not_grow_under_a_rate() {
    let rate = (size().far_keys / 4).to_string();
    let page = keys_of_a_page(&["--rate", &rate]);
    assert!(page < size().far_keys / 30, "{page}");
}
