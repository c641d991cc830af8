//! What is looked at of a key before it is read, so that no large one is read at once.

use std::num::NonZeroU64;

use super::pipe::ReadPipe;
use super::{Abandoned, Inspection, ReadLane};
use crate::config::Carriage;
use crate::entry::{Entry, Key};
use crate::queue::Lease;
use crate::reading::{Batch, LONG, Road};
use crate::shape::{self, Guess, Shapes};
use crate::slots::slot;

/// What is looked at of a key before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// Nothing: it is read.
    Nothing,
    /// Nothing: it is copied by the commands of its type.
    ByType,
    /// Type, memory, or both.
    Inspect,
    /// Its memory: it is no string.
    Weigh,
}

/// A string that may have so many bytes is weighed before it is read.
const HEAVY: u32 = 1 << 20;

impl ReadLane {
    /// How values are carried from now on: where payloads do not go, by the commands of their types.
    pub(super) fn carriage(&self) -> Carriage {
        if self.context.copies_by_type() {
            Carriage::Struct
        } else {
            self.dialect.carriage
        }
    }

    /// A road for a key of which nothing is known.
    pub(super) fn any_road(&self) -> Road {
        if self.context.copies_by_type() {
            Road::Texts
        } else {
            Road::Payloads
        }
    }

    /// Keys come in: each goes to its node's pipe, to be looked at or read.
    pub(super) fn take_in(&mut self, keys: Vec<Key>, pipes: &mut [ReadPipe]) {
        let carriage = self.carriage();
        let by_type = self.context.copies_by_type();
        for mut key in keys {
            shape::look(&mut key);
            let place = match pipes.len() {
                1 => 0,
                _ => self.place(&key, pipes),
            };
            let Some(pipe) = pipes.get_mut(place) else {
                // Its slot moved to a node that this lane does not know yet.
                self.astray.push(key);
                continue;
            };
            let bytes = key.name.len() + 64;
            let guess = self.shapes.guess(&key);
            let scout = self.inspection.scouts && pipe.sends_scout(&self.shapes);
            match self.first(&key, by_type, guess, scout) {
                First::Nothing if !by_type && self.context.packing().takes(guess, key.road) => {
                    let value = usize::try_from(guess.bytes).unwrap_or(LONG);
                    pipe.waiting.add(key, Road::Payloads, bytes + value);
                }
                First::Nothing => pipe.waiting.add_guessed(key, guess, carriage),
                First::ByType => {
                    let ticket = self.ticket(key, None);
                    self.by_type.push(ticket);
                }
                First::Inspect => pipe.waiting.add(key, Road::Inspect, bytes),
                First::Weigh => pipe.waiting.add(key, Road::Weigh, bytes),
            }
        }
    }

    fn place(&self, key: &Key, pipes: &[ReadPipe]) -> usize {
        let reader = self.routes.reader(slot(&key.name));
        let number = reader.map(|node| node.number());
        let place = pipes
            .iter()
            .position(|pipe| Some(pipe.node.number()) == number);
        place.unwrap_or(usize::MAX)
    }

    /// What is looked at of a key before it is read.
    pub(super) fn first(&self, key: &Key, by_type: bool, guess: Guess, scout: bool) -> First {
        let Inspection { big_key, .. } = self.inspection;
        let looks = big_key.is_some() || by_type;
        if self.inspection.is_needed(key) || (looks && self.rename.needs_type()) {
            return First::Inspect;
        }
        if big_key.is_none() && !by_type {
            return First::Nothing;
        }
        let text = guess.text && self.carriage() != Carriage::Dump;
        match guess.known {
            // What was read of it before may not be written yet: a key that changed since is asked for behind that.
            true if !text && by_type && key.mark.is_event() => First::Nothing,
            true if !text && by_type => First::ByType,
            // Its ticket leaves with the answer, behind whatever was read of it before.
            true if !text && guess.plain && self.takes_plainly(key) => First::Weigh,
            true if !text && guess.even && !Shapes::is_sampled(key) => First::Nothing,
            true if !text => First::Weigh,
            true if guess.bytes < HEAVY || big_key.is_none() => First::Nothing,
            false if big_key.is_none() => First::Nothing,
            // It is read while the others are weighed: one that is too long is met as its bytes begin to come.
            false if scout && !by_type && text => First::Nothing,
            true | false => First::Inspect,
        }
    }

    /// Whether a key of few long values goes by its type's commands, as that is cheaper; one in so many is read nevertheless.
    pub(super) fn takes_plainly(&self, key: &Key) -> bool {
        self.context.takes_plainly()
            && self.carriage() == Carriage::Auto
            && !Shapes::is_sampled(key)
    }

    /// Keys that go on without being read: the write lanes hand them over, each in its place.
    pub(super) async fn send_by_type(&mut self) -> Result<(), Abandoned> {
        if self.by_type.is_empty() {
            return Ok(());
        }
        let entries = std::mem::take(&mut self.by_type);
        self.send_on(entries, Some(Lease::default())).await
    }

    /// A key that is too large to be read at once: it is copied by the commands of its type.
    pub(super) fn large(&self, key: Key, kind: Option<&[u8]>) -> Entry {
        if let Some(follow) = &self.context.follow {
            follow.changed.hold(&key);
        }
        self.ticket(key, kind)
    }

    /// Whether a value has begun to arrive that was thought to be smaller, and is to be read in chunks.
    pub(super) fn is_oversize(&self, partial: Option<usize>, head: &Batch) -> bool {
        let limit = self.inspection.big_key.map(NonZeroU64::get);
        (head.road.is_texts() || head.road == Road::Payloads)
            && !head.asking
            && partial
                .zip(limit)
                .is_some_and(|(length, limit)| length as u64 > limit)
    }
}
