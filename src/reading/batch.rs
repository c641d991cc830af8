//! One batch of reads: its commands, and the table of answers that they are taken from.

use std::time::Instant;

use super::answer::{Answer, have_expiries, have_other_databases};
use crate::entry::{Key, Millis};
use crate::error::{Class, Lost, classify, is_away};
use crate::wire::{Connection, Span, Token};

/// How a batch is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    /// Type and memory alone, to decide.
    Inspect,
    /// Memory alone: what is not too large is read by DUMP.
    Weigh,
    /// Strings, by MGET.
    Texts,
    /// What MGET did not answer: the expiry tells what is gone from what is no string.
    Doubts,
    /// Anything, by DUMP.
    Payloads,
}

impl Road {
    /// Whether it answers strings as they are.
    pub(crate) fn is_texts(self) -> bool {
        matches!(self, Self::Texts | Self::Doubts)
    }
}

/// A run of answers of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// `+OK` of MULTI, or of ASKING.
    Opened,
    /// `+QUEUED`.
    Queued,
    /// The header of EXEC's array.
    Executed,
    /// The header of TIME's array, the seconds, the microseconds.
    Clock,
    /// The same, asked for behind the PTTLs of the same transaction.
    ClockBehind,
    /// INFO keyspace: no key has an expiry, or the batch is void.
    Keyspace,
    /// PEXPIRETIME or PTTL.
    Expiry,
    /// TYPE.
    Kind,
    /// MEMORY USAGE.
    Memory,
    /// The header of MGET's array.
    Texts,
    /// A string of MGET.
    Text,
    /// A string of GET.
    Single,
    /// DUMP.
    Payload,
    /// The expiry asked again.
    ExpiryAgain,
    /// PEXPIRETIME, asked for behind the values of the same transaction.
    ExpiryBehind,
}

/// Most commands that ask of one key before the next one has its turn.
pub(super) const MOST_COLUMNS: usize = 4;

/// Answers that follow each other: of one kind, or for each key in turn one of each of several kinds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    columns: [Column; MOST_COLUMNS],
    width: usize,
    /// Answers in all.
    pub(super) rows: usize,
    /// The first one's place in the batch.
    pub(super) base: usize,
}

impl Run {
    /// Answers of so many keys from place `base` on. A key's come together, as the server finds it at once then.
    pub(super) fn new(columns: &[Column], keys: usize, base: usize) -> Self {
        let mut list = [Column::Opened; MOST_COLUMNS];
        for (place, column) in list.iter_mut().zip(columns) {
            *place = *column;
        }
        Self {
            columns: list,
            width: columns.len().clamp(1, MOST_COLUMNS),
            rows: keys * columns.len(),
            base,
        }
    }

    /// Whether these are answers of this one kind.
    pub(super) fn is(&self, column: Column) -> bool {
        self.width == 1 && self.columns.first() == Some(&column)
    }

    /// What the answer after `row` others is, and to which place of the batch it belongs.
    pub(super) fn at(&self, row: usize) -> (Column, usize) {
        let column = self.columns.get(row % self.width).copied();
        (
            column.unwrap_or(Column::Opened),
            self.base + row / self.width,
        )
    }

    /// Whether it has several answers of each key.
    pub(super) fn is_of_several(&self) -> bool {
        self.width > 1
    }

    /// Whether this is the last answer for a key.
    fn ends_with(&self, column: Column) -> bool {
        self.columns.get(self.width - 1) == Some(&column)
    }
}

