//! A source that is far away: pages of SCAN grow, as only one is under way.

use std::time::Duration;

use crate::data;
use crate::proxy::{Direction, Proxy};
use crate::riot::riot;
use crate::servers::{Server, Version};
use crate::size::size;

/// Copies from a source that is 60 ms away: how many keys a SCAN was asked for, on average.
fn keys_of_a_page(words: &[&str]) -> u32 {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let keys = size().far_keys;
    data::fill_strings(&source, "key:", keys, 100);
    let proxy = Proxy::to(&source.address());
    proxy.delay(Direction::Up, Duration::from_millis(60));
    let at = format!("redis://{}", proxy.address());
    riot(["replicate", &at, &target.uri(), "--no-verify"])
        .words(words)
        .run()
        .exits(0);
    data::assert_same(&source, &target);
    keys / u32::try_from(source.calls("scan")).unwrap()
}

#[test]
fn pages_grow_while_the_lanes_wait_for_keys() {
    let page = keys_of_a_page(&[]);
    assert!(page > 1500, "{page}");
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
