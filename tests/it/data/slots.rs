//! Keys whose names matter to a cluster: hash tags, odd braces, bytes, several keys of a slot.

use super::{run, server_time, text};
use crate::clusters::slot;
use crate::servers::Version;
use crate::store::{Client, Store};

/// Names that say by their braces which slot they have, or seem to.
const NAMES: [&[u8]; 22] = [
    b"a}b",
    b"}x",
    b"{}x",
    b"{a}{b}",
    b"{a",
    b"a}{b",
    b"{{a}}",
    b"{{}",
    b"{}{a}",
    b"x{a}y",
    b"x{a}y{b}",
    b"}{a}",
    b"{a}}",
    b"{\r\n}line",
    b"{\0}nul",
    b"{\xff\xfe}bytes",
    b"\xff{a}\xfe",
    b"{ }space",
    b"{}}",
    b"{}",
    b"{",
    b"}",
];

/// Fills keys of all types under every such name, and many in a few slots.
pub(crate) fn fill_slots(store: &dyn Store) {
    let mut c = store.client();
    let expires = server_time(&mut c) + 900_000;
    for (number, name) in NAMES.iter().enumerate() {
        run!(c, "SET", *name, format!("value of name {number}"));
        let named = |suffix: &str| [name, suffix.as_bytes()].concat();
        run!(c, "RPUSH", named(":list"), number, *name, "");
        run!(c, "HSET", named(":hash"), *name, number, "", "");
        run!(c, "ZADD", named(":zset"), number, *name);
        run!(c, "PEXPIREAT", named(":hash"), expires + 1);
    }
    for tag in ["one", "two", "\u{e4}"] {
        for number in 0..60 {
            one_of_many(&mut c, &format!("{{{tag}}}:{number}"), number, expires);
        }
    }
    large(&mut c);
    if store.version() == Version::Redis80 {
        let name = "{one}:field expiry";
        run!(c, "HSET", name, "a", 1, "b", 2);
        run!(c, "HPEXPIREAT", name, expires, "FIELDS", 1, "b");
    }
}

fn one_of_many(c: &mut Client, key: &str, number: u32, expires: i64) {
    match number % 6 {
        0 => run!(*c, "SET", key, text(number, 300)),
        1 => run!(*c, "SET", key, ""),
        2 => run!(*c, "SADD", key, number, "", "member"),
        3 => run!(*c, "HSET", key, "", "", "field", number),
        4 => run!(*c, "XADD", key, format!("{}-1", number + 1), "", number),
        _ => run!(*c, "RPUSH", key, ""),
    };
    if number.is_multiple_of(4) {
        run!(*c, "PEXPIREAT", key, expires + i64::from(number));
    }
}

/// Values of some megabytes, two of them in one slot.
fn large(c: &mut Client) {
    run!(*c, "SET", "{one}:3 MB", text(1, 3 << 20));
    for part in 0..20 {
        let elements: Vec<String> = (0..500).map(|n| text(part * 500 + n, 100)).collect();
        run!(*c, "RPUSH", "{one}:1 MB list", &elements);
        run!(*c, "SADD", "1 MB set", &elements);
    }
}

mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_names_slots_are_those_of_cluster_keyslot() {
        let server = crate::servers::Server::with(Version::Redis70)
            .cluster()
            .start();
        let mut c = server.connection();
        let mut seen = BTreeSet::new();
        for name in NAMES {
            let wanted: u16 = redis::cmd("CLUSTER")
                .arg("KEYSLOT")
                .arg(name)
                .query(&mut c)
                .unwrap();
            assert_eq!(slot(name), wanted, "{}", name.escape_ascii());
            seen.insert(wanted);
        }
        assert!(seen.len() > 10, "{seen:?}");
    }
}
