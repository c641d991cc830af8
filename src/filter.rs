//! Which keys are taken: slots, regular expressions, and Redis' own glob.

use regex::bytes::Regex;

use crate::config::Selection;
use crate::slots::{SlotSet, slot};
use crate::temporary::is_temporary;

/// What of the selection riot has to look at itself; pattern and type are left to SCAN.
#[derive(Debug, Clone)]
pub struct Filter {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    slots: Option<SlotSet>,
    open: bool,
}

impl Filter {
    /// A filter of the selection's include and exclude expressions and its slots.
    #[must_use]
    pub fn new(selection: &Selection) -> Self {
        let slots = Some(SlotSet::of(&selection.slots)).filter(|slots| !slots.is_all());
        Self {
            open: selection.include.is_empty() && selection.exclude.is_empty() && slots.is_none(),
            include: selection.include.clone(),
            exclude: selection.exclude.clone(),
            slots,
        }
    }

    /// A filter that wants every key.
    #[must_use]
    pub fn open() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            slots: None,
            open: true,
        }
    }

    /// Every key is wanted but those under temporary names.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The key is one to take: no temporary name, its slot is wanted, an include matches it (or there are none), and no
    /// exclude does.
    #[must_use]
    #[inline]
    pub fn wants(&self, key: &[u8]) -> bool {
        !is_temporary(key) && (self.open || self.wants_closely(key))
    }

    fn wants_closely(&self, key: &[u8]) -> bool {
        self.wants_slot(key)
            && (self.include.is_empty() || self.include.iter().any(|regex| regex.is_match(key)))
            && !self.exclude.iter().any(|regex| regex.is_match(key))
    }

    fn wants_slot(&self, key: &[u8]) -> bool {
        self.slots
            .as_ref()
            .is_none_or(|slots| slots.contains(slot(key)))
    }
}

/// The key matches the glob, as Redis' `stringmatchlen` decides it on x86-64.
///
/// Its corners are kept: an empty key matches the empty pattern alone; `[` without `]` ends with the pattern; in `[a-z]`
/// the ends may stand in either order and bytes are signed. Unlike it, the time is bounded by the product of the
/// lengths, and a pattern of more than a thousand stars is read like any other.
#[must_use]
pub fn glob_matches(pattern: &[u8], key: &[u8]) -> bool {
    if key.is_empty() {
        return pattern.is_empty();
    }
    let (mut rest, mut text) = (pattern, key);
    // The pattern after the last star, and the text from which it was last tried.
    let mut last_star: Option<(&[u8], &[u8])> = None;
    while let Some((byte, tail)) = text.split_first() {
        if rest.first() == Some(&b'*') {
            rest = skip_stars(rest);
            if rest.is_empty() {
                return true;
            }
            last_star = Some((rest, text));
        } else if let Some(after) = match_one(rest, *byte) {
            (rest, text) = (after, tail);
        } else {
            // All but a star take one byte each, so an earlier star has nothing better to offer than the last one.
            let Some((after_star, [_, later @ ..])) = last_star else {
                return false;
            };
            last_star = Some((after_star, later));
            (rest, text) = (after_star, later);
        }
    }
    skip_stars(rest).is_empty()
}

fn skip_stars(mut pattern: &[u8]) -> &[u8] {
    while let [b'*', rest @ ..] = pattern {
        pattern = rest;
    }
    pattern
}

/// What is left of the pattern when its first element, which is no star, takes this byte; `None` when it does not.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => {
            let (found, rest) = match_class(rest, byte);
            found.then_some(rest)
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
    }
}

