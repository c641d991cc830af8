//! A snapshot arrives whole: every type, every byte, every expiry.

use crate::data::{self, run};
use crate::riot::replicate;
use crate::servers::{Server, Version};
use crate::size::size;

#[test]
fn every_type_arrives_byte_for_byte_and_expiry_for_expiry() {
    for carriage in ["auto", "dump"] {
        let (source, target) = (
            Server::start(Version::Redis70),
            Server::start(Version::Redis70),
        );
        data::fill_every_type(&source, 0);
        let before = data::snapshot(&source, 0);
        let output = replicate(&source, &target)
            .words(["--type", carriage])
            .run()
            .exits(0);
        let counts = output.counts();
        assert_eq!(
            (counts.written, counts.scanned),
            (source.keys(0), source.keys(0)),
            "{output}"
        );
        data::assert_same(&source, &target);
        data::assert_snapshots(&before, &data::snapshot(&source, 0), 0);
        output.prints("0 missing, 0 type, 0 value, 0 ttl\n");
    }
}

#[test]
fn field_expiries_and_vector_sets_of_redis_8_arrive() {
    let (source, target) = (
        Server::start(Version::Redis80),
        Server::start(Version::Redis80),
    );
    data::fill_every_type(&source, 0);
    source.tell("VADD vectors VALUES 3 0.1 0.2 0.3 first");
    source.tell("VADD vectors VALUES 3 0.9 0.2 -0.3 second SETATTR {\"year\":1984}");
    replicate(&source, &target).run().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn keys_that_the_target_has_are_replaced_and_others_are_left_alone() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 0);
    // The same names with another type, another value, an expiry where there is none, and none where there is one.
    let mut c = target.connection();
    for (key, value) in data::snapshot(&source, 0) {
        if matches!(value.body, data::Body::Text(_)) {
            run!(c, "RPUSH", &key.0, "something", "else");
        } else {
            run!(c, "SET", &key.0, "something else");
        }
        if value.expiry.is_none() {
            run!(c, "PEXPIRE", &key.0, 500_000);
        }
    }
    run!(
        c,
        "SET",
        "only at the target",
        "stays",
        "PXAT",
        9_999_999_999_999_i64
    );
    let mut expected = data::snapshot(&source, 0);
    expected.extend(
        data::snapshot(&target, 0)
            .into_iter()
            .filter(|(key, _)| key.0 == b"only at the target"),
    );

    replicate(&source, &target).run().exits(0);
    data::assert_snapshots(&expected, &data::snapshot(&target, 0), 0);
}

#[test]
fn a_second_run_changes_nothing() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 0);
    data::fill_mixed(&source, "mixed:", 3000);
    for _ in 0..2 {
        replicate(&source, &target).run().exits(0);
        data::assert_same(&source, &target);
    }
}

#[test]
fn an_empty_source_is_a_run_of_no_keys() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    target.tell("SET stays here");
    let output = replicate(&source, &target).run().exits(0);
    assert_eq!(output.counts().scanned, 0, "{output}");
    assert_eq!(target.keys(0), 1);
}

#[test]
fn a_large_string_arrives_whole() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let mut c = source.connection();
    let text = data::text(1, size().large_string);
    run!(c, "SET", "large", &text);
    run!(c, "SET", "large with an expiry", &text, "PX", 3_600_000);
    run!(c, "SET", "small", "1");
    replicate(&source, &target).run().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn many_small_keys_arrive() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let count = size().small_keys;
    data::fill_strings(&source, "string:", count / 2, 100);
    data::fill_mixed(&source, "mixed:", count / 2);
    let output = replicate(&source, &target).run().exits(0);
    assert_eq!(output.counts().written, u64::from(count), "{output}");
    data::assert_same(&source, &target);
}

#[test]
fn keys_of_one_shape_may_have_any_type_and_size() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let mut c = source.connection();
    let mut state = 7_u32;
    for number in 0..4000_u32 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Mostly small, a few of some hundred KB, so that no prediction from the shape holds.
        let bytes = if state >> 24 < 8 {
            state as usize % 400_000
        } else {
            state as usize % 300
        };
        let key = format!("item:{number}");
        match state % 5 {
            0..=2 => run!(c, "SET", &key, data::text(number, bytes)),
            3 => run!(c, "RPUSH", &key, data::text(number, bytes), ""),
            _ => run!(c, "HSET", &key, "field", data::text(number, bytes)),
        };
    }
    replicate(&source, &target).run().exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn each_side_has_its_database_number() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 3);
    source.tell("SET in-database-0 1");
    target.tell("SET in-database-0 2");
    replicate(&source, &target)
        .words(["--source-db", "3", "--target-db", "5"])
        .run()
        .exits(0);
    data::assert_snapshots(&data::snapshot(&source, 3), &data::snapshot(&target, 5), 0);
    assert_eq!((target.keys(0), target.keys(3), source.keys(5)), (1, 0, 0));
    assert_eq!(target.run::<String>("GET in-database-0"), "2");
}

#[test]
fn one_server_may_be_both_sides_when_the_databases_differ() {
    let server = Server::start(Version::Redis70);
    data::fill_every_type(&server, 0);
    replicate(&server, &server)
        .words(["--target-db", "9"])
        .run()
        .exits(0);
    data::assert_snapshots(&data::snapshot(&server, 0), &data::snapshot(&server, 9), 0);
}
