//! Users that lack one right each, or most of them.

use std::collections::BTreeSet;

use super::{as_source, as_target, at_level, check, checked, fill, findings, finds, with_user};
use crate::servers::{Server, Version};

/// The commands that the guide's tables tell, in all and by type, in the rows that begin so: `memory|usage`.
fn commands_of_the_guide(rows: &[&str]) -> BTreeSet<String> {
    let guide = include_str!("../../../docs/security.md");
    let told = guide
        .lines()
        .filter(|line| rows.iter().any(|row| line.starts_with(row)));
    let rules = told.flat_map(|line| line.split('`').nth(1).unwrap().split(' '));
    let commands = rules.filter_map(|rule| rule.strip_prefix('+'));
    // Who may not PING has answered as well.
    commands
        .map(|command| command.replace("\\|", "|"))
        .filter(|command| command != "ping")
        .collect()
}

/// A user for each command, who may run all others.
fn server_of(version: Version, commands: &BTreeSet<String>) -> Server {
    let server = Server::start(version);
    let channels = if version.since_70() { " &*" } else { "" };
    for (number, command) in commands.iter().enumerate() {
        // Redis 6 takes a command from a user whole.
        let taken = match (version, command.split_once('|')) {
            (Version::Redis60, Some((container, _))) => container,
            _ => command.as_str(),
        };
        server.tell(&format!(
            "ACL SETUSER user{number} on >secret ~*{channels} +@all -{taken}"
        ));
    }
    server
}

/// Each command of the guide is told by its name and rule where a user may not run it, whatever else it may.
fn each_is_told(version: Version, side: &str, rows: &[&str]) {
    let mut commands = commands_of_the_guide(rows);
    assert!(commands.len() > 25, "{commands:?}");
    commands.retain(|command| {
        let expires_fields = command.starts_with("hpexpire");
        let since_70 = command == "pexpiretime";
        (!expires_fields || version.has_field_expiry()) && (!since_70 || version.since_70())
    });
    let (own, other) = (server_of(version, &commands), Server::start(version));
    let (source, target) = if side == "source" {
        (&own, &other)
    } else {
        (&other, &own)
    };
    for words in [&["--type", "struct"][..], &["--mode", "live"]] {
        for (number, command) in commands.iter().enumerate() {
            let run = check(source, target)
                .words([format!("--{side}-user"), format!("user{number}")])
                .words([format!("--{side}-pass"), "secret".to_owned()])
                .words(words);
            let output = checked(source, target, run);
            // What live alone needs, and what DUMP and RESTORE alone need, is not asked for without.
            let whole = words[1] == "live";
            let live = ["client|", "exists", "scan"]
                .iter()
                .any(|name| command.starts_with(name));
            let payloads = ["dump", "restore"].contains(&command.as_str());
            let told = findings(&output).into_iter().any(|finding| {
                let (text, cure) = (finding["text"].as_str(), finding["cure"].as_str());
                let name = command.to_uppercase().replace('|', " ");
                finding["level"] != "ok"
                    && finding["side"] == side
                    && text.is_some_and(|text| text.contains(&name))
                    && [text, cure].into_iter().flatten().any(|line| {
                        line.split([' ', ')', ',', ';'])
                            .any(|word| word == format!("+{command}"))
                    })
            });
            let asked_for = whole || !(live || payloads);
            assert!(
                told || !asked_for || command == "psubscribe",
                "{version:?} {side} {command} {words:?}\n{output}"
            );
            assert!(matches!(output.code(), Some(0 | 1)), "{output}");
        }
    }
}

#[test]
fn each_right_of_the_source_is_told_by_name() {
    for version in [Version::Redis80, Version::Redis60] {
        let rows = ["| source, either way | `+", "| source | `+"];
        each_is_told(version, "source", &rows);
    }
}

#[test]
fn each_right_of_the_target_is_told_by_name() {
    for version in [Version::Redis70, Version::Redis60] {
        each_is_told(version, "target", &["| target | `+"]);
    }
}

#[test]
fn what_the_guide_allows_is_enough() {
    let version = Version::Redis80;
    let rules = |rows: &[&str]| {
        let commands = commands_of_the_guide(rows);
        let rules: Vec<String> = commands
            .iter()
            .map(|command| format!("+{command}"))
            .collect();
        format!("~* -@all +ping {}", rules.join(" "))
    };
    let source = with_user(
        version,
        &rules(&[
            "| source, either way | `+",
            "| source | `+",
            "| … by tracking | `+",
        ]),
    );
    let target = with_user(version, &rules(&["| target | `+"]));
    fill(&source);
    for words in [&["--live"][..], &[], &["--type", "struct"]] {
        let run = as_target(as_source(check(&source, &target))).words(words);
        let output = checked(&source, &target, run).exits(0);
        assert_eq!(at_level(&output, "not_ready"), Vec::<String>::new());
    }
}

