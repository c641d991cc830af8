//! Whether hashes and lists may be copied by their own commands where DUMP and RESTORE would do.

use redis::RedisError;

use super::control::Control;
use super::probe::KEY;
use super::tried::Tried;
use crate::config::Endpoint;

/// What is read of the source.
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
/// What is written to the target; tried in a transaction that is discarded.
const WRITES: [&[&str]; 7] = [
    &["HSET", KEY, "f", "v"],
    &["RPUSH", KEY, "v"],
    &["UNLINK", KEY],
    &["RENAME", KEY, KEY],
    &["PERSIST", KEY],
    &["PEXPIREAT", KEY, "1"],
    &["PEXPIRE", KEY, "1"],
];
/// What is asked of the target beside.
const LOOKS: [&[&str]; 7] = [
    &["TYPE", KEY],
    &["HLEN", KEY],
    &["LLEN", KEY],
    &["PTTL", KEY],
    &["WATCH", KEY],
    &["UNWATCH"],
    &["EXEC"],
];

/// Whether both servers have the commands for it, and both users may run them. A server that does not say may not.
pub async fn may_copy_plainly(source: &Endpoint, target: &Endpoint) -> bool {
    let Ok(mut source) = Control::open(source).await else {
        return false;
    };
    if !matches!(may_all(&mut source, &READS).await, Ok(true)) {
        return false;
    }
    drop(source);
    let Ok(mut target) = Control::open(target).await else {
        return false;
    };
    matches!(may_write(&mut target).await, Ok(true))
}

async fn may_write(target: &mut Control) -> Result<bool, RedisError> {
    // Outside of a transaction they would run.
    if Tried::of(target.words(&["MULTI"]).await)? != Tried::Allowed {
        return Ok(false);
    }
    let may = may_all(target, &WRITES).await?;
    if Tried::of(target.words(&["DISCARD"]).await)? != Tried::Allowed {
        return Ok(false);
    }
    Ok(may && may_all(target, &LOOKS).await?)
}

async fn may_all(server: &mut Control, commands: &[&[&str]]) -> Result<bool, RedisError> {
    let words: Vec<Vec<&str>> = commands.iter().map(|words| words.to_vec()).collect();
    let mut may = true;
    for answer in server.all(&words).await? {
        may &= Tried::of(answer)?.may();
    }
    Ok(may)
}
