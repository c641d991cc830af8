//! Modules that one side has and the other has not.

use super::{as_source, as_target, check, checked, fill, finds, found, with_user};
use crate::servers::{Server, Version};

const VECTORS: &str = "VADD vectors VALUES 2 0.5 0.5 a";

#[test]
fn a_module_that_the_target_lacks_is_told_and_stops_a_run_that_has_keys_of_it() {
    let source = Server::start(Version::Redis80);
    fill(&source);
    for version in [Version::Redis70, Version::Valkey81] {
        let target = Server::start(version);
        let output = checked(&source, &target, check(&source, &target)).exits(0);
        let words = ["the module vectorset", "none was seen among the first 1000"];
        finds(&output, "target", "modules", "note", &words);
    }
    let target = Server::start(Version::Redis70);
    source.tell(VECTORS);
    let output = checked(&source, &target, check(&source, &target)).exits(1);
    let words = [
        "the module vectorset",
        "keys of type vectorset",
        "fail by name",
        "--key-type",
    ];
    finds(&output, "target", "modules", "not_ready", &words);
    // Of some keys alone it is not known which.
    let some = check(&source, &target).words(["--key-pattern", "h*"]);
    let output = checked(&source, &target, some).exits(0);
    finds(&output, "target", "modules", "note", &["vectorset"]);
    let hashes = check(&source, &target).words(["--key-type", "hash"]);
    let output = checked(&source, &target, hashes).exits(0);
    assert!(found(&output, "target", "modules").is_none(), "{output}");
}

#[test]
fn modules_that_both_have_and_a_source_without_any_are_as_they_should_be() {
    let (source, target) = (
        Server::start(Version::Redis80),
        Server::start(Version::Redis80),
    );
    source.tell(VECTORS);
    let output = checked(&source, &target, check(&source, &target)).exits(0);
    finds(&output, "both", "modules", "ok", &["vectorset"]);
    let plain = Server::start(Version::Redis70);
    let output = checked(&plain, &target, check(&plain, &target)).exits(0);
    for side in ["source", "target", "both"] {
        assert!(found(&output, side, "modules").is_none(), "{output}");
    }
}

#[test]
fn modules_that_may_not_be_listed_are_not_known() {
    let source = with_user(Version::Redis80, "~* &* +@all -module");
    let target = Server::start(Version::Redis70);
    let output = checked(&source, &target, as_source(check(&source, &target))).exits(0);
    let words = ["cannot be known", "+module|list"];
    finds(&output, "source", "modules", "note", &words);
    let source = Server::start(Version::Redis80);
    let target = with_user(Version::Redis70, "~* &* +@all -module");
    let output = checked(&source, &target, as_target(check(&source, &target))).exits(0);
    let words = ["cannot be known", "the source has vectorset"];
    finds(&output, "target", "modules", "note", &words);
    // The command is not there at all.
    let source = Server::with(Version::Redis80)
        .arguments(["--rename-command", "MODULE", ""])
        .start();
    let target = Server::start(Version::Redis70);
    let output = checked(&source, &target, check(&source, &target)).exits(0);
    finds(&output, "source", "modules", "note", &["cannot be known"]);
}
