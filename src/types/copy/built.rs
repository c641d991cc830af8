//! The temporary name that a collection is built under, and what earlier runs have left under others.
//!
//! Each try has a name of its own, so that two runs never build under one. Which was the last is told by a key beside it:
//! the next try finds what an interrupted one has left. What is still being built has its expiry put off all the time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use tokio::time::Instant;

use super::large::Pair;
use crate::config::Side;
use crate::error::Lost;
use crate::temporary::{owner, temporary};
use crate::types::ask::{bytes, integer};
use crate::wire::Reply;

/// What is built expires by itself where nobody puts it in place: milliseconds.
pub(super) const BUILT_FOR: &[u8] = b"900000";
/// Milliseconds by which an expiry may seem put off that is not.
const SLACK: i64 = 100;

/// A temporary name, taken for one try.
pub(super) struct Built {
    /// The name.
    pub(super) name: Bytes,
    owner: Bytes,
    token: String,
    left: Option<Left>,
}

/// What another try has under its name.
struct Left {
    name: Bytes,
    /// What was left of it to live.
    millis: i64,
    at: Instant,
}

/// This process' own half of all its tokens.
fn process() -> u32 {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    *PROCESS.get_or_init(|| fastrand::u32(..))
}

fn token() -> u64 {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    u64::from(process()) << 32 | u64::from(TRIES.fetch_add(1, Relaxed))
}

impl Built {
    /// Takes a name for a key. An inner error is the target's.
    pub(super) async fn begin(
        pair: &mut Pair<'_>,
        key: &[u8],
    ) -> Result<Result<Self, String>, (Side, Lost)> {
        let number = token();
        let token = format!("{number:016x}");
        let owner = Bytes::from(owner(key));
        let mut told = pair
            .tell(|target| {
                target.ask(&[b"GET", &owner]);
                target.ask(&[b"SET", &owner, token.as_bytes(), b"PX", BUILT_FOR]);
            })
            .await?;
        let before = told.raw();
        if let Reply::Error(error) = told.raw() {
            return Ok(Err(error));
        }
        let before = bytes(before)
            .and_then(|text| u64::from_str_radix(std::str::from_utf8(&text).ok()?, 16).ok());
        let mut left = None;
        if let Some(before) = before {
            let name = Bytes::from(temporary(key, before));
            if before >> 32 == u64::from(process()) {
                pair.tell(|target| target.ask(&[b"UNLINK", &name])).await?;
            } else {
                left = Left::look(pair, name).await?;
            }
        }
        Ok(Ok(Self {
            name: Bytes::from(temporary(key, number)),
            owner,
            token,
            left,
        }))
    }

    /// The try is over: what was not put in place goes, and what an interrupted one has left.
    pub(super) async fn end(self, pair: &mut Pair<'_>) -> Result<(), (Side, Lost)> {
        let mut told = pair
            .tell(|target| {
                target.ask(&[b"UNWATCH"]);
                target.ask(&[b"UNLINK", &self.name]);
                target.ask(&[b"GET", &self.owner]);
            })
            .await?;
        told.raw();
        told.raw();
        let is_own = bytes(told.raw()).is_some_and(|owner| owner == self.token.as_bytes());
        if is_own {
            pair.tell(|target| target.ask(&[b"UNLINK", &self.owner]))
                .await?;
        }
        let Some(left) = self.left else {
            return Ok(());
        };
        let Some(now) = Left::look(pair, left.name.clone()).await? else {
            return Ok(());
        };
        let passed = i64::try_from((now.at - left.at).as_millis()).unwrap_or(i64::MAX);
        let put_off = now.millis >= 0 && now.millis > left.millis - passed + SLACK;
        if !put_off {
            pair.tell(|target| target.ask(&[b"UNLINK", &left.name]))
                .await?;
        }
        Ok(())
    }
}

impl Left {
    /// `None`: there is nothing under the name.
    async fn look(pair: &mut Pair<'_>, name: Bytes) -> Result<Option<Self>, (Side, Lost)> {
        let mut told = pair.tell(|target| target.ask(&[b"PTTL", &name])).await?;
        let millis = integer(&told.raw()).unwrap_or(-2);
        Ok((millis != -2).then(|| Self {
            name,
            millis,
            at: Instant::now(),
        }))
    }
}
