//! A stream's consumer groups: their positions, consumers, and pending entries with owner and deliveries.

use std::collections::VecDeque;

use bytes::Bytes;

use super::id::Id;
use super::{count, field, name, same_where_both};
use crate::types::ask::{Answers, Questions, array, bytes, integer};
use crate::types::{End, Names, Progress};
use crate::wire::Reply;

/// Bytes of a pending entry, or of a consumer, in an answer.
const EACH: usize = 128;
/// Most pending entries that one command asks for: XPENDING holds the server for as long as it takes.
const MOST: usize = 5000;

/// A group, as XINFO GROUPS tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: Bytes,
    pub(crate) consumers: usize,
    pub(crate) pending: usize,
    pub(crate) last_delivered: Id,
    /// 7.0's, and a nil there where the server does not know it.
    pub(crate) read: Option<Reply>,
}

/// XINFO GROUPS' answer, sorted by name.
pub(super) fn groups(reply: Reply) -> Option<Vec<Group>> {
    let group = |reply| {
        let map = array(reply)?;
        Some(Group {
            name: name(&map, b"name")?,
            consumers: count(&map, b"consumers")?,
            pending: count(&map, b"pending")?,
            last_delivered: Id::of(field(&map, b"last-delivered-id")?)?,
            read: field(&map, b"entries-read").cloned(),
        })
    };
    let mut groups: Vec<Group> = array(reply)?
        .into_iter()
        .map(group)
        .collect::<Option<_>>()?;
    groups.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Some(groups)
}

/// Whether the groups are the same; without ids by their names alone.
pub(super) fn same(ours: &[Group], theirs: &[Group], ids: bool) -> bool {
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(ours, theirs)| {
            ours.name == theirs.name
                && (!ids
                    || (ours.consumers == theirs.consumers
                        && ours.pending == theirs.pending
                        && ours.last_delivered == theirs.last_delivered
                        && same_where_both(ours.read.as_ref(), theirs.read.as_ref())))
        })
}

/// A consumer's name, and how many entries are pending for it.
pub(super) type Consumer = (Bytes, usize);

/// XINFO CONSUMERS' answer, sorted by name.
pub(super) fn consumers(reply: Reply) -> Option<Vec<Consumer>> {
    let consumer = |reply| {
        let map = array(reply)?;
        Some((name(&map, b"name")?, count(&map, b"pending")?))
    };
    let mut consumers: Vec<Consumer> = array(reply)?
        .into_iter()
        .map(consumer)
        .collect::<Option<_>>()?;
    consumers.sort_unstable();
    Some(consumers)
}

/// An entry that was delivered and not acknowledged. Its idle time is not kept: it never stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingEntry {
    pub(crate) id: Id,
    pub(crate) consumer: Bytes,
    pub(crate) deliveries: i64,
}

/// XPENDING's answer.
pub(super) fn pending(reply: Reply) -> Option<Vec<PendingEntry>> {
    let entry = |reply| {
        let mut parts = array(reply)?.into_iter();
        let id = Id::of(&parts.next()?)?;
        let consumer = bytes(parts.next()?)?;
        let deliveries = integer(&parts.nth(1)?)?;
        Some(PendingEntry {
            id,
            consumer,
            deliveries,
        })
    };
    array(reply)?.into_iter().map(entry).collect()
}

/// Consumers and pending entries of the groups that are left, page by page.
pub(super) struct Pending {
    groups: VecDeque<Open>,
    /// Groups from the front that were asked about last.
    asked: usize,
    chunk: usize,
    page: usize,
}

/// A group whose consumers and pending entries are being compared.
struct Open {
    group: Group,
    begun: bool,
    from: Id,
    seen: usize,
}

impl Open {
    fn weight(&self, page: usize) -> usize {
        let consumers = if self.begun { 0 } else { self.group.consumers };
        let pending = self.group.pending.saturating_sub(self.seen).min(page);
        consumers.saturating_add(pending).saturating_mul(EACH)
    }
}

impl Pending {
    /// For groups that both sides tell the same of.
    pub(super) fn new(groups: Vec<Group>, chunk: usize) -> Self {
        let open = |group| Open {
            group,
            begun: false,
            from: Id::default(),
            seen: 0,
        };
        Self {
            groups: groups
                .into_iter()
                .filter(|group| group.consumers > 0 || group.pending > 0)
                .map(open)
                .collect(),
            asked: 0,
            chunk,
            page: (chunk / EACH).clamp(1, MOST),
        }
    }

