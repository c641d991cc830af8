//! XINFO STREAM … FULL: a whole stream at one instant, with the times of delivery as they are.

use super::copy::{Delivered, Whole};
use super::groups::Group;
use super::id::Id;
use super::{Entry, Info, count, entries, field, name};
use crate::types::ask::{array, bytes, integer};
use crate::wire::Reply;

/// What it tells.
pub(super) struct Full {
    pub(super) info: Info,
    pub(super) entries: Vec<Entry>,
    pub(super) groups: Vec<Whole>,
}

impl Full {
    /// The answer: names and values in turn.
    pub(super) fn of(reply: Reply) -> Option<Self> {
        let map = array(reply)?;
        let entries = entries(field(&map, b"entries")?.clone())?;
        let groups = array(field(&map, b"groups")?.clone())?;
        Some(Self {
            groups: groups.into_iter().map(group).collect::<Option<_>>()?,
            entries,
            info: Info::of(Reply::Array(map))?,
        })
    }
}

/// Pending messages are `pel` before 7.2, and `pending` from then on.
fn pending(map: &[Reply]) -> Option<Vec<Reply>> {
    let told = field(map, b"pel").or_else(|| field(map, b"pending"))?;
    array(told.clone())
}

fn group(reply: Reply) -> Option<Whole> {
    let map = array(reply)?;
    let pending: Vec<Delivered> = pending(&map)?
        .into_iter()
        .map(delivered)
        .collect::<Option<_>>()?;
    let consumers: Vec<_> = array(field(&map, b"consumers")?.clone())?
        .into_iter()
        .map(|reply| {
            let map = array(reply)?;
            Some((name(&map, b"name")?, count(&map, b"pel-count")?))
        })
        .collect::<Option<_>>()?;
    Some(Whole {
        group: Group {
            name: name(&map, b"name")?,
            consumers: consumers.len(),
            pending: pending.len(),
            last_delivered: Id::of(field(&map, b"last-delivered-id")?)?,
            read: field(&map, b"entries-read").cloned(),
        },
        consumers,
        pending,
    })
}

fn delivered(reply: Reply) -> Option<Delivered> {
    let mut parts = array(reply)?.into_iter();
    Some(Delivered {
        id: Id::of(&parts.next()?)?,
        consumer: bytes(parts.next()?)?,
        at: integer(&parts.next()?)?,
        count: integer(&parts.next()?)?,
    })
}
