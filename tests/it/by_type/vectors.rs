//! Vector sets of Redis 8: elements, vectors and attributes by their own commands; the graph is built anew.

use std::collections::BTreeMap;

use super::{EQUAL, by_type, count, temporary, told};
use crate::data::{self, run};
use crate::riot::compare_full;
use crate::servers::{Server, Version};

const KEYS: [&str; 5] = ["q8", "noquant", "bin", "named \0\r\n\u{ff}", "many"];

fn fill(source: &Server) {
    let mut c = source.connection();
    for (key, quantization) in KEYS.iter().zip(["Q8", "NOQUANT", "BIN", "Q8", "NOQUANT"]) {
        let elements = if *key == "many" { 3000 } else { 40 };
        let mut pipe = redis::pipe();
        for n in 0..elements {
            pipe.cmd("VADD").arg(key).arg("VALUES").arg(6);
            for part in 0..6 {
                let angle = f64::from(n * 6 + part);
                pipe.arg(((angle * 0.7).sin() * 3.5).to_string());
            }
            pipe.arg(format!("element {n}\r\n\0")).arg(quantization);
            if n % 3 == 0 {
                pipe.arg("SETATTR").arg(format!("{{\"year\":{n}}}"));
            }
        }
        let _: Vec<redis::Value> = pipe.query(&mut c).unwrap();
    }
    run!(c, "VADD", "links", "VALUES", 2, 1, 0, "a", "M", 8);
    run!(c, "VADD", "links", "VALUES", 2, 0, 0, "zero", "M", 8);
    run!(c, "PEXPIREAT", "q8", 4_102_444_800_123_i64);
}

/// An element's vector and its attributes.
type Element = (Vec<f64>, Option<String>);

fn elements(server: &Server, key: &str) -> BTreeMap<Vec<u8>, Element> {
    let mut c = server.connection();
    let names: Vec<Vec<u8>> = redis::cmd("VRANDMEMBER")
        .arg(key)
        .arg(1_000_000)
        .query(&mut c)
        .unwrap();
    let mut pipe = redis::pipe();
    for name in &names {
        pipe.cmd("VEMB").arg(key).arg(name);
        pipe.cmd("VGETATTR").arg(key).arg(name);
    }
    let answers: Vec<redis::Value> = pipe.query(&mut c).unwrap();
    let elements = names
        .into_iter()
        .zip(answers.chunks(2))
        .map(|(name, pair)| {
            let vector = redis::from_redis_value(pair[0].clone()).unwrap();
            let attributes = redis::from_redis_value(pair[1].clone()).unwrap();
            (name, (vector, attributes))
        });
    elements.collect()
}

/// A field of VINFO.
fn info(server: &Server, key: &str, field: &str) -> String {
    let answers: BTreeMap<String, redis::Value> = redis::cmd("VINFO")
        .arg(key)
        .query(&mut server.connection())
        .unwrap();
    format!("{:?}", answers[field])
}

#[track_caller]
fn assert_equal(source: &Server, target: &Server, key: &str) {
    for field in ["quant-type", "vector-dim", "size", "hnsw-m"] {
        let (wanted, found) = (info(source, key, field), info(target, key, field));
        assert_eq!(wanted, found, "{field} of {key}");
    }
    let (wanted, found) = (elements(source, key), elements(target, key));
    assert_eq!(wanted.len(), found.len(), "{key}");
    for (name, (vector, attributes)) in wanted {
        let (other, others) = &found[&name];
        assert_eq!(&attributes, others, "{key} {}", name.escape_ascii());
        assert_eq!(vector.len(), other.len(), "{key} {}", name.escape_ascii());
        for (one, two) in vector.iter().zip(other) {
            // A server keeps the direction and the length of a vector, each as 32 bits.
            let near = (one - two).abs() <= one.abs().max(1.0) * 1e-6;
            assert!(near, "{key} {}: {one} and {two}", name.escape_ascii());
        }
    }
    let expiry = |server: &Server| -> i64 {
        redis::cmd("PEXPIRETIME")
            .arg(key)
            .query(&mut server.connection())
            .unwrap()
    };
    assert_eq!(expiry(source), expiry(target), "{key}");
}

fn pair() -> (Server, Server) {
    let (source, target) = (
        Server::start(Version::Redis80),
        Server::start(Version::Redis80),
    );
    fill(&source);
    (source, target)
}

#[test]
fn they_are_carried_by_their_commands() {
    for words in [["--type", "struct"], ["--big-key", "1KB"]] {
        let (source, target) = pair();
        run!(target.connection(), "VADD", "q8", "VALUES", 2, 1, 1, "old");
        let output = told(&source, &target).words(words).run().exits(0);
        assert_eq!(count(&output, "failed"), 0, "{output}");
        for key in KEYS.iter().chain(&["links"]) {
            assert_equal(&source, &target, key);
        }
        assert_eq!(temporary(&target), [""; 0]);
        assert_eq!(target.keys(0), source.keys(0));
        compare_full(&source, &target)
            .words(["--show-diffs", "--rounds", "1"])
            .run()
            .exits(0)
            .prints(EQUAL);
    }
}

#[test]
fn they_fail_by_name_where_the_target_has_none() {
    for version in [Version::Redis60, Version::Redis70, Version::Valkey81] {
        for words in [&["--type", "struct"][..], &[], &["--big-key", "1KB"]] {
            let (source, target) = (Server::start(Version::Redis80), Server::start(version));
            fill(&source);
            data::fill_mixed(&source, "mixed:", 50);
            target.tell("SET links older");
            let output = told(&source, &target).words(words).run().exits(1);
            assert_eq!(count(&output, "failed"), 6, "{output}");
            assert_eq!(count(&output, "written"), 50, "{output}");
            for key in ["q8", "noquant", "bin", "many", "links"] {
                let named = output.stderr.lines().any(|line| {
                    line.contains(&format!("not copied: {key}: ")) && line.contains("vectorset")
                });
                assert!(named, "{key} is not named\n{output}");
            }
            assert_eq!(target.run::<String>("GET links"), "older");
            assert_eq!((target.keys(0), temporary(&target).len()), (51, 0));
        }
    }
}

#[test]
fn they_are_merged_element_by_element() {
    let (source, target) = pair();
    let mut c = target.connection();
    run!(
        c,
        "VADD",
        "links",
        "VALUES",
        2,
        0.5,
        0.5,
        "only here",
        "M",
        8
    );
    by_type(&source, &target).word("--merge").run().exits(0);
    let found = elements(&target, "links");
    let names: Vec<&[u8]> = found.keys().map(Vec::as_slice).collect();
    assert_eq!(names, [b"a".as_slice(), b"only here", b"zero"]);
}
