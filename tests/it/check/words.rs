//! The words of `riot check`: the spellings, and what is refused.

use super::{check, checked, fill, findings};
use serde_json::Value;

use crate::riot::{Output, riot};
use crate::servers::{Server, Version};

#[test]
fn riot_3s_spelling_names_the_same_sides() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    fill(&source);
    let ports = [source.port().to_string(), target.port().to_string()];
    let words = [
        "-p", &ports[0], "check", "--report", "json", "-p", &ports[1],
    ];
    let output = checked(&source, &target, riot(words)).exits(0);
    let report = output.report();
    assert_eq!(report["source"]["address"], source.address(), "{output}");
    assert_eq!(report["target"]["address"], target.address(), "{output}");
    let four = checked(&source, &target, check(&source, &target)).exits(0);
    let levels = |output: &Output| -> Vec<(Value, Value, Value)> {
        let found = findings(output).into_iter();
        let level = |mut one: Value| (one["side"].take(), one["name"].take(), one["level"].take());
        found.map(level).collect()
    };
    assert_eq!(levels(&output), levels(&four));
}

#[test]
fn wrong_words_are_refused_as_they_are_of_a_run() {
    let (a, b) = ("127.0.0.1:1", "127.0.0.1:2");
    for (words, named) in [
        (&["check", a][..], "TARGET is missing"),
        (&["check", a, a], "same database"),
        (&["check", "--quick", a, b], "--compare quick"),
        (&["check", "--merge", a, b], "--type struct"),
        (&["check", "--live", "--state", "file", a, b], "--state"),
        (&["check", "--user", "x", a, b], "--target-user"),
    ] {
        riot(words).run().names(2, &[named]);
    }
}