/// A batch, sent or to be sent.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that is known of its answers"
)]
pub(crate) struct Batch {
    pub(crate) road: Road,
    pub(crate) keys: Vec<Key>,
    /// Bytes that its values are thought to have.
    pub(crate) bytes: usize,
    /// Keys that it was sent with.
    pub(crate) size: usize,
    /// Its keys are of shapes that nothing is known of.
    pub(crate) strange: bool,
    /// Tries that failed.
    pub(crate) failed: u32,
    /// When it was sent.
    pub(crate) sent: Instant,
    /// Keys from the front whose fate is known: they are not asked for again.
    pub(crate) settled: usize,
    /// The node that answers does not have the slot yet: it must be asked for the key.
    pub(crate) asking: bool,
    pub(super) runs: Vec<Run>,
    pub(super) run: usize,
    pub(super) row: usize,
    pub(super) expiries: Vec<Millis>,
    kinds: Vec<Vec<u8>>,
    /// Values that came before what tells whether they count.
    pub(super) held: Vec<Option<Span>>,
    pub(super) held_bytes: usize,
    /// A value is held until its expiry was asked again.
    pub(super) asks_again: bool,
    /// Its values are longer than was predicted: they are not asked for before their expiries.
    pub(super) is_longer: bool,
    /// What an expiry answer counts from: 0 where it is an instant already.
    pub(super) clock: Millis,
    /// When the last of them had been read.
    pub(super) clock_behind: Millis,
    /// How often that was too late.
    pub(super) late: u8,
    pub(super) skew: Millis,
    /// Expiries that could not be told: nothing is written without.
    pub(super) unsure: Vec<usize>,
    /// Answers that one token completed together.
    pub(super) together: Vec<Answer>,
    /// How the database's line in INFO begins.
    pub(super) keyspace: String,
    /// Expiries were not asked for.
    pub(super) presumes: bool,
    /// Other databases than the run's have keys.
    others: bool,
    /// Keys have expiries though none were asked for, its values are too long to be held, or its expiries are not exact.
    pub(super) void: bool,
    first_error: Option<String>,
    pub(super) refusal: Option<String>,
}

/// Expiry answers: no key, no expiry.
pub(super) const NO_KEY: i64 = -2;
pub(super) const NO_EXPIRY: i64 = -1;

impl Batch {
    pub(crate) fn new(road: Road, keys: Vec<Key>, bytes: usize) -> Self {
        Self {
            road,
            keys,
            bytes,
            size: 0,
            strange: false,
            failed: 0,
            sent: Instant::now(),
            settled: 0,
            asking: false,
            runs: Vec::new(),
            run: 0,
            row: 0,
            expiries: Vec::new(),
            kinds: Vec::new(),
            held: Vec::new(),
            held_bytes: 0,
            asks_again: false,
            is_longer: false,
            clock: 0,
            clock_behind: 0,
            late: 0,
            skew: 0,
            unsure: Vec::new(),
            together: Vec::new(),
            keyspace: String::new(),
            presumes: false,
            others: false,
            void: false,
            first_error: None,
            refusal: None,
        }
    }

    /// A key's fate is known: it leaves the batch. Rows are settled in their order.
    pub(crate) fn settle(&mut self, row: usize) -> Option<Key> {
        let key = std::mem::take(self.keys.get_mut(row)?);
        self.settled = self.settled.max(row + 1);
        Some(key)
    }

    /// The keys whose fate is not known.
    pub(crate) fn into_unsettled(self) -> impl Iterator<Item = Key> {
        self.keys.into_iter().skip(self.settled)
    }

    /// Whether all answers have come.
    pub(crate) fn is_done(&self) -> bool {
        self.run >= self.runs.len()
    }

    /// Whether its expiries were not asked for, as no key was thought to have one.
    pub(crate) fn presumes_none(&self) -> bool {
        self.presumes
    }

    /// Whether nothing of its answers counts, as `void` says: it must be read again.
    pub(crate) fn is_void(&self) -> bool {
        self.void
    }

    /// Whether other databases than the run's had keys in the instant of the batch, where that was asked.
    pub(crate) fn has_other_databases(&self) -> bool {
        self.others
    }

