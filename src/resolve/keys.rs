//! Which keys: patterns, types, slots, shards, sizes.

use std::num::NonZeroU64;

use regex::bytes::{Regex, RegexBuilder};

use super::UsageError;
use super::{glob, value};
use crate::cli::Keys;
use crate::config::Selection;

const SLOTS: u16 = 16_384;
const MEGABYTE: u64 = 1 << 20;

/// Resolves the options of "Which keys".
pub(super) fn resolve(keys: &Keys, notices: &mut Vec<String>) -> Result<Selection, UsageError> {
    let pattern = keys
        .key_pattern
        .as_ref()
        .map_or(b"*".to_vec(), |text| text.as_encoded_bytes().to_vec());
    let scan_count = keys
        .scan_count
        .as_deref()
        .map_or(Ok(1000), |text| value::whole_u32("--scan-count", text, 1))?;
    let limit = keys
        .mem_limit
        .as_deref()
        .map_or(Ok(0), |text| value::size("--mem-limit", text, MEGABYTE))?;
    let memory_limit = NonZeroU64::new(limit);
    let memory_samples = match keys.mem_samples.as_deref() {
        Some(text) => {
            if memory_limit.is_none() {
                notices.push("--mem-samples: has no effect without --mem-limit".to_owned());
            }
            value::whole_u32("--mem-samples", text, 0)?
        }
        None => 5,
    };
    Ok(Selection {
        pattern,
        types: types(&keys.key_type)?,
        include: patterns("--key-include", &keys.key_include, notices)?,
        exclude: patterns("--key-exclude", &keys.key_exclude, notices)?,
        slots: slots(&keys.key_slots, keys.shard.as_deref())?,
        scan_count,
        memory_limit,
        memory_samples,
    })
}

/// Names as TYPE gives them, lower case. RIOT's names of module types are their short ones.
fn types(words: &[String]) -> Result<Vec<String>, UsageError> {
    let mut types = Vec::new();
    for word in words.iter().flat_map(|word| word.split(',')) {
        let name = match word.trim().to_ascii_lowercase().as_str() {
            "" => return Err(UsageError::new("--key-type", "names no type")),
            "json" => "rejson-rl".to_owned(),
            "timeseries" => "tsdb-type".to_owned(),
            name if name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') =>
            {
                name.to_owned()
            }
            name => {
                return Err(UsageError::new(
                    "--key-type",
                    format!("'{name}' is no type's name"),
                ));
            }
        };
        if !types.contains(&name) {
            types.push(name);
        }
    }
    Ok(types)
}

fn patterns(
    option: &str,
    words: &[String],
    notices: &mut Vec<String>,
) -> Result<Vec<Regex>, UsageError> {
    words
        .iter()
        .map(|word| pattern(option, word, notices))
        .collect()
}

/// One pattern, anchored at both ends.
fn pattern(option: &str, word: &str, notices: &mut Vec<String>) -> Result<Regex, UsageError> {
    // An address that was taken for a pattern may hold a password.
    let shown = if word.contains("://") {
        "a pattern".to_owned()
    } else {
        format!("'{word}'")
    };
    let inside = if let Some(text) = word.strip_prefix("glob:") {
        glob::to_regex(text.as_bytes())
    } else if let Some(text) = word.strip_prefix("re:") {
        text.to_owned()
    } else if glob::reads_as_glob(word) {
        notices.push(format!(
            "{option}: {shown} was taken as a glob; re: before it makes it a regular expression"
        ));
        glob::to_regex(word.as_bytes())
    } else {
        word.to_owned()
    };
    // Alone first: a parenthesis too many would otherwise close the anchors' group.
    let wrong = |error| UsageError::new(option, format!("{shown}: {}", regex_reason(&error)));
    bytes_regex(&inside).map_err(wrong)?;
    bytes_regex(&format!("^(?:{inside})$")).map_err(wrong)
}

/// A regular expression over bytes, in which a dot is any byte.
pub(super) fn bytes_regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .dot_matches_new_line(true)
        .build()
}

/// regex' own reason, without the drawing above it.
pub(super) fn regex_reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text
        .rsplit_once("error: ")
        .map_or(text.as_str(), |(_, reason)| reason);
    reason.trim().replace('\n', " ")
}

/// Ranges, sorted and apart, with the shard cut in.
fn slots(words: &[String], shard: Option<&str>) -> Result<Vec<(u16, u16)>, UsageError> {
    let mut ranges = Vec::new();
    for word in words.iter().flat_map(|word| word.split(',')) {
        ranges.push(range(word)?);
    }
    if ranges.is_empty() {
        ranges.push((0, SLOTS - 1));
    }
    ranges.sort_unstable();
    let mut apart: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match apart.last_mut() {
            Some(previous) if first <= previous.1 + 1 => previous.1 = previous.1.max(last),
            _ => apart.push((first, last)),
        }
    }
    let Some(shard) = shard else { return Ok(apart) };
    let (low, high) = shard_range(shard)?;
    let cut: Vec<_> = apart
        .into_iter()
        .map(|(first, last)| (first.max(low), last.min(high)))
        .filter(|(first, last)| first <= last)
        .collect();
    if cut.is_empty() {
        return Err(UsageError::new(
            "--shard",
            format!("its slots {low}-{high} are none of --key-slots"),
        ));
    }
    Ok(cut)
}

