//! The ways in which a key can be copied: what is asked of the source, what its answer means, what the target is told.

use std::ops::Range;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::resp::{Found, Outgoing, bulk, header, push_array, push_bulk_number};

/// How a batch of keys is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// DUMP, PTTL → RESTORE: any type.
    Dump,
    /// GET, PEXPIRETIME → SET, SET PXAT: strings.
    Get,
    /// MULTI, MGET, PEXPIRETIME…, EXEC → MSET, SET PXAT: strings, value and expiry of one instant.
    Multi,
    /// MGET → MSET: strings that have no expiry.
    Mget,
    /// Strings as `multi`, all else as `dump`; told apart by the first letters of the key.
    Best,
}

impl Way {
    /// What the table calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Dump => "bare DUMP, PTTL → RESTORE",
            Self::Get => "bare GET, PEXPIRETIME → SET",
            Self::Multi => "bare MULTI, MGET, PEXPIRETIME → MSET",
            Self::Mget => "bare MGET → MSET, no expiries",
            Self::Best => "bare, strings by MGET, the rest by DUMP",
        }
    }
}

/// Keys that are asked for together, as bulk strings, as SCAN gave them.
#[derive(Debug)]
pub(crate) struct Batch {
    way: Way,
    keys: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// No keys yet.
    pub(crate) fn new(way: Way) -> Self {
        Self {
            way,
            keys: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// One more key, a bulk string.
    pub(crate) fn push(&mut self, raw: &[u8]) {
        self.keys.extend_from_slice(raw);
        self.ends.push(self.keys.len());
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How they are copied.
    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// The same buffers, with nothing in them, for another way.
    pub(crate) fn emptied(mut self, way: Way) -> Self {
        self.way = way;
        self.keys.clear();
        self.ends.clear();
        self
    }

    fn key(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[start..self.ends[index]]
    }

    fn each(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.key(index))
    }

    /// Appends what asks the source for these keys.
    pub(crate) fn ask(&self, out: &mut Vec<u8>) {
        match self.way {
            Way::Dump | Way::Best => {
                for key in self.each() {
                    out.extend_from_slice(b"*2\r\n$4\r\nDUMP\r\n");
                    out.extend_from_slice(key);
                    out.extend_from_slice(b"*2\r\n$4\r\nPTTL\r\n");
                    out.extend_from_slice(key);
                }
            }
            Way::Get => {
                for key in self.each() {
                    out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                    out.extend_from_slice(key);
                    out.extend_from_slice(b"*2\r\n$11\r\nPEXPIRETIME\r\n");
                    out.extend_from_slice(key);
                }
            }
            Way::Multi => {
                out.extend_from_slice(b"*1\r\n$5\r\nMULTI\r\n");
                self.ask_values(out);
                for key in self.each() {
                    out.extend_from_slice(b"*2\r\n$11\r\nPEXPIRETIME\r\n");
                    out.extend_from_slice(key);
                }
                out.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
            }
            Way::Mget => self.ask_values(out),
        }
    }

    fn ask_values(&self, out: &mut Vec<u8>) {
        push_array(out, self.len() + 1);
        out.extend_from_slice(b"$4\r\nMGET\r\n");
        out.extend_from_slice(&self.keys);
    }

    /// Encodes what the target is told.
    pub(crate) fn tell(&self, answer: &Answer, source: &[u8], out: &mut Outgoing) {
        match self.way {
            Way::Dump | Way::Best => self.tell_restore(answer, source, out),
            Way::Get => {
                for index in 0..self.len() {
                    self.tell_set(index, answer, source, out);
                }
            }
            Way::Multi | Way::Mget => self.tell_values(answer, source, out),
        }
    }

    fn tell_restore(&self, answer: &Answer, source: &[u8], out: &mut Outgoing) {
        for (index, key) in self.each().enumerate() {
            let (Some(payload), left @ -1..) = (&answer.values[index], answer.times[index]) else {
                continue;
            };
            let commands = out.commands();
            commands.extend_from_slice(b"*5\r\n$7\r\nRESTORE\r\n");
            commands.extend_from_slice(key);
            // Zero is for ever: a key in its last millisecond gets one more.
            let left = if left == -1 { 0 } else { left.max(1) };
            push_bulk_number(commands, left.unsigned_abs());
            out.push_value(source, payload.clone());
            out.commands().extend_from_slice(b"$7\r\nREPLACE\r\n");
            out.expect(1);
        }
    }

    fn tell_set(&self, index: usize, answer: &Answer, source: &[u8], out: &mut Outgoing) {
        let (Some(value), at @ -1..) = (&answer.values[index], answer.times[index]) else {
            return;
        };
        let commands = out.commands();
        commands.extend_from_slice(if at == -1 {
            b"*3\r\n$3\r\nSET\r\n"
        } else {
            b"*5\r\n$3\r\nSET\r\n"
        });
        commands.extend_from_slice(self.key(index));
        out.push_value(source, value.clone());
        if at != -1 {
            out.commands().extend_from_slice(b"$4\r\nPXAT\r\n");
            push_bulk_number(out.commands(), at.unsigned_abs());
        }
        out.expect(1);
    }

    fn tell_values(&self, answer: &Answer, source: &[u8], out: &mut Outgoing) {
        let lasting = |index: &usize| {
            answer.values[*index].is_some()
                && answer.times.get(*index).is_none_or(|time| *time == -1)
        };
        let count = (0..self.len()).filter(lasting).count();
        if count > 0 {
            push_array(out.commands(), 2 * count + 1);
            out.commands().extend_from_slice(b"$4\r\nMSET\r\n");
            for index in (0..self.len()).filter(lasting) {
                if let Some(value) = &answer.values[index] {
                    out.commands().extend_from_slice(self.key(index));
                    out.push_value(source, value.clone());
                }
            }
            out.expect(1);
        }
        if count < self.len() {
            for index in (0..self.len()).filter(|index| !lasting(index)) {
                self.tell_set(index, answer, source, out);
            }
        }
    }
}

/// How far a reply has been taken apart. Places count from its first byte, so that the buffer may move meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// All before it is understood.
    pub(crate) at: usize,
    step: usize,
    values: Vec<Option<Range<usize>>>,
    times: Vec<i64>,
}

impl Answer {
    /// Ready for the next reply.
    pub(crate) fn clear(&mut self) {
        self.at = 0;
        self.step = 0;
        self.values.clear();
        self.times.clear();
    }

