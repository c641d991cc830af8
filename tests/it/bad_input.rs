//! Mistakes: one clear line each that names the option or the address, the right status, nothing written.

use std::net::TcpListener;
use std::time::Duration;

use crate::certificates::{Authority, encrypted};
use crate::data;
use crate::riot::{replicate, riot};
use crate::servers::{Server, Version, free_port};

/// A source with some keys and an empty target.
fn pair() -> (Server, Server) {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_strings(&source, "key:", 100, 20);
    (source, target)
}

#[test]
fn an_unknown_host() {
    let (source, target) = pair();
    riot(["replicate", "no-such-host.invalid:6379", &target.address()])
        .run()
        .refuses(3, &["no-such-host.invalid"]);
    riot([
        "replicate",
        &source.address(),
        "redis://no-such-host.invalid",
    ])
    .run()
    .refuses(3, &["no-such-host.invalid"]);
    assert_eq!(target.keys(0), 0);
}

#[test]
fn a_closed_port() {
    let (source, target) = pair();
    let closed = format!("127.0.0.1:{}", free_port());
    riot(["replicate", &closed, &target.address()])
        .run()
        .refuses(3, &[&closed, "source"]);
    riot(["replicate", &source.address(), &closed])
        .run()
        .refuses(3, &[&closed, "target"]);
    riot(["compare", "--quick", &source.address(), &closed])
        .run()
        .refuses(3, &[&closed, "target"]);
}

#[test]
fn a_unix_socket_that_is_not_there() {
    let (source, _) = pair();
    riot(["replicate", &source.address(), "unix:///no/such/socket"])
        .run()
        .refuses(3, &["/no/such/socket"]);
}

#[test]
fn a_server_that_does_not_answer() {
    let (source, target) = pair();
    target.pause();
    replicate(&source, &target)
        .words(["--target-timeout", "1s"])
        .deadline(Duration::from_secs(20))
        .run()
        .refuses(3, &[&target.address()]);
    target.resume();
}

#[test]
fn something_that_is_no_redis_server() {
    let (source, _) = pair();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.read(&mut [0; 512]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    riot(["replicate", &source.address(), &address])
        .deadline(Duration::from_secs(30))
        .run()
        .refuses(3, &[&address]);
}

#[test]
fn a_wrong_password_and_a_missing_one() {
    let (source, _) = pair();
    let target = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser app on >right ~* &* +@all\n")
        .start();
    replicate(&source, &target)
        .words(["--target-user", "app", "--target-pass", "hunter2"])
        .run()
        .refuses(3, &[&target.address(), "WRONGPASS"])
        .never_shows("hunter2");
    replicate(&source, &target)
        .words(["--target-user", "nobody", "--target-pass", "hunter2"])
        .run()
        .refuses(3, &[&target.address()])
        .never_shows("hunter2");
    let closed = Server::with(Version::Redis70).password("right").start();
    replicate(&source, &closed)
        .run()
        .refuses(3, &[&closed.address(), "NOAUTH"]);
    replicate(&source, &closed)
        .words(["--target-pass", "right"])
        .run()
        .exits(0);
}

#[test]
fn a_user_without_a_needed_right() {
    let target = Server::start(Version::Redis70);
    let source = Server::with(Version::Redis70)
        .acl("user default on nopass ~* &* +@all\nuser app on >right ~* &* +@all -scan\n")
        .start();
    data::fill_strings(&source, "key:", 10, 10);
    replicate(&source, &target)
        .words(["--source-user", "app", "--source-pass", "right"])
        .run()
        .refuses(3, &["SCAN", "app"]);
    assert_eq!(target.keys(0), 0);
}

#[test]
fn tls_to_a_plain_port_and_plain_to_a_tls_port() {
    let authority = Authority::new();
    let (source, plain) = pair();
    let tls = Server::with(Version::Redis70)
        .tls(&authority.server(&["localhost"]))
        .start();
    let address = format!("rediss://localhost:{}", plain.port());
    riot(["replicate", &source.address(), &address])
        .deadline(Duration::from_secs(30))
        .run()
        .refuses(3, &[&format!("localhost:{}", plain.port()), "TLS"]);
    riot(["replicate", &source.address(), &tls.address()])
        .deadline(Duration::from_secs(30))
        .run()
        .refuses(3, &[&tls.address(), "TLS"]);
}

#[test]
fn a_certificate_of_another_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (source, _) = pair();
    let target = Server::with(Version::Redis70)
        .tls(&authority.server(&["localhost"]))
        .start();
    let address = format!("localhost:{}", target.port());
    replicate(&source, &target)
        .words(["--target-cacert", other.file().to_str().unwrap()])
        .run()
        .refuses(3, &[&address, "certificate", "cacert"]);
    replicate(&source, &target)
        .run()
        .refuses(3, &[&address, "certificate", "cacert"]);
}

