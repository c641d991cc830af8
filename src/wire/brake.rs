//! `--source-cpu`: what is sent to a server is spread over time, so that its answers cost it no more than a share of one core.
//!
//! What a byte on the wire costs the server is measured beside (`server::share`); commands wait here until those before
//! them are paid for. Small pieces at a time: whoever else asks the server waits for one of them at most.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Most bytes of commands that are sent at once.
pub(crate) const PIECE: usize = 4096;
/// What was not used is saved for so long: no burst follows a pause.
const SAVED: Duration = Duration::from_millis(2);
/// How long a closed brake is waited for before it is looked at again.
const CLOSED: Duration = Duration::from_millis(2);

/// The brake of one server, for all connections to it.
#[derive(Debug)]
pub struct Brake {
    share: f64,
    /// Most of a debt that is kept: an answer has to come before the command's timeout.
    longest: Duration,
    state: Mutex<State>,
    held: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Seconds of one core that a byte costs; `None` until it was measured.
    cost: Option<f64>,
    /// From when on more may be sent.
    free: Instant,
    moved: u64,
    /// What the server spent on this run, and in how long.
    spent: (Duration, Duration),
}

/// What a byte is taken for until it was measured: more than any command costs, so that a run begins slowly.
const COST_AT_FIRST: f64 = 50e-9;

impl Brake {
    /// A brake that lets a server spend `share` of a core, from 0 to 1. `timeout` is that of a command.
    #[must_use]
    pub fn new(share: f64, timeout: Duration) -> Self {
        Self {
            share,
            longest: timeout / 4,
            state: Mutex::new(State {
                cost: None,
                free: Instant::now(),
                moved: 0,
                spent: (Duration::ZERO, Duration::ZERO),
            }),
            held: AtomicBool::new(false),
        }
    }

    /// The same for another server.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::new(self.share, self.longest * 4)
    }

    /// The share of a core, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Closes it, so that what others cost the server can be measured, or opens it.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// Until when nothing may be sent; `None`: now.
    pub(crate) fn closed_until(&self, now: Instant) -> Option<Instant> {
        if self.held.load(Ordering::Relaxed) {
            return Some(now + CLOSED);
        }
        let free = self.state().free;
        (free > now).then_some(free)
    }

    /// So many bytes went to the server, or came from it.
    pub(crate) fn moved(&self, bytes: usize, now: Instant) {
        let mut state = self.state();
        state.moved += bytes as u64;
        let cost = state.cost.unwrap_or(COST_AT_FIRST) * bytes as f64 / self.share;
        let free = state.free.max(now.checked_sub(SAVED).unwrap_or(now));
        state.free = (free + Duration::from_secs_f64(cost)).min(now + self.longest);
    }

    /// Bytes that were moved so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.state().moved
    }

    /// In `time` the server was busy with `bytes` of this run for `share` of a core.
    pub fn learn(&self, share: f64, bytes: u64, time: Duration) {
        /// How much the last look counts against those before.
        const NEW: f64 = 0.3;
        let mut state = self.state();
        state.spent.0 += time.mul_f64(share);
        state.spent.1 += time;
        if bytes > 0 {
            let seen = share * time.as_secs_f64() / bytes as f64;
            let before = state.cost.unwrap_or(seen);
            // What seems to cost nothing was too little to be measured.
            let cost = NEW * seen + (1.0 - NEW) * before;
            state.cost = Some(cost.max(before / 2.0).max(1e-12));
        }
    }

    /// The share of a core that the server has spent on this run, where that was measured.
    #[must_use]
    pub fn spent(&self) -> Option<f64> {
        let (spent, time) = self.state().spent;
        (!time.is_zero()).then(|| spent.as_secs_f64() / time.as_secs_f64())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends pieces to a server to which a byte costs `cost` seconds, for `time` from `start` on: the share that it was busy.
    fn drive(brake: &Brake, cost: f64, start: Instant, time: Duration) -> f64 {
        let mut now = start;
        let mut sent = 0_u64;
        let mut before = 0;
        while now - start < time {
            if let Some(free) = brake.closed_until(now) {
                now = free;
            } else {
                brake.moved(PIECE, now);
                sent += PIECE as u64;
            }
            if sent - before > 100 * PIECE as u64 {
                let bytes = sent - before;
                let time = Duration::from_millis(100);
                brake.learn(cost * bytes as f64 / time.as_secs_f64(), bytes, time);
                before = sent;
            }
        }
        cost * sent as f64 / (now - start).as_secs_f64()
    }

    #[tokio::test]
    async fn a_server_is_busy_for_its_share_whatever_a_byte_costs() {
        for cost in [1e-9, 10e-9, 100e-9] {
            let brake = Brake::new(0.3, Duration::from_secs(60));
            brake.hold(false);
            let (start, warm) = (Instant::now(), Duration::from_secs(5));
            drive(&brake, cost, start, warm);
            let share = drive(&brake, cost, start + warm, Duration::from_secs(20));
            assert!((0.25..0.33).contains(&share), "{share} at {cost}");
        }
    }

    #[tokio::test]
    async fn a_closed_brake_lets_nothing_through_and_a_debt_is_bounded() {
        let brake = Brake::new(0.01, Duration::from_secs(4));
        let now = Instant::now();
        brake.hold(true);
        assert!(brake.closed_until(now).is_some());
        brake.hold(false);
        assert_eq!(brake.closed_until(now), None);
        brake.moved(1 << 30, now);
        let free = brake.closed_until(now).expect("a debt");
        assert!(free - now <= Duration::from_secs(1));
    }
}
