//! The list against the guide's tables, and against itself.

use std::collections::BTreeSet;

use super::*;

/// Everything that a run may ask of a side.
fn all(side: Side) -> Plan {
    let needs = Needs {
        expiries: true,
        reads: true,
        scans: true,
        searches: true,
        payloads: true,
        dumps: true,
        weighs: true,
        texts: true,
        writes: true,
        memory: true,
        kinds: true,
        multi: true,
        waits: true,
        scan_type: true,
        cluster: true,
        replica: true,
    };
    Plan {
        side,
        needs,
        live: true,
        by_type: Share::Everything,
        compared: Share::Nothing,
        merge: true,
        kinds: Vec::new(),
    }
}

fn rules(plan: &Plan) -> BTreeSet<String> {
    let rights = asked_for(plan).into_iter();
    rights.map(|(right, _)| right.rule()).collect()
}

/// The rules in the guide's rows that begin so.
fn told(rows: &[&str]) -> BTreeSet<String> {
    let guide = include_str!("../../../docs/security.md");
    let lines = guide
        .lines()
        .filter(|line| rows.iter().any(|row| line.starts_with(row)));
    let rules = lines.flat_map(|line| line.split('`').nth(1).unwrap().split(' '));
    rules.map(|rule| rule.replace("\\|", "|")).collect()
}

#[test]
fn the_list_has_every_rule_that_the_guide_tells() {
    // The ways of events are tried by themselves. Who may not PING has answered as well.
    let apart = BTreeSet::from(["+ping".to_owned()]);
    let source = told(&["| source, either way | `+", "| source | `+"]);
    let target = told(&["| target | `+"]);
    assert!(
        source.len() > 25 && target.len() > 35,
        "{source:?} {target:?}"
    );
    for (told, side) in [(source, Side::Source), (target, Side::Target)] {
        let missing: Vec<_> = told.difference(&rules(&all(side))).cloned().collect();
        assert!(
            missing.iter().all(|rule| apart.contains(rule)),
            "{side}: {missing:?}"
        );
    }
}

#[test]
fn the_guide_tells_every_rule_of_the_list() {
    let pages = [
        include_str!("../../../docs/security.md"),
        include_str!("../../../docs/live.md"),
        include_str!("../../../docs/guide.md"),
    ];
    let guide = pages.concat().replace("\\|", "|");
    let has = |rule: &str| {
        let name = rule
            .trim_start_matches('+')
            .to_uppercase()
            .replace('|', " ");
        guide.match_indices(rule).any(|(at, _)| {
            !guide[at + rule.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '|')
        }) || guide.contains(&name)
    };
    for side in [Side::Source, Side::Target] {
        for rule in rules(&all(side)) {
            assert!(has(&rule), "{side}: {rule} is not in the guide");
        }
    }
}

#[test]
fn nothing_that_is_queued_executes_the_queue() {
    for side in [Side::Source, Side::Target] {
        for (right, _) in asked_for(&all(side)) {
            let apart = ["MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH"].contains(&right.name);
            assert!(!apart || right.trial == Trial::Run, "{}", right.name);
        }
    }
}

#[test]
fn what_two_lists_ask_for_is_needed_as_the_stronger_says() {
    let mut plan = all(Side::Target);
    plan.by_type = Share::Some;
    plan.needs.multi = true;
    let loss = |plan: &Plan, name: &str| {
        let found = asked_for(plan).into_iter();
        found
            .filter(|(right, _)| right.name == name)
            .map(|(_, loss)| loss)
            .next()
    };
    assert_eq!(loss(&plan, "MULTI"), Some(Loss::Fails));
    plan.needs = Needs::default();
    assert_eq!(loss(&plan, "MULTI"), Some(Loss::Without(BY_TYPE)));
    plan.kinds = vec!["hash".to_owned()];
    assert_eq!(loss(&plan, "SADD"), None);
    assert_eq!(loss(&plan, "HSET"), Some(Loss::Without(BY_TYPE)));
}
