//! Errors by side and class, and connections that are away.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Stats;
use crate::config::Side;
use crate::error::Class;

/// The classes of errors as they are counted: those of a server's answers, and lost connections.
const CLASSES: [&str; 6] = [
    "moved",
    "transient",
    "payload",
    "key",
    "fatal",
    "connection",
];

/// What went wrong on each side.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    source: OneSide,
    target: OneSide,
}

#[derive(Debug, Default)]
struct OneSide {
    errors: [AtomicU64; CLASSES.len()],
    away: AtomicU64,
}

impl Troubles {
    fn of(&self, side: Side) -> &OneSide {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    fn count(&self, side: Side, class: &str) {
        let counters = CLASSES.iter().zip(&self.of(side).errors);
        for (_, counter) in counters.filter(|(name, _)| **name == class) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

/// A connection that is being opened again, for as long as this lives.
#[derive(Debug)]
pub struct Away<'s>(&'s AtomicU64);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Stats {
    /// A server answered with an error of this class.
    pub fn erred(&self, side: Side, class: Class) {
        let name = match class {
            Class::Moved => "moved",
            Class::Transient => "transient",
            Class::Payload => "payload",
            Class::Key => "key",
            Class::Fatal => "fatal",
        };
        self.troubles.count(side, name);
    }

    /// A connection was lost, or could not be opened.
    pub fn disconnected(&self, side: Side) {
        self.troubles.count(side, "connection");
    }

    /// A connection is being opened again, until what this gives is dropped.
    pub fn away(&self, side: Side) -> Away<'_> {
        let away = &self.troubles.of(side).away;
        away.fetch_add(1, Relaxed);
        Away(away)
    }

    /// Errors of a side so far, each class with its count.
    pub fn errors(&self, side: Side) -> impl Iterator<Item = (&'static str, u64)> {
        let errors = &self.troubles.of(side).errors;
        CLASSES
            .into_iter()
            .zip(errors.iter().map(|counter| counter.load(Relaxed)))
    }

    /// Connections of a side that are being opened again.
    #[must_use]
    pub fn connections_away(&self, side: Side) -> u64 {
        self.troubles.of(side).away.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_counter() {
        let stats = Stats::new(false);
        let classes = [
            Class::Moved,
            Class::Transient,
            Class::Payload,
            Class::Key,
            Class::Fatal,
        ];
        for class in classes {
            stats.erred(Side::Target, class);
        }
        stats.disconnected(Side::Target);
        assert!(stats.errors(Side::Target).all(|(_, count)| count == 1));
        assert!(stats.errors(Side::Source).all(|(_, count)| count == 0));
    }

    #[test]
    fn a_connection_is_away_until_it_is_back() {
        let stats = Stats::new(false);
        let away = stats.away(Side::Source);
        assert_eq!(stats.connections_away(Side::Source), 1);
        drop(away);
        assert_eq!(stats.connections_away(Side::Source), 0);
    }
}
