//! What becomes of the answers of a batch: entries for the write lanes, keys to be read again, failures.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Abandoned, ReadLane};
use crate::config::{Carriage, Side};
use crate::entry::{Entry, Key, Parcel, Value};
use crate::error::{Class, classify};
use crate::output::KEYS;
use crate::queue::Lease;
use crate::reading::{Answer, Batch, LONG, Road};
use crate::stats::SkipReason;
use crate::text::printable;
use crate::wire::Connection;

/// How often a value and an expiry that do not belong together are read again.
const TORN_TRIES: u32 = 100;
/// What a key is taken for that is gone or no string: its answer has no value.
const DOUBTED: usize = 64;

impl ReadLane {
    /// Turns the answers so far into entries and sends them on.
    pub(super) async fn settle(
        &mut self,
        connection: &mut Connection,
        lease: Option<Lease>,
    ) -> Result<(), Abandoned> {
        let released = connection.release();
        let Some(mut head) = self.flying.pop_front() else {
            return Ok(());
        };
        let mut entries = Vec::with_capacity(self.answers.len());
        let mut bytes = 0;
        for answer in std::mem::take(&mut self.answers) {
            match answer {
                Answer::Found(found) => {
                    bytes += found.span.len;
                    let value = found.span.slice(&released);
                    let Some(key) = head.settle(found.row) else {
                        continue;
                    };
                    let text = found.text || is_text(&value);
                    self.shapes.learn(&key.name, text, value.len());
                    if text && !found.text && self.dialect.carriage == Carriage::Auto {
                        // Taken for something else: a string crosses all versions as what it is.
                        self.waiting.add(key, Road::Texts, value.len());
                        continue;
                    }
                    let kind = if found.text {
                        Some(b"string".as_slice())
                    } else {
                        head.kind(found.row)
                    };
                    let value = if found.text {
                        Value::Text(value)
                    } else {
                        Value::Payload(value)
                    };
                    entries.push(Entry {
                        key: self.target_key(key, kind),
                        value,
                        expiry: found.expiry,
                    });
                }
                other => self.settle_other(&mut head, other, &mut entries),
            }
        }
        self.flying.push_front(head);
        self.context.stats.read_bytes(bytes as u64);
        self.send_on(entries, lease).await
    }

    fn settle_other(&mut self, head: &mut Batch, answer: Answer, entries: &mut Vec<Entry>) {
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
            Answer::Gone(_) if self.rename.needs_type() => {
                self.context.stats.skipped(SkipReason::Nameless, 1);
            }
            Answer::Gone(_) => {
                entries.push(Entry {
                    key: self.target_key(key, None),
                    value: Value::Gone,
                    expiry: None,
                });
            }
            Answer::NoText(_) => {
                self.shapes.learn_no_text(&key.name);
                self.waiting.add(key, Road::Payloads, LONG);
            }
            Answer::NoTextOrGone(_) => self.waiting.add(key, Road::Doubts, DOUBTED),
            Answer::Torn(_) if head.failed < TORN_TRIES => {
                self.waiting.retry(key, head.road, head.failed + 1);
            }
            Answer::Torn(_) => {
                self.context.fail(
                    Side::Source,
                    &key.name,
                    "its expiry changes faster than it can be read",
                );
            }
            Answer::Failed(_, message) => {
                let failed = head.failed + 1;
                if classify(message.as_bytes()) == Class::Transient
                    && self.context.flow.read_retry.allows(failed)
                {
                    self.context.stats.retried(1);
                    self.waiting.retry(key, head.road, failed);
                } else {
                    self.context.fail(Side::Source, &key.name, &message);
                }
            }
            Answer::Inspected(row, memory) => self.inspected(key, head.kind(row), memory),
            Answer::Part | Answer::Found(_) => {}
        }
    }

    /// A key that was looked at is read, or skipped.
    fn inspected(&mut self, key: Key, kind: Option<&[u8]>, memory: Option<u64>) {
        let kinds = &self.inspection.kinds;
        if !kinds.is_empty()
            && let Some(kind) = kind
            && kind != b"none"
            && !kinds.iter().any(|wanted| wanted.as_bytes() == kind)
        {
            self.context.stats.skipped(SkipReason::OtherType, 1);
            return;
        }
        if let (Some(limit), Some(memory)) = (self.inspection.memory_limit, memory)
            && memory > limit.get()
        {
            tracing::warn!(
                "skipped: {}: {memory} bytes are over --mem-limit",
                printable(&key.name)
            );
            self.context.stats.skipped(SkipReason::MemoryLimit, 1);
            return;
        }
        self.waiting
            .add_guessed(key, &self.shapes, self.dialect.carriage);
    }

    fn target_key(&self, key: Key, kind: Option<&[u8]>) -> Key {
        if self.rename.is_identity() {
            return key;
        }
        match self.rename.apply(&key.name, kind) {
            Cow::Borrowed(_) => key,
            Cow::Owned(name) => Key::new(Bytes::from(name.clone()), &name),
        }
    }

    async fn send_on(
        &mut self,
        entries: Vec<Entry>,
        lease: Option<Lease>,
    ) -> Result<(), Abandoned> {
        if entries.is_empty() {
            return Ok(());
        }
        if self.context.flow.log_keys {
            for entry in &entries {
                tracing::info!(target: KEYS, "read {}", printable(&entry.key.name));
            }
        }
        let lanes = self.outputs.len();
        let mut parcels: Vec<Vec<Entry>> = Vec::new();
        parcels.resize_with(lanes, Vec::new);
        let first = entries.first().map_or(0, |entry| entry.key.lane(lanes));
        if entries.iter().all(|entry| entry.key.lane(lanes) == first) {
            if let Some(parcel) = parcels.get_mut(first) {
                *parcel = entries;
            }
        } else {
            for entry in entries {
                if let Some(parcel) = parcels.get_mut(entry.key.lane(lanes)) {
                    parcel.push(entry);
                }
            }
        }
        let mut lease = lease;
        for (output, entries) in self.outputs.iter().zip(parcels) {
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
        Ok(())
    }
}

/// Whether a DUMP payload holds a string: its first byte is the type.
fn is_text(payload: &[u8]) -> bool {
    payload.first() == Some(&0)
}
