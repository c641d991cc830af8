//! Copying by the types' own commands, where DUMP and RESTORE cannot go: every type exact, big keys in chunks, whole or not at
//! all.

mod big;
mod changing;
mod clustered;
mod fields;
pub(crate) mod filling;
mod interrupted;
mod matrix;
mod merge;
mod modules;
mod options;
mod plain;
mod reader;
mod rights;
mod streams;
mod vectors;

use redis::Connection;

use crate::data::{self, Snapshot};
use crate::live::Report;
use crate::riot::{Output, Riot, replicate};
use crate::servers::Server;
use crate::store::Store;

/// The closing line where nothing differs.
const EQUAL: &str = "0 missing, 0 type, 0 value, 0 ttl";

/// What temporary names have after their hash tag.
const TEMPORARY: &str = ":riot-tmp:";

/// `riot replicate --type struct SOURCE TARGET`, with its report as JSON.
fn by_type(source: &dyn Store, target: &dyn Store) -> Riot {
    told(source, target).words(["--type", "struct"])
}

/// `riot replicate SOURCE TARGET`, with its report as JSON.
fn told(source: &dyn Store, target: &dyn Store) -> Riot {
    replicate(source, target).words(["--report", "json"])
}

/// A number of the report.
#[track_caller]
fn count(output: &Output, name: &str) -> u64 {
    Report::of(output).number(&[name])
}

/// How two snapshots differ, a line each; what commands cannot carry is left out.
fn differences(expected: Snapshot, found: Snapshot, tolerance: i64) -> Vec<String> {
    data::differences(
        &data::without_last_seen(expected),
        &data::without_last_seen(found),
        tolerance,
    )
}

/// Fails the test where the target does not hold all that the source holds, but what commands cannot carry.
#[track_caller]
pub(crate) fn assert_carried(source: &dyn Store, target: &dyn Store) {
    let differences = differences(
        data::snapshot(source, 0),
        data::snapshot(target, 0),
        source.tolerance().max(target.tolerance()),
    );
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences[..differences.len().min(20)].join("\n")
    );
}

/// The temporary names that a store holds.
fn temporary(store: &dyn Store) -> Vec<String> {
    let names = store.holders(0).into_iter().flat_map(temporary_of);
    names.collect()
}

fn temporary_of(mut connection: Connection) -> Vec<String> {
    let names: Vec<Vec<u8>> = redis::cmd("KEYS")
        .arg(format!("*{TEMPORARY}*"))
        .query(&mut connection)
        .unwrap();
    names
        .iter()
        .map(|name| name.escape_ascii().to_string())
        .collect()
}

/// Fails the test where a temporary name is left.
#[track_caller]
fn assert_no_rubbish(store: &dyn Store) {
    let names = temporary(store);
    assert!(names.is_empty(), "{names:?} are left");
}

/// Two servers of the version that most tests use.
fn pair() -> (Server, Server) {
    use crate::servers::Version::Redis70;
    (Server::start(Redis70), Server::start(Redis70))
}
