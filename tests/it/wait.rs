//! Waiting for something to become true: polled under a deadline, never a fixed sleep.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long anything that ought to happen soon may take: long enough for a busy machine of two cores.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Calls `look` until it gives something; panics with `what` when `SOON` has passed.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(SOON, what, look)
}

/// Calls `look` until it gives something; panics with `what` when `limit` has passed.
pub(crate) fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            started.elapsed() < limit,
            "waited {limit:?} in vain: {what}"
        );
        pause(Duration::from_millis(2));
    }
}

/// The pause between two looks.
#[expect(
    clippy::disallowed_methods,
    reason = "no runtime here: a thread that polls may sleep"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Tells threads of the same scope to stop when it is dropped: also where the test fails, which would wait for them else.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
