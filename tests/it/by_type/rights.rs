//! Users and servers that do not know RESTORE, and users with few other rights.

use super::filling::{KINDS, fill, fill_big, fill_big_kinds};
use super::{assert_carried, assert_no_rubbish, count, pair, temporary, told};
use crate::data;
use crate::riot::{Output, Riot};
use crate::servers::{Server, Version};
use crate::store::Store as _;

/// A server with a user that has these rights.
fn with_user(version: Version, rules: &str) -> Server {
    Server::with(version)
        .acl(&format!(
            "user default on nopass ~* &* +@all\nuser few on >secret {rules}\n"
        ))
        .start()
}

/// The same for 6.0, which has no channels.
fn with_user_of_6_0(rules: &str) -> Server {
    Server::with(Version::Redis60)
        .acl(&format!(
            "user default on nopass ~* +@all\nuser few on >secret {rules}\n"
        ))
        .start()
}

fn as_source(run: Riot) -> Riot {
    run.words(["--source-user", "few", "--source-pass", "secret"])
}

fn as_target(run: Riot) -> Riot {
    run.words(["--target-user", "few", "--target-pass", "secret"])
}

/// Everything arrives, whatever the target is missing, and the report says how.
fn all_arrives(source: &Server, target: &Server, run: Riot) -> Output {
    fill(source);
    fill_big_kinds(source, 8_000, 1);
    let output = run.words(["--big-key", "500KB"]).run().exits(0);
    assert_carried(source, target);
    assert_no_rubbish(target);
    assert_eq!(count(&output, "failed"), 0, "{output}");
    assert!(count(&output, "in_chunks") >= 6, "{output}");
    output
}

#[test]
fn a_target_user_without_restore() {
    for (version, words) in [
        (Version::Redis70, &[][..]),
        (Version::Redis80, &["--type", "dump"]),
        (Version::Valkey81, &[]),
    ] {
        let source = Server::start(Version::Redis70);
        let target = with_user(version, "~* &* +@all -restore");
        let run = as_target(told(&source, &target)).words(words);
        let output = all_arrives(&source, &target, run);
        assert_eq!(target.calls("restore"), 0, "{output}");
        assert!(count(&output, "by_type") > 100, "{output}");
        output.says("RESTORE");
    }
}

#[test]
fn a_target_user_of_redis_6_0_without_restore() {
    let source = Server::start(Version::Redis60);
    let target = with_user_of_6_0("~* +@all -restore");
    let run = as_target(told(&source, &target));
    all_arrives(&source, &target, run);
}

#[test]
fn a_target_that_has_no_restore_at_all() {
    for version in [Version::Redis60, Version::Redis70] {
        let source = Server::start(version);
        let target = Server::with(version)
            .arguments(["--rename-command", "RESTORE", ""])
            .start();
        let run = told(&source, &target);
        all_arrives(&source, &target, run);
    }
}

#[test]
fn a_source_that_has_no_dump() {
    let start = || {
        let target = Server::start(Version::Redis70);
        (with_user(Version::Redis70, "~* &* +@all -dump"), target)
    };
    let (source, target) = start();
    let run = as_source(told(&source, &target)).words(["--type", "struct"]);
    all_arrives(&source, &target, run);
}

#[test]
fn a_source_user_that_may_only_read() {
    for version in [Version::Redis70, Version::Redis80, Version::Valkey81] {
        let source = with_user(version, "~* +@read +@connection");
        let target = Server::start(version);
        fill(&source);
        fill_big_kinds(&source, 8_000, 1);
        let output = as_source(told(&source, &target))
            .words(["--type", "struct", "--big-key", "500KB"])
            .run()
            .exits(0);
        // Without TIME nobody knows exactly when messages were delivered: that is said.
        let (wanted, found) = (data::snapshot(&source, 0), data::snapshot(&target, 0));
        let times = data::delivery_times(&wanted).into_iter();
        for (wanted, found) in times.zip(data::delivery_times(&found)) {
            assert!((wanted - found).abs() < 100, "{wanted}, {found}\n{output}");
        }
        let wrong = super::differences(
            data::without_delivery_times(wanted),
            data::without_delivery_times(found),
            0,
        );
        assert!(wrong.is_empty(), "{}\n{output}", wrong.join("\n"));
        assert_no_rubbish(&target);
        says_in_its_notes(&output, "TIME");
    }
}

/// Fails the test where no note of the report holds this.
#[track_caller]
fn says_in_its_notes(output: &Output, text: &str) {
    let report = output.report();
    let mut notes = report["notes"].as_array().unwrap().iter();
    let told = notes.any(|note| note.as_str().is_some_and(|note| note.contains(text)));
    assert!(told, "no note of {text}\n{output}");
}

#[test]
fn a_source_user_without_transactions() {
    for words in [["--type", "struct"], ["--type", "auto"]] {
        for rules in ["-watch -unwatch", "-multi -exec", "-exec", "-@transaction"] {
            let source = with_user(Version::Redis70, &format!("~* &* +@all {rules}"));
            let target = Server::start(Version::Redis70);
            let run = as_source(told(&source, &target)).words(words);
            all_arrives(&source, &target, run);
        }
    }
}

