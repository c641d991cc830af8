//! A TCP proxy that makes faults: delay, stall, cut, reset, half-open, refused. Threads and std alone, but for `SO_LINGER`.
//!
//! A delay keeps the bandwidth of the link: each chunk carries the time at which it is due, and any number of them is under
//! way at once.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::SockRef;

/// Bytes read at once.
const CHUNK: usize = 256 << 10;
/// Most bytes under way in one direction of a connection: 150 MB/s for 300 ms, and some.
const UNDER_WAY: usize = 64 << 20;
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

fn start_link(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    for socket in [&client, &server] {
        let _ = socket.set_nodelay(true);
        let _ = socket.set_read_timeout(Some(TICK));
        let _ = socket.set_write_timeout(Some(TICK));
    }
    let link = Arc::new(Link {
        client,
        server,
        ended: Mutex::new(None),
        finished: AtomicU8::new(0),
    });
    {
        let mut control = shared.lock();
        control.accepted += 1;
        control.links.push(Arc::clone(&link));
    }
    for direction in [Direction::Up, Direction::Down] {
        let queue = Arc::new(Queue::default());
        {
            let (shared, link, queue) = (Arc::clone(shared), Arc::clone(&link), Arc::clone(&queue));
            std::thread::spawn(move || read_side(&shared, &link, direction, &queue));
        }
        let (shared, link) = (Arc::clone(shared), Arc::clone(&link));
        std::thread::spawn(move || write_side(&shared, &link, direction, &queue));
    }
}

/// Chunks under way in one direction of one connection.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<Chunks>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Chunks {
    due: VecDeque<(Instant, Vec<u8>)>,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
    bytes: usize,
    /// The reading side has seen the end, or the writing side cannot go on.
    over: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Chunks> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }
}

fn waits(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

fn read_side(shared: &Shared, link: &Link, direction: Direction, queue: &Queue) {
    let mut from = match direction {
        Direction::Up => &link.client,
        Direction::Down => &link.server,
    };
    let mut buffer = vec![0; CHUNK];
    while link.ended().is_none() {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if waits(&error) => continue,
            Err(_) => {
                link.end(End::Reset);
                shared.forget_ended();
                break;
            }
        };
        let delay = shared.lock().delay[direction.index()];
        let due = Instant::now() + delay;
        let mut chunks = queue.lock();
        while chunks.bytes >= UNDER_WAY && !chunks.over && link.ended().is_none() {
            chunks = queue
                .changed
                .wait_timeout(chunks, TICK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let mut chunk = chunks.spare.pop().unwrap_or_default();
        chunk.clear();
        chunk.extend_from_slice(&buffer[..read]);
        chunks.bytes += read;
        chunks.due.push_back((due, chunk));
        drop(chunks);
        queue.changed.notify_all();
    }
    queue.close();
}

fn write_side(shared: &Shared, link: &Link, direction: Direction, queue: &Queue) {
    let to = match direction {
        Direction::Up => &link.server,
        Direction::Down => &link.client,
    };
    while let Some(chunk) = next_due(link, queue) {
        let Some(allowed) = allow(shared, link, direction, chunk.len()) else {
            break;
        };
        if send(link, to, &chunk[..allowed]).is_err() {
            break;
        }
        shared.lock().bytes[direction.index()] += allowed as u64;
        if allowed < chunk.len() {
            let links = std::mem::take(&mut shared.lock().links);
            for link in links {
                link.end(End::Cut);
            }
            break;
        }
        let mut chunks = queue.lock();
        chunks.bytes -= chunk.len();
        if chunks.spare.len() < 8 {
            chunks.spare.push(chunk);
        }
        drop(chunks);
        queue.changed.notify_all();
    }
    queue.close();
    // What was read is sent: the end goes through as well, unless the link was ended by a fault.
    if link.ended().is_none() {
        let _ = to.shutdown(Shutdown::Write);
        if link.finished.fetch_add(1, Ordering::AcqRel) == 1 {
            link.end(End::Cut);
        }
    }
    shared.forget_ended();
}

/// The next chunk at the time it is due; `None` at the end.
fn next_due(link: &Link, queue: &Queue) -> Option<Vec<u8>> {
    let mut chunks = queue.lock();
    loop {
        if link.ended().is_some() {
            return None;
        }
        let wait = match chunks.due.front() {
            None if chunks.over => return None,
            None => TICK,
            Some((due, _)) => match due.checked_duration_since(Instant::now()) {
                None | Some(Duration::ZERO) => {
                    return chunks.due.pop_front().map(|(_, chunk)| chunk);
                }
                Some(left) => left.min(TICK),
            },
        };
        chunks = queue
            .changed
            .wait_timeout(chunks, wait)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

/// How many of these bytes may go: all, or less where the fuse ends; waits out a stall. `None` where the link was ended.
fn allow(shared: &Shared, link: &Link, direction: Direction, bytes: usize) -> Option<usize> {
    let mut control = shared.lock();
    let whole = bytes as u64;
    match &mut control.stall_after[direction.index()] {
        Some(left) if *left >= whole => *left -= whole,
        after @ Some(_) => {
            *after = None;
            control.stalled[direction.index()] = true;
        }
        None => {}
    }
    while control.stalled[direction.index()] && !control.closed {
        if link.ended().is_some() {
            return None;
        }
        control = shared
            .changed
            .wait_timeout(control, TICK)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
    let control = &mut *control;
    let slot = &mut control.fuse[direction.index()];
    let Some(fuse) = slot else {
        return Some(bytes);
    };
    if fuse.left >= whole {
        fuse.left -= whole;
        return Some(bytes);
    }
    let allowed = usize::try_from(fuse.left).unwrap_or(0);
    fuse.left = fuse.every;
    fuse.times -= 1;
    if fuse.times == 0 {
        *slot = None;
    }
    control.cuts += 1;
    Some(allowed)
}

fn send(link: &Link, mut to: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        if link.ended().is_some() {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        match to.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if waits(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
