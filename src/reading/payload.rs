//! What a DUMP payload tells without being decoded: its type, and of a stream whether it has consumer groups.
//!
//! Layout: <https://github.com/redis/redis/blob/7.0/src/rdb.c>, `rdbSaveObject`, `OBJ_STREAM`.

use crate::stats::Kind;

/// Listpacks; with the first id, the largest deleted id and the count of all entries; with consumers' active times.
const LISTPACKS: u8 = 15;
const LISTPACKS_2: u8 = 19;
const LISTPACKS_3: u8 = 21;
/// With what Redis 8.2 and later keep beside.
const LISTPACKS_4: u8 = 26;

/// The type as TYPE names it; `None` where it is a module's, or not known.
pub(crate) fn kind(payload: &[u8]) -> Option<&'static [u8]> {
    Some(match payload.first()? {
        0 => b"string",
        1 | 10 | 14 | 18 => b"list",
        2 | 11 | 20 => b"set",
        3 | 5 | 12 | 17 => b"zset",
        4 | 9 | 13 | 16 | 22..=25 => b"hash",
        _ if is_stream(payload) => b"stream",
        _ => return None,
    })
}

impl Kind {
    /// The type that a payload holds, as it is counted.
    pub(crate) fn of_payload(payload: &[u8]) -> Self {
        kind(payload).map(Self::of).unwrap_or_default()
    }
}

/// Whether the payload holds expiries of a hash's fields: instants on the clock of the server that wrote it.
pub(crate) fn has_field_expiries(payload: &[u8]) -> bool {
    matches!(payload.first(), Some(22..=25))
}

/// Bytes of a payload, and of an element of it, from which on its type's own commands are cheaper, where DUMP compresses nothing.
const LONG: usize = 4000;
const LONG_ELEMENT: usize = 1000;
/// A value of so many bytes that is not compressed says that compression did not help; short ones are not compressed at all.
const TRIED: usize = 500;

/// Whether it is a hash or a list of few long values, the first of which did not compress: DUMP has tried that with all of them,
/// at some ten times what it costs to send them as they are.
pub(crate) fn is_long_and_plain(payload: &[u8]) -> bool {
    payload.len() >= LONG
        && elements_if_plain(payload)
            .is_some_and(|elements| elements <= payload.len() / LONG_ELEMENT)
}

/// Fields or elements that are not compressed, by the first of them.
fn elements_if_plain(payload: &[u8]) -> Option<usize> {
    let (kind, mut rest) = payload.split_first()?;
    let count = usize::try_from(number(&mut rest)?).ok()?;
    match *kind {
        // HASH: fields and values by themselves.
        4 => {
            skip_string(&mut rest)?;
            (plain(&mut rest)?.len() >= TRIED).then_some(count)
        }
        // LIST_QUICKLIST: ziplists, each with its count after its length and the place of its end.
        14 => {
            let ziplist = plain(&mut rest)?;
            count.checked_mul(u16::from_le_bytes(*ziplist.get(8..)?.first_chunk()?).into())
        }
        // LIST_QUICKLIST_2: single elements, or listpacks, each with its count after its length.
        18 => {
            let listpack = number(&mut rest)? == 2;
            let node = plain(&mut rest)?;
            if !listpack {
                return (node.len() >= TRIED).then_some(count);
            }
            count.checked_mul(u16::from_le_bytes(*node.get(4..)?.first_chunk()?).into())
        }
        _ => None,
    }
}

/// A string as it is; `None` where it is a number or compressed.
fn plain<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(string)
}

/// Elements of a payload, without its version and checksum, that stand in no order: of a set each member, of a hash each field with
/// its value, as they are encoded. `None` where their order is part of the value, or the layout is not known: nothing that was
/// told counts then.
pub(crate) fn each_unordered(body: &[u8], mut each: impl FnMut(&[u8])) -> Option<()> {
    let (kind, mut rest) = body.split_first()?;
    let strings = match *kind {
        // SET and HASH, as hash tables: small ones are packed, in the order in which they were built.
        2 => 1,
        4 => 2,
        _ => return None,
    };
    for _ in 0..number(&mut rest)? {
        let element = rest;
        for _ in 0..strings {
            skip_string(&mut rest)?;
        }
        each(element.get(..element.len() - rest.len())?);
    }
    rest.is_empty().then_some(())
}

/// Whether the payload holds a stream: its first byte is the type.
pub(crate) fn is_stream(payload: &[u8]) -> bool {
    matches!(
        payload.first(),
        Some(&(LISTPACKS | LISTPACKS_2 | LISTPACKS_3 | LISTPACKS_4))
    )
}