#[test]
fn a_source_user_that_may_not_ask_for_memory() {
    for carriage in ["struct", "auto"] {
        let (source, target) = (
            with_user(Version::Redis70, "~* &* +@all -memory"),
            Server::start(Version::Redis70),
        );
        fill(&source);
        fill_big_kinds(&source, 8_000, 1);
        let output = as_source(told(&source, &target))
            .words(["--type", carriage, "--big-key", "500KB"])
            .run()
            .exits(0);
        assert_carried(&source, &target);
        assert_no_rubbish(&target);
        if carriage == "auto" {
            // Nobody knows which keys are big.
            says_in_its_notes(&output, "MEMORY");
        }
    }
}

/// The rights that the tables of the page on security tell, in all and by type, in the rows that begin so. RESTORE is left out, and what this
/// version does not know.
fn rights_of_the_page(rows: &[&str], version: Version) -> String {
    let page = include_str!("../../../docs/security.md");
    let told = page
        .lines()
        .filter(|line| rows.iter().any(|row| line.starts_with(row)));
    let rules: Vec<String> = told
        .flat_map(|line| line.split('`').nth(1).unwrap().split(' '))
        .map(|rule| rule.replace("\\|", "|"))
        .filter(|rule| rule != "+restore")
        .filter(|rule| version.has_field_expiry() || !rule.starts_with("+hpexpire"))
        .collect();
    assert!(rules.len() > 25, "{rules:?}");
    format!("~* -@all {}", rules.join(" "))
}

#[test]
fn users_with_the_rights_that_the_documentation_tells_and_no_others() {
    for version in [Version::Redis70, Version::Redis80, Version::Valkey81] {
        let source = rights_of_the_page(&["| source, either way | `+", "| source | `+"], version);
        let target = rights_of_the_page(&["| target | `+"], version);
        let (source, target) = (with_user(version, &source), with_user(version, &target));
        let run = as_target(as_source(told(&source, &target)));
        all_arrives(&source, &target, run);
    }
}

#[test]
fn a_target_user_that_is_limited_to_some_keys_and_the_temporary_names() {
    let source = Server::start(Version::Redis70);
    for kind in KINDS {
        let key = format!("app:{kind}");
        fill_big(&mut source.connection(), kind, key.as_bytes(), 8_000, 1);
    }
    let target = with_user(Version::Redis70, "~app:* ~{*}:riot-tmp:* &* +@all");
    let output = as_target(told(&source, &target))
        .words(["--big-key", "100KB"])
        .run()
        .exits(0);
    assert_eq!(count(&output, "in_chunks"), 6, "{output}");
    assert_carried(&source, &target);
    assert_no_rubbish(&target);
}

#[test]
fn a_target_user_without_a_right_to_one_type_fails_its_keys_by_name() {
    let source = Server::start(Version::Redis70);
    fill_big_kinds(&source, 8_000, 1);
    source.tell("ZADD small 1 a");
    let target = with_user(Version::Redis70, "~* &* +@all -restore -zadd");
    let output = as_target(told(&source, &target))
        .words(["--big-key", "100KB"])
        .run()
        .exits(1);
    for key in ["zset", "small"] {
        let named = output
            .stderr
            .lines()
            .any(|line| line.contains(&format!("not copied: {key}: ")) && line.contains("NOPERM"));
        assert!(named, "{key}\n{output}");
    }
    assert_eq!(count(&output, "failed"), 2, "{output}");
    assert_eq!((target.count(), temporary(&target).len()), (5, 0));
}

#[test]
fn a_target_user_without_a_right_to_the_temporary_name_loses_no_key_silently() {
    let source = Server::start(Version::Redis70);
    for kind in KINDS {
        let key = format!("app:{kind}");
        fill_big(&mut source.connection(), kind, key.as_bytes(), 8_000, 1);
    }
    data::fill_strings(&source, "app:small:", 100, 20);
    let target = with_user(Version::Redis70, "~app:* &* +@all");
    let output = as_target(told(&source, &target))
        .words(["--big-key", "100KB", "--skip", "always"])
        .run();
    let (all, arrived) = (data::snapshot(&source, 0), data::snapshot(&target, 0));
    let missing = all.keys().filter(|key| !arrived.contains_key(key));
    let missing: Vec<String> = missing
        .map(|key| key.0.escape_ascii().to_string())
        .collect();
    assert_eq!(count(&output, "failed"), missing.len() as u64, "{output}");
    for key in &missing {
        assert!(
            output.stderr.contains(&format!("not copied: {key}: ")),
            "{key} is not named\n{output}"
        );
    }
    let status = i32::from(!missing.is_empty());
    let output = output.exits(status);
    assert!(arrived.len() >= 101, "{output}");
    assert_no_rubbish(&target);
}

#[test]
fn a_payload_over_the_targets_longest_string_is_no_failure() {
    let (source, target) = pair();
    // The payload of one key alone is too long for the target.
    target.tell("CONFIG SET proto-max-bulk-len 1mb");
    data::fill_mixed(&source, "mixed:", 300);
    fill_big(&mut source.connection(), "hash", b"large", 30_000, 1);
    fill_big(&mut source.connection(), "list", b"long", 30_000, 2);
    let output = told(&source, &target)
        .words(["--big-key", "0"])
        .run()
        .exits(0);
    assert_carried(&source, &target);
    assert_eq!(count(&output, "payload_refused"), 2, "{output}");
    assert_eq!(count(&output, "by_type"), 2, "{output}");
}
