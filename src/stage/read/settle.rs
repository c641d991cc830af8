//! What becomes of the answers of a batch: entries for the write lanes, keys to be read again, failures.

use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;

use super::pipe::ReadPipe;
use super::{Abandoned, Detour, ReadLane};
use crate::config::{Carriage, Side};
use crate::deal::Inlets;
use crate::entry::{Cause, Entry, Key, Millis, Parcel, Value};
use crate::error::{Class, classify};
use crate::output::KEYS;
use crate::packing::{Packing, Strings};
use crate::queue::Lease;
use crate::reading::{Answer, Batch, LONG, Road, payload};
use crate::retry::Backoff;
use crate::slots::slot;
use crate::stats::{Kind, SkipReason, Tally, Wait};

/// How often a value and an expiry that do not belong together are read again.
const TORN_TRIES: u32 = 100;
/// What a key is taken for that is gone or no string: its answer has no value.
const DOUBTED: usize = 64;

impl ReadLane {
    /// Turns the answers so far into entries and sends them on.
    pub(super) async fn settle(
        &mut self,
        pipe: &mut ReadPipe,
        lease: Option<Lease>,
    ) -> Result<(), Abandoned> {
        let released = pipe.connection.release();
        let Some(mut head) = pipe.flying.pop_front() else {
            return Ok(());
        };
        if head.is_void() {
            // Nothing of it is settled: what stands before an answer in it would count as settled, too.
            pipe.answers.clear();
        }
        let mut entries = Vec::with_capacity(pipe.answers.len());
        let mut tally = Tally::default();
        let mut strings = Strings::default();
        let packing = self.context.packing().clone();
        for answer in std::mem::take(&mut pipe.answers) {
            match answer {
                Answer::Found(found) => {
                    let value = found.span.slice(&released);
                    let Some(key) = head.settle(found.row) else {
                        continue;
                    };
                    let stored = if found.text {
                        Some(b"string".as_slice())
                    } else {
                        payload::kind(&value)
                    };
                    let counted = match stored {
                        Some(_) if found.text => Kind::String,
                        stored => stored.map(Kind::of).unwrap_or_default(),
                    };
                    tally.add(counted, value.len() as u64);
                    let text = counted == Kind::String;
                    if text {
                        // By the guess that they were asked with.
                        let counts = packing.is_active() && Packing::suits(self.shapes.guess(&key));
                        strings.add(found.text, value.len(), counts);
                    }
                    self.shapes.learn(&key, text, value.len());
                    if !text {
                        let plain = payload::is_long_and_plain(&value);
                        self.shapes.learn_plain(&key, plain);
                    }
                    if text
                        && !found.text
                        && self.carriage() != Carriage::Dump
                        && !packing.is_active()
                    {
                        // Taken for something else: a string crosses all versions as what it is.
                        self.look_again(pipe, &head, key, Road::Texts, value.len());
                        continue;
                    }
                    let kind = if found.text {
                        Some(b"string".as_slice())
                    } else {
                        head.kind(found.row)
                    };
                    if !found.text && !head.asking && self.shapes.is_surprise(&key, value.len()) {
                        // It was not weighed, as those like it were light.
                        pipe.waiting.add(key, Road::Weigh, DOUBTED);
                        continue;
                    }
                    if self.is_of_another_type(kind, &value, found.text) {
                        entries.extend(self.unwanted(key, SkipReason::OtherType));
                        continue;
                    }
                    if !text && (self.context.copies_by_type() || self.is_of_another_clock(&value))
                    {
                        entries.push(self.ticket(key, kind));
                        continue;
                    }
                    let value = if found.text {
                        Value::Text(value)
                    } else {
                        Value::Payload(value)
                    };
                    if self.is_unchanged(&key, &value, found.expiry) {
                        self.context.skip(SkipReason::Unchanged, &key);
                        self.light(&key);
                        continue;
                    }
                    self.rest(&key, found.span.len, head.sent);
                    entries.push(self.entry(key, kind, value, found.expiry));
                }
                other => self.settle_other(pipe, &mut head, other, &mut entries),
            }
        }
        if !entries.is_empty() {
            self.down = None;
            self.moved = 0;
            self.backoff = Backoff::default();
        }
        pipe.flying.push_front(head);
        self.context.stats.read(&tally);
        packing.saw(&strings);
        self.send_on(entries, lease).await
    }

