//! Ways to reach a server: TCP, unix socket, TLS, ACL users, sentinels, IPv6, protocols, three command lines.

use crate::certificates::{Authority, encrypted};
use crate::data;
use crate::riot::{Running, replicate, riot};
use crate::servers::{Server, Version};
use crate::wait;

fn filled() -> Server {
    let server = Server::start(Version::Redis70);
    data::fill_every_type(&server, 0);
    server
}

fn empty() -> Server {
    Server::start(Version::Redis70)
}

#[test]
fn unix_sockets_on_both_sides() {
    for scheme in ["unix", "redis-socket"] {
        let (source, target) = (filled(), empty());
        let from = format!("{scheme}://{}", source.socket().display());
        let to = format!("{scheme}://{}", target.socket().display());
        riot(["replicate", &from, &to])
            .run()
            .exits(0)
            .says("socket");
        data::assert_same(&source, &target);
    }
}

#[test]
fn ipv6_in_brackets() {
    let source = Server::with(Version::Redis70).ipv6().start();
    let target = Server::with(Version::Redis70).ipv6().start();
    data::fill_every_type(&source, 0);
    let from = format!("redis://[::1]:{}", source.port());
    let to = format!("[::1]:{}", target.port());
    riot(["replicate", &from, &to]).run().exits(0).says(&to);
    data::assert_same(&source, &target);
}

