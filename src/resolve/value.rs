//! Single values: durations, sizes, numbers, names of things.

use std::time::Duration;

use super::UsageError;
use crate::config::Auto;

/// What a bare number means where a duration is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bare {
    /// Milliseconds: everywhere but one place.
    Milliseconds,
    /// Seconds: bare `-o`/`--timeout`, as in riot-redis 2.
    Seconds,
}

/// A duration of `us`, `ms`, `s`, `m`, `h` or `d`, fractions allowed.
pub(super) fn duration(option: &str, text: &str, bare: Bare) -> Result<Duration, UsageError> {
    let wrong = || {
        UsageError::new(
            option,
            format!("'{text}' is no duration; write 500ms, 5s, 2m, 1h or 1d"),
        )
    };
    let (number, unit) = number_and_unit(text);
    let micros: u64 = match unit.as_str() {
        "" if bare == Bare::Seconds => 1_000_000,
        "" | "ms" => 1_000,
        "us" => 1,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return Err(wrong()),
    };
    scale(number, micros)
        .map(Duration::from_micros)
        .ok_or_else(wrong)
}

/// A duration that is not zero.
pub(super) fn positive_duration(
    option: &str,
    text: &str,
    bare: Bare,
) -> Result<Duration, UsageError> {
    let length = duration(option, text, bare)?;
    if length.is_zero() {
        Err(UsageError::new(option, "must be longer than 0"))
    } else {
        Ok(length)
    }
}

/// Bytes; a bare number counts `bare` bytes each, 1 KB is 1,024.
pub(super) fn size(option: &str, text: &str, bare: u64) -> Result<u64, UsageError> {
    let wrong = || {
        UsageError::new(
            option,
            format!("'{text}' is no size; write 512KB, 5MB or 1GB"),
        )
    };
    let (number, unit) = number_and_unit(text);
    let bytes: u64 = match unit.as_str() {
        "" => bare,
        "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    scale(number, bytes).ok_or_else(wrong)
}

/// A whole number within bounds.
pub(super) fn whole(option: &str, text: &str, least: u64, most: u64) -> Result<u64, UsageError> {
    let text = text.trim();
    match text.parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Ok(_) if most == u64::MAX => {
            Err(UsageError::new(option, format!("must be at least {least}")))
        }
        Ok(_) => Err(UsageError::new(
            option,
            format!("must be from {least} to {most}"),
        )),
        Err(_) => Err(UsageError::new(
            option,
            format!("'{text}' is no whole number"),
        )),
    }
}

/// A share in percent, over 0 and up to 100: `30`, `30%`, `2.5%`. From 0 to 1.
pub(super) fn percent(option: &str, text: &str) -> Result<f64, UsageError> {
    let number = text.trim().trim_end_matches('%').trim_end();
    match number.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent / 100.0),
        Ok(_) | Err(_) => Err(UsageError::new(
            option,
            format!("'{text}' is no share of a core: over 0 and up to 100%"),
        )),
    }
}

/// A whole number that fits 32 bits.
pub(super) fn whole_u32(option: &str, text: &str, least: u32) -> Result<u32, UsageError> {
    let number = whole(option, text, least.into(), u32::MAX.into())?;
    u32::try_from(number).map_err(|_| UsageError::new(option, "is too large"))
}

/// A number, or `auto`, which nothing given is, too.
pub(super) fn auto<T>(
    text: Option<&str>,
    number: impl FnOnce(&str) -> Result<T, UsageError>,
) -> Result<Auto<T>, UsageError> {
    match text {
        Some(text) if !text.trim().eq_ignore_ascii_case("auto") => number(text).map(Auto::Fixed),
        Some(_) | None => Ok(Auto::Measured),
    }
}

/// One of several names; case is ignored, and `-` and `_` are one.
pub(super) fn named<T: Copy>(
    option: &str,
    text: &str,
    names: &[(&str, T)],
) -> Result<T, UsageError> {
    let plain = plain_name(text);
    names
        .iter()
        .find(|(name, _)| *name == plain)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let list = names
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(", ");
            UsageError::new(option, format!("'{text}' is none of {list}"))
        })
}

