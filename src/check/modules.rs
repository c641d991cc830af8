//! Modules: keys of their types go only where the target has them, too.

use redis::{FromRedisValue as _, Value};

use super::report::{Level, Place};
use super::{Findings, Reached};
use crate::config::{Config, Side};
use crate::session::takes_all;

/// Keys among which those of a module's type are looked for.
pub(super) const LOOKED_AT: &str = "1000";

/// Modules by what they are for, as one has different names at different servers: those, and the types of their keys.
const KNOWN: [(&[&str], &[&str]); 6] = [
    (&["rejson", "json"], &["ReJSON-RL"]),
    (&["timeseries"], &["TSDB-TYPE"]),
    (&["vectorset"], &["vectorset"]),
    (
        &["bf", "rebloom", "bloom"],
        &[
            "MBbloom--",
            "MBbloomCF",
            "CMSk-TYPE",
            "TopK-TYPE",
            "TDIS-TYPE",
            "bloomfltr",
        ],
    ),
    (&["graph"], &["graphdata"]),
    (&["search", "searchlight", "ft"], &[]),
];

/// The module of this name: its other names, and its types.
fn known(name: &str) -> Option<&'static (&'static [&'static str], &'static [&'static str])> {
    let name = name.to_lowercase();
    KNOWN
        .iter()
        .find(|(names, _)| names.contains(&name.as_str()))
}

/// The types of a module's keys, as TYPE says them; none where they are not known, or it has none.
pub(super) fn kinds(name: &str) -> &'static [&'static str] {
    known(name).map_or(&[], |(_, kinds)| kinds)
}

/// The names in the answer to MODULE LIST; `None` where it is none.
pub(super) fn names(answer: &Value) -> Option<Vec<String>> {
    let Value::Array(modules) = answer else {
        return None;
    };
    modules.iter().map(name).collect()
}

/// Fields and their values by turns, or a map.
fn name(module: &Value) -> Option<String> {
    let text = |value: &Value| String::from_redis_value(value.clone()).ok();
    let is_name = |field: &Value| text(field).is_some_and(|field| field == "name");
    match module {
        Value::Map(pairs) => {
            let (_, name) = pairs.iter().find(|(field, _)| is_name(field))?;
            text(name)
        }
        Value::Array(words) => {
            let mut pairs = words.chunks_exact(2);
            pairs.find_map(|pair| match pair {
                [field, name] if is_name(field) => text(name),
                _ => None,
            })
        }
        _ => None,
    }
}