#[test]
fn a_certificate_for_another_name() {
    let authority = Authority::new();
    let (source, _) = pair();
    let target = Server::with(Version::Redis70)
        .tls(&authority.server(&["redis.example.org"]))
        .start();
    replicate(&source, &target)
        .words(["--target-cacert", authority.file().to_str().unwrap()])
        .run()
        .refuses(3, &[&format!("localhost:{}", target.port()), "tls-verify"]);
}

#[test]
fn a_client_certificate_that_is_asked_for_and_not_given() {
    let authority = Authority::new();
    let (source, _) = pair();
    let mut files = authority.server(&["localhost"]);
    files.client_certificates = true;
    let target = Server::with(Version::Redis70).tls(&files).start();
    replicate(&source, &target)
        .words(["--target-cacert", authority.file().to_str().unwrap()])
        .deadline(Duration::from_secs(30))
        .run()
        .refuses(3, &[&format!("localhost:{}", target.port()), "certificate"]);
}

#[test]
fn key_and_authority_files_that_cannot_be_read() {
    let authority = Authority::new();
    let (certificate, key) = authority.client();
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let secret = encrypted(key.as_ref(), "opens it");
    let secret = secret.to_str().unwrap();
    let run = |words: &[&str], named: &[&str]| {
        riot(["replicate", "--target-tls", "127.0.0.1:1", "127.0.0.1:2"])
            .words(words)
            .run()
            .refuses(2, named)
            .never_shows("PRIVATE");
    };
    run(
        &["--target-cacert", "/no/such/file"],
        &["--target-cacert", "/no/such/file"],
    );
    run(
        &["--target-cacert", "/dev/null"],
        &["--target-cacert", "/dev/null"],
    );
    run(&["--target-cacert", key], &["--target-cacert", key]);
    run(
        &["--target-cert", certificate, "--target-key", "/no/such/key"],
        &["--target-key", "/no/such/key"],
    );
    run(
        &["--target-cert", certificate, "--target-key", certificate],
        &["--target-key", certificate],
    );
    run(&["--target-cert", certificate], &["--target-cert", "key"]);
    run(
        &["--target-cert", certificate, "--target-key", secret],
        &["--target-key", "key-pass"],
    );
    run(
        &[
            "--target-cert",
            certificate,
            "--target-key",
            secret,
            "--target-key-pass",
            "wrong",
        ],
        &["--target-key"],
    );
    run(
        &["--target-pass-file", "/no/such/secret"],
        &["/no/such/secret"],
    );
}

#[test]
fn bad_words_are_known_without_a_network() {
    let run = |words: &[&str], named: &[&str]| {
        riot(["replicate"])
            .words(words)
            .words(["127.0.0.1:1", "127.0.0.1:2"])
            .run()
            .names(2, named);
    };
    run(&["--key-include=a(b"], &["--key-include", "a(b"]);
    run(&["--key-exclude=re:["], &["--key-exclude", "["]);
    run(&["--key-replace", "no arrow"], &["--key-replace"]);
    run(&["--key-replace", "(=>x"], &["--key-replace"]);
    run(&["--key-slots=5-16384"], &["--key-slots", "16384"]);
    run(&["--key-slots=9-5"], &["--key-slots", "9-5"]);
    run(&["--key-slots=a"], &["--key-slots", "a"]);
    run(&["--shard", "3/2"], &["--shard"]);
    run(&["--shard", "0/2"], &["--shard"]);
    run(
        &["--key-process", "x#{nothing}"],
        &["--key-process", "nothing"],
    );
    run(&["--mem-budget", "many"], &["--mem-budget", "many"]);
    run(&["--threads", "0"], &["--threads"]);
    run(&["--threads", "x"], &["--threads", "x"]);
    run(&["--rate", "0"], &["--rate"]);
    run(&["--sleep", "5 parsecs"], &["--sleep", "5 parsecs"]);
    run(&["--type", "csv"], &["--type", "csv"]);
    run(
        &["--type", "dump", "--struct"],
        &["--struct", "--type says otherwise"],
    );
    for option in ["--merge", "--no-stream-id", "--stream-prune"] {
        run(&[option], &[option, "--type struct"]);
    }
    for option in ["--merge", "--no-stream-id"] {
        run(
            &["--live", "--struct", option],
            &[option, "does not go with live"],
        );
    }
    run(&["--big-key", "huge"], &["--big-key", "huge"]);
    run(&["--source-resp", "4"], &["--source-resp", "4"]);
    run(&["--source-db", "minus one"], &["--source-db"]);
    run(
        &["--source-cluster", "--source-db", "1"],
        &["--source-db", "database 0 alone"],
    );
    run(&["--read-from", "nearest"], &["--read-from", "nearest"]);
    run(&["--no-such-option"], &["--no-such-option"]);
    riot(["replicate", "-h"]).run().names(2, &["--help"]);
    run(
        &["--source-tls", "--source-tls-verify", "maybe"],
        &["--source-tls-verify", "maybe"],
    );
}

