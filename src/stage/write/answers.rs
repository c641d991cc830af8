//! What a target answers to a batch: whose answer is whose.

use super::batch::{Batch, Due};
use crate::error::Lost;
use crate::wire::{Connection, Token};

impl Batch {
    /// Entries from the front that have their answer, in a batch whose keys each have a command of their own.
    pub(super) fn answered_rows(&self) -> usize {
        let (told, due) = self.due.split_at(self.next.min(self.due.len()));
        let rows = told
            .iter()
            .filter(|due| matches!(due, Due::Rows { .. } | Due::Kind(_)))
            .count();
        // An expiry of its own belongs to the row before it.
        rows - usize::from(rows > 0 && due.first() == Some(&Due::Number))
    }

    /// Takes the commonest answer as often as it has come in a row.
    pub(super) fn skip(&mut self, connection: &mut Connection) {
        let due = self.due.iter().skip(self.next);
        let rows = due.take_while(|due| matches!(due, Due::Rows { .. }));
        self.next += connection.skip(b"+OK\r\n", rows.count());
    }

    /// Takes one token of the answer.
    pub(super) fn accept(&mut self, token: Token, connection: &Connection) -> Result<(), Lost> {
        let Some(due) = self.due.get(self.next).copied() else {
            return Err(unexpected(token));
        };
        self.next += 1;
        let error = |span| String::from_utf8_lossy(connection.bytes(span)).into_owned();
        match (due, token) {
            (Due::Envelope, Token::Simple(_))
            | (Due::Number, Token::Integer(_))
            | (Due::Executed, Token::Array(_)) => {
                self.envelope_error = if due == Due::Envelope {
                    self.envelope_error.take()
                } else {
                    None
                };
            }
            (Due::Envelope, Token::Error(span)) => {
                self.envelope_error.get_or_insert(error(span));
            }
            (Due::Executed, Token::Error(span)) => {
                let message = self.envelope_error.take().unwrap_or_else(|| error(span));
                // The answers of the transaction do not come: all its rows have this error.
                while let Some(due) = self.due.get(self.next).copied() {
                    match due {
                        Due::Rows { first, count } => self.fail_rows(first, count, &message),
                        Due::Kind(place) => self.fail_rows(place, 1, &message),
                        Due::Number => {}
                        Due::Envelope | Due::Executed | Due::Replicas | Due::Asked => break,
                    }
                    self.next += 1;
                }
            }
            (Due::Rows { .. }, Token::Simple(_) | Token::Integer(_))
            | (Due::Asked, Token::Simple(_) | Token::Error(_)) => {}
            (Due::Kind(place), Token::Simple(span) | Token::Bulk(span)) => {
                if let Some(row) = self.order.get(place) {
                    self.kinds.push((*row, connection.bytes(span).to_vec()));
                }
            }
            (Due::Kind(place), Token::Error(span)) => {
                let message = error(span);
                self.fail_rows(place, 1, &message);
            }
            (Due::Rows { first, count }, Token::Error(span)) => {
                let message = error(span);
                self.fail_rows(first, count, &message);
            }
            (Due::Number, Token::Error(span)) => {
                let message = error(span);
                if let Some(Due::Rows { first, count }) = self
                    .next
                    .checked_sub(2)
                    .and_then(|at| self.due.get(at))
                    .copied()
                {
                    self.fail_rows(first, count, &message);
                }
            }
            (Due::Replicas, Token::Integer(replicas)) => self.short_of_replicas = Some(replicas),
            (Due::Replicas, Token::Error(span)) => {
                tracing::debug!("WAIT: {}", error(span));
                self.short_of_replicas = Some(0);
            }
            (_, token) => return Err(unexpected(token)),
        }
        Ok(())
    }

    fn fail_rows(&mut self, first: usize, count: usize, message: &str) {
        for row in self.order.iter().skip(first).take(count) {
            self.errors.push((*row, message.to_owned()));
        }
    }
}

fn unexpected(token: Token) -> Lost {
    Lost::Protocol(format!("unexpected {token:?}"))
}
