//! Bytes, numbers and times as people read them.

use std::fmt::Write as _;
use std::time::Duration;

/// The bytes with all that is not printable ASCII as `\xNN`.
///
/// A backslash that stands before `xNN` is written so too: no two keys look the same.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        let plain = matches!(byte, b' '..=b'~') && !(*byte == b'\\' && reads_as_escape(after));
        if plain {
            text.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
        rest = after;
    }
    text
}

fn reads_as_escape(after_backslash: &[u8]) -> bool {
    matches!(after_backslash, [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// `1,000,214`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes with a unit, 1 KB being 1,024: `512 B`, `1.5 KB`, `45 MB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut unit = "B";
    for larger in ["KB", "MB", "GB", "TB", "PB"] {
        // What would round to 1,024 of this unit is one of the next.
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{} {unit}", two_digits(value))
}

/// A count in few characters, for rates: `950`, `1.5k`, `312k`, `1.2M`.
#[must_use]
pub fn short_count(number: f64) -> String {
    let mut value = number.max(0.0);
    let mut unit = "";
    for larger in ["k", "M", "G"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    if unit.is_empty() {
        format!("{value:.0}")
    } else {
        format!("{}{unit}", two_digits(value))
    }
}

/// At least two digits where they say something: `1.5`, `1`, `45`.
fn two_digits(value: f64) -> String {
    if value >= 9.95 {
        return format!("{value:.0}");
    }
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A length of time: `3.2 s`, `41 s`, `2 min 5 s`, `1 h 3 min`.
#[must_use]
pub fn elapsed(time: Duration) -> String {
    if time.as_secs_f64() < 9.95 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        whole_seconds(time)
    }
}

/// A length of time without fractions, for time left: `1 s`, `2 min 5 s`, `1 h 3 min`, `2 d 4 h`.
#[must_use]
pub fn whole_seconds(time: Duration) -> String {
    let seconds = time.saturating_add(Duration::from_millis(500)).as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Milliseconds as few digits as tell something: `0.04 ms`, `0.3 ms`, `78 ms`.
#[must_use]
pub fn milliseconds(time: Duration) -> String {
    let value = time.as_secs_f64() * 1000.0;
    if value < 0.095 {
        format!("{value:.2} ms")
    } else if value < 9.95 {
        format!("{value:.1} ms")
    } else {
        format!("{value:.0} ms")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_outside_printable_ascii_are_escaped() {
        assert_eq!(printable(b"user:1 \"x\""), "user:1 \"x\"");
        assert_eq!(printable(b"\x00\r\n\xff\x7f\\"), r"\x00\x0d\x0a\xff\x7f\");
        assert_eq!(printable(br"a\b\x00\xg0"), r"a\b\x5cx00\xg0");
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        let shown = [0, 999, 1000, 1_000_214, u64::MAX].map(thousands);
        assert_eq!(
            shown,
            [
                "0",
                "999",
                "1,000",
                "1,000,214",
                "18,446,744,073,709,551,615"
            ]
        );
    }

    #[test]
    fn bytes_have_a_unit_of_1024() {
        let shown = [
            0,
            1023,
            1024,
            1536,
            10_240,
            45 << 20,
            (1 << 30) - 1,
            1 << 30,
        ]
        .map(bytes);
        assert_eq!(
            shown,
            [
                "0 B", "1023 B", "1 KB", "1.5 KB", "10 KB", "45 MB", "1 GB", "1 GB"
            ]
        );
        assert_eq!(bytes(u64::MAX), "16384 PB");
    }

    #[test]
    fn rates_are_short() {
        let shown = [0.0, 0.4, 950.0, 999.6, 1500.0, 312_400.0, 1_234_567.0, -1.0].map(short_count);
        assert_eq!(shown, ["0", "0", "950", "1k", "1.5k", "312k", "1.2M", "0"]);
    }

    #[test]
    fn times_have_one_or_two_units() {
        let shown =
            [0.04, 3.21, 9.96, 41.4, 125.0, 3_780.0].map(|s| elapsed(Duration::from_secs_f64(s)));
        assert_eq!(
            shown,
            ["0.0 s", "3.2 s", "10 s", "41 s", "2 min 5 s", "1 h 3 min"]
        );
        assert_eq!(whole_seconds(Duration::from_secs(187_200)), "2 d 4 h");
        let shown = [40, 300, 9_960, 78_400].map(|us| milliseconds(Duration::from_micros(us)));
        assert_eq!(shown, ["0.04 ms", "0.3 ms", "10 ms", "78 ms"]);
    }

    proptest! {
        #[test]
        fn what_is_printable_is_one_line_and_can_be_read_back(
            key in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"\\x0f"[..])], 0..20),
        ) {
            let text = printable(&key);
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let mut back = Vec::new();
            let mut rest = text.as_bytes();
            while let Some((byte, tail)) = rest.split_first() {
                if *byte == b'\\' && reads_as_escape(tail) {
                    back.push(u8::from_str_radix(std::str::from_utf8(&tail[1..3]).unwrap(), 16).unwrap());
                    rest = &tail[3..];
                } else {
                    back.push(*byte);
                    rest = tail;
                }
            }
            prop_assert_eq!(back, key);
        }
    }
}
