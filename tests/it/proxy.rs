//! A TCP proxy that makes faults: delay, stall, cut, reset, half-open, refused. Threads and std alone, but for `SO_LINGER`.
//!
//! A delay keeps the bandwidth of the link: each chunk carries the time at which it is due, and any number of them is under
//! way at once.

#[path = "proxy/pump.rs"]
mod pump;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::SockRef;

use self::pump::start_link;

/// How often a blocked thread looks whether its connection was cut.
const TICK: Duration = Duration::from_millis(50);

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

impl Direction {
    fn index(self) -> usize {
        match self {
            Self::Up => 0,
            Self::Down => 1,
        }
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Both sides are closed in order (FIN).
    Cut,
    /// Both sides are reset (RST).
    Reset,
    /// The server's side is closed; the client's stays open and silent.
    HalfOpen,
}

/// Cuts after so many bytes, so many times.
#[derive(Debug)]
struct Fuse {
    left: u64,
    every: u64,
    times: u32,
}

#[derive(Debug, Default)]
struct Control {
    delay: [Duration; 2],
    /// Bytes a second, of all connections together.
    rate: [Option<u64>; 2],
    /// When the link is done with what it was given.
    busy_until: [Option<Instant>; 2],
    stalled: [bool; 2],
    /// How many more bytes go through before nothing does.
    stall_after: [Option<u64>; 2],
    /// How many more bytes go through before everything is cut.
    fuse: [Option<Fuse>; 2],
    cuts: u64,
    bytes: [u64; 2],
    accepted: u64,
    refusing: bool,
    closed: bool,
    links: Vec<Arc<Link>>,
}

#[derive(Debug)]
struct Shared {
    control: Mutex<Control>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of sockets that are done with: the last owner's drop closes them.
    fn forget_ended(&self) {
        self.lock()
            .links
            .retain(|link| matches!(link.ended(), None | Some(End::HalfOpen)));
    }
}

/// One connection: both its sockets and whether it was ended.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
    ended: Mutex<Option<End>>,
    /// Directions that have come to their end.
    finished: AtomicU8,
}

impl Link {
    fn ended(&self) -> Option<End> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, how: End) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.is_some() {
            return;
        }
        *ended = Some(how);
        match how {
            End::Cut => {
                let _ = self.client.shutdown(Shutdown::Both);
                let _ = self.server.shutdown(Shutdown::Both);
            }
            End::Reset => {
                // The reset goes out when the last of the link's threads drops it: they see `ended` within a tick.
                let _ = SockRef::from(&self.client).set_linger(Some(Duration::ZERO));
                let _ = SockRef::from(&self.server).set_linger(Some(Duration::ZERO));
            }
            End::HalfOpen => {
                let _ = self.server.shutdown(Shutdown::Both);
            }
        }
    }
}

