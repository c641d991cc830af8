//! Ids of stream entries.

use std::fmt;

use crate::wire::Reply;

/// Milliseconds and a number in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    millis: u64,
    sequence: u64,
}

impl Id {
    /// An id as a server writes it.
    pub(super) fn of(reply: &Reply) -> Option<Self> {
        let Reply::Bytes(text) = reply else {
            return None;
        };
        let (millis, sequence) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            millis: millis.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    }

    /// The smallest id that is larger, if there is one.
    pub(super) fn next(self) -> Option<Self> {
        if let Some(sequence) = self.sequence.checked_add(1) {
            return Some(Self { sequence, ..self });
        }
        Some(Self {
            millis: self.millis.checked_add(1)?,
            sequence: 0,
        })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_over_the_end_of_a_millisecond() {
        let cases = [
            ("0-0", Some("0-1")),
            ("5-7", Some("5-8")),
            ("5-18446744073709551615", Some("6-0")),
            ("18446744073709551615-18446744073709551615", None),
        ];
        for (id, next) in cases {
            let id = Id::of(&Reply::Bytes(id.into())).unwrap();
            assert_eq!(id.next().map(|id| id.to_string()).as_deref(), next);
        }
        assert_eq!(Id::of(&Reply::Bytes("5".into())), None);
        assert_eq!(Id::of(&Reply::Nil), None);
    }
}
