//! What a key is called at the target: a template, then a regular-expression replacement.

use std::borrow::Cow;

use bytes::Bytes;
use regex::bytes::{Captures, Regex, Replacer};

use crate::config::{Rewrite, Template, TemplatePart};

/// New names for keys, from one database to another.
#[derive(Debug, Clone)]
pub struct Rename {
    template: Option<Vec<Part>>,
    replace: Option<(Regex, Replacement)>,
}

/// One part of a template whose databases are known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Key,
    Type,
}

impl Rename {
    /// The rewrite's names for keys that go from database `source` to database `target`.
    #[must_use]
    pub fn new(rewrite: &Rewrite, source: u32, target: u32) -> Self {
        Self {
            template: rewrite
                .template
                .as_ref()
                .map(|template| parts(template, source, target))
                .filter(|parts| parts.as_slice() != [Part::Key]),
            replace: rewrite
                .replace
                .as_ref()
                .map(|(regex, text)| (regex.clone(), Replacement::parse(text))),
        }
    }

    /// Every key keeps its name.
    #[must_use]
    pub fn none() -> Self {
        Self {
            template: None,
            replace: None,
        }
    }

    /// The source's name of a key of the target, of type `kind`; `None` where no key of the source gets this name, or where
    /// names cannot be told back.
    #[must_use]
    pub fn invert(&self, name: &Bytes, kind: Option<&[u8]>) -> Option<Bytes> {
        if self.replace.is_some() {
            return None;
        }
        let Some(parts) = &self.template else {
            return Some(name.clone());
        };
        let place = parts.iter().position(|part| *part == Part::Key)?;
        let (before, after) = parts.split_at(place);
        let after = after.get(1..).unwrap_or_default();
        if after.contains(&Part::Key) {
            return None;
        }
        let rest = name.strip_prefix(fill(before, b"", kind).as_slice())?;
        let rest = rest.strip_suffix(fill(after, b"", kind).as_slice())?;
        Some(name.slice_ref(rest))
    }

    /// The source's names can be told from the target's.
    #[must_use]
    pub fn can_be_inverted(&self) -> bool {
        let keys = |parts: &Vec<Part>| parts.iter().filter(|part| **part == Part::Key).count();
        self.replace.is_none() && self.template.as_ref().is_none_or(|parts| keys(parts) == 1)
    }

    /// Every key keeps its name.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.template.is_none() && self.replace.is_none()
    }

    /// The name depends on the key's type, which must be known before `apply`.
    #[must_use]
    pub fn needs_type(&self) -> bool {
        self.template
            .as_ref()
            .is_some_and(|parts| parts.contains(&Part::Type))
    }

    /// The key's name at the target. `kind` is the type as TYPE gives it; without it `#{type}` stands for nothing.
    #[must_use]
    pub fn apply<'k>(&self, key: &'k [u8], kind: Option<&[u8]>) -> Cow<'k, [u8]> {
        let named = match &self.template {
            None => Cow::Borrowed(key),
            Some(parts) => Cow::Owned(fill(parts, key, kind)),
        };
        let Some((regex, replacement)) = &self.replace else {
            return named;
        };
        match named {
            Cow::Borrowed(key) => regex.replace_all(key, replacement),
            Cow::Owned(key) => Cow::Owned(regex.replace_all(&key, replacement).into_owned()),
        }
    }
}

/// The template with its database numbers written out and adjoining text made one.
fn parts(template: &Template, source: u32, target: u32) -> Vec<Part> {
    let mut parts = Vec::with_capacity(template.parts.len());
    for part in &template.parts {
        let text = match part {
            TemplatePart::Text(text) => text.clone(),
            TemplatePart::SourceDatabase => source.to_string().into_bytes(),
            TemplatePart::TargetDatabase => target.to_string().into_bytes(),
            TemplatePart::Key => {
                parts.push(Part::Key);
                continue;
            }
            TemplatePart::Type => {
                parts.push(Part::Type);
                continue;
            }
        };
        match parts.last_mut() {
            Some(Part::Text(before)) => before.extend(text),
            _ if text.is_empty() => {}
            _ => parts.push(Part::Text(text)),
        }
    }
    parts
}