/// `0-8000`, `0:8000`, `42`.
fn range(text: &str) -> Result<(u16, u16), UsageError> {
    let shown = if text.contains("://") { "a word" } else { text };
    let wrong = || {
        UsageError::new(
            "--key-slots",
            format!("'{shown}' is no range of slots from 0 to 16383, as 0-8000"),
        )
    };
    let slot = |text: &str| text.trim().parse::<u16>().ok().filter(|slot| *slot < SLOTS);
    let (first, last) = text.split_once([':', '-']).unwrap_or((text, text));
    let (first, last) = slot(first).zip(slot(last)).ok_or_else(wrong)?;
    if first > last {
        Err(wrong())
    } else {
        Ok((first, last))
    }
}

/// The I-th of N equal ranges.
fn shard_range(text: &str) -> Result<(u16, u16), UsageError> {
    let wrong = || {
        UsageError::new(
            "--shard",
            format!("'{text}' is not I/N, as 2/4 for the second of four"),
        )
    };
    let (part, parts) = text.split_once('/').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
    let (part, parts) = (number(part)?, number(parts)?);
    if parts == 0 || parts > SLOTS.into() || part == 0 || part > parts {
        return Err(UsageError::new(
            "--shard",
            "I/N has N from 1 to 16384 and I from 1 to N",
        ));
    }
    let start = |part: u32| u16::try_from(part * u32::from(SLOTS) / parts).map_err(|_| wrong());
    Ok((start(part - 1)?, start(part)? - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn slots_are_sorted_and_apart() {
        for (given, shard, expected) in [
            (&[][..], None, &[(0, 16383)][..]),
            (&["0:8000"], None, &[(0, 8000)]),
            (&["0-8000"], None, &[(0, 8000)]),
            (&["42"], None, &[(42, 42)]),
            (
                &["100-200", "0-50", "51-60", "150-300"],
                None,
                &[(0, 60), (100, 300)],
            ),
            (&["5-6,1-2"], None, &[(1, 2), (5, 6)]),
            (&[], Some("1/1"), &[(0, 16383)]),
            (&[], Some("1/3"), &[(0, 5460)]),
            (&[], Some("2/3"), &[(5461, 10921)]),
            (&[], Some("3/3"), &[(10922, 16383)]),
            (&["0-100", "9000-9001"], Some("2/2"), &[(9000, 9001)]),
            (&["8000-9000"], Some("2/2"), &[(8192, 9000)]),
        ] {
            assert_eq!(
                slots(&words(given), shard).unwrap(),
                expected,
                "{given:?} {shard:?}"
            );
        }
    }

    #[test]
    fn shards_cover_every_slot_once() {
        for parts in [1, 2, 3, 7, 100, 16_384] {
            let mut next = 0;
            for part in 1..=parts {
                let (first, last) = shard_range(&format!("{part}/{parts}")).unwrap();
                assert_eq!(first, next);
                next = last + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }

    #[test]
    fn bad_slots_and_shards_are_refused() {
        for text in ["", "a", "5-1", "0-16384", "-1", "1-2-3", "1:2:3", "0..5"] {
            assert!(slots(&words(&[text]), None).is_err(), "{text}");
        }
        for text in ["", "1", "0/2", "3/2", "1/0", "1/16385", "a/b", "1/2/3"] {
            assert!(slots(&[], Some(text)).is_err(), "{text}");
        }
        assert!(slots(&words(&["0-10"]), Some("2/2")).is_err());
    }

    fn take(pattern_text: &str, key: &[u8]) -> (bool, usize) {
        let mut notices = Vec::new();
        (
            pattern("--key-include", pattern_text, &mut notices)
                .unwrap()
                .is_match(key),
            notices.len(),
        )
    }

    #[test]
    fn patterns_match_whole_keys_as_bytes() {
        for (text, key, matched, notices) in [
            ("mykey:.*", &b"mykey:1"[..], true, 0),
            ("mykey:.*", b"amykey:1", false, 0),
            ("my", b"mykey", false, 0),
            ("a|b", b"ab", false, 0),
            ("a|b", b"b", true, 0),
            ("k.k", b"k\nk", true, 0),
            ("k.k", b"k\xffk", true, 0),
            ("k\\xffk", b"k\xffk", true, 0),
            ("é.+", "é1".as_bytes(), true, 0),
            ("mykey:*", b"mykey:1", true, 1),
            ("glob:a.?", b"a.b", true, 0),
            ("glob:a.?", b"abb", false, 0),
            ("re:ab*", b"abbb", true, 0),
            ("re:*", b"x", false, 0),
        ] {
            if text == "re:*" {
                assert!(pattern("--key-include", text, &mut Vec::new()).is_err());
            } else {
                assert_eq!(take(text, key), (matched, notices), "{text}");
            }
        }
    }

    #[test]
    fn bad_patterns_say_why_in_one_line() {
        let error = |text: &str| {
            pattern("--key-include", text, &mut Vec::new())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(error("user:(a"), "--key-include: 'user:(a': unclosed group");
        assert_eq!(error("a)|(b"), "--key-include: 'a)|(b': unopened group");
        assert!(error("(?=a)").contains("look-around"), "{}", error("(?=a)"));
        assert!(!error("redis://:hunter2@h:(").contains("hunter2"));
    }

    #[test]
    fn types_are_lower_case_and_once() {
        assert_eq!(
            types(&words(&["STRING,hash", "string", "json"])).unwrap(),
            ["string", "hash", "rejson-rl"]
        );
        assert!(types(&words(&["a b"])).is_err());
        assert!(types(&words(&["string,"])).is_err());
    }
}