/// A listening proxy in front of one server. Ends with everything it holds when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    server: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// A proxy on a free port of 127.0.0.1 to `server` (`127.0.0.1:port`).
    pub(crate) fn to(server: &str) -> Self {
        Self::listen("127.0.0.1:0", server)
    }

    /// A proxy on `address` to `server`.
    pub(crate) fn listen(address: &str, server: &str) -> Self {
        let listener = TcpListener::bind(address).expect("the proxy's port is free");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let server = server
            .parse()
            .expect("the server's address is an IP address and a port");
        let shared = Arc::new(Shared {
            control: Mutex::default(),
            changed: Condvar::new(),
        });
        let proxy = Self {
            address,
            server,
            shared,
            acceptor: Mutex::new(None),
        };
        proxy.accept_on(listener);
        proxy
    }

    /// `127.0.0.1:port`, where clients connect.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Bytes take this long from now on. Those under way keep their time.
    pub(crate) fn delay(&self, direction: Direction, time: Duration) {
        self.shared.lock().delay[direction.index()] = time;
    }

    /// From now on the link carries so many bytes a second, of all connections together, and holds a quarter of a second's more.
    pub(crate) fn carry(&self, direction: Direction, rate: u64) {
        self.shared.lock().rate[direction.index()] = Some(rate);
    }

    /// Nothing goes through in this direction until `flow`; connections stay open.
    pub(crate) fn stall(&self, direction: Direction) {
        self.shared.lock().stalled[direction.index()] = true;
    }

    /// The same once this many more bytes have gone through, to the nearest chunk.
    pub(crate) fn stall_after(&self, direction: Direction, bytes: u64) {
        self.shared.lock().stall_after[direction.index()] = Some(bytes);
    }

    /// Whether nothing goes through in this direction.
    pub(crate) fn is_stalled(&self, direction: Direction) -> bool {
        self.shared.lock().stalled[direction.index()]
    }

    /// Ends a stall.
    pub(crate) fn flow(&self, direction: Direction) {
        self.shared.lock().stalled[direction.index()] = false;
        self.shared.changed.notify_all();
    }

    /// Cuts every connection once this many more bytes have gone through in this direction, in the middle of whatever
    /// is there.
    pub(crate) fn cut_after(&self, direction: Direction, bytes: u64) {
        self.cut_each(direction, bytes, 1);
    }

    /// The same, again and again, so many times.
    pub(crate) fn cut_each(&self, direction: Direction, bytes: u64, times: u32) {
        let fuse = (times > 0).then_some(Fuse {
            left: bytes,
            every: bytes,
            times,
        });
        self.shared.lock().fuse[direction.index()] = fuse;
    }

    /// Lets every byte through again: counts that were not used up would cut what comes later.
    pub(crate) fn cut_no_more(&self) {
        self.shared.lock().fuse = [None, None];
    }

    /// How often a count of bytes has cut everything.
    pub(crate) fn cuts(&self) -> u64 {
        self.shared.lock().cuts
    }

    /// Closes every connection in order.
    pub(crate) fn cut(&self) {
        self.end_all(End::Cut);
    }

    /// Resets every connection.
    pub(crate) fn reset(&self) {
        self.end_all(End::Reset);
    }

    /// The server sees every connection closed; the client sees nothing at all, as when a firewall forgets it.
    pub(crate) fn half_open(&self) {
        self.end_all(End::HalfOpen);
    }

    /// New connections are refused until `accept`; those that are there stay.
    pub(crate) fn refuse(&self) {
        self.shared.lock().refusing = true;
        self.stop_accepting();
    }

    /// New connections are taken again.
    pub(crate) fn accept(&self) {
        self.shared.lock().refusing = false;
        let listener = TcpListener::bind(self.address).expect("the proxy's port is still free");
        self.accept_on(listener);
    }

    /// Bytes that went through in this direction.
    pub(crate) fn bytes(&self, direction: Direction) -> u64 {
        self.shared.lock().bytes[direction.index()]
    }

    /// Connections taken since the start.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.lock().accepted
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.shared
            .lock()
            .links
            .iter()
            .filter(|link| link.ended().is_none())
            .count()
    }

    fn end_all(&self, how: End) {
        let links = std::mem::take(&mut self.shared.lock().links);
        for link in &links {
            link.end(how);
        }
        if how == End::HalfOpen {
            // Kept, so that the client's side stays open.
            self.shared.lock().links.extend(links);
        }
        self.shared.changed.notify_all();
    }

    fn accept_on(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let server = self.server;
        let thread = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                {
                    let control = shared.lock();
                    if control.refusing || control.closed {
                        return;
                    }
                }
                // A server that is away is told by closing: what a load balancer without a backend does.
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                start_link(&shared, client, server);
            }
        });
        *self.acceptor.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    }

    fn stop_accepting(&self) {
        let thread = self
            .acceptor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // Wakes it from accept; it closes the listener as it ends.
            drop(TcpStream::connect(self.address));
            let _ = thread.join();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.stop_accepting();
        let links = std::mem::take(&mut self.shared.lock().links);
        for link in links {
            link.end(End::Cut);
            let _ = link.client.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }
}