fn fill(parts: &[Part], key: &[u8], kind: Option<&[u8]>) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len() + 32);
    for part in parts {
        name.extend_from_slice(match part {
            Part::Text(text) => text,
            Part::Key => key,
            Part::Type => kind.unwrap_or_default(),
        });
    }
    name
}

/// The text that a match becomes, read as Java's `replaceAll` reads it.
///
/// `$1` and `${name}` are groups (of `$12`, the 2 belongs to the group only if there are twelve); a backslash takes the
/// next byte as it stands, and so does a `$` before what is no group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Replacement(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    /// The digits after a `$`; how many of them count depends on the expression.
    Digits(Vec<u8>),
    Name(String),
}

impl Replacement {
    fn parse(mut text: &[u8]) -> Self {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        while let Some((byte, rest)) = text.split_first() {
            text = rest;
            let piece = match (byte, rest) {
                (b'\\', [escaped, rest @ ..]) => {
                    literal.push(*escaped);
                    text = rest;
                    continue;
                }
                (b'$', [b'{', rest @ ..]) => rest
                    .iter()
                    .position(|byte| *byte == b'}')
                    .and_then(|end| rest.split_at_checked(end))
                    .and_then(|(name, rest)| {
                        let name = std::str::from_utf8(name).ok()?.to_owned();
                        Some((Piece::Name(name), rest.get(1..)?))
                    }),
                (b'$', [b'0'..=b'9', ..]) => {
                    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    rest.split_at_checked(digits)
                        .map(|(digits, rest)| (Piece::Digits(digits.to_vec()), rest))
                }
                _ => None,
            };
            let Some((piece, rest)) = piece else {
                literal.push(*byte);
                continue;
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
            text = rest;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Self(pieces)
    }
}

/// The group that the digits name among `groups` of them (the whole match is group 0 and counts), and the digits left
/// over as text: as many digits as still make a group that exists, but always the first.
fn split_digits(digits: &[u8], groups: usize) -> (usize, &[u8]) {
    let mut group = 0_usize;
    for (at, digit) in digits.iter().enumerate() {
        let longer = group
            .saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'));
        if at > 0 && longer >= groups {
            return (group, digits.get(at..).unwrap_or_default());
        }
        group = longer;
    }
    (group, &[])
}

impl Replacer for &Replacement {
    fn replace_append(&mut self, captures: &Captures<'_>, name: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => name.extend_from_slice(text),
                Piece::Digits(digits) => {
                    let (group, text) = split_digits(digits, captures.len());
                    if let Some(found) = captures.get(group) {
                        name.extend_from_slice(found.as_bytes());
                    }
                    name.extend_from_slice(text);
                }
                Piece::Name(group) => {
                    if let Some(found) = captures.name(group) {
                        name.extend_from_slice(found.as_bytes());
                    }
                }
            }
        }
    }
}

