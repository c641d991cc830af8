//! Numbers as their texts mean them, with as many digits as they have.

/// Whether two numbers are of one value and of one kind: an integer and the same number with a fraction are two things to
/// the module.
pub(super) fn same(one: &str, other: &str) -> bool {
    one == other
        || matches!((Decimal::of(one), Decimal::of(other)), (Some(one), Some(other)) if one == other)
}

/// `digits` times ten to the `exponent`, without zeros at either end of the digits; no digits are zero.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_integer: bool,
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// `None` where the exponent is beyond what anybody stores.
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().ok()?;
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{part}");
        let digits = all.trim_end_matches('0');
        let zeros = i64::try_from(all.len() - digits.len()).ok()?;
        let places = i64::try_from(part.len()).ok()?;
        let digits = digits.trim_start_matches('0');
        let is_zero = digits.is_empty();
        Some(Self {
            is_integer: !text.contains(['.', 'e', 'E']),
            negative: negative && !is_zero,
            digits: digits.to_owned(),
            exponent: if is_zero {
                0
            } else {
                exponent.checked_add(zeros)?.checked_sub(places)?
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_many_texts() {
        for (one, other, equal) in [
            ("1e300", "1.0E+300", true),
            ("0.10", "1e-1", true),
            ("120.0", "1.2e2", true),
            ("-0.0", "0.000", true),
            ("-0", "0", true),
            ("-1.5", "1.5", false),
            ("100", "10", false),
            ("0.1", "0.01", false),
            ("1", "1.0", false),
            ("0.1", "0.1000000000000000055511151231257827", false),
            ("1e9223372036854775807", "1e9223372036854775807", true),
            ("10e9223372036854775807", "1e9223372036854775807", false),
        ] {
            assert_eq!(same(one, other), equal, "{one} and {other}");
            assert_eq!(same(other, one), equal, "{other} and {one}");
        }
    }
}
