//! Redis' globs as regular expressions over bytes, and which of the two a pattern of `--key-include` is.

use std::fmt::Write as _;

/// A glob, as SCAN MATCH reads it, as the inside of a regular expression without Unicode.
pub(super) fn to_regex(glob: &[u8]) -> String {
    let mut regex = String::new();
    let mut rest = glob;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'*' => {
                while let Some((b'*', after)) = rest.split_first() {
                    rest = after;
                }
                regex.push_str(".*");
            }
            b'?' => regex.push('.'),
            b'[' => {
                let (class, after) = class(rest);
                rest = after;
                push_class(&mut regex, &class);
            }
            b'\\' => match rest.split_first() {
                Some((&escaped, after)) => {
                    rest = after;
                    push_byte(&mut regex, escaped);
                }
                None => push_byte(&mut regex, byte),
            },
            byte => push_byte(&mut regex, byte),
        }
    }
    regex
}

/// Bytes of a class, one for each that it takes.
type Class = [bool; 256];

/// What stands after `[`, and what comes after its `]`; a class that is not closed goes to the end, as in Redis.
fn class(text: &[u8]) -> (Class, &[u8]) {
    let (negated, mut rest) = match text.split_first() {
        Some((b'^', after)) => (true, after),
        _ => (false, text),
    };
    let mut class = [negated; 256];
    let mut take = |first: u8, last: u8| {
        for byte in first.min(last)..=first.max(last) {
            if let Some(taken) = class.get_mut(usize::from(byte)) {
                *taken = !negated;
            }
        }
    };
    loop {
        rest = match rest {
            [] => break,
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [b'\\', byte, after @ ..] => {
                take(*byte, *byte);
                after
            }
            [first, b'-', last, after @ ..] => {
                take(*first, *last);
                after
            }
            [byte, after @ ..] => {
                take(*byte, *byte);
                after
            }
        };
    }
    (class, rest)
}

fn push_class(regex: &mut String, class: &Class) {
    let mut taken = (0..=255u8)
        .zip(class)
        .filter(|(_, taken)| **taken)
        .map(|(byte, _)| byte)
        .peekable();
    if taken.peek().is_none() {
        // A class of nothing.
        regex.push_str("[^\\x00-\\xFF]");
        return;
    }
    regex.push('[');
    while let Some(first) = taken.next() {
        let mut last = first;
        while let Some(next) = taken.next_if(|next| Some(*next) == last.checked_add(1)) {
            last = next;
        }
        push_escape(regex, first);
        regex.push('-');
        push_escape(regex, last);
    }
    regex.push(']');
}

fn push_byte(regex: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() {
        regex.push(char::from(byte));
    } else {
        push_escape(regex, byte);
    }
}

fn push_escape(regex: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(regex, "\\x{byte:02X}");
}

