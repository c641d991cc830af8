//! The commands of a batch of reads, and which answers they will have.

use std::time::Instant;

use super::batch::{Batch, Column, MOST_COLUMNS, Road, Run};
use super::dialect::Dialect;
use crate::entry::Millis;
use crate::slots::slot;
use crate::wire::Outgoing;

/// SAMPLES of MEMORY USAGE where none is said.
const USUAL_SAMPLES: u32 = 5;

/// A command about one key, and what its answer is.
#[derive(Debug, Clone, Copy)]
struct Question<'a> {
    column: Column,
    /// The command's head and its words before the key's name, encoded.
    front: &'a [u8],
    /// The words after it.
    behind: &'a [&'a [u8]],
}

impl<'a> Question<'a> {
    fn new(column: Column, front: &'a [u8]) -> Self {
        Self {
            column,
            front,
            behind: &[],
        }
    }

    fn encode(&self, name: &[u8], out: &mut Outgoing) {
        out.encoded(self.front);
        out.word(name);
        for word in self.behind {
            out.word(word);
        }
    }
}

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
        self.expect_from(&[column], rows, 0);
    }

    fn expect_from(&mut self, columns: &[Column], keys: usize, base: usize) {
        self.runs.push(Run::new(columns, keys, base));
    }

    fn encode_inspection(&mut self, dialect: Dialect, out: &mut Outgoing) {
        let mut digits = itoa::Buffer::new();
        let number = dialect.memory.map(|samples| digits.format(samples));
        let told: &[&[u8]] = &[b"SAMPLES", number.unwrap_or_default().as_bytes()];
        let mut questions = Vec::new();
        if dialect.kinds && self.road == Road::Inspect {
            questions.push(Question::new(Column::Kind, b"*2\r\n$4\r\nTYPE\r\n"));
        }
        if let Some(samples) = dialect.memory {
            questions.push(if samples == USUAL_SAMPLES {
                Question::new(Column::Memory, b"*3\r\n$6\r\nMEMORY\r\n$5\r\nUSAGE\r\n")
            } else {
                Question {
                    behind: told,
                    ..Question::new(Column::Memory, b"*5\r\n$6\r\nMEMORY\r\n$5\r\nUSAGE\r\n")
                }
            });
        }
        self.each(out, &questions, 0, self.keys.len());
    }

    fn encode_reads(&mut self, dialect: Dialect, out: &mut Outgoing) {
        let keys = self.keys.len();
        let expiry: &[u8] = if dialect.pexpiretime {
            b"*2\r\n$11\r\nPEXPIRETIME\r\n"
        } else {
            b"*2\r\n$4\r\nPTTL\r\n"
        };
        let multi = dialect.multi && !dialect.cluster;
        let clock = !self.presumes && !dialect.pexpiretime && dialect.time;
        let asks_databases = dialect.databases && !self.presumes;
        let kinds = dialect.kinds && self.road == Road::Payloads;
        if multi {
            let expiries = if self.presumes { 1 } else { keys };
            let values = if self.road.is_texts() { 1 } else { keys };
            let asked = 2 * usize::from(clock) + usize::from(asks_databases);
            let queued = asked + expiries + if kinds { keys } else { 0 } + values;
            out.words(&[b"MULTI"]);
            self.expect(Column::Opened, 1);
            self.expect(Column::Queued, queued);
            self.expect(Column::Executed, 1);
        }
        if clock {
            self.encode_time(Column::Clock, out);
        }
        if self.presumes || asks_databases {
            self.encode_keyspace(dialect, out);
        }
        let behind = multi && dialect.pexpiretime && self.road.is_texts() && self.may_hold();
        let before = (!self.presumes && !behind).then(|| Question::new(Column::Expiry, expiry));
        let after = match (self.presumes, multi) {
            (true, _) => None,
            (false, true) => behind.then(|| Question::new(Column::ExpiryBehind, expiry)),
            (false, false) => Some(Question::new(Column::ExpiryAgain, expiry)),
        };
        if before.is_some() {
            self.expiries.reserve(keys);
        }
        self.asks_again = !multi && after.is_some();
        if !multi || after.is_some() {
            self.held = vec![None; keys];
        }
        // PTTLs count from TIME: within one transaction they come before what takes its time, and TIME again tells what they took.
        let before = if multi && clock {
            self.each(out, before.as_slice(), 0, keys);
            self.encode_time(Column::ClockBehind, out);
            None
        } else {
            before
        };
        if self.road.is_texts() {
            self.encode_texts(dialect, [before, after], out);
        } else {
            let kind = kinds.then(|| Question::new(Column::Kind, b"*2\r\n$4\r\nTYPE\r\n"));
            let payload = Some(Question::new(Column::Payload, b"*2\r\n$4\r\nDUMP\r\n"));
            let questions = [before, kind, payload, after].into_iter().flatten();
            self.each(out, &questions.collect::<Vec<_>>(), 0, keys);
        }
        if clock && !multi {
            self.encode_time(Column::ClockBehind, out);
        }
        if multi {
            out.words(&[b"EXEC"]);
        } else if self.presumes {
            // Nothing had an expiry before, and nothing has one now.
            self.encode_keyspace(dialect, out);
        }
    }

    fn encode_time(&mut self, column: Column, out: &mut Outgoing) {
        out.words(&[b"TIME"]);
        self.expect(column, 3);
    }

    fn encode_keyspace(&mut self, dialect: Dialect, out: &mut Outgoing) {
        out.words(&[b"INFO", b"keyspace"]);
        self.expect(Column::Keyspace, 1);
        self.keyspace = format!("db{}:", dialect.database);
    }

    /// Strings, each between what is asked of it before and after: one MGET for all in a transaction, in a cluster for those that
    /// follow each other and have one slot, and GET for the others.
    fn encode_texts(
        &mut self,
        dialect: Dialect,
        [before, after]: [Option<Question<'_>>; 2],
        out: &mut Outgoing,
    ) {
        let keys = self.keys.len();
        let slots: Vec<u16> = if dialect.cluster {
            self.keys.iter().map(|key| slot(&key.name)).collect()
        } else {
            Vec::new()
        };
        let mut alone = 0;
        let mut first = 0;
        let groups = slots.chunk_by(|one, other| one == other).map(<[u16]>::len);
        let groups = groups.chain((!dialect.cluster).then_some(keys));
        for count in groups {
            // Without MULTI, values that come together would all be held until their expiries have been asked again.
            if (dialect.cluster && (count == 1 || self.asking))
                || (!dialect.cluster && self.asks_again)
            {
                alone += count;
            } else {
                self.encode_singles(out, [before, after], first - alone, alone);
                alone = 0;
                self.each(out, before.as_slice(), first, count);
                self.encode_mget(out, first, count);
                self.each(out, after.as_slice(), first, count);
            }
            first += count;
        }
        self.encode_singles(out, [before, after], first - alone, alone);
    }

    fn encode_mget(&mut self, out: &mut Outgoing, first: usize, count: usize) {
        out.command(count + 1);
        out.word(b"MGET");
        for key in self.keys.iter().skip(first).take(count) {
            out.word(&key.name);
        }
        self.expect_from(&[Column::Texts], 1, first);
        self.expect_from(&[Column::Text], count, first);
    }

    fn encode_singles(
        &mut self,
        out: &mut Outgoing,
        [before, after]: [Option<Question<'_>>; 2],
        first: usize,
        count: usize,
    ) {
        let single = Some(Question::new(Column::Single, b"*2\r\n$3\r\nGET\r\n"));
        let questions = [before, single, after].into_iter().flatten();
        self.each(out, &questions.collect::<Vec<_>>(), first, count);
    }

    /// All questions of one key, then those of the next.
    fn each(&mut self, out: &mut Outgoing, questions: &[Question<'_>], first: usize, count: usize) {
        if questions.is_empty() || count == 0 {
            return;
        }
        if self.asking {
            // The batch has this key alone.
            for question in questions {
                self.ask(out);
                self.each_answered(out, &[*question], first, count);
            }
        } else {
            self.each_answered(out, questions, first, count);
        }
    }

    fn each_answered(
        &mut self,
        out: &mut Outgoing,
        questions: &[Question<'_>],
        first: usize,
        count: usize,
    ) {
        for key in self.keys.iter().skip(first).take(count) {
            for question in questions {
                question.encode(&key.name, out);
            }
        }
        let mut columns = [Column::Opened; MOST_COLUMNS];
        for (column, question) in columns.iter_mut().zip(questions) {
            *column = question.column;
        }
        let columns = columns.get(..questions.len()).unwrap_or_default();
        self.expect_from(columns, count, first);
    }

    /// A key that is on its way to this node is told only to who asks for it: the batch has that key alone.
    fn ask(&mut self, out: &mut Outgoing) {
        if self.asking {
            out.words(&[b"ASKING"]);
            self.expect(Column::Opened, 1);
        }
    }
}