#[test]
fn a_reader_is_told_which_guarantees_are_lost() {
    for version in [Version::Redis70, Version::Valkey81] {
        let source = with_user(version, "~* resetchannels +@read +@connection -client|list");
        let target = Server::start(version);
        fill(&source);
        let live = || as_source(check(&source, &target)).word("--live");
        let output = checked(&source, &target, live()).exits(1);
        for (name, words) in [
            ("info", ["FLUSHALL", "ACL SETUSER few +info"]),
            ("time", ["expiries", "ACL SETUSER few +time"]),
            (
                "client list",
                ["event connections", "ACL SETUSER few +client|list"],
            ),
        ] {
            finds(&output, "source", name, "not_ready", &words);
            finds(&output, "source", name, "not_ready", &["--accept-unproven"]);
        }
        let output = checked(&source, &target, live().word("--accept-unproven")).exits(0);
        finds(&output, "source", "info", "note", &["FLUSHALL"]);
        finds(&output, "source", "events", "ok", &["client tracking"]);
        finds(
            &output,
            "source",
            "notify-keyspace-events",
            "note",
            &["+config|get"],
        );
        finds(
            &output,
            "target",
            "memory",
            "note",
            &["cannot be known", "+info"],
        );
        // A snapshot does without.
        checked(&source, &target, as_source(check(&source, &target))).exits(0);
    }
}

#[test]
fn without_restore_the_commands_of_the_types_are_needed() {
    let source = Server::start(Version::Redis70);
    fill(&source);
    for (rules, status) in [("-restore -config -cluster", 0), ("-restore -zadd", 1)] {
        let target = with_user(Version::Redis70, &format!("~* &* +@all {rules}"));
        let output = checked(&source, &target, as_target(check(&source, &target))).exits(status);
        finds(
            &output,
            "target",
            "restore",
            "note",
            &["ACL SETUSER few +restore"],
        );
        if status == 1 {
            finds(
                &output,
                "target",
                "zadd",
                "not_ready",
                &["ACL SETUSER few +zadd"],
            );
            let run = as_target(check(&source, &target)).words(["--key-type", "hash"]);
            checked(&source, &target, run).exits(0);
        }
    }
}

#[test]
fn a_right_that_only_a_write_would_tell_is_asked_of_the_access_list() {
    let source = Server::start(Version::Redis70);
    let cases = [
        (Version::Redis60, "-multi -rpush", false),
        (Version::Redis70, "-multi -rpush -acl", false),
        (Version::Redis70, "-multi -rpush", true),
        (Version::Valkey81, "-multi -rpush", true),
        (Version::Redis70, "-rpush", true),
    ];
    for (version, rules, is_known) in cases {
        let (level, words) = if is_known {
            ("not_ready", "is not allowed")
        } else {
            ("note", "cannot be known")
        };
        let channels = if version.since_70() { "&* " } else { "" };
        let target = with_user(version, &format!("~* {channels}+@all {rules}"));
        let run = as_target(check(&source, &target)).words(["--type", "struct"]);
        let output = checked(&source, &target, run).exits(1);
        finds(&output, "target", "rpush", level, &[words, "+rpush"]);
    }
}

#[test]
fn a_user_who_may_access_some_keys_alone_is_told() {
    let source = Server::start(Version::Redis70);
    let target = with_user(Version::Redis70, "~app:* &* +@all");
    let output = checked(&source, &target, as_target(check(&source, &target))).exits(0);
    finds(
        &output,
        "target",
        "key patterns",
        "note",
        &["ACL SETUSER few ~*"],
    );
    finds(
        &output,
        "target",
        "temporary names",
        "note",
        &["~{*}:riot-tmp:*"],
    );
    let target = with_user(Version::Redis70, "~app:* ~{*}:riot-tmp:* &* +@all");
    let output = checked(&source, &target, as_target(check(&source, &target))).exits(0);
    assert!(
        super::found(&output, "target", "temporary names").is_none(),
        "{output}"
    );
}

#[test]
fn transactions_and_replicas_that_are_asked_for_need_their_rights() {
    let source = Server::start(Version::Redis70);
    let target = with_user(Version::Redis70, "~* &* +@all -multi -wait");
    let run = as_target(check(&source, &target)).words(["--multi-exec", "--wait-replicas", "1"]);
    let output = checked(&source, &target, run).exits(1);
    assert_eq!(at_level(&output, "not_ready"), ["wait", "multi"]);
    checked(&source, &target, as_target(check(&source, &target))).exits(0);
}

#[test]
fn a_full_comparison_reads_at_the_target_too() {
    let source = Server::start(Version::Redis70);
    let target = with_user(Version::Redis70, "~* &* +@all -dump -mget");
    for words in [&["--compare", "full"][..], &["--mode", "compare"]] {
        let run = as_target(check(&source, &target)).words(words);
        let output = checked(&source, &target, run).exits(1);
        assert_eq!(at_level(&output, "not_ready"), ["mget", "dump"]);
    }
    checked(&source, &target, as_target(check(&source, &target))).exits(0);
}