    /// Whether nothing is left to compare.
    pub(super) fn is_done(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many groups from the front are asked about together, and the bytes of their answers.
    fn next(&self) -> (usize, usize) {
        let (mut groups, mut load) = (0, 0_usize);
        for open in &self.groups {
            let weight = open.weight(self.page);
            if groups > 0 && load.saturating_add(weight) > self.chunk {
                break;
            }
            groups += 1;
            load = load.saturating_add(weight);
        }
        (groups, load)
    }

    /// Bytes of the next answers of one side.
    pub(super) fn weight(&self) -> usize {
        self.next().1
    }

    /// Asks about the next groups.
    pub(super) fn ask<'q>(
        &mut self,
        names: &Names,
        source: &mut Questions<'q>,
        target: &mut Questions<'q>,
    ) {
        self.asked = self.next().0;
        for open in self.groups.iter().take(self.asked) {
            for (key, out) in [(&names.source, &mut *source), (&names.target, &mut *target)] {
                let group = &open.group;
                if !open.begun {
                    out.ask(&[b"XINFO", b"CONSUMERS", key, &group.name]);
                }
                if group.pending > 0 {
                    let (from, page) = (open.from.to_string(), self.page.to_string());
                    out.ask(&[
                        b"XPENDING",
                        key,
                        &group.name,
                        from.as_bytes(),
                        b"+",
                        page.as_bytes(),
                    ]);
                }
            }
        }
    }

    /// Judges the answers; groups that are through are taken off.
    pub(super) fn accept(
        &mut self,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        for _ in 0..self.asked {
            let Some(mut open) = self.groups.pop_front() else {
                break;
            };
            if !open.begun && source.parse(consumers)? != target.parse(consumers)? {
                return Err(End::Differs);
            }
            open.begun = true;
            if open.group.pending == 0 {
                continue;
            }
            let ours = source.parse(pending)?;
            if ours != target.parse(pending)? {
                return Err(End::Differs);
            }
            open.seen += ours.len();
            if open.seen >= open.group.pending {
                continue;
            }
            // Fewer than there were: acknowledged or gone meanwhile.
            let next = ours.last().and_then(|last| last.id.next());
            open.from = next
                .filter(|_| ours.len() >= self.page)
                .ok_or(End::Differs)?;
            // To the back: the front is still to be judged.
            self.groups.push_back(open);
        }
        Ok(if self.is_done() {
            Progress::Equal
        } else {
            Progress::More
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &'static str) -> Reply {
        Reply::Bytes(Bytes::from_static(text.as_bytes()))
    }

    fn group(name: &'static str, last: &'static str, read: Option<Reply>) -> Reply {
        let mut map = vec![
            word("name"),
            word(name),
            word("consumers"),
            Reply::Integer(1),
            word("pending"),
            Reply::Integer(2),
            word("last-delivered-id"),
            word(last),
        ];
        if let Some(read) = read {
            map.extend([word("entries-read"), read]);
        }
        Reply::Array(map)
    }

    #[test]
    fn groups_are_the_same_by_all_that_both_servers_tell() {
        let of = |groups_told: Vec<Reply>| groups(Reply::Array(groups_told)).unwrap();
        let old = of(vec![group("a", "1-1", None), group("b", "2-2", None)]);
        let new = of(vec![
            group("b", "2-2", Some(Reply::Nil)),
            group("a", "1-1", Some(Reply::Integer(1))),
        ]);
        assert!(same(&old, &new, true));
        let read = of(vec![
            group("a", "1-1", Some(Reply::Integer(2))),
            group("b", "2-2", Some(Reply::Nil)),
        ]);
        assert!(!same(&read, &new, true));
        let moved = of(vec![group("a", "1-1", None), group("b", "2-3", None)]);
        assert!(!same(&old, &moved, true));
        assert!(same(&old, &moved, false));
        assert!(!same(&old, &of(vec![group("a", "1-1", None)]), false));
    }

    #[test]
    fn idle_times_are_not_kept() {
        let entry = |idle, deliveries| {
            pending(Reply::Array(vec![Reply::Array(vec![
                word("1-1"),
                word("ann"),
                Reply::Integer(idle),
                Reply::Integer(deliveries),
            ])]))
        };
        assert_eq!(entry(5, 1), entry(90_000, 1));
        assert_ne!(entry(5, 1), entry(5, 2));
        assert_eq!(pending(Reply::Array(vec![Reply::Array(vec![])])), None);
    }
}