/// Whether the class that begins after `[` has the byte, and what follows the class.
fn match_class(class: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let signed = byte.cast_signed();
    let mut found = false;
    loop {
        rest = match rest {
            [] => return (found != negated, rest),
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [b']', rest @ ..] => return (found != negated, rest),
            [start, b'-', end, rest @ ..] => {
                let (start, end) = (start.cast_signed(), end.cast_signed());
                found |= (start.min(end)..=start.max(end)).contains(&signed);
                rest
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::config::Auto;

    fn selection() -> Selection {
        Selection {
            pattern: b"*".to_vec(),
            types: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            slots: vec![(0, 16_383)],
            scan_count: Auto::Measured,
            memory_limit: None,
            memory_samples: 5,
        }
    }

    fn whole(expression: &str) -> Regex {
        Regex::new(&format!("(?s-u)^(?:{expression})$")).unwrap()
    }

    #[test]
    fn nothing_set_is_open() {
        let filter = Filter::new(&selection());
        assert!(filter.is_open());
        assert!(filter.wants(b"anything"));
    }

    #[test]
    fn adjoining_ranges_of_all_slots_are_open() {
        let filter = Filter::new(&Selection {
            slots: vec![(0, 8000), (8001, 16_383)],
            ..selection()
        });
        assert!(filter.is_open());
    }

    #[test]
    fn no_slots_want_no_key() {
        let filter = Filter::new(&Selection {
            slots: Vec::new(),
            ..selection()
        });
        assert!(!filter.wants(b"foo"));
    }

    #[test]
    fn the_exclude_wins() {
        let filter = Filter::new(&Selection {
            include: vec![whole("user:.*"), whole("cart:.*")],
            exclude: vec![whole(".*:secret")],
            ..selection()
        });
        assert!(!filter.is_open());
        assert!(filter.wants(b"user:1"));
        assert!(filter.wants(b"cart:\xff\n"));
        assert!(!filter.wants(b"cart:secret"));
        assert!(!filter.wants(b"other:1"));
    }

    #[test]
    fn slots_are_inclusive() {
        let only = slot(b"foo");
        let filter = Filter::new(&Selection {
            slots: vec![(only, only)],
            ..selection()
        });
        assert!(filter.wants(b"foo"));
        assert!(!filter.wants(b"bar"));
        let last = Filter::new(&Selection {
            slots: vec![(0, only)],
            ..selection()
        });
        assert!(last.wants(b"foo"));
    }

    #[test]
    fn globs_match_as_in_redis() {
        for (pattern, key, expected) in [
            (&b"*"[..], &b"key"[..], true),
            (b"*", b"", false),
            (b"", b"", true),
            (b"user:*", b"user:1", true),
            (b"user:*", b"user:", true),
            (b"user:*:cart", b"user:1:2:cart", true),
            (b"user:*:cart", b"user:1:2:carts", false),
            (b"h?llo", b"hello", true),
            (b"h?llo", b"hllo", false),
            (b"h[ae]llo", b"hallo", true),
            (b"h[^e]llo", b"hello", false),
            (b"h[b-a]llo", b"hallo", true),
            (b"h\\*llo", b"h*llo", true),
            (b"h\\*llo", b"hello", false),
            (b"h[\\]]llo", b"h]llo", true),
            (b"[a", b"a", true),
            (b"[^", b"a", true),
            (b"[", b"[", false),
            (b"a\\", b"a\\", true),
            (b"a**", b"a", true),
            (b"a*b*c", b"a-b-b-c-c", true),
            (b"[\xfe-\xff]", b"\xff", true),
            (b"[ -\xff]", b"a", false),
        ] {
            let shown = (
                pattern.escape_ascii().to_string(),
                key.escape_ascii().to_string(),
            );
            assert_eq!(glob_matches(pattern, key), expected, "{shown:?}");
        }
    }

    #[test]
    fn a_hostile_glob_takes_no_time() {
        let started = Instant::now();
        assert!(!glob_matches(&b"a*".repeat(400), &b"a".repeat(399)));
        assert!(!glob_matches(
            &[b"*a".repeat(50), b"b".to_vec()].concat(),
            &b"a".repeat(10_000)
        ));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    /// `stringmatchlen` of Redis 7.0, word by word, on a pattern that ends in NUL.
    fn reference(pattern: &[u8], string: &[u8]) -> bool {
        let at = |p: &[u8], i: usize| p.get(i).copied().unwrap_or(0);
        let (mut p, mut s) = (pattern, string);
        while !p.is_empty() && !s.is_empty() {
            match p[0] {
                b'*' => {
                    while at(p, 1) == b'*' {
                        p = &p[1..];
                    }
                    if p.len() == 1 {
                        return true;
                    }
                    while !s.is_empty() {
                        if reference(&p[1..], s) {
                            return true;
                        }
                        s = &s[1..];
                    }
                    return false;
                }
                b'?' => s = &s[1..],
                b'[' => {
                    let mut i = 1;
                    let not = at(p, i) == b'^';
                    if not {
                        i += 1;
                    }
                    let mut found = false;
                    loop {
                        let left = p.len() - i;
                        if left >= 2 && at(p, i) == b'\\' {
                            i += 1;
                            found |= at(p, i) == s[0];
                        } else if at(p, i) == b']' {
                            break;
                        } else if left == 0 {
                            i -= 1;
                            break;
                        } else if left >= 3 && at(p, i + 1) == b'-' {
                            let ends = [at(p, i).cast_signed(), at(p, i + 2).cast_signed()];
                            i += 2;
                            found |= (ends[0].min(ends[1])..=ends[0].max(ends[1]))
                                .contains(&s[0].cast_signed());
                        } else {
                            found |= at(p, i) == s[0];
                        }
                        i += 1;
                    }
                    if found == not {
                        return false;
                    }
                    s = &s[1..];
                    p = &p[i..];
                }
                _ => {
                    if p[0] == b'\\' && p.len() >= 2 {
                        p = &p[1..];
                    }
                    if p[0] != s[0] {
                        return false;
                    }
                    s = &s[1..];
                }
            }
            p = &p[1..];
            if s.is_empty() {
                while at(p, 0) == b'*' {
                    p = &p[1..];
                }
                break;
            }
        }
        p.is_empty() && s.is_empty()
    }

    fn pattern_bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![prop::sample::select(&b"*?[]^\\-abc"[..]), Just(0xff_u8)];
        prop::collection::vec(byte, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn any_glob_agrees_with_the_reference(
            pattern in pattern_bytes(),
            key in prop::collection::vec(prop::sample::select(&b"abc]-^\\\xff"[..]), 0..8),
        ) {
            prop_assert_eq!(glob_matches(&pattern, &key), reference(&pattern, &key));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(pattern: Vec<u8>, key: Vec<u8>) {
            let _ = glob_matches(&pattern, &key);
            prop_assert!(slot(&key) < crate::slots::SLOTS);
        }
    }
}
