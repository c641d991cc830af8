//! Changed keys that were taken out of the set and have no fate yet, by the time of their events.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;
use std::time::Duration;

use super::lock;
use crate::entry::Mark;

/// Milliseconds of events that are counted as one.
const STEP: u64 = 10;

/// Keys under way in the lanes: how many for each step of time. What a scan gave is not counted.
#[derive(Debug, Default)]
pub struct Flight(Mutex<BTreeMap<u64, u64>>);

impl Flight {
    /// Keys of these marks go into the lanes.
    pub fn took(&self, marks: impl Iterator<Item = Mark>) {
        let mut steps = lock(&self.0);
        each(marks, |step, keys| *steps.entry(step).or_default() += keys);
    }

    /// Keys of these marks have their fate.
    pub fn ended(&self, marks: impl Iterator<Item = Mark>) {
        let mut steps = lock(&self.0);
        each(marks, |step, keys| {
            if let Entry::Occupied(mut left) = steps.entry(step) {
                *left.get_mut() = left.get().saturating_sub(keys);
                if *left.get() == 0 {
                    left.remove();
                }
            }
        });
    }

    /// When the first of them changed, since the run began, to a hundredth of a second.
    #[must_use]
    pub fn oldest(&self) -> Option<Duration> {
        let steps = lock(&self.0);
        let (step, _) = steps.first_key_value()?;
        Some(Duration::from_millis(step * STEP))
    }
}

/// Steps with their keys: neighbours are mostly of one.
fn each(marks: impl Iterator<Item = Mark>, mut act: impl FnMut(u64, u64)) {
    let mut run = None;
    for step in marks.filter_map(step) {
        match &mut run {
            Some((known, keys)) if *known == step => *keys += 1,
            _ => {
                if let Some((step, keys)) = run.replace((step, 1)) {
                    act(step, keys);
                }
            }
        }
    }
    if let Some((step, keys)) = run {
        act(step, keys);
    }
}

/// The step of an event; keys that no event named have none, nor has one whose time is not known.
fn step(mark: Mark) -> Option<u64> {
    let known = mark.is_event() && !mark.at().is_zero();
    known.then(|| u64::try_from(mark.at().as_millis()).unwrap_or(u64::MAX) / STEP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Cause;

    #[test]
    fn the_oldest_is_the_first_that_has_no_fate() {
        let flight = Flight::default();
        let event = |millis| Mark::new(Cause::Event, Duration::from_millis(millis));
        assert_eq!(flight.oldest(), None);
        flight.took([event(105), event(107), event(230), Mark::default()].into_iter());
        flight.ended([event(230), event(105), Mark::default()].into_iter());
        assert_eq!(flight.oldest(), Some(Duration::from_millis(100)));
        flight.ended([event(107), event(5000)].into_iter());
        assert_eq!(flight.oldest(), None);
    }

    #[test]
    fn what_no_event_named_is_not_counted() {
        let flight = Flight::default();
        let turn = Mark::new(Cause::Turn, Duration::from_secs(1));
        let timeless = Mark::new(Cause::Event, Duration::ZERO);
        flight.took([turn, timeless].into_iter());
        assert_eq!(flight.oldest(), None);
    }
}