    fn settle_other(
        &mut self,
        pipe: &mut ReadPipe,
        head: &mut Batch,
        answer: Answer,
        entries: &mut Vec<Entry>,
    ) {
        let (Answer::Gone(row)
        | Answer::NoText(row)
        | Answer::NoTextOrGone(row)
        | Answer::Torn(row)
        | Answer::Failed(row, _)
        | Answer::Inspected(row, _)) = &answer
        else {
            return;
        };
        let Some(key) = head.settle(*row) else { return };
        match answer {
            Answer::Gone(_) if self.only_replica_says_so(&key, pipe) => {
                if let Some(node) = self.routes.master(slot(&key.name)).cloned() {
                    self.detours.push(Detour {
                        key,
                        road: self.any_road(),
                        node,
                        asking: false,
                    });
                }
            }
            Answer::Gone(_) if self.context.flow.merge => {
                self.context.skip(SkipReason::Gone, &key);
            }
            Answer::Gone(_) if self.rename.needs_type() => {
                self.context.skip(SkipReason::Nameless, &key);
            }
            Answer::Gone(_) => {
                let others = head.has_other_databases();
                let value = self.context.absence(&key.name, &key, others);
                entries.push(self.entry(key, None, value, None));
            }
            Answer::NoText(_) => {
                self.shapes.learn_no_text(&key);
                if self.context.copies_by_type() {
                    if self.rename.needs_type() {
                        pipe.waiting.add(key, Road::Inspect, DOUBTED);
                    } else {
                        entries.push(self.ticket(key, None));
                    }
                } else if self.inspection.big_key.is_some() && !head.asking {
                    pipe.waiting.add(key, Road::Weigh, DOUBTED);
                } else {
                    self.look_again(pipe, head, key, Road::Payloads, LONG);
                }
            }
            Answer::NoTextOrGone(_) => self.look_again(pipe, head, key, Road::Doubts, DOUBTED),
            Answer::Torn(_) if head.asking => {
                self.look_again(pipe, head, key, head.road, LONG);
            }
            Answer::Torn(_) if head.failed < TORN_TRIES => {
                pipe.waiting.retry(key, head.road, head.failed + 1);
            }
            Answer::Torn(_) => {
                self.context.fail(
                    Side::Source,
                    &key,
                    "its expiry changes faster than it can be read",
                );
            }
            // Of several keys some are on their way to another node: by itself each has its own answer.
            Answer::Failed(_, message) if message.starts_with("TRYAGAIN") && head.size > 1 => {
                pipe.waiting.retry(key, head.road, head.failed);
            }
            Answer::Failed(_, message)
                if self.home.nodes.is_cluster() && classify(message.as_bytes()) == Class::Moved =>
            {
                self.context.stats.erred(Side::Source, Class::Moved);
                self.redirected(key, head.road, &message, &pipe.node);
            }
            Answer::Failed(_, message) => {
                let failed = head.failed + 1;
                let class = classify(message.as_bytes());
                self.context.stats.erred(Side::Source, class);
                if class == Class::Transient && self.context.flow.read_retry.allows(failed) {
                    self.context.stats.retried(1);
                    pipe.waiting.retry(key, head.road, failed);
                } else {
                    self.context.fail(Side::Source, &key, &message);
                }
            }
            Answer::Inspected(row, memory) => {
                entries.extend(self.inspected(pipe, head, key, head.kind(row), memory));
            }
            Answer::Part | Answer::Found(_) => {}
        }
    }

    /// A key is read again in another way, by a node that has to be asked for it where it was.
    fn look_again(
        &mut self,
        pipe: &mut ReadPipe,
        head: &Batch,
        key: Key,
        road: Road,
        bytes: usize,
    ) {
        if head.asking {
            self.detours.push(Detour {
                key,
                road,
                node: pipe.node.clone(),
                asking: true,
            });
        } else {
            pipe.waiting.add(key, road, bytes);
        }
    }

    /// A replica that has no such key proves nothing: while its slot moves, only the master knows of the key.
    fn only_replica_says_so(&self, key: &Key, pipe: &ReadPipe) -> bool {
        if !self.home.nodes.is_cluster() {
            return false;
        }
        let slot = slot(&key.name);
        self.routes.reads_replica(slot)
            && self
                .routes
                .reader(slot)
                .is_some_and(|reader| reader.number() == pipe.node.number())
    }

    /// A key may have changed its type since that was looked at.
    fn is_of_another_type(&self, asked: Option<&[u8]>, value: &Bytes, text: bool) -> bool {
        let kind = if text {
            Some(b"string".as_slice())
        } else {
            payload::kind(value).or(asked)
        };
        kind.is_some_and(|kind| !self.inspection.wants(kind))
    }

    /// RESTORE takes fields' expiries as they are: between clocks that differ they are to be written one by one.
    fn is_of_another_clock(&self, payload: &Bytes) -> bool {
        payload::has_field_expiries(payload) && self.context.clocks.shift() != 0
    }

    /// A stream that was looked at because its turn had come, and is as it was.
    fn is_unchanged(&self, key: &Key, value: &Value, expiry: Option<Millis>) -> bool {
        let (Some(follow), Value::Payload(payload)) = (&self.context.follow, value) else {
            return false;
        };
        let same = follow.streams.met(&key.name, payload, expiry);
        same && key.mark.cause() == Cause::Turn
    }

    /// A key that is not written need not rest.
    fn light(&self, key: &Key) {
        if let Some(follow) = &self.context.follow {
            follow.changed.was_light(key);
        }
    }

    /// A costly key rests before it is copied again.
    fn rest(&self, key: &Key, bytes: usize, sent: Instant) {
        if bytes >= LONG
            && let Some(follow) = &self.context.follow
        {
            follow.changed.was_read(key, sent.elapsed());
        }
    }

