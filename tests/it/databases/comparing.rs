//! `riot compare` over several databases.

use super::{counted, fill, only, pair, same};
use crate::clusters::Cluster;
use crate::data::run;
use crate::riot::{Output, Riot, compare, compare_full};
use crate::servers::{Server, Version};
use crate::store::Store as _;

fn full(source: &Server, target: &Server) -> Riot {
    compare_full(source, target).words(["--source-db", "all"])
}

/// Two servers whose databases 0, 3 and 8 differ in all that can differ.
fn differing() -> (Server, Server) {
    let (source, target) = pair();
    fill(&source, &[0, 3]);
    super::copy(&source, &target, "all").run().exits(0);
    let (mut at_source, mut at_target) = (source.connection_to(3), target.connection_to(3));
    run!(at_source, "SET", "differs", "a");
    run!(at_target, "SET", "differs", "b");
    run!(at_source, "SET", "kind", "a");
    run!(at_target, "RPUSH", "kind", "a");
    run!(at_source, "SET", "gone", "a");
    run!(at_source, "SET", "expires", "a", "EX", 100_000);
    run!(at_target, "SET", "expires", "a", "EX", 200_000);
    run!(source.connection_to(0), "SET", "gone", "a");
    run!(target.connection_to(8), "SET", "own", "a");
    (source, target)
}

/// The lines of `--show-diffs`, in order.
fn lines(output: &Output) -> Vec<&str> {
    let all = output.stdout.lines();
    let mut lines: Vec<&str> = all.take_while(|line| !line.contains(" keys: ")).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn differences_are_told_with_their_database_and_closed_with_one_line() {
    let (source, target) = differing();
    let run = full(&source, &target).words(["--show-diffs", "--round-interval", "50ms"]);
    let output = run
        .words(["--both", "--key-exclude", "expires"])
        .run()
        .exits(1);
    let expected = [
        "db0 missing string gone",
        "db3 missing string gone",
        "db3 type kind: expected string but was list",
        "db3 value string differs",
        "db8 extra own",
    ];
    assert_eq!(lines(&output), expected, "{output}");
    let last = output.stdout.lines().last().unwrap_or_default();
    assert_eq!(
        last, "2 missing, 1 type, 1 value, 0 ttl, 1 extra",
        "{output}"
    );
}

#[test]
fn expiries_and_quick_looks_are_of_each_database() {
    let (source, target) = differing();
    let run = compare(&source, &target).words(["--source-db", "0-15", "--show-diffs"]);
    let run = run.words(["--key-include", "expires", "--round-interval", "50ms"]);
    let output = run.run().exits(1);
    let line = output.stdout.lines().next().unwrap_or_default();
    assert!(line.starts_with("db3 ttl expires: expected "), "{output}");
    output.prints("0 missing, 0 type, 0 value, 1 ttl\n");
}

#[test]
fn the_report_has_each_database_and_all() {
    let (source, target) = differing();
    let run = full(&source, &target).words(["--report", "json", "--rounds", "1"]);
    let output = run
        .words(["--key-include", "gone|kind|number"])
        .run()
        .exits(1);
    let report = output.report();
    assert_eq!(report["differences"]["missing"], 2, "{output}");
    assert_eq!(report["compared"], 5, "{output}");
    assert_eq!(
        counted(&output, "compared"),
        [(0, 0, 2), (3, 3, 3)],
        "{output}"
    );
    let databases: Vec<_> = report["different_keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["database"].as_u64().unwrap())
        .collect();
    assert_eq!(databases, [0, 3, 3], "{output}");
}

#[test]
fn what_differs_is_repaired_in_each_database() {
    let (source, target) = differing();
    let run = full(&source, &target).words(["--repair", "--both", "--delete-extra"]);
    run.words(["--round-interval", "50ms"]).run().exits(0);
    same(&source, &target, &[(0, 0), (3, 3)]);
    only(&target, &[0, 3]);
}

#[test]
fn databases_that_were_sent_elsewhere_are_found_there() {
    let (source, target) = pair();
    fill(&source, &[0, 3]);
    super::copy(&source, &target, "all")
        .words(["--db-map", "3=7"])
        .run()
        .exits(0);
    let run = || full(&source, &target).words(["--db-map", "3=7", "--both"]);
    run().run().exits(0).prints("db3 to db7: ");
    run!(target.connection_to(7), "SET", "more", 1);
    let output = run()
        .words(["--show-diffs", "--round-interval", "50ms"])
        .run()
        .exits(1);
    output.prints("db3 extra more\n").prints(" 1 extra\n");
}

#[test]
fn databases_that_the_source_has_without_a_key_are_looked_at_where_theirs_would_go() {
    let (source, target) = pair();
    fill(&source, &[1]);
    super::copy(&source, &target, "all").run().exits(0);
    run!(target.connection_to(5), "SET", "own", 1);
    run!(target.connection_to(7), "SET", "sent", 1);
    // Nobody goes to database 3 of the target: 3 goes to 7.
    run!(target.connection_to(3), "SET", "others", 1);
    let run = full(&source, &target).words(["--both", "--db-map", "3=7", "--show-diffs"]);
    let output = run.words(["--round-interval", "50ms"]).run().exits(1);
    let expected = ["db3 extra sent", "db5 extra own"];
    assert_eq!(lines(&output), expected, "{output}");
}

#[test]
fn databases_beyond_those_of_the_source_are_not_passed_over() {
    let source = Server::with(Version::Redis70)
        .arguments(["--databases", "4"])
        .start();
    let target = Server::with(Version::Redis70)
        .arguments(["--databases", "32"])
        .start();
    fill(&source, &[0, 3]);
    super::copy(&source, &target, "all").run().exits(0);
    full(&source, &target).word("--both").run().exits(0);
    run!(target.connection_to(20), "SET", "own", 1);
    full(&source, &target).word("--both").run().refuses(
        3,
        &[
            "it has keys in its database 20",
            "the source has no database 20; it has 4, from 0 on",
            "all of them are extra: --source-db 0-3",
        ],
    );
    // Those that are named, and what only the source has, are compared all the same.
    full(&source, &target).run().exits(0);
    compare_full(&source, &target)
        .words(["--source-db", "0-3", "--both"])
        .run()
        .exits(0);
}

#[test]
fn a_cluster_has_no_database_for_those_of_a_target_that_is_none() {
    let source = Cluster::start(Version::Redis70, 3, 0);
    let target = Server::start(Version::Redis70);
    source.tell("SET key v");
    super::copy(&source, &target, "all").run().exits(0);
    let run = || compare_full(&source, &target).words(["--source-db", "all", "--both"]);
    run().run().exits(0);
    run!(target.connection_to(3), "SET", "own", 1);
    let words = ["its database 3", "the source is a cluster", "--source-db 0"];
    run().run().refuses(3, &words);
    compare_full(&source, &target)
        .words(["--source-db", "0", "--both"])
        .run()
        .exits(0);
}
