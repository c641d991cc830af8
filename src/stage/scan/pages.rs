//! How many keys a SCAN is asked for: over a long way more, while the lanes wait for keys.
//!
//! The next page is asked for with the cursor that the last one has brought, so of one scan no more than one is under way: a way of
//! 100 ms lets ten pages a second through. A page is also what everybody else at the source waits for, so it grows only as
//! far as the lanes need it, and shrinks again when they do not. Of several scans under way, the pages are as long as it takes for
//! the lanes to have keys all but just: what is named long before it is read, the source has to fetch from memory twice.

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
/// Of the time of a round of several pages, what is waited for the source, in percent: they grow over, and shrink under this. What
/// lies between SCAN and the reading of a key is what the source has to keep in its processor's cache for it.
const HUNGRY: u32 = 80;
const FED: u32 = 60;

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
    /// Where several are under way at once.
    round: Option<Round>,
}

/// The pages that are under way together.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    of: u64,
    pages: u64,
    for_source: Duration,
    for_room: Duration,
}

impl Round {
    /// One more page; after the last of a round, how much of its time was waited for the source, in percent.
    fn took(&mut self, for_source: Duration, for_room: Duration) -> Option<u32> {
        self.pages += 1;
        self.for_source += for_source;
        self.for_room += for_room;
        if self.pages < self.of {
            return None;
        }
        let (waited, all) = (self.for_source, self.for_source + self.for_room);
        *self = Self {
            of: self.of,
            ..Self::default()
        };
        let percent = 100 * waited.as_micros() / all.as_micros().max(1);
        u32::try_from(percent).ok()
    }
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
                round: None,
            };
        }
        if parts > 1 {
            let most = (needed(round_trip) / parts).clamp(LEAST, MOST_OF_SEVERAL);
            return Self {
                now: (most / 4 * 3).max(LEAST),
                least: LEAST,
                most,
                round: Some(Round {
                    of: parts,
                    ..Round::default()
                }),
            };
        }
        Self {
            now: LEAST,
            least: LEAST,
            most: needed(round_trip).clamp(LEAST, MOST),
            round: None,
        }
    }

    /// Keys of the next page.
    pub(super) fn count(self) -> u64 {
        self.now
    }

    /// A page of so many bytes was waited for so long, and then its keys for room in the lanes.
    pub(super) fn took(&mut self, bytes: usize, for_source: Duration, for_room: Duration) {
        if let Some(round) = &mut self.round {
            let half = (self.most / 2).clamp(self.least, self.now);
            match round.took(for_source, for_room) {
                _ if bytes > 2 * ROOMY => self.now = (self.now / 2).max(self.least),
                Some(HUNGRY..) if bytes < ROOMY => self.now = (self.now * 5 / 4).min(self.most),
                Some(0..FED) => self.now = (self.now * 15 / 16).max(half),
                _ => {}
            }
        } else if for_room < for_source / 4 && bytes < ROOMY {
            self.now = (self.now * 2).min(self.most);
        } else if for_room > for_source || bytes > 2 * ROOMY {
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
    fn several_pages_under_way_name_no_more_than_the_lanes_read() {
        let mut pages = Pages::new(Auto::Measured, FAR, 16);
        let round = |pages: &mut Pages, for_source, for_room| {
            for _ in 0..16 {
                pages.took(1000, millis(for_source), millis(for_room));
            }
            pages.count()
        };
        let first = pages.count();
        assert!(round(&mut pages, 10, 1) > first);
        for _ in 0..10 {
            round(&mut pages, 10, 0);
        }
        let most = pages.count();
        assert_eq!(round(&mut pages, 7, 3), most);
        assert!(round(&mut pages, 1, 10) < most);
        for _ in 0..50 {
            round(&mut pages, 1, 10);
        }
        assert_eq!(pages.count(), most / 2);
        pages.took(3 << 20, millis(1), millis(1));
        assert!(pages.count() < most / 2);
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
