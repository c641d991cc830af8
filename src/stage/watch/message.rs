//! What arrives on an event connection, message by message: `pmessage` of a pattern, `invalidate` of tracking, `PONG`.

use crate::wire::{Connection, Span, Token};

/// What one token completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing yet, or nothing of interest.
    Part,
    /// A notification: its channel, and the event's name.
    Notification { channel: Span, event: Span },
    /// Tracking names a key.
    Key(Span),
    /// Tracking says that all keys may have changed.
    Everything,
    /// The answer to PING.
    Pong,
    /// The server refuses something.
    Refused(Span),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Other,
    Notification,
    Invalidation,
}

/// Reads messages out of tokens.
#[derive(Debug, Default)]
pub(super) struct Messages {
    kind: Kind,
    /// Elements of the message that are still to come.
    left: usize,
    place: usize,
    channel: Span,
    /// Keys of an invalidation that are still to come.
    keys: usize,
}

impl Messages {
    /// Whether a notification has told its channel and not yet its event: the channel must not be released.
    pub(super) fn is_amid(&self) -> bool {
        self.kind == Kind::Notification && self.left == 1
    }

    pub(super) fn accept(&mut self, token: Token, connection: &Connection) -> Told {
        if self.keys > 0 {
            self.keys -= 1;
            return match token {
                Token::Bulk(span) | Token::Simple(span) => Told::Key(span),
                _ => Told::Part,
            };
        }
        if self.left == 0 {
            return self.open(token, connection);
        }
        self.left -= 1;
        let place = self.place;
        self.place += 1;
        match (self.kind, place, token) {
            (_, 0, Token::Bulk(span) | Token::Simple(span)) => {
                self.kind = match connection.bytes(span) {
                    b"pmessage" => Kind::Notification,
                    b"invalidate" => Kind::Invalidation,
                    // RESP2 answers PING so while it is subscribed.
                    b"pong" => return Told::Pong,
                    _ => Kind::Other,
                };
                Told::Part
            }
            (Kind::Notification, 2, Token::Bulk(span)) => {
                self.channel = span;
                Told::Part
            }
            (Kind::Notification, 3, Token::Bulk(span)) => Told::Notification {
                channel: self.channel,
                event: span,
            },
            (Kind::Invalidation, 1, Token::Array(keys)) => {
                self.keys = keys;
                Told::Part
            }
            (Kind::Invalidation, 1, Token::Nil) => Told::Everything,
            (_, _, Token::Array(more)) => {
                self.left += more;
                Told::Part
            }
            _ => Told::Part,
        }
    }

    fn open(&mut self, token: Token, connection: &Connection) -> Told {
        match token {
            Token::Array(elements) => {
                *self = Self {
                    left: elements,
                    ..Self::default()
                };
                Told::Part
            }
            Token::Simple(span) if connection.bytes(span) == b"PONG" => Told::Pong,
            Token::Error(span) => Told::Refused(span),
            Token::Simple(_) | Token::Bulk(_) | Token::Integer(_) | Token::Nil => Told::Part,
        }
    }
}
