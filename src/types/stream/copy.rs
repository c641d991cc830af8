//! The copying of a stream: its messages, what XSETID sets, its groups, consumers and pending messages.

use std::collections::VecDeque;

use bytes::Bytes;

use super::groups::{Consumer, Group, consumers, groups};
use super::id::Id;
use super::{Entry, Info, Range, entries};
use crate::entry::Millis;
use crate::types::End;
use crate::types::ask::{Answers, Questions, array, bytes, integer};
use crate::types::copy::{Commands, Means, Reader, Size, Step, number};
use crate::types::pace::Pace;
use crate::wire::Reply;

/// Most messages that one range asks for.
const MESSAGES: usize = 2000;
/// Most pending messages that one command asks for: XPENDING holds the server for as long as it takes.
const PENDING: usize = 5000;
/// Most ids in one command.
const IDS: usize = 1000;
/// Microseconds of a millisecond near which two clocks of one server may say two milliseconds.
const EDGE: i64 = 100;
/// How often pending messages are asked for again because of that.
const TRIES: u32 = 30;
/// Stands for a message that was deleted while it was pending, until it is deleted here too.
const DELETED: &[u8] = b"deleted";

/// A message that was delivered and not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Delivered {
    id: Id,
    consumer: Bytes,
    /// On the source's clock.
    at: Millis,
    count: i64,
}

/// A group with its consumers and what is pending for them.
#[derive(Debug)]
struct Whole {
    group: Group,
    consumers: Vec<Consumer>,
    pending: Vec<Delivered>,
}

/// The copying of one key.
pub(in crate::types) struct StreamReader {
    key: Bytes,
    paged: Option<usize>,
    state: State,
    info: Option<Info>,
    open: VecDeque<Group>,
    groups: Vec<Whole>,
    /// Messages of a small stream.
    held: Vec<Entry>,
    /// Ids of pending messages, sorted, that are not behind what was written.
    expected: VecDeque<Id>,
    /// Messages that stand for deleted ones.
    deleted: Vec<Id>,
    /// The first message that is there.
    first: Option<Id>,
    written: usize,
    /// Groups that were made between messages.
    made: usize,
}

enum State {
    Info,
    Groups { from: Id, tries: u32, begun: bool },
    Messages { range: Range, pace: Pace },
    Look,
}

impl StreamReader {
    pub(in crate::types) fn new(key: Bytes, size: Size) -> Self {
        Self {
            key,
            paged: match size {
                Size::Whole => None,
                Size::Paged(bytes) => Some(bytes),
            },
            state: State::Info,
            info: None,
            open: VecDeque::new(),
            groups: Vec::new(),
            held: Vec::new(),
            expected: VecDeque::new(),
            deleted: Vec::new(),
            first: None,
            written: 0,
            made: 0,
        }
    }

    fn accept_info(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        let info = source.parse(Info::of)?;
        let groups = source.parse(groups)?;
        if self.paged.is_none() {
            self.held = source.parse(entries)?;
        }
        let simple = groups.is_empty();
        self.info = Some(info);
        self.open = groups.into();
        if simple && self.paged.is_none() {
            self.finish(means, out)?;
            return Ok(Step::Done);
        }
        self.next_group(means);
        Ok(Step::More)
    }

    /// The next group, or what comes after the last.
    fn next_group(&mut self, means: &Means) {
        if !self.open.is_empty() {
            self.state = State::Groups {
                from: Id::default(),
                tries: 0,
                begun: false,
            };
            return;
        }
        // By position: where the target gives the ids, a group is made behind its last message.
        self.groups.sort_by_key(|whole| whole.group.last_delivered);
        if means.stream_ids {
            let pending = self.groups.iter().flat_map(|whole| &whole.pending);
            let mut ids: Vec<Id> = pending.map(|delivered| delivered.id).collect();
            ids.sort_unstable();
            ids.dedup();
            self.expected = ids.into();
        }
        self.state = match self.paged {
            None => State::Look,
            Some(bytes) => {
                let len = self.info.as_ref().map_or(0, |info| info.len);
                State::Messages {
                    range: Range::default(),
                    pace: Pace::new(bytes, len, means.chunk).at_most(MESSAGES),
                }
            }
        };
    }

