//! Options: every one is told of, and every one that is told of is there.

use std::collections::BTreeSet;

use super::pages::{self, Page, Piece};
use super::shell;

/// Options of other programs, and of other versions of RIOT, that the pages name outside of blocks.
const OTHERS: &[&str] = &[
    // aws elasticache create-user
    "--authentication-mode",
    // timeout(1)
    "--foreground",
    // tests/run.sh
    "--full",
    // sha256sum, gh attestation verify, packaging/check.sh
    "--check",
    "--install",
    "--repo",
    // RIOT's that riot does not know: the page about them says what to write
    "--log-writes",
    "--read-poll",
    "--reader-batch",
    "--reader-pool",
    "--reader-queue",
    "--reader-threads",
];

/// Options by name.
#[derive(Default)]
struct Known {
    /// All that clap takes: also what is there to be refused.
    all: BTreeSet<String>,
    /// What the help shows.
    shown: BTreeSet<String>,
    /// The same, and its other spellings.
    taken: BTreeSet<String>,
}

impl Known {
    fn new() -> Self {
        let root = riot::cli::command();
        let mut known = Self::default();
        for command in root.get_subcommands().chain([&root]) {
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long() else {
                    continue;
                };
                let aliases = argument.get_all_aliases().unwrap_or_default().into_iter();
                let names: Vec<String> = aliases
                    .chain([long])
                    .map(|name| format!("--{name}"))
                    .collect();
                if !argument.is_hide_set() {
                    known.shown.insert(format!("--{long}"));
                    known.taken.extend(names.clone());
                }
                known.all.extend(names);
            }
        }
        known.all.insert("--version".into());
        known
    }
}

/// The options that a text names.
fn options(text: &str) -> Vec<String> {
    let form = regex::Regex::new(r"--[a-z][a-z-]*").unwrap();
    form.find_iter(text)
        // `--source-X` is none, and neither is what follows a letter.
        .filter(|found| !found.as_str().ends_with('-'))
        .filter(|found| {
            text[..found.start()]
                .chars()
                .next_back()
                .is_none_or(|c| " ([|".contains(c))
        })
        .map(|found| found.as_str().to_owned())
        .collect()
}

#[test]
fn every_option_of_the_help_is_in_the_documentation() {
    let told: BTreeSet<String> = pages::all()
        .iter()
        .flat_map(Page::code_spans)
        .flat_map(|span| options(&span))
        .collect();
    let known = Known::new();
    let missing: Vec<_> = known.shown.difference(&told).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_option_that_the_documentation_names_is_there() {
    let known = Known::new();
    let is_known = |option: &str| known.all.contains(option) || OTHERS.contains(&option);
    let mut unknown = BTreeSet::new();
    for page in pages::all() {
        // The benchmark has options of its own.
        if page.name == "docs/performance.md" {
            continue;
        }
        let spans = page.code_spans().into_iter();
        // What begins with another program's name is that program's.
        let spans = spans.filter(|span| !is_foreign(span));
        let commands = page
            .scripts()
            .into_iter()
            .flat_map(|(block, _)| shell::riots(&block.text));
        let commands = commands.map(|words| words.join(" "));
        for text in spans.chain(commands) {
            for option in options(&text) {
                if !is_known(&option) {
                    unknown.insert(format!("{}: {option}", page.name));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

fn is_foreign(span: &str) -> bool {
    let first = span.split(' ').next().unwrap();
    [
        "redis-cli",
        "redis-server",
        "kubectl",
        "aws",
        "cargo",
        "tests/run.sh",
        "docs/demo.sh",
    ]
    .contains(&first)
}

#[test]
fn every_command_that_is_not_run_can_be_read() {
    for page in pages::all() {
        let scripts = page.scripts().into_iter();
        let commands = scripts.flat_map(|(block, _)| shell::riots(&block.text));
        let spans = page.code_spans().into_iter();
        let starts = ["riot replicate ", "riot compare ", "riot -"];
        let inline = spans.filter(|span| {
            starts.iter().any(|start| span.starts_with(start)) && !span.contains('…')
        });
        for words in commands.chain(inline.flat_map(|span| shell::riots(&span))) {
            let line = format!("riot {}", words.join(" "));
            if line.contains("--help") {
                continue;
            }
            let words = std::iter::once("riot".to_owned()).chain(words);
            if let Err(error) = riot::cli::command().try_get_matches_from(words) {
                panic!("{}: {line}: {error}", page.name);
            }
        }
    }
}

#[test]
fn options_of_riot_are_as_the_tables_say() {
    let page = Page::read("docs/coming-from-riot.md");
    let known = Known::new();
    let mut rows = 0;
    for piece in &page.pieces {
        let Piece::Prose(line) = piece else { continue };
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, first, verdict, ..] = cells.as_slice() else {
            continue;
        };
        if !["same", "changed", "refused"].contains(verdict) {
            continue;
        }
        let named = options(&first.replace('`', " "));
        rows += named.len();
        for option in named {
            // It is what it is anyway: taken, and not shown.
            let taken = known.taken.contains(&option) || option == "--log-time";
            assert_eq!(taken, *verdict != "refused", "{option}: {verdict}");
        }
    }
    assert!(rows > 120, "{rows} options");
}
