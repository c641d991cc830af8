//! The copying of a stream: its messages, what XSETID sets, its groups, consumers and pending messages.

use std::collections::VecDeque;

use bytes::Bytes;

use super::full::Full;
use super::groups::{Consumer, Group, consumers, groups};
use super::id::Id;
use super::{Info, Range, entries};
use crate::entry::Millis;
use crate::types::End;
use crate::types::ask::{Answers, Questions, array, bytes, integer};
use crate::types::copy::{Commands, Means, Reader, Size, Step};
use crate::types::pace::Pace;
use crate::wire::Reply;

/// Most messages that one range asks for.
const MESSAGES: usize = 2000;
/// Most pending messages that one command asks for: XPENDING holds the server for as long as it takes.
const PENDING: usize = 5000;
/// Microseconds of a millisecond near which two clocks of one server may say two milliseconds.
const EDGE: i64 = 100;
/// How often pending messages are asked for again because of that.
const TRIES: u32 = 30;
/// A message that was delivered and not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) id: Id,
    pub(super) consumer: Bytes,
    /// On the source's clock.
    pub(super) at: Millis,
    pub(super) count: i64,
}

/// A group with its consumers and what is pending for them.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) group: Group,
    pub(super) consumers: Vec<Consumer>,
    pub(super) pending: Vec<Delivered>,
}

/// The copying of one key.
pub(in crate::types) struct StreamReader {
    key: Bytes,
    paged: Option<usize>,
    state: State,
    pub(super) info: Option<Info>,
    open: VecDeque<Group>,
    pub(super) groups: Vec<Whole>,
    /// Ids of pending messages, sorted, that are not behind what was written.
    pub(super) expected: VecDeque<Id>,
    /// Messages that stand for deleted ones.
    pub(super) deleted: Vec<Id>,
    /// The first message that is there.
    pub(super) first: Option<Id>,
    pub(super) written: usize,
    /// Groups that were made between messages.
    pub(super) made: usize,
}

enum State {
    Full,
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
            state: match size {
                Size::Whole => State::Full,
                Size::Paged(_) => State::Info,
            },
            info: None,
            open: VecDeque::new(),
            groups: Vec::new(),
            expected: VecDeque::new(),
            deleted: Vec::new(),
            first: None,
            written: 0,
            made: 0,
        }
    }

    /// A small stream: all of it, at one instant.
    fn accept_full(
        &mut self,
        means: &Means,
        source: &mut Answers,
        out: &mut Commands,
    ) -> Result<Step, End> {
        let full = source.parse(Full::of)?;
        self.info = Some(full.info);
        self.groups = full.groups;
        self.order_groups(means);
        self.write(full.entries, means, out);
        self.finish(means, out)?;
        Ok(Step::Done)
    }

    fn accept_info(&mut self, means: &Means, source: &mut Answers) -> Result<Step, End> {
        self.info = Some(source.parse(Info::of)?);
        self.open = source.parse(groups)?.into();
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
        self.order_groups(means);
        let len = self.info.as_ref().map_or(0, |info| info.len);
        let bytes = self.paged.unwrap_or_default();
        self.state = State::Messages {
            range: Range::default(),
            pace: Pace::new(bytes, len, means.chunk).at_most(MESSAGES),
        };
    }

    fn order_groups(&mut self, means: &Means) {
        // By position: where the target gives the ids, a group is made behind its last message.
        self.groups.sort_by_key(|whole| whole.group.last_delivered);
        if means.stream_ids {
            let pending = self.groups.iter().flat_map(|whole| &whole.pending);
            let mut ids: Vec<Id> = pending.map(|delivered| delivered.id).collect();
            ids.sort_unstable();
            ids.dedup();
            self.expected = ids.into();
        }
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
            State::Full => source.ask(&[b"XINFO", b"STREAM", &self.key, b"FULL", b"COUNT", b"0"]),
            State::Info | State::Look => {
                source.ask(&[b"XINFO", b"STREAM", &self.key]);
                source.ask(&[b"XINFO", b"GROUPS", &self.key]);
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
            State::Full => self.accept_full(means, source, out),
            State::Info => self.accept_info(means, source),
            State::Groups { .. } => self.accept_group(means, source, out),
            State::Messages { .. } => self.accept_messages(means, source, out),
            State::Look => self.accept_look(means, source, out),
        }
    }

    fn is_empty_stream(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.len == 0)
    }

    fn length(&self) -> Option<&'static [u8]> {
        Some(b"XLEN")
    }
}
