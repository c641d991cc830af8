//! What an answer to a batch of reads says.

use crate::entry::Millis;
use crate::wire::Span;

/// What one answer says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing of a key yet.
    Part,
    /// A key's value.
    Found(Found),
    /// The source has no such key.
    Gone(usize),
    /// The key is there and no string.
    NoText(usize),
    /// The key is gone, or no string.
    NoTextOrGone(usize),
    /// Value and expiry are not of one instant.
    Torn(usize),
    /// This key's own error.
    Failed(usize, String),
    /// The key's type and memory.
    Inspected(usize, Option<u64>),
}

/// A value in the read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Place of the key in the batch.
    pub(crate) row: usize,
    /// Where the value lies.
    pub(crate) span: Span,
    /// A string and not a payload.
    pub(crate) text: bool,
    /// Expiry on the source's clock.
    pub(crate) expiry: Option<Millis>,
}

/// Whether INFO keyspace tells of keys with expiries in the database whose line begins so; no line is an empty database.
pub(crate) fn have_expiries(info: &[u8], database: &[u8]) -> bool {
    let Some(line) = info
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(database))
    else {
        return !info.starts_with(b"# Keyspace");
    };
    !line
        .split(|byte| matches!(byte, b',' | b'\r'))
        .any(|field| field == b"expires=0")
}

/// Whether INFO keyspace tells of keys in another database than the one whose line begins so.
pub(crate) fn have_other_databases(info: &[u8], database: &[u8]) -> bool {
    info.split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"db") && !line.starts_with(database))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_that_says_so_proves_that_no_key_has_an_expiry() {
        let info = b"# Keyspace\r\ndb0:keys=10,expires=0,avg_ttl=0,subexpiry=3\r\ndb1:keys=1,expires=1,avg_ttl=5\r\n";
        assert!(!have_expiries(info, b"db0:"));
        assert!(have_expiries(info, b"db1:"));
        assert!(!have_expiries(info, b"db7:"), "an empty database");
        assert!(have_expiries(b"db0:keys=10", b"db0:"));
        assert!(have_expiries(b"", b"db0:"), "an answer without the section");
        assert!(have_other_databases(info, b"db0:"));
        assert!(!have_other_databases(
            b"# Keyspace\r\ndb0:keys=10\r\n",
            b"db0:"
        ));
    }
}
