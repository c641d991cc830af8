//! Which keys: patterns, types, slots, shards, sizes.

use std::num::NonZeroU64;

use regex::bytes::{Regex, RegexBuilder};

use super::shard::{SLOTS, Shard};
use super::{UsageError, glob, value};
use crate::cli::Keys;
use crate::config::Selection;

const MEGABYTE: u64 = 1 << 20;

/// Resolves the options of "Which keys", of which `shard` is resolved already.
pub(super) fn resolve(
    keys: &Keys,
    shard: Option<&Shard>,
    notices: &mut Vec<String>,
) -> Result<Selection, UsageError> {
    let pattern = keys
        .key_pattern
        .as_ref()
        .map_or(b"*".to_vec(), |text| text.as_encoded_bytes().to_vec());
    let scan_count = value::auto(keys.scan_count.as_deref(), |text| {
        value::whole_u32("--scan-count", text, 1)
    })?;
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
        slots: slots(&keys.key_slots, shard)?,
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
fn slots(words: &[String], shard: Option<&Shard>) -> Result<Vec<(u16, u16)>, UsageError> {
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
    let (low, high) = shard.slots;
    let cut: Vec<_> = apart
        .into_iter()
        .map(|(first, last)| (first.max(low), last.min(high)))
        .filter(|(first, last)| first <= last)
        .collect();
    if cut.is_empty() {
        return Err(UsageError::new(
            &shard.place,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn of(slots: (u16, u16)) -> Shard {
        Shard {
            place: "RIOT_SHARD".to_owned(),
            slots,
        }
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
            (&[], Some((5461, 10921)), &[(5461, 10921)]),
            (
                &["0-100", "9000-9001"],
                Some((8192, 16383)),
                &[(9000, 9001)],
            ),
            (&["8000-9000"], Some((8192, 16383)), &[(8192, 9000)]),
        ] {
            assert_eq!(
                slots(&words(given), shard.map(of).as_ref()).unwrap(),
                expected,
                "{given:?} {shard:?}"
            );
        }
    }

    #[test]
    fn bad_slots_are_refused() {
        for text in ["", "a", "5-1", "0-16384", "-1", "1-2-3", "1:2:3", "0..5"] {
            assert!(slots(&words(&[text]), None).is_err(), "{text}");
        }
        let error = slots(&words(&["0-10"]), Some(&of((8192, 16383)))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "RIOT_SHARD: its slots 8192-16383 are none of --key-slots"
        );
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
