//! What an operator sees: bars, log lines, the report in its three forms, exit statuses.

use serde_json::Value as Json;

use crate::data;
use crate::proxy::{Direction, Proxy};
use crate::riot::{compare, replicate, riot};
use crate::servers::{Server, Version};

/// A source of 4,000 keys of all types and an empty target.
fn pair() -> (Server, Server) {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_mixed(&source, "mixed:", 4000);
    (source, target)
}

#[test]
fn bars_move_on_a_terminal_and_the_report_stands_below() {
    let percents = regex::Regex::new(r"Scanning +(\d+)%").unwrap();
    for (words, full) in [
        (vec![], "━"),
        (vec!["--progress", "block"], "█"),
        (vec!["--progress", "ascii"], "="),
    ] {
        let (source, target) = pair();
        let mut terminal = replicate(&source, &target)
            .words(["--rate", "3000", "--progress-rate", "100ms"])
            .words(words)
            .on_terminal();
        terminal.wait_for("Scanning");
        let output = terminal.finish().exits(0);
        let mut seen: Vec<u32> = percents
            .captures_iter(&output.stdout)
            .map(|found| found[1].parse().unwrap())
            .collect();
        assert!(seen.is_sorted(), "the bar went back: {seen:?}\n{output}");
        seen.dedup();
        assert!(seen.len() > 3, "the bar did not move: {seen:?}\n{output}");
        // What stays on the screen, line by line.
        let screen: Vec<&str> = output
            .screen
            .lines()
            .filter(|line| !line.is_empty())
            .collect();
        let expected = [
            format!("source  {}", source.address()),
            format!("target  {}", target.address()),
            "Scanning  100% ".into(),
            "Comparing 100% ".into(),
            "4,000 keys: 4,000 written, 0 deleted, 0 skipped, 0 failed".into(),
            String::new(),
            "0 missing, 0 type, 0 value, 0 ttl".into(),
        ];
        assert_eq!(screen.len(), expected.len(), "{screen:#?}\n{output}");
        for (line, start) in screen.iter().zip(&expected) {
            assert!(
                line.starts_with(start),
                "`{start}` was expected\n{screen:#?}\n{output}"
            );
        }
        assert!(
            screen[2].contains(full) && screen[2].contains("k/s"),
            "{screen:#?}"
        );
        assert!(screen[3].contains("0 differ"), "{screen:#?}");
    }
}

#[test]
fn log_lines_stand_in_for_bars_where_there_is_no_terminal() {
    let (source, target) = pair();
    let output = replicate(&source, &target)
        .words(["--rate", "1500"])
        .run()
        .exits(0);
    let lines: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| line.contains("scanning"))
        .collect();
    assert!(lines.len() >= 2, "a line a second was expected\n{output}");
    assert!(
        !output.stderr.contains('\u{1b}') && !output.stderr.contains('━'),
        "control sequences\n{output}"
    );
    let middle = lines[lines.len() / 2];
    for part in ["keys", "/s", "%", "left"] {
        assert!(middle.contains(part), "no `{part}` in `{middle}`\n{output}");
    }
    output.says("source  ").says("target  ").says("7.0.");
}

#[test]
fn progress_none_shows_none() {
    let (source, target) = pair();
    let output = replicate(&source, &target)
        .words(["--rate", "3000", "--progress", "none"])
        .run()
        .exits(0);
    assert!(!output.stderr.contains("scanning"), "{output}");
    let (source, target) = pair();
    let terminal = replicate(&source, &target)
        .words(["--progress", "none", "--rate", "8000"])
        .on_terminal();
    let output = terminal.finish().exits(0);
    assert!(!output.stdout.contains("Scanning"), "{output}");
}

#[test]
fn the_report_in_text_is_three_lines_alone_on_standard_output() {
    let (source, target) = pair();
    let output = replicate(&source, &target).run().exits(0);
    let lines: Vec<&str> = output
        .stdout
        .lines()
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(lines.len(), 3, "{output}");
    assert_eq!(
        lines[0], "4,000 keys: 4,000 written, 0 deleted, 0 skipped, 0 failed",
        "{output}"
    );
    let second = regex::Regex::new(
        r"^[\d.]+ m?s, [\d,]+ keys/s, [\d.,]+ [kKMG]?B/s, 0 retries, peak memory [\d.,]+ [kKMG]?B$",
    );
    assert!(second.unwrap().is_match(lines[1]), "{output}");
    assert_eq!(lines[2], "0 missing, 0 type, 0 value, 0 ttl", "{output}");
}

/// The number under this name, anywhere in the report; of an object the sum of what it holds.
fn number(report: &Json, name: &str) -> Option<u64> {
    let Json::Object(fields) = report else {
        return None;
    };
    match fields.get(name) {
        Some(Json::Number(number)) => number.as_u64(),
        Some(Json::Object(parts)) => parts.values().map(Json::as_u64).sum(),
        _ => fields.values().find_map(|value| number(value, name)),
    }
}