    /// A key that was looked at is read, or skipped. One that changed may have been wanted before.
    fn inspected(
        &mut self,
        pipe: &mut ReadPipe,
        head: &Batch,
        key: Key,
        kind: Option<&[u8]>,
        memory: Option<u64>,
    ) -> Option<Entry> {
        if let Some(kind) = kind
            && kind != b"none"
            && !self.inspection.wants(kind)
        {
            return self.unwanted(key, SkipReason::OtherType);
        }
        if let (Some(limit), Some(memory)) = (self.inspection.memory_limit, memory)
            && memory > limit.get()
        {
            tracing::warn!(
                "skipped: {}: {memory} bytes are over --mem-limit",
                self.context.stats.named(&key.name)
            );
            return self.unwanted(key, SkipReason::MemoryLimit);
        }
        if let Some(memory) = memory {
            self.shapes.weigh(&key, memory);
        }
        if let (Some(limit), Some(memory)) = (self.inspection.big_key, memory)
            && memory > limit.get()
            && (kind.is_some() || !self.rename.needs_type())
        {
            let text = self.shapes.guess(&key).text;
            let bytes = usize::try_from(memory).unwrap_or(usize::MAX);
            self.shapes.learn(&key, text, bytes);
            return Some(self.large(key, kind));
        }
        let known = kind.filter(|kind| *kind != b"none");
        if self.context.copies_by_type() && known.is_some_and(|kind| kind != b"string") {
            return Some(self.ticket(key, known));
        }
        let guess = self.shapes.guess(&key);
        let bytes = usize::try_from(guess.bytes).unwrap_or(LONG);
        if head.asking {
            // The node that was asked for it is asked for it again.
            let text = guess.text && self.carriage() != Carriage::Dump;
            let road = if head.road == Road::Inspect && text {
                Road::Texts
            } else {
                self.any_road()
            };
            self.look_again(pipe, head, key, road, bytes);
        } else if guess.plain && !guess.text && self.takes_plainly(&key) {
            return Some(self.ticket(key, known));
        } else if head.road == Road::Weigh {
            pipe.waiting.add(key, Road::Payloads, bytes);
        } else {
            pipe.waiting.add_guessed(key, guess, self.carriage());
        }
        None
    }

    /// A key that the run does not want; one that changed may have been written while it did.
    fn unwanted(&self, key: Key, reason: SkipReason) -> Option<Entry> {
        self.light(&key);
        if !key.mark.is_event() || self.rename.needs_type() {
            self.context.skip(reason, &key);
            return None;
        }
        Some(self.entry(key, None, Value::Unwanted, None))
    }

    /// What a key is to be at the target.
    fn entry(&self, key: Key, kind: Option<&[u8]>, value: Value, expiry: Option<Millis>) -> Entry {
        let origin = (!self.rename.is_identity()).then(|| Box::new(key.name.clone()));
        let key = self.target_key(key, kind);
        Entry {
            key,
            origin,
            value,
            expiry,
        }
    }

    /// A key that is copied by the commands of its type.
    pub(super) fn ticket(&self, key: Key, kind: Option<&[u8]>) -> Entry {
        self.entry(key, kind, Value::ByType(0), None)
    }

    fn target_key(&self, key: Key, kind: Option<&[u8]>) -> Key {
        if self.rename.is_identity() {
            return key;
        }
        match self.rename.apply(&key.name, kind) {
            Cow::Borrowed(_) => key,
            Cow::Owned(name) => {
                let mark = key.mark;
                let key = Key::new(Bytes::from(name.clone()), &name);
                Key { mark, ..key }
            }
        }
    }

    pub(super) async fn send_on(
        &mut self,
        entries: Vec<Entry>,
        lease: Option<Lease>,
    ) -> Result<(), Abandoned> {
        if entries.is_empty() {
            return Ok(());
        }
        if self.context.flow.log_keys {
            for entry in &entries {
                tracing::info!(target: KEYS, "read {}", self.context.stats.named(&entry.key.name));
            }
        }
        let Inlets { lanes, deal } = &self.outputs;
        let mut parcels: Vec<Vec<Entry>> = Vec::new();
        parcels.resize_with(lanes.len(), Vec::new);
        if let [parcel] = parcels.as_mut_slice() {
            *parcel = entries;
        } else {
            for entry in entries {
                if let Some(parcel) = parcels.get_mut(deal.lane_of(&entry.key)) {
                    parcel.push(entry);
                }
            }
        }
        let mut lease = lease;
        let since = Instant::now();
        for (output, entries) in lanes.iter().zip(parcels) {
            if entries.is_empty() {
                continue;
            }
            let bytes = entries.iter().map(Entry::cost).sum();
            let lease = match lease.take() {
                Some(lease) => lease,
                None => self.context.budget.lease(bytes).await,
            };
            output
                .send(Parcel {
                    entries,
                    bytes,
                    lease,
                })
                .await
                .map_err(|_| Abandoned)?;
        }
        self.context.stats.waited(Wait::ReadForRoom, since);
        Ok(())
    }
}
