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