#[test]
fn tls_with_an_authority_of_ones_own_on_both_sides() {
    let authority = Authority::new();
    let files = authority.server(&["localhost", "127.0.0.1"]);
    let source = Server::with(Version::Redis70).tls(&files).start();
    let target = Server::with(Version::Redis80).tls(&files).start();
    data::fill_every_type(&source, 0);
    data::fill_mixed(&source, "mixed:", 5000);
    let ca = authority.file().to_str().unwrap();
    replicate(&source, &target)
        .words(["--source-cacert", ca, "--target-cacert", ca])
        .run()
        .exits(0)
        .says("TLS")
        .prints("0 missing, 0 type, 0 value, 0 ttl");
    data::assert_same(&source, &target);
    // The same with `--tls` instead of the scheme, and an address by number.
    target.tell("FLUSHALL");
    riot([
        "replicate",
        "--source-tls",
        "--target-tls",
        "--source-cacert",
        ca,
        "--target-cacert",
        ca,
    ])
    .words([source.address(), target.address()])
    .run()
    .exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn tls_whose_name_or_chain_is_not_verified() {
    let authority = Authority::new();
    let source = filled();
    let target = Server::with(Version::Redis70)
        .tls(&authority.server(&["redis.example.org"]))
        .start();
    let ca = authority.file().to_str().unwrap();
    for words in [
        vec!["--target-tls-verify", "ca", "--target-cacert", ca],
        vec!["--target-tls-verify", "none"],
        vec!["--target-insecure"],
    ] {
        target.tell("FLUSHALL");
        replicate(&source, &target).words(&words).run().exits(0);
        data::assert_same(&source, &target);
    }
    // Without the name, the chain is still looked at.
    let other = Authority::new();
    replicate(&source, &target)
        .words([
            "--target-tls-verify",
            "ca",
            "--target-cacert",
            other.file().to_str().unwrap(),
        ])
        .run()
        .refuses(3, &["certificate"]);
}

#[test]
fn tls_client_certificates_with_plain_and_encrypted_keys() {
    let authority = Authority::new();
    let mut files = authority.server(&["localhost"]);
    files.client_certificates = true;
    let source = filled();
    let target = Server::with(Version::Redis70).tls(&files).start();
    let ca = authority.file().to_str().unwrap();
    let (certificate, key) = authority.client();
    let secret = encrypted(&key, "opens it");
    let certificate = certificate.to_str().unwrap();
    for words in [
        vec!["--target-key", key.to_str().unwrap()],
        vec![
            "--target-key",
            secret.to_str().unwrap(),
            "--target-key-pass",
            "opens it",
        ],
    ] {
        target.tell("FLUSHALL");
        replicate(&source, &target)
            .words(["--target-cacert", ca, "--target-cert", certificate])
            .words(&words)
            .run()
            .exits(0);
        data::assert_same(&source, &target);
    }
}

const READER: &str = "user reader on >p%40ss/w:rd ~* resetchannels -@all +@read +@connection +scan +dump +multi +exec +info +time";
const WRITER: &str = "user writer on >s3cret ~* resetchannels -@all +@read +@write +@connection +restore +multi +exec +info +time";

/// A filled source and an empty target with users that have no more rights than the page on security asks for.
fn with_users() -> (Server, Server) {
    let source = Server::with(Version::Redis70)
        .acl(&format!("user default on nopass ~* &* +@all\n{READER}\n"))
        .start();
    let target = Server::with(Version::Redis70)
        .acl(&format!("user default on nopass ~* &* +@all\n{WRITER}\n"))
        .start();
    data::fill_every_type(&source, 0);
    (source, target)
}

#[test]
fn users_with_the_rights_that_the_documentation_names() {
    let (source, target) = with_users();
    let page = include_str!("../../docs/security.md");
    for rights in [
        "+@read +@connection +scan +dump",
        "+@read +@write +@connection +restore",
    ] {
        assert!(
            page.contains(rights),
            "the page names other rights than this test: {rights}"
        );
    }
    replicate(&source, &target)
        .words(["--source-user", "reader", "--source-pass", "p%40ss/w:rd"])
        .words(["--target-user", "writer", "--target-pass", "s3cret"])
        .run()
        .exits(0)
        .never_shows("p%40ss")
        .never_shows("s3cret");
    data::assert_same(&source, &target);
}

#[test]
fn passwords_from_uris_environment_files_and_commands() {
    let (source, target) = with_users();
    let file = target.folder().join("secret");
    std::fs::write(&file, "s3cret\nsecond line\n").unwrap();
    let file = file.to_str().unwrap();
    let from = format!("redis://reader:p%2540ss%2Fw%3Ard@{}", source.address());
    let to = format!("redis://writer:s3cret@{}", target.address());
    let runs = [
        riot(["replicate", &from, &to]),
        riot(["replicate"])
            .variable("RIOT_SOURCE_URI", &from)
            .variable("RIOT_TARGET_URI", &to),
        riot(["replicate", &source.address(), &target.address()])
            .variable("RIOT_SOURCE_USER", "reader")
            .variable("RIOT_SOURCE_PASS", "p%40ss/w:rd")
            .variable("RIOT_TARGET_USER", "writer")
            .variable("RIOT_TARGET_PASS", "s3cret"),
        riot([
            "replicate",
            &from,
            &target.address(),
            "--target-user",
            "writer",
            "--target-pass-file",
            file,
        ]),
        riot([
            "replicate",
            &from,
            &target.address(),
            "--target-user",
            "writer",
            "--target-pass-command",
            "echo s3cret",
        ]),
        // The command line wins over the environment.
        riot([
            "replicate",
            &from,
            &target.address(),
            "--target-user",
            "writer",
            "--target-pass",
            "s3cret",
        ])
        .variable("RIOT_TARGET_PASS", "wrong"),
    ];
    for run in runs {
        target.tell("FLUSHALL");
        run.words(["--log-level", "debug"])
            .run()
            .exits(0)
            .never_shows("s3cret")
            .never_shows("p%40ss")
            .never_shows("p%2540ss");
        data::assert_same(&source, &target);
    }
}

#[test]
fn a_password_is_asked_for_on_the_terminal() {
    let (source, target) = with_users();
    let from = format!("redis://reader:p%2540ss%2Fw%3Ard@{}", source.address());
    let mut terminal = riot([
        "replicate",
        "--target-user",
        "writer",
        "--target-pass",
        "--compare",
        "quick",
    ])
    .words([from, target.address()])
    .on_terminal();
    terminal.wait_for("assword");
    terminal.types("s3cret");
    terminal.finish().exits(0).never_shows("s3cret");
    data::assert_same(&source, &target);
}

#[test]
fn a_password_that_cannot_be_asked_for_is_a_usage_error() {
    riot([
        "replicate",
        "--target-pass",
        "--compare",
        "quick",
        "127.0.0.1:1",
        "127.0.0.1:2",
    ])
    .run()
    .refuses(2, &["--target-pass"]);
}

#[test]
fn sentinels_name_the_source_and_the_target() {
    let (source, target) = (filled(), empty());
    let one = Server::sentinel(&source, "from");
    let two = Server::sentinel(&target, "to");
    // The first sentinel of the list is away.
    let from = format!("redis-sentinel://127.0.0.1:1,{}/0#from", one.address());
    let to = format!("redis-sentinel://{}?sentinelMasterId=to", two.address());
    riot(["replicate", &from, &to]).run().exits(0);
    data::assert_same(&source, &target);
    let unknown = format!("redis-sentinel://{}#nobody", one.address());
    riot(["replicate", &unknown, &target.address()])
        .run()
        .refuses(3, &["nobody"]);
}

/// riot's connections as the server lists them, while a run is held by `--rate`.
fn listed(server: &Server, running: &mut Running) -> Vec<String> {
    wait::until("riot is connected and copying", || {
        assert!(running.is_running(), "{}", running.stderr());
        let list: String = server.run("CLIENT LIST");
        let lines: Vec<String> = list
            .lines()
            .filter(|line| !line.contains("cmd=client") && line.contains("name="))
            .map(String::from)
            .collect();
        let lines: Vec<String> = lines
            .into_iter()
            .filter(|line| !line.contains("name= "))
            .collect();
        (!lines.is_empty()).then_some(lines)
    })
}

#[test]
fn connections_carry_their_name_and_protocol() {
    for (words, name, protocol) in [
        (vec![], " name=riot ", " resp=3"),
        (
            vec!["--source-client", "mover", "--source-resp", "2"],
            " name=mover ",
            " resp=2",
        ),
    ] {
        let (source, target) = (empty(), empty());
        data::fill_strings(&source, "key:", 5000, 20);
        let mut running = replicate(&source, &target)
            .words(["--rate", "2000"])
            .words(&words)
            .spawn();
        let list = listed(&source, &mut running);
        assert!(
            list.iter()
                .all(|line| line.contains(name) && line.contains(protocol)),
            "{list:#?}"
        );
        running.finish().exits(0);
        data::assert_same(&source, &target);
    }
}

#[test]
fn resp_2_copies_everything_too() {
    let (source, target) = (filled(), empty());
    replicate(&source, &target)
        .words(["--source-resp", "2", "--target-resp", "2"])
        .run()
        .exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn no_more_connections_than_the_pool_allows() {
    let (source, target) = (empty(), empty());
    data::fill_strings(&source, "key:", 6000, 20);
    let mut running = replicate(&source, &target)
        .words([
            "--source-pool",
            "2",
            "--target-pool",
            "2",
            "--threads",
            "2",
            "--rate",
            "3000",
        ])
        .spawn();
    let mut most = 0;
    while running.is_running() {
        for server in [&source, &target] {
            let list: String = server.run("CLIENT LIST");
            most = most.max(
                list.lines()
                    .filter(|line| line.contains("name=riot"))
                    .count(),
            );
        }
    }
    assert!((1..=2).contains(&most), "{most} connections");
    running.finish().exits(0);
}

#[test]
fn the_command_lines_of_riot_3_and_riot_redis_2_run_as_they_stand() {
    let authority = Authority::new();
    let (source, target) = (filled(), empty());
    let (from, to) = (source.port().to_string(), target.port().to_string());
    let socket = target.socket();
    let socket = socket.to_str().unwrap();
    let uri = source.uri();
    let lines: Vec<Vec<&str>> = vec![
        vec![
            "-h",
            "127.0.0.1",
            "-p",
            &from,
            "replicate",
            "-h",
            "127.0.0.1",
            "-p",
            &to,
        ],
        vec![
            "-u",
            &uri,
            "replicate",
            "--hostname",
            "localhost",
            "--port",
            &to,
            "--no-verify",
        ],
        vec![
            "--host",
            "localhost",
            "-p",
            &from,
            "--client",
            "x",
            "replicate",
            "-s",
            socket,
        ],
        vec![
            "-p",
            &from,
            "-n",
            "0",
            "-i",
            "replicate",
            "-p",
            &to,
            "--db",
            "0",
            "--mode",
            "snapshot",
        ],
        vec!["-p", &from, "sync", "-p", &to],
    ];
    for line in lines {
        target.tell("FLUSHALL");
        riot(&line).run().exits(0);
        data::assert_same(&source, &target);
    }
    riot(["-p", &from, "compare", "--quick", "-p", &to])
        .run()
        .exits(0);
    // With TLS on one side.
    let tls = Server::with(Version::Redis70)
        .tls(&authority.server(&["localhost"]))
        .start();
    let port = tls.port().to_string();
    let ca = authority.file().to_str().unwrap();
    riot([
        "-p",
        &from,
        "replicate",
        "-h",
        "localhost",
        "-p",
        &port,
        "--tls",
        "--cacert",
        ca,
    ])
    .run()
    .exits(0);
    data::assert_same(&source, &tls);
}

#[test]
fn databases_stand_in_the_uri() {
    let (source, target) = (empty(), empty());
    data::fill_every_type(&source, 2);
    let (from, to) = (
        format!("{}/2", source.uri()),
        format!("{}/7?timeout=30s&clientName=x", target.uri()),
    );
    riot(["replicate", &from, &to]).run().exits(0);
    data::assert_snapshots(&data::snapshot(&source, 2), &data::snapshot(&target, 7), 0);
    assert_eq!(target.keys(0), 0);
}

#[test]
fn a_database_number_that_the_server_does_not_have() {
    let (source, target) = (filled(), empty());
    replicate(&source, &target)
        .words(["--target-db", "99"])
        .run()
        .refuses(3, &[&target.address(), "99"]);
}
