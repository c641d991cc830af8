//! One batch of writes: the cheapest commands for its entries, and whose answer is whose.

use std::collections::HashSet;
use std::time::Instant;

use super::redo::Again;
use crate::entry::{Entry, Millis, Value};
use crate::queue::Lease;
use crate::slots::slot;
use crate::wire::{LONG, Outgoing};

/// What the target can do, and what is wanted around a batch.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is one ability or wish")]
pub struct Dialect {
    /// SET … PXAT (6.2); before: SET and PEXPIREAT in MULTI.
    pub pxat: bool,
    /// MULTI/EXEC around each batch.
    pub multi_exec: bool,
    /// WAIT for this many replicas, so many milliseconds; 0 replicas is off.
    pub wait: (u32, u64),
    /// Keys are written without their expiry.
    pub drop_expiry: bool,
    /// Keys lie in slots of their own: no command may name keys of two.
    pub cluster: bool,
}

/// The clocks' part of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Now on the source's clock, where it is known: an entry past its expiry is deleted, not written.
    pub(super) source_now: Option<Millis>,
    /// What is added to expiries.
    pub(super) shift: Millis,
}

/// Most bytes that a batch makes room for beforehand.
const MOST_RESERVED: usize = 1024 * 1024;

/// How an entry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Set,
    SetUntil(Millis),
    Restore(Millis),
    Delete,
    /// TYPE: what becomes of the key depends on what the target has.
    Look,
}

/// Answers to come, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A status of MULTI or of queueing: an error here refuses the transaction.
    Envelope,
    /// EXEC's array; the transaction ends with so many answers.
    Executed,
    /// These entries of the order.
    Rows { first: usize, count: usize },
    /// TYPE of this entry of the order.
    Kind(usize),
    /// PEXPIREAT's number, behind the SET of the same transaction.
    Number,
    /// WAIT's number.
    Replicas,
    /// The status of ASKING.
    Asked,
}

/// A batch, in flight or to be sent.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    /// What they cost together.
    pub(super) bytes: usize,
    pub(super) lease: Lease,
    /// Tries that failed.
    pub(super) failed: u32,
    /// Each key has a command of its own.
    pub(super) careful: bool,
    /// The keys are on their way to the node that is written to: it must be asked for each.
    pub(super) asking: bool,
    pub(super) order: Vec<usize>,
    pub(super) due: Vec<Due>,
    pub(super) next: usize,
    commands: Vec<&'static str>,
    pub(super) envelope_error: Option<String>,
    /// What went wrong, by entry.
    pub(super) errors: Vec<(usize, String)>,
    /// WAIT's answer was too small.
    pub(super) short_of_replicas: Option<i64>,
    /// Types at the target, by entry, where they were asked for.
    pub(super) kinds: Vec<(usize, Vec<u8>)>,
    /// When it was sent.
    pub(super) sent: Instant,
}

impl Batch {
    pub(super) fn new(entries: Vec<Entry>, bytes: usize, lease: Lease) -> Self {
        Self {
            entries,
            bytes,
            lease,
            failed: 0,
            careful: false,
            asking: false,
            order: Vec::new(),
            due: Vec::new(),
            next: 0,
            commands: Vec::new(),
            envelope_error: None,
            errors: Vec::new(),
            short_of_replicas: None,
            kinds: Vec::new(),
            sent: Instant::now(),
        }
    }

    /// An entry joins, with its part of the lease.
    pub(super) fn take(&mut self, entry: Entry, lease: &mut Lease) {
        let cost = entry.cost();
        self.bytes += cost;
        self.lease.merge(lease.split(cost));
        self.entries.push(entry);
    }

    /// An entry joins that is done again.
    pub(super) fn add(&mut self, again: Again) {
        self.bytes += again.entry.cost();
        self.lease.merge(again.lease);
        self.entries.push(again.entry);
    }

    pub(super) fn is_done(&self) -> bool {
        self.next >= self.due.len()
    }

    /// The commands that the batch is made of.
    pub(super) fn commands(&self) -> &[&'static str] {
        &self.commands
    }

