//! One batch of reads: its commands, and the table of answers that they are taken from.

use std::time::Instant;

use super::answer::{Answer, Found, have_expiries, have_other_databases};
use crate::config::Carriage;
use crate::entry::{Key, Millis};
use crate::error::Lost;
use crate::wire::{Connection, Outgoing, Span, Token};

/// What the source can do, and what is asked of it.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one ability that a server has or not"
)]
pub struct Dialect {
    /// PEXPIRETIME (7.0); before: PTTL, counted from the TIME of the same instant.
    pub pexpiretime: bool,
    /// Keys may have expiries. Where none has, one INFO in the same MULTI proves it for the whole batch.
    pub expiring: bool,
    /// The database that INFO is asked about.
    pub database: u32,
    /// INFO is asked in each batch whether other databases have keys.
    pub databases: bool,
    /// MULTI makes value and expiry one instant; without the right to it the expiry is asked before and after.
    pub multi: bool,
    /// TIME is allowed.
    pub time: bool,
    /// The type is asked for: names or filters need it.
    pub kinds: bool,
    /// SAMPLES for MEMORY USAGE where it is asked for.
    pub memory: Option<u32>,
    /// How strings are carried.
    pub carriage: Carriage,
}

/// How a batch is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    /// Type and memory alone, to decide.
    Inspect,
    /// Strings, by MGET.
    Texts,
    /// What MGET did not answer: the expiry tells what is gone from what is no string.
    Doubts,
    /// Anything, by DUMP.
    Payloads,
}

impl Road {
    /// Whether it answers strings as they are.
    fn is_texts(self) -> bool {
        matches!(self, Self::Texts | Self::Doubts)
    }
}

/// A run of answers of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// `+OK` of MULTI.
    Opened,
    /// `+QUEUED`.
    Queued,
    /// The header of EXEC's array.
    Executed,
    /// The header of TIME's array, the seconds, the microseconds.
    Clock,
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
    /// DUMP.
    Payload,
    /// The expiry asked again.
    ExpiryAgain,
}

/// A batch, sent or to be sent.
#[derive(Debug)]
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
    columns: Vec<(Column, usize)>,
    column: usize,
    row: usize,
    expiries: Vec<Millis>,
    kinds: Vec<Vec<u8>>,
    held: Vec<Option<Span>>,
    /// What an expiry answer counts from: 0 where it is an instant already.
    clock: Millis,
    /// How the database's line in INFO begins.
    keyspace: String,
    /// Expiries were not asked for.
    presumes: bool,
    /// Other databases than the run's have keys.
    others: bool,
    /// Keys have expiries though none were asked for.
    void: bool,
    first_error: Option<String>,
    refusal: Option<String>,
}

