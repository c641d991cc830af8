//! How many keys a SCAN is asked for: over a long way more, while the lanes wait for keys.
//!
//! The next page is asked for with the cursor that the last one has brought, so of one scan no more than one is under way: a way of
//! 100 ms lets ten pages a second through. A page is also what everybody else at the source waits for, so it grows only as
//! far as the lanes need it, and shrinks again when they do not.

use std::time::Duration;

use crate::config::Auto;

/// Keys of a page, at least: more are no faster near the source.
const LEAST: u64 = 1000;
/// And at most: a server is busy with them for some 15 ms. Of several under way, each is shorter.
const MOST: u64 = 20_000;
const MOST_OF_SEVERAL: u64 = 5000;
/// A page with more bytes than this does not grow, and one with twice as many shrinks.
const ROOMY: usize = 1 << 20;
/// Keys a second that the pages are to let through.
const WANTED: f64 = 600_000.0;

/// Keys that are to be under way over a way of this length.
pub(super) fn needed(round_trip: Option<Duration>) -> u64 {
    let way = round_trip.unwrap_or_default().as_secs_f64();
    // Under a way of a minute: far from what a number of keys can be.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of keys, positive"
    )]
    let keys = (way.min(60.0) * WANTED) as u64;
    keys
}

/// COUNT of a scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages {
    now: u64,
    least: u64,
    most: u64,
    /// One of several that are under way, and no longer than it is to be: it stays so while the lanes are busy.
    short: bool,
}

impl Pages {
    /// As told, or fitting a way of this length, where so many are under way at once.
    pub(super) fn new(told: Auto<u32>, round_trip: Option<Duration>, parts: u64) -> Self {
        if let Auto::Fixed(told) = told {
            let told = u64::from(told);
            return Self {
                now: told,
                least: told,
                most: told,
                short: false,
            };
        }
        let short = parts > 1;
        let most = if short { MOST_OF_SEVERAL } else { MOST };
        let most = (needed(round_trip) / parts).clamp(LEAST, most);
        Self {
            now: if short { most } else { LEAST },
            least: LEAST,
            most,
            short,
        }
    }

    /// Keys of the next page.
    pub(super) fn count(self) -> u64 {
        self.now
    }

    /// A page of so many bytes was waited for so long, and then its keys for room in the lanes.
    pub(super) fn took(&mut self, bytes: usize, for_source: Duration, for_room: Duration) {
        if (self.short || for_room < for_source / 4) && bytes < ROOMY {
            self.now = (self.now * 2).min(self.most);
        } else if (!self.short && for_room > for_source) || bytes > 2 * ROOMY {
            self.now = (self.now / 2).max(self.least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Option<Duration> = Some(Duration::from_millis(100));

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn pages_of_a_far_source_grow_while_the_lanes_wait_and_shrink_when_they_do_not() {
        let mut pages = Pages::new(Auto::Measured, FAR, 1);
        assert_eq!(pages.count(), LEAST);
        for _ in 0..10 {
            pages.took(1000, millis(100), millis(0));
        }
        assert_eq!(pages.count(), MOST);
        pages.took(1000, millis(100), millis(50));
        assert_eq!(pages.count(), MOST);
        pages.took(3 << 20, millis(100), millis(0));
        assert_eq!(pages.count(), MOST / 2);
        for _ in 0..10 {
            pages.took(1000, millis(10), millis(200));
        }
        assert_eq!(pages.count(), LEAST);
    }

    #[test]
    fn pages_of_a_near_source_and_those_that_were_told_stay_as_they_are() {
        let near = Pages::new(Auto::Measured, Some(Duration::from_micros(300)), 1);
        let told = Pages::new(Auto::Fixed(70_000), FAR, 1);
        for (mut pages, count) in [(near, LEAST), (told, 70_000)] {
            pages.took(1000, millis(100), millis(0));
            assert_eq!(pages.count(), count);
            pages.took(1000, millis(0), millis(100));
            assert_eq!(pages.count(), count);
        }
    }
}