    fn accept_group(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        let State::Groups { from, tries, begun } = &mut self.state else {
            return Err(End::Differs);
        };
        let Some(group) = self.open.front() else {
            return Err(End::Differs);
        };
        if !*begun {
            let consumers = source.parse(consumers)?;
            self.groups.push(Whole {
                group: group.clone(),
                consumers,
                pending: Vec::new(),
            });
            *begun = true;
        }
        let Some(whole) = self.groups.last_mut() else {
            return Err(End::Differs);
        };
        if group.pending > 0 && means.stream_ids {
            let (now, part) = if means.source_time {
                source.parse(micros)?
            } else {
                out.notes.push("pending messages have their times of delivery by riot's own clock: TIME is not allowed at the source (ACL rule +time)");
                (means.now, 500)
            };
            let page = source.parse(|reply| pending(reply, now))?;
            let near_edge = !(EDGE..=1000 - EDGE).contains(&part);
            if near_edge && *tries < TRIES {
                *tries += 1;
                return Ok(Step::More);
            }
            *tries = 0;
            let more = page.len() >= PENDING;
            if let Some(next) = page.last().and_then(|last| last.id.next()) {
                *from = next;
            }
            whole.pending.extend(page);
            if more {
                return Ok(Step::More);
            }
            if whole.pending.len() != group.pending {
                return Err(End::Differs);
            }
        }
        self.open.pop_front();
        self.next_group(means);
        Ok(Step::More)
    }

    fn accept_messages(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        let messages = source.parse(entries)?;
        let State::Messages { range, pace } = &mut self.state else {
            return Err(End::Differs);
        };
        let end = messages.last().is_some_and(|last| last.id.next().is_none());
        let last = end || messages.len() < pace.count();
        range.advance(&messages);
        let words = messages.iter().flat_map(|entry| &entry.fields);
        pace.learn(messages.len(), words.map(|word| word.len() + 16).sum());
        self.write(messages, means, out);
        if last {
            self.state = State::Look;
        }
        Ok(Step::More)
    }

    /// What was told at first is told again, or the parts are not of one stream.
    fn accept_look(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        let info = source.parse(Info::of)?;
        let mut again = source.parse(groups)?;
        again.sort_by_key(|group| group.last_delivered);
        let same = again.len() == self.groups.len()
            && again
                .iter()
                .all(|group| self.groups.iter().any(|whole| whole.group == *group));
        if means.follows {
            self.info = Some(info);
        } else if self.info.as_ref() != Some(&info) || !same {
            return Err(End::Differs);
        }
        self.finish(means, out)?;
        Ok(Step::Done)
    }

    /// Messages in their order, with stand-ins for those that were deleted while they were pending.
    fn write(&mut self, messages: Vec<Entry>, means: &Means, out: &mut Commands) {
        for Entry { id, fields } in messages {
            if means.stream_ids {
                while let Some(expected) = self.expected.front().copied()
                    && expected <= id
                {
                    self.expected.pop_front();
                    if expected < id {
                        self.stand_in(expected, out);
                    }
                }
            } else {
                self.make_groups(Some(id), out);
            }
            let name = if means.stream_ids {
                number(id)
            } else {
                Bytes::from_static(b"*")
            };
            self.first.get_or_insert(id);
            if means.stream_ids {
                out.first.get_or_insert(id);
            }
            out.push(&[b"XADD"], std::iter::once(name).chain(fields));
            self.written += 1;
        }
    }

    fn stand_in(&mut self, id: Id, out: &mut Commands) {
        let words = [number(id), Bytes::from_static(DELETED), Bytes::new()];
        out.push(&[b"XADD"], words);
        self.deleted.push(id);
        self.written += 1;
    }

    /// Where the target gives the ids: makes the groups whose last message comes before `next`.
    fn make_groups(&mut self, next: Option<Id>, out: &mut Commands) {
        while let Some(whole) = self.groups.get(self.made)
            && next.is_none_or(|next| whole.group.last_delivered < next)
        {
            let words = [
                whole.group.name.clone(),
                Bytes::from_static(b"$"),
                Bytes::from_static(b"MKSTREAM"),
            ];
            out.push(&[b"XGROUP", b"CREATE"], words);
            self.made += 1;
        }
    }

