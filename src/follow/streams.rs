//! The streams that were read: their groups change without an event, so they are looked at by turns.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::lock;
use crate::entry::Millis;
use crate::reading::payload;

/// Streams that are remembered.
const MOST: usize = 1_000_000;
/// Streams that are looked through at once for those with groups.
const LOOKED_AT: usize = 10_000;

/// The streams that were read, each with a digest of what was read: their groups change without an event.
#[derive(Debug, Default)]
pub struct Streams {
    state: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    seen: HashMap<Bytes, Stream>,
    order: VecDeque<Bytes>,
    too_many: bool,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    digest: u64,
    bytes: usize,
    groups: bool,
}

impl Streams {
    /// A payload was read: where it is a stream it is remembered. `true`: it is as it was read last.
    pub fn met(&self, name: &Bytes, payload: &[u8], expiry: Option<Millis>) -> bool {
        if !payload::is_stream(payload) {
            return false;
        }
        let mut hasher = Xxh3::new();
        hasher.update(payload);
        hasher.update(&expiry.unwrap_or(-1).to_le_bytes());
        let now = Stream {
            digest: hasher.digest(),
            bytes: payload.len(),
            groups: payload::has_groups(payload).unwrap_or(true),
        };
        self.remember(name, now)
    }

    /// `true`: it is as it was.
    fn remember(&self, name: &Bytes, now: Stream) -> bool {
        let mut turns = lock(&self.state);
        if let Some(stream) = turns.seen.get_mut(name) {
            return std::mem::replace(stream, now).digest == now.digest;
        }
        if turns.seen.len() >= MOST {
            turns.too_many = true;
            return false;
        }
        // A copy of its own: the name would keep the buffer that it was read in.
        let name = Bytes::copy_from_slice(name);
        turns.seen.insert(name.clone(), now);
        turns.order.push_back(name);
        false
    }

    /// A stream was copied by its own commands.
    pub fn copied(&self, name: &Bytes, digest: u64, bytes: usize, groups: bool) {
        let stream = Stream {
            digest,
            bytes,
            groups,
        };
        self.remember(name, stream);
    }

    /// What was copied of a stream last.
    #[must_use]
    pub fn digest(&self, name: &[u8]) -> Option<u64> {
        lock(&self.state).seen.get(name).map(|stream| stream.digest)
    }

    /// The key is gone.
    pub fn forget(&self, name: &[u8]) {
        let mut turns = lock(&self.state);
        if !turns.seen.is_empty() {
            turns.seen.remove(name);
        }
    }

    /// The streams with groups whose turn it is, of so many bytes together.
    #[must_use]
    pub fn next(&self, most: usize, bytes: usize) -> Vec<Bytes> {
        let mut turns = lock(&self.state);
        let mut found = Vec::new();
        let mut left = bytes;
        for _ in 0..turns.order.len().min(LOOKED_AT) {
            let Some(name) = turns.order.pop_front() else {
                break;
            };
            let Some(stream) = turns.seen.get(&name).copied() else {
                continue;
            };
            turns.order.push_back(name.clone());
            if !stream.groups {
                continue;
            }
            found.push(name);
            if stream.bytes >= left || found.len() >= most {
                break;
            }
            left -= stream.bytes;
        }
        found
    }

    /// All streams; those with groups alone, or the others too.
    #[must_use]
    pub fn all(&self, groups_alone: bool) -> Vec<Bytes> {
        let turns = lock(&self.state);
        let wanted = turns
            .seen
            .iter()
            .filter(|(_, stream)| stream.groups || !groups_alone);
        wanted.map(|(name, _)| name.clone()).collect()
    }

    /// Whether there were more streams than are remembered.
    #[must_use]
    pub fn are_too_many(&self) -> bool {
        lock(&self.state).too_many
    }
}