/// The first group that the replacement names and the expression does not have: `$3`, `${name}`.
///
/// `apply` would put nothing in its place.
#[must_use]
pub fn unknown_group(regex: &Regex, replacement: &[u8]) -> Option<String> {
    Replacement::parse(replacement)
        .0
        .iter()
        .find_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Digits(digits) => {
                let (group, _) = split_digits(digits, regex.captures_len());
                (group >= regex.captures_len()).then(|| format!("${group}"))
            }
            Piece::Name(name) => (!regex.capture_names().flatten().any(|known| known == name))
                .then(|| format!("${{{name}}}")),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rename(template: Option<Vec<TemplatePart>>, replace: Option<(&str, &str)>) -> Rename {
        let rewrite = Rewrite {
            template: template.map(|parts| Template { parts }),
            replace: replace
                .map(|(regex, text)| (Regex::new(regex).unwrap(), text.as_bytes().to_vec())),
            drop_expiry: false,
        };
        Rename::new(&rewrite, 3, 7)
    }

    fn replaced(regex: &str, text: &str, key: &str) -> String {
        let name = rename(None, Some((regex, text)))
            .apply(key.as_bytes(), None)
            .into_owned();
        String::from_utf8(name).unwrap()
    }

    #[test]
    fn without_a_rewrite_the_key_is_lent() {
        let rename = rename(None, None);
        assert!(rename.is_identity());
        assert!(!rename.needs_type());
        assert!(matches!(
            rename.apply(b"k\xff", None),
            Cow::Borrowed(b"k\xff")
        ));
    }

    #[test]
    fn a_template_of_the_key_alone_is_no_change() {
        assert!(rename(Some(vec![TemplatePart::Key]), None).is_identity());
    }

    #[test]
    fn a_template_is_filled() {
        let rename = rename(
            Some(vec![
                TemplatePart::Text(b"p\0:".to_vec()),
                TemplatePart::SourceDatabase,
                TemplatePart::Text(b">".to_vec()),
                TemplatePart::TargetDatabase,
                TemplatePart::Text(b":".to_vec()),
                TemplatePart::Type,
                TemplatePart::Text(b":".to_vec()),
                TemplatePart::Key,
            ]),
            None,
        );
        assert!(rename.needs_type());
        assert!(!rename.is_identity());
        assert_eq!(
            rename.apply(b"k\xff", Some(b"hash")).as_ref(),
            b"p\0:3>7:hash:k\xff"
        );
        assert_eq!(rename.apply(b"k", None).as_ref(), b"p\0:3>7::k");
    }

    #[test]
    fn the_template_comes_before_the_replacement() {
        let rename = rename(
            Some(vec![
                TemplatePart::Text(b"old:".to_vec()),
                TemplatePart::Key,
            ]),
            Some(("^old", "new")),
        );
        assert_eq!(rename.apply(b"1", None).as_ref(), b"new:1");
    }

    #[test]
    fn every_match_is_replaced() {
        assert_eq!(replaced(":", "/", "a:b:c"), "a/b/c");
        assert_eq!(replaced("x", "y", "abc"), "abc");
        assert_eq!(replaced("b*", "-", "abc"), "-a-c-");
    }

    #[test]
    fn groups_are_read_as_java_reads_them() {
        assert_eq!(replaced(r"(\w+):(\w+)", "$2:$1", "user:1"), "1:user");
        assert_eq!(replaced(r"(\w+):(\w+)", "$2x", "user:1"), "1x");
        assert_eq!(replaced(r"(\w+):(\w+)", "$12", "user:1"), "user2");
        assert_eq!(
            replaced(r"(?<a>\w+):(?<b>\w+)", "${b}_${a}", "user:1"),
            "1_user"
        );
        assert_eq!(replaced("a", r"\$1", "a"), "$1");
        assert_eq!(replaced("a", "$", "a"), "$");
        assert_eq!(replaced("a", "${", "a"), "${");
        assert_eq!(replaced("a", r"\", "a"), r"\");
        assert_eq!(replaced("b", "[$0]", "abc"), "a[b]c");
    }

    #[test]
    fn a_group_that_is_not_there_is_told() {
        let regex = Regex::new("(a)(?<n>b)").unwrap();
        assert_eq!(unknown_group(&regex, b"$1$2${n}$23\\$9"), None);
        assert_eq!(unknown_group(&regex, b"$1$3"), Some("$3".to_owned()));
        assert_eq!(unknown_group(&regex, b"${m}"), Some("${m}".to_owned()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(text: Vec<u8>, key: Vec<u8>) {
            let rewrite = Rewrite {
                template: None,
                replace: Some((Regex::new("(?s-u)(.)(.)").unwrap(), text)),
                drop_expiry: false,
            };
            let _ = Rename::new(&rewrite, 0, 0).apply(&key, None);
        }

        #[test]
        fn an_escaped_replacement_is_literal(text: Vec<u8>) {
            let escaped: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
            let rewrite = Rewrite {
                template: None,
                replace: Some((Regex::new("^k$").unwrap(), escaped)),
                drop_expiry: false,
            };
            let rename = Rename::new(&rewrite, 0, 0);
            prop_assert_eq!(rename.apply(b"k", None).into_owned(), text);
        }
    }
}
