//! What a PTTL counts from: the source's TIME, before 7.0.
//!
//! A PTTL is what is left of a life when it is read, and TIME of the same transaction is read a little earlier. What the source's
//! machine does between the two would shorten the life, so TIME is read again behind the PTTLs. Without MULTI it is read behind
//! all else, and does not count for long values that have gone on by then.

use super::batch::{Batch, Column};
use crate::entry::Millis;

/// The PTTLs of a batch take the source less than this, in milliseconds, unless something holds it up.
const LATE: Millis = 20;
/// The same where other clients' commands, and the values, come in between.
const LATE_APART: Millis = 100;
/// A batch whose PTTLs took longer is read again this often: a source can be that slow.
const AGAIN: u8 = 2;

impl Batch {
    /// Takes the seconds (row 1) or the microseconds (row 2) of TIME.
    pub(super) fn tell_time(&mut self, column: Column, row: usize, digits: &[u8]) {
        let number: Millis = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let is_behind = column == Column::ClockBehind;
        let clock = if is_behind {
            &mut self.clock_behind
        } else {
            &mut self.clock
        };
        if row == 1 {
            *clock = number * 1000;
        } else {
            *clock += number / 1000;
            if is_behind {
                self.void_for_time();
            }
        }
    }

    /// Nothing of its answers counts where its expiries are not exact.
    fn void_for_time(&mut self) {
        let late = if self.asks_again { LATE_APART } else { LATE };
        let expire = self.expiries.iter().any(|expiry| *expiry >= 0);
        if expire && self.clock_behind - self.clock > late && self.late < AGAIN {
            self.late += 1;
            self.void = true;
        }
    }
}
