//! Whether the target reads the source's DUMP payloads: asked with one that has the source's version and no value.

use crate::server::make;

/// The type of a payload that no server knows: it is refused, but only after its version and checksum were looked at.
const NO_TYPE: u8 = 0xff;
/// A payload ends with its version and its checksum.
const FOOTER: usize = 10;

/// The RDB version of a payload.
pub(super) fn version(payload: &[u8]) -> Option<u16> {
    let at = payload.len().checked_sub(FOOTER)?;
    let bytes = payload.get(at..at + 2)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

/// The version that a server writes, for one that has no key to look at: `Redis 7.0.15`.
pub(super) fn version_of(product: &str) -> Option<u16> {
    match make(product)? {
        ("Redis", (5 | 6, _)) => Some(9),
        ("Redis", (7, 0)) => Some(10),
        ("Redis", (7, 2)) | ("Valkey", (7 | 8, _)) => Some(11),
        ("Redis", (7, 4) | (8, 0)) => Some(12),
        _ => None,
    }
}

/// A payload of this version that is whole and holds nothing: RESTORE writes nothing of it.
pub(super) fn hollow(version: u16) -> Vec<u8> {
    let mut payload = vec![NO_TYPE];
    payload.extend(version.to_le_bytes());
    let sum = crc64(&payload);
    payload.extend(sum.to_le_bytes());
    payload
}

/// What the answer to RESTORE of a hollow payload tells; `None`: nothing.
pub(super) fn reads(said: &str) -> Option<bool> {
    if said.contains("Bad data format") {
        return Some(true);
    }
    said.contains("payload version or checksum")
        .then_some(false)
}

/// Redis' CRC-64: Jones' polynomial, reflected, from 0.
fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u64::from(*byte), |sum, _| {
            (sum >> 1) ^ (POLYNOMIAL * (sum & 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_redis_own() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn a_hollow_payload_tells_its_version() {
        assert_eq!(version(&hollow(12)), Some(12));
        assert_eq!(version(b"short"), None);
    }

    #[test]
    fn servers_are_known_by_their_names() {
        for (product, version) in [
            ("Redis 6.0.16", Some(9)),
            ("Redis 7.0.15", Some(10)),
            ("Redis 8.0.2", Some(12)),
            ("Valkey 8.1.1", Some(11)),
            ("Valkey 9.1.0", None),
            ("version unknown", None),
        ] {
            assert_eq!(version_of(product), version, "{product}");
        }
    }
}
