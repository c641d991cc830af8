//! A batch of keys that one side is asked about, and what it holds under each.

use std::borrow::Cow;

use bytes::Bytes;

use crate::entry::{Key, Millis};
use crate::error::{Class, Lost, classify};
use crate::reading::have_expiries;
use crate::wire::{Connection, Token};

/// What one side has instead of an expiry: no key, no expiry.
pub(super) const NO_KEY: Millis = -2;
pub(super) const NO_EXPIRY: Millis = -1;

/// How a side tells of expiries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiries {
    /// PEXPIRETIME (7.0).
    Instants,
    /// PTTL, behind a TIME that it counts from.
    Clocked,
    /// PTTL, counted from the moment at which it was asked for.
    Relative,
}

impl Expiries {
    pub(super) fn new(pexpiretime: bool, time: bool) -> Self {
        match (pexpiretime, time) {
            (true, _) => Self::Instants,
            (false, true) => Self::Clocked,
            (false, false) => Self::Relative,
        }
    }

    /// Tokens before those of the keys.
    fn leading(self) -> usize {
        if self == Self::Clocked { 3 } else { 0 }
    }
}

/// A batch of keys that one side was asked about.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) keys: Vec<Key>,
    /// What the source said of them, where the target is asked.
    pub(super) expected: Vec<State>,
    pub(super) names: Vec<Bytes>,
    pub(super) seen: Vec<State>,
    memory: Option<u32>,
    /// Expiries were not asked for: INFO tells that there are none.
    presumes: bool,
    /// There are some.
    void: bool,
    /// What a PTTL counts from.
    now: Millis,
    leading: usize,
    token: usize,
}

/// What one side holds under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) kind: Kind,
    /// An instant, or [`NO_EXPIRY`] or [`NO_KEY`].
    pub(super) expiry: Millis,
    pub(super) memory: u64,
    /// This side's own error for the key.
    pub(super) error: Option<String>,
}

/// A type's name, without an allocation for those that every server has.
pub(super) type Kind = Cow<'static, [u8]>;

fn kind(name: &[u8]) -> Kind {
    const KNOWN: [&[u8]; 7] = [
        b"string", b"hash", b"list", b"set", b"zset", b"stream", b"none",
    ];
    KNOWN
        .iter()
        .find(|known| **known == name)
        .map_or_else(|| Cow::Owned(name.to_vec()), |known| Cow::Borrowed(*known))
}
impl Question {
    pub(super) fn new(
        keys: Vec<Key>,
        expected: Vec<State>,
        names: Vec<Bytes>,
        memory: Option<u32>,
        now: Millis,
    ) -> Self {
        let seen = Vec::with_capacity(keys.len());
        Self {
            keys,
            expected,
            names,
            seen,
            memory,
            presumes: false,
            void: false,
            now,
            leading: 0,
            token: 0,
        }
    }

    fn answers_a_key(&self) -> usize {
        1 + usize::from(!self.presumes) + usize::from(self.memory.is_some())
    }

    /// Whether it must be asked again with the expiries, because there are some.
    pub(super) fn is_void(&self) -> bool {
        self.void
    }

    pub(super) fn is_done(&self) -> bool {
        self.token >= self.leading + self.names.len() * self.answers_a_key()
    }

    pub(super) fn encode(
        &mut self,
        expiries: Expiries,
        presumes: bool,
        connection: &mut Connection,
    ) {
        self.token = 0;
        self.seen.clear();
        self.presumes = presumes;
        self.void = false;
        self.leading = if presumes { 1 } else { expiries.leading() };
        let out = connection.outgoing();
        if presumes {
            out.words(&[b"INFO", b"keyspace"]);
        } else if expiries == Expiries::Clocked {
            out.words(&[b"TIME"]);
        }
        let expiry: &[u8] = if expiries == Expiries::Instants {
            b"PEXPIRETIME"
        } else {
            b"PTTL"
        };
        let mut digits = itoa::Buffer::new();
        let samples = self.memory.map(|samples| digits.format(samples).as_bytes());
        for name in &self.names {
            out.words(&[b"TYPE", name]);
            if !presumes {
                out.words(&[expiry, name]);
            }
            if let Some(samples) = samples {
                out.words(&[b"MEMORY", b"USAGE", name, b"SAMPLES", samples]);
            }
        }
    }

    /// Takes the commonest answer as often as it has come in a row.
    pub(super) fn skip(&mut self, connection: &mut Connection) {
        if self.answers_a_key() > 1 || self.token < self.leading {
            return;
        }
        let left = self.leading + self.names.len() - self.token;
        let strings = connection.skip(b"+string\r\n", left);
        self.token += strings;
        let string = State {
            kind: Cow::Borrowed(b"string"),
            expiry: NO_EXPIRY,
            memory: 0,
            error: None,
        };
        self.seen.resize(self.seen.len() + strings, string);
    }

    pub(super) fn accept(
        &mut self,
        token: Token,
        expiries: Expiries,
        database: u32,
        connection: &Connection,
    ) -> Result<(), Lost> {
        let place = self.token;
        self.token += 1;
        let Some(place) = place.checked_sub(self.leading) else {
            if self.presumes {
                self.void = match token {
                    Token::Bulk(span) => {
                        let line = format!("db{database}:");
                        have_expiries(connection.bytes(span), line.as_bytes())
                    }
                    _ => true,
                };
            } else {
                self.accept_time(place, token, connection);
            }
            return Ok(());
        };
        let column = match place % self.answers_a_key() {
            1 if self.presumes => 2,
            column => column,
        };
        match (column, token) {
            (0, Token::Simple(span) | Token::Bulk(span)) => {
                self.seen.push(State {
                    kind: kind(connection.bytes(span)),
                    expiry: NO_EXPIRY,
                    memory: 0,
                    error: None,
                });
            }
            (1, Token::Integer(expiry)) => {
                let instant = if expiries == Expiries::Instants || expiry < 0 {
                    expiry
                } else {
                    self.now + expiry
                };
                if let Some(state) = self.seen.last_mut() {
                    state.expiry = instant;
                }
            }
            (2, Token::Integer(bytes)) => {
                if let Some(state) = self.seen.last_mut() {
                    state.memory = u64::try_from(bytes).unwrap_or_default();
                }
            }
            (2, Token::Nil) => {}
            (_, Token::Error(span)) => {
                let message = String::from_utf8_lossy(connection.bytes(span)).into_owned();
                if classify(message.as_bytes()) == Class::Transient {
                    return Err(Lost::Io(std::io::Error::other(message)));
                }
                if column == 0 {
                    self.seen.push(State {
                        kind: kind(b""),
                        expiry: NO_EXPIRY,
                        memory: 0,
                        error: None,
                    });
                }
                if let Some(state) = self.seen.last_mut() {
                    state.error = Some(message);
                }
            }
            (_, token) => return Err(Lost::Protocol(format!("unexpected {token:?}"))),
        }
        Ok(())
    }

    /// TIME's array: seconds and microseconds.
    fn accept_time(&mut self, place: usize, token: Token, connection: &Connection) {
        let Token::Bulk(span) = token else { return };
        let text = std::str::from_utf8(connection.bytes(span)).unwrap_or_default();
        let number: Millis = text.parse().unwrap_or_default();
        self.now = if place == 1 {
            number * 1000
        } else {
            self.now + number / 1000
        };
    }
}
