//! Addresses that are read, and those that are refused without repeating them.

use proptest::prelude::*;

use super::*;

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp {
        host: host.to_owned(),
        port,
    }
}

fn parse(text: &str) -> Uri {
    Uri::parse("SOURCE", text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn addresses_of_each_scheme() {
    let unix = |path: &str| Address::Unix(PathBuf::from(path));
    let sentinels = |nodes: &[(&str, u16)]| Address::Sentinel {
        nodes: nodes
            .iter()
            .map(|(host, port)| ((*host).to_owned(), *port))
            .collect(),
        master: "mymaster".to_owned(),
    };
    for (text, address, tls) in [
        ("redis://10.0.0.5", tcp("10.0.0.5", 6379), false),
        ("redis://10.0.0.5:6380/", tcp("10.0.0.5", 6380), false),
        ("REDIS://db.example.com", tcp("db.example.com", 6379), false),
        (
            "rediss://db.example.com:6380",
            tcp("db.example.com", 6380),
            true,
        ),
        ("db.example.com", tcp("db.example.com", 6379), false),
        ("localhost:7000", tcp("localhost", 7000), false),
        ("redis://[::1]", tcp("::1", 6379), false),
        (
            "redis://[2001:db8::1]:7000/3",
            tcp("2001:db8::1", 7000),
            false,
        ),
        ("[::1]:7000", tcp("::1", 7000), false),
        (
            "redis://u:p@[fe80::1%25eth0]:7000",
            tcp("fe80::1%eth0", 7000),
            false,
        ),
        (
            "redis-socket:///run/redis.sock",
            unix("/run/redis.sock"),
            false,
        ),
        (
            "unix:///run/a%20b.sock?database=2",
            unix("/run/a b.sock"),
            false,
        ),
        (
            "redis-sentinel://h1#mymaster",
            sentinels(&[("h1", 26379)]),
            false,
        ),
        (
            "redis-sentinel://h1:1,h2:2,[::1]:3/0#mymaster",
            sentinels(&[("h1", 1), ("h2", 2), ("::1", 3)]),
            false,
        ),
        (
            "redis-sentinel://pw@h1,h2?sentinelMasterId=mymaster",
            sentinels(&[("h1", 26379), ("h2", 26379)]),
            false,
        ),
        (
            "rediss-sentinel://h1/1#mymaster",
            sentinels(&[("h1", 26379)]),
            true,
        ),
    ] {
        let uri = parse(text);
        assert_eq!((uri.address, uri.tls), (address, tls), "{text}");
    }
}

#[test]
fn credentials() {
    for (text, user, password) in [
        ("redis://h", None, None),
        ("redis://secret@h", None, Some("secret")),
        ("redis://:secret@h", None, Some("secret")),
        ("redis://alice:secret@h", Some("alice"), Some("secret")),
        ("redis://alice:@h", Some("alice"), None),
        (
            "redis://alice:p%40ss%2F%3A%25@h",
            Some("alice"),
            Some("p@ss/:%"),
        ),
        (
            "redis://alice:p@ss:word@h",
            Some("alice"),
            Some("p@ss:word"),
        ),
        ("redis://a%3Ab:%C3%A9@h", Some("a:b"), Some("é")),
        (
            "unix://alice:secret@/run/redis.sock",
            Some("alice"),
            Some("secret"),
        ),
    ] {
        let uri = parse(text);
        assert_eq!(
            (uri.user.as_deref(), uri.password.as_deref()),
            (user, password),
            "{text}"
        );
    }
}

#[test]
fn databases_and_parameters() {
    for (text, database) in [
        ("redis://h", None),
        ("redis://h/", None),
        ("redis://h/2", Some(Db::One(2))),
        ("redis://h?database=7", Some(Db::One(7))),
        ("redis://h/0-15", Some(Db::Listed((0..=15).collect()))),
        ("unix:///s?db=4", Some(Db::One(4))),
    ] {
        assert_eq!(parse(text).database, database, "{text}");
    }
    let uri = parse("rediss://h/1?timeout=30s&clientName=x%20y&verifyPeer=CA");
    assert_eq!(uri.timeout, Some(Duration::from_secs(30)));
    assert_eq!(uri.client_name.as_deref(), Some("x y"));
    assert_eq!(uri.verify, Some(TlsVerify::Ca));
    assert_eq!(
        parse("redis://h?timeout=250").timeout,
        Some(Duration::from_millis(250))
    );
}

#[test]
fn what_cannot_be_read_is_named_without_repeating_it() {
    for text in [
        "",
        "http://hunter2@h",
        "redis://",
        "redis://:hunter2@",
        "redis://:hunter2@h:0",
        "redis://:hunter2@h:65536",
        "redis://:hunter2@h:+1",
        "redis://:hunter2@h:port",
        "redis://:hunter2@h/x",
        "redis://:hunter2@h//2",
        "redis://:hunter2@h/2/",
        "redis://:hun/ter2@h",
        "redis://:hun?ter2@h",
        "redis://:hun#ter2@h",
        "redis://:hunter2%zz@h",
        "redis://:hunter2%e9@h",
        "redis://:hunter2@[::1",
        "redis://:hunter2@[::1]x",
        "redis://:hunter2@::1:6379",
        "redis://:hunter2@h/1?database=2",
        "redis://:hunter2@h?hunter2=1",
        "redis://:hunter2@h?timeout=soon",
        "redis-sentinel://:hunter2@h1",
        "redis-sentinel://:hunter2@h1?sentinelMasterId=a#b",
        "redis-sentinel://:hunter2@h1,,h2#m",
        "redis://:hunter2@h?sentinelMasterId=m",
        "unix://run/redis.sock",
        "unix:///",
        "/run/redis.sock",
        "redis://ho st",
    ] {
        let error = Uri::parse("SOURCE", text)
            .err()
            .unwrap_or_else(|| panic!("{text} was taken"))
            .to_string();
        assert!(error.starts_with("SOURCE"), "{text}: {error}");
        assert!(
            !error.contains("hun") && !error.contains("ter2"),
            "{text}: {error}"
        );
        assert!(!error.contains('\n'), "{text}: {error}");
    }
}

fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() {
            all.push(char::from(byte));
        } else {
            write!(all, "%{byte:02X}").unwrap();
        }
        all
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in ".{0,60}") {
        let _ = Uri::parse("SOURCE", &text);
        let _ = Uri::parse("SOURCE", &format!("redis://{text}"));
        let _ = Uri::parse("SOURCE", &format!("redis-sentinel://{text}"));
    }

    #[test]
    fn encoded_parts_come_back(
        user in ".{1,12}", password in ".{1,12}", host in "[a-z0-9.-]{1,20}", port in 1u16.., db in 0u32..1000
    ) {
        let text = format!("redis://{}:{}@{host}:{port}/{db}", encode(&user), encode(&password));
        let uri = Uri::parse("SOURCE", &text).unwrap();
        prop_assert_eq!(uri.user, Some(user));
        prop_assert_eq!(uri.password, Some(password));
        prop_assert_eq!(uri.address, Address::Tcp { host, port });
        prop_assert_eq!(uri.database, Some(Db::One(db)));
    }
}
