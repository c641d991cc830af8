//! Streams: entries read by XRANGE, compared in order with their ids; what XINFO says beside them; groups.

mod copy;
mod full;
mod groups;
mod id;
mod write;

use bytes::Bytes;

pub(super) use self::copy::StreamReader;
use self::groups::{Group, Pending};
pub(super) use self::id::Id;
use super::ask::{Answers, Questions, array, bytes, size, words};
use super::pace::Pace;
use super::{Comparison, End, Ground, Names, Progress};
use crate::wire::Reply;

/// Bytes of XINFO's answers without entries.
const INFO: usize = 1024;
/// What the first and the last entry, which XINFO STREAM shows, are expected to have at most.
const ENDS: usize = 16 * 1024;

/// An entry: its id, and fields and values in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: Id,
    pub(super) fields: Vec<Bytes>,
}

/// What XINFO STREAM tells. The last two are 7.0's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info {
    pub(super) len: usize,
    pub(super) last: Id,
    pub(super) deleted: Option<Id>,
    pub(super) added: Option<i64>,
}

impl Info {
    /// XINFO STREAM's answer: names and values in turn.
    pub(super) fn of(reply: Reply) -> Option<Self> {
        let map = array(reply)?;
        Some(Self {
            len: size(field(&map, b"length")?)?,
            last: Id::of(field(&map, b"last-generated-id")?)?,
            deleted: field(&map, b"max-deleted-entry-id").and_then(Id::of),
            added: field(&map, b"entries-added").and_then(|added| match added {
                Reply::Integer(added) => Some(*added),
                _ => None,
            }),
        })
    }

    fn same(&self, other: &Self, message_ids: bool) -> bool {
        self.len == other.len
            && (!message_ids
                || (self.last == other.last
                    && same_where_both(self.deleted, other.deleted)
                    && same_where_both(self.added, other.added)))
    }
}

/// A value that only one of two servers has says nothing.
fn same_where_both<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

/// The value behind a name in names and values.
fn field<'r>(map: &'r [Reply], name: &[u8]) -> Option<&'r Reply> {
    map.chunks_exact(2).find_map(|pair| match pair {
        [Reply::Bytes(found), value] if found == name => Some(value),
        _ => None,
    })
}

/// Reads entries from the first to the last, a range a command.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Range {
    from: Id,
}

impl Range {
    /// Asks for the next `count` entries.
    pub(super) fn ask(self, key: &[u8], count: usize, out: &mut Questions<'_>) {
        let (from, count) = (self.from.to_string(), count.to_string());
        out.ask(&[
            b"XRANGE",
            key,
            from.as_bytes(),
            b"+",
            b"COUNT",
            count.as_bytes(),
        ]);
    }

    /// Goes on behind the entries of the answer. An exclusive start is 6.2's; the next id is everyone's.
    pub(super) fn advance(&mut self, entries: &[Entry]) {
        if let Some(next) = entries.last().and_then(|last| last.id.next()) {
            self.from = next;
        }
    }
}

/// XRANGE's answer.
pub(super) fn entries(reply: Reply) -> Option<Vec<Entry>> {
    let entry = |reply| {
        let mut parts = array(reply)?.into_iter();
        Some(Entry {
            id: Id::of(&parts.next()?)?,
            fields: words(parts.next()?)?,
        })
    };
    array(reply)?.into_iter().map(entry).collect()
}

/// The comparison of one key.
pub(super) struct StreamComparison {
    names: Names,
    bytes: usize,
    groups: Vec<Group>,
    state: State,
}

enum State {
    Info,
    Entries(Entries),
    Pending(Pending),
}

/// Entries that are being compared.
struct Entries {
    source: Range,
    target: Range,
    seen: usize,
    len: usize,
    pace: Pace,
}

impl StreamComparison {
    pub(super) fn new(names: Names, bytes: usize) -> Self {
        Self {
            names,
            bytes,
            groups: Vec::new(),
            state: State::Info,
        }
    }

    fn accept_info(
        &mut self,
        ground: &Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        let ids = ground.terms.message_ids;
        let (ours, theirs) = (source.parse(Info::of)?, target.parse(Info::of)?);
        let groups = source.parse(groups::groups)?;
        let same = groups::same(&groups, &target.parse(groups::groups)?, ids);
        self.bytes = size(&source.raw()).unwrap_or_default().max(self.bytes);
        if !same || !ours.same(&theirs, ids) {
            return Err(End::Differs);
        }
        if ids {
            self.groups = groups;
        }
        if ours.len == 0 {
            return Ok(self.go_on_with_groups(ground));
        }
        self.state = State::Entries(Entries {
            source: Range::default(),
            target: Range::default(),
            seen: 0,
            len: ours.len,
            pace: Pace::new(self.bytes, ours.len, ground.chunk),
        });
        Ok(Progress::More)
    }

    fn go_on_with_groups(&mut self, ground: &Ground<'_>) -> Progress {
        let pending = Pending::new(std::mem::take(&mut self.groups), ground.chunk);
        if pending.is_done() {
            return Progress::Equal;
        }
        self.state = State::Pending(pending);
        Progress::More
    }
}