    /// All that comes after the last message.
    fn finish(&mut self, means: &Means, out: &mut Commands) -> Result<(), End> {
        let held = std::mem::take(&mut self.held);
        self.write(held, means, out);
        out.groups = !self.groups.is_empty();
        let Some(info) = self.info.clone() else {
            return Err(End::Differs);
        };
        if !means.stream_ids {
            self.make_groups(None, out);
            if self.groups.iter().any(|whole| whole.group.pending > 0) {
                out.notes
                    .push("messages of streams that were pending are not pending at the target: without their ids nobody can tell which they are");
            }
            self.exist(out);
            self.write_consumers(means, out);
            return Ok(());
        }
        for id in std::mem::take(&mut self.expected) {
            self.stand_in(id, out);
        }
        let may_set = means.xsetid && !means.merge && info.last != Id::default();
        let stands = !self.deleted.is_empty();
        if self.groups.is_empty() {
            self.exist(out);
        }
        let enough = info
            .added
            .is_some_and(|added| usize::try_from(added).is_ok_and(|added| added >= self.written));
        if may_set && self.written > 0 && enough {
            set_id(&info, means, out);
        }
        for whole in &self.groups {
            create_group(whole, means, out);
        }
        self.write_consumers(means, out);
        for whole in &self.groups {
            claim(whole, means, out);
        }
        self.remove_stand_ins(means, out);
        if may_set && (stands || !enough || self.written == 0) {
            set_id(&info, means, out);
        }
        if !means.xsetid && !means.merge {
            out.notes.push("the last ids of streams are those of their last messages: XSETID is not allowed at the target (ACL rule +xsetid)");
        }
        Ok(())
    }

    /// Those before the first message are trimmed, as they may have been at the source: XDEL would be remembered.
    fn remove_stand_ins(&self, means: &Means, out: &mut Commands) {
        let first = self.first.filter(|_| means.since_62);
        let trimmed = match first {
            Some(first) => self.deleted.partition_point(|id| *id < first),
            None if means.since_62 => self.deleted.len(),
            None => 0,
        };
        if trimmed > 0 {
            let words = match first {
                Some(first) => [Bytes::from_static(b"MINID"), number(first)],
                None => [Bytes::from_static(b"MAXLEN"), number(0)],
            };
            out.push(&[b"XTRIM"], words);
        }
        for ids in self.deleted.get(trimmed..).unwrap_or_default().chunks(IDS) {
            out.push(&[b"XDEL"], ids.iter().map(number));
        }
    }

    /// A stream that has no message and no group is made all the same.
    fn exist(&self, out: &mut Commands) {
        if self.written == 0 && self.made == 0 && self.groups.is_empty() {
            let name = Bytes::from_static(b"riot");
            let words = [
                name.clone(),
                Bytes::from_static(b"0"),
                Bytes::from_static(b"MKSTREAM"),
            ];
            out.push(&[b"XGROUP", b"CREATE"], words);
            out.push(&[b"XGROUP", b"DESTROY"], [name]);
        }
    }

    /// Consumers for whom nothing is pending: the others come with what is.
    fn write_consumers(&self, means: &Means, out: &mut Commands) {
        for whole in &self.groups {
            let idle = whole
                .consumers
                .iter()
                .filter(|(_, pending)| *pending == 0 || !means.stream_ids);
            for (consumer, _) in idle {
                create_consumer(&whole.group.name, consumer, means, out);
            }
        }
    }
}

fn set_id(info: &Info, means: &Means, out: &mut Commands) {
    let mut words = vec![number(info.last)];
    if means.since_70 {
        let added = info
            .added
            .unwrap_or_else(|| i64::try_from(info.len).unwrap_or_default());
        words.extend([Bytes::from_static(b"ENTRIESADDED"), number(added)]);
        let deleted = info.deleted.unwrap_or_default();
        words.extend([Bytes::from_static(b"MAXDELETEDID"), number(deleted)]);
    }
    out.push(&[b"XSETID"], words);
}

fn create_group(whole: &Whole, means: &Means, out: &mut Commands) {
    let group = &whole.group;
    let mut words = vec![
        group.name.clone(),
        number(group.last_delivered),
        Bytes::from_static(b"MKSTREAM"),
    ];
    if let Some(Reply::Integer(read)) = group.read
        && means.since_70
        && !means.merge
    {
        words.extend([Bytes::from_static(b"ENTRIESREAD"), number(read)]);
    }
    out.push(&[b"XGROUP", b"CREATE"], words);
}