    /// Encodes the commands, for the first time or again.
    pub(super) fn encode(&mut self, dialect: Dialect, moment: Moment, out: &mut Outgoing) {
        self.due.clear();
        self.next = 0;
        self.errors.clear();
        self.kinds.clear();
        self.sent = Instant::now();
        self.envelope_error = None;
        self.commands.clear();
        self.short_of_replicas = None;
        let copied: usize = self.entries.iter().map(copied).sum();
        out.reserve(copied.min(MOST_RESERVED));
        let ways: Vec<Way> = self
            .entries
            .iter()
            .map(|entry| way(entry, dialect, moment))
            .collect();
        let enveloped = dialect.multi_exec && !self.careful;
        if enveloped {
            out.words(&[b"MULTI"]);
            self.due.push(Due::Envelope);
        }
        let commands = self.due.len();
        if self.careful || self.repeats_a_key(&ways) {
            self.order = (0..self.entries.len()).collect();
            self.encode_one_by_one(&ways, dialect, enveloped, out);
        } else {
            self.encode_grouped(&ways, dialect, enveloped, out);
        }
        if enveloped {
            let rows: Vec<Due> = self.due.drain(commands..).collect();
            self.due.extend(rows.iter().map(|_| Due::Envelope));
            out.words(&[b"EXEC"]);
            self.due.push(Due::Executed);
            self.due.extend(rows);
        }
        let (replicas, _) = dialect.wait;
        if replicas > 0 {
            out.wait(dialect.wait);
            self.due.push(Due::Replicas);
        }
    }

    /// Whether one key stands twice in a batch whose commands are of several kinds: then their order counts.
    fn repeats_a_key(&self, ways: &[Way]) -> bool {
        let Some(first) = ways.first() else {
            return false;
        };
        if ways
            .iter()
            .all(|way| std::mem::discriminant(way) == std::mem::discriminant(first))
        {
            return false;
        }
        let mut seen = HashSet::with_capacity_and_hasher(
            self.entries.len(),
            foldhash::fast::FixedState::default(),
        );
        !self.entries.iter().all(|entry| seen.insert(entry.key.road))
    }

    fn encode_one_by_one(
        &mut self,
        ways: &[Way],
        dialect: Dialect,
        enveloped: bool,
        out: &mut Outgoing,
    ) {
        for (row, way) in ways.iter().enumerate() {
            self.encode_single(row, row, *way, dialect, enveloped, out);
        }
    }

    /// Entries of the order that one command may name: in a cluster those that follow each other and have one slot.
    fn groups(&self, first: usize, count: usize, dialect: Dialect) -> Vec<(usize, usize)> {
        if count == 0 {
            return Vec::new();
        }
        if !dialect.cluster {
            return vec![(first, count)];
        }
        let rows = self.order.iter().skip(first).take(count);
        let slots: Vec<u16> = rows
            .filter_map(|row| self.entries.get(*row))
            .map(|entry| slot(&entry.key.name))
            .collect();
        let mut next = first;
        let groups = slots.chunk_by(|one, other| one == other).map(|same| {
            let group = (next, same.len());
            next += same.len();
            group
        });
        groups.collect()
    }

    fn encode_sets(&mut self, first: usize, count: usize, out: &mut Outgoing) {
        let command = if count == 1 { "SET" } else { "MSET" };
        out.command(1 + 2 * count);
        out.word(command.as_bytes());
        for row in self.order.iter().skip(first).take(count) {
            if let Some(entry) = self.entries.get(*row) {
                out.word(&entry.key.name);
                if let Value::Text(value) = &entry.value {
                    out.value(value);
                }
            }
        }
        uses(&mut self.commands, command);
        self.due.push(Due::Rows { first, count });
    }

    fn encode_deletes(&mut self, first: usize, count: usize, out: &mut Outgoing) {
        out.command(1 + count);
        out.word(b"DEL");
        for row in self.order.iter().skip(first).take(count) {
            if let Some(entry) = self.entries.get(*row) {
                out.word(&entry.key.name);
            }
        }
        uses(&mut self.commands, "DEL");
        self.due.push(Due::Rows { first, count });
    }

    fn encode_grouped(
        &mut self,
        ways: &[Way],
        dialect: Dialect,
        enveloped: bool,
        out: &mut Outgoing,
    ) {
        self.order.clear();
        let of = |wanted: fn(&Way) -> bool| {
            ways.iter()
                .enumerate()
                .filter(move |(_, way)| wanted(way))
                .map(|(row, _)| row)
        };
        self.order.extend(of(|way| *way == Way::Set));
        let sets = self.order.len();
        self.order.extend(of(|way| *way == Way::Delete));
        let deletes = self.order.len() - sets;
        self.order
            .extend(of(|way| !matches!(way, Way::Set | Way::Delete)));
        for (first, count) in self.groups(0, sets, dialect) {
            self.encode_sets(first, count, out);
        }
        for (first, count) in self.groups(sets, deletes, dialect) {
            self.encode_deletes(first, count, out);
        }
        for place in sets + deletes..self.order.len() {
            let Some(row) = self.order.get(place).copied() else {
                continue;
            };
            let Some(way) = ways.get(row).copied() else {
                continue;
            };
            self.encode_single(place, row, way, dialect, enveloped, out);
        }
    }

