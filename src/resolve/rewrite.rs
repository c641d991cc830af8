//! What changes on the way: key templates, key replacement, expiry.

use std::ffi::OsStr;

use regex::bytes::Regex;

use super::UsageError;
use super::keys::{bytes_regex, regex_reason};
use crate::cli::Changes;
use crate::config::{Rewrite, Template, TemplatePart};

/// Resolves `--key-process`, `--key-replace`, `--no-ttl`.
pub(super) fn resolve(changes: &Changes) -> Result<Rewrite, UsageError> {
    Ok(Rewrite {
        template: changes.key_process.as_deref().map(template).transpose()?,
        replace: changes
            .key_replace
            .as_deref()
            .map(replacement)
            .transpose()?,
        drop_expiry: changes.no_ttl,
    })
}

fn template(text: &OsStr) -> Result<Template, UsageError> {
    const OPTION: &str = "--key-process";
    let mut parts = Vec::new();
    let mut rest = text.as_encoded_bytes();
    let mut literal = Vec::new();
    while let Some((&byte, after)) = rest.split_first() {
        let Some(inside) = rest.strip_prefix(b"#{") else {
            literal.push(byte);
            rest = after;
            continue;
        };
        let end = inside.iter().position(|byte| *byte == b'}');
        let (field, after) = end
            .and_then(|end| inside.split_at_checked(end))
            .ok_or_else(|| UsageError::new(OPTION, "has a #{ without its }"))?;
        let field = String::from_utf8_lossy(field);
        let part = match field.trim() {
            "key" => TemplatePart::Key,
            "type" => TemplatePart::Type,
            "#source.database" => TemplatePart::SourceDatabase,
            "#target.database" => TemplatePart::TargetDatabase,
            other => {
                let reason = format!(
                    "#{{{other}}} is not known here; a template has #{{key}}, #{{type}}, #{{#source.database}}, \
                     #{{#target.database}} and text; for other changes of names use --key-replace"
                );
                return Err(UsageError::new(OPTION, reason));
            }
        };
        if !literal.is_empty() {
            parts.push(TemplatePart::Text(std::mem::take(&mut literal)));
        }
        parts.push(part);
        rest = after.get(1..).unwrap_or_default();
    }
    if !literal.is_empty() {
        parts.push(TemplatePart::Text(literal));
    }
    if !parts.contains(&TemplatePart::Key) {
        return Err(UsageError::new(
            OPTION,
            "without #{key} all keys would get the same name",
        ));
    }
    Ok(Template { parts })
}

fn replacement(text: &str) -> Result<(Regex, Vec<u8>), UsageError> {
    const OPTION: &str = "--key-replace";
    let (pattern, with) = text.split_once("=>").ok_or_else(|| {
        UsageError::new(
            OPTION,
            format!("'{text}' has no =>; write 'RE=>TEXT', as '^old:=>new:'"),
        )
    })?;
    let regex = bytes_regex(pattern).map_err(|error| {
        UsageError::new(OPTION, format!("'{pattern}': {}", regex_reason(&error)))
    })?;
    for group in groups(with) {
        let known = match group.parse::<usize>() {
            Ok(number) => number < regex.captures_len(),
            Err(_) => regex.capture_names().flatten().any(|name| name == group),
        };
        if !known {
            let reason = format!(
                "${group} is no group of '{pattern}'; ${{1}} is the first group, $$ a dollar sign"
            );
            return Err(UsageError::new(OPTION, reason));
        }
    }
    Ok((regex, with.as_bytes().to_vec()))
}

/// Groups that a replacement names, as the regex crate reads it: `$1`, `$name`, `${name}`.
fn groups(text: &str) -> Vec<&str> {
    let mut groups = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
        } else if let Some((name, after)) = after
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'))
        {
            groups.push(name);
            rest = after;
        } else {
            let end = after
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            groups.extend(Some(name).filter(|name| !name.is_empty()));
            rest = after;
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::TemplatePart::{Key, SourceDatabase, TargetDatabase, Text, Type};
    use super::*;

    #[test]
    fn templates_of_text_and_fields() {
        let text = |text: &str| Text(text.as_bytes().to_vec());
        for (given, parts) in [
            ("prefix:#{key}", vec![text("prefix:"), Key]),
            ("#{type}:#{key}", vec![Type, text(":"), Key]),
            (
                "#{#source.database}:#{ key }#{#target.database}",
                vec![SourceDatabase, text(":"), Key, TargetDatabase],
            ),
            ("#{key}#", vec![Key, text("#")]),
            ("{#{key}}", vec![text("{"), Key, text("}")]),
        ] {
            assert_eq!(template(OsStr::new(given)).unwrap().parts, parts, "{given}");
        }
    }

    #[test]
    fn templates_that_are_no_templates() {
        for (given, reason) in [
            ("prefix:#{key", "without its }"),
            ("#{'a' + key}", "use --key-replace"),
            ("#{key.toUpperCase()}", "use --key-replace"),
            ("prefix", "without #{key}"),
            ("", "without #{key}"),
            ("#{type}", "without #{key}"),
        ] {
            let error = template(OsStr::new(given)).unwrap_err().to_string();
            assert!(
                error.starts_with("--key-process: ") && error.contains(reason),
                "{given}: {error}"
            );
        }
    }

    #[test]
    fn replacements_know_their_groups() {
        for (given, key, expected) in [
            ("^old:=>new:", "old:1", "new:1"),
            ("^(a+)(b)=>$2-$1", "aab1", "b-aa1"),
            ("(?P<name>x)=>${name}y", "x", "xy"),
            ("b=>$$1", "b", "$1"),
            ("b=>", "abc", "ac"),
            ("b=>=>", "abc", "a=>c"),
        ] {
            let (regex, with) = replacement(given).unwrap();
            let written = regex.replace_all(key.as_bytes(), with.as_slice());
            assert_eq!(String::from_utf8_lossy(&written), expected, "{given}");
        }
        for given in ["old", "(=>x", "a=>$1", "(a)=>$1x", "(a)=>${b}"] {
            let error = replacement(given).unwrap_err().to_string();
            assert!(error.starts_with("--key-replace: "), "{given}: {error}");
        }
    }
}
