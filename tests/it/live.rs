//! Live replication: whatever applications, networks, servers and operators do, what the target holds in the end is what the
//! source holds, or the exit status is not 0.
//!
//! The proof is what both servers hold once riot has ended, read type by type, and not what riot says of it.

mod big_key;
mod databases;
mod deletions;
mod doubts;
mod ending;
mod expiries;
mod faults;
mod filters;
mod groups;
pub(crate) mod load;
pub(crate) mod reconnects;
mod replicas;
mod rights;
mod sources;
mod stopped;
mod writers;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::data;
use crate::proxy::Proxy;
use crate::riot::{Output, Riot, Running, riot};
use crate::servers::{Server, Version};
use crate::store::Store;
use crate::wait;

/// A test for each way to learn of changes: `name::keyspace` and `name::tracking`.
macro_rules! each_way {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            use crate::live::Way;

            #[test]
            fn keyspace() {
                super::$name(Way::Keyspace);
            }

            #[test]
            fn tracking() {
                super::$name(Way::Tracking);
            }
        })*
    };
}
use each_way;

/// How riot learns of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Keyspace,
    Tracking,
}

impl Way {
    /// As `--events` and the report name it.
    fn word(self) -> &'static str {
        match self {
            Self::Keyspace => "keyspace",
            Self::Tracking => "tracking",
        }
    }

    /// Sets the source's notifications: of everything, or off.
    fn prepare(self, source: &Server) {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("notify-keyspace-events");
        let classes = if self == Self::Keyspace { "KA" } else { "" };
        command.arg(classes).exec(&mut source.connection()).unwrap();
    }

    /// Riot's event connections, by the ids of the source's CLIENT LIST.
    fn listeners(self, source: &Server) -> Vec<u64> {
        let flag = match self {
            Self::Keyspace => 'P',
            Self::Tracking => 't',
        };
        let clients = clients(source).into_iter();
        clients
            .filter(|(_, flags)| flags.contains(flag))
            .map(|(id, _)| id)
            .collect()
    }
}

/// Riot's connections to a server: id and flags of CLIENT LIST.
fn clients(server: &Server) -> Vec<(u64, String)> {
    let text: String = server.run("CLIENT LIST");
    let field = |line: &str, name: &str| {
        let mut words = line.split(' ');
        words.find_map(|word| word.strip_prefix(name).map(str::to_owned))
    };
    text.lines()
        .filter(|line| field(line, "name=").is_some_and(|name| name == "riot"))
        .map(|line| {
            let id = field(line, "id=").unwrap().parse().unwrap();
            (id, field(line, "flags=").unwrap())
        })
        .collect()
}

/// Ends a client's connection; one that has ended by itself is as good.
fn kill_client(server: &Server, id: u64) {
    let killed: i64 = server.run(&format!("CLIENT KILL ID {id}"));
    assert!(killed <= 1);
}

/// Source and target, with a proxy in front of each.
struct Stage {
    way: Way,
    source: Server,
    target: Server,
    to_source: Proxy,
    to_target: Proxy,
}

impl Stage {
    fn new(way: Way) -> Self {
        Self::with(
            way,
            Server::start(Version::Redis70),
            Server::start(Version::Redis70),
        )
    }

    fn with(way: Way, source: Server, target: Server) -> Self {
        way.prepare(&source);
        let (to_source, to_target) = (Proxy::to(&source.address()), Proxy::to(&target.address()));
        Self {
            way,
            source,
            target,
            to_source,
            to_target,
        }
    }

    /// `riot replicate --mode live` between the servers themselves.
    fn replicate(&self) -> Riot {
        live(self.way.word(), &self.source.uri(), &self.target.uri())
    }

    /// The same by the two proxies.
    fn replicate_by_proxies(&self) -> Riot {
        live(
            self.way.word(),
            &self.to_source.address(),
            &self.to_target.address(),
        )
    }

    /// Fails the test where the two do not hold the same, or riot did not say so by all its numbers and status 0.
    #[track_caller]
    fn equal(&self, output: &Output) -> Report {
        equal(output, &self.source, &self.target)
    }

    /// Fails the test where they differ by anything but keys that only the target has, and where riot did not report exactly
    /// those.
    #[track_caller]
    fn only_extra(&self, output: &Output) -> Report {
        only_extra(output, &self.source, &self.target)
    }

    /// Fails the test where riot ended with 0 and the two differ.
    #[track_caller]
    fn never_a_silent_difference(&self, output: &Output) {
        never_a_silent_difference(output, &self.source, &self.target);
    }
}

/// `riot replicate --mode live --events EVENTS SOURCE TARGET`.
pub(crate) fn live(events: &str, source: &str, target: &str) -> Riot {
    riot([
        "replicate",
        "--mode",
        "live",
        "--events",
        events,
        "--report",
        "json",
        "--show-diffs",
        "--round-interval",
        "200ms",
        source,
        target,
    ])
}

/// What riot has logged so far: lines that begin so, a log line's time left out.
fn lines(running: &Running, start: &str) -> usize {
    let text = running.stderr();
    let lines = text.lines().filter(|line| {
        let words = line.trim_start_matches(|c: char| c.is_ascii_digit() || "-:. ".contains(c));
        words.starts_with(start)
    });
    lines.count()
}

/// Waits for a line of standard error that begins so.
fn wait_for_line(running: &mut Running, start: &str) {
    let found = wait::until(&format!("riot says `{start}`"), || {
        let over = !running.is_running();
        let said = lines(running, start) > 0;
        (said || over).then_some(said)
    });
    assert!(found, "riot ended without saying `{start}`");
}