/// Expiry answers: no key, no expiry.
const NO_KEY: i64 = -2;
const NO_EXPIRY: i64 = -1;

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
            columns: Vec::new(),
            column: 0,
            row: 0,
            expiries: Vec::new(),
            kinds: Vec::new(),
            held: Vec::new(),
            clock: 0,
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
        self.column >= self.columns.len()
    }

    /// Whether what was read so far may be released while the batch goes on.
    pub(crate) fn is_streaming(&self) -> bool {
        self.held.is_empty() && self.refusal.is_none() && !self.void
    }

    /// Whether nothing of its answers counts, because keys have expiries: it must be read again with them.
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

    /// Encodes the commands, for the first time or again, without the keys that are settled.
    pub(crate) fn encode(&mut self, dialect: Dialect, out: &mut Outgoing, now: Millis) {
        self.keys.drain(..self.settled.min(self.keys.len()));
        self.settled = 0;
        self.size = self.keys.len();
        self.columns.clear();
        self.column = 0;
        self.row = 0;
        self.expiries.clear();
        self.kinds.clear();
        self.held.clear();
        self.presumes =
            dialect.multi && !dialect.expiring && matches!(self.road, Road::Texts | Road::Payloads);
        self.void = false;
        self.others = false;
        self.sent = Instant::now();
        self.first_error = None;
        self.refusal = None;
        // Without TIME, a PTTL counts from the earliest instant at which it can have been read: from now.
        self.clock = if dialect.pexpiretime { 0 } else { now };
        match self.road {
            Road::Inspect => self.encode_inspection(dialect, out),
            Road::Texts | Road::Doubts | Road::Payloads => self.encode_reads(dialect, out),
        }
    }

    fn encode_inspection(&mut self, dialect: Dialect, out: &mut Outgoing) {
        let keys = self.keys.len();
        if dialect.kinds {
            self.each(out, &[b"TYPE"]);
            self.columns.push((Column::Kind, keys));
        }
        let Some(samples) = dialect.memory else {
            return;
        };
        let mut digits = itoa::Buffer::new();
        let samples = digits.format(samples);
        for key in &self.keys {
            out.words(&[
                b"MEMORY",
                b"USAGE",
                &key.name,
                b"SAMPLES",
                samples.as_bytes(),
            ]);
        }
        self.columns.push((Column::Memory, keys));
    }

    fn encode_reads(&mut self, dialect: Dialect, out: &mut Outgoing) {
        let keys = self.keys.len();
        let expiry: &[u8] = if dialect.pexpiretime {
            b"PEXPIRETIME"
        } else {
            b"PTTL"
        };
        let clock = !self.presumes && !dialect.pexpiretime && dialect.time;
        let expiries = if self.presumes { 1 } else { keys };
        let asks_databases = dialect.databases && !self.presumes;
        let kinds = dialect.kinds && self.road == Road::Payloads;
        let values = if self.road.is_texts() { 1 } else { keys };
        if dialect.multi {
            let asked = usize::from(clock) + usize::from(asks_databases);
            let queued = asked + expiries + if kinds { keys } else { 0 } + values;
            out.words(&[b"MULTI"]);
            self.columns.extend([
                (Column::Opened, 1),
                (Column::Queued, queued),
                (Column::Executed, 1),
            ]);
        }
        if clock {
            out.words(&[b"TIME"]);
            self.columns.push((Column::Clock, 3));
        }
        if self.presumes || asks_databases {
            out.words(&[b"INFO", b"keyspace"]);
            self.columns.push((Column::Keyspace, 1));
            self.keyspace = format!("db{}:", dialect.database);
        }
        if !self.presumes {
            self.each(out, &[expiry]);
            self.columns.push((Column::Expiry, keys));
            self.expiries.reserve(keys);
        }
        if kinds {
            self.each(out, &[b"TYPE"]);
            self.columns.push((Column::Kind, keys));
        }
        if self.road.is_texts() {
            out.command(keys + 1);
            out.word(b"MGET");
            for key in &self.keys {
                out.word(&key.name);
            }
            self.columns
                .extend([(Column::Texts, 1), (Column::Text, keys)]);
        } else {
            self.each(out, &[b"DUMP"]);
            self.columns.push((Column::Payload, keys));
        }
        if dialect.multi {
            out.words(&[b"EXEC"]);
        } else {
            self.each(out, &[expiry]);
            self.columns.push((Column::ExpiryAgain, keys));
            self.held = vec![None; keys];
        }
    }

    fn each(&self, out: &mut Outgoing, command: &[&[u8]]) {
        for key in &self.keys {
            out.command(command.len() + 1);
            for word in command {
                out.word(word);
            }
            out.word(&key.name);
        }
    }

    /// Takes the commonest answers of a column at once, as many as have come.
    pub(crate) fn skip(&mut self, connection: &mut Connection) {
        let Some((column, rows)) = self.columns.get(self.column).copied() else {
            return;
        };
        let left = rows - self.row;
        let skipped = match column {
            Column::Queued => connection.skip(b"+QUEUED\r\n", left),
            Column::Expiry => {
                let without = connection.skip(b":-1\r\n", left);
                self.expiries
                    .resize(self.expiries.len() + without, NO_EXPIRY);
                without
            }
            _ => return,
        };
        self.row += skipped;
        if self.row >= rows {
            self.row = 0;
            self.column += 1;
        }
    }

    /// Takes one token of the answer.
    pub(crate) fn accept(&mut self, token: Token, connection: &Connection) -> Result<Answer, Lost> {
        let Some((column, rows)) = self.columns.get(self.column).copied() else {
            return Err(unexpected(token));
        };
        let row = self.row;
        self.row += 1;
        if self.row >= rows {
            self.row = 0;
            self.column += 1;
        }
        let error = |span: Span| String::from_utf8_lossy(connection.bytes(span)).into_owned();
        Ok(match (column, token) {
            (Column::Opened | Column::Queued, Token::Simple(_))
            | (Column::Executed | Column::Texts, Token::Array(_)) => Answer::Part,
            (Column::Queued, Token::Error(span)) => {
                self.first_error.get_or_insert(error(span));
                Answer::Part
            }
            (Column::Executed, Token::Error(span)) => {
                self.end();
                self.refusal = Some(self.first_error.take().unwrap_or_else(|| error(span)));
                Answer::Part
            }
            (Column::Clock, Token::Array(_)) => {
                self.clock = 0;
                Answer::Part
            }
            (Column::Clock, Token::Bulk(span)) => {
                let number: Millis = std::str::from_utf8(connection.bytes(span))
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0);
                self.clock += if row == 1 {
                    number * 1000
                } else {
                    number / 1000
                };
                Answer::Part
            }
            (Column::Clock, Token::Error(_)) => {
                self.skip_rest_of_column(row, rows);
                Answer::Part
            }
            (Column::Keyspace, Token::Bulk(span)) => {
                let (info, own) = (connection.bytes(span), self.keyspace.as_bytes());
                self.void = self.presumes && have_expiries(info, own);
                self.others = have_other_databases(info, own);
                Answer::Part
            }
            (Column::Keyspace, Token::Error(span)) => {
                tracing::debug!("INFO keyspace: {}", error(span));
                self.void = self.presumes;
                self.others = true;
                Answer::Part
            }
            (Column::Text | Column::Payload, Token::Bulk(_) | Token::Nil) if self.void => {
                Answer::Part
            }
            (Column::Expiry, Token::Integer(expiry)) => {
                self.expiries.push(expiry);
                Answer::Part
            }
            (Column::Expiry, Token::Error(span)) => {
                // Nothing is written whose expiry is not known.
                self.refusal.get_or_insert(error(span));
                self.expiries.push(NO_EXPIRY);
                Answer::Part
            }
            (Column::Kind, Token::Simple(span) | Token::Bulk(span)) => {
                self.kinds.push(connection.bytes(span).to_vec());
                self.inspected_by_kind(row)
            }
            (Column::Kind, Token::Error(span)) => {
                // A type that is not told is no reason to leave a key out: the read will say what is wrong.
                tracing::debug!("TYPE: {}", error(span));
                self.kinds.push(b"none".to_vec());
                self.inspected_by_kind(row)
            }
            (Column::Memory, Token::Integer(bytes)) => {
                Answer::Inspected(row, u64::try_from(bytes).ok())
            }
            (Column::Memory, Token::Nil) => Answer::Inspected(row, None),
            (Column::Memory | Column::Payload, Token::Error(span)) => {
                Answer::Failed(row, error(span))
            }
            (Column::Texts, Token::Error(span)) => {
                self.skip_answers_of_texts();
                self.refusal = Some(error(span));
                Answer::Part
            }
            (Column::Text | Column::Payload, Token::Bulk(span)) => {
                self.value(row, span, column == Column::Text)
            }
            (Column::Text, Token::Nil) if self.presumes => Answer::NoTextOrGone(row),
            (Column::Text, Token::Nil) if self.expiry(row) != NO_KEY => Answer::NoText(row),
            (Column::Text | Column::Payload, Token::Nil) => Answer::Gone(row),
            (Column::ExpiryAgain, Token::Integer(again)) => self.again(row, again),
            (Column::ExpiryAgain, Token::Error(_)) => self.again(row, self.expiry(row)),
            (_, token) => return Err(unexpected(token)),
        })
    }

    /// Where the type alone was asked for, it is the whole answer.
    fn inspected_by_kind(&self, row: usize) -> Answer {
        let last = self
            .columns
            .last()
            .is_some_and(|(column, _)| *column == Column::Kind);
        if last {
            Answer::Inspected(row, None)
        } else {
            Answer::Part
        }
    }

    fn expiry(&self, row: usize) -> Millis {
        self.expiries.get(row).copied().unwrap_or(NO_EXPIRY)
    }

    fn value(&mut self, row: usize, span: Span, text: bool) -> Answer {
        if let Some(held) = self.held.get_mut(row) {
            *held = Some(span);
            return Answer::Part;
        }
        Answer::Found(Found {
            row,
            span,
            text,
            expiry: self.instant(row),
        })
    }

    /// Without MULTI: the same expiry before and after makes it the value's.
    fn again(&mut self, row: usize, again: Millis) -> Answer {
        let before = self.expiry(row);
        let Some(span) = self.held.get_mut(row).and_then(Option::take) else {
            return Answer::Part;
        };
        // A PTTL falls while it is read.
        let same = again == before
            || (before >= 0 && again >= 0 && self.clock > 0 && (before - again).abs() < 1000);
        if !same {
            return Answer::Torn(row);
        }
        Answer::Found(Found {
            row,
            span,
            text: self.road.is_texts(),
            expiry: self.instant(row),
        })
    }

    fn instant(&self, row: usize) -> Option<Millis> {
        let expiry = self.expiry(row);
        (expiry >= 0).then(|| self.clock + expiry)
    }

    fn end(&mut self) {
        self.column = self.columns.len();
        self.row = 0;
    }

    fn skip_rest_of_column(&mut self, row: usize, rows: usize) {
        if row + 1 < rows {
            self.column += 1;
            self.row = 0;
        }
    }

    /// MGET answered one error for all its strings: there is no element to wait for.
    fn skip_answers_of_texts(&mut self) {
        self.column += 1;
        self.row = 0;
    }
}

fn unexpected(token: Token) -> Lost {
    Lost::Protocol(format!("unexpected {token:?}"))
}
