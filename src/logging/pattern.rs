//! Times in a pattern of Java's letters: `yyyy-MM-dd HH:mm:ss.SSS`.

use std::fmt::{self, Write as _};

use jiff::Zoned;
use thiserror::Error;

/// How a log line's time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimePattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// Cut to its last two digits.
    ShortYear,
    Number(Field, usize),
    /// Decimals of the second, this many.
    Fraction(usize),
    MonthName(Form),
    DayName(Form),
    HalfDay,
    ZoneName,
    Offset(OffsetForm),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    Month,
    Day,
    DayOfYear,
    Hour,
    HourOfHalfDay,
    Minute,
    Second,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Short,
    Long,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OffsetForm {
    /// Minutes are written even where they are zero.
    minutes: bool,
    colon: bool,
    /// UTC is `Z`.
    zulu: bool,
}

/// Why a pattern cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A letter that means nothing here; text has to stand in single quotes.
    #[error(
        "the time pattern has `{0}`; it knows y M d D E a H h m s S z X Z, and text in 'single quotes'"
    )]
    Letters(String),
    /// A quote without its end.
    #[error("the time pattern has a ' without its end")]
    Quote,
}

impl TimePattern {
    /// Reads a pattern such as `yyyy-MM-dd'T'HH:mm:ss.SSSXXX`.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let mut pieces = Vec::new();
        let mut rest = pattern.chars().peekable();
        while let Some(first) = rest.next() {
            let piece = match first {
                '\'' => {
                    let mut text = String::new();
                    loop {
                        match rest.next() {
                            None => return Err(PatternError::Quote),
                            Some('\'') if rest.next_if_eq(&'\'').is_some() => text.push('\''),
                            Some('\'') => break,
                            Some(other) => text.push(other),
                        }
                    }
                    // Two quotes outside of text are one.
                    Piece::Text(if text.is_empty() {
                        "'".to_owned()
                    } else {
                        text
                    })
                }
                letter if letter.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while rest.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    letters(letter, count)
                        .ok_or_else(|| PatternError::Letters(letter.to_string().repeat(count)))?
                }
                other => Piece::Text(other.to_string()),
            };
            match (pieces.last_mut(), piece) {
                (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
                (_, piece) => pieces.push(piece),
            }
        }
        Ok(Self(pieces))
    }

    /// The time in this pattern.
    #[must_use]
    pub fn format(&self, time: &Zoned) -> String {
        let mut text = String::with_capacity(32);
        for piece in &self.0 {
            // Writing to a String cannot fail.
            let _ = piece.write(&mut text, time);
        }
        text
    }
}

/// What so many of a letter stand for.
fn letters(letter: char, count: usize) -> Option<Piece> {
    let number = |field, most| (count <= most).then_some(Piece::Number(field, count));
    let form = || match count {
        1..=3 => Some(Form::Short),
        4 => Some(Form::Long),
        _ => None,
    };
    match letter {
        'y' | 'u' if count == 2 => Some(Piece::ShortYear),
        'y' | 'u' => number(Field::Year, 9),
        'M' | 'L' if count > 2 => form().map(Piece::MonthName),
        'M' | 'L' => number(Field::Month, 2),
        'd' => number(Field::Day, 2),
        'D' => number(Field::DayOfYear, 3),
        'H' => number(Field::Hour, 2),
        'h' => number(Field::HourOfHalfDay, 2),
        'm' => number(Field::Minute, 2),
        's' => number(Field::Second, 2),
        'S' => (count <= 9).then_some(Piece::Fraction(count)),
        'E' => form().map(Piece::DayName),
        'a' => (count == 1).then_some(Piece::HalfDay),
        'z' => (count <= 3).then_some(Piece::ZoneName),
        'X' => (count <= 3).then_some(Piece::Offset(OffsetForm {
            minutes: count > 1,
            colon: count == 3,
            zulu: true,
        })),
        'Z' => (count <= 3).then_some(Piece::Offset(OffsetForm {
            minutes: true,
            colon: false,
            zulu: false,
        })),
        _ => None,
    }
}