/// Whether the stream has groups; `None` where the layout is not known.
pub(crate) fn has_groups(payload: &[u8]) -> Option<bool> {
    let (kind, mut rest) = payload.split_first()?;
    let numbers = match *kind {
        LISTPACKS => 3,
        LISTPACKS_2 | LISTPACKS_3 => 8,
        _ => return None,
    };
    let nodes = number(&mut rest)?;
    for _ in 0..nodes {
        // The id of the first entry, and the listpack.
        skip_string(&mut rest)?;
        skip_string(&mut rest)?;
    }
    // The count of entries, and ids of two numbers each.
    for _ in 0..numbers {
        number(&mut rest)?;
    }
    Some(number(&mut rest)? > 0)
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

fn big_endian(rest: &mut &[u8], bytes: usize) -> Option<u64> {
    let (number, after) = rest.split_at_checked(bytes)?;
    *rest = after;
    Some(
        number
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

/// A length: 6, 14, 32 or 64 bits.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let first = byte(rest)?;
    match first >> 6 {
        0 => Some(u64::from(first & 0x3f)),
        1 => Some(u64::from(first & 0x3f) << 8 | u64::from(byte(rest)?)),
        2 if first == 0x80 => big_endian(rest, 4),
        2 if first == 0x81 => big_endian(rest, 8),
        _ => None,
    }
}

/// A string: as it is, as an integer, or compressed.
fn skip_string(rest: &mut &[u8]) -> Option<()> {
    let skipped = match *rest.first()? {
        0xc0 => 2,
        0xc1 => 3,
        0xc2 => 5,
        0xc3 => {
            byte(rest)?;
            let compressed = number(rest)?;
            number(rest)?;
            usize::try_from(compressed).ok()?
        }
        _ => usize::try_from(number(rest)?).ok()?,
    };
    *rest = rest.get(skipped..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `XADD s 1-1 f v` and `XGROUP CREATE s g $` on Redis 6.0 and 7.0.
    fn payload(kind: u8, numbers: usize, groups: u8) -> Vec<u8> {
        let mut payload = vec![kind, 1, 16];
        payload.extend([0; 16]);
        payload.extend([0xc3, 3, 20, 1, 2, 3]);
        payload.extend(std::iter::repeat_n(1, numbers));
        payload.push(groups);
        payload
    }

    #[test]
    fn groups_are_found_behind_the_listpacks() {
        for (kind, numbers) in [(LISTPACKS, 3), (LISTPACKS_2, 8), (LISTPACKS_3, 8)] {
            assert_eq!(has_groups(&payload(kind, numbers, 0)), Some(false));
            assert_eq!(has_groups(&payload(kind, numbers, 2)), Some(true));
        }
        assert_eq!(has_groups(&payload(LISTPACKS_4, 8, 0)), None);
        assert_eq!(has_groups(&[LISTPACKS, 0x40]), None);
        assert!(!is_stream(b"") && !is_stream(&[0]));
    }

    #[test]
    fn elements_that_stand_in_no_order_are_told_one_by_one() {
        let elements = |body: &[u8]| {
            let mut seen = Vec::new();
            each_unordered(body, |element| seen.push(element.to_vec())).map(|()| seen)
        };
        let set = b"\x02\x03\x01a\xc0\x07\xc3\x02\x40\x20zz";
        let members: [&[u8]; 3] = [b"\x01a", b"\xc0\x07", b"\xc3\x02\x40\x20zz"];
        assert_eq!(elements(set), Some(members.map(<[u8]>::to_vec).to_vec()));
        let hash = b"\x04\x02\x01f\x01v\x01g\xc1\x01\x02";
        let fields: [&[u8]; 2] = [b"\x01f\x01v", b"\x01g\xc1\x01\x02"];
        assert_eq!(elements(hash), Some(fields.map(<[u8]>::to_vec).to_vec()));
        for odd in [
            b"".as_slice(),
            b"\x02",
            b"\x02\x02\x01a",
            b"\x02\x01\x01ab",
            b"\x02\x01\x05a",
            b"\x0b\x01\x01a",
        ] {
            assert_eq!(elements(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn hashes_whose_fields_expire_are_told_from_others() {
        // HASH_ZIPLIST, HASH_LISTPACK; HASH_METADATA, HASH_LISTPACK_EX of Redis 7.4.
        for (kind, expires) in [(13, false), (16, false), (24, true), (25, true)] {
            assert_eq!(has_field_expiries(&[kind, 0]), expires, "{kind}");
            assert_eq!(super::kind(&[kind, 0]), Some(b"hash".as_slice()));
        }
        assert!(!has_field_expiries(b""));
    }
}
