//! Whether hashes and lists may be copied by their own commands where DUMP and RESTORE would do.

use super::control::Control;
use super::probe::KEY;
use super::tried::Tried;
use crate::config::Endpoint;

/// What is read of the source. Nothing of this is run: it is queued in a transaction that is discarded.
const READS: [&[&str]; 9] = [
    &["TYPE", KEY],
    &["MEMORY", "USAGE", KEY],
    &["HGETALL", KEY],
    &["HLEN", KEY],
    &["HSCAN", KEY, "0"],
    &["LRANGE", KEY, "0", "0"],
    &["LLEN", KEY],
    &["WATCH", KEY],
    &["UNWATCH"],
];
/// What is written to the target, and asked of it.
const WRITES: [&[&str]; 13] = [
    &["HSET", KEY, "f", "v"],
    &["RPUSH", KEY, "v"],
    &["UNLINK", KEY],
    &["RENAME", KEY, KEY],
    &["PERSIST", KEY],
    &["PEXPIREAT", KEY, "1"],
    &["PEXPIRE", KEY, "1"],
    &["TYPE", KEY],
    &["HLEN", KEY],
    &["LLEN", KEY],
    &["PTTL", KEY],
    &["WATCH", KEY],
    &["UNWATCH"],
];

/// Whether both servers have the commands for it, and both users may run them. A server that does not say may not.
pub async fn may_copy_plainly(source: &Endpoint, target: &Endpoint) -> bool {
    matches!(may_queue(source, &READS).await, Some(true))
        && matches!(may_queue(target, &WRITES).await, Some(true))
}

async fn may_queue(server: &Endpoint, commands: &[&[&str]]) -> Option<bool> {
    let mut server = Control::open(server).await.ok()?;
    // Outside of a transaction they would run.
    if Tried::of(server.words(&["MULTI"]).await).ok()? != Tried::Allowed {
        return Some(false);
    }
    let words: Vec<Vec<&str>> = commands.iter().map(|words| words.to_vec()).collect();
    let mut may = true;
    for answer in server.all(&words).await.ok()? {
        may &= Tried::of(answer).ok()?.may();
    }
    if Tried::of(server.words(&["DISCARD"]).await).ok()? != Tried::Allowed {
        // Never EXEC: what is queued would run. It goes with the connection.
        return Some(false);
    }
    let executes = Tried::of(server.words(&["EXEC"]).await).ok()?;
    Some(may && executes.may())
}