/// All nodes' modules, each once; `None` where one does not tell.
fn all<'a>(reached: &'a Reached<'_>) -> Option<Vec<&'a str>> {
    let mut all: Vec<&str> = Vec::new();
    for survey in &reached.surveys {
        all.extend(survey.modules.as_ref().ok()?.iter().map(String::as_str));
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// Whether every node has the module, under whatever name.
fn has(reached: &Reached<'_>, module: &str) -> bool {
    let is_it = |name: &String| {
        name.eq_ignore_ascii_case(module)
            || known(module).is_some_and(|(names, _)| {
                let name = name.to_lowercase();
                names.contains(&name.as_str())
            })
    };
    let mut surveys = reached.surveys.iter();
    surveys.all(|survey| {
        let names = survey.modules.as_ref();
        names.is_ok_and(|names| names.iter().any(is_it))
    })
}

/// Tells of modules that the source has and the target has not.
pub(super) fn judge(
    config: &Config,
    source: &Reached<'_>,
    target: &Reached<'_>,
    findings: &mut Findings,
) {
    let Some(ours) = all(source) else {
        unknown(
            source,
            "keys of their types, if there are any, go only where the target has the same",
            findings,
        );
        return;
    };
    if ours.is_empty() {
        return;
    }
    if all(target).is_none() {
        let text = format!("the source has {}", ours.join(", "));
        unknown(target, &text, findings);
        return;
    }
    let mut lacks = false;
    for module in ours.iter().filter(|module| !has(target, module)) {
        lacks = true;
        lacking(config, source, module, findings);
    }
    if !lacks {
        let text = format!("the target has the source's modules: {}", ours.join(", "));
        findings.add(Level::Ok, Place::Both, "modules", text);
    }
}

fn unknown(reached: &Reached<'_>, meaning: &str, findings: &mut Findings) {
    findings.cured(
        Level::Note,
        reached.side(),
        "modules",
        format!("which modules it has cannot be known, as MODULE LIST is not to be had; {meaning}"),
        format!("ACL SETUSER {} +module|list", reached.user()),
    );
}

/// A module that the target has not.
fn lacking(config: &Config, source: &Reached<'_>, module: &str, findings: &mut Findings) {
    let kinds = kinds(module);
    let wanted = &config.selection.types;
    let is_wanted = |kind: &str| {
        let mut wanted = wanted.iter();
        config.selection.types.is_empty() || wanted.any(|wanted| wanted.eq_ignore_ascii_case(kind))
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_wanted(kind)) {
        return;
    }
    let seen: Vec<&str> = kinds
        .iter()
        .copied()
        .filter(|kind| is_wanted(kind))
        .filter(|kind| {
            let mut surveys = source.surveys.iter();
            surveys.any(|survey| survey.module_kinds.contains(kind))
        })
        .collect();
    let lack = format!("it does not have the module {module}, which the source has");
    let (level, meaning) = if !seen.is_empty() {
        // Those that are there may be among those that are left out.
        let level = if takes_all(config) {
            Level::NotReady
        } else {
            Level::Note
        };
        let meaning = format!(
            "the source has keys of type {}, which cannot be restored there and fail by name",
            seen.join(", ")
        );
        (level, meaning)
    } else if kinds.is_empty() && known(module).is_some() {
        let meaning = "its indexes are no keys, and are not copied".to_owned();
        (Level::Note, meaning)
    } else if kinds.is_empty() {
        let meaning =
            "keys of its types, if there are any, cannot be restored there and fail by name";
        (Level::Note, meaning.to_owned())
    } else {
        let meaning = format!(
            "keys of type {}, of which none was seen among the first {LOOKED_AT}, would fail by name",
            kinds.join(", ")
        );
        (Level::Note, meaning)
    };
    findings.cured(
        level,
        Side::Target,
        "modules",
        format!("{lack}: {meaning}"),
        "load it at the target (or take a server that has it), or leave such keys out by --key-type or --key-exclude",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn the_names_are_found_in_either_protocol() {
        let flat = Value::Array(vec![
            Value::Array(vec![
                word("name"),
                word("vectorset"),
                word("ver"),
                Value::Int(1),
                word("path"),
                word(""),
                word("args"),
                Value::Array(Vec::new()),
            ]),
            Value::Array(vec![
                word("ver"),
                Value::Int(20_612),
                word("name"),
                word("ReJSON"),
            ]),
        ]);
        let both = Some(vec!["vectorset".to_owned(), "ReJSON".to_owned()]);
        assert_eq!(names(&flat), both);
        let map = Value::Array(vec![Value::Map(vec![
            (word("name"), word("bf")),
            (word("ver"), Value::Int(20_800)),
        ])]);
        assert_eq!(names(&map), Some(vec!["bf".to_owned()]));
        assert_eq!(names(&Value::Array(Vec::new())), Some(Vec::new()));
    }

    #[test]
    fn an_answer_of_another_form_is_no_list() {
        assert_eq!(names(&Value::Okay), None);
        let nameless = Value::Array(vec![Value::Array(vec![word("ver"), Value::Int(1)])]);
        assert_eq!(names(&nameless), None);
    }

    #[test]
    fn types_are_known_by_the_names_that_servers_give_their_modules() {
        assert_eq!(kinds("ReJSON"), ["ReJSON-RL"]);
        assert_eq!(kinds("json"), ["ReJSON-RL"]);
        assert_eq!(kinds("vectorset"), ["vectorset"]);
        assert!(kinds("bf").contains(&"MBbloom--"));
        assert!(kinds("search").is_empty() && known("search").is_some());
        assert!(kinds("own").is_empty() && known("own").is_none());
    }
}
