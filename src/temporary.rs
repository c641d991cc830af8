//! Names under which big values are built before they are put in place: no scan, no event and no comparison takes them.

use xxhash_rust::xxh3::xxh3_64;

use crate::slots::slot;

/// What stands between the tag and the digits of a temporary name.
const MIDDLE: &[u8] = b"}:riot-tmp:";
/// Digits at the end.
const DIGITS: usize = 16;

/// The temporary name of a key: always the same, of the key's own slot.
///
/// The tag is a number that has the slot: the key itself cannot be the tag of every key (`a}b`, `}x`, `{}x`).
#[must_use]
pub fn temporary(key: &[u8]) -> Vec<u8> {
    let wanted = slot(key);
    let tags = (0_u32..).map(|number| number.to_string());
    let mut tags = tags.filter(|tag| slot(tag.as_bytes()) == wanted);
    // Of the numbers up to 10⁶ each slot has several.
    let tag = tags.next().unwrap_or_default();
    format!("{{{tag}}}:riot-tmp:{:016x}", xxh3_64(key)).into_bytes()
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
            let name = temporary(key);
            assert_eq!(slot(&name), slot(key), "{}", key.escape_ascii());
            assert!(is_temporary(&name));
            assert_eq!(name, temporary(key));
        }
        assert_ne!(temporary(b"{tag}a"), temporary(b"{tag}b"));
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
