//! What of a command line must stay the same for a copy to go on: what decides which keys are copied, from where to where, and
//! as what. How fast it goes may differ, and how it is carried and compared.

use std::collections::BTreeMap;

use crate::config::{Config, Endpoint, Rewrite, Selection, TemplatePart};
use crate::text::printable;

/// How the two addresses are called.
pub(super) const SOURCE: &str = "SOURCE";
pub(super) const TARGET: &str = "TARGET";

/// The options by their names; those that were not given are left out. No password is among them.
#[must_use]
pub fn options(config: &Config) -> BTreeMap<String, String> {
    let Selection {
        pattern,
        types,
        include,
        exclude,
        slots,
        scan_count: _,
        memory_limit,
        memory_samples: _,
    } = &config.selection;
    let Rewrite {
        template,
        replace,
        drop_expiry,
    } = &config.rewrite;
    let some = |given: bool, text: String| given.then_some(text);
    let expressions = |expressions: &[regex::bytes::Regex]| {
        let mut expressions: Vec<&str> = expressions
            .iter()
            .map(regex::bytes::Regex::as_str)
            .collect();
        expressions.sort_unstable();
        some(!expressions.is_empty(), expressions.join(" "))
    };
    let mut kinds = types.clone();
    kinds.sort_unstable();
    let slots: Vec<String> = slots
        .iter()
        .map(|(first, last)| format!("{first}-{last}"))
        .collect();
    let all = [
        (SOURCE, Some(place(&config.source))),
        (TARGET, Some(place(&config.target))),
        ("--key-pattern", some(pattern != b"*", printable(pattern))),
        ("--key-type", some(!kinds.is_empty(), kinds.join(","))),
        ("--key-include", expressions(include)),
        ("--key-exclude", expressions(exclude)),
        ("--key-slots or --shard", Some(slots.join(" "))),
        ("--mem-limit", memory_limit.map(|limit| limit.to_string())),
        (
            "--key-process",
            template
                .as_ref()
                .map(|template| template.parts.iter().map(part).collect()),
        ),
        (
            "--key-replace",
            replace
                .as_ref()
                .map(|(expression, text)| format!("{expression}=>{}", printable(text))),
        ),
        ("--no-ttl", some(*drop_expiry, "given".to_owned())),
        (
            "--no-stream-id",
            some(!config.flow.stream_ids, "given".to_owned()),
        ),
        (
            "--stream-prune",
            some(config.flow.prune_streams, "given".to_owned()),
        ),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn place(endpoint: &Endpoint) -> String {
    format!("{}, database {}", endpoint.address, endpoint.database)
}

fn part(part: &TemplatePart) -> String {
    match part {
        TemplatePart::Text(text) => printable(text),
        TemplatePart::Key => "#{key}".to_owned(),
        TemplatePart::Type => "#{type}".to_owned(),
        TemplatePart::SourceDatabase => "#{#source.database}".to_owned(),
        TemplatePart::TargetDatabase => "#{#target.database}".to_owned(),
    }
}
