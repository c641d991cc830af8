//! How much is kept in flight on a connection: twice what the link and the server hold, by what was measured. Over a long way it
//! is three times that at first, for as long as more in flight brings more through, and begins wider.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Auto;

/// How long a measured rate is believed.
const MEMORY: Duration = Duration::from_secs(5);

/// What may be in flight before anything was measured: more than a link on one host holds, and less than half a
/// processor's own cache.
const START: usize = 400 * 1000;
/// The same where a server is far: each round trip is a long time, and a few of them fill a long link.
const START_FAR: usize = 4 * START;
/// From this round trip on a server is far.
pub const FAR_AWAY: Duration = Duration::from_millis(10);
/// A round trip of less than this is a near server's: rates that are measured there say more of the scheduler than of the link.
const NEAR: f64 = 1e-3;
/// Most that is in flight to a near server: what a link of a gigabyte a second holds, and what the processor's cache does.
const NEAR_MOST: usize = 800 * 1000;
/// What is in flight, of what link and server hold by the rate so far: while that still rises, and after.
const RISING: f64 = 3.0;
const SETTLED: f64 = 2.0;
/// The rate rises while a round trip brings so many times what the one before did.
const RISES: f64 = 1.25;
/// What a key counts for at least: its lookups and its share of a command cost the servers about as much as this many bytes.
const KEY: usize = 400;

/// What `keys` with `bytes` of values count for in a window.
#[must_use]
pub fn load(keys: usize, bytes: usize) -> usize {
    bytes.max(keys * KEY)
}

/// The limit of one connection, in load and in batches.
#[derive(Debug)]
pub struct Window {
    fixed: Option<usize>,
    least: usize,
    limit: usize,
    load: usize,
    delivered: u64,
    sent: VecDeque<Sent>,
    /// Believed until the connection ends: what is in flight queues up behind itself, and a newer round trip has that in it. So
    /// has the first one of large batches: a PING is shorter.
    shortest: Option<f64>,
    fastest: Best,
    /// Whether the rate still rises, by the best one when this round trip began and where what was delivered by then stood.
    rising: Option<Rise>,
}

/// A round trip while the rate rises.
#[derive(Debug, Clone, Copy, Default)]
struct Rise {
    /// What had been delivered, when it began, of what is to be answered in it.
    delivered: u64,
    /// The best rate then.
    rate: f64,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    load: usize,
    at: Instant,
    delivered: u64,
}

/// The largest value of the last while: of this period and of the one before.
#[derive(Debug, Default)]
struct Best {
    now: f64,
    before: f64,
    since: Option<Instant>,
}

impl Best {
    fn see(&mut self, value: f64, at: Instant) {
        if self.since.is_none_or(|since| at - since > MEMORY) {
            self.before = std::mem::take(&mut self.now);
            self.since = Some(at);
        }
        self.now = self.now.max(value);
    }

    fn best(&self) -> f64 {
        self.now.max(self.before)
    }
}

impl Window {
    /// A window of `pipeline` batches, or a measured one, with room for two batches of `keys` from the beginning.
    #[must_use]
    pub fn new(pipeline: Auto<usize>, keys: usize) -> Self {
        let least = START.max(2 * load(keys, 0));
        let fixed = match pipeline {
            Auto::Fixed(batches) => Some(batches.max(1)),
            Auto::Measured => None,
        };
        Self {
            fixed,
            least,
            limit: least,
            load: 0,
            delivered: 0,
            sent: VecDeque::new(),
            shortest: None,
            fastest: Best::default(),
            rising: Some(Rise::default()),
        }
    }

