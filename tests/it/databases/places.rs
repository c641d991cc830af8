//! `riot check` of several databases, and what Prometheus is told of them.

use super::{fill, pair};
use crate::riot::{Riot, riot};
use crate::servers::{Server, Version};

fn check(source: &Server, target: &Server, databases: &str) -> Riot {
    let words = [
        "check",
        &source.uri(),
        &target.uri(),
        "--source-db",
        databases,
    ];
    riot(words)
}

#[test]
fn a_check_says_which_databases_go_where() {
    let (source, target) = pair();
    fill(&source, &[0, 3]);
    let output = check(&source, &target, "all")
        .words(["--db-map", "3=5"])
        .run()
        .exits(0);
    let all = source.keys(0) + source.keys(3);
    output
        .prints("these databases are copied: 0 (")
        .prints(", 3 to 5 (")
        .prints(&format!(" {all} keys "))
        .prints("it has no keys yet")
        .holds("nothing of databases that are left out", |output| {
            !output.stdout.contains("other databases have keys")
        });
}

#[test]
fn a_check_says_what_cannot_be() {
    let (source, target) = pair();
    fill(&source, &[0, 3]);
    let mix = check(&source, &target, "all")
        .words(["--db-map", "3=0"])
        .run()
        .exits(1);
    mix.prints("databases 0 and 3 of the source would both go to its database 0");
    let absent = check(&source, &target, "0-20").run().exits(1);
    absent.prints("it has no database 16");
    let one = Server::start(Version::Redis70);
    one.tell("SET key 1");
    let socket = format!("unix://{}", one.socket().display());
    let same = riot(["check", &one.uri(), &socket, "--source-db", "all"])
        .run()
        .exits(1);
    same.prints("source and target are the same server and database");
}

#[test]
fn a_check_of_one_database_tells_of_the_others() {
    let (source, target) = pair();
    fill(&source, &[0, 3]);
    let output = riot(["check", &source.uri(), &target.uri()]).run().exits(0);
    output.prints("other databases have keys, too, which this run leaves out: 3: --source-db all copies them, too");
}
