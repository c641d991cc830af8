//! Large values go in chunks, many keys in few round trips, and what goes meanwhile is gone.

use std::time::{Duration, Instant};

use riot::config::Resp;
use riot::types::Verdict;

use super::{ROOMY, TIGHT, ask, base, doubts, endpoint, keys, pair, tell, terms, value};
use crate::data::{self, run};
use crate::proxy::{Direction, Proxy};
use crate::servers::{Server, Version};
use crate::wait;

/// One large value of each type, 3 to 6 MB.
fn fill_large(server: &Server) {
    let mut c = server.connection();
    for part in 0..30_u32 {
        let numbers = part * 1000..(part + 1) * 1000;
        let long = |n: u32| data::text(n, 100);
        let pairs: Vec<(String, String)> = numbers
            .clone()
            .map(|n| (format!("f{n}"), long(n)))
            .collect();
        run!(c, "HSET", "hash", &pairs);
        let elements: Vec<String> = numbers.clone().map(long).collect();
        run!(c, "RPUSH", "list", &elements);
        run!(c, "SADD", "set", &elements);
        let scored: Vec<(u32, String)> = numbers.map(|n| (n, long(n))).collect();
        run!(c, "ZADD", "zset", &scored);
    }
    let mut pipe = redis::pipe();
    for n in 1..=20_000 {
        let words = [
            "XADD",
            "stream",
            &format!("{n}-0"),
            "field",
            &data::text(n, 100),
        ];
        pipe.cmd(words[0]).arg(&words[1..]).ignore();
    }
    pipe.exec(&mut c).unwrap();
    run!(c, "XGROUP", "CREATE", "stream", "group", "0");
    for consumer in ["ann", "bob"] {
        run!(
            c,
            "XREADGROUP",
            "GROUP",
            "group",
            consumer,
            "COUNT",
            8000,
            "STREAMS",
            "stream",
            ">"
        );
    }
    run!(c, "SET", "string", data::text(1, 5_500_000));
}

#[test]
fn large_values_are_read_in_chunks() {
    let (source, target) = pair(Version::Redis80, Version::Redis80);
    for server in [&source, &target] {
        fill_large(server);
        server.tell("CONFIG RESETSTAT");
    }
    let kinds = ["string", "hash", "list", "set", "zset", "stream"];
    let names = kinds.map(Vec::from);
    let terms = terms(&source, &target);
    let look = |bytes| {
        let ends = (
            &endpoint(source.port(), Resp::Auto),
            &endpoint(target.port(), Resp::Auto),
        );
        ask(ends, &doubts(&names, bytes), &terms, ROOMY).unwrap()
    };
    // What a payload is compressed to, what it is, and nothing known.
    for bytes in [500_000, 5_500_000, 0] {
        assert_eq!(look(bytes), [const { Verdict::Equal }; 6], "{bytes}");
    }
    for server in [&source, &target] {
        for whole in ["get", "hgetall", "smembers"] {
            assert_eq!(server.calls(whole), 0, "{whole}");
        }
    }
    assert!(source.calls("getrange") >= 12);
    for (command, least) in [
        ("hscan", 9),
        ("sscan", 9),
        ("lrange", 9),
        ("zrange", 9),
        ("xrange", 6),
        ("xpending", 12),
    ] {
        let calls = source.calls(command);
        // No command for a handful of elements either.
        assert!((least..200).contains(&calls), "{command}: {calls}");
    }
    for command in [
        "SETRANGE string 5499999 #",
        "HSET hash f29999 #",
        "LSET list -1 #",
        "SPOP set",
        "SADD set #",
        "ZADD zset 29999.000000000004 #",
        "ZREMRANGEBYRANK zset 0 0",
        "XCLAIM stream group bob 0 7999-0 RETRYCOUNT 1",
    ] {
        target.tell(command);
    }
    assert_eq!(look(5_500_000), kinds.map(value));
}

#[test]
fn what_compresses_well_is_read_in_chunks_too() {
    let (source, target) = pair(Version::Redis70, Version::Redis70);
    for server in [&source, &target] {
        let mut c = server.connection();
        for n in 0..400 {
            run!(c, "HSET", "hash", n, "a".repeat(20_000));
        }
    }
    let payload: Vec<u8> = source.run("DUMP hash");
    assert!(payload.len() < 400_000, "{}", payload.len());
    let ends = (
        &endpoint(source.port(), Resp::Auto),
        &endpoint(target.port(), Resp::Auto),
    );
    let doubts = doubts(&[b"hash".to_vec()], payload.len());
    let found = ask(ends, &doubts, &terms(&source, &target), ROOMY).unwrap();
    assert_eq!(found, [Verdict::Equal]);
    assert_eq!(source.calls("hgetall"), 0);
    assert!(source.calls("hscan") > 4, "{}", source.calls("hscan"));
}

#[test]
fn a_key_that_goes_while_it_is_read_is_gone() {
    let (source, target) = pair(Version::Redis70, Version::Redis70);
    let to_source = Proxy::to(&source.address());
    to_source.delay(Direction::Up, Duration::from_millis(300));
    let port = to_source.address().rsplit(':').next().unwrap().parse();
    let port = port.unwrap();
    let terms = terms(&source, &target);
    for server in [&source, &target] {
        // HSCAN gives a listpack in one page.
        server.tell("CONFIG SET hash-max-listpack-entries 0");
    }
    for (kind, command) in [
        ("string", "getrange"),
        ("hash", "hscan"),
        ("list", "lrange"),
        ("set", "sscan"),
        ("zset", "zrange"),
        ("stream", "xrange"),
    ] {
        let base = base(kind);
        let base: Vec<&str> = base.iter().map(String::as_str).collect();
        for server in [&source, &target] {
            tell(&mut server.connection(), kind, &base);
        }
        let ends = (
            &endpoint(port, Resp::Auto),
            &endpoint(target.port(), Resp::Auto),
        );
        let found = std::thread::scope(|scope| {
            let looking =
                scope.spawn(|| ask(ends, &doubts(&[kind.into()], 10 << 20), &terms, TIGHT));
            wait::until("the key is being read", || {
                (source.calls(command) > 0).then_some(())
            });
            source.tell("FLUSHALL");
            looking.join().unwrap().unwrap()
        });
        assert_eq!(found, [Verdict::Gone], "{kind}");
        target.tell("FLUSHALL");
    }
}

#[test]
fn a_batch_takes_few_round_trips() {
    let (source, target) = pair(Version::Redis70, Version::Redis70);
    for server in [&source, &target] {
        data::fill_mixed(server, "mixed:", 400);
    }
    let names = keys(&source);
    let (to_source, to_target) = (Proxy::to(&source.address()), Proxy::to(&target.address()));
    for proxy in [&to_source, &to_target] {
        proxy.delay(Direction::Up, Duration::from_millis(100));
    }
    let port = |proxy: &Proxy| proxy.address().rsplit(':').next().unwrap().parse().unwrap();
    let ends = (
        &endpoint(port(&to_source), Resp::Auto),
        &endpoint(port(&to_target), Resp::Auto),
    );
    let started = Instant::now();
    let found = ask(ends, &doubts(&names, 200), &terms(&source, &target), ROOMY).unwrap();
    let took = started.elapsed();
    assert!(
        found.iter().all(|verdict| *verdict == Verdict::Equal),
        "{found:?}"
    );
    // One round trip a key would be 40 s.
    assert!(took < Duration::from_secs(4), "{took:?}");
}
