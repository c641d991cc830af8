//! The server itself: where it listens, what it answers, and whom it does not wait for.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::{ANYWHERE, Scrape, address, http, until};
use crate::data;
use crate::live::{end, live, scanned};
use crate::riot::{Running, replicate, riot};
use crate::servers::{self, Server, Version};

/// A live run that has nothing to do.
fn idle(source: &Server, target: &Server) -> (Running, String) {
    let mut running = live("tracking", &source.uri(), &target.uri())
        .words(ANYWHERE)
        .spawn();
    let address = address(&mut running);
    scanned(&mut running);
    (running, address)
}

#[test]
fn what_is_asked_wrongly_is_answered_so() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let (running, address) = idle(&source, &target);
    let ask = |request: &str| http::ask(&address, request).unwrap();

    let metrics = http::get(&address, "/metrics");
    assert!(
        metrics
            .head
            .contains("content-type: text/plain; version=0.0.4")
    );
    assert_eq!(http::get(&address, "/healthz").status, 200);
    assert_eq!(http::get(&address, "/metrics?name[]=up").status, 200);
    for path in ["/", "/metrics/", "/favicon.ico", "/../etc/passwd"] {
        assert_eq!(http::get(&address, path).status, 404, "{path}");
    }
    let posted = ask("POST /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(posted.status, 405);
    assert!(posted.head.contains("allow: get, head"), "{posted:?}");
    let headed = ask("HEAD /metrics HTTP/1.0\r\n\r\n");
    assert_eq!((headed.status, headed.body.as_str()), (200, ""));
    let open = ask(
        "GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n",
    );
    assert!(
        open.head
            .contains("content-type: application/openmetrics-text")
    );
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);

    assert_eq!(ask("nonsense\r\n\r\n").status, 400);
    let long = format!(
        "GET /metrics HTTP/1.0\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    // The rest of what is too long is not read: the answer may be lost with the connection.
    let answered = http::ask(&address, &long).map_or(431, |answer| answer.status);
    assert_eq!(answered, 431);
    let many = "X: y\r\n".repeat(1000);
    let answered = http::ask(&address, &format!("GET /metrics HTTP/1.0\r\n{many}\r\n"));
    assert_eq!(answered.map_or(431, |answer| answer.status), 431);
    assert_eq!(http::get(&address, "/readyz").body, "ready\n");
    end(running).exits(0);
}

#[test]
fn nobody_waits_for_scrapers_that_say_nothing_or_do_not_read() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_strings(&source, "key:", 20_000, 100);
    let mut running = live("tracking", &source.uri(), &target.uri())
        .words(ANYWHERE)
        .spawn();
    let address = address(&mut running);
    let mut held: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut socket = TcpStream::connect(&address).unwrap();
            let part = match number % 3 {
                0 => "",
                1 => "GET /metr",
                _ => "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
            };
            let _ = socket.write_all(part.as_bytes());
            socket
        })
        .collect();
    scanned(&mut running);
    until(&address, "others are answered", |scrape| {
        scrape.is("riot_ready", 1)
    });
    // The oldest have made room for the newer ones.
    let first = held.first_mut().unwrap();
    first
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert!(matches!(first.read(&mut [0; 16]), Ok(0) | Err(_)));
    end(running).exits(0);
    data::assert_same(&source, &target);
}

#[test]
fn a_port_that_is_taken_ends_the_run_before_anything_is_done() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_strings(&source, "key:", 10, 10);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    replicate(&source, &target)
        .words(["--metrics", &place])
        .run()
        .refuses(3, &["--metrics", &place, "in use"]);
    assert_eq!(target.keys(0), 0);
    replicate(&source, &target)
        .words(["--metrics", "no-such-host.invalid:9121"])
        .run()
        .refuses(3, &["--metrics", "no-such-host.invalid:9121"]);
}

#[test]
fn a_place_that_is_none_is_a_usage_error() {
    for place in ["9121", "localhost", "::1:9121", "localhost:99999", "[::1]"] {
        riot([
            "replicate",
            "--metrics",
            place,
            "127.0.0.1:1",
            "127.0.0.1:2",
        ])
        .run()
        .refuses(2, &["--metrics", place, "HOST:PORT"]);
    }
    riot([
        "replicate",
        "--ready-lag",
        "soon",
        "127.0.0.1:1",
        "127.0.0.1:2",
    ])
    .run()
    .refuses(2, &["--ready-lag"]);
}

#[test]
fn every_form_of_an_address_is_listened_on() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    let mut hosts = vec![
        ("", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("localhost", "localhost"),
    ];
    if TcpListener::bind("[::1]:0").is_ok() {
        hosts.extend([("[::1]", "[::1]"), ("", "[::1]")]);
    }
    for (host, reached) in hosts {
        let port = servers::free_port();
        let mut running = live("tracking", &source.uri(), &target.uri())
            .words(["--metrics", &format!("{host}:{port}")])
            .spawn();
        running.wait_for(&format!(":{port}/metrics\n"));
        let scrape = Scrape::of(&format!("{reached}:{port}"));
        assert_eq!(scrape.sum("riot_build_info"), 1);
        end(running).exits(0);
    }
}