/// Whether a pattern is a glob rather than a regular expression: where `*` stands first, or follows a literal character.
/// `mykey:*` is one, `mykey:.*`, `(ab)*`, `[a-z]*` and `\d*` are none.
pub(super) fn reads_as_glob(pattern: &str) -> bool {
    let mut before_is_literal = true;
    let mut in_class = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next();
                before_is_literal = false;
            }
            ']' if in_class => {
                in_class = false;
                before_is_literal = false;
            }
            _ if in_class => {}
            '[' => in_class = true,
            '*' if before_is_literal => return true,
            '.' | '(' | ')' | ']' | '{' | '}' | '+' | '?' | '*' | '|' | '^' | '$' => {
                before_is_literal = false;
            }
            _ => before_is_literal = true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::RegexBuilder;

    use super::*;

    fn matches(glob: &[u8], key: &[u8]) -> bool {
        let pattern = format!("^(?:{})$", to_regex(glob));
        RegexBuilder::new(&pattern)
            .unicode(false)
            .dot_matches_new_line(true)
            .build()
            .unwrap()
            .is_match(key)
    }

    /// Redis' `stringmatchlen`, in its own order of cases.
    fn redis(mut p: &[u8], mut s: &[u8]) -> bool {
        while !p.is_empty() && !s.is_empty() {
            match p[0] {
                b'*' => {
                    while p.len() > 1 && p[1] == b'*' {
                        p = &p[1..];
                    }
                    return p.len() == 1 || (0..=s.len()).any(|at| redis(&p[1..], &s[at..]));
                }
                b'?' => s = &s[1..],
                b'[' => {
                    p = &p[1..];
                    let not = p.first() == Some(&b'^');
                    if not {
                        p = &p[1..];
                    }
                    let mut found = false;
                    loop {
                        if p.len() >= 2 && p[0] == b'\\' {
                            p = &p[1..];
                            found |= p[0] == s[0];
                        } else if p.is_empty() || p[0] == b']' {
                            break;
                        } else if p.len() >= 3 && p[1] == b'-' {
                            let (low, high) = (p[0].min(p[2]), p[0].max(p[2]));
                            p = &p[2..];
                            found |= (low..=high).contains(&s[0]);
                        } else {
                            found |= p[0] == s[0];
                        }
                        p = &p[1..];
                    }
                    if found == not {
                        return false;
                    }
                    s = &s[1..];
                }
                byte => {
                    if byte == b'\\' && p.len() >= 2 {
                        p = &p[1..];
                    }
                    if p[0] != s[0] {
                        return false;
                    }
                    s = &s[1..];
                }
            }
            p = if p.is_empty() { p } else { &p[1..] };
            if s.is_empty() {
                while p.first() == Some(&b'*') {
                    p = &p[1..];
                }
                break;
            }
        }
        // A pattern of stars alone matches the empty key.
        s.is_empty() && p.iter().all(|byte| *byte == b'*')
    }

    #[test]
    fn globs_match_as_redis_matches_them() {
        for (glob, key, matched) in [
            (&b"mykey:*"[..], &b"mykey:1"[..], true),
            (b"mykey:*", b"mykey:", true),
            (b"mykey:*", b"amykey:1", false),
            (b"h?llo", b"hello", true),
            (b"h?llo", b"h\nllo", true),
            (b"h?llo", b"h\xffllo", true),
            (b"h[ae]llo", b"hillo", false),
            (b"h[^e]llo", b"hallo", true),
            (b"h[b-a]llo", b"hallo", true),
            (b"h[\\]]llo", b"h]llo", true),
            (b"a.c", b"abc", false),
            (b"a\\*c", b"a*c", true),
            (b"a\\*c", b"abc", false),
            (b"a\\", b"a\\", true),
            (b"[]", b"a", false),
            (b"[^]", b"a", true),
            (b"[abc", b"c", true),
            (b"*", b"\x00\r\n\xff", true),
            (b"a**b", b"ab", true),
            ("é*".as_bytes(), "é1".as_bytes(), true),
        ] {
            assert_eq!(
                matches(glob, key),
                matched,
                "{:?} {:?}",
                glob.escape_ascii().to_string(),
                key
            );
            assert_eq!(
                redis(glob, key),
                matched,
                "the oracle, {:?}",
                glob.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn a_star_first_or_after_a_literal_makes_a_glob() {
        for glob in [
            "*",
            "*:1",
            "mykey:*",
            "a*",
            "user:*:name",
            "é*",
            "foo.bar*",
            "[ab]c*",
        ] {
            assert!(reads_as_glob(glob), "{glob}");
        }
        for regex in [
            "mykey:.*",
            "(ab)*",
            "[a-z]*",
            "[*]",
            "[a*]",
            "\\d*",
            "a\\*",
            "a{2}*",
            "a+",
            "user:[0-9]+",
            "",
            "a?b",
        ] {
            assert!(!reads_as_glob(regex), "{regex}");
        }
    }

    proptest! {
        #[test]
        fn every_glob_is_redis_own(
            glob in proptest::collection::vec(prop_oneof![Just(b'*'), Just(b'?'), Just(b'['), Just(b']'), Just(b'^'), Just(b'-'),
                Just(b'\\'), Just(b'a'), Just(b'b'), Just(b'c'), Just(0xffu8)], 0..8),
            key in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'c'), Just(b'-'), Just(b'\\'), Just(b']'),
                Just(b'^'), Just(0xffu8)], 0..5)
        ) {
            prop_assert_eq!(matches(&glob, &key), redis(&glob, &key));
        }
    }
}