#[test]
fn the_report_in_json_is_one_object_with_counts_that_add_up() {
    let (source, target) = pair();
    let output = replicate(&source, &target)
        .words(["--report", "json"])
        .run()
        .exits(0);
    let report = output.report();
    let get = |name: &str| number(&report, name).unwrap_or_else(|| panic!("no {name}\n{output}"));
    assert_eq!(get("scanned"), 4000, "{output}");
    assert_eq!(
        get("written") + get("deleted") + get("skipped") + get("failed"),
        4000,
        "{output}"
    );
    assert_eq!(report["scan_complete"], true, "{output}");
    assert_eq!(
        [get("missing"), get("type"), get("value"), get("ttl")],
        [0; 4],
        "{output}"
    );

    target.tell("DEL mixed:0 mixed:1");
    let output = compare(&source, &target)
        .words(["--report", "json", "--rounds", "1"])
        .run()
        .exits(1);
    assert_eq!(number(&output.report(), "missing"), Some(2), "{output}");
}

#[test]
fn the_short_report_is_riot_redis_2s_line() {
    let (source, target) = pair();
    replicate(&source, &target).run().exits(0);
    let output = compare(&source, &target)
        .words(["--report", "short"])
        .run()
        .exits(0);
    assert_eq!(output.stdout.trim(), "OK:4000 V:0 >:0 <:0 T:0", "{output}");
    target.tell("DEL mixed:0 mixed:1");
    target.tell("SET mixed:3 x");
    target.tell("PERSIST mixed:5");
    let output = compare(&source, &target)
        .words(["--report", "short", "--rounds", "1"])
        .run()
        .exits(1);
    assert_eq!(output.stdout.trim(), "OK:3996 V:1 >:2 <:0 T:1", "{output}");
}

#[test]
fn latency_of_the_commands_is_reported_for_each_side() {
    let (source, target) = pair();
    let slow = Proxy::to(&target.address());
    slow.delay(Direction::Down, std::time::Duration::from_millis(30));
    let output = riot([
        "replicate".into(),
        "--latency".into(),
        source.uri(),
        slow.address(),
    ])
    .run()
    .exits(0);
    for word in ["p50", "p99", "max", "source", "target", "MGET", "RESTORE"] {
        let found = output.stdout.to_lowercase().contains(&word.to_lowercase());
        assert!(found, "no `{word}`\n{output}");
    }
}

#[test]
fn logs_in_json_are_one_object_a_line() {
    let (source, target) = pair();
    let words = ["--log-format", "json", "-d", "--progress", "none"];
    let output = replicate(&source, &target).words(words).run().exits(0);
    let mut logged = 0;
    for line in output
        .stderr
        .lines()
        .filter(|line| !line.starts_with("source ") && !line.starts_with("target "))
    {
        let parsed: Result<Json, _> = serde_json::from_str(line);
        assert!(
            parsed.is_ok_and(|json| json.is_object()),
            "`{line}` is no JSON object\n{output}"
        );
        logged += 1;
    }
    assert!(logged > 0, "{output}");
}

#[test]
fn logs_go_to_the_file_that_was_named() {
    let (source, target) = pair();
    let file = source.folder().join("riot.log");
    replicate(&source, &target)
        .words(["-d", "--log-file", file.to_str().unwrap()])
        .run()
        .exits(0);
    let first = std::fs::read_to_string(&file).unwrap();
    assert!(!first.is_empty());
    replicate(&source, &target)
        .words(["-d", "--log-file", file.to_str().unwrap()])
        .run()
        .exits(0);
    assert!(
        std::fs::read_to_string(&file).unwrap().starts_with(&first),
        "the file was not appended to"
    );
    replicate(&source, &target)
        .words(["--log-file", "/no/such/folder/riot.log"])
        .run()
        .refuses(2, &["log file", "/no/such/folder/riot.log"]);
}

#[test]
fn quiet_says_nothing_but_errors() {
    let (source, target) = pair();
    let output = replicate(&source, &target)
        .words(["-q", "--progress", "none"])
        .run()
        .exits(0);
    let talk: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| !line.starts_with("source ") && !line.starts_with("target "))
        .collect();
    assert!(talk.is_empty(), "{output}");
}

#[test]
fn help_and_version_are_for_people() {
    let output = riot(["--version"]).run().exits(0);
    assert_eq!(
        output.stdout.trim(),
        format!("riot {}", env!("CARGO_PKG_VERSION")),
        "{output}"
    );
    assert_eq!(riot(["-V"]).run().exits(0).stdout, output.stdout);
    riot(["--help"])
        .run()
        .exits(0)
        .prints("replicate")
        .prints("compare");
    let output = riot(["replicate", "--help"]).run().exits(0);
    for option in [
        "--source-cacert",
        "--key-pattern",
        "--mem-budget",
        "--compare",
        "--progress",
        "--target-resp",
    ] {
        assert!(output.stdout.contains(option), "no {option}\n{output}");
    }
    assert!(
        output
            .stdout
            .lines()
            .all(|line| line.chars().count() <= 120),
        "{output}"
    );
    riot(["replicate", "--help"])
        .variable("RIOT_SOURCE_PASS", "hunter2")
        .run()
        .exits(0)
        .never_shows("hunter2");
}

#[test]
fn a_name_from_a_hostile_source_does_not_reach_the_terminal_as_it_is() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 0);
    let output = compare(&source, &target)
        .words(["--show-diffs", "--rounds", "1"])
        .run()
        .exits(1);
    assert!(!output.stdout.contains('\u{1b}'), "{output}");
    output.prints("missing string \\x1b[31mred");
}
