//! docs/metrics.md names what riot tells, and riot tells what the page names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{ANYWHERE, Scrape, address, promtool, until};
use crate::data;
use crate::live::load::Load;
use crate::live::{end, live};
use crate::servers::{Server, Version};

const PAGE: &str = include_str!("../../../docs/metrics.md");

/// The metrics of the page: type, unit, and names of labels.
fn documented() -> BTreeMap<String, (String, String, BTreeSet<String>)> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| line.trim_matches('|').split('|').collect::<Vec<_>>());
    rows.filter(|cells| cells.len() == 5)
        .map(|cells| {
            let plain = |cell: &str| cell.trim().trim_matches('`').to_owned();
            let labels = cells[3].split(',').map(plain);
            let labels = labels.filter(|label| !label.is_empty()).collect();
            (plain(cells[0]), (plain(cells[1]), plain(cells[2]), labels))
        })
        .collect()
}

#[test]
fn the_page_and_a_live_run_name_the_same_metrics() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    data::fill_every_type(&source, 0);
    let mut running = live("tracking", &source.uri(), &target.uri())
        .words(ANYWHERE)
        .spawn();
    let address = address(&mut running);
    let load = Load::on(200).prefix("load:").writers(1);
    load.fill(&source);
    let (scrape, done) = load.during(&source, Duration::ZERO, |_| {
        until(&address, "changes were written", |scrape| {
            scrape.find("riot_lag_seconds_count").unwrap_or(0.0) > 100.0
                && scrape.value("riot_ready") > 0.0
        })
    });
    done.settle(&source);
    let told: BTreeMap<_, _> = scrape.metrics();
    let page = documented();
    assert!(page.len() > 40, "the page is not read as it is written");
    for (name, (kind, unit, labels)) in &page {
        let (told_kind, told_labels) = told
            .get(name)
            .unwrap_or_else(|| panic!("{name} is on the page alone:\n{}", scrape.text));
        assert_eq!((kind, labels), (told_kind, told_labels), "{name}");
        for base in ["seconds", "bytes"] {
            assert_eq!(unit == base, name.contains(base), "{name}: {unit}");
        }
    }
    for name in told.keys() {
        assert!(page.contains_key(name), "{name} is not on the page");
    }
    // What a page and a machine read alike: help, names, units, types.
    promtool(&["check", "metrics"], &scrape.text);
    end(running).exits(0);
}

#[test]
fn what_is_told_before_both_sides_are_reached_has_its_form() {
    let (source, target) = (
        Server::start(Version::Redis70),
        Server::start(Version::Redis70),
    );
    target.pause();
    let mut running = crate::riot::replicate(&source, &target)
        .words(ANYWHERE)
        .spawn();
    let address = address(&mut running);
    let scrape = Scrape::of(&address);
    promtool(&["check", "metrics"], &scrape.text);
    assert_eq!(scrape.count("riot_phase{phase=\"connecting\"}"), 1);
    assert_eq!(scrape.find("riot_keys_in_flight"), None);
    target.resume();
    running.finish().exits(0);
}
