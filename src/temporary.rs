//! Names under which big values are built before they are put in place: no scan, no event and no comparison takes them.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::slots::slot;

/// What stands between the tag and the digits of a temporary name.
const MIDDLE: &[u8] = b"}:riot-tmp:";
/// Digits at the end.
const DIGITS: usize = 16;

/// The temporary name of a key for one try, of the key's own slot.
#[must_use]
pub fn temporary(key: &[u8], token: u64) -> Vec<u8> {
    name(key, xxh3_64_with_seed(key, token))
}

/// The name beside it that tells which try was the last: always the same for a key.
#[must_use]
pub fn owner(key: &[u8]) -> Vec<u8> {
    name(key, xxh3_64(key))
}

/// The tag is a number that has the slot: the key itself cannot be the tag of every key (`a}b`, `}x`, `{}x`).
fn name(key: &[u8], digits: u64) -> Vec<u8> {
    let wanted = slot(key);
    let tags = (0_u32..).map(|number| number.to_string());
    let mut tags = tags.filter(|tag| slot(tag.as_bytes()) == wanted);
    // Of the numbers up to 10⁶ each slot has several.
    let tag = tags.next().unwrap_or_default();
    format!("{{{tag}}}:riot-tmp:{digits:016x}").into_bytes()
}

/// Whether a key's name is a temporary one.
#[must_use]
pub fn is_temporary(name: &[u8]) -> bool {
    if name.first() != Some(&b'{') {
        return false;
    }
    let Some(digits) = name.len().checked_sub(DIGITS) else {
        return false;
    };
    let (head, digits) = name.split_at(digits);
    head.ends_with(MIDDLE)
        && digits
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_name_has_the_slot_of_its_key() {
        for key in [
            b"key".as_slice(),
            b"",
            b"a}b",
            b"}x",
            b"{}x",
            b"{tag}x",
            b"a{b",
            b"{user:1}:\xff\0",
        ] {
            for name in [temporary(key, 1), temporary(key, 2), owner(key)] {
                assert_eq!(slot(&name), slot(key), "{}", key.escape_ascii());
                assert!(is_temporary(&name));
            }
            assert_ne!(temporary(key, 1), temporary(key, 2));
            assert_ne!(temporary(key, 1), owner(key));
        }
        assert_ne!(temporary(b"{tag}a", 1), temporary(b"{tag}b", 1));
    }

    #[test]
    fn no_other_name_is_temporary() {
        for name in [
            b"".as_slice(),
            b"{1}:riot-tmp:",
            b"1}:riot-tmp:0123456789abcdef",
            b"{1}:riot-tmp:0123456789abcdeg",
            b"{1}:riot-tmp:0123456789abcdef0",
            b"{1}:other:0123456789abcdef",
        ] {
            assert!(!is_temporary(name), "{}", name.escape_ascii());
        }
        assert!(is_temporary(b"{1}:riot-tmp:0123456789abcdef"));
    }
}