#[test]
fn bad_addresses_are_told_by_the_place_where_they_stand() {
    // Not echoed: what cannot be read may hold a password anywhere.
    for address in [
        "http://127.0.0.1:6379",
        "127.0.0.1:99999",
        "127.0.0.1:port",
        "redis://127.0.0.1:6379/database",
        "redis://[::1",
        "redis-sentinel://127.0.0.1:26379",
        "",
    ] {
        riot(["replicate", address, "127.0.0.1:2"])
            .run()
            .refuses(2, &["SOURCE"]);
        riot(["replicate", "127.0.0.1:2", address])
            .run()
            .refuses(2, &["TARGET"]);
    }
    riot(["replicate"])
        .variable("RIOT_SOURCE_URI", "http://x")
        .variable("RIOT_TARGET_URI", "127.0.0.1:2")
        .run()
        .refuses(2, &["RIOT_SOURCE_URI"]);
}

#[test]
fn a_bad_address_with_a_password_is_told_without_it() {
    for address in [
        "http://user:hunter2@127.0.0.1:6379",
        "redis://user:hunter2@127.0.0.1:port",
        "redis://:hunter2@[::1",
    ] {
        riot(["replicate", address, "127.0.0.1:2"])
            .run()
            .exits(2)
            .never_shows("hunter2");
    }
    riot(["replicate", "127.0.0.1:1", "127.0.0.1:2", "hunter2"])
        .run()
        .exits(2)
        .never_shows("hunter2");
}

#[test]
fn the_same_database_as_source_and_target() {
    let (source, _) = pair();
    // Known from the words alone.
    riot(["replicate", &source.address(), &source.address()])
        .run()
        .refuses(2, &["same"]);
    riot(["replicate", &source.uri(), &format!("{}/0", source.uri())])
        .run()
        .refuses(2, &["same"]);
    // Known from what the servers say.
    let socket = format!("unix://{}", source.socket().display());
    riot(["replicate", &source.address(), &socket])
        .run()
        .refuses(3, &["same"]);
    riot(["compare", "--quick", &source.address(), &socket])
        .run()
        .refuses(3, &["same"]);
    assert_eq!(source.keys(0), 100);
}

#[test]
fn several_databases_that_cannot_go_together_are_known_from_the_words() {
    let (a, b) = ("127.0.0.1:1", "127.0.0.1:2");
    let refused = |words: &[&str], named: &[&str]| {
        let run = riot(["replicate", a, b]).words(words);
        run.run().names(2, named);
    };
    refused(
        &["--source-db", "all", "--target-db", "1"],
        &["--target-db", "--db-map"],
    );
    refused(
        &["--source-db", "0,3", "--db-map", "3=0"],
        &["--db-map", "overwrite each other"],
    );
    refused(&["--source-db", "0-3", "--db-map", "4=0"], &["--db-map"]);
    refused(&["--source-db", "0-x"], &["--source-db", "0-15"]);
}

#[test]
fn what_riot_never_does_is_refused_by_name() {
    for command in ["import", "export", "file-import", "generate"] {
        riot([command, "x"])
            .run()
            .names(2, &["riot replicates and compares"]);
    }
    riot(["replicate", "--log", "x=y", "127.0.0.1:1", "127.0.0.1:2"])
        .run()
        .names(2, &["--log-level"]);
    riot(["replicate", "127.0.0.1:1"]).run().exits(2);
    riot(["replicate", "--user", "x", "127.0.0.1:1", "127.0.0.1:2"])
        .run()
        .names(2, &["--target-user"]);
}
