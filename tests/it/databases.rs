//! Several databases in one run: each goes to the same number, or where it is sent, and nothing else is touched. The proof is
//! what both servers hold, database by database.

mod comparing;
mod kept;
mod live;
mod places;
mod refused;
mod rights;

use redis::FromRedisValue;
use serde_json::Value;

use crate::data::{self, run};
use crate::riot::{Output, Riot, replicate, riot};
use crate::servers::{Server, Version};
use crate::store::Store;

/// Two servers.
fn pair() -> (Server, Server) {
    (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    )
}

/// A database's answer to a command of plain words.
fn ask<T: FromRedisValue>(server: &Server, database: u16, command: &str) -> T {
    let mut words = command.split(' ');
    let mut asked = redis::cmd(words.next().unwrap());
    for word in words {
        asked.arg(word);
    }
    asked.query(&mut server.connection_to(database)).unwrap()
}

/// Keys of all types in these databases of a server, under the same names, and one whose value is the number.
fn fill(server: &Server, databases: &[u16]) {
    for database in databases {
        data::fill_every_type(server, *database);
        let mut connection = server.connection_to(*database);
        run!(connection, "SET", "number", *database);
        for key in 0..100 + database {
            run!(
                connection,
                "SET",
                format!("key:{key}"),
                format!("{database}")
            );
        }
    }
}

/// Fails the test where a database of the target does not hold what that of the source does.
#[track_caller]
fn same(source: &Server, target: &Server, pairs: &[(u16, u16)]) {
    for (from, to) in pairs {
        data::assert_snapshots(
            &data::snapshot(source, *from),
            &data::snapshot(target, *to),
            source.tolerance().max(target.tolerance()),
        );
    }
}

/// Fails the test where a server has keys in others than these databases.
#[track_caller]
fn only(server: &Server, databases: &[u16]) {
    for database in 0..16 {
        let keys = server.keys(database);
        let wanted = databases.contains(&database);
        assert_eq!(keys > 0, wanted, "{keys} keys in database {database}");
    }
}

/// The databases of a JSON report, each with where it goes and this count.
fn counted(output: &Output, count: &str) -> Vec<(u64, u64, u64)> {
    let report = output.report();
    let number = |value: &Value| value.as_u64().unwrap();
    let databases = report["databases"].as_array().unwrap().iter();
    databases
        .map(|of| {
            (
                number(&of["source"]),
                number(&of["target"]),
                number(&of[count]),
            )
        })
        .collect()
}

/// `riot replicate --source-db DATABASES SOURCE TARGET`.
fn copy(source: &dyn Store, target: &dyn Store, databases: &str) -> Riot {
    replicate(source, target).words(["--source-db", databases])
}

#[test]
fn every_database_with_keys_goes_to_its_own_number_in_every_spelling() {
    let source = Server::start(Version::Redis70);
    fill(&source, &[0, 3, 15]);
    let port = source.port().to_string();
    let all = |words: &[&str], target: &Server| {
        let output = riot(words).run().exits(0);
        let output = output.says("databases: 0 (").says("15 (");
        same(&source, target, &[(0, 0), (3, 3), (15, 15)]);
        only(target, &[0, 3, 15]);
        output
    };
    for databases in ["all", "0-15", "0,3,15", "15,0-4"] {
        let target = Server::start(Version::Redis70);
        let words = [
            "replicate",
            &source.uri(),
            &target.uri(),
            "--source-db",
            databases,
        ];
        all(&words, &target);
    }
    let target = Server::start(Version::Redis70);
    let to = target.port().to_string();
    let side = ["-h", "127.0.0.1", "-p"];
    let mut words = [&side[..], &[&port, "-n", "all", "replicate"], &side[..]].concat();
    words.push(&to);
    all(&words, &target);
    let target = Server::start(Version::Redis70);
    let address = format!("redis://127.0.0.1:{port}/all");
    all(&["replicate", &address, &target.uri()], &target);
}

#[test]
fn those_alone_are_taken_that_are_named() {
    let (source, target) = pair();
    fill(&source, &[0, 1, 3]);
    // Database 7 has no keys, which is as good as any.
    copy(&source, &target, "1,3,7").run().exits(0);
    same(&source, &target, &[(1, 1), (3, 3)]);
    only(&target, &[1, 3]);
}

#[test]
fn a_source_without_a_key_is_copied_as_such() {
    let (source, target) = pair();
    target.tell("SET own 1");
    copy(&source, &target, "all")
        .run()
        .exits(0)
        .prints("0 keys: ");
    only(&target, &[0]);
}

#[test]
fn a_database_goes_where_it_is_sent() {
    let (source, target) = pair();
    fill(&source, &[1, 3, 4]);
    let run = copy(&source, &target, "all").words(["--db-map", "3=0", "--db-map", "4=3"]);
    let output = run.words(["--report", "json"]).run().exits(0);
    same(&source, &target, &[(1, 1), (3, 0), (4, 3)]);
    only(&target, &[0, 1, 3]);
    let written = counted(&output, "written");
    let pairs: Vec<_> = written.iter().map(|(from, to, _)| (*from, *to)).collect();
    assert_eq!(pairs, [(1, 1), (3, 0), (4, 3)]);
}

#[test]
fn one_database_is_mapped_as_several_are() {
    let (source, target) = pair();
    fill(&source, &[3]);
    copy(&source, &target, "3")
        .words(["--db-map", "3=9"])
        .run()
        .exits(0);
    same(&source, &target, &[(3, 9)]);
    only(&target, &[9]);
}

