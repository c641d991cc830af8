//! The tests' own tools do what they say: servers of all versions, the proxy's faults.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::data;
use crate::proxy::{Direction, Proxy};
use crate::servers::{Server, Version};

#[test]
fn every_version_starts_and_takes_the_data_of_every_type() {
    for version in [
        Version::Redis60,
        Version::Redis70,
        Version::Redis80,
        Version::Valkey81,
    ] {
        let server = Server::start(version);
        data::fill_every_type(&server, 0);
        let found = data::snapshot(&server, 0);
        assert_eq!(found.len() as u64, server.keys(0), "{version:?}");
        data::assert_same(&server, &server);
    }
}

#[test]
fn a_persistent_server_keeps_its_data_over_a_kill() {
    let server = Server::with(Version::Redis70).persistent().start();
    data::fill_strings(&server, "key:", 1000, 50);
    server.kill();
    server.restart();
    assert_eq!(server.keys(0), 1000);
}

#[test]
fn a_sentinel_knows_its_master() {
    let master = Server::start(Version::Redis70);
    let sentinel = Server::sentinel(&master, "mymaster");
    let address: Vec<String> = sentinel.run("SENTINEL get-master-addr-by-name mymaster");
    assert_eq!(address, ["127.0.0.1".to_owned(), master.port().to_string()]);
}

/// A server that sends back what it reads, through a proxy.
fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            std::thread::spawn(move || std::io::copy(&mut &socket, &mut &socket));
        }
    });
    Proxy::to(&address.to_string())
}

fn connect(proxy: &Proxy) -> TcpStream {
    let socket = TcpStream::connect(proxy.address()).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket
}

fn ask(mut socket: &TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    socket.write_all(text)?;
    let mut answer = vec![0; text.len()];
    socket.read_exact(&mut answer)?;
    Ok(answer)
}

#[test]
fn the_proxy_delays_each_direction_and_keeps_the_bandwidth() {
    const BYTES: usize = 128 << 20;
    let proxy = echo();
    proxy.delay(Direction::Up, Duration::from_millis(60));
    proxy.delay(Direction::Down, Duration::from_millis(40));
    let socket = connect(&proxy);
    let started = Instant::now();
    ask(&socket, b"ping").unwrap();
    let round_trip = started.elapsed();
    assert!(round_trip >= Duration::from_millis(100), "{round_trip:?}");

    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| (&socket).write_all(&vec![7; BYTES]).unwrap());
        let mut buffer = vec![0; 1 << 20];
        let mut left = BYTES;
        while left > 0 {
            left -= (&socket).read(&mut buffer).unwrap();
        }
    });
    let rate = BYTES as f64 / started.elapsed().as_secs_f64() / 1e6;
    eprintln!("{rate:.0} MB/s both ways with a round trip of {round_trip:?}");
    // A sleep for each chunk would give 256 KB in 50 ms: 5 MB/s.
    assert!(rate > 50.0, "{rate:.0} MB/s");
    assert!(proxy.bytes(Direction::Up) > BYTES as u64 && proxy.connections() == 1);
}

#[test]
fn the_proxy_cuts_in_the_middle_resets_and_refuses() {
    let proxy = echo();
    let socket = connect(&proxy);
    proxy.cut_after(Direction::Down, 3);
    (&socket).write_all(b"hello").unwrap();
    let mut answer = Vec::new();
    (&socket).read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"hel");

    let socket = connect(&proxy);
    ask(&socket, b"hello").unwrap();
    proxy.reset();
    let error = (&socket).read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let socket = connect(&proxy);
    ask(&socket, b"hello").unwrap();
    proxy.refuse();
    ask(&socket, b"still there").unwrap();
    assert_eq!(
        TcpStream::connect(proxy.address()).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    proxy.accept();
    let other = connect(&proxy);
    ask(&other, b"again").unwrap();
    assert_eq!(proxy.open(), 2);
    proxy.cut();
    for socket in [&socket, &other] {
        assert_eq!({ socket }.read(&mut [0; 8]).unwrap(), 0);
    }
    assert_eq!(proxy.open(), 0);
}

#[test]
fn the_proxy_stalls_and_leaves_connections_half_open() {
    let proxy = echo();
    let socket = connect(&proxy);
    proxy.stall(Direction::Down);
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let error = ask(&socket, b"hello").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    proxy.flow(Direction::Down);
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut answer = [0; 5];
    (&socket).read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");

    proxy.half_open();
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let error = ask(&socket, b"hello").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    ask(&connect(&proxy), b"new ones work").unwrap();
}
