//! Values that came before what tells whether they count: an expiry, or that nothing had one.
//!
//! In a transaction the strings of a batch come before their expiries. Looking a key up is most of what either costs the source, and
//! MGET, which does nothing else between two keys, has several of them on their way from memory at once. Long values are read in
//! the other order, as each can be passed on when it has come.

use super::answer::{Answer, Found};
use super::batch::{Batch, Column, NO_EXPIRY, NO_KEY, Road, Run};
use crate::entry::{Key, Millis};
use crate::error::Lost;
use crate::wire::{Connection, Span};

/// Predicted bytes of a batch whose values may be held until their expiries have come.
const HELD_PREDICTED: usize = 128 * 1024;
/// Bytes of values at which a batch that was predicted smaller is read again in the other order.
const HELD_MOST: usize = 1024 * 1024;

impl Batch {
    /// Whether its values may come before their expiries.
    pub(super) fn may_hold(&self) -> bool {
        !self.is_longer && self.bytes <= HELD_PREDICTED
    }

    /// Takes what has come of the commonest runs, one answer after the other: the strings of an MGET, and the expiries of values
    /// that came before them.
    pub(crate) fn take_run(
        &mut self,
        connection: &mut Connection,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Lost> {
        let Some(run) = self.runs.get(self.run) else {
            return Ok(());
        };
        if self.void || !self.unsure.is_empty() {
            return Ok(());
        }
        let (rows, base) = (run.rows, run.base);
        if run.is(Column::Text) {
            // A value may be the one with which they are too long to be held: nothing counts from there on.
            while !self.void
                && self.row < rows
                && let Some(span) = connection.bulk()?
            {
                let answer = self.value(base + self.row, span);
                if answer != Answer::Part {
                    answers.push(answer);
                }
                self.row += 1;
            }
        } else if run.is(Column::ExpiryBehind) {
            while self.row < rows
                && let Some(expiry) = connection.integer()?
            {
                answers.push(self.behind(base + self.row, expiry));
                self.row += 1;
            }
        } else {
            return Ok(());
        }
        self.end_run(rows);
        Ok(())
    }

    /// Whether what was read so far may leave the read buffer while the batch goes on: it was taken, or does not count.
    pub(crate) fn is_streaming(&self) -> bool {
        // Where each value is asked for between its expiries, it is let go of before the next one comes.
        let run = self.runs.get(self.run);
        let one_by_one = self.asks_again && run.is_none_or(Run::is_of_several);
        let holds = if one_by_one {
            self.held.iter().any(Option::is_some)
        } else {
            !self.held.is_empty()
        };
        self.void || (!holds && self.refusal.is_none())
    }

    pub(super) fn expiry(&self, row: usize) -> Millis {
        self.expiries.get(row).copied().unwrap_or(NO_EXPIRY)
    }

    pub(super) fn value(&mut self, row: usize, span: Span) -> Answer {
        if self.unsure.contains(&row) {
            return Answer::Torn(row);
        }
        if row < self.held.len() {
            self.hold(row, span);
            return Answer::Part;
        }
        self.found(row, span, self.expiry(row))
    }

    /// A value waits.
    pub(super) fn hold(&mut self, row: usize, span: Span) {
        if let Some(held) = self.held.get_mut(row) {
            *held = Some(span);
            self.held_bytes += span.len;
        }
        if self.held_bytes > HELD_MOST && self.holds_for_order() {
            self.void_for_length();
        }
    }

    /// A value of this length has begun to come. One that is long, and longer than was predicted, is not held.
    pub(crate) fn meet(&mut self, partial: Option<usize>) {
        let most = super::LONG.max(self.bytes);
        if partial.is_some_and(|length| length >= most) && self.holds_for_order() {
            self.void_for_length();
        }
    }

    /// Takes out the key whose value has begun to come, with its type where that is known.
    pub(crate) fn take_large(&mut self) -> Option<(Key, Option<Vec<u8>>)> {
        let (_, row) = self.runs.get(self.run)?.at(self.row);
        let kind = match self.road {
            Road::Texts | Road::Doubts => Some(b"string".to_vec()),
            _ => self.kind(row).map(<[u8]>::to_vec),
        };
        // Once an answer was refused, types are not all there.
        let known = row >= self.settled && row < self.keys.len() && self.refusal.is_none();
        known.then(|| (self.keys.remove(row), kind))
    }

    /// Nothing of its answers counts: it is read again in the other order.
    fn void_for_length(&mut self) {
        self.void = true;
        self.is_longer = true;
        self.held.clear();
    }

    /// Whether its values are held only because they were asked for first.
    pub(super) fn holds_for_order(&self) -> bool {
        !self.held.is_empty()
            && self
                .runs
                .last()
                .is_some_and(|run| run.is(Column::ExpiryBehind))
    }

    /// In one transaction: the expiry of a value that came before.
    pub(super) fn behind(&mut self, row: usize, expiry: Millis) -> Answer {
        match self.held.get_mut(row).and_then(Option::take) {
            _ if expiry == NO_KEY => Answer::Gone(row),
            Some(span) => self.found(row, span, expiry),
            None => Answer::NoText(row),
        }
    }

    /// Without MULTI: the same expiry before and after makes it the value's.
    pub(super) fn again(&mut self, row: usize, again: Millis) -> Answer {
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
        self.found(row, span, before)
    }

    /// Whether a key's type or expiry was answered by another node's error.
    pub(crate) fn is_unsure(&self, row: usize) -> bool {
        self.unsure.contains(&row)
    }

    pub(super) fn torn(&mut self, row: usize) -> Answer {
        let held = self.held.get_mut(row).and_then(Option::take);
        held.map_or(Answer::Part, |_| Answer::Torn(row))
    }

    /// What is held has no expiry, for certain.
    pub(super) fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        let spans = held.into_iter().enumerate();
        self.together = spans
            .filter_map(|(row, span)| Some(self.found(row, span?, NO_EXPIRY)))
            .collect();
    }

    pub(super) fn found(&self, row: usize, span: Span, expiry: Millis) -> Answer {
        Answer::Found(Found {
            row,
            span,
            text: self.road.is_texts(),
            expiry: (expiry >= 0).then(|| self.clock + expiry - self.skew),
        })
    }
}