    /// Whether another batch may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self.fixed {
            Some(batches) => self.sent.len() < batches,
            None => self.load < self.limit || self.sent.is_empty(),
        }
    }

    /// Whether the way is long: what is sent a little later costs nothing while enough is in flight.
    #[must_use]
    pub fn is_far(&self) -> bool {
        self.shortest.is_some_and(|shortest| shortest >= NEAR)
    }

    /// A batch was sent that counts for `load`.
    pub fn send(&mut self, load: usize, at: Instant) {
        self.load += load;
        self.sent.push_back(Sent {
            load,
            at,
            delivered: self.delivered,
        });
    }

    /// The link's own round trip, as the opening of the connection has shown it.
    pub fn is_as_far_as(&mut self, round_trip: Option<Duration>) {
        let seconds = round_trip.map(|trip| trip.as_secs_f64().max(1e-6));
        self.shortest = seconds.or(self.shortest);
        self.limit = self.limit.max(self.least());
    }

    /// Whether the way is so long that what little was answered says nothing of what it holds.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        let far = |shortest| shortest >= FAR_AWAY.as_secs_f64();
        self.shortest.is_some_and(far) && self.delivered < START_FAR as u64
    }

    /// What may be in flight whatever was measured.
    fn least(&self) -> usize {
        if self.is_starting() {
            START_FAR.max(self.least)
        } else {
            self.least
        }
    }

    /// The oldest batch was answered. Its round trip comes back.
    pub fn answer(&mut self, at: Instant) -> Duration {
        let Some(sent) = self.sent.pop_front() else {
            return Duration::ZERO;
        };
        self.load -= sent.load;
        self.delivered += sent.load as u64;
        let took = at - sent.at;
        let seconds = took.as_secs_f64().max(1e-6);
        let shortest = self
            .shortest
            .map_or(seconds, |shortest| shortest.min(seconds));
        self.shortest = Some(shortest);
        self.fastest
            .see((self.delivered - sent.delivered) as f64 / seconds, at);
        self.rises(sent.delivered);
        let times = match self.rising {
            Some(_) if self.is_far() => RISING,
            _ => SETTLED,
        };
        let held = times * shortest * self.fastest.best();
        // Far under 2⁵²: the product of a rate and a time that were both measured here.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of bytes, positive"
        )]
        let load = held as usize;
        let most = if shortest < NEAR {
            NEAR_MOST
        } else {
            usize::MAX
        };
        self.limit = load.min(most).max(self.least());
        took
    }

    /// A batch was answered that was sent when so much had been delivered.
    fn rises(&mut self, delivered: u64) {
        let best = self.fastest.best();
        if let Some(rise) = self.rising
            && delivered >= rise.delivered
        {
            self.rising = (best >= RISES * rise.rate).then_some(Rise {
                delivered: self.delivered,
                rate: best,
            });
        }
    }

    /// The connection is gone, and all that was in flight on it.
    pub fn reset(&mut self) {
        self.sent.clear();
        self.load = 0;
        self.delivered = 0;
        self.shortest = None;
        self.fastest = Best::default();
        self.rising = Some(Rise::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers `rate` keys a second behind a link of `trip`: keys in flight once it has settled.
    fn settle(trip: Duration, rate: f64) -> usize {
        let start = Instant::now();
        let mut window = Window::new(Auto::Measured, 500);
        let mut now = start;
        let mut busy = start;
        let mut answers = VecDeque::new();
        for _ in 0..20_000 {
            if window.is_open() {
                window.send(load(500, 0), now);
                busy = busy.max(now + trip / 2) + Duration::from_secs_f64(500.0 / rate);
                answers.push_back(busy + trip / 2);
            } else {
                now = answers.pop_front().expect("in flight");
                window.answer(now);
            }
        }
        window.limit / KEY
    }

    #[tokio::test]
    async fn a_long_link_is_kept_full_and_a_short_one_is_not_flooded() {
        let long = settle(Duration::from_millis(100), 200_000.0);
        assert!(
            (20_000..60_000).contains(&long),
            "{long} keys for 20,000 on the way"
        );
        let short = settle(Duration::from_micros(100), 200_000.0);
        assert!(short <= NEAR_MOST / KEY, "{short}");
    }

    #[tokio::test]
    async fn a_long_link_fills_in_a_few_round_trips() {
        let mut window = Window::new(Auto::Measured, 500);
        let mut now = Instant::now();
        let mut trips = 0;
        loop {
            let mut sent = 0;
            while window.is_open() {
                window.send(load(500, 0), now);
                sent += 1;
            }
            if sent * 500 >= 40_000 {
                break;
            }
            trips += 1;
            now += Duration::from_millis(100);
            for _ in 0..sent {
                window.answer(now);
            }
        }
        assert!(trips <= 4, "{trips}");
    }

    #[tokio::test]
    async fn a_few_first_keys_do_not_close_the_window_of_a_long_link() {
        let mut window = Window::new(Auto::Measured, 500);
        let now = Instant::now();
        window.is_as_far_as(Some(Duration::from_millis(100)));
        window.send(load(2, 0), now);
        window.answer(now + Duration::from_millis(100));
        let mut sent = 0;
        while window.is_open() {
            window.send(load(500, 0), now);
            sent += 500;
        }
        assert_eq!(sent, START_FAR / KEY);
    }

    #[tokio::test]
    async fn a_near_server_is_not_flooded_however_fast_it_seems() {
        let mut window = Window::new(Auto::Measured, 500);
        window.is_as_far_as(Some(Duration::from_micros(40)));
        let mut now = Instant::now();
        // Batches of 200 KB whose answers come in bursts: the rate of a burst is many gigabytes a second.
        for burst in 1..200 {
            let mut sent = 0;
            while window.is_open() {
                window.send(200_000, now);
                sent += 1;
            }
            assert!(sent * 200_000 <= NEAR_MOST, "{sent} in burst {burst}");
            now += Duration::from_micros(if burst % 10 == 0 { 50 } else { 2_000 });
            for _ in 0..sent {
                window.answer(now);
            }
        }
    }

    #[test]
    fn long_values_count_for_their_bytes_and_short_ones_for_their_keys() {
        assert_eq!(load(2, 100_000), 100_000);
        assert_eq!(load(500, 50_000), 500 * KEY);
    }

    #[tokio::test]
    async fn a_fixed_pipeline_counts_batches() {
        let mut window = Window::new(Auto::Fixed(2), 2000);
        let now = Instant::now();
        window.send(1, now);
        assert!(window.is_open());
        window.send(1, now);
        assert!(!window.is_open());
        window.answer(now);
        assert!(window.is_open());
    }
}
