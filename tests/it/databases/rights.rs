//! Users who may not ask which databases have keys.

use super::{copy, fill, only, same};
use crate::servers::{Server, Version};

/// A source with keys in databases 0, 3 and 15, and a user who has all rights but these.
fn source(without: &str) -> Server {
    let users = format!(
        "user default on nopass ~* &* +@all\nuser reader on >secret ~* &* +@all {without}\n"
    );
    let source = Server::with(Version::Redis70).acl(&users).start();
    fill(&source, &[0, 3, 15]);
    source
}

#[test]
fn without_info_each_database_is_asked_for_its_keys() {
    for without in ["-info", "-info -config"] {
        let (source, target) = (source(without), Server::start(Version::Redis70));
        let run = copy(&source, &target, "all").words([
            "--source-user",
            "reader",
            "--source-pass",
            "secret",
        ]);
        run.run().exits(0).says("databases: 0 (");
        same(&source, &target, &[(0, 0), (3, 3), (15, 15)]);
        only(&target, &[0, 3, 15]);
    }
}

#[test]
fn without_info_and_dbsize_each_database_is_looked_at() {
    let (source, target) = (
        source("-info -dbsize -config"),
        Server::start(Version::Redis70),
    );
    let run =
        copy(&source, &target, "all").words(["--source-user", "reader", "--source-pass", "secret"]);
    let output = run.run().exits(0);
    output
        .says("which databases have keys cannot be known, as neither INFO nor DBSIZE is allowed")
        .says("14 (keys not counted)");
    same(&source, &target, &[(0, 0), (3, 3), (15, 15)]);
    only(&target, &[0, 3, 15]);
}

#[test]
fn without_info_no_database_is_left_out_however_many_there_are() {
    let users =
        "user default on nopass ~* &* +@all\nuser reader on >secret ~* &* +@all -info -config\n";
    let start = |databases| {
        let server = Server::with(Version::Redis70).acl(users);
        server.arguments(["--databases", databases]).start()
    };
    let target = start("300");
    for (source, status) in [(start("300"), 0), (start("4200"), 3)] {
        fill(&source, &[0, 270]);
        let run = copy(&source, &target, "all").words([
            "--source-user",
            "reader",
            "--source-pass",
            "secret",
        ]);
        let output = run.run().exits(status);
        if status == 0 {
            same(&source, &target, &[(0, 0), (270, 270)]);
        } else {
            output.says("it has more than 4,096 databases, and without INFO");
        }
    }
}

#[test]
fn databases_that_can_be_neither_seen_nor_reached_are_not_left_out_in_silence() {
    let (source, target) = (source("-info -select"), Server::start(Version::Redis70));
    let run =
        copy(&source, &target, "all").words(["--source-user", "reader", "--source-pass", "secret"]);
    let output = run.run().exits(3);
    output.says("neither INFO nor SELECT is allowed");
    only(&target, &[]);
}
