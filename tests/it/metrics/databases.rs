//! The databases of one run are told together.

use super::{ANYWHERE, address, until};
use crate::data::run;
use crate::live::live;
use crate::servers::{Server, Version};

#[test]
fn several_databases_add_up_with_those_that_come_late() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    for database in [0, 3] {
        run!(source.connection_to(database), "SET", "key", database);
    }
    let run = live("tracking", &source.uri(), &target.uri()).words(["--source-db", "all"]);
    let mut running = run.words(ANYWHERE).spawn();
    let address = address(&mut running);
    let written = r#"riot_keys_total{outcome="written"}"#;
    let scrape = until(&address, "both are copied and ready", |scrape| {
        scrape.is(written, 2) && scrape.is("riot_ready", 1)
    });
    assert_eq!(scrape.count("riot_source_keys"), 2);
    run!(source.connection_to(8), "SET", "first", 1);
    until(&address, "the late one is copied", |scrape| {
        scrape.is(written, 3) && scrape.is("riot_ready", 1)
    });
    running.signal("TERM");
    running.finish().exits(0);
}
