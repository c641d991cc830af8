//! What moves a proxy's bytes: two threads for each direction of a connection.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Control, Direction, End, Link, Shared, TICK};

/// Bytes read at once.
const CHUNK: usize = 256 << 10;
/// Most bytes under way in one direction of a connection: 150 MB/s for 300 ms, and some.
const UNDER_WAY: usize = 64 << 20;

pub(super) fn start_link(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
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
        let (due, most) = pace(&mut shared.lock(), direction, read);
        let mut chunks = queue.lock();
        while chunks.bytes >= most && !chunks.over && link.ended().is_none() {
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

/// When a chunk is due at the other end, and how much may be under way beside it.
fn pace(control: &mut Control, direction: Direction, bytes: usize) -> (Instant, usize) {
    let (now, way) = (Instant::now(), direction.index());
    let Some(rate) = control.rate[way] else {
        return (now + control.delay[way], UNDER_WAY);
    };
    let begins = control.busy_until[way].map_or(now, |until| until.max(now));
    let ends = begins + Duration::from_secs_f64(bytes as f64 / rate as f64);
    control.busy_until[way] = Some(ends);
    let most = usize::try_from(rate / 4).unwrap_or(UNDER_WAY);
    (ends + control.delay[way], most)
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