impl Comparison for StreamComparison {
    fn weight(&self) -> usize {
        match &self.state {
            State::Info => INFO + self.bytes.min(ENDS),
            State::Entries(entries) => entries.pace.weight(),
            State::Pending(pending) => pending.weight(),
        }
    }

    fn ask<'q>(
        &mut self,
        _: &mut Ground<'_>,
        source: &mut Questions<'q>,
        target: &mut Questions<'q>,
    ) {
        match &mut self.state {
            State::Info => {
                for (name, out) in [
                    (&self.names.source, &mut *source),
                    (&self.names.target, target),
                ] {
                    out.ask(&[b"XINFO", b"STREAM", name]);
                    out.ask(&[b"XINFO", b"GROUPS", name]);
                }
                source.ask(&[b"MEMORY", b"USAGE", &self.names.source]);
            }
            State::Entries(entries) => {
                let count = entries.pace.count();
                entries.source.ask(&self.names.source, count, source);
                entries.target.ask(&self.names.target, count, target);
            }
            State::Pending(pending) => pending.ask(&self.names, source, target),
        }
    }

    fn accept(
        &mut self,
        ground: &mut Ground<'_>,
        source: &mut Answers,
        target: &mut Answers,
    ) -> Result<Progress, End> {
        match &mut self.state {
            State::Info => self.accept_info(ground, source, target),
            State::Entries(state) => {
                let (ours, theirs) = (source.parse(entries)?, target.parse(entries)?);
                let ids = ground.terms.message_ids;
                if !same_entries(&ours, &theirs, ids) {
                    return Err(End::Differs);
                }
                state.seen += ours.len();
                state.source.advance(&ours);
                state.target.advance(&theirs);
                let is_last = ours.len() < state.pace.count();
                let bytes = ours.iter().flat_map(|entry| &entry.fields);
                state
                    .pace
                    .learn(ours.len(), bytes.map(|word| word.len() + 16).sum());
                if state.seen >= state.len {
                    return Ok(self.go_on_with_groups(ground));
                }
                // Fewer than there were: trimmed or gone meanwhile.
                if is_last {
                    return Err(End::Differs);
                }
                Ok(Progress::More)
            }
            State::Pending(pending) => pending.accept(source, target),
        }
    }
}

fn same_entries(ours: &[Entry], theirs: &[Entry], ids: bool) -> bool {
    ours.len() == theirs.len()
        && ours
            .iter()
            .zip(theirs)
            .all(|(ours, theirs)| ours.fields == theirs.fields && (!ids || ours.id == theirs.id))
}

/// Whether a stream that the target does not have is empty: then it was left out.
pub(super) struct Emptiness {
    names: Names,
}

impl Emptiness {
    pub(super) fn new(names: Names) -> Self {
        Self { names }
    }
}

impl Comparison for Emptiness {
    fn weight(&self) -> usize {
        0
    }

    fn ask<'q>(&mut self, _: &mut Ground<'_>, source: &mut Questions<'q>, _: &mut Questions<'q>) {
        source.ask(&[b"XLEN", &self.names.source]);
    }

    fn accept(
        &mut self,
        _: &mut Ground<'_>,
        source: &mut Answers,
        _: &mut Answers,
    ) -> Result<Progress, End> {
        match source.size()? {
            0 => Ok(Progress::Equal),
            _ => Err(End::Missing),
        }
    }
}

/// A name out of names and values.
fn name(map: &[Reply], of: &[u8]) -> Option<Bytes> {
    bytes(field(map, of)?.clone())
}

/// A count out of names and values.
fn count(map: &[Reply], of: &[u8]) -> Option<usize> {
    size(field(map, of)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &'static str) -> Reply {
        Reply::Bytes(Bytes::from_static(text.as_bytes()))
    }

    fn info(last: &'static str, added: Option<i64>) -> Info {
        let mut map = vec![
            word("length"),
            Reply::Integer(2),
            word("radix-tree-keys"),
            Reply::Integer(1),
            word("last-generated-id"),
            word(last),
            word("first-entry"),
            Reply::Nil,
        ];
        if let Some(added) = added {
            map.extend([word("entries-added"), Reply::Integer(added)]);
        }
        Info::of(Reply::Array(map)).unwrap()
    }

    #[test]
    fn what_one_server_does_not_tell_is_not_compared() {
        assert!(info("7-7", None).same(&info("7-7", Some(9)), true));
        assert!(!info("7-7", Some(8)).same(&info("7-7", Some(9)), true));
        assert!(!info("7-7", None).same(&info("7-8", None), true));
        assert!(info("7-7", Some(8)).same(&info("7-8", Some(9)), false));
    }

    #[test]
    fn entries_are_compared_with_ids_or_by_fields_alone() {
        let read = |id| {
            entries(Reply::Array(vec![Reply::Array(vec![
                word(id),
                Reply::Array(vec![word("field"), word("value")]),
            ])]))
            .unwrap()
        };
        let (one, other) = (read("1-1"), read("1-2"));
        assert!(same_entries(&one, &read("1-1"), true));
        assert!(!same_entries(&one, &other, true));
        assert!(same_entries(&one, &other, false));
        let mut range = Range::default();
        range.advance(&other);
        assert_eq!(range.from.to_string(), "1-3");
    }
}