/// Waits until riot has listened for a while without a scan: each second it says so.
fn quiet(running: &Running) {
    let seen = lines(running, "listening: ");
    wait::until("riot listens and scans no more", || {
        (lines(running, "listening: ") >= seen + 2).then_some(())
    });
}

/// Waits until riot listens.
pub(crate) fn listens(running: &mut Running) {
    wait_for_line(running, "listening");
}

/// Waits until the first scan is through.
pub(crate) fn scanned(running: &mut Running) {
    wait_for_line(running, "scanning 100 %");
}

/// Ends a run in order, once its first scan is through.
pub(crate) fn end(mut running: Running) -> Output {
    scanned(&mut running);
    running.signal("TERM");
    running.finish()
}

/// What a run said in the end.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) json: Value,
    /// The keys that it named as extra.
    extra: BTreeSet<String>,
}

impl Report {
    #[track_caller]
    pub(crate) fn of(output: &Output) -> Self {
        let mut lines: Vec<&str> = output.stdout.lines().collect();
        let last = lines.pop().unwrap_or_default();
        let json = serde_json::from_str(last)
            .unwrap_or_else(|error| panic!("no JSON report: {error}\n{output}"));
        let extra = lines.iter().filter_map(|line| line.strip_prefix("extra "));
        let report = Self {
            json,
            extra: extra.map(str::to_owned).collect(),
        };
        let taken = report.number(&["scanned"]) + report.number(&["changes"]);
        let skipped = report.json["skipped"].as_object().unwrap().values();
        let ended = skipped.map(|count| count.as_u64().unwrap()).sum::<u64>()
            + report.number(&["written"])
            + report.number(&["deleted"])
            + report.number(&["failed"]);
        assert!(
            taken == ended,
            "{taken} keys taken, {ended} accounted for\n{output}"
        );
        report
    }

    /// A number, by its names from the outermost on.
    #[track_caller]
    pub(crate) fn number(&self, path: &[&str]) -> u64 {
        let found = path.iter().fold(&self.json, |value, name| &value[*name]);
        found
            .as_u64()
            .unwrap_or_else(|| panic!("{path:?} is no number: {self}"))
    }

    /// The ways in which it learnt of changes.
    fn ways(&self) -> Vec<&str> {
        self.texts("ways")
    }

    /// The guarantees that it could not prove.
    fn unproven(&self) -> Vec<&str> {
        self.texts("unproven")
    }

    fn texts(&self, name: &str) -> Vec<&str> {
        let texts = self.json["live"][name].as_array().unwrap().iter();
        texts.map(|text| text.as_str().unwrap()).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.json)
    }
}

/// How two sides' database 0 differ, a line each.
fn differences(source: &dyn Store, target: &dyn Store) -> Vec<String> {
    data::differences(
        &data::snapshot(source, 0),
        &data::snapshot(target, 0),
        source.tolerance().max(target.tolerance()),
    )
}

fn shown(differences: &[String]) -> String {
    let first = &differences[..differences.len().min(20)];
    format!("{} differ:\n{}", differences.len(), first.join("\n"))
}

#[track_caller]
pub(crate) fn equal(output: &Output, source: &dyn Store, target: &dyn Store) -> Report {
    assert_same(output, source, target);
    assert!(output.code() == Some(0), "status 0 was expected\n{output}");
    let report = Report::of(output);
    for kind in ["missing", "type", "value", "ttl", "extra"] {
        let count = report.number(&["differences", kind]);
        assert!(count == 0, "{count} {kind} reported\n{output}");
    }
    let open = report.number(&["live", "open_gaps"]);
    assert!(open == 0, "{open} gaps are open\n{output}");
    report
}

/// Fails the test where the two sides do not hold the same, with everything that riot said.
#[track_caller]
fn assert_same(output: &Output, source: &dyn Store, target: &dyn Store) {
    no_panic(output);
    let found = differences(source, target);
    assert!(found.is_empty(), "{}\n{output}", shown(&found));
}

#[track_caller]
fn only_extra(output: &Output, source: &dyn Store, target: &dyn Store) -> Report {
    no_panic(output);
    let found = differences(source, target);
    let (extra, wrong): (Vec<String>, Vec<String>) = found
        .into_iter()
        .partition(|line| line.starts_with("extra "));
    assert!(wrong.is_empty(), "{}\n{output}", shown(&wrong));
    // The names of these tests' keys are plain: quotes are all that differs from riot's way to show them.
    let extra: BTreeSet<String> = extra
        .iter()
        .map(|line| line["extra ".len()..].trim().trim_matches('"').to_owned())
        .collect();
    let report = Report::of(output);
    assert!(
        report.extra == extra,
        "extra are {extra:?}\nnamed were {:?}\n{output}",
        report.extra
    );
    let count = report.number(&["differences", "extra"]);
    assert!(
        count == extra.len() as u64,
        "{} extra\n{output}",
        extra.len()
    );
    let status = i32::from(!extra.is_empty());
    assert!(
        output.code() == Some(status),
        "status {status} was expected\n{output}"
    );
    report
}

#[track_caller]
fn never_a_silent_difference(output: &Output, source: &dyn Store, target: &dyn Store) {
    no_panic(output);
    if output.code() == Some(0) {
        let found = differences(source, target);
        assert!(
            found.is_empty(),
            "status 0, and {}\n{output}",
            shown(&found)
        );
    }
}

#[track_caller]
fn no_panic(output: &Output) {
    assert!(
        !output.stderr.contains("panicked at") && !output.stderr.contains("stack backtrace"),
        "a panic\n{output}"
    );
}