    /// Why the batch was refused as a whole, once it is done.
    pub(crate) fn take_refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }

    /// The type of a key, where it was asked for.
    pub(crate) fn kind(&self, row: usize) -> Option<&[u8]> {
        self.kinds.get(row).map(Vec::as_slice)
    }

    /// Whether it was sent as one transaction.
    pub(super) fn is_transaction(&self) -> bool {
        self.runs.iter().any(|run| run.is(Column::Executed))
    }

    /// As if nothing had been sent; keys that are settled are left out.
    pub(super) fn begin(&mut self) {
        self.keys.drain(..self.settled.min(self.keys.len()));
        self.settled = 0;
        self.size = self.keys.len();
        self.runs.clear();
        self.run = 0;
        self.row = 0;
        self.expiries.clear();
        self.kinds.clear();
        self.held.clear();
        self.held_bytes = 0;
        self.unsure.clear();
        self.together.clear();
        self.void = false;
        self.others = false;
        self.first_error = None;
        self.refusal = None;
    }

    /// Takes the commonest answers of a column at once, as many as have come.
    pub(crate) fn skip(&mut self, connection: &mut Connection) {
        let Some(run) = self.runs.get(self.run) else {
            return;
        };
        let left = run.rows - self.row;
        let skipped = if run.is(Column::Queued) {
            connection.skip(b"+QUEUED\r\n", left)
        } else if run.is(Column::Expiry) {
            let without = connection.skip(b":-1\r\n", left);
            self.expiries
                .resize(self.expiries.len() + without, NO_EXPIRY);
            without
        } else {
            return;
        };
        let rows = run.rows;
        self.row += skipped;
        self.end_run(rows);
    }

    /// Takes one token of the answer.
    pub(crate) fn accept(&mut self, token: Token, connection: &Connection) -> Result<Answer, Lost> {
        let Some(run) = self.runs.get(self.run) else {
            return Err(unexpected(token));
        };
        let ((column, row), rows) = (run.at(self.row), run.rows);
        self.row += 1;
        self.end_run(rows);
        if let Token::Error(span) = token {
            return self.accept_error(column, row, rows, connection.bytes(span));
        }
        Ok(match (column, token) {
            (Column::Opened | Column::Queued, Token::Simple(_))
            | (
                Column::Executed | Column::Texts | Column::Clock | Column::ClockBehind,
                Token::Array(_),
            ) => Answer::Part,
            (Column::Clock | Column::ClockBehind, Token::Bulk(span)) => {
                self.tell_time(column, row, connection.bytes(span));
                Answer::Part
            }
            (Column::Keyspace, Token::Bulk(span)) => {
                let (info, own) = (connection.bytes(span), self.keyspace.as_bytes());
                self.void |= self.presumes && have_expiries(info, own);
                self.others = have_other_databases(info, own);
                if self.is_done() && !self.void {
                    self.release();
                }
                Answer::Part
            }
            (Column::Text | Column::Single | Column::Payload, Token::Bulk(_) | Token::Nil)
            | (Column::ExpiryBehind, Token::Integer(_))
                if self.void =>
            {
                Answer::Part
            }
            (Column::Text, Token::Nil) if self.holds_for_order() => Answer::Part,
            (Column::ExpiryBehind, Token::Integer(expiry)) => self.behind(row, expiry),
            (Column::Expiry, Token::Integer(expiry)) => {
                self.expiries.push(expiry);
                Answer::Part
            }
            (Column::Kind, Token::Simple(span) | Token::Bulk(span)) => {
                self.kinds.push(connection.bytes(span).to_vec());
                self.inspected_by_kind(row)
            }
            (Column::Memory, Token::Integer(bytes)) => {
                Answer::Inspected(row, u64::try_from(bytes).ok())
            }
            (Column::Memory, Token::Nil) => Answer::Inspected(row, None),
            (Column::Text | Column::Single | Column::Payload, Token::Bulk(span)) => {
                self.value(row, span)
            }
            (Column::Text, Token::Nil) if self.presumes => Answer::NoTextOrGone(row),
            (Column::Text, Token::Nil) if self.expiry(row) != NO_KEY => Answer::NoText(row),
            (Column::Text | Column::Single | Column::Payload, Token::Nil) => Answer::Gone(row),
            (Column::ExpiryAgain, Token::Integer(again)) => self.again(row, again),
            (_, token) => return Err(unexpected(token)),
        })
    }

    /// Takes an error for an answer.
    fn accept_error(
        &mut self,
        column: Column,
        row: usize,
        rows: usize,
        error: &[u8],
    ) -> Result<Answer, Lost> {
        // The key, or its slot, is another node's, or the cluster cannot answer for it now.
        let elsewhere = classify(error) == Class::Moved;
        let text = String::from_utf8_lossy(error).into_owned();
        Ok(match column {
            Column::Queued => {
                self.first_error.get_or_insert(text);
                Answer::Part
            }
            Column::Executed => {
                self.end();
                self.refusal = Some(self.first_error.take().unwrap_or(text));
                Answer::Part
            }
            Column::Clock | Column::ClockBehind => {
                self.skip_rest_of_column(row, rows);
                Answer::Part
            }
            Column::Keyspace => {
                tracing::debug!("INFO keyspace: {text}");
                self.void = self.presumes;
                self.others = true;
                Answer::Part
            }
            Column::Expiry => {
                if elsewhere {
                    // The value's own answer tells where the key is now.
                    self.unsure.push(row);
                } else {
                    // Nothing is written whose expiry is not known.
                    self.refusal.get_or_insert(text);
                }
                self.expiries.push(NO_EXPIRY);
                Answer::Part
            }
            Column::Kind | Column::Memory | Column::Payload | Column::Single if is_away(error) => {
                // The server cannot answer now, whatever it is asked.
                self.refusal.get_or_insert(text);
                if column == Column::Kind {
                    self.kinds.push(b"none".to_vec());
                }
                Answer::Part
            }
            Column::Kind => {
                // A type that is not told is no reason to leave a key out: the read will say what is wrong.
                tracing::debug!("TYPE: {text}");
                if elsewhere || self.road == Road::Inspect {
                    self.unsure.push(row);
                }
                self.kinds.push(b"none".to_vec());
                self.inspected_by_kind(row)
            }
            Column::Single if error.starts_with(b"WRONGTYPE") => Answer::NoText(row),
            Column::Memory | Column::Payload | Column::Single => Answer::Failed(row, text),
            Column::Texts if elsewhere && !self.holds_for_order() => {
                let count = self.runs.get(self.run).map_or(0, |run| run.rows);
                self.skip_answers_of_texts();
                let rows = row..row + count;
                self.together = rows.map(|row| Answer::Failed(row, text.clone())).collect();
                Answer::Part
            }
            Column::Texts => {
                self.skip_answers_of_texts();
                self.refusal = Some(text);
                Answer::Part
            }
            Column::ExpiryBehind => {
                // Nothing is written whose expiry is not known.
                self.refusal.get_or_insert(text);
                Answer::Part
            }
            Column::ExpiryAgain if elsewhere => self.torn(row),
            Column::ExpiryAgain => self.again(row, self.expiry(row)),
            Column::Opened | Column::Text => {
                return Err(Lost::Protocol(format!("unexpected error: {text}")));
            }
        })
    }

    /// Where the type alone was asked for, it is the whole answer.
    fn inspected_by_kind(&self, row: usize) -> Answer {
        let last = self
            .runs
            .last()
            .is_some_and(|run| run.ends_with(Column::Kind));
        if last {
            Answer::Inspected(row, None)
        } else {
            Answer::Part
        }
    }

    /// Answers that the last token completed, beside its own.
    pub(crate) fn take_together(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.together)
    }

    /// After the last of a run's answers comes the first of the next run.
    pub(super) fn end_run(&mut self, rows: usize) {
        if self.row >= rows {
            self.row = 0;
            self.run += 1;
        }
    }

    fn end(&mut self) {
        self.run = self.runs.len();
        self.row = 0;
    }

    fn skip_rest_of_column(&mut self, row: usize, rows: usize) {
        if row + 1 < rows {
            self.run += 1;
            self.row = 0;
        }
    }

    /// MGET answered one error for all its strings: there is no element to wait for.
    fn skip_answers_of_texts(&mut self) {
        self.run += 1;
        self.row = 0;
    }
}

fn unexpected(token: Token) -> Lost {
    Lost::Protocol(format!("unexpected {token:?}"))
}