/// A name as it is compared: lower case, `-` for `_`.
pub(super) fn plain_name(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace('_', "-")
}

fn number_and_unit(text: &str) -> (&str, String) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim().to_ascii_lowercase())
}

/// A decimal number times a factor, rounded down, exactly; `None` where it is no number or too large.
fn scale(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let digits = u32::try_from(fraction.len()).ok()?;
    let fraction: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let part = fraction * u128::from(factor) / 10u128.pow(digits);
    whole
        .checked_mul(factor)?
        .checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_each_unit_and_a_bare_number_is_milliseconds() {
        for (text, micros) in [
            ("10", 10_000),
            ("0", 0),
            ("7us", 7),
            ("100ms", 100_000),
            ("5s", 5_000_000),
            ("5S", 5_000_000),
            (" 2 m ", 120_000_000),
            ("1.5s", 1_500_000),
            ("0.1s", 100_000),
            ("1h", 3_600_000_000),
            ("1d", 86_400_000_000),
        ] {
            assert_eq!(
                duration("--x", text, Bare::Milliseconds).unwrap(),
                Duration::from_micros(micros),
                "{text}"
            );
        }
        assert_eq!(
            duration("--x", "60", Bare::Seconds).unwrap(),
            Duration::from_secs(60)
        );
        assert_eq!(
            duration("--x", "60ms", Bare::Seconds).unwrap(),
            Duration::from_millis(60)
        );
    }

    #[test]
    fn what_is_no_duration_is_told_so() {
        for text in [
            "",
            "s",
            "-1s",
            "1.2.3s",
            "5 weeks",
            ".5s",
            "99999999999999999999d",
            "1e3s",
        ] {
            let error = duration("--sleep", text, Bare::Milliseconds)
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("--sleep: '") && error.contains("is no duration"),
                "{text}: {error}"
            );
        }
        assert_eq!(
            positive_duration("--repeat", "0s", Bare::Milliseconds)
                .unwrap_err()
                .to_string(),
            "--repeat: must be longer than 0"
        );
    }

    #[test]
    fn sizes_count_in_1024() {
        for (text, bare, bytes) in [
            ("512KB", 1, 524_288),
            ("5MB", 1, 5 << 20),
            ("5mib", 1, 5 << 20),
            ("1.5G", 1, 3 << 29),
            ("3", 1 << 20, 3 << 20),
            ("100b", 1 << 20, 100),
            ("0", 1, 0),
        ] {
            assert_eq!(size("--x", text, bare).unwrap(), bytes, "{text}");
        }
        for text in ["", "MB", "5XB", "-3MB", "20000000000TB"] {
            assert!(size("--x", text, 1).is_err(), "{text}");
        }
    }

    #[test]
    fn names_ignore_case_and_dashes_are_underscores() {
        let names = [("upstream", 1), ("upstream-preferred", 2)];
        assert_eq!(named("--x", "UPSTREAM_PREFERRED", &names).unwrap(), 2);
        assert_eq!(named("--x", "upstream-preferred", &names).unwrap(), 2);
        assert_eq!(
            named("--x", "nearest", &names).unwrap_err().to_string(),
            "--x: 'nearest' is none of upstream, upstream-preferred"
        );
    }

    #[test]
    fn whole_numbers_keep_their_bounds() {
        assert_eq!(whole("--x", "8", 1, 10).unwrap(), 8);
        assert_eq!(
            whole("--x", "11", 1, 10).unwrap_err().to_string(),
            "--x: must be from 1 to 10"
        );
        assert_eq!(
            whole("--x", "0", 1, u64::MAX).unwrap_err().to_string(),
            "--x: must be at least 1"
        );
        assert_eq!(
            whole("--x", "many", 1, 10).unwrap_err().to_string(),
            "--x: 'many' is no whole number"
        );
        assert!(whole_u32("--x", "5000000000", 1).is_err());
    }
}
