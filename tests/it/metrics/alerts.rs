//! The rules that the documentation ships.

use super::promtool;

#[test]
fn the_rules_are_rules_and_tell_what_they_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/prometheus");
    let rules = format!("{folder}/alerts.yml");
    let said = promtool(&["check", "rules", &rules], "");
    assert!(said.contains("8 rules found"), "{said}");
    let tests = format!("{folder}/alerts_test.yml");
    promtool(&["test", "rules", &tests], "");
}
