//! The commands of a batch of reads, and which answers they will have.

use std::time::Instant;

use super::batch::{Batch, Column, Road, Run};
use super::dialect::Dialect;
use crate::entry::Millis;
use crate::slots::slot;
use crate::wire::Outgoing;

impl Batch {
    /// Encodes the commands, for the first time or again, without the keys that are settled.
    pub(crate) fn encode(&mut self, dialect: Dialect, out: &mut Outgoing, now: Millis) {
        self.begin();
        self.presumes = (dialect.multi || dialect.cluster)
            && !dialect.expiring
            && !self.asking
            && matches!(self.road, Road::Texts | Road::Payloads);
        self.sent = Instant::now();
        self.skew = dialect.skew;
        // Without TIME, a PTTL counts from the earliest instant at which it can have been read: from now.
        self.clock = if dialect.pexpiretime { 0 } else { now };
        match self.road {
            Road::Inspect | Road::Weigh => self.encode_inspection(dialect, out),
            Road::Texts | Road::Doubts | Road::Payloads => self.encode_reads(dialect, out),
        }
    }

    fn expect(&mut self, column: Column, rows: usize) {
        self.expect_from(column, rows, 0);
    }

    fn expect_from(&mut self, column: Column, rows: usize, base: usize) {
        self.runs.push(Run { column, rows, base });
    }

    fn encode_inspection(&mut self, dialect: Dialect, out: &mut Outgoing) {
        let keys = self.keys.len();
        if dialect.kinds && self.road == Road::Inspect {
            self.each(out, b"TYPE", Column::Kind);
        }
        let Some(samples) = dialect.memory else {
            return;
        };
        let mut digits = itoa::Buffer::new();
        let samples = digits.format(samples);
        self.ask(out);
        for key in &self.keys {
            out.words(&[
                b"MEMORY",
                b"USAGE",
                &key.name,
                b"SAMPLES",
                samples.as_bytes(),
            ]);
        }
        self.expect(Column::Memory, keys);
    }

    fn encode_reads(&mut self, dialect: Dialect, out: &mut Outgoing) {
        let keys = self.keys.len();
        let expiry: &[u8] = if dialect.pexpiretime {
            b"PEXPIRETIME"
        } else {
            b"PTTL"
        };
        let multi = dialect.multi && !dialect.cluster;
        let clock = !self.presumes && !dialect.pexpiretime && dialect.time;
        let asks_databases = dialect.databases && !self.presumes;
        let kinds = dialect.kinds && self.road == Road::Payloads;
        if multi {
            let expiries = if self.presumes { 1 } else { keys };
            let values = if self.road.is_texts() { 1 } else { keys };
            let asked = usize::from(clock) + usize::from(asks_databases);
            let queued = asked + expiries + if kinds { keys } else { 0 } + values;
            out.words(&[b"MULTI"]);
            self.expect(Column::Opened, 1);
            self.expect(Column::Queued, queued);
            self.expect(Column::Executed, 1);
        }
        if clock {
            out.words(&[b"TIME"]);
            self.expect(Column::Clock, 3);
        }
        if self.presumes || asks_databases {
            self.encode_keyspace(dialect, out);
        }
        if !self.presumes {
            self.each(out, expiry, Column::Expiry);
            self.expiries.reserve(keys);
        }
        if kinds {
            self.each(out, b"TYPE", Column::Kind);
        }
        if !self.road.is_texts() {
            self.each(out, b"DUMP", Column::Payload);
        } else if dialect.cluster {
            self.encode_texts_by_slot(out);
        } else {
            self.encode_texts(out, 0, keys);
        }
        if multi {
            out.words(&[b"EXEC"]);
            return;
        }
        self.held = vec![None; keys];
        if self.presumes {
            // Nothing had an expiry before, and nothing has one now.
            self.encode_keyspace(dialect, out);
        } else {
            self.each(out, expiry, Column::ExpiryAgain);
        }
    }

    fn encode_keyspace(&mut self, dialect: Dialect, out: &mut Outgoing) {
        out.words(&[b"INFO", b"keyspace"]);
        self.expect(Column::Keyspace, 1);
        self.keyspace = format!("db{}:", dialect.database);
    }

    /// One MGET for keys of the batch.
    fn encode_texts(&mut self, out: &mut Outgoing, first: usize, count: usize) {
        out.command(count + 1);
        out.word(b"MGET");
        for key in self.keys.iter().skip(first).take(count) {
            out.word(&key.name);
        }
        self.expect_from(Column::Texts, 1, first);
        self.expect_from(Column::Text, count, first);
    }

    /// MGET for keys that follow each other and have one slot, GET for the others.
    fn encode_texts_by_slot(&mut self, out: &mut Outgoing) {
        let slots: Vec<u16> = self.keys.iter().map(|key| slot(&key.name)).collect();
        let mut first = 0;
        for same in slots.chunk_by(|one, other| one == other) {
            if same.len() > 1 && !self.asking {
                self.encode_texts(out, first, same.len());
            } else {
                self.encode_singles(out, first, same.len());
            }
            first += same.len();
        }
    }

    fn encode_singles(&mut self, out: &mut Outgoing, first: usize, count: usize) {
        self.ask(out);
        for key in self.keys.iter().skip(first).take(count) {
            out.words(&[b"GET", &key.name]);
        }
        match self.runs.last_mut() {
            Some(run) if run.column == Column::Single => run.rows += count,
            _ => self.expect_from(Column::Single, count, first),
        }
    }

    /// One command for each key.
    fn each(&mut self, out: &mut Outgoing, command: &[u8], column: Column) {
        self.ask(out);
        for key in &self.keys {
            out.words(&[command, &key.name]);
        }
        self.expect(column, self.keys.len());
    }

    /// A key that is on its way to this node is told only to who asks for it: the batch has that key alone.
    fn ask(&mut self, out: &mut Outgoing) {
        if self.asking {
            out.words(&[b"ASKING"]);
            self.expect(Column::Opened, 1);
        }
    }
}
