//! What cannot be is refused before anything is written, with what to do.

use super::{copy, fill, only, pair};
use crate::clusters::Cluster;
use crate::riot::replicate;
use crate::servers::{Server, Version};

fn with_databases(number: &str) -> Server {
    Server::with(Version::Redis70)
        .arguments(["--databases", number])
        .start()
}

#[test]
fn a_number_that_a_side_does_not_have() {
    let (source, target) = pair();
    fill(&source, &[0, 9]);
    let words = [
        "it has no database 16 (ERR DB index is out of range); it has 16, from 0 on",
        "--source-db",
    ];
    copy(&source, &target, "0-16").run().refuses(3, &words);
    let words = ["it has no database 20", "--db-map is to name"];
    copy(&source, &target, "all")
        .words(["--db-map", "20=1"])
        .run()
        .refuses(3, &words);
    let small = with_databases("4");
    let words = [
        "it has no database 9 (ERR DB index is out of range); it has 4, from 0 on",
        "of the source's database 9 would go",
        "--db-map 9=N",
    ];
    copy(&source, &small, "all").run().refuses(3, &words);
    copy(&source, &small, "0-9")
        .run()
        .names(3, &["it has no database", "--db-map"]);
    only(&target, &[]);
    only_four(&small);
    // One that is not there and has no keys is no matter to all.
    copy(&source, &small, "all")
        .words(["--db-map", "9=3"])
        .run()
        .exits(0);
}

fn only_four(server: &Server) {
    for database in 0..4 {
        assert_eq!(server.keys(database), 0);
    }
}

#[test]
fn two_databases_are_never_mixed() {
    let (source, target) = pair();
    fill(&source, &[0, 3]);
    let words = [
        "databases 0 and 3 of the source would both go to its database 0",
        "--db-map 3=N",
    ];
    copy(&source, &target, "all")
        .words(["--db-map", "3=0"])
        .run()
        .refuses(3, &words);
    let words = ["databases 0 and 3 would both go to 0"];
    copy(&source, &target, "0,3")
        .words(["--db-map", "3=0"])
        .run()
        .refuses(2, &words);
    only(&target, &[]);
    // Where database 0 has no keys there is nothing to mix.
    source.tell("FLUSHDB");
    copy(&source, &target, "all")
        .words(["--db-map", "3=0"])
        .run()
        .exits(0);
    only(&target, &[0]);
}

#[test]
fn one_server_whose_database_would_be_both() {
    let server = Server::start(Version::Redis70);
    fill(&server, &[3, 5]);
    let socket = format!("unix://{}", server.socket().display());
    let run = |words: &[&str]| {
        crate::riot::riot(["replicate", &server.uri(), &socket])
            .words(words)
            .run()
    };
    let same = ["source and target are the same server and database"];
    run(&["--source-db", "all"]).refuses(3, &same);
    run(&["--source-db", "3,5", "--db-map", "3=7"]).refuses(3, &same);
    let both = [
        "it is the source, too, and its database 5 would be read and",
        "written",
    ];
    run(&["--source-db", "3,5", "--db-map", "3=5,5=6"]).refuses(3, &both);
    let words = ["--source-db", "all", "--db-map", "3=7,5=8", "--live"];
    run(&words).refuses(3, &["it is the source, too", "--source-db is to name them"]);
    only(&server, &[3, 5]);
}

#[test]
fn a_cluster_takes_one_database() {
    let source = Server::start(Version::Redis70);
    let cluster = Cluster::start(Version::Redis70, 3, 0);
    fill(&source, &[3, 4]);
    let words = [
        "it is a cluster, which has database 0 alone",
        "3 (",
        "4 (",
        "--source-db N with --db-map N=0",
    ];
    copy(&source, &cluster, "all").run().refuses(3, &words);
    let words = [
        "it is a cluster, which has database 0 alone",
        "--db-map 3=0",
    ];
    copy(&source, &cluster, "3,5").run().refuses(3, &words);
    copy(&source, &cluster, "3,5")
        .words(["--db-map", "3=0"])
        .run()
        .exits(0);
    crate::data::assert_snapshots(
        &crate::data::snapshot(&source, 3),
        &crate::data::snapshot(&cluster, 0),
        1,
    );
}

#[test]
fn all_of_a_cluster_is_its_database_0() {
    let cluster = Cluster::start(Version::Redis70, 3, 0);
    crate::data::fill_every_type(&cluster, 0);
    let target = Server::start(Version::Redis70);
    let words = ["--source-cluster", "--db-map", "0=2"];
    copy(&cluster, &target, "all")
        .words(words)
        .run()
        .exits(0)
        .says("databases: 0 to 2 (");
    crate::data::assert_snapshots(
        &crate::data::snapshot(&cluster, 0),
        &crate::data::snapshot(&target, 2),
        1,
    );
    let words = ["it is a cluster, which has database 0 alone: leave --source-db 1 out"];
    copy(&cluster, &target, "0-3").run().refuses(3, &words);
    let words = ["--target-db: of several databases each goes to the same number"];
    let run = replicate(&cluster, &target).words(["--source-db", "all", "--target-db", "2"]);
    run.run().refuses(2, &words);
}
