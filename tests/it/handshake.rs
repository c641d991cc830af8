//! The handshake with a server that does not know all of its words.

use crate::riot::riot;
use crate::servers::{Server, Version};

#[test]
fn a_password_and_a_database_where_the_server_knows_no_hello() {
    let old = || {
        Server::with(Version::Redis60)
            .password("secret")
            .arguments(["--rename-command", "HELLO", ""])
            .start()
    };
    let (source, target) = (old(), old());
    let _: () = redis::Cmd::set("key", "value")
        .query(&mut source.connection_to(3))
        .unwrap();
    let at = |server: &Server| format!("redis://:secret@{}/3", server.address());
    let words: [&[&str]; 2] = [&[], &["--source-resp", "2", "--target-resp", "2"]];
    for words in words {
        riot(["replicate", &at(&source), &at(&target)])
            .words(words)
            .run()
            .exits(0);
        let value: String = redis::Cmd::get("key")
            .query(&mut target.connection_to(3))
            .unwrap();
        assert_eq!(value, "value");
        target.run::<()>("FLUSHALL");
    }
}