    fn encode_single(
        &mut self,
        place: usize,
        row: usize,
        way: Way,
        dialect: Dialect,
        enveloped: bool,
        out: &mut Outgoing,
    ) {
        let Self {
            entries,
            due,
            commands,
            asking,
            ..
        } = self;
        let Some(entry) = entries.get(row) else {
            return;
        };
        if *asking {
            out.words(&[b"ASKING"]);
            due.push(Due::Asked);
        }
        let name = &entry.key.name;
        let answer = Due::Rows {
            first: place,
            count: 1,
        };
        let command = match (way, &entry.value) {
            (Way::Look, _) | (_, Value::ByType(_)) => "TYPE",
            (Way::Delete, _) | (_, Value::Gone | Value::Unwanted | Value::Doubtful) => "DEL",
            (_, Value::Payload(_)) => "RESTORE",
            (_, Value::Text(_)) => "SET",
        };
        uses(commands, command);
        match (way, &entry.value) {
            (Way::Look, _) | (_, Value::ByType(_)) => {
                out.words(&[b"TYPE", name]);
                due.push(Due::Kind(place));
            }
            (Way::Delete, _) | (_, Value::Gone | Value::Unwanted | Value::Doubtful) => {
                out.words(&[b"DEL", name]);
                due.push(answer);
            }
            (Way::Restore(expiry), Value::Payload(payload)) => {
                out.encoded(if expiry == 0 {
                    b"*5\r\n$7\r\nRESTORE\r\n"
                } else {
                    b"*6\r\n$7\r\nRESTORE\r\n"
                });
                out.word(name);
                out.number(expiry);
                out.value(payload);
                out.encoded(if expiry == 0 {
                    b"$7\r\nREPLACE\r\n"
                } else {
                    b"$7\r\nREPLACE\r\n$6\r\nABSTTL\r\n"
                });
                due.push(answer);
            }
            (Way::SetUntil(expiry), Value::Text(value)) if dialect.pxat => {
                out.encoded(b"*5\r\n$3\r\nSET\r\n");
                out.word(name);
                out.value(value);
                out.encoded(b"$4\r\nPXAT\r\n");
                out.number(expiry);
                due.push(answer);
            }
            (Way::SetUntil(expiry), Value::Text(value)) => {
                if !enveloped {
                    out.words(&[b"MULTI"]);
                    due.extend([Due::Envelope; 3]);
                }
                set(name, value, out);
                out.command(3);
                out.word(b"PEXPIREAT");
                out.word(name);
                out.number(expiry);
                if !enveloped {
                    out.words(&[b"EXEC"]);
                    due.push(Due::Executed);
                }
                due.extend([answer, Due::Number]);
            }
            (_, Value::Text(value)) => {
                set(name, value, out);
                due.push(answer);
            }
            (_, Value::Payload(_)) => {}
        }
    }
}

/// Bytes that an entry takes in the send buffer, with its command's words: a long value is sent from where it lies.
fn copied(entry: &Entry) -> usize {
    const WORDS: usize = 96;
    let value = Some(entry.value_len()).filter(|len| *len < LONG);
    WORDS + entry.key.name.len() + value.unwrap_or_default()
}

fn uses(commands: &mut Vec<&'static str>, command: &'static str) {
    if !commands.contains(&command) {
        commands.push(command);
    }
}

fn set(name: &[u8], value: &bytes::Bytes, out: &mut Outgoing) {
    out.encoded(b"*3\r\n$3\r\nSET\r\n");
    out.word(name);
    out.value(value);
}

fn way(entry: &Entry, dialect: Dialect, moment: Moment) -> Way {
    let expiry = entry.expiry.filter(|_| !dialect.drop_expiry);
    let due = entry
        .expiry
        .zip(moment.source_now)
        .is_some_and(|(expiry, now)| expiry <= now);
    let expiry = expiry.map(|expiry| expiry + moment.shift);
    match (&entry.value, expiry) {
        (Value::Gone, _) => Way::Delete,
        (Value::Unwanted | Value::Doubtful | Value::ByType(_), _) => Way::Look,
        _ if due => Way::Delete,
        // An instant at or before the epoch is an error to PXAT, and none to ABSTTL.
        (_, Some(expiry)) if expiry <= 0 => Way::Delete,
        (Value::Text(_), None) => Way::Set,
        (Value::Text(_), Some(expiry)) => Way::SetUntil(expiry),
        (Value::Payload(_), expiry) => Way::Restore(expiry.unwrap_or(0)),
    }
}