fn create_consumer(group: &Bytes, consumer: &Bytes, means: &Means, out: &mut Commands) {
    if means.since_62 {
        out.push(
            &[b"XGROUP", b"CREATECONSUMER"],
            [group.clone(), consumer.clone()],
        );
        return;
    }
    // Reading what is pending for a consumer, which is nothing, makes it known.
    let words = [
        Bytes::from_static(b"XREADGROUP"),
        Bytes::from_static(b"GROUP"),
        group.clone(),
        consumer.clone(),
        Bytes::from_static(b"COUNT"),
        number(1),
        Bytes::from_static(b"STREAMS"),
    ];
    out.push_around(words, [number(0)]);
}

/// What is pending, in runs of one consumer, time and count.
fn claim(whole: &Whole, means: &Means, out: &mut Commands) {
    let same = |one: &Delivered, other: &Delivered| {
        one.consumer == other.consumer && one.at == other.at && one.count == other.count
    };
    for run in whole.pending.chunk_by(same) {
        for ids in run.chunks(IDS) {
            let Some(first) = ids.first() else { continue };
            let mut words = vec![whole.group.name.clone(), first.consumer.clone(), number(0)];
            words.extend(ids.iter().map(|delivered| number(delivered.id)));
            words.extend([
                Bytes::from_static(b"TIME"),
                number(first.at + means.shift),
                Bytes::from_static(b"RETRYCOUNT"),
                number(first.count),
                Bytes::from_static(b"FORCE"),
                Bytes::from_static(b"JUSTID"),
            ]);
            out.push(&[b"XCLAIM"], words);
        }
    }
}

/// TIME's answer: milliseconds, and the microseconds beside.
fn micros(reply: Reply) -> Option<(Millis, i64)> {
    let mut parts = array(reply)?.into_iter();
    let mut number = || -> Option<i64> {
        std::str::from_utf8(&bytes(parts.next()?)?)
            .ok()?
            .parse()
            .ok()
    };
    let (seconds, micros) = (number()?, number()?);
    Some((seconds * 1000 + micros / 1000, micros % 1000))
}

/// XPENDING's answer, asked at an instant of the source's clock.
fn pending(reply: Reply, now: Millis) -> Option<Vec<Delivered>> {
    let entry = |reply| {
        let mut parts = array(reply)?.into_iter();
        Some(Delivered {
            id: Id::of(&parts.next()?)?,
            consumer: bytes(parts.next()?)?,
            at: now - integer(&parts.next()?)?,
            count: integer(&parts.next()?)?,
        })
    };
    array(reply)?.into_iter().map(entry).collect()
}

impl Reader for StreamReader {
    fn ask(&mut self, means: &Means, source: &mut Questions<'_>) {
        match &self.state {
            State::Info | State::Look => {
                source.ask(&[b"XINFO", b"STREAM", &self.key]);
                source.ask(&[b"XINFO", b"GROUPS", &self.key]);
                if matches!(self.state, State::Info) && self.paged.is_none() {
                    source.ask(&[b"XRANGE", &self.key, b"-", b"+"]);
                }
            }
            State::Groups { from, begun, .. } => {
                let Some(group) = self.open.front() else {
                    return;
                };
                if !begun {
                    source.ask(&[b"XINFO", b"CONSUMERS", &self.key, &group.name]);
                }
                if group.pending > 0 && means.stream_ids {
                    // Right before: what XPENDING tells counts from then.
                    if means.source_time {
                        source.ask(&[b"TIME"]);
                    }
                    let (from, most) = (from.to_string(), PENDING.to_string());
                    source.ask(&[
                        b"XPENDING",
                        &self.key,
                        &group.name,
                        from.as_bytes(),
                        b"+",
                        most.as_bytes(),
                    ]);
                }
            }
            State::Messages { range, pace } => range.ask(&self.key, pace.count(), source),
        }
    }

    fn accept(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        match &self.state {
            State::Info => self.accept_info(means, source, out),
            State::Groups { .. } => self.accept_group(means, source, out),
            State::Messages { .. } => self.accept_messages(means, source, out),
            State::Look => self.accept_look(means, source, out),
        }
    }

    /// In a transaction all commands have one clock, which TIME does not tell.
    fn is_of_one_instant(&self) -> bool {
        !matches!(self.state, State::Groups { .. })
    }

    fn is_empty_stream(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.len == 0)
    }

    fn length(&self) -> Option<&'static [u8]> {
        Some(b"XLEN")
    }
}