impl Piece {
    fn write(&self, text: &mut String, time: &Zoned) -> fmt::Result {
        match self {
            Self::Text(literal) => text.write_str(literal),
            Self::ShortYear => write!(text, "{:02}", time.year().rem_euclid(100)),
            Self::Number(field, width) => write!(text, "{:0width$}", field.of(time)),
            Self::Fraction(digits) => {
                let nanoseconds = format!("{:09}", time.subsec_nanosecond());
                text.write_str(nanoseconds.get(..*digits).unwrap_or(&nanoseconds))
            }
            Self::MonthName(Form::Short) => write!(text, "{}", time.strftime("%b")),
            Self::MonthName(Form::Long) => write!(text, "{}", time.strftime("%B")),
            Self::DayName(Form::Short) => write!(text, "{}", time.strftime("%a")),
            Self::DayName(Form::Long) => write!(text, "{}", time.strftime("%A")),
            Self::HalfDay => text.write_str(if time.hour() < 12 { "AM" } else { "PM" }),
            Self::ZoneName => write!(text, "{}", time.strftime("%Z")),
            Self::Offset(form) => form.write(text, time.offset().seconds()),
        }
    }
}

impl Field {
    fn of(self, time: &Zoned) -> i16 {
        match self {
            Self::Year => time.year(),
            Self::Month => time.month().into(),
            Self::Day => time.day().into(),
            Self::DayOfYear => time.day_of_year(),
            Self::Hour => time.hour().into(),
            Self::HourOfHalfDay => (i16::from(time.hour()) + 11) % 12 + 1,
            Self::Minute => time.minute().into(),
            Self::Second => time.second().into(),
        }
    }
}

impl OffsetForm {
    fn write(self, text: &mut String, seconds: i32) -> fmt::Result {
        if seconds == 0 && self.zulu {
            return text.write_str("Z");
        }
        let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
        write!(text, "{}{hours:02}", if seconds < 0 { '-' } else { '+' })?;
        if self.minutes || minutes != 0 {
            write!(text, "{}{minutes:02}", if self.colon { ":" } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil;
    use jiff::tz::{self, TimeZone};
    use proptest::prelude::*;

    use super::*;

    fn at(offset_minutes: i32) -> Zoned {
        let zone = TimeZone::fixed(tz::Offset::from_seconds(offset_minutes * 60).unwrap());
        civil::date(2026, 3, 7)
            .at(15, 4, 9, 56_789_000)
            .to_zoned(zone)
            .unwrap()
    }

    fn shown(pattern: &str) -> String {
        TimePattern::parse(pattern).unwrap().format(&at(0))
    }

    #[test]
    fn javas_letters_are_read() {
        assert_eq!(shown("yyyy MM dd HH mm ss SSS"), "2026 03 07 15 04 09 056");
        assert_eq!(
            shown("yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"),
            "2026-03-07T15:04:09.056789Z"
        );
        assert_eq!(shown("yy/M/d H:m:s.S"), "26/3/7 15:4:9.0");
        assert_eq!(shown("EEE, d MMM yyyy h:mm a"), "Sat, 7 Mar 2026 3:04 PM");
        assert_eq!(shown("EEEE MMMM DDD"), "Saturday March 066");
        assert_eq!(shown("'at' HH 'o''clock' ''"), "at 15 o'clock '");
        assert_eq!(shown("äHHß"), "ä15ß");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn offsets_have_their_forms() {
        let shown =
            |pattern: &str, minutes| TimePattern::parse(pattern).unwrap().format(&at(minutes));
        assert_eq!(shown("X XX XXX Z", 120), "+02 +0200 +02:00 +0200");
        assert_eq!(shown("X XX XXX Z", -210), "-0330 -0330 -03:30 -0330");
        assert_eq!(shown("X XX XXX Z", 0), "Z Z Z +0000");
    }

    #[test]
    fn what_means_nothing_is_told() {
        assert_eq!(
            TimePattern::parse("yyyy-Q"),
            Err(PatternError::Letters("Q".into()))
        );
        assert_eq!(
            TimePattern::parse("HHH"),
            Err(PatternError::Letters("HHH".into()))
        );
        assert_eq!(TimePattern::parse("'at"), Err(PatternError::Quote));
    }

    proptest! {
        #[test]
        fn any_pattern_is_read_or_refused(pattern in "[a-zA-Z' :é-]{0,12}|.{0,12}") {
            if let Ok(pattern) = TimePattern::parse(&pattern) {
                let _ = pattern.format(&at(0));
            }
        }

        #[test]
        fn quoted_text_stands_as_it_is(text in "[^']{1,20}") {
            prop_assert_eq!(shown(&format!("'{text}'")), text);
        }
    }
}