#[test]
fn names_tell_each_database_its_own_numbers() {
    let (source, target) = pair();
    for database in [0, 3] {
        run!(source.connection_to(database), "SET", "key", database);
    }
    let run = copy(&source, &target, "all").words(["--db-map", "3=5", "--key-process"]);
    run.word("#{#source.database}-#{#target.database}:#{key}")
        .run()
        .exits(0);
    let name: Vec<String> = ask(&target, 0, "KEYS *");
    assert_eq!(name, ["0-0:key"]);
    let name: Vec<String> = ask(&target, 5, "KEYS *");
    assert_eq!(name, ["3-5:key"]);
}

#[test]
fn what_chooses_keys_chooses_them_in_each_database() {
    let (source, target) = pair();
    fill(&source, &[0, 3]);
    for shard in ["1/2", "2/2"] {
        copy(&source, &target, "all")
            .words(["--shard", shard])
            .run()
            .exits(0);
    }
    same(&source, &target, &[(0, 0), (3, 3)]);
    let target = Server::start(Version::Redis70);
    let run =
        copy(&source, &target, "all").words(["--key-pattern", "key:*", "--key-exclude", "key:1.*"]);
    run.run().exits(0);
    for database in [0, 3] {
        let names: Vec<String> = ask(&source, database, "KEYS key:*");
        let wanted = names.iter().filter(|name| !name.starts_with("key:1"));
        assert_eq!(target.keys(database), wanted.count() as u64);
    }
}

#[test]
fn the_counts_add_up_over_all_databases() {
    let (source, target) = pair();
    fill(&source, &[0, 3, 15]);
    let keys = [0, 3, 15].map(|database| source.keys(database));
    let all: u64 = keys.iter().sum();
    let output = copy(&source, &target, "all")
        .words(["--report", "json"])
        .run()
        .exits(0);
    let report = output.report();
    for count in ["total_keys", "scanned", "written", "compared"] {
        assert_eq!(report[count], all, "{count}\n{output}");
        let each: Vec<u64> = counted(&output, count)
            .iter()
            .map(|(.., count)| *count)
            .collect();
        assert_eq!(each, keys, "{count}\n{output}");
    }
    let text = copy(&source, &target, "all").run().exits(0);
    let counts = text.counts();
    assert_eq!((counts.scanned, counts.written), (all, all), "{text}");
    let mut text = text.prints(&format!("db3: {} keys: {} written", keys[1], keys[1]));
    let last = text.stdout.lines().last().unwrap_or_default().to_owned();
    assert_eq!(last, "0 missing, 0 type, 0 value, 0 ttl", "{text}");
    text = copy(&source, &target, "all")
        .words(["--report", "short"])
        .run()
        .exits(0);
    assert_eq!(text.stdout, format!("OK:{all} V:0 >:0 <:0 T:0\n"), "{text}");
}

#[test]
fn a_dry_run_and_a_run_without_comparison_are_what_they_are_elsewhere() {
    let (source, target) = pair();
    fill(&source, &[0, 3]);
    copy(&source, &target, "all")
        .word("--dry-run")
        .run()
        .exits(0)
        .prints("dry run");
    only(&target, &[]);
    for depth in ["none", "full"] {
        copy(&source, &target, "all")
            .words(["--compare", depth])
            .run()
            .exits(0);
        same(&source, &target, &[(0, 0), (3, 3)]);
    }
}

#[test]
fn keys_that_fail_are_named_with_their_database() {
    let source = Server::start(Version::Redis70);
    let target = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser writer on >secret ~open:* ~riot:probe:* +@all\n")
        .start();
    for database in [0, 3] {
        let mut connection = source.connection_to(database);
        run!(connection, "SET", "open:key", 1);
        run!(connection, "SET", "closed:key", 1);
    }
    let run = copy(&source, &target, "all").words([
        "--target-user",
        "writer",
        "--target-pass",
        "secret",
        "--no-verify",
    ]);
    let output = run.run().exits(1);
    let output = output
        .prints("failed write db0 closed:key: ")
        .prints("failed write db3 closed:key: ")
        .says("not copied: db3 closed:key: ");
    assert_eq!(output.counts().failed, 2, "{output}");
    // What may fail is counted for the whole run.
    let run = copy(&source, &target, "all").words([
        "--target-user",
        "writer",
        "--target-pass",
        "secret",
        "--no-verify",
    ]);
    let output = run.words(["--skip", "never"]).run().exits(1);
    assert_eq!(output.counts().failed, 1, "{output}");
}

#[test]
fn a_run_that_repeats_takes_what_has_keys_by_then() {
    let (source, target) = pair();
    fill(&source, &[0]);
    let run = copy(&source, &target, "all").words(["--repeat", "200ms"]);
    let mut running = run.spawn();
    running.wait_for("comparing 100 %");
    run!(source.connection_to(4), "SET", "later", 1);
    crate::wait::until("the later database is copied", || {
        (target.keys(4) == 1).then_some(())
    });
    running.signal("TERM");
    running.finish();
    same(&source, &target, &[(0, 0), (4, 4)]);
}

#[test]
fn one_server_is_both_sides_where_no_database_is_both() {
    let server = Server::start(Version::Redis70);
    fill(&server, &[0, 3]);
    let run = copy(&server, &server, "3,0").words(["--db-map", "3=5", "--db-map", "0=6"]);
    run.run().exits(0);
    same(&server, &server, &[(3, 5), (0, 6)]);
    only(&server, &[0, 3, 5, 6]);
}
