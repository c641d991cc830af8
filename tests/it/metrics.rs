//! `--metrics`: what a scraper is told while riot works, and when the target is said to be ready. Debian's `prometheus` and
//! `promtool` are the judges of its form.

mod alerts;
mod counts;
mod dashboard;
mod databases;
mod http;
mod page;
mod readiness;
mod scrape;
mod serving;

use std::io::Write as _;
use std::process::{Command, Stdio};

use self::scrape::Scrape;
use crate::riot::Running;
use crate::wait;

/// A free port of this machine, which riot tells.
const ANYWHERE: [&str; 2] = ["--metrics", "127.0.0.1:0"];

/// Where a run serves its metrics, once it says so.
fn address(running: &mut Running) -> String {
    running.wait_for("/metrics\n");
    let text = running.stderr();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("metrics: http://"));
    let address = line.and_then(|line| line.strip_suffix("/metrics"));
    address.expect("the line names the address").to_owned()
}

/// Scrapes until the metrics are as they should be.
#[track_caller]
fn until(address: &str, what: &str, holds: impl Fn(&Scrape) -> bool) -> Scrape {
    let mut last = Last(String::new());
    wait::until(what, || {
        let scrape = Scrape::of(address);
        last.0.clone_from(&scrape.text);
        holds(&scrape).then_some(scrape)
    })
}

/// What was told last, shown where the test fails.
struct Last(String);

impl Drop for Last {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- metrics\n{}", self.0);
        }
    }
}

/// Runs `promtool`, fails the test where it is not content, and gives what it said.
#[track_caller]
fn promtool(words: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: run tests/run.sh, which installs it");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "promtool {words:?}:\n{said}");
    said
}
