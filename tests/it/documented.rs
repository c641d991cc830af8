//! The documentation says what is so: every command in it runs, with the status and the form of output that the page
//! shows; every error message is one of the program's; every link and every option is there.
//!
//! Commands stand in blocks that are fenced as `sh`; a block fenced as `text` right after one is what it shows. Comments
//! in the page say what else there is to know of a block:
//!
//! - `<!-- needs AWS -->`: it is read, not run
//! - `<!-- exits 1 -->`: it does not end with 0
//! - `<!-- stays running -->`: a live run that the blocks after it need; `<!-- Ctrl-C -->` ends it, and the `text` block
//!   after that is what it says. Any other live run is ended as soon as it only listens.
//!
//! The servers that the pages name are in `documented/world.rs`. Each section, down to its `##`, begins with full sources
//! and empty targets.

mod errors;
mod links;
mod options;
mod pages;
mod running;
mod shell;
mod world;

/// A test for each page, and one that none was forgotten.
macro_rules! each_page {
    ($($test:ident: $page:literal,)*) => {
        mod commands_run_as_they_stand_in {
            $(#[test]
            fn $test() {
                super::running::page($page);
            })*
        }

        #[test]
        fn every_page_has_its_test() {
            let tested = [$($page),*];
            for page in pages::all() {
                assert!(tested.contains(&page.name.as_str()), "{}", page.name);
            }
            assert_eq!(tested.len(), pages::all().len());
        }
    };
}

each_page! {
    readme: "README.md",
    index: "docs/README.md",
    architecture: "docs/architecture.md",
    check: "docs/check.md",
    clusters: "docs/clusters.md",
    coming_from_riot: "docs/coming-from-riot.md",
    comparing: "docs/comparing.md",
    connections: "docs/connections.md",
    cutover: "docs/cutover.md",
    disaster_recovery: "docs/disaster-recovery.md",
    errors: "docs/errors.md",
    guarantees: "docs/guarantees.md",
    guide: "docs/guide.md",
    live: "docs/live.md",
    metrics: "docs/metrics.md",
    migrating_elasticache: "docs/migrating-elasticache.md",
    output: "docs/output.md",
    packaging: "docs/packaging.md",
    performance: "docs/performance.md",
    quick_start: "docs/quick-start.md",
    security: "docs/security.md",
    several_hosts: "docs/several-hosts.md",
    tuning: "docs/tuning.md",
    types: "docs/types.md",
}
