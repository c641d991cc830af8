//! The servers' clocks, as offsets from this machine's: an expiry is an instant on the source's clock.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::config::Side;
use crate::entry::Millis;

/// Clocks this close count as one.
pub const SAME: Millis = 100;

/// A server's clock minus this machine's, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// Taken at the middle of a round trip.
    pub millis: Millis,
    /// Half of that round trip: the server may have read its clock at any moment of it.
    pub doubt: Millis,
}

impl Offset {
    /// How far this clock is ahead of another, where the two differ for certain.
    #[must_use]
    pub fn ahead_of(self, other: Self) -> Millis {
        let ahead = self.millis - other.millis;
        if ahead.abs() > SAME + self.doubt + other.doubt {
            ahead
        } else {
            0
        }
    }
}

/// What is known of both servers' clocks.
#[derive(Debug, Default)]
pub struct Clocks {
    offsets: Mutex<[Option<Offset>; 2]>,
}

/// This machine's clock, as it was when it was first asked, and the time since: a step of it is none here.
#[must_use]
pub fn now() -> Millis {
    static BEGAN: OnceLock<(Duration, Instant)> = OnceLock::new();
    let (began, at) = BEGAN.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        (since.unwrap_or_default(), Instant::now())
    });
    let since = *began + at.elapsed();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

impl Clocks {
    /// What was measured of a side.
    pub fn set(&self, side: Side, offset: Offset) {
        let mut offsets = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        let [source, target] = &mut *offsets;
        *match side {
            Side::Source => source,
            Side::Target => target,
        } = Some(offset);
    }

    fn offset(&self, side: Side) -> Option<Offset> {
        let [source, target] = *self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        match side {
            Side::Source => source,
            Side::Target => target,
        }
    }

    /// Now on a side's clock, if it is known.
    #[must_use]
    pub fn now(&self, side: Side) -> Option<Millis> {
        self.offset(side).map(|offset| now() + offset.millis)
    }

    /// The earliest that it can be now on a side's clock, if it is known: what is past then is past for certain.
    #[must_use]
    pub fn earliest(&self, side: Side) -> Option<Millis> {
        self.offset(side)
            .map(|offset| now() + offset.millis - offset.doubt)
    }

    /// What is added to an expiry on its way: the target's clock minus the source's, where they differ for certain.
    #[must_use]
    pub fn shift(&self) -> Millis {
        let (Some(source), Some(target)) = (self.offset(Side::Source), self.offset(Side::Target))
        else {
            return 0;
        };
        target.ahead_of(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(millis: Millis, doubt: Millis) -> Offset {
        Offset { millis, doubt }
    }

    #[test]
    fn expiries_shift_only_between_clocks_that_differ() {
        let clocks = Clocks::default();
        assert_eq!((clocks.shift(), clocks.now(Side::Source)), (0, None));
        clocks.set(Side::Source, offset(-40, 0));
        clocks.set(Side::Target, offset(50, 0));
        assert_eq!(clocks.shift(), 0);
        clocks.set(Side::Target, offset(3_600_000, 0));
        assert_eq!(clocks.shift(), 3_600_040);
    }

    #[test]
    fn what_may_be_the_way_is_no_difference() {
        let clocks = Clocks::default();
        clocks.set(Side::Source, offset(0, 1));
        clocks.set(Side::Target, offset(-200, 200));
        assert_eq!(clocks.shift(), 0);
        clocks.set(Side::Target, offset(-400, 200));
        assert_eq!(clocks.shift(), -400);
    }
}