    /// Goes on with the answer to `batch`; true when it is whole.
    pub(crate) fn take(&mut self, batch: &Batch, bytes: &[u8]) -> Result<bool> {
        match batch.way {
            Way::Dump | Way::Best | Way::Get => self.take_pairs(batch.len(), bytes),
            Way::Multi => self.take_transaction(batch.len(), bytes),
            Way::Mget => self.take_list(batch.len(), 0, bytes),
        }
    }

    fn take_pairs(&mut self, keys: usize, bytes: &[u8]) -> Result<bool> {
        while self.times.len() < keys {
            if self.values.len() == self.times.len() && !self.take_value(bytes)? {
                return Ok(false);
            }
            if !self.take_time(bytes)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take_transaction(&mut self, keys: usize, bytes: &[u8]) -> Result<bool> {
        const QUEUED: &[u8] = b"+QUEUED\r\n";
        // The answers to MULTI, MGET and each PEXPIRETIME, and the header of EXEC's.
        let first = keys + 3;
        while self.step < first {
            if self.step > 0 && bytes[self.at..].starts_with(QUEUED) {
                self.at += QUEUED.len();
            } else if self.take_header(bytes)?.is_none() {
                return Ok(false);
            }
            self.step += 1;
        }
        if !self.take_list(keys, first, bytes)? {
            return Ok(false);
        }
        while self.times.len() < keys {
            if !self.take_time(bytes)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take_list(&mut self, keys: usize, first: usize, bytes: &[u8]) -> Result<bool> {
        if self.step == first {
            match self.take_header(bytes)? {
                None => return Ok(false),
                Some((b'*', _)) => self.step += 1,
                Some(_) => bail!("MGET was answered with no list"),
            }
        }
        while self.values.len() < keys {
            if !self.take_value(bytes)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take_header(&mut self, bytes: &[u8]) -> Result<Option<(u8, i64)>> {
        match header(bytes, self.at)? {
            Found::Partial => Ok(None),
            Found::Whole(found, next) => {
                self.at = next;
                Ok(Some(found))
            }
        }
    }

    fn take_value(&mut self, bytes: &[u8]) -> Result<bool> {
        match bulk(bytes, self.at)? {
            Found::Partial => Ok(false),
            Found::Whole(value, next) => {
                self.at = next;
                self.values.push(value);
                Ok(true)
            }
        }
    }

    fn take_time(&mut self, bytes: &[u8]) -> Result<bool> {
        match self.take_header(bytes)? {
            None => Ok(false),
            Some((b':', time)) => {
                self.times.push(time);
                Ok(true)
            }
            Some(_) => bail!("a number was expected"),
        }
    }
}
